# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how an archive is verified, level by level, and what each level says of it.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import _archive, _node_key, _state_facts
from ansible_collections.quorate.swarm.plugins.module_utils._drill import Drill, folder_beside
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, SwarmError, WrongKey
from ansible_collections.quorate.swarm.plugins.module_utils._raft_inventory import (
    inventory_of_store,
    require_manifest,
    uncommitted_facts,
)
from ansible_collections.quorate.swarm.plugins.module_utils._reissue import Reissued, make_startable
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NODE_KEY

#: What each level adds to the one before it, in order.
LEVELS = ("manifest", "files", "raft", "boot")
#: What only a manifest could say.
_UNKNOWN = (
    "when it was made",
    "whether the engine was stopped while it was made",
    "whether its files are those that were copied, because there are no checksums of them",
    "whether the end of the raft log was lost at the border of a record",
)


@dataclasses.dataclass(frozen=True)
class Opened:
    """An archive that was read to its end, and extracted.

    Attributes:
        archive: What is in it.
        copy: The extracted state directory.
        facts: What that says, its raft store decoded.
        reissued: That the node certificate of the copy had expired and was issued again; None when it had not.
        unlock_key: What opens it; None without autolock.
    """

    archive: _archive.ArchiveFacts
    copy: Path
    facts: _state_facts.StateFacts
    reissued: Reissued | None
    unlock_key: bytes | None = dataclasses.field(repr=False)

    @property
    def manifest(self) -> dict[str, t.Any]:
        """Its manifest, or without one, what its state directory says instead."""
        return self.archive.manifest or _state_facts.manifest_of(self.facts, unlock_key=self.unlock_key)

    @property
    def warnings(self) -> list[str]:
        """What is no damage, but worth a word."""
        if self.reissued is None:
            return []
        return [f"its node certificate expired at {self.reissued.expired}: a restore has to issue it again"]


def contents_of(path: Path, *, level: str, unlock_keys: t.Sequence[bytes], folder: Path) -> dict[str, t.Any]:
    """Verify an archive at the level C(files) or C(raft), and tell what that level knows of it.

    Args:
        path: The archive, also one that somebody made with tar.
        level: One of LEVELS.
        unlock_keys: Unlock keys, one of which may open it.
        folder: A private folder on a file system with room for its state, for the level C(raft).

    Raises:
        BadArchive: It is not good.
        WrongKey: It is sealed, and none of the keys opens it, so its content is not known.
        MissingLibrary: A library that is needed is not installed.
    """
    if level == "files":
        archive = _archive.verify(path, allow_missing_manifest=True)
        return {"manifest": archive.manifest, **({} if archive.manifest else {"unknown": list(_UNKNOWN)})}
    with opened(path, unlock_keys=unlock_keys, folder=folder) as found:
        return _told(found)


def boot(path: Path, *, unlock_keys: t.Sequence[bytes], place: StateDir, wait_timeout: int) -> dict[str, t.Any]:
    """Verify an archive at the level C(boot): let its swarm come back, and tell what came, beside what C(raft) tells.

    Args:
        path: The archive, also one that somebody made with tar.
        unlock_keys: Unlock keys, one of which may open it.
        place: A state directory, beside which a private folder is made.
        wait_timeout: Seconds for each wait.

    Raises:
        SwarmError: As contents_of() does; or the swarm does not come back.
    """
    with folder_beside(place) as folder, opened(path, unlock_keys=unlock_keys, folder=folder) as found:
        told = _told(found)
        drill = Drill(
            found.copy,
            found.facts,
            unlock_key=found.unlock_key,
            hostname=found.manifest["node"]["hostname"],
            folder=folder,
            wait_timeout=wait_timeout,
        )
        reissued = dataclasses.asdict(found.reissued) if found.reissued else None
        return {**told, "boot": {**drill.run(), "certificate_reissued": reissued}}


def _told(found: Opened) -> dict[str, t.Any]:
    """What the level C(raft) knows."""
    facts, contents = found.facts, found.facts.contents
    if contents is None:
        raise BadArchive(
            f"verify the archive {found.archive.path}", "it holds the state of a worker", "Use one of a manager"
        )
    return {
        "manifest": found.manifest,
        "unknown": [] if found.archive.manifest else list(_UNKNOWN),
        "inventory": inventory_of_store(contents, sizes=True),
        "managers": [{"id": member.node_id, "address": member.address} for member in contents.members],
        "uncommitted": uncommitted_facts(contents),
        "unlock_key_is_current": facts.key_is_current,
        "restorable_until": facts.root_ca_expires if contents.cluster.root_ca_key else facts.certificate_expires,
        "warnings": [*facts.warnings, *found.warnings],
    }


@contextlib.contextmanager
def opened(path: Path, *, unlock_keys: t.Sequence[bytes], folder: Path) -> t.Iterator[Opened]:
    """Extract an archive, open every record of its raft store, and hold that against its manifest.

    The copy is removed at the end; nothing else than it is written.

    Raises:
        BadArchive, WrongKey, MissingLibrary: As contents_of() does.
    """
    work = Path(tempfile.mkdtemp(prefix="quorate-swarm-", dir=folder))
    try:
        archive = _archive.verify(path, allow_missing_manifest=True, room=shutil.disk_usage(work).free)
        copy = work / "swarm"
        _archive.extract(archive, copy)
        key = _fitting_key(path, archive, copy, unlock_keys)
        facts = _state_facts.read_state(copy, unlock_key=key, decode=True)
        facts, reissued = make_startable(copy, facts, unlock_key=key, allowed=True)
        if archive.manifest is not None and facts.contents is not None:
            require_manifest(archive.manifest, facts.contents, attempted=f"verify the archive {path}")
        yield Opened(archive=archive, copy=copy, facts=facts, reissued=reissued, unlock_key=key)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fitting_key(
    path: Path, archive: _archive.ArchiveFacts, copy: Path, unlock_keys: t.Sequence[bytes]
) -> bytes | None:
    """Choose the unlock key that opens the copy; None where none is needed."""
    try:
        node_key = _node_key.parse_node_key((copy / NODE_KEY).read_bytes())
    except SwarmError:
        return None  # told by whoever reads the state directory
    if not node_key.sealed:
        return None
    key = _node_key.first_that_opens(node_key, unlock_keys)
    if key is not None:
        return key
    fingerprint = (archive.manifest or {}).get("unlock_key_fingerprint")
    raise WrongKey(
        f"open the archive {path}",
        "its swarm is autolocked, and "
        + ("none of the given unlock keys opens it" if unlock_keys else "no unlock key was given"),
        f"Give the key {'with fingerprint ' + fingerprint + ' ' if fingerprint else ''}in unlock_keys",
        fingerprint=fingerprint,
    )
