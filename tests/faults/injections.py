# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows what may happen, how it is made to happen in a lab, and how long it lasts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import ClassVar

from faults.scene import Scene
from helpers.backup import DIRECTORY, wait_until_healthy
from helpers.runner import AnsibleRun, kill_ansible

from quorate_lab import Host
from quorate_lab.process import execute, in_parallel

#: Seconds of a network cut.
_CUT = 8
#: Bytes of a small file system for the state directory: more than the 256 MiB that an operation leaves free.
_SMALL = 700 << 20
#: Where a host has what shifts the clock of its Python.
_CLOCK = "/run/quorate-clock"
_SHIFTED_CLOCK = f"""
import time

now, gmtime, localtime, strftime = time.time, time.gmtime, time.localtime, time.strftime


def shifted():
    with open("{_CLOCK}/offset") as offset:
        return now() + float(offset.read())


time.time = shifted
time.time_ns = lambda: int(shifted() * 1e9)
time.gmtime = lambda seconds=None: gmtime(shifted() if seconds is None else seconds)
time.localtime = lambda seconds=None: localtime(shifted() if seconds is None else seconds)
time.strftime = lambda form, moment=None: strftime(form, time.localtime() if moment is None else moment)
"""


class TooLate(Exception):
    """The operation was over before the fault came; the case is repeated without a delay."""


@dataclass
class Hit:
    """Where an operation is when the fault comes.

    Attributes:
        host: The host that is hit.
        pid: The module that runs there, as the host counts; 0 when the controller halts.
        hosts: All hosts on which the operation may work.
        run: The run of the playbook.
        release: Lets go on what halts.
    """

    scene: Scene
    host: Host
    pid: int
    hosts: list[Host]
    run: Future[AnsibleRun]
    release: Callable[[], None]
    random: Random


class Fault:
    """A fault; what it does is nothing.

    Attributes:
        name: In the table and on the command line.
        text: What happens.
        environment: Of the modules, in the whole case.
    """

    name = ""
    text = ""
    environment: ClassVar[dict[str, str]] = {}

    def prepare(self, scene: Scene, hosts: list[Host]) -> None:
        """Make ready what the fault needs, before the operation begins."""

    def strike(self, hit: Hit) -> None:
        """Let it happen."""

    def pass_by(self, hit: Hit) -> None:
        """Called after the operation was let go on: let the fault end, waiting as long as it lasts."""


class KillModule(Fault):
    name = "kill_module"
    text = "the module process is killed (SIGKILL)"

    def strike(self, hit: Hit) -> None:
        if hit.host.run(["kill", "-KILL", str(hit.pid)], check=False).returncode:
            raise TooLate


class KillAnsible(Fault):
    name = "kill_ansible"
    text = "the controller dies: ansible-playbook and all its processes are killed (SIGKILL)"

    def strike(self, hit: Hit) -> None:
        kill_ansible(hit.scene.inventory)


class CutSsh(Fault):
    name = "cut_ssh"
    text = "the SSH connections of the host break off"

    def strike(self, hit: Hit) -> None:
        hit.host.run(["pkill", "-KILL", "-f", "^sshd.*: root@"], check=False)
        hit.host.forget_connections()


class CutPower(Fault):
    name = "cut_power"
    text = "the host loses its power and is booted again"

    def strike(self, hit: Hit) -> None:
        hit.host.kill()
        time.sleep(1)
        hit.host.start()


class KillEngine(Fault):
    name = "kill_engine"
    text = "dockerd of the host is killed (SIGKILL)"

    def strike(self, hit: Hit) -> None:
        if hit.host.run("kill -KILL $(pidof dockerd)", check=False).returncode:
            raise TooLate


class FillDisk(Fault):
    """A file system of one host is full until the run has ended; then somebody makes room."""

    directory = ""

    def _filler(self, host: Host) -> Path:
        return host.disk / self.directory.lstrip("/") / "filler"

    def strike(self, hit: Hit) -> None:
        with suppress(OSError), self._filler(hit.host).open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
                file.flush()

    def pass_by(self, hit: Hit) -> None:
        with suppress(Exception):
            hit.run.result(timeout=300)
        for host in hit.hosts:
            with suppress(OSError):
                self._filler(host).unlink(missing_ok=True)


class FillStateDisk(FillDisk):
    name = "fill_state_disk"
    text = "the file system of the state directory is full until the run has ended"
    directory = "/var/lib/docker"

    def prepare(self, scene: Scene, hosts: list[Host]) -> None:
        """Give each host a small disk for /var/lib/docker; the lab is not used for another case."""
        scene.stale = True
        in_parallel(self._make_small, hosts)
        locked = scene.in_state("locked")

        def unlock(host: Host) -> None:
            with suppress(OSError):
                host.api("POST", "/swarm/unlock", {"UnlockKey": scene.key}, timeout=60)

        if len(locked) > 1:
            in_parallel(unlock, locked)
            wait_until_healthy(locked[0], timeout=120)

    @staticmethod
    def _make_small(host: Host) -> None:
        host.stop()
        directory, kept = host.docker_directory, host.machine.directory / "docker.before"
        directory.rename(kept)
        directory.mkdir()
        disk = host.machine.directory / "docker.ext4"
        disk.touch()
        with disk.open("ab") as file:
            file.truncate(_SMALL)
        execute(["mkfs.ext4", "-q", "-F", str(disk)])
        execute(["mount", "-o", "loop", str(disk), str(directory)])
        shutil.rmtree(directory / "lost+found")
        execute(["cp", "--archive", f"{kept}/.", str(directory)])
        shutil.rmtree(kept)
        host.start()


class FillArchiveDisk(FillDisk):
    name = "fill_archive_disk"
    text = "the file system of the archives is full until the run has ended"
    directory = DIRECTORY

    def prepare(self, scene: Scene, hosts: list[Host]) -> None:
        for host in hosts:
            host.run(f"mkdir -p -m 700 {DIRECTORY} && mount -t tmpfs -o size=16m,mode=700 archives {DIRECTORY}")


class CutNetwork(Fault):
    name = "cut_network"
    text = f"the host and the other managers do not reach each other for {_CUT} s"

    def victim(self, hit: Hit) -> str:
        return hit.host.name

    def strike(self, hit: Hit) -> None:
        hit.scene.lab.partition([self.victim(hit)])

    def pass_by(self, hit: Hit) -> None:
        time.sleep(_CUT)
        hit.scene.lab.heal()


class CutLeader(CutNetwork):
    name = "cut_leader"
    text = f"the leader and the other managers do not reach each other for {_CUT} s"

    def victim(self, hit: Hit) -> str:
        return hit.scene.leader()


class JumpClock(Fault):
    """The hosts share the clock of their kernel, so it jumps for the modules alone: Python's own one, by sitecustomize."""

    name = "jump_clock"
    text = "the clock of the modules jumps by hours or days until the run has ended"
    environment: ClassVar[dict[str, str]] = {"PYTHONPATH": _CLOCK}

    def prepare(self, scene: Scene, hosts: list[Host]) -> None:
        for host in hosts:
            place = host.disk / _CLOCK.lstrip("/")
            place.mkdir(exist_ok=True)
            (place / "sitecustomize.py").write_text(_SHIFTED_CLOCK)
        self._jump(hosts, 0)

    def strike(self, hit: Hit) -> None:
        self._jump(hit.hosts, hit.random.choice([-50, -2, 2, 50]))

    def pass_by(self, hit: Hit) -> None:
        """Somebody sets the clock right when the run has ended."""
        with suppress(Exception):
            hit.run.result(timeout=300)
        self._jump(hit.hosts, 0)

    @staticmethod
    def _jump(hosts: list[Host], hours: int) -> None:
        for host in hosts:
            offset = host.disk / _CLOCK.lstrip("/") / "offset"
            new = offset.with_suffix(".new")
            new.write_text(str(hours * 3600))
            new.rename(offset)


class BackUpMeanwhile(Fault):
    name = "second_backup"
    text = "another backup of the host is started"

    def strike(self, hit: Hit) -> None:
        result = hit.scene.runner.module(
            hit.scene.lab, hit.host.name, "swarm_backup", directory=DIRECTORY, wait_timeout=20, settle_timeout=15
        )
        if result.get("failed") and not result.get("error"):
            raise AssertionError(f"the second backup failed without a reason: {result}")


class GiveWrongKey(Fault):
    name = "wrong_key"
    text = "it is given an unlock key of another swarm"


class TruncateArchive(Fault):
    name = "truncate_archive"
    text = "the archive on the host ends early"

    def strike(self, hit: Hit) -> None:
        (path,) = hit.host.run("ls /var/tmp/quorate-swarm-*/host-*/swarm_*.tar.gz").stdout.split()
        hit.host.run(f"truncate --size=$(($(stat --format=%s {path}) / 2)) {path}")


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        KillModule(),
        CutPower(),
        KillAnsible(),
        CutSsh(),
        KillEngine(),
        FillStateDisk(),
        FillArchiveDisk(),
        CutNetwork(),
        CutLeader(),
        JumpClock(),
        BackUpMeanwhile(),
        GiveWrongKey(),
        TruncateArchive(),
    )
}
