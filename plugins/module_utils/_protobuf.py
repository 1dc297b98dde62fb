# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the protobuf wire format, as far as SwarmKit's files need it.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_WIDTH = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10


class Source(t.Protocol):
    """Bytes of which a part is read at a time."""

    def read(self, begin: int, end: int) -> bytes:
        """Return the bytes from C(begin) on, up to C(end); fewer than asked for where they end."""


class ProtobufError(ValueError):
    """The bytes are not a protobuf message, or a field has another type than expected."""


def varint(data: bytes, offset: int) -> tuple[int, int]:
    """Read one varint.

    Args:
        data: The bytes of the message.
        offset: Where the varint begins, in bytes.

    Returns:
        The value (0 to 2^64 - 1) and the offset of the byte after it.

    Raises:
        ProtobufError: The data ends inside the varint, or the varint is longer than 64 bits.
    """
    value = 0
    for position in range(_LONGEST_VARINT):
        if offset >= len(data):
            raise ProtobufError("the message ends inside a number")
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, offset
    raise ProtobufError("a number is longer than 64 bits")


def fields(data: bytes) -> t.Iterator[tuple[int, int | bytes]]:
    """Walk over the fields of one message, in the order they are written.

    Args:
        data: The whole message.

    Yields:
        Field number and value: an integer for a varint or fixed-width field, bytes for a length-delimited one.

    Raises:
        ProtobufError: The bytes are not a message.
    """
    offset = 0
    while offset < len(data):
        key, offset = varint(data, offset)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ProtobufError("field number 0")
        if wire_type == _VARINT:
            value, offset = varint(data, offset)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, offset = varint(data, offset)
        elif wire_type in _FIXED_WIDTH:
            length = _FIXED_WIDTH[wire_type]
        else:
            raise ProtobufError(f"wire type {wire_type}")
        end = offset + length
        if end > len(data):
            raise ProtobufError("a field is longer than the message")
        raw = data[offset:end]
        yield number, raw if wire_type == _BYTES else int.from_bytes(raw, "little")
        offset = end


def message(data: bytes) -> dict[int, int | bytes]:
    """Read a message none of whose wanted fields is repeated; the last value of a field wins, as protobuf has it.

    Args:
        data: The whole message.

    Raises:
        ProtobufError: The bytes are not a message.
    """
    return dict(fields(data))


def integer(read: t.Mapping[int, t.Any], number: int) -> int:
    """The integer field of that number; 0, the protobuf default, when the message leaves it out.

    Raises:
        ProtobufError: The field is not an integer.
    """
    value = read.get(number, 0)
    if not isinstance(value, int):
        raise ProtobufError(f"field {number} is not a number")
    return value


def octets(read: t.Mapping[int, int | bytes], number: int) -> bytes:
    """The bytes field of that number; empty, the protobuf default, when the message leaves it out.

    Raises:
        ProtobufError: The field is not bytes.
    """
    value = read.get(number, b"")
    if isinstance(value, int):
        raise ProtobufError(f"field {number} is not bytes")
    return value


class Region:
    """A message, or a bytes field of one, that stays where it lies until a part of it is asked for.

    So a message that is larger than memory can be walked, and a secret in it passed by unread.

    Args:
        source: What it lies in.
        begin: Where it begins in the source, in bytes.
        end: Where it ends.
    """

    def __init__(self, source: Source, begin: int, end: int) -> None:
        self.source = source
        self.begin = begin
        self.end = end

    @classmethod
    def of(cls, data: bytes) -> Region:
        """The region that is these bytes."""
        return cls(_InMemory(data), 0, len(data))

    def __len__(self) -> int:
        return self.end - self.begin

    def octets(self) -> bytes:
        """All of its bytes. Ask only where they are known to be few."""
        return self.source.read(self.begin, self.end)

    def text(self) -> str:
        """Its bytes as text.

        Raises:
            ProtobufError: They are no UTF-8.
        """
        try:
            return self.octets().decode("utf-8")
        except UnicodeDecodeError:
            raise ProtobufError("a text is not UTF-8") from None

    def fields(self) -> t.Iterator[tuple[int, int | Region]]:
        """Walk over the fields, in the order they are written, as fields() does. A bytes field is a region again.

        Raises:
            ProtobufError: It is not a message.
        """
        place = self.begin
        while place < self.end:
            head = self.source.read(place, min(place + 2 * _LONGEST_VARINT, self.end))
            key, offset = varint(head, 0)
            number, wire_type = key >> 3, key & 7
            if number == 0:
                raise ProtobufError("field number 0")
            if wire_type == _VARINT:
                value, offset = varint(head, offset)
                place += offset
                yield number, value
                continue
            if wire_type == _BYTES:
                length, offset = varint(head, offset)
            elif wire_type in _FIXED_WIDTH:
                length = _FIXED_WIDTH[wire_type]
            else:
                raise ProtobufError(f"wire type {wire_type}")
            begin, place = place + offset, place + offset + length
            if place > self.end:
                raise ProtobufError("a field is longer than the message")
            if wire_type == _BYTES:
                yield number, Region(self.source, begin, place)
            else:
                yield number, int.from_bytes(self.source.read(begin, place), "little")

    def message(self) -> dict[int, int | Region]:
        """The last value of each field, for a message none of whose wanted fields is repeated.

        Raises:
            ProtobufError: It is not a message.
        """
        return dict(self.fields())

    def regions(self, number: int) -> t.Iterator[Region]:
        """The values of a repeated field of messages or bytes.

        Raises:
            ProtobufError: It is not a message, or the field is a number.
        """
        for found, value in self.fields():
            if found == number:
                yield _require_region(value, number)


def region(read: t.Mapping[int, int | Region], number: int) -> Region:
    """The bytes field, or the message, of that number; an empty one when the message leaves it out.

    Raises:
        ProtobufError: The field is a number.
    """
    return _require_region(read.get(number, Region.of(b"")), number)


def _require_region(value: int | Region, number: int) -> Region:
    if isinstance(value, int):
        raise ProtobufError(f"field {number} is not bytes")
    return value


class InFile:
    """A file as a source.

    Args:
        file: Open for reading. Whoever else reads from it moves its position, which does not matter here.
    """

    def __init__(self, file: t.BinaryIO) -> None:
        self._file = file

    def read(self, begin: int, end: int) -> bytes:
        self._file.seek(begin)
        return self._file.read(end - begin)


class _InMemory:
    """Bytes as a source."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, begin: int, end: int) -> bytes:
        return self._data[begin:end]
