# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import (
    InFile,
    ProtobufError,
    Region,
    fields,
    integer,
    message,
    octets,
    region,
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


# Messages that stay where they lie


class Noted:
    """A source that notes what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.read_bytes: set[int] = set()

    def read(self, begin: int, end: int) -> bytes:
        self.read_bytes.update(range(begin, end))
        return self.data[begin:end]


def shown(region: Region) -> list[tuple[int, int | bytes]]:
    return [(number, value.octets() if isinstance(value, Region) else value) for number, value in region.fields()]


def test_region_has_the_fields_of_its_message() -> None:
    data = b"\x08\x05\x12\x02ab\x1d\x01\x00\x00\x00\x21\x02\x00\x00\x00\x00\x00\x00\x00\x12\x00"
    assert shown(Region.of(data)) == list(fields(data))
    assert shown(Region(Noted(b"??" + data + b"!!"), 2, 2 + len(data))) == list(fields(data))


def test_a_field_is_passed_by_unread() -> None:
    source = Noted(b"\x0a\x90\x4e" + b"s" * 10_000 + b"\x10\x07")
    found = Region(source, 0, len(source.data)).message()
    assert (len(region(found, 1)), integer(found, 2)) == (10_000, 7)
    assert len(source.read_bytes) < 50


def test_regions_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"junk\x0a\x03one\x0a\x03two\x10\x01")
    with open(tmp_path / "file", "rb") as file:
        whole = Region(InFile(file), 4, 16)
        assert [each.text() for each in whole.regions(1)] == ["one", "two"]
        assert region(whole.message(), 1).text() == "two"
        assert len(region(whole.message(), 9)) == 0
        with pytest.raises(ProtobufError):
            list(whole.regions(2))
        with pytest.raises(ProtobufError):
            region(whole.message(), 2)


def test_text_that_is_none() -> None:
    with pytest.raises(ProtobufError, match="not UTF-8"):
        Region.of(b"\xff").text()


@pytest.mark.parametrize(
    "data", [b"\x12\x05ab", b"\x0b", b"\x0e\x01", b"\x00\x01", b"\x12", b"\x1d\x00", b"\x21" + bytes(7)]
)
def test_region_that_is_no_message(data: bytes) -> None:
    with pytest.raises(ProtobufError):
        Region.of(data).message()
