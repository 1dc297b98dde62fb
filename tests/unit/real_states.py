# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives tests the real state directories of real engines that fixtures/record_states.py has recorded."""

from __future__ import annotations

import dataclasses
import json
import tarfile
from pathlib import Path
from typing import Any, Mapping

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _node_key, _raft_store, _raft_wal

STATES = Path(__file__).with_name("fixtures") / "states"
ENGINES = ("20.10", "28.5")
NODE_KEY = "certificates/swarm-node.key"
FIRST_SEGMENT = "raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal"


@dataclasses.dataclass(frozen=True)
class RealState:
    """A state directory on disk.

    Attributes:
        path: The directory.
        recorded: When it was recorded, in seconds since 1970.
        unlock_key: The unlock key in use then; None without autolock.
        live: What the API said before: per kind, C(id), C(name) and C(version) of each object.
    """

    path: Path
    recorded: float
    unlock_key: bytes | None
    live: Mapping[str, Any]

    @property
    def segment(self) -> Path:
        """The only segment of its log."""
        return self.path / FIRST_SEGMENT

    @property
    def used(self) -> int:
        """Bytes of that segment that are in use."""
        with open(self.segment, "rb") as file:
            return len(file.read(1 << 24).rstrip(b"\0")) + 7 & -8

    def contents(self) -> _raft_store.RaftContents:
        node_key = _node_key.parse_node_key((self.path / NODE_KEY).read_bytes())
        return _raft_store.contents(self.path, _node_key.raft_keys(node_key, self.unlock_key))


def use_small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let segments be preallocated to 1 MiB: reading the zeros of many real ones takes long, and shows nothing more."""
    monkeypatch.setattr(_raft_wal, "SEGMENT_SIZE", 1 << 20)


def names() -> list[str]:
    """The names of all recorded states: ENGINE-NAME."""
    return sorted(path.name[: -len(".tar.xz")] for path in STATES.glob("*.tar.xz"))


def lay_out(name: str, target: Path) -> RealState:
    """Write a recorded state to a directory."""
    engine, dummy, short = name.partition("-")
    facts = json.loads((STATES / f"{engine}.json").read_text())[short]
    with tarfile.open(STATES / f"{name}.tar.xz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            path = target / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            if file is not None:
                path.write_bytes(file.read())
            if path.suffix == ".wal":
                with open(path, "r+b") as segment:
                    segment.truncate(_raft_wal.SEGMENT_SIZE)
    key = _node_key.parse_unlock_key(facts["unlock_key"]) if facts["unlock_key"] else None
    return RealState(path=target, recorded=facts["recorded"], unlock_key=key, live=facts["live"])
