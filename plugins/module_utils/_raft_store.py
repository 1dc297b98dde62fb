# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the raft store of a manager on disk: snapshots and write-ahead log (WAL), read without any key.

What is encrypted is the content of the entries; the frames around them, the checksums, the indexes and the identity of
the member are in clear. So damage is found, and the position in the raft log is known, without the unlock key.

The format is etcd's (etcd server/storage/wal and snap; raft/raftpb) with SwarmKit's directory names (moby/swarmkit
manager/state/raft/storage). The store is only read, never repaired as an engine would: an engine drops everything behind
a damaged frame and comes up active with what is left.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._crc32c import crc32c
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive
from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import (
    ProtobufError,
    integer,
    message,
    octets,
    varint,
)
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NO_WAL, SNAPSHOTS, WAL

SEGMENT_SIZE = 64_000_000

METADATA, ENTRY, HARD_STATE, CRC, SNAPSHOT = 1, 2, 3, 4, 5

_CHUNK = 1 << 20
_DAMAGED = "Use another backup; for a copy of a running manager, copy it again"
_SEGMENT_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")
_SNAPSHOT_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.snap")


@dataclasses.dataclass(frozen=True)
class RaftPosition:
    """How far a manager's raft store has come.

    Attributes:
        term: Raft term of the last hard state.
        commit_index: Index of the last entry this manager knows to be committed. C(--force-new-cluster) drops what is
            behind it (lab fact B4.5).
        last_index: Index of the last entry.
        snapshot_term: Term of the newest snapshot; 0 without one.
        snapshot_index: Index of the newest snapshot; 0 without one.
        node_id: Node ID of the manager that wrote the store.
        raft_id: Its member number in the raft group.
        warnings: What is no damage, but worth a word: signs of earlier damage, or of a copy that was cut off.
    """

    term: int
    commit_index: int
    last_index: int
    snapshot_term: int
    snapshot_index: int
    node_id: str
    raft_id: int
    warnings: tuple[str, ...] = ()

    @property
    def uncommitted(self) -> int:
        """Entries that a forced new cluster would drop."""
        return self.last_index - self.commit_index


@dataclasses.dataclass(frozen=True)
class Record:
    """One record of the WAL, its checksum proven.

    Attributes:
        type: METADATA, ENTRY, HARD_STATE, CRC or SNAPSHOT.
        data: The protobuf message in it, an entry's content still encrypted; empty for CRC.
        crc: CRC-32C of all records up to and with this one.
        segment: The file.
        offset: Where its frame begins, in bytes.
    """

    type: int
    data: bytes = dataclasses.field(repr=False)
    crc: int
    segment: Path
    offset: int


@dataclasses.dataclass(frozen=True)
class Segment:
    """One file of the WAL: its sequence number and the index of the first entry it was made for."""

    path: Path
    sequence: int
    index: int


def position(state_dir: Path) -> RaftPosition:
    """Read the raft store of a manager from its newest snapshot on, prove its integrity, and say how far it has come.

    Memory does not grow with the store.

    Args:
        state_dir: A swarm state directory that no engine is running on. On that of a running engine the last frame may
            be half written.

    Raises:
        BadArchive: A checksum does not match, a frame is cut off, a file is missing, entries are missing, or snapshot
            and WAL do not belong together. The message names the file and the offset. Not detectable without outside
            knowledge: a tail of the WAL that was zeroed from a frame border on.
    """
    try:
        snapshots = _snapshots(state_dir)
        snapshot_term, snapshot_index = _check_snapshot(snapshots[-1]) if snapshots else (0, 0)
        segments = segments_from(state_dir, snapshot_index)
        log = _Log(snapshot_term=snapshot_term, snapshot_index=snapshot_index)
        for segment in segments:
            log.begin(segment)
            for record in records(segment, crc=log.crc, is_last=segment is segments[-1]):
                log.add(record)
        warnings = [*_size_warnings(segments[-1]), *_broken_files(state_dir)]
    except OSError as error:
        raise _bad(state_dir, str(error)) from error
    return log.position(segments[-1].path, tuple(warnings))


def segments_from(state_dir: Path, index: int) -> list[Segment]:
    """The WAL segments an engine reads when its snapshot is at C(index), in order.

    Raises:
        BadArchive: There is no segment, none that begins early enough, or one is missing in between.
    """
    found = []
    for name in _names(state_dir / WAL):
        match = _SEGMENT_NAME.fullmatch(name)
        if match:
            found.append(Segment(state_dir / WAL / name, int(match.group(1), 16), int(match.group(2), 16)))
    if not found:
        raise _bad(state_dir / WAL, f"there is no .wal file: {NO_WAL}")
    first = max((place for place, segment in enumerate(found) if segment.index <= index), default=None)
    if first is None:
        raise _bad(
            found[0].path,
            f"it is the oldest segment and begins at entry {found[0].index}, behind the newest snapshot ({index}): "
            "the segments or the snapshot before it are missing",
        )
    for before, after in zip(found[first:], found[first + 1 :]):
        if after.sequence != before.sequence + 1:
            raise _bad(after.path, f"segment {before.sequence + 1} before it is missing")
    return found[first:]


def records(segment: Segment, *, crc: int, is_last: bool) -> t.Iterator[Record]:
    """The records of one segment, each with its checksum proven, and the space behind them.

    Args:
        segment: The file.
        crc: CRC-32C of the records so far; 0 for the first segment.
        is_last: Whether no segment follows. Only the last one is preallocated; the others end with their last frame.

    Raises:
        BadArchive: A frame is cut off or does not parse, a checksum does not match, data lies behind the end mark, or
            the segment ends where a further one must follow.
    """
    size = segment.path.stat().st_size
    offset = 0
    with open(segment.path, "rb") as file:
        while True:
            frame = _length_field(file, offset, size)
            if frame == 0:
                stray = _first_data(file, offset)
                frame = _length_field(file, offset, size)  # a running engine may have appended meanwhile
                if stray is None or frame == 0:
                    break
            length = frame & ((1 << 56) - 1)
            padding = (frame >> 56) & 7 if frame >> 63 else 0
            if padding != -length % 8:
                raise _bad(segment.path, f"the frame of {length} bytes is padded with {padding}", offset)
            end = offset + 8 + length + padding
            if end > size:
                raise _bad(segment.path, f"the frame ends at {end}, behind the end of the file ({size})", offset)
            try:
                kind, expected, data = _read_record(file, length)
            except ProtobufError as error:
                raise _bad(segment.path, f"the frame holds no record ({error})", offset) from None
            if kind != CRC:
                crc = crc32c(data, crc)
            elif crc == 0:
                crc = expected
            if crc != expected:
                raise _bad(segment.path, f"the checksum is {crc:08x}, and {expected:08x} by the record", offset)
            yield Record(type=kind, data=data, crc=crc, segment=segment.path, offset=offset)
            offset = end
    if stray is not None:
        raise _bad(segment.path, f"the log ends at {offset}, but data is behind it: a part was overwritten", stray)
    if is_last and offset >= SEGMENT_SIZE:
        raise _bad(segment.path, "the segment is full, but the one that must follow it is missing", offset)
    if not is_last and offset != size:
        raise _bad(segment.path, "the segment has no frame here, though another segment follows it", offset)


class _Log:
    """What etcd's ReadAll makes of the records, with the indexes of the entries in place of the entries."""

    def __init__(self, *, snapshot_term: int, snapshot_index: int) -> None:
        self.crc = 0
        self._snapshot_term = snapshot_term
        self._snapshot_index = snapshot_index
        self._snapshot_is_known = False
        self._last_index = snapshot_index
        self._newest_index: int | None = None
        self._member: bytes | None = None
        self._hard_state: dict[int, int | bytes] = {}

    def begin(self, segment: Segment) -> None:
        if self._newest_index is None:
            self._newest_index = segment.index - 1
        if segment.index != self._newest_index + 1:
            raise _bad(
                segment.path,
                f"it begins at entry {segment.index} by its name, and the segment before it ends at {self._newest_index}",
            )

    def add(self, record: Record) -> None:
        self.crc = record.crc
        try:
            if record.type == METADATA:
                self._add_member(record)
            elif record.type == ENTRY:
                self._add_entry(record)
            elif record.type == HARD_STATE:
                self._hard_state = message(record.data)
            elif record.type == SNAPSHOT:
                self._add_snapshot(record)
        except ProtobufError as error:
            raise _bad(record.segment, f"the record does not parse ({error})", record.offset) from None

    def position(self, last: Path, warnings: tuple[str, ...]) -> RaftPosition:
        if self._member is None:
            raise _bad(last, "the WAL does not say whose it is")
        if not self._snapshot_is_known:
            raise _bad(
                last, f"the WAL does not know the snapshot at {self._snapshot_index}: it is older than the snapshot"
            )
        try:
            member = message(self._member)
            found = RaftPosition(
                term=integer(self._hard_state, 1),
                commit_index=integer(self._hard_state, 3),
                last_index=self._last_index,
                snapshot_term=self._snapshot_term,
                snapshot_index=self._snapshot_index,
                node_id=octets(member, 2).decode("ascii"),
                raft_id=integer(member, 1),
                warnings=warnings,
            )
        except (ProtobufError, UnicodeDecodeError) as error:
            raise _bad(last, f"the WAL's hard state or member does not parse ({error})") from None
        if not found.snapshot_index <= found.commit_index <= found.last_index:
            raise _bad(
                last,
                f"commit index {found.commit_index} is not between the snapshot ({found.snapshot_index}) and the last "
                f"entry ({found.last_index}): the WAL was cut short",
            )
        return found

    def _add_member(self, record: Record) -> None:
        if self._member not in (None, record.data):
            raise _bad(record.segment, "it was written by another member than the segment before it", record.offset)
        self._member = record.data

    def _add_entry(self, record: Record) -> None:
        index = integer(message(record.data), 3)
        self._newest_index = index
        if index > self._last_index + 1:
            raise _bad(
                record.segment, f"entry {index} follows entry {self._last_index}: entries are missing", record.offset
            )
        if index > self._snapshot_index:
            self._last_index = index  # may step back: a new leader replaced the entries from here on

    def _add_snapshot(self, record: Record) -> None:
        read = message(record.data)
        index, term = integer(read, 1), integer(read, 2)
        self._newest_index = max(self._newest_index or 0, index)
        if index == self._snapshot_index:
            if term != self._snapshot_term:
                raise _bad(
                    record.segment,
                    f"the snapshot at {index} is of term {term} here, and {self._snapshot_term} by its file",
                    record.offset,
                )
            self._snapshot_is_known = True


def _snapshots(state_dir: Path) -> list[Path]:
    """The snapshot files, oldest first."""
    names = _names(state_dir / SNAPSHOTS)
    return [state_dir / SNAPSHOTS / name for name in names if _SNAPSHOT_NAME.fullmatch(name)]


def _check_snapshot(path: Path) -> tuple[int, int]:
    """Prove the checksum of a snapshot, and read its term and index.

    A file is snappb.Snapshot{crc=1, data=2}, and its data is raftpb.Snapshot{data=1, metadata=2{index=2, term=3}}. The
    inner data, the encrypted store, is as large as the swarm, and is only passed by.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            expected, begin, end = _snapshot_head(file)
            if end != size:
                raise _bad(path, f"it has {size} bytes, and {end} by its head: it was cut short")
            file.seek(begin)
            crc = 0
            while chunk := file.read(_CHUNK):
                crc = crc32c(chunk, crc)
            if crc != expected:
                raise _bad(path, f"the checksum is {crc:08x}, and {expected:08x} by its head", begin)
            metadata = message(_snapshot_metadata(file, begin, end))
            index, term = integer(metadata, 2), integer(metadata, 3)
    except ProtobufError as error:
        raise _bad(path, f"it does not parse ({error})") from None
    if path.name != f"{term:016x}-{index:016x}.snap":
        raise _bad(path, f"it is a snapshot of term {term} and index {index}, not what its name says")
    return term, index


def _snapshot_head(file: t.BinaryIO) -> tuple[int, int, int]:
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


def _snapshot_metadata(file: t.BinaryIO, begin: int, end: int) -> bytes:
    """Field 2 of the message that lies between two offsets of the file; every other field is skipped."""
    place = begin
    while place < end:
        file.seek(place)
        head = file.read(min(20, end - place))
        key, behind_key = varint(head, 0)
        length, behind_length = varint(head, behind_key)
        if key & 7 != 2 or place + behind_length + length > end:
            break
        if key >> 3 == 2:
            file.seek(place + behind_length)
            return file.read(length)
        place += behind_length + length
    raise ProtobufError("there is no metadata")


def _read_record(file: t.BinaryIO, length: int) -> tuple[int, int, bytes]:
    """Type, checksum and data of walpb.Record{type=1, crc=2, data=3}.

    Raises:
        ProtobufError: It is none. That is seen before a length that makes no sense is read into memory.
    """
    content = file.read(min(length, _CHUNK))
    place = 0
    numbers = {}
    for number in (1, 2):
        key, place = varint(content, place)
        if key != number << 3:
            raise ProtobufError("it does not begin with a type and a checksum")
        numbers[number], place = varint(content, place)
    kind, crc = numbers[1], numbers[2]
    if not METADATA <= kind <= SNAPSHOT:
        raise ProtobufError(f"unknown type {kind}")
    if place == length:
        return kind, crc, b""
    key, place = varint(content, place)
    data_length, place = varint(content, place)
    if key != 0x1A or place + data_length != length:
        raise ProtobufError("its lengths contradict each other")
    return kind, crc, content[place:] + file.read(length - len(content))


def _length_field(file: t.BinaryIO, offset: int, size: int) -> int:
    """The field a frame begins with; 0 where no frame begins, or none fits. The file stands behind it then."""
    file.seek(offset)
    return int.from_bytes(file.read(8), "little") if offset + 8 <= size else 0


def _first_data(file: t.BinaryIO, offset: int) -> int | None:
    """The offset of the first byte from there on that is not zero; None when only zeros follow, as preallocated."""
    file.seek(offset)
    while chunk := file.read(_CHUNK):
        if chunk.count(0) != len(chunk):
            return offset + len(chunk) - len(chunk.lstrip(b"\0"))
        offset += len(chunk)
    return None


def _size_warnings(last: Segment) -> t.Iterator[str]:
    size = last.path.stat().st_size
    if size < SEGMENT_SIZE:
        yield (
            f"{last.path} has {size} bytes, and an engine preallocates {SEGMENT_SIZE}: the copy was cut short between "
            "two frames, or an engine repaired the log before"
        )


def _broken_files(state_dir: Path) -> t.Iterator[str]:
    for directory in (WAL, SNAPSHOTS):
        for name in _names(state_dir / directory):
            if name.endswith(".broken"):
                yield f"{state_dir / directory / name} is left from earlier damage that an engine repaired"


def _names(directory: Path) -> list[str]:
    """The names in a directory in order; none when it does not exist."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _bad(path: Path, cause: str, offset: int | None = None) -> BadArchive:
    where = "" if offset is None else f" at offset {offset}"
    return BadArchive(f"read {path}{where}", cause, _DAMAGED, path=str(path), offset=offset)
