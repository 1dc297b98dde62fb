# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the write-ahead log (WAL) of a manager on disk: its segments, their frames and the chain of checksums.

What is encrypted is the content of the entries; the frames around them and the checksums are in clear, so damage is found
without any key. The format is etcd's (etcd server/storage/wal). The log is only read, never repaired as an engine would:
an engine drops everything behind a damaged frame and comes up active with what is left.

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
from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import ProtobufError, varint
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NO_WAL, WAL

SEGMENT_SIZE = 64_000_000

METADATA, ENTRY, HARD_STATE, CRC, SNAPSHOT = 1, 2, 3, 4, 5

_CHUNK = 1 << 20
#: What a record begins with: field 1, its type.
_TYPE_KEY = b"\x08"
_DAMAGED = "Use another backup; for a copy of a running manager, copy it again"
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")


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


def segments_from(state_dir: Path, index: int) -> list[Segment]:
    """The WAL segments an engine reads when its snapshot is at C(index), in order.

    Raises:
        BadArchive: There is no segment, none that begins early enough, or one is missing in between.
    """
    found = _segments(state_dir)
    first = max((place for place, segment in enumerate(found) if segment.index <= index), default=None)
    if first is None:
        raise bad(
            found[0].path,
            f"it is the oldest segment and begins at entry {found[0].index}, behind the newest snapshot ({index}): "
            "the segments or the snapshot before it are missing",
        )
    for before, after in zip(found[first:], found[first + 1 :]):
        if after.sequence != before.sequence + 1:
            raise bad(after.path, f"segment {before.sequence + 1} before it is missing")
    return found[first:]


def last_entry(state_dir: Path) -> tuple[Segment, bytes | None]:
    """The last segment of a running engine, and the last entry in it that is written, or None. Proves nothing.

    It reads the heads of the frames alone, so it may be asked again and again, whatever the size of the store.

    Raises:
        BadArchive: There is no segment.
    """
    segment = _segments(state_dir)[-1]
    size = segment.path.stat().st_size
    offset, found = 0, None
    with open(segment.path, "rb") as file:
        while frame := _length_field(file, offset, size):
            end = offset + 8 + sum(_lengths(frame))
            head = file.read(2)
            if end > size or head[:1] != _TYPE_KEY:
                break
            if head[1] == ENTRY:
                found = offset
            offset = end
        if found is None:
            return segment, None
        length, dummy = _lengths(_length_field(file, found, size))
        try:
            return segment, _read_record(file, length)[2]
        except ProtobufError as error:
            raise bad(segment.path, f"the frame holds no record ({error})", found) from None


def _segments(state_dir: Path) -> list[Segment]:
    """All segments of the WAL in order. Raises BadArchive when there is none."""
    found = []
    for name in names(state_dir / WAL):
        match = _NAME.fullmatch(name)
        if match:
            found.append(Segment(state_dir / WAL / name, int(match.group(1), 16), int(match.group(2), 16)))
    if not found:
        raise bad(state_dir / WAL, f"there is no .wal file: {NO_WAL}")
    return found


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
            length, padding = _lengths(frame)
            if padding != -length % 8:
                raise bad(segment.path, f"the frame of {length} bytes is padded with {padding}", offset)
            end = offset + 8 + length + padding
            if end > size:
                raise bad(segment.path, f"the frame ends at {end}, behind the end of the file ({size})", offset)
            try:
                kind, expected, data = _read_record(file, length)
            except ProtobufError as error:
                raise bad(segment.path, f"the frame holds no record ({error})", offset) from None
            if kind != CRC:
                crc = crc32c(data, crc)
            elif crc == 0:
                crc = expected
            if crc != expected:
                raise bad(segment.path, f"the checksum is {crc:08x}, and {expected:08x} by the record", offset)
            yield Record(type=kind, data=data, crc=crc, segment=segment.path, offset=offset)
            offset = end
    if stray is not None:
        raise bad(segment.path, f"the log ends at {offset}, but data is behind it: a part was overwritten", stray)
    if is_last and offset >= SEGMENT_SIZE:
        raise bad(segment.path, "the segment is full, but the one that must follow it is missing", offset)
    if not is_last and offset != size:
        raise bad(segment.path, "the segment has no frame here, though another segment follows it", offset)


def size_warnings(last: Segment) -> t.Iterator[str]:
    """What is odd about the size of the last segment, if anything."""
    size = last.path.stat().st_size
    if size < SEGMENT_SIZE:
        yield (
            f"{last.path} has {size} bytes, and an engine preallocates {SEGMENT_SIZE}: the copy was cut short between "
            "two frames, or an engine repaired the log before"
        )


def names(directory: Path) -> list[str]:
    """The names in a directory in order; none when it does not exist."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def bad(path: Path, cause: str, offset: int | None = None) -> BadArchive:
    """The error that says what is wrong with a file of the raft store, and where."""
    where = "" if offset is None else f" at offset {offset}"
    return BadArchive(f"read {path}{where}", cause, _DAMAGED, path=str(path), offset=offset)


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


def _lengths(frame: int) -> tuple[int, int]:
    """The bytes of the record in a frame, and those of the padding behind it, by the field that the frame begins with."""
    return frame & ((1 << 56) - 1), (frame >> 56) & 7 if frame >> 63 else 0


def _first_data(file: t.BinaryIO, offset: int) -> int | None:
    """The offset of the first byte from there on that is not zero; None when only zeros follow, as preallocated."""
    file.seek(offset)
    while chunk := file.read(_CHUNK):
        if chunk.count(0) != len(chunk):
            return offset + len(chunk) - len(chunk.lstrip(b"\0"))
        offset += len(chunk)
    return None
