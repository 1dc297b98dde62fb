# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows how one host is made of overlayfs, a cgroup, a network namespace and systemd-nspawn (lab fact A3)."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from . import cgroup, mounts
from .errors import LabError
from .network import NAMESPACES
from .process import execute, wait_until

# Enters the cgroup of the supervisor, then goes on in the background as SUPERVISE. The arguments are: the console
# log, the number of cgroup files, the files of the supervisor, those of the machine, the command.
LAUNCH = """
log=$1 count=$2; shift 2
n=$count; for file; do [ "$n" -gt 0 ] || break; echo 0 > "$file"; n=$((n - 1)); done
shift "$count"
exec setsid --fork /bin/sh -c "$SUPERVISE" supervisor "$count" "$@" </dev/null >>"$log" 2>&1
"""
# Runs systemd-nspawn in the cgroup of the machine, and again for as long as the host asks for a reboot (exit status
# 133 with --keep-unit). "echo 0" moves the shell that writes it.
SUPERVISE = """
count=$1; shift
unset SUPERVISE
while :; do
    (
        n=$count; for file; do [ "$n" -gt 0 ] || break; echo 0 > "$file"; n=$((n - 1)); done
        shift "$count"; exec "$@"
    )
    [ $? -eq 133 ] || break
done
"""
# What systemd-nspawn keeps outside the host and leaves there when it is killed.
NSPAWN_RUNTIME = Path("/run/systemd/nspawn")


class Machine:
    """One host *name* (unique on this machine) with its disk in *directory*, on the base tree *image*."""

    def __init__(self, *, name: str, hostname: str, directory: Path, image: Path) -> None:
        self.name = name
        self.hostname = hostname
        self.directory = directory
        self.image = image
        self.root = directory / "root"
        self.log = directory / "console.log"

    def prepare(self, authorized_key: str) -> None:
        """Make the disk and mount it, as far as that is not done yet; *authorized_key* may log in as root."""
        for part in ("root", "upper", "work", "docker", "containerd"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        if str(self.root) not in mounts.below(self.directory):
            mounts.mount_overlay(
                name=self.name,
                lower=self.image,
                upper=self.directory / "upper",
                work=self.directory / "work",
                target=self.root,
            )
        keys = self.root / "root/.ssh/authorized_keys"
        keys.parent.mkdir(mode=0o700, exist_ok=True)
        keys.write_text(authorized_key)
        keys.chmod(0o600)
        for part in ("docker", "containerd"):
            (self.root / "var/lib" / part).mkdir(mode=0o711, exist_ok=True)

    def boot(self) -> None:
        """Start the host and return at once; does nothing when it runs. The host outlives the calling process."""
        if self.is_running():
            return
        cgroup.create(self.name)
        supervisor = cgroup.entry_files(self.name, cgroup.SUPERVISOR)
        nspawn = [
            *("systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}"),
            # without a name of its own a killed host could not start again (lab fact A3)
            *(f"--machine={self.name}", f"--hostname={self.hostname}"),
            *("--register=no", "--keep-unit", f"--network-namespace-path={NAMESPACES / self.name}"),
            *("--capability=all", "--system-call-filter=@keyring bpf @mount add_key keyctl"),
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe", "--kill-signal=SIGRTMIN+3"),
            *(f"--bind={self.directory / part}:/var/lib/{part}" for part in ("docker", "containerd")),
            # for PID 1 of the host: newer systemd boots on cgroup v1 only when told so
            "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
        ]
        machine = cgroup.entry_files(self.name, cgroup.MACHINE)
        execute(
            ["/bin/sh", "-e", "-c", LAUNCH, "launch", str(self.log), str(len(machine)), *supervisor, *machine, *nspawn],
            env={
                "LANG": "C.UTF-8",
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "SUPERVISE": SUPERVISE,
                "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1",
            },
        )

    def is_running(self) -> bool:
        """Tell whether anything of the host runs."""
        return bool(cgroup.processes(self.name))

    def pid(self) -> int | None:
        """Return the process ID of the host's PID 1 as this machine sees it, None when the host is down."""
        for pid in cgroup.processes(self.name, cgroup.MACHINE):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            # exactly one PID namespace below ours, in which it is number one, and past systemd-nspawn's own child
            if fields["Name"] == "systemd" and fields["NSpid"].split()[1:] == ["1"]:
                return pid
        return None

    def power_off(self, timeout: float = 100) -> None:
        """Shut the host down in order; returns when it is down. Raises LabError after *timeout* seconds."""
        pid = self.pid()
        if pid is None:
            self.kill()
            return
        os.kill(pid, signal.SIGRTMIN + 3)
        wait_until(lambda: not self.is_running(), timeout=timeout, what=f"{self.name} to shut down")

    def kill(self) -> None:
        """Cut the power: all processes end at the same instant. What was written stays in the page cache."""
        cgroup.kill(self.name)
        remove_traces(self.name, self.root)

    def reboot(self, timeout: float = 100) -> None:
        """Reboot the host in order; returns when its new PID 1 is there. Raises LabError after *timeout* seconds."""
        before = self.pid()
        if before is None:
            raise LabError(f"reboot {self.name}: it is down. Start it instead")
        execute(["nsenter", "-t", str(before), "-a", "systemctl", "reboot"], check=False)

        def rebooted() -> bool:
            now = self.pid()
            return now is not None and now != before

        wait_until(rebooted, timeout=timeout, what=f"{self.name} to reboot")

    def destroy(self) -> None:
        """Cut the power, drop the disk and remove the cgroup."""
        self.kill()
        cgroup.remove(self.name)
        mounts.remove_tree(self.directory)

    def copy_disk_to(self, other: Machine) -> None:
        """Give *other*, which has no disk yet, a copy of this host's disk. Raises LabError while this one runs."""
        if self.is_running():
            raise LabError(f"copy the disk of {self.name}: it is running. Stop it first")
        unfinished = other.directory.with_name(f"{other.directory.name}.copy")
        unfinished.mkdir(parents=True)
        for part in ("upper", "docker", "containerd"):
            execute(["cp", "--archive", "--reflink=auto", str(self.directory / part), str(unfinished)])
        unfinished.rename(other.directory)

    def wait_for_boot(self, timeout: float = 90) -> None:
        """Return when the host accepts ssh. Raises LabError with the end of its console after *timeout* seconds."""
        end = time.monotonic() + timeout
        while True:
            pid = self.pid()
            if pid is not None and Path(f"/proc/{pid}/root/run/sshd.pid").exists():
                return
            running = self.is_running()
            if time.monotonic() > end or not running:
                console = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
                cause = f"it is not up after {timeout:g} s" if running else "it went down again"
                raise LabError(f"boot {self.name}: {cause}. The end of its console:\n{console}")
            time.sleep(0.03)


def traces(prefix: str) -> list[Path]:
    """Return what systemd-nspawn has left of killed machines whose names begin with *prefix*."""
    return sorted((NSPAWN_RUNTIME / "propagate").glob(f"{prefix}*"))


def remove_traces(name: str, root: Path) -> None:
    """Remove what systemd-nspawn has left of the killed machine *name*, whose disk is mounted at *root*."""
    shutil.rmtree(NSPAWN_RUNTIME / "propagate" / name, ignore_errors=True)
    if root.exists():
        status = root.stat()
        (NSPAWN_RUNTIME / "locks" / f"inode-{status.st_dev}:{status.st_ino}").unlink(missing_ok=True)
    root.with_name(f".#{root.name}.lck").unlink(missing_ok=True)
