# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows the control groups of the hosts: one group a host in every hierarchy, cgroup v1, hybrid or v2.

A host's group NAME has two children: `supervisor` with the loop that boots the host again after a reboot, and
`machine` with systemd-nspawn and all that runs in the host. They are apart because cgroup v2 wants no process in a
group whose children have controllers.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from . import mounts
from .process import wait_until

SUPERVISOR = "supervisor"
MACHINE = "machine"


def hierarchies() -> list[Path]:
    """Return the mount point of every cgroup hierarchy, v1 controllers and the unified one."""
    return [Path(point) for point, dummy in mounts.of_type("cgroup", "cgroup2")]


def _freezer() -> tuple[Path, bool]:
    """Return the hierarchy that can stop processes, and whether it is cgroup v2."""
    for point, options in mounts.of_type("cgroup"):
        if "freezer" in options.split(","):
            return Path(point), False
    return Path(mounts.of_type("cgroup2")[0][0]), True


def create(name: str) -> None:
    """Make the group *name* with its children in every hierarchy; what is there already stays."""
    for hierarchy in hierarchies():
        for group in (hierarchy / name, hierarchy / name / SUPERVISOR, hierarchy / name / MACHINE):
            _enable_controllers(group.parent)
            group.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):  # a v1 cpuset starts out empty and takes no process then
                if (
                    (hierarchy / "tasks").exists()
                    and (group / setting).exists()
                    and not (group / setting).read_text().strip()
                ):
                    (group / setting).write_text((group.parent / setting).read_text())


def _enable_controllers(group: Path) -> None:
    """Give the children of a v2 *group* all controllers that the machine lets them have."""
    available = group / "cgroup.controllers"
    if not available.exists():
        return
    for controller in available.read_text().split():
        try:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            continue  # not delegated to us: the hosts run without this controller


def entry_files(name: str, child: str) -> list[str]:
    """Return the files through which a process joins *child* of the group *name* in every hierarchy."""
    return [str(hierarchy / name / child / "cgroup.procs") for hierarchy in hierarchies()]


def groups(prefix: str) -> list[str]:
    """Return the names of all top groups that begin with *prefix*."""
    return sorted({path.name for hierarchy in hierarchies() for path in hierarchy.glob(f"{prefix}*") if path.is_dir()})


def processes(name: str, child: str = "") -> list[int]:
    """Return the IDs of all processes in the group *name* (or its *child*) and below; empty without such a group."""
    hierarchy, dummy = _freezer()
    found: list[int] = []
    for directory, dummy2, files in os.walk(hierarchy / name / child):
        if "cgroup.procs" in files:
            try:
                found += [int(pid) for pid in Path(directory, "cgroup.procs").read_text().split()]
            except OSError:
                continue  # the group went away, or is a threaded one whose processes are listed above it
    return [pid for pid in found if pid > 0]


def set_frozen(name: str, frozen: bool) -> None:
    """Stop all processes of the group *name* where they are, or let them go on; returns when it is so.

    Raises LabError when it does not happen within 10 s.
    """
    hierarchy, unified = _freezer()
    group = hierarchy / name
    if unified:
        (group / "cgroup.freeze").write_text(str(int(frozen)))
        wait_until(
            lambda: f"frozen {int(frozen)}" in (group / "cgroup.events").read_text(),
            timeout=10,
            what=f"the freezer of {name}",
        )
        return
    state = "FROZEN" if frozen else "THAWED"

    def reached() -> bool:
        (group / "freezer.state").write_text(state)
        return (group / "freezer.state").read_text().strip() == state

    wait_until(reached, timeout=10, what=f"the freezer of {name}", interval=0.01)


def is_frozen(name: str) -> bool:
    """Tell whether the group *name* is stopped by the freezer."""
    hierarchy, unified = _freezer()
    state = hierarchy / name / ("cgroup.freeze" if unified else "freezer.state")
    return state.exists() and state.read_text().strip() in ("1", "FROZEN", "FREEZING")


def kill(name: str) -> None:
    """End all processes of the group *name* at the same instant, as a power cut does; returns when they are gone.

    Raises LabError when some remain after 20 s.
    """
    if not processes(name):
        return
    set_frozen(name, True)
    for pid in processes(name):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    set_frozen(name, False)
    _thaw_below(name)
    wait_until(lambda: not processes(name), timeout=20, what=f"the end of the processes in group {name}", interval=0.01)


def _thaw_below(name: str) -> None:
    """Let paused containers of a host go on too: a process that is frozen does not even end."""
    hierarchy, unified = _freezer()
    for directory, dummy, dummy2 in os.walk(hierarchy / name):
        try:
            Path(directory, "cgroup.freeze" if unified else "freezer.state").write_text("0" if unified else "THAWED")
        except OSError:
            continue  # the group went away


def remove(name: str) -> None:
    """Remove the group *name* and all below it from every hierarchy; its processes must be gone.

    Raises LabError when one cannot be removed within 10 s.
    """

    def removed() -> bool:
        left = False
        for hierarchy in hierarchies():
            for directory, dummy, dummy2 in os.walk(hierarchy / name, topdown=False):
                try:
                    os.rmdir(directory)
                except FileNotFoundError:
                    continue
                except OSError:
                    left = True  # a process that has ended but is not yet gone
        return not left

    wait_until(removed, timeout=10, what=f"the removal of the group {name}", interval=0.02)
