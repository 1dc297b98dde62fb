# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can happen to a real state directory, and that each of it is found: by file, offset and meaning.

The comments say what an engine makes of it (observed on 20.10, 26.1 and 28.5): mostly, a swarm with a part of its
objects, without a word.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _node_key, _raft_store, _raft_wal, _state_facts
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, WrongKey
from ansible_collections.quorate.swarm.plugins.module_utils._raft_inventory import (
    inventory_of_store,
    manifest_problems,
    position_facts,
)
from ansible_collections.quorate.swarm.plugins.module_utils._raft_store import RaftContents
from ansible_collections.quorate.swarm.plugins.module_utils._raft_wal import ENTRY, HARD_STATE, Record
from ansible_collections.quorate.swarm.tests.unit import real_states
from ansible_collections.quorate.swarm.tests.unit.plugins.module_utils.test__raft_store import Segment
from ansible_collections.quorate.swarm.tests.unit.real_states import NODE_KEY, RealState


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    real_states.use_small_segments(monkeypatch)


@pytest.fixture(params=real_states.ENGINES)
def state(request: pytest.FixtureRequest, tmp_path: Path) -> RealState:
    """The state of one manager: a snapshot in the middle of its log, and secrets before and behind that."""
    return real_states.lay_out(f"{request.param}-snapshot", tmp_path)


@dataclasses.dataclass(frozen=True)
class Log:
    """The records of the only segment of a log."""

    state: RealState
    records: list[Record]

    def end(self, record: Record) -> int:
        """Where the next record begins."""
        later = [each.offset for each in self.records if each.offset > record.offset]
        return min(later, default=self.state.used)

    def entries(self) -> list[Record]:
        return [record for record in self.records if record.type == ENTRY]

    @property
    def last(self) -> Record:
        return self.entries()[-1]


def log_of(state: RealState) -> Log:
    (segment,) = _raft_wal.segments_from(state.path, 0)
    return Log(state, list(_raft_wal.records(segment, crc=0, is_last=True)))


def write(path: Path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path: Path, offset: int) -> None:
    with open(path, "rb") as file:
        file.seek(offset)
        byte = file.read(1)[0]
    write(path, offset, bytes([byte ^ 0x10]))


def cut(path: Path, size: int) -> None:
    with open(path, "r+b") as file:
        file.truncate(size)


def snapshot_of(state: RealState) -> Path:
    (path,) = (state.path / "raft/snap-v3-encrypted").iterdir()
    return path


def manifest_of(contents: RaftContents) -> dict[str, object]:
    return {"raft": position_facts(contents.position), "inventory": inventory_of_store(contents)}


# Damage of the log. Each damage returns the offset that has to be named, or None for a file as a whole.


def flip_in_the_first_entry(log: Log) -> int:
    """Before the snapshot. Engines: irreparable WAL error, walpb: crc mismatch."""
    flip(log.state.segment, log.end(log.entries()[0]) - 9)
    return log.entries()[0].offset


def flip_in_the_last_entry(log: Log) -> int:
    flip(log.state.segment, log.last.offset + 60)
    return log.last.offset


def flip_in_a_hard_state(log: Log) -> int:
    record = [each for each in log.records if each.type == HARD_STATE][-1]
    flip(log.state.segment, record.offset + 18)
    return record.offset


def flip_in_a_frame_length(log: Log) -> int:
    """Engines: repaired, 7 of 11 secrets, active."""
    flip(log.state.segment, log.last.offset + 1)
    return log.last.offset


def zero_a_sector(log: Log) -> None:
    """Engines: repaired, 5 of 11 secrets, active."""
    write(log.state.segment, log.entries()[-3].offset // 512 * 512, bytes(512))


def zero_a_frame_length(log: Log) -> int:
    """Engines: 6 of 11 secrets, active, no line in the log."""
    write(log.state.segment, log.last.offset, bytes(8))
    return log.last.offset + 8


def cut_inside_a_record(log: Log) -> int:
    """Engines: repaired, 10 of 11 secrets; 23 to 27: irreparable."""
    cut(log.state.segment, log.last.offset + 40)
    return log.last.offset


def cut_four_bytes_short(log: Log) -> int:
    cut(log.state.segment, log.state.used - 4)
    return log.records[-1].offset


def cut_inside_a_frame_length(log: Log) -> None:
    """What is left of the length is not zero, so something is behind the end mark."""
    cut(log.state.segment, log.last.offset + 4)


def cut_below_the_snapshot(log: Log) -> None:
    """Engines: dockerd panics (state.commit 8 is out of range [30, 30])."""
    cut(log.state.segment, log.entries()[9].offset)


def empty_the_log(log: Log) -> None:
    """Engines: dockerd panics (cannot use none as id)."""
    cut(log.state.segment, 0)


def remove_the_log(log: Log) -> None:
    """Engines: active, with an empty swarm."""
    log.state.segment.unlink()


def remove_the_raft_store(log: Log) -> None:
    """Engines: active, with an empty swarm."""
    shutil.rmtree(log.state.path / "raft")


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (flip_in_the_first_entry, "the checksum is "),
        (flip_in_the_last_entry, "the checksum is "),
        (flip_in_a_hard_state, "the checksum is "),
        (flip_in_a_frame_length, "padded with|holds no record|behind the end of the file"),
        (zero_a_sector, "the checksum is |data is behind it|holds no record"),
        (zero_a_frame_length, "data is behind it: a part was overwritten"),
        (cut_inside_a_record, "behind the end of the file"),
        (cut_four_bytes_short, "behind the end of the file"),
        (cut_inside_a_frame_length, "the WAL was cut short|data is behind it"),
        (cut_below_the_snapshot, "it is older than the snapshot"),
        (empty_the_log, "does not say whose it is"),
        (remove_the_log, "there is no .wal file: an engine would come up active with an empty swarm"),
        (remove_the_raft_store, "there is no .wal file|does not know the snapshot"),
    ],
)
def test_damage_of_the_log_is_found_without_a_key(
    state: RealState, damage: Callable[[Log], int | None], cause: str
) -> None:
    offset = damage(log_of(state))
    with pytest.raises(BadArchive, match=cause) as caught:
        _raft_store.position(state.path)
    assert str(state.path) in str(caught.value)
    assert caught.value.details["path"].startswith(str(state.path / "raft"))
    if offset is not None:
        assert caught.value.details["offset"] == offset
    with pytest.raises(BadArchive):
        state.contents()


def test_log_of_an_earlier_copy_beside_a_later_snapshot(state: RealState, tmp_path: Path) -> None:
    """Engines 20.10 and 28.5: dockerd panics."""
    engine = "20.10" if "20.10" in state.contents().of_kind("nodes")[0].facts["engine"] else "28.5"
    young = real_states.lay_out(f"{engine}-young", tmp_path / "young")
    shutil.copyfile(young.segment, state.segment)
    with pytest.raises(BadArchive, match="does not know the snapshot at 31: it is older than the snapshot"):
        _raft_store.position(state.path)


# What only the manifest finds


def cut_between_records(log: Log) -> None:
    """Engines: active, 6 of 11 secrets. The size of the file gives a warning."""
    cut(log.state.segment, log.entries()[-5].offset)


def zero_the_tail(log: Log) -> None:
    """Engines: active, 6 of 11 secrets. To whoever reads it, it is a shorter log."""
    begin = log.entries()[-5].offset
    write(log.state.segment, begin, bytes(log.state.used - begin))


@pytest.mark.parametrize("damage", [cut_between_records, zero_the_tail])
def test_a_tail_that_is_lost_at_the_border_of_a_record_is_found_by_the_manifest(
    state: RealState, damage: Callable[[Log], None]
) -> None:
    whole = state.contents()
    assert manifest_problems(manifest_of(whole), whole) == []
    damage(log_of(state))
    found = state.contents()
    assert found.position.last_index < whole.position.last_index
    assert bool(found.position.warnings) is (damage is cut_between_records)
    problems = manifest_problems(manifest_of(whole), found)
    assert f"the last entry is {found.position.last_index}, and {whole.position.last_index} by the manifest" in problems
    lost = {each.name for each in whole.of_kind("secrets")} - {each.name for each in found.of_kind("secrets")}
    assert lost
    for name in lost:
        assert any(f"the secret {name} (" in problem for problem in problems)


# What does no harm


def cut_behind_the_last_record(log: Log) -> None:
    cut(log.state.segment, log.state.used)


def flip_padding(log: Log) -> None:
    padded = [each for each in log.records if 9 + len(each.data) < log.end(each) - each.offset]
    for record in padded:
        with open(log.state.segment, "rb") as file:
            file.seek(record.offset)
            if file.read(8)[7] & 7:
                flip(log.state.segment, log.end(record) - 1)
                return
    raise AssertionError("no record is padded")


def remove_the_snapshot(log: Log) -> None:
    """The log begins at its first entry, so all of it is replayed."""
    snapshot_of(log.state).unlink()


@pytest.mark.parametrize("harmless", [cut_behind_the_last_record, flip_padding, remove_the_snapshot])
def test_what_does_no_harm_is_no_damage(state: RealState, harmless: Callable[[Log], None]) -> None:
    whole = state.contents()
    harmless(log_of(state))
    found = state.contents()
    assert inventory_of_store(found) == inventory_of_store(whole)
    assert found.objects == whole.objects
    assert found.members == whole.members
    assert bool(found.position.warnings) is (harmless is cut_behind_the_last_record)


# Several segments. A log of two is made of the records of the real one.


@pytest.fixture
def two_segments(state: RealState, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The two segments of the state; the second begins at entry 38."""
    log = log_of(state)
    member = log.records[1].data
    middle = next(number for number, each in enumerate(log.records) if each is log.entries()[37])
    first, second = log.records[:middle], log.records[middle:]
    segment = Segment(0, 0, member=member)
    for record in first[2:]:
        segment.record(record.type, record.data)
    segment.record(HARD_STATE, [each.data for each in first if each.type == HARD_STATE][-1])
    following = Segment(1, 38, crc=segment.crc, member=member)
    for record in [*(each for each in first[::-1] if each.type == HARD_STATE)][:1] + second:
        following.record(record.type, record.data)
    size = max(len(segment.content), len(following.content) + 64)
    monkeypatch.setattr(_raft_wal, "SEGMENT_SIZE", len(segment.content))
    state.segment.write_bytes(segment.content)
    path = state.segment.with_name(following.name)
    path.write_bytes(following.content.ljust(size, b"\0"))
    return state.segment, path


def test_a_log_of_two_segments_holds_the_same(state: RealState, two_segments: tuple[Path, Path]) -> None:
    assert state.contents().position.last_index == 42
    assert {f"secret-{number}" for number in range(11)} == {each.name for each in state.contents().of_kind("secrets")}


def test_first_of_two_segments_is_missing(state: RealState, two_segments: tuple[Path, Path]) -> None:
    """Engines: failed to open WAL: wal: file not found."""
    two_segments[0].unlink()
    with pytest.raises(BadArchive, match="the segments or the snapshot before it are missing"):
        _raft_store.position(state.path)


def test_last_of_two_segments_is_missing(state: RealState, two_segments: tuple[Path, Path]) -> None:
    """Engines: active, 161 of 301 configs."""
    two_segments[1].unlink()
    with pytest.raises(BadArchive, match="the one that must follow it is missing"):
        _raft_store.position(state.path)


@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_first_of_two_segments_is_cut(state: RealState, two_segments: tuple[Path, Path], kept: float) -> None:
    """Engines: irreparable WAL error: unexpected EOF."""
    cut(two_segments[0], int(two_segments[0].stat().st_size * kept))
    with pytest.raises(BadArchive) as caught:
        _raft_store.position(state.path)
    assert caught.value.details["path"] == str(two_segments[0])


def test_tail_of_the_first_segment_is_zeroed(state: RealState, two_segments: tuple[Path, Path]) -> None:
    size = two_segments[0].stat().st_size
    write(two_segments[0], size - 700, bytes(700))
    with pytest.raises(BadArchive) as caught:
        _raft_store.position(state.path)
    assert caught.value.details["path"] == str(two_segments[0])


def test_snapshot_is_missing_and_the_first_segment_was_collected(
    state: RealState, two_segments: tuple[Path, Path]
) -> None:
    two_segments[0].unlink()
    snapshot_of(state).unlink()
    with pytest.raises(BadArchive, match="the segments or the snapshot before it are missing"):
        _raft_store.position(state.path)


# The snapshot. Engines rename it to .broken, and replay the whole log if they have it.


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda path: flip(path, path.stat().st_size // 2), "the checksum is "),
        (lambda path: flip(path, 2), "the checksum is |does not parse"),
        (lambda path: cut(path, path.stat().st_size - 1), "it was cut short"),
        (lambda path: cut(path, 0), "does not parse"),
        (lambda path: path.rename(path.with_name(f"{3:016x}-{32:016x}.snap")), "not what its name says"),
    ],
)
def test_damage_of_the_snapshot(state: RealState, damage: Callable[[Path], object], cause: str) -> None:
    damage(snapshot_of(state))
    with pytest.raises(BadArchive, match=cause) as caught:
        _raft_store.position(state.path)
    assert ".snap" in caught.value.details["path"]


# The keys


def replace_in_key(state: RealState, name: str, value: str) -> None:
    path = state.path / NODE_KEY
    lines = path.read_text().split("\n")
    path.write_text("\n".join(f"{name}: {value}" if line.startswith(f"{name}: ") else line for line in lines))


def test_key_of_another_store(state: RealState, tmp_path: Path) -> None:
    """Engines: no decryption key for record encrypted with SECRETBOX_SALSA20_POLY1305."""
    other = real_states.lay_out("20.10-new-leader", tmp_path / "other")
    headers = _node_key.parse_node_key((other.path / NODE_KEY).read_bytes()).headers
    replace_in_key(state, "raft-dek", headers["raft-dek"])
    _raft_store.position(state.path)
    with pytest.raises(BadArchive, match="does not open with the key in swarm-node.key") as caught:
        state.contents()
    assert ".snap" in caught.value.details["path"]
    snapshot_of(state).unlink()
    with pytest.raises(BadArchive, match="entry 1: it does not open with the key in swarm-node.key") as caught:
        state.contents()
    assert caught.value.details["offset"] > 0


def test_body_of_the_key_is_damaged(state: RealState) -> None:
    """Engines: tls: private key does not match public key."""
    path = state.path / NODE_KEY
    lines = path.read_text().split("\n")
    lines[6] = lines[6][:20] + ("A" if lines[6][20] != "A" else "B") + lines[6][21:]
    path.write_text("\n".join(lines))
    with pytest.raises(BadArchive, match="it is not the key of|its PKCS#8 body is damaged"):
        _state_facts.check_state(state.path, now=state.recorded, decode=True)


@pytest.mark.parametrize("engine", real_states.ENGINES)
def test_wrong_and_missing_unlock_key(engine: str, tmp_path: Path) -> None:
    state = real_states.lay_out(f"{engine}-locked", tmp_path)
    facts = _state_facts.check_state(state.path, unlock_key=state.unlock_key, now=state.recorded, decode=True)
    assert facts.key_is_current is True
    with pytest.raises(WrongKey, match="does not fit"):
        _state_facts.check_state(state.path, unlock_key=bytes(32), now=state.recorded, decode=True)
    with pytest.raises(WrongKey, match="no unlock key was given"):
        _state_facts.check_state(state.path, now=state.recorded, decode=True)
    assert _state_facts.check_state(state.path, now=state.recorded).raft is not None


@pytest.mark.parametrize("engine", real_states.ENGINES)
def test_the_key_before_a_rotation_opens_the_state_before_it_only(engine: str, tmp_path: Path) -> None:
    locked = real_states.lay_out(f"{engine}-locked", tmp_path / "locked")
    rotated = real_states.lay_out(f"{engine}-rotated", tmp_path / "rotated")
    with pytest.raises(WrongKey):
        _state_facts.check_state(rotated.path, unlock_key=locked.unlock_key, now=rotated.recorded, decode=True)
    # the key file of before, when the rotation had not arrived at this manager, beside the store of after
    shutil.copyfile(locked.path / NODE_KEY, rotated.path / NODE_KEY)
    facts = _state_facts.check_state(rotated.path, unlock_key=locked.unlock_key, now=rotated.recorded, decode=True)
    assert facts.key_is_current is False
