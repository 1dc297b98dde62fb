# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how an archive is kept in a restic repository, read back, and retired. The only file that runs restic.

The repository, its password and the credentials of its backend are in the environment of restic, never in its arguments.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import posixpath
import subprocess
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._copies import KEEP, without_credentials
from ansible_collections.quorate.swarm.plugins.module_utils._errors import CopyFailed, Refused, SwarmError
from ansible_collections.quorate.swarm.plugins.module_utils._manifest import cluster_of_name, time_of_name
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

#: What all snapshots of archives bear.
TAG = "quorate-swarm"

_CHUNK = 1 << 20
#: Seconds to wait while another restic holds the lock. Several swarms may be stored at the same time.
_LOCK_WAIT = 300
_VARIABLES = {
    "repository": "RESTIC_REPOSITORY",
    "repository_file": "RESTIC_REPOSITORY_FILE",
    "password": "RESTIC_PASSWORD",
    "password_file": "RESTIC_PASSWORD_FILE",
}


class _InUse(SwarmError):
    """Another restic holds the lock of the repository; it is worth waiting for."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """An archive in a repository.

    Attributes:
        id: ID of the snapshot.
        name: File name of the archive.
    """

    id: str
    name: str

    @property
    def created(self) -> str:
        """When the archive was made, by its name."""
        return time_of_name(self.name) or ""

    def as_dict(self) -> dict[str, str]:
        return {"snapshot": self.id, "name": self.name, "created": self.created}


def environment_of(params: t.Mapping[str, t.Any], environment: t.Mapping[str, str]) -> dict[str, str]:
    """The environment of restic.

    Args:
        params: The module's parameters, RESTIC_ARGUMENTS of _argspec.py.
        environment: The process environment.

    Raises:
        Refused: The repository has a password in its address, which would be logged.
    """
    repository = params["repository"] or ""
    if without_credentials(repository) != repository:
        raise Refused(
            "use the restic repository",
            "its address has a password in it, which would be shown",
            "Give the address in repository_file, or as RESTIC_REPOSITORY in environment",
        )
    given = {variable: params[option] for option, variable in _VARIABLES.items() if params[option]}
    more = {name: str(value) for name, value in (params["environment"] or {}).items()}
    # restic keeps the time zone of a snapshot, and its rules of retention go by it.
    return {**environment, "LC_ALL": "C.UTF-8", "TZ": "UTC", **given, **more}


def snapshots_of(text: str, cluster: str) -> list[Snapshot]:
    """Archives by what C(restic snapshots --json) prints, newest first.

    Args:
        text: What it printed.
        cluster: Cluster ID of the swarm; empty for all swarms.
    """
    found = []
    for entry in json.loads(text) or ():
        for path in entry.get("paths") or ():
            name = posixpath.basename(path)
            if time_of_name(name) and (not cluster or cluster_of_name(name) == cluster):
                found.append(Snapshot(id=entry["id"], name=name))
    return sorted(found, key=lambda snapshot: (snapshot.created, snapshot.name), reverse=True)


def removed_by(text: str) -> list[str]:
    """IDs of the snapshots that C(restic forget --json) says it removed."""
    removed: list[str] = []
    for line in text.splitlines():
        # Beside its one line of JSON it prints lines for people, such as "[0:00] 100.00%" of the pruning.
        if line.startswith("[{"):
            removed += [entry["id"] for group in json.loads(line) for entry in group.get("remove") or ()]
    return removed


def failure(verb: str, status: int, message: str) -> SwarmError:
    """Name what it means that restic ended with this status and this message.

    Args:
        verb: What was asked of restic.
        status: Its exit status.
        message: What it printed on standard error.
    """
    text = without_credentials(" ".join(message.split()))
    low = text.lower()
    if "already locked" in low or status == 11:
        return _InUse(f"run restic {verb}", text, "")
    remedy = "Correct it, and run again"
    if "wrong password" in low or status == 12:
        remedy = "Give the password of this repository"
    elif "unable to open config file" in low or status == 10:
        remedy = "Correct the repository, or make it: run restic init, or set initialize to true"
    return CopyFailed(f"run restic {verb}", f"it ended with {status}: {text[-800:]}", remedy, status=status)


class Restic:
    """A repository of restic.

    Args:
        environment: Of environment_of().
        timeout: Seconds that each command may take.
    """

    def __init__(self, environment: t.Mapping[str, str], *, timeout: float) -> None:
        self._environment = dict(environment)
        self._timeout = timeout

    def require_repository(self, *, initialize: bool, check_mode: bool) -> bool:
        """See that the repository is there and opens, or make it. Returns whether it was made, or would be.

        Raises:
            CopyFailed: It is not there and shall not be made, or does not open.
        """
        try:
            self._run(["cat", "config"])
        except CopyFailed as error:
            if not initialize or "config file" not in error.cause:
                raise
            if not check_mode:
                self._run(["init"])
            return True
        return False

    def snapshots(self, cluster: str = "") -> list[Snapshot]:
        """The archives in the repository, of one swarm or of all, newest first."""
        return snapshots_of(self._run(["snapshots", "--json", "--tag", TAG]), cluster)

    def store(self, archive: Path) -> Snapshot:
        """Store an archive that has the name of one.

        Returns: the snapshot, as the repository lists it afterwards.
        """
        created = (time_of_name(archive.name) or "").replace("T", " ").rstrip("Z")
        cluster = cluster_of_name(archive.name) or ""
        tags = f"{TAG},{_tag_of(cluster)}"
        # By a relative path the archive lies at the top of the snapshot, wherever it was on this host.
        self._run(["backup", "--quiet", "--time", created, "--tag", tags, archive.name], directory=archive.parent)
        for snapshot in self.snapshots(cluster):
            if snapshot.name == archive.name:
                return snapshot
        raise CopyFailed(
            f"find {archive.name} in the repository", "restic does not list the snapshot it made", "Run restic check"
        )

    def read(self, snapshot: Snapshot, target: t.IO[bytes] | None = None) -> tuple[int, str]:
        """Read an archive out of the repository, all of it, and write it to a file if one is given.

        Returns: its size in bytes, and its hexadecimal SHA-256.
        """
        digest, size = hashlib.sha256(), 0
        command = ["dump", snapshot.id, f"/{snapshot.name}"]
        with tempfile.TemporaryFile() as errors, self._start(command, stderr=errors) as process:
            stream = t.cast(t.IO[bytes], process.stdout)
            for chunk in iter(lambda: stream.read(_CHUNK), b""):
                digest.update(chunk)
                size += len(chunk)
                if target:
                    target.write(chunk)
            if process.wait():
                errors.seek(0)
                raise failure("dump", process.returncode, errors.read().decode(errors="replace"))
        return size, digest.hexdigest()

    def forget(self, archive: str, keep: t.Mapping[str, int], *, prune: bool) -> list[str]:
        """Forget archives of the swarm of this one that no rule keeps, and free their room.

        Returns: the IDs of their snapshots.
        """
        rules = [word for name in KEEP if name in keep for word in (f"--{name.replace('_', '-')}", str(keep[name]))]
        tags = f"{TAG},{_tag_of(cluster_of_name(archive) or '')}"
        # All archives of the swarm are one group, whichever of its managers and under whichever path they were stored.
        command = ["forget", "--json", "--tag", tags, "--group-by", "", *rules, *(["--prune"] if prune else [])]
        return removed_by(self._run(command))

    def _run(self, command: t.Sequence[str], *, directory: Path | None = None) -> str:
        """Run restic and return what it printed; while another one holds the lock of the repository, wait."""
        return wait_for(
            lambda: self._once(command, directory),
            lambda answer: True,
            attempted=f"run restic {command[0]}",
            timeout=min(self._timeout, _LOCK_WAIT),
            sleep=5,
            tolerate=(_InUse,),
            remedy="If no other restic is running, run restic unlock",
        )

    def _once(self, command: t.Sequence[str], directory: Path | None) -> str:
        with self._start(command, stderr=subprocess.PIPE, directory=directory) as process:
            try:
                out, err = process.communicate(timeout=self._timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise CopyFailed(
                    f"run restic {command[0]}",
                    f"it did not end within {self._timeout:g} s",
                    "See that its backend answers without asking for anything, or give more time by timeout",
                ) from None
        if process.returncode:
            raise failure(command[0], process.returncode, err.decode(errors="replace"))
        return str(out.decode(errors="replace"))

    def _start(
        self, command: t.Sequence[str], *, stderr: t.Any, directory: Path | None = None
    ) -> subprocess.Popen[bytes]:
        try:
            # run_command() waits for the end.
            return subprocess.Popen(  # pylint: disable=ansible-bad-function
                ["restic", *command],
                cwd=directory or os.sep,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        except OSError as error:
            raise CopyFailed(f"run restic {command[0]}", str(error), "Install restic on this host") from error


def _tag_of(cluster: str) -> str:
    return f"swarm={cluster}"
