# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which entries count, on stores that are written here. Real stores are in the tests beside this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _raft_store as module
from ansible_collections.quorate.swarm.plugins.module_utils import _raft_wal
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive
from ansible_collections.quorate.swarm.plugins.module_utils._raft_seal import RaftKeys
from ansible_collections.quorate.swarm.tests.unit.plugins.module_utils.test__raft_seal import KEY, OTHER_KEY, sealed
from ansible_collections.quorate.swarm.tests.unit.plugins.module_utils.test__raft_store import (
    MEMBER,
    Segment,
    bytes_field,
    first_segment,
    varint_field,
)

CREATE, UPDATE, REMOVE = 1, 2, 3
SECRET, CLUSTER = 7, 6


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_raft_wal, "SEGMENT_SIZE", 64_000)


def thing(name: str, version: int = 1) -> bytes:
    """An object whose ID is made of its name."""
    spec = bytes_field(1, bytes_field(1, name.encode())) + bytes_field(2, b"never shown")
    meta = bytes_field(1, varint_field(1, version))
    return bytes_field(1, f"id-{name}".encode()) + bytes_field(2, meta) + bytes_field(3, spec)


def action(verb: int, kind: int, content: bytes) -> bytes:
    """A request with one action."""
    return varint_field(1, 99) + bytes_field(2, varint_field(1, verb) + bytes_field(kind, content))


def add(
    segment: Segment, index: int, plain: bytes, *, kind: int = 0, term: int = 2, key: bytes = KEY, commit: int = 0
) -> None:
    """Write an entry and, with *commit*, a hard state behind it."""
    head = varint_field(1, kind) + varint_field(2, term) + varint_field(3, index)
    segment.record(2, head + bytes_field(4, sealed(plain, key=key)))
    if commit:
        segment.state(commit, term=term)


def member_change(verb: int, raft_id: int, member: bytes = b"") -> bytes:
    return varint_field(1, 1) + varint_field(2, verb) + varint_field(3, raft_id) + bytes_field(4, member)


@pytest.fixture
def segment() -> Segment:
    """The log of a swarm with one manager and the secret a; three entries are committed."""
    made = first_segment()
    add(made, 1, member_change(0, 77, MEMBER), kind=1)
    add(made, 2, action(CREATE, CLUSTER, thing("default")))
    add(made, 3, action(CREATE, SECRET, thing("a")), commit=3)
    return made


def read(segment: Segment, directory: Path, *keys: bytes) -> module.RaftContents:
    segment.write(directory)
    return module.contents(directory, RaftKeys(keys or [KEY]))


def secrets(contents: module.RaftContents) -> dict[str, int]:
    return {found.name: found.version for found in contents.of_kind("secrets")}


def test_objects_are_created_updated_and_removed(segment: Segment, tmp_path: Path) -> None:
    add(segment, 4, action(CREATE, SECRET, thing("b")))
    add(segment, 5, action(UPDATE, SECRET, thing("a", 5)))
    add(segment, 6, action(REMOVE, SECRET, thing("b")))
    add(segment, 7, b"", commit=7)  # a new leader begins with an empty entry
    contents = read(segment, tmp_path)
    assert secrets(contents) == {"a": 5}
    assert (contents.cluster_object.id, contents.uncommitted) == ("id-default", ())
    assert contents.members == (module.RaftMember(77, "nodeid", "192.0.2.11:2377"),)
    assert "never shown" not in repr(contents)


def test_what_is_not_committed_is_told_apart(segment: Segment, tmp_path: Path) -> None:
    add(segment, 4, action(REMOVE, SECRET, thing("a")))
    add(segment, 5, member_change(1, 77), kind=1)
    contents = read(segment, tmp_path)
    assert secrets(contents) == {"a": 1}
    assert [(change.action, change.object.name) for change in contents.uncommitted] == [("remove", "a")]
    assert len(contents.members) == 1


def test_managers_come_go_and_change_their_address(segment: Segment, tmp_path: Path) -> None:
    other = varint_field(1, 78) + bytes_field(2, b"other") + bytes_field(3, b"192.0.2.12:2377")
    moved = varint_field(1, 77) + bytes_field(2, b"nodeid") + bytes_field(3, b"192.0.2.99:2377")
    add(segment, 4, member_change(0, 78, other), kind=1)
    add(segment, 5, member_change(2, 77, moved), kind=1, commit=5)
    assert [member.address for member in read(segment, tmp_path).members] == ["192.0.2.99:2377", "192.0.2.12:2377"]
    add(segment, 6, member_change(1, 78), kind=1, commit=6)
    assert [member.node_id for member in read(segment, tmp_path).members] == ["nodeid"]


def test_a_new_leader_replaces_what_was_not_committed(segment: Segment, tmp_path: Path) -> None:
    add(segment, 4, action(CREATE, SECRET, thing("lost")))
    add(segment, 5, action(CREATE, SECRET, thing("lost too")))
    add(segment, 4, action(CREATE, SECRET, thing("kept")), term=3, commit=4)
    contents = read(segment, tmp_path)
    assert (secrets(contents), contents.uncommitted) == ({"a": 1, "kept": 1}, ())


def test_what_was_committed_is_not_replaced(segment: Segment, tmp_path: Path) -> None:
    add(segment, 3, action(CREATE, SECRET, thing("other")), term=3, commit=3)
    with pytest.raises(BadArchive, match="entry 3 replaces one that was committed"):
        read(segment, tmp_path)


def test_records_under_either_key_while_it_is_exchanged(segment: Segment, tmp_path: Path) -> None:
    add(segment, 4, action(CREATE, SECRET, thing("b")), key=OTHER_KEY, commit=4)
    assert secrets(read(segment, tmp_path, OTHER_KEY, KEY)) == {"a": 1, "b": 1}
    with pytest.raises(BadArchive, match="entry 4: it does not open") as caught:
        read(segment, tmp_path, KEY)
    assert caught.value.details["offset"] == segment.offsets[-2]


def test_entries_of_an_unknown_type(segment: Segment, tmp_path: Path) -> None:
    add(segment, 4, b"", kind=2, commit=4)
    with pytest.raises(BadArchive, match="unknown type 2"):
        read(segment, tmp_path)


def test_content_that_does_not_parse(segment: Segment, tmp_path: Path) -> None:
    add(segment, 4, action(CREATE, SECRET, b"\x0a\xff"), commit=4)
    with pytest.raises(BadArchive, match="entry 4: what is sealed in it does not parse"):
        read(segment, tmp_path)


def test_store_without_a_swarm(tmp_path: Path) -> None:
    segment = first_segment()
    add(segment, 1, action(CREATE, SECRET, thing("a")), commit=1)
    with pytest.raises(BadArchive, match="the swarm is empty"):
        read(segment, tmp_path)
