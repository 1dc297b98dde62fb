# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a backup of several swarms takes in one run, beside a backup of one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import Bench, Host, Lab, Series, execute, forget_connections, playbook
from helpers.backup import write_inventory
from whole_backup import script

from quorate_lab import swarm

TITLE = "Several swarms in one run"
ABOUT = """
Wall seconds of the backup playbook over an inventory of so many swarms of one manager each, all on this machine: the
controller and all hosts share its processors. Beside it, how the shell script of the figure above grows, which is started
for all swarms at the same time.
"""
REMAINS = """
All swarms are backed up at the same time, and one alone mostly waits: for ssh, for its engine. A second one costs little;
from there on the two processors are the limit, for the script as well, which grows no less: six engines that stop and
start, and six archives that are packed, want the processors that all hosts and the controller share here. What Ansible adds
for each swarm is a process for each task. Hosts of their own take the engines and the modules away from the controller.
"""

COUNTS = (1, 2, 4, 6)
PLAYBOOK, SCRIPT = "playbook", "script"


def names(count: int) -> str:
    return "1 swarm" if count == 1 else f"{count} swarms"


def six(lab: Lab) -> Lab:
    """Six swarms of one manager each."""
    lab.up(managers=max(COUNTS), workers=0, form_swarm=False)
    for host in lab.hosts.values():
        swarm.form([host], [], autolock=False)
    return lab


def backup_of(lab: Lab, count: int, directory: Path) -> Callable[[], float]:
    hosts = list(lab.hosts)[:count]
    inventory = write_inventory(
        directory / f"inventory-{count}.json", {name: (lab, name) for name in hosts}, {"swarm_managers": hosts}
    )

    def backup() -> float:
        prepare(lab, [lab.hosts[name] for name in hosts])
        return playbook(inventory, "backup", {"backup_allow_control_plane_outage": True, "backup_keep": 1})

    return backup


def script_of(lab: Lab, count: int) -> Callable[[], float]:
    hosts = list(lab.hosts.values())[:count]

    def backup() -> float:
        prepare(lab, hosts)
        began = time.monotonic()
        with ThreadPoolExecutor(count) as threads:
            list(threads.map(lambda host: execute(script(lab, [host])), hosts))
        return time.monotonic() - began

    return backup


def prepare(lab: Lab, hosts: Iterable[Host]) -> None:
    forget_connections(lab)
    for host in hosts:
        host.run(["systemctl", "reset-failed", "docker.service", "docker.socket"])


def measure(bench: Bench) -> list[Series]:
    lab = bench.lab("six swarms", six)
    with bench.directory() as directory:
        subjects = {(PLAYBOOK, names(count)): backup_of(lab, count, directory) for count in COUNTS}
        subjects |= {(SCRIPT, names(count)): script_of(lab, count) for count in COUNTS}
        found = bench.rounds({": ".join(subject): backup for subject, backup in subjects.items()})
    return [
        Series(
            by,
            "s",
            names(1),
            {names(count): found[f"{by}: {names(count)}"] for count in COUNTS},
            goals={names(6): 1.5} if by == PLAYBOOK else {},
        )
        for by in (PLAYBOOK, SCRIPT)
    ]
