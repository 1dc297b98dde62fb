# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of them in a recovery, test__recover.py tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._changed_settings import ChangedSettings
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import EngineError, SwarmError
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi, Request

USUAL = {"SnapshotInterval": 10_000, "LogEntriesForSlowFollowers": 500}


class World:
    """A swarm of which the settings are known, and the place of a state directory."""

    def __init__(self, folder: Path, api: FakeApi) -> None:
        self.note = folder / "swarm.settings"
        self.spec: dict[str, Any] = {"Raft": dict(USUAL), "Name": "default"}
        self.written: list[dict[str, Any]] = []
        api.answers["GET /swarm"] = lambda dummy: [200, {"ID": "blue", "Version": {"Index": 7}, "Spec": self.spec}]
        api.answers["POST /swarm/update"] = self._update
        self.settings = ChangedSettings(Engine(), folder / "swarm")

    def _update(self, request: Request) -> list[Any]:
        self.spec = request.body
        self.written.append(self.spec["Raft"])
        return [200, ""]


@pytest.fixture
def world(tmp_path: Path, api: FakeApi) -> World:
    return World(tmp_path, api)


def test_they_are_changed_for_the_time_of_the_block(world: World) -> None:
    with world.settings.changed("Raft", {"SnapshotInterval": 1}) as index:
        assert index == 7
        assert world.spec == {"Raft": {**USUAL, "SnapshotInterval": 1}, "Name": "default"}
        assert json.loads(world.note.read_text()) == {"cluster_id": "blue", "section": "Raft", "usual": USUAL}
    assert world.spec["Raft"] == USUAL
    assert list(world.note.parent.iterdir()) == []


def test_a_section_that_the_swarm_does_not_tell_is_put_back_as_it_was(world: World) -> None:
    del world.spec["Raft"]
    with world.settings.changed("Raft", {"SnapshotInterval": 1}):
        pass
    assert world.written == [{"SnapshotInterval": 1}, {}]


def test_where_the_block_fails_they_can_still_be_put_back(world: World) -> None:
    with pytest.raises(KeyError), world.settings.changed("Raft", {"SnapshotInterval": 1}):
        raise KeyError
    assert world.spec["Raft"]["SnapshotInterval"] == 1
    assert world.settings.put_back() is True
    assert world.spec["Raft"] == USUAL
    assert world.settings.put_back() is False
    assert len(world.written) == 2


def test_what_somebody_has_put_back_is_not_written_again(world: World) -> None:
    world.note.write_text(json.dumps({"cluster_id": "blue", "section": "Raft", "usual": USUAL}))
    assert world.settings.put_back() is False
    assert (world.written, world.note.exists()) == ([], False)


def test_nothing_is_changed_that_cannot_be_noted(world: World) -> None:
    world.note.with_name("swarm.settings.partial").mkdir()
    with pytest.raises(
        SwarmError, match="Could not note the settings of the swarm in .*swarm.settings: "
    ), world.settings.changed("Raft", {"SnapshotInterval": 1}):
        pytest.fail("they are changed")
    assert world.written == []


def test_the_note_stays_until_they_are_put_back(world: World, api: FakeApi) -> None:
    world.note.write_text(json.dumps({"cluster_id": "blue", "section": "Raft", "usual": {"SnapshotInterval": 5}}))
    api.answers["POST /swarm/update"] = [500, {"message": "no"}]
    with pytest.raises(EngineError):
        world.settings.put_back()
    assert world.note.exists()
