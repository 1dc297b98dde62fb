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


def integer(read: t.Mapping[int, int | bytes], number: int) -> int:
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
