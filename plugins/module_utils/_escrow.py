# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the escrow of unlock keys: what an entry is, how new knowledge is merged into the history, and which keys are
asked for. Pure.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils import _node_key
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadEscrow, WrongKey

SCHEMA = 1

_FIELDS = ("cluster_id", "fingerprint", "created", "retired", "key")
_CLUSTER_ID = re.compile(r"[a-z0-9]{25}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_READ = "read the escrow"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One unlock key of one swarm.

    Attributes:
        cluster_id: ID of the swarm.
        fingerprint: Fingerprint of the key, as manifests and reports have it.
        created: When the key was made, or when the escrow heard of it first; UTC, C(YYYY-MM-DDTHH:MM:SSZ).
        retired: Since when no manager needs it; None while one may. A retired key still opens old archives.
        key: The key, as docker swarm unlock-key prints it.
    """

    cluster_id: str
    fingerprint: str
    created: str
    retired: str | None
    key: str = dataclasses.field(repr=False)


def load(text: str) -> list[Entry]:
    """Read the content of an escrow file, decrypted.

    Raises:
        BadEscrow: It is not what dump writes. Nothing of the content is repeated.
    """
    remedy = "Look at it with ansible-vault view, or take a copy from before somebody changed it"
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise BadEscrow(_READ, "its content is not JSON", remedy) from None
    if not isinstance(content, dict) or not isinstance(content.get("unlock_keys"), list):
        raise BadEscrow(_READ, "its content is no list of unlock keys", remedy)
    if content.get("schema") != SCHEMA:
        raise BadEscrow(
            _READ,
            f"its schema is not {SCHEMA}, the one that this version of the collection knows",
            "Use the version of quorate.swarm that wrote it, or a newer one",
        )
    return merge([], stored(content["unlock_keys"]))


def dump(entries: t.Iterable[Entry]) -> str:
    """Write the content of an escrow file, to be encrypted."""
    content = {"schema": SCHEMA, "unlock_keys": [dataclasses.asdict(entry) for entry in entries]}
    return json.dumps(content, indent=2) + "\n"


def stored(raws: t.Sequence[t.Any]) -> list[dict[str, t.Any]]:
    """Check entries as a store returns them: every field has to be there.

    Raises:
        BadEscrow: One is not complete.
    """
    for place, raw in enumerate(raws, 1):
        if not isinstance(raw, t.Mapping) or not raw.get("created") or "retired" not in raw:
            raise BadEscrow(
                f"{_READ}, entry {place} of {len(raws)}",
                "it has not all of cluster_id, fingerprint, created, retired and key",
                "A store has to return the entries as they were given to it",
                place=place,
            )
    return list(raws)


def merge(entries: t.Iterable[Entry], additions: t.Sequence[t.Mapping[str, t.Any]], *, now: str = "") -> list[Entry]:
    """Add what is known now to what the escrow holds. No key is ever dropped.

    A key that is there keeps its earliest time of creation. Its retirement follows the addition when that says something
    about it: a key that a restored swarm uses again is no longer retired.

    Args:
        entries: What the escrow holds.
        additions: Newest first. Each with C(cluster_id) and C(key), and possibly C(fingerprint), C(created) and C(retired).
        now: Time of creation of a key that comes without one.

    Returns: the entries, newest first, those that are not retired before the others.

    Raises:
        BadEscrow: An addition is not an entry; told by its place, never by its content.
    """
    merged = {(entry.cluster_id, entry.fingerprint): entry for entry in entries}
    for place, raw in reversed(list(enumerate(additions, 1))):
        new = _parse(raw, now=now, what=f"{_READ}, entry {place} of {len(additions)}")
        old = merged.pop((new.cluster_id, new.fingerprint), new)
        retired = new.retired if "retired" in raw else old.retired
        changed = dataclasses.replace(old, created=min(old.created, new.created), retired=retired)
        merged = {(new.cluster_id, new.fingerprint): changed, **merged}
    return sorted(merged.values(), key=lambda entry: (entry.retired is None, entry.created), reverse=True)


def select(entries: t.Iterable[Entry], *, cluster_id: str = "", fingerprint: str = "") -> list[Entry]:
    """The entries of a swarm, or with a fingerprint, or both; in their order."""
    return [
        entry for entry in entries if cluster_id in ("", entry.cluster_id) and fingerprint in ("", entry.fingerprint)
    ]


def _parse(raw: t.Mapping[str, t.Any], *, now: str, what: str) -> Entry:
    if not isinstance(raw, t.Mapping):
        raise BadEscrow(what, "it is not a dictionary")
    unknown = sorted(set(map(str, raw)) - set(_FIELDS))
    if unknown:
        raise BadEscrow(what, f"it has the unknown fields {', '.join(unknown)}", f"The fields are {', '.join(_FIELDS)}")
    cluster_id = str(raw.get("cluster_id") or "")
    if not _CLUSTER_ID.fullmatch(cluster_id):
        raise BadEscrow(what, "its cluster_id is not the ID of a swarm", "Take cluster_id from swarm_info")
    try:
        key = _node_key.parse_unlock_key(str(raw.get("key") or ""))
    except WrongKey as error:
        raise BadEscrow(what, f"the key is malformed: {error.cause}", error.remedy) from None
    fingerprint = _node_key.fingerprint(key)
    if raw.get("fingerprint") not in (None, "", fingerprint):
        raise BadEscrow(what, f"the fingerprint of its key is {fingerprint}, not the one that it names")
    return Entry(
        cluster_id=cluster_id,
        fingerprint=fingerprint,
        created=_time(raw.get("created") or now, what),
        retired=_time(raw["retired"], what) if raw.get("retired") else None,
        key=_node_key.unlock_key_text(key),
    )


def _time(value: t.Any, what: str) -> str:
    if not _TIME.fullmatch(str(value)):
        raise BadEscrow(what, "a time in it has not the form YYYY-MM-DDTHH:MM:SSZ")
    return str(value)
