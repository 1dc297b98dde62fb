# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges a lab after a fault: what must never be, and what must not be when the operation is done."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from faults.operations import Operation
from faults.scene import Scene
from helpers.backup import DIRECTORY, WORK_FOLDERS, archives, is_healthy, modules
from helpers.escrow import fitting_keys

from quorate_lab import Host
from quorate_lab.errors import LabError

#: Where a module, a role or Ansible may have put a file for a while.
_PLACES = "/root /tmp /var/tmp /var/backups /dev/shm"
_SECRET = "SWMKEY-1-[A-Za-z0-9+/]{43}|SWMTKN-1-[a-z0-9]{50}"

UNHEALTHY = "see no healthy swarm"


def busy(scene: Scene) -> list[str]:
    """What goes on by itself on the hosts: modules, the dead man's switch, engines that start."""
    return [what for host in scene.hosts for what in _busy(host)]


def _busy(host: Host) -> Iterator[str]:
    if not host.pid:
        yield f"{host.name} is down"
        return
    for pid in modules(host):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            waits = Path(f"/proc/{pid}/wchan").read_text()
            yield f"a module runs on {host.name} ({words}, in {waits})"
    # one command, because this is asked again and again
    shown = host.run(
        "systemctl show --property=ActiveState --value docker.service;"
        "systemctl list-units --all --plain --no-legend 'quorate-swarm*'"
    ).stdout.splitlines()
    for unit in shown[1:]:
        yield f"{unit.split()[0]} is loaded on {host.name}"
    if shown[0] != "active":
        yield f"the engine of {host.name} is {shown[0]}"


def violations(scene: Scene, *, archives_too: bool) -> list[str]:
    """What must not be at any time: lost writes, lost keys, archives that are none (which takes some seconds to see)."""
    found = []
    with suppress(LabError):
        lost = scene.writer.lost(scene.manager())
        if lost:
            found.append(f"{len(lost)} of {len(scene.writer.acknowledged)} acknowledged writes are lost: {lost[:5]}")
    keys = scene.keys()
    for host in scene.hosts:
        if _is_sealed(host) and not fitting_keys(host, keys):
            found.append(f"none of the keys that are kept opens {host.name}")
    if archives_too:
        found += [problem for host in scene.hosts for problem in _bad_archives(scene, host)]
    return found


def _is_sealed(host: Host) -> bool | None:
    """Whether the key file of a manager needs an unlock key; None where there is none.

    A manager that was demoted loses the key of its raft store from it first, and the seal later.
    """
    key_file = host.docker_directory / "swarm/certificates/swarm-node.key"
    if not key_file.exists():
        return None
    pem = key_file.read_text()
    if "ENCRYPTED" not in pem:
        return False
    return True if "raft-dek: " in pem else None


def _bad_archives(scene: Scene, host: Host) -> Iterator[str]:
    """Whatever has the name of an archive must be one, as the collection says and as it is without it."""
    named = [path for path in archives(host) if not Path(path).name.startswith(".")] if host.pid else []
    named = [path for path in named if path.endswith(".tar.gz")]
    if not named:
        return
    result = scene.runner.module(scene.lab, host.name, "swarm_backup_info", level="raft", unlock_keys=scene.keys())
    judged = {archive["path"]: archive for archive in result.get("archives", [])}
    for path in named:
        if not judged.get(path, {}).get("good"):
            yield f"{path} on {host.name} is not good: {judged.get(path, result).get('problem')}"
        wrong = wrong_archive(host.disk / path.lstrip("/"))
        if wrong:
            yield f"{path} on {host.name}: {wrong}"


def wrong_archive(path: Path) -> str:
    """What is wrong with an archive, without the collection: every file of its manifest is in it, with that checksum."""
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream) as archive:
            contents = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
            digests = {name: hashlib.sha256(file.read()).hexdigest() for name, file in contents.items() if file}
            manifest = json.loads(archive.extractfile("manifest.json").read())  # type: ignore[union-attr]
    except (OSError, EOFError, tarfile.TarError, KeyError, ValueError) as error:
        return f"it cannot be read ({error})"
    differ = [name for name, facts in manifest["files"].items() if digests.get(name) != facts["sha256"]]
    keys = [name for name in manifest["files"] if name.endswith("swarm-node.key")]
    return f"{differ} differ from the manifest" if differ else "" if keys else "it has no key file"


def unfinished(scene: Scene, operation: Operation) -> list[str]:
    """What must not be when the operation is done, and may be before it was run again."""
    found = busy(scene)
    for state, words in (("locked", "locked"), ("inactive", "in no swarm")):
        names = [host.name for host in scene.in_state(state)]
        found += [f"{', '.join(names)}: {words}"] if names else []
    unhealthy = [host.name for host in scene.hosts if host.pid and not is_healthy(host)]
    found += [f"{', '.join(unhealthy)} {UNHEALTHY}"] if unhealthy else []
    for host in scene.hosts:
        if host.pid:
            found += _left(host)
    with suppress(LabError, OSError, AssertionError):
        found += operation.missing(scene)
    return found


def _left(host: Host) -> Iterator[str]:
    places = (
        f"{WORK_FOLDERS} /var/lib/docker/swarm.discarded-* /var/lib/docker/swarm.settings* {DIRECTORY}/.*.partial "
        "/tmp/quorate-swarm-* /var/tmp/quorate-swarm-*/* /root/.ansible/tmp/*"
    )
    left, dummy, secret = host.run(
        f"ls -d {places} 2>/dev/null; echo :; grep -rlE '{_SECRET}' {_PLACES} 2>/dev/null || true"
    ).stdout.partition(":\n")
    yield from (f"{path} is left on {host.name}" for path in left.split())
    yield from (f"{path} on {host.name} holds a secret" for path in secret.split())
    if _is_sealed(host) is False:
        yield f"the key file of {host.name} is not sealed"
