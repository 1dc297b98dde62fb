# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import (
    ProtobufError,
    fields,
    integer,
    message,
    octets,
    varint,
)


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"\x00", 0), (b"\x7f", 127), (b"\x96\x01", 150), (b"\xff" * 9 + b"\x01", (1 << 64) - 1)],
)
def test_varint(data: bytes, value: int) -> None:
    assert varint(data + b"\x07", 0) == (value, len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9 + b"\x02", b"\xff" * 11])
def test_varint_that_does_not_end_or_does_not_fit(data: bytes) -> None:
    with pytest.raises(ProtobufError):
        varint(data, 0)


def test_fields_of_every_wire_type() -> None:
    data = b"\x08\x05\x12\x02ab\x1d\x01\x00\x00\x00\x21\x02\x00\x00\x00\x00\x00\x00\x00\x12\x00"
    assert list(fields(data)) == [(1, 5), (2, b"ab"), (3, 1), (4, 2), (2, b"")]


def test_defaults_of_fields_that_are_left_out() -> None:
    read = message(b"\x08\x05\x12\x02ab")
    assert (integer(read, 1), octets(read, 2), integer(read, 9), octets(read, 9)) == (5, b"ab", 0, b"")


def test_field_of_another_type() -> None:
    read = message(b"\x08\x05\x12\x02ab")
    with pytest.raises(ProtobufError):
        integer(read, 2)
    with pytest.raises(ProtobufError):
        octets(read, 1)


@pytest.mark.parametrize(
    "data", [b"\x12\x05ab", b"\x0b", b"\x0e\x01", b"\x00\x01", b"\x12", b"\x1d\x00", b"\x21" + bytes(7)]
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(ProtobufError):
        list(fields(data))
