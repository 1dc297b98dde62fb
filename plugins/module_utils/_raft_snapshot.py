# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the snapshot files of a manager's raft store: their names, their checksum, and what is sealed in them.

The format is etcd's (etcd server/etcdserver/api/snap). A file is snappb.Snapshot{crc=1, data=2}, and its data is
raftpb.Snapshot{data=1, metadata=2{index=2, term=3}}. The inner data, the sealed store, is as large as the swarm, and is
never in memory as a whole.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._crc32c import crc32c
from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import (
    InFile,
    ProtobufError,
    Region,
    integer,
    region,
    varint,
)
from ansible_collections.quorate.swarm.plugins.module_utils._raft_wal import bad, names
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import SNAPSHOTS

_CHUNK = 1 << 20
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.snap")


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot whose checksum is proven.

    Attributes:
        path: The file.
        term: Term of the last entry that is in it.
        index: Index of that entry.
        sealed: Where in the file the sealed store begins and ends, in bytes.
    """

    path: Path
    term: int
    index: int
    sealed: tuple[int, int]


def newest_snapshot(state_dir: Path) -> Snapshot | None:
    """The snapshot that an engine starts from; None when there is none, as in a young swarm.

    Raises:
        BadArchive: It is damaged. An engine would take an older one, if there is one.
    """
    name = _newest_name(state_dir)
    return _check(state_dir / SNAPSHOTS / name) if name else None


def newest_snapshot_index(state_dir: Path) -> int:
    """Index of the newest snapshot of a state directory by its name alone, without a proof; 0 without one."""
    name = _NAME.fullmatch(_newest_name(state_dir))
    return int(name[2], 16) if name else 0


def _newest_name(state_dir: Path) -> str:
    found = [name for name in names(state_dir / SNAPSHOTS) if _NAME.fullmatch(name)]
    return found[-1] if found else ""


def _check(path: Path) -> Snapshot:
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            expected, begin, end = _head(file)
            if end != size:
                raise bad(path, f"it has {size} bytes, and {end} by its head: it was cut short")
            file.seek(begin)
            crc = 0
            while chunk := file.read(_CHUNK):
                crc = crc32c(chunk, crc)
            if crc != expected:
                raise bad(path, f"the checksum is {crc:08x}, and {expected:08x} by its head", begin)
            read = Region(InFile(file), begin, end).message()
            sealed, metadata = region(read, 1), region(read, 2).message()
            index, term = integer(metadata, 2), integer(metadata, 3)
    except ProtobufError as error:
        raise bad(path, f"it does not parse ({error})") from None
    if path.name != f"{term:016x}-{index:016x}.snap":
        raise bad(path, f"it is a snapshot of term {term} and index {index}, not what its name says")
    return Snapshot(path=path, term=term, index=index, sealed=(sealed.begin, sealed.end))


def _head(file: t.BinaryIO) -> tuple[int, int, int]:
    """Checksum of a snapshot file, and where its data begins and ends."""
    head = file.read(32)
    key, place = varint(head, 0)
    if key != 0x08:
        raise ProtobufError("there is no checksum")
    crc, place = varint(head, place)
    key, place = varint(head, place)
    if key != 0x12:
        raise ProtobufError("there is no data")
    length, place = varint(head, place)
    return crc, place, place + length
