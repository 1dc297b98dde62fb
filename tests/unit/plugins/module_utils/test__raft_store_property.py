# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to the bytes of an archive: it is refused as a bad archive, or nothing of the swarm in it is lost."""

from __future__ import annotations

import dataclasses
import shutil
import tarfile
from pathlib import Path
from typing import Any, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.quorate.swarm.plugins.module_utils import _archive, _raft_wal, _state_facts
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive
from ansible_collections.quorate.swarm.plugins.module_utils._raft_inventory import (
    inventory_of_store,
    require_manifest,
)
from ansible_collections.quorate.swarm.tests.unit import real_states

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@dataclasses.dataclass(frozen=True)
class Damage:
    """What happens to a file: a kind of damage, where it begins (0 to 1 of its size) and how long it is, in bytes."""

    kind: str
    place: float
    length: int
    value: int

    def apply(self, data: bytes) -> bytes:
        begin = int(self.place * (len(data) - 1))
        end = begin + self.length
        if self.kind == "flip":
            return data[:begin] + bytes([data[begin] ^ self.value]) + data[begin + 1 :]
        if self.kind == "cut":
            return data[:begin]
        if self.kind == "zero":
            return data[:begin] + bytes(len(data[begin:end])) + data[end:]
        if self.kind == "drop":
            return data[:begin] + data[end:]
        return data[:end] + data[begin:]  # duplicate


damages = st.lists(
    st.builds(
        Damage,
        kind=st.sampled_from(["flip", "cut", "zero", "drop", "duplicate"]),
        place=st.floats(0, 1),
        length=st.one_of(st.integers(1, 64), st.integers(1, 1 << 16)),
        value=st.integers(1, 255),
    ),
    min_size=1,
    max_size=3,
)


@dataclasses.dataclass(frozen=True)
class Sound:
    """A sound state directory and its archive, what they hold, and room for damaged ones."""

    state: real_states.RealState
    archive: bytes
    manifest: Any
    work: Path
    #: Where the records of the log begin, in bytes.
    borders: list[int]

    @property
    def inventory(self) -> Any:
        return self.manifest["inventory"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sound]:
    """The archive is a plain tar file: with compression every damage would be found by that alone."""
    work = tmp_path_factory.mktemp("sound")
    patch = pytest.MonkeyPatch()
    patch.setattr(_raft_wal, "SEGMENT_SIZE", 1 << 16)
    state = real_states.lay_out("28.5-snapshot", work / "state")
    facts = _state_facts.check_state(state.path, now=state.recorded, decode=True)
    with tarfile.open(work / "plain.tar", "w") as tar:
        tar.add(state.path, "swarm")
    (segment,) = _raft_wal.segments_from(state.path, 0)
    yield Sound(
        state=state,
        archive=(work / "plain.tar").read_bytes(),
        manifest=_state_facts.manifest_of(facts, unlock_key=None),
        work=work,
        borders=[record.offset for record in _raft_wal.records(segment, crc=0, is_last=True)],
    )
    patch.undo()


def changed(sound: Sound, victim: Path, data: bytes) -> Path:
    """A copy of the state directory in which one file has other content."""
    copy = sound.work / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(sound.state.path, copy)
    (copy / victim.relative_to(sound.state.path)).write_bytes(data)
    return copy


def inventory_if_good(sound: Sound, directory: Path) -> Any:
    """What a verification tells; None when it refuses."""
    try:
        facts = _state_facts.check_state(directory, now=sound.state.recorded, decode=True)
        if facts.contents is None:
            raise BadArchive("check", "it is a worker's")
        require_manifest(sound.manifest, facts.contents, attempted="check")
    except BadArchive:
        return None
    return inventory_of_store(facts.contents)


@SETTINGS
@given(damages=damages, which=st.integers(0, 1 << 16))
def test_damaged_file_of_a_state_directory(sound: Sound, damages: list[Damage], which: int) -> None:
    files = sorted(path for path in sound.state.path.rglob("*") if path.is_file())
    files += [path for path in files if "raft/" in path.as_posix()] * 3  # that is where the swarm is
    victim = files[which % len(files)]
    data = victim.read_bytes()
    for damage in damages:
        data = damage.apply(data) if data else data
    assert inventory_if_good(sound, changed(sound, victim, data)) in (None, sound.inventory)


@SETTINGS
@given(border=st.integers(0, 10_000), zeroed=st.booleans())
def test_log_that_ends_at_the_border_of_a_record(sound: Sound, border: int, zeroed: bool) -> None:
    """Nothing but the manifest finds it."""
    data = sound.state.segment.read_bytes()
    end = sound.borders[border % len(sound.borders)]
    rest = bytes(len(data) - end) if zeroed else b""
    assert inventory_if_good(sound, changed(sound, sound.state.segment, data[:end] + rest)) in (None, sound.inventory)


@SETTINGS
@given(damages=damages)
def test_damaged_archive_without_checksums(sound: Sound, damages: list[Damage]) -> None:
    data = sound.archive
    for damage in damages:
        data = damage.apply(data) if data else data
    path, target = sound.work / "damaged.tar", sound.work / "extracted"
    path.write_bytes(data)
    shutil.rmtree(target, ignore_errors=True)
    try:
        _archive.extract(_archive.verify(path, allow_missing_manifest=True), target)
    except BadArchive:
        return
    assert inventory_if_good(sound, target) in (None, sound.inventory)


def test_without_damage_it_is_good(sound: Sound) -> None:
    assert inventory_if_good(sound, sound.state.path) == sound.inventory
