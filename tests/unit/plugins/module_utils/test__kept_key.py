# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new unlock key that never got to anybody is found with the old one and the copy of the key file from before."""

from __future__ import annotations

import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _kept_key, _node_key, _raft_store
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, Refused
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    KEY,
    NODE_KEY,
    OTHER_UNLOCK_KEY,
    UNLOCK_KEY,
    node_key_pem,
)

NEW = _node_key.parse_unlock_key(OTHER_UNLOCK_KEY)
COPY = "quorate-swarm-node.key"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of a manager that is sealed by the old key."""
    path = tmp_path / "docker/swarm"
    (path / NODE_KEY).parent.mkdir(parents=True)
    (path / NODE_KEY).write_bytes(node_key_pem(UNLOCK_KEY))
    return path


def rotate(state: Path, monkeypatch: pytest.MonkeyPatch, *, committed: bool = True, store: Any = None) -> None:
    """Seal the key file by the new key, which the raft store holds, at its very end or before."""
    (state / NODE_KEY).write_bytes(node_key_pem(OTHER_UNLOCK_KEY))

    def contents(directory: Path, keys: Any) -> Any:
        assert directory == state
        old, new = SimpleNamespace(unlock_keys=(KEY,)), SimpleNamespace(unlock_keys=(NEW,))
        changes = [] if committed else [SimpleNamespace(object=SimpleNamespace(cluster=each)) for each in (None, new)]
        return SimpleNamespace(cluster=new if committed else old, uncommitted=changes)

    monkeypatch.setattr(_raft_store, "contents", store or contents)


@pytest.mark.parametrize("committed", [True, False])
def test_the_new_key_is_found(state: Path, monkeypatch: pytest.MonkeyPatch, committed: bool) -> None:
    assert _kept_key.keep(state)
    assert not _kept_key.keep(state), "it is there"
    copy = state.parent / COPY
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert copy.read_bytes() == (state / NODE_KEY).read_bytes()
    rotate(state, monkeypatch, committed=committed)
    assert _kept_key.lost_key(state, [bytes(31) + b"x", KEY]) == NEW
    assert _kept_key.discard(state)
    assert not _kept_key.discard(state)
    assert _kept_key.lost_key(state, [KEY]) is None


def test_without_the_old_key_nothing_is_found(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _kept_key.keep(state)
    rotate(state, monkeypatch)
    assert _kept_key.lost_key(state, []) is None
    assert _kept_key.lost_key(state, [bytes(31) + b"x"]) is None


def test_a_key_of_the_store_that_does_not_open_the_key_file_is_none(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kept_key.keep(state)
    rotate(state, monkeypatch)
    (state / NODE_KEY).write_bytes(node_key_pem("SWMKEY-1-" + "E" * 43))
    assert _kept_key.lost_key(state, [KEY]) is None


def test_a_store_that_is_damaged_gives_nothing_back(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(directory: Path, keys: Any) -> Any:
        raise BadArchive("read the raft store", "a checksum does not match")

    _kept_key.keep(state)
    rotate(state, monkeypatch, store=damaged)
    assert _kept_key.lost_key(state, [KEY]) is None


def test_a_copy_that_is_damaged_gives_nothing_back(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (state.parent / COPY).write_text("nothing")
    rotate(state, monkeypatch)
    assert _kept_key.lost_key(state, [KEY]) is None


def test_an_open_key_file_is_not_copied(state: Path) -> None:
    (state / NODE_KEY).write_bytes(node_key_pem())
    assert not _kept_key.keep(state)
    assert not (state.parent / COPY).exists()


def test_a_symbolic_link_in_the_way_is_not_followed(state: Path) -> None:
    (state.parent / f"{COPY}.partial").symlink_to(state.parent / "elsewhere")
    with pytest.raises(Refused):
        _kept_key.keep(state)
    assert not (state.parent / "elsewhere").exists()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="Give the state directory of this engine"):
        _kept_key.keep(tmp_path)
