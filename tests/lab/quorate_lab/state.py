# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows the files of a lab: where they are, what is remembered between commands, and the lock between commands."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .errors import LabError
from .process import execute

DEFAULT_HOME = "/var/lib/quorate-lab"


@dataclass
class HostState:
    """What is remembered of one host."""

    address: str
    engine: str


@dataclass
class LabState:
    """What is remembered of one lab. *complete* is false while `up` has not reached its end."""

    subnet: str
    engine: str
    complete: bool = False
    unlock_key: str | None = None
    hosts: dict[str, HostState] = field(default_factory=dict)


def home() -> Path:
    """Return the work folder of all labs: $QUORATE_LAB_HOME, else /var/lib/quorate-lab."""
    return Path(os.environ.get("QUORATE_LAB_HOME") or DEFAULT_HOME).resolve()


class Files:
    """The files of the lab with this *prefix* below the work folder."""

    def __init__(self, prefix: str) -> None:
        # no hyphen, so that PREFIX-HOST never belongs to two labs; short, because interface names are
        if not re.fullmatch(r"[a-z][a-z0-9]{0,9}", prefix):
            raise LabError(f"lab prefix {prefix!r}: use at most 10 lower case letters and digits, a letter first")
        self.prefix = prefix
        self.home = home()
        self.directory = self.home / "labs" / prefix
        self.hosts = self.directory / "hosts"
        self.key = self.directory / "ssh_key"
        self._state = self.directory / "lab.json"
        self._lock = self.home / "labs" / f"{prefix}.lock"

    def host(self, name: str) -> Path:
        """Return the directory with the disk of host *name*."""
        return self.hosts / name

    def control_socket(self, name: str) -> Path:
        """Return the path of the socket through which ssh connections to host *name* are shared."""
        return self.directory / "ssh" / name

    def load(self) -> LabState | None:
        """Return what is remembered of the lab, None when there is none (or a command was killed before it wrote)."""
        try:
            raw = json.loads(self._state.read_text())
        except FileNotFoundError:
            return None
        raw["hosts"] = {name: HostState(**host) for name, host in raw["hosts"].items()}
        return LabState(**raw)

    def save(self, state: LabState) -> None:
        """Remember *state*; the file holds the unlock key and is readable by its owner only."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._state.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(dataclasses.asdict(state), file, indent=1)
        new.rename(self._state)

    def others(self) -> dict[str, LabState]:
        """Return what is remembered of all other labs, by prefix."""
        found = {}
        for path in (self.home / "labs").glob("*/lab.json"):
            if path.parent != self.directory and (state := Files(path.parent.name).load()):
                found[path.parent.name] = state
        return found

    def public_key(self) -> str:
        """Return the public half of the lab's ssh key, made when there is none."""
        if not self.key.with_suffix(".pub").exists():
            self.key.unlink(missing_ok=True)
            self.control_socket("").mkdir(mode=0o700, parents=True, exist_ok=True)
            execute(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab {self.prefix}", "-f", str(self.key)])
        return self.key.with_suffix(".pub").read_text()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock of the lab; commands that change which hosts there are wait for each other.

        The lock file goes when there is no lab afterwards.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with self._lock.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                try:
                    if not os.path.samestat(os.fstat(file.fileno()), self._lock.stat()):
                        continue  # removed by the one who had it before
                except FileNotFoundError:
                    continue
                try:
                    yield
                finally:
                    if not self.directory.exists():
                        self._lock.unlink(missing_ok=True)
                return
