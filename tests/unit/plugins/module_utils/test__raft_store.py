# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _raft_store as module
from ansible_collections.quorate.swarm.plugins.module_utils import _raft_wal
from ansible_collections.quorate.swarm.plugins.module_utils._crc32c import crc32c
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive

SEGMENT_SIZE = 64_000


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_raft_wal, "SEGMENT_SIZE", SEGMENT_SIZE)


# A writer of what etcd writes.


def number(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def varint_field(field: int, value: int) -> bytes:
    return number(field << 3) + number(value)


def bytes_field(field: int, value: bytes) -> bytes:
    return number(field << 3 | 2) + number(len(value)) + value


MEMBER = varint_field(1, 77) + bytes_field(2, b"nodeid") + bytes_field(3, b"192.0.2.11:2377")


class Segment:
    """One WAL segment in the making."""

    def __init__(self, sequence: int = 0, index: int = 0, *, crc: int = 0, member: bytes = MEMBER) -> None:
        self.name = f"{sequence:016x}-{index:016x}.wal"
        self.content = b""
        self.offsets: list[int] = []
        self.crc = crc
        self.frame(varint_field(1, 4) + varint_field(2, crc))
        self.record(1, member)

    def frame(self, record: bytes) -> Segment:
        padding = -len(record) % 8
        length = len(record) | ((0x80 | padding) << 56 if padding else 0)
        self.offsets.append(len(self.content))
        self.content += length.to_bytes(8, "little") + record + bytes(padding)
        return self

    def record(self, kind: int, data: bytes) -> Segment:
        self.crc = crc32c(data, self.crc)
        return self.frame(varint_field(1, kind) + varint_field(2, self.crc) + bytes_field(3, data))

    def entries(self, *indexes: int, term: int = 2, size: int = 40) -> Segment:
        for index in indexes:
            content = bytes([index & 0xFF]) * size
            entry = varint_field(1, 0) + varint_field(2, term) + varint_field(3, index) + bytes_field(4, content)
            self.record(2, entry)
        return self

    def state(self, commit: int, term: int = 2) -> Segment:
        return self.record(3, varint_field(1, term) + varint_field(2, 77) + varint_field(3, commit))

    def snapshot(self, index: int, term: int) -> Segment:
        return self.record(5, varint_field(1, index) + varint_field(2, term))

    def write(self, state_dir: Path, *, preallocate: bool = True) -> Path:
        path = state_dir / "raft/wal-v3-encrypted" / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content.ljust(SEGMENT_SIZE, b"\0") if preallocate else self.content)
        return path


def first_segment() -> Segment:
    return Segment().snapshot(0, 0)


def write_snapshot(state_dir: Path, *, term: int, index: int, size: int = 3_000_000, name: str = "") -> Path:
    metadata = bytes_field(1, varint_field(1, 77)) + varint_field(2, index) + varint_field(3, term)
    data = bytes_field(1, b"\x5a" * size) + bytes_field(2, metadata)
    path = state_dir / "raft/snap-v3-encrypted" / (name or f"{term:016x}-{index:016x}.snap")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(varint_field(1, crc32c(data)) + bytes_field(2, data))
    return path


def refused(state_dir: Path) -> BadArchive:
    with pytest.raises(BadArchive) as caught:
        module.position(state_dir)
    assert caught.value.remedy
    return caught.value


# Sound stores


def test_young_store_without_snapshot(tmp_path: Path) -> None:
    first_segment().entries(1, 2, 3).state(3).write(tmp_path)
    (tmp_path / "raft/wal-v3-encrypted/0.tmp").write_bytes(b"garbage")
    assert module.position(tmp_path) == module.RaftPosition(
        term=2, commit_index=3, last_index=3, snapshot_term=0, snapshot_index=0, node_id="nodeid", raft_id=77
    )


def test_last_change_of_a_hot_copy_is_uncommitted(tmp_path: Path) -> None:
    first_segment().entries(1, 2).state(2).entries(3).write(tmp_path)
    found = module.position(tmp_path)
    assert (found.commit_index, found.last_index, found.uncommitted) == (2, 3, 1)


def test_last_hard_state_wins(tmp_path: Path) -> None:
    first_segment().entries(1).state(1, term=2).entries(2, term=3).state(2, term=3).write(tmp_path)
    found = module.position(tmp_path)
    assert (found.term, found.commit_index) == (3, 2)


def test_new_leader_replaces_entries(tmp_path: Path) -> None:
    first_segment().entries(1, 2, 3, 4).state(2).entries(3, term=3).state(3, term=3).write(tmp_path)
    assert module.position(tmp_path).last_index == 3


def test_snapshot_in_the_middle_of_the_log(tmp_path: Path) -> None:
    write_snapshot(tmp_path, term=2, index=3)
    first_segment().entries(1, 2, 3).state(3).snapshot(3, 2).entries(4).state(4).write(tmp_path)
    found = module.position(tmp_path)
    assert (found.snapshot_term, found.snapshot_index, found.last_index) == (2, 3, 4)


def test_nothing_after_the_snapshot(tmp_path: Path) -> None:
    write_snapshot(tmp_path, term=2, index=3)
    first_segment().entries(1, 2, 3).state(3).snapshot(3, 2).write(tmp_path)
    assert module.position(tmp_path).last_index == 3


def two_segments(state_dir: Path) -> tuple[Path, Path]:
    first = first_segment().entries(1, 2, 3).state(3)
    second = Segment(1, 4, crc=first.crc).state(3).entries(4, 5).state(5)
    return first.write(state_dir, preallocate=False), second.write(state_dir)


def test_checksums_chain_over_segments(tmp_path: Path) -> None:
    two_segments(tmp_path)
    assert module.position(tmp_path).last_index == 5


def test_segments_before_the_snapshot_may_be_gone_or_damaged(tmp_path: Path) -> None:
    write_snapshot(tmp_path, term=2, index=6)
    first, second = two_segments(tmp_path)
    content = second.read_bytes().rstrip(b"\0")
    content += bytes(-len(content) % 8)
    second.write_bytes(content)
    third = Segment(2, 6, crc=0x1234).state(5).entries(6, 7).snapshot(6, 2).state(7)
    third.write(tmp_path)
    first.write_bytes(b"damaged")
    assert module.position(tmp_path).last_index == 7
    first.unlink()
    second.unlink()
    assert module.position(tmp_path).last_index == 7


def test_newest_snapshot_counts(tmp_path: Path) -> None:
    write_snapshot(tmp_path, term=2, index=2)
    write_snapshot(tmp_path, term=2, index=3)
    first_segment().entries(1, 2, 3).state(3).snapshot(2, 2).snapshot(3, 2).write(tmp_path)
    assert module.position(tmp_path).snapshot_index == 3


def test_entry_larger_than_a_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_raft_wal, "SEGMENT_SIZE", 5_000_000)
    first_segment().entries(1, size=3_000_000).entries(2).state(2).write(tmp_path)
    assert module.position(tmp_path).last_index == 2


@pytest.mark.parametrize(
    ("segment", "newest"),
    [
        (first_segment().entries(1, 2, 3).state(3), 3),
        (first_segment().entries(1, 2).state(2).entries(3), 3),
        (first_segment().entries(1, 2, 3, 4).state(2).entries(3, term=3).state(3, term=3), 3),
        (first_segment(), -1),
    ],
)
def test_newest_index_of_a_running_engine(tmp_path: Path, segment: Segment, newest: int) -> None:
    path = segment.write(tmp_path)
    assert module.newest_index(tmp_path) == newest
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(content + bytes(-len(content) % 8))  # not preallocated
    assert module.newest_index(tmp_path) == newest


def test_newest_index_is_that_of_the_last_segment(tmp_path: Path) -> None:
    first, second = two_segments(tmp_path)
    assert module.newest_index(tmp_path) == 5
    first.write_bytes(b"damaged")
    assert module.newest_index(tmp_path) == 5
    Segment(2, 6, crc=0x1234).state(5).write(tmp_path)
    assert module.newest_index(tmp_path) == 5
    second.unlink()
    assert module.newest_index(tmp_path) == 5


def test_newest_index_of_a_log_that_is_being_written_is_an_index_of_it_or_an_error(tmp_path: Path) -> None:
    """The frame of an entry may be there in part; what comes before it stands."""
    segment = first_segment().entries(1, 2)
    path = segment.write(tmp_path)
    for length in range(segment.offsets[-1], len(segment.content)):
        path.write_bytes(segment.content[:length].ljust(SEGMENT_SIZE, b"\0"))
        try:
            assert module.newest_index(tmp_path) in (0, 1, 2)
        except BadArchive as error:
            assert str(path) in str(error)


def test_newest_term(tmp_path: Path) -> None:
    path = first_segment().entries(1, 2).state(2, term=7).write(tmp_path)
    assert (module.newest_term(tmp_path), module.position(tmp_path).term) == (2, 7)
    path.unlink()
    first_segment().write(tmp_path)
    assert module.newest_term(tmp_path) == 0


def test_newest_index_without_a_log(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="there is no .wal file"):
        module.newest_index(tmp_path)


def test_segment_that_is_not_preallocated_gives_a_warning(tmp_path: Path) -> None:
    first_segment().entries(1, 2).state(2).write(tmp_path, preallocate=False)
    (warning,) = module.position(tmp_path).warnings
    assert "cut short between two frames" in warning


def test_traces_of_earlier_damage_give_a_warning(tmp_path: Path) -> None:
    first_segment().entries(1, 2).state(2).write(tmp_path)
    (tmp_path / "raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal.broken").touch()
    (warning,) = module.position(tmp_path).warnings
    assert "wal.broken is left from earlier damage" in warning


def test_records_for_whoever_reads_more(tmp_path: Path) -> None:
    first_segment().entries(1).state(1).write(tmp_path)
    (segment,) = _raft_wal.segments_from(tmp_path, 0)
    found = list(_raft_wal.records(segment, crc=0, is_last=True))
    assert [record.type for record in found] == [
        _raft_wal.CRC,
        _raft_wal.METADATA,
        _raft_wal.SNAPSHOT,
        _raft_wal.ENTRY,
        _raft_wal.HARD_STATE,
    ]
    assert found[1].data == MEMBER


# Missing files


@pytest.mark.parametrize("name", ["", "raft/wal-v3-encrypted/0.tmp", "raft/wal-v3-encrypted/x.wal"])
def test_no_wal_file(name: str, tmp_path: Path) -> None:
    if name:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert "no .wal file: an engine would come up active with an empty swarm" in str(refused(tmp_path))


def test_first_segment_is_missing(tmp_path: Path) -> None:
    first, dummy = two_segments(tmp_path)
    first.unlink()
    assert "oldest segment and begins at entry 4" in str(refused(tmp_path))


def test_segment_in_the_middle_is_missing(tmp_path: Path) -> None:
    _first, second = two_segments(tmp_path)
    second.rename(second.with_name(f"{2:016x}-{4:016x}.wal"))
    assert "segment 1 before it is missing" in str(refused(tmp_path))


def test_last_segment_is_missing(tmp_path: Path) -> None:
    first_segment().entries(1, size=SEGMENT_SIZE).state(1).write(tmp_path)
    assert "the one that must follow it is missing" in str(refused(tmp_path))


def test_snapshot_is_missing_though_the_log_begins_behind_it(tmp_path: Path) -> None:
    Segment(1, 7).snapshot(9, 2).entries(10).state(10).write(tmp_path)
    assert "the segments or the snapshot before it are missing" in str(refused(tmp_path))


# Damage

DAMAGED_FRAME = 3  # the first entry, behind checksum, metadata and snapshot


def damaged(state_dir: Path, change: dict[int, bytes]) -> tuple[BadArchive, Segment]:
    """Refuse a store whose first entry's frame was overwritten at these relative offsets."""
    segment = first_segment().entries(1, 2, 3).state(3)
    content = bytearray(segment.content.ljust(SEGMENT_SIZE, b"\0"))
    for offset, replacement in change.items():
        place = segment.offsets[DAMAGED_FRAME] + offset
        content[place : place + len(replacement)] = replacement
    segment.write(state_dir).write_bytes(content)
    return refused(state_dir), segment


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({30: b"\xff"}, "the checksum is"),
        ({11: b"\x00"}, "the frame holds no record"),
        ({24: bytes(40)}, "the checksum is"),
        ({8: b"\x10"}, "does not begin with a type and a checksum"),
        ({9: b"\x06"}, "unknown type 6"),
        ({9: b"\x00"}, "unknown type 0"),
        ({0: b"\x08"}, "is padded with"),
        ({0: b"\x40", 7: b"\x00"}, "its lengths contradict each other"),
        ({2: b"\x7f"}, "behind the end of the file"),
    ],
)
def test_damaged_frame_is_named_by_file_and_offset(change: dict[int, bytes], cause: str, tmp_path: Path) -> None:
    error, segment = damaged(tmp_path, change)
    assert cause in error.cause
    assert error.details["path"].endswith(segment.name)
    assert error.details["offset"] == segment.offsets[DAMAGED_FRAME]
    assert f"{segment.name} at offset {segment.offsets[DAMAGED_FRAME]}" in str(error)


def test_every_flipped_byte_but_padding_is_seen(tmp_path: Path) -> None:
    segment = first_segment().entries(1, 2).state(2)
    path = segment.write(tmp_path)
    sound = path.read_bytes()
    expected = module.position(tmp_path)
    unseen = []
    for offset in range(len(segment.content)):
        content = bytearray(sound)
        content[offset] ^= 0x55
        path.write_bytes(content)
        try:
            assert module.position(tmp_path) == expected
            unseen.append(offset)
        except BadArchive:
            pass
    paddings = [end for end in [*segment.offsets[1:], len(segment.content)] for end in range(end - 7, end)]
    assert set(unseen) <= set(paddings)


def test_zeroed_frame_length_ends_the_log_but_data_follows(tmp_path: Path) -> None:
    error, segment = damaged(tmp_path, {0: bytes(8)})
    assert "data is behind it" in error.cause
    assert error.details["offset"] == segment.offsets[DAMAGED_FRAME] + 8


def test_every_truncation_inside_the_log_is_seen(tmp_path: Path) -> None:
    segment = first_segment().entries(1, 2).state(2)
    path = segment.write(tmp_path)
    for length in range(len(segment.content)):
        path.write_bytes(segment.content[:length])
        if length in segment.offsets and length >= segment.offsets[3]:
            continue  # between two frames: the log may really end here, see the next test
        refused(tmp_path)


def test_truncation_between_two_frames_gives_a_warning(tmp_path: Path) -> None:
    segment = first_segment().entries(1, 2).state(2).entries(3, 4)
    path = segment.write(tmp_path)
    path.write_bytes(segment.content[: segment.offsets[-1]])
    found = module.position(tmp_path)
    assert found.last_index == 3
    assert found.warnings


def test_truncation_below_the_commit_index(tmp_path: Path) -> None:
    first = first_segment().entries(1, 2, 3).state(3)
    first.entries(2)
    first.write(tmp_path)
    assert "commit index 3 is not between" in str(refused(tmp_path))


def test_first_segment_with_a_zeroed_tail(tmp_path: Path) -> None:
    first, dummy = two_segments(tmp_path)
    first.write_bytes(first.read_bytes() + bytes(64))
    assert "though another segment follows it" in str(refused(tmp_path))


def test_first_segment_cut_between_frames(tmp_path: Path) -> None:
    segment = first_segment().entries(1, 2, 3).state(3)
    two_segments(tmp_path)[0].write_bytes(segment.content[: segment.offsets[-2]])
    assert "begins at entry 4 by its name, and the segment before it ends at 2" in str(refused(tmp_path))


def test_second_segment_of_another_chain(tmp_path: Path) -> None:
    first = first_segment().entries(1, 2, 3).state(3)
    first.write(tmp_path, preallocate=False)
    Segment(1, 4, crc=first.crc ^ 1).state(3).write(tmp_path)
    error = refused(tmp_path)
    assert "the checksum is" in error.cause
    assert error.details["offset"] == 0


def test_second_segment_of_another_member(tmp_path: Path) -> None:
    first = first_segment().entries(1, 2, 3).state(3)
    first.write(tmp_path, preallocate=False)
    Segment(1, 4, crc=first.crc, member=bytes_field(2, b"other")).state(3).write(tmp_path)
    assert "another member" in str(refused(tmp_path))


def test_gap_between_entries(tmp_path: Path) -> None:
    first_segment().entries(1, 2, 4).state(2).write(tmp_path)
    assert "entry 4 follows entry 2" in str(refused(tmp_path))


def test_log_older_than_the_snapshot(tmp_path: Path) -> None:
    write_snapshot(tmp_path, term=2, index=9)
    first_segment().entries(1, 2, 3).state(3).write(tmp_path)
    assert "older than the snapshot" in str(refused(tmp_path))


def test_snapshot_of_another_term(tmp_path: Path) -> None:
    write_snapshot(tmp_path, term=3, index=3)
    first_segment().entries(1, 2, 3).state(3).snapshot(3, 2).write(tmp_path)
    assert "of term 2 here, and 3 by its file" in str(refused(tmp_path))


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_empty_or_foreign_wal_file(content: bytes, tmp_path: Path) -> None:
    first_segment().write(tmp_path).write_bytes(content)
    assert "wal" in str(refused(tmp_path))


def test_member_or_state_that_does_not_parse(tmp_path: Path) -> None:
    first_segment().entries(1).record(3, b"\x0a\x01x\x18\x01").write(tmp_path)
    assert "does not parse" in str(refused(tmp_path))
    first_segment().entries(1).record(2, b"\x08").write(tmp_path)
    assert "the record does not parse" in str(refused(tmp_path))
    Segment(member=bytes_field(2, b"\xff")).snapshot(0, 0).write(tmp_path)
    assert "does not parse" in str(refused(tmp_path))


def snapshot_store(state_dir: Path) -> Path:
    first_segment().entries(1, 2, 3).state(3).snapshot(3, 2).write(state_dir)
    return write_snapshot(state_dir, term=2, index=3)


@pytest.mark.parametrize("offset", [0, 1, 8, 100, 1_500_000, -1])
def test_flipped_byte_of_the_snapshot(offset: int, tmp_path: Path) -> None:
    path = snapshot_store(tmp_path)
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x41
    path.write_bytes(content)
    assert path.name in str(refused(tmp_path))


@pytest.mark.parametrize("length", [0, 1, 5, 12, 2_999_999])
def test_truncated_snapshot(length: int, tmp_path: Path) -> None:
    path = snapshot_store(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    assert path.name in str(refused(tmp_path))


def test_snapshot_of_another_name(tmp_path: Path) -> None:
    first_segment().entries(1, 2, 3).state(3).snapshot(3, 2).write(tmp_path)
    write_snapshot(tmp_path, term=2, index=3, name=f"{2:016x}-{4:016x}.snap")
    assert "not what its name says" in str(refused(tmp_path))


@pytest.mark.parametrize(
    ("metadata", "cause"), [(varint_field(2, 1), "field 2 is not bytes"), (b"", "of term 0 and index 0")]
)
def test_snapshot_without_metadata(tmp_path: Path, metadata: bytes, cause: str) -> None:
    path = snapshot_store(tmp_path)
    data = bytes_field(1, b"x") + metadata
    path.write_bytes(varint_field(1, crc32c(data)) + bytes_field(2, data))
    assert cause in str(refused(tmp_path))


def test_unreadable_store(tmp_path: Path) -> None:
    first_segment().write(tmp_path).unlink()
    (tmp_path / "raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal").mkdir()
    assert "Is a directory" in str(refused(tmp_path))
