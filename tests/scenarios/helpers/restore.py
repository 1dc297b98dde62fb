# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the scenarios of a restore need: a swarm worth losing, what makes it the same one again, what a host looks like
byte by byte, and archives that were changed on purpose."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from quorate_lab import Host

from .backup import KINDS, ask, inventory_of, nodes

STATE = "/var/lib/docker/swarm"
MANIFEST = "manifest.json"
UNITS = ("docker.service", "docker.socket")

#: A member of an archive: its header and, of a file, its content.
Member = tuple[tarfile.TarInfo, bytes]


# -- swarms ----------------------------------------------------------------------------------------------------------


def local(host: Host) -> dict[str, Any]:
    """What the engine of *host* says of its own membership."""
    answer: dict[str, Any] = ask(host, "GET", "/info")["Swarm"]
    return answer


def identity(manager: Host) -> dict[str, Any]:
    """All that must be the same after a restore. Of the join tokens only a digest, which is made inside the host."""
    swarm = ask(manager, "GET", "/swarm")
    tokens = {
        f"{role} token": manager.run(f"docker swarm join-token -q {role} | sha256sum").stdout
        for role in ("manager", "worker")
    }
    inventory = inventory_of(manager)
    return {
        "cluster ID": swarm["ID"],
        "root CA": swarm["TLSInfo"]["TrustRoot"],
        "autolock": swarm["Spec"]["EncryptionConfig"]["AutoLockManagers"],
        **tokens,
        **{kind: inventory[kind] for kind in KINDS},
    }


def knows_of_loss(host: Host) -> bool:
    """Whether a manager has noticed that the quorum is lost: it has begun an election since, which nobody wins."""
    status, answer = host.api("GET", "/info", timeout=60)
    return status == 200 and "does not have a leader" in answer["Swarm"]["Error"]


def managers(manager: Host) -> set[str]:
    """Host names of the managers that are reachable, the leader included; none while there is no leader."""
    try:
        standings = nodes(manager)
    except (AssertionError, OSError):
        return set()
    return {name for name, standing in standings.items() if standing in ("leader", "reachable")}


def unlock_key_digest(manager: Host) -> str:
    """SHA-256 of the current unlock key, for comparing without showing."""
    return hashlib.sha256(ask(manager, "GET", "/swarm/unlockkey")["UnlockKey"].encode()).hexdigest()


def running_tasks(manager: Host, node: str) -> set[str]:
    """IDs of the tasks that run on a node, which is given by its ID."""
    filters = json.dumps({"node": [node], "desired-state": ["running"]}, separators=(",", ":"))
    tasks = ask(manager, "GET", f"/tasks?filters={filters}")
    return {task["ID"] for task in tasks if task["Status"]["State"] == "running"}


def engine_off(host: Host) -> None:
    host.run(["systemctl", "stop", *reversed(UNITS)])


def engine_on(host: Host) -> None:
    host.run(["systemctl", "reset-failed", *UNITS])
    host.run(["systemctl", "start", "docker.service"])


def unlock(host: Host, key: str) -> None:
    """Unlock a locked manager as an operator does."""
    host.run(["docker", "swarm", "unlock"], input=f"{key}\n")


# -- what a host looks like ------------------------------------------------------------------------------------------


def snapshot(host: Host, *, live: bool = False) -> dict[str, Any]:
    """All that a refused restore must leave as it is: the state directory to the byte, what lies beside it, the units.

    With *live* the engine runs and writes to its raft store and its task database, which are left out then.
    """
    return {
        "state directory": entries(host.docker_directory / "swarm", live=live),
        "beside it": sorted(os.listdir(host.docker_directory)),
        "units": host.run(
            ["systemctl", "show", "--property=Id,ActiveState,ActiveEnterTimestampMonotonic", *UNITS]
        ).stdout,
        "switch": switch(host),
    }


def entries(top: Path, *, live: bool = False) -> dict[str, str]:
    """Type, mode, owner and digest of all that is in a directory, itself included. *live*: see snapshot()."""
    found = {}
    for path in (top, *sorted(top.rglob("*"))):
        name = path.relative_to(top).as_posix()
        if live and name.split("/")[0] in ("raft", "worker"):
            continue
        facts = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(facts.st_mode) else ""
        found[name] = f"{facts.st_mode:o} {facts.st_uid}:{facts.st_gid} {digest}"
    return found


def switch(host: Host) -> str:
    """The dead man's switch, or an empty text when it is not armed."""
    return host.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "quorate-swarm-*"]).stdout


def leftovers(host: Host) -> list[str]:
    """What a restore made beside the state directory and has not removed; quarantines count."""
    return [name for name in os.listdir(host.docker_directory) if "swarm" in name and name != "swarm"]


# -- archives --------------------------------------------------------------------------------------------------------


def read_manifest(archive: Path) -> dict[str, Any]:
    """The manifest, read without any code of the collection."""
    with tarfile.open(archive) as tar:
        manifest: dict[str, Any] = json.load(tar.extractfile(MANIFEST))  # type: ignore[arg-type]
    return manifest


def unpack(archive: Path) -> list[Member]:
    """The members of an archive, the manifest first."""
    with tarfile.open(archive) as tar:
        return [(info, file.read() if (file := tar.extractfile(info)) else b"") for info in tar]


def pack(members: Sequence[Member], archive: Path) -> None:
    with tarfile.open(archive, "w:gz", compresslevel=1, format=tarfile.GNU_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))


def file_member(name: str, content: bytes, mode: int = 0o600) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    return info, content


def special_member(name: str, kind: bytes, target: str = "") -> Member:
    """A member that is no plain file, such as a link to *target*."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def without_manifest(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if member[0].name != MANIFEST]


def with_manifest(members: Sequence[Member], change: Callable[[dict[str, Any]], object]) -> list[Member]:
    """The same members with another manifest; *change* edits it in place."""
    (first, content), *rest = members
    assert first.name == MANIFEST
    manifest = json.loads(content)
    change(manifest)
    return [file_member(MANIFEST, json.dumps(manifest).encode()), *rest]


def with_file(members: Sequence[Member], name: str, content: bytes) -> list[Member]:
    """The same members with another content of one file, and a manifest that agrees with it."""
    facts = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    changed = with_manifest(members, lambda manifest: manifest["files"][name].update(facts))
    return [file_member(name, content) if info.name == name else (info, old) for info, old in changed]


def give(archive: Path, host: Host, name: str = "archive.tar.gz") -> str:
    """Copy an archive to *host* and return its path there."""
    (host.disk / "root" / name).write_bytes(archive.read_bytes())
    return f"/root/{name}"


def fetch(host: Host, path: str, directory: Path) -> Path:
    """Copy an archive from *host* to *directory* and return its path here."""
    copy = directory / Path(path).name
    copy.write_bytes((host.disk / path.lstrip("/")).read_bytes())
    return copy
