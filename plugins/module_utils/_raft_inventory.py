# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how the content of a raft store is told, and held against what a manifest or the Engine API says. Pure.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive
from ansible_collections.quorate.swarm.plugins.module_utils._model import Inventory, host_of
from ansible_collections.quorate.swarm.plugins.module_utils._raft_store import RaftContents, RaftPosition

Told = t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]

_POSITION = {
    "term": "the raft term",
    "commit_index": "the commit index",
    "last_index": "the last entry",
    "snapshot_index": "the snapshot",
}


def position_facts(position: RaftPosition) -> dict[str, int]:
    """How far a raft store has come, as it stands in a manifest."""
    return {name: getattr(position, name) for name in _POSITION}


def inventory_of_store(contents: RaftContents, *, sizes: bool = False) -> dict[str, list[dict[str, t.Any]]]:
    """What the swarm in a raft store consists of, as an inventory of the Engine API tells it, each kind by ID.

    Args:
        contents: The store.
        sizes: Tell the bytes of each secret and config as well.
    """
    addresses = {member.node_id: host_of(member.address) for member in contents.members}
    inventory: dict[str, list[dict[str, t.Any]]] = {
        kind: [
            {
                "id": found.id,
                "name": found.name,
                "version": found.version,
                **({"size": found.facts["size"]} if sizes and "size" in found.facts else {}),
            }
            for found in contents.of_kind(kind)
        ]
        for kind in Inventory.KINDS
    }
    inventory["nodes"] = [
        {
            "id": found.id,
            "hostname": found.name,
            "role": found.facts["role"],
            "address": addresses.get(found.id, found.facts["address"]),
            "version": found.version,
        }
        for found in contents.of_kind("nodes")
    ]
    return inventory


def uncommitted_facts(contents: RaftContents) -> list[dict[str, t.Any]]:
    """The changes that a forced new cluster would lose."""
    return [
        {
            "action": change.action,
            "kind": change.object.kind,
            "id": change.object.id,
            "name": change.object.name,
            "version": change.object.version,
        }
        for change in contents.uncommitted
    ]


def manifest_problems(manifest: t.Mapping[str, t.Any], contents: RaftContents) -> list[str]:
    """Hold a raft store against the manifest that was written beside it.

    Only this finds a log whose tail was zeroed from a frame border on: to whoever reads it, it is a shorter log.
    """
    position = position_facts(contents.position)
    problems = [
        f"{text} is {position[name]}, and {manifest['raft'][name]} by the manifest"
        for name, text in _POSITION.items()
        if position[name] != manifest["raft"][name]
    ]
    found = inventory_of_store(contents)
    for kind in Inventory.KINDS:
        versions = {entry["id"]: entry["version"] for entry in found[kind]}
        for entry in manifest["inventory"][kind]:
            expected = entry.get("version")
            if entry["id"] not in versions:
                problems.append(f"{_name(kind, entry)} of the manifest is not in it")
            elif expected is not None and versions[entry["id"]] != expected:
                problems.append(
                    f"{_name(kind, entry)} has version {versions[entry['id']]}, and {expected} by the manifest"
                )
    return problems


def require_manifest(manifest: t.Mapping[str, t.Any], contents: RaftContents, *, attempted: str) -> None:
    """Insist that a raft store is the one that its manifest describes.

    Raises:
        BadArchive: It is not, with every difference.
    """
    problems = manifest_problems(manifest, contents)
    if problems:
        raise BadArchive(
            attempted,
            f"its raft store is not what its manifest says: {'; '.join(problems)}",
            "A part of it was lost or replaced; use another archive",
            problems=problems,
        )


def live_problems(contents: RaftContents, before: Told, after: Told | None) -> list[str]:
    """Hold a raft store that was copied against what the Engine API said before and after.

    What was there before and after has to be in the copy, in a version between the two. What came or went meanwhile may
    be in it or not.

    Args:
        contents: The store of the copy.
        before: Inventory before the copy.
        after: Inventory after it; None when the API could not be asked.
    """
    problems = []
    found = inventory_of_store(contents)
    for kind in Inventory.KINDS:
        copied = {entry["id"]: entry["version"] for entry in found[kind]}
        later = {entry["id"]: entry for entry in (before if after is None else after)[kind]}
        for entry in before[kind]:
            if entry["id"] not in later:
                continue
            version, least = copied.get(entry["id"]), entry.get("version", 0)
            most = later[entry["id"]].get("version") if after is not None else None
            if version is None:
                problems.append(f"{_name(kind, entry)} is not in it")
            elif version < least:
                problems.append(f"{_name(kind, entry)} is in it in version {version}, the swarm was at {least} before")
            elif most is not None and version > most:
                problems.append(f"{_name(kind, entry)} is in it in version {version}, the swarm is at {most} now")
    return problems


def _name(kind: str, entry: t.Mapping[str, t.Any]) -> str:
    return f"the {kind[:-1]} {entry.get('name') or entry.get('hostname') or ''} ({entry['id']})".replace("  ", " ")
