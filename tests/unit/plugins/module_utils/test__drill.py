# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _drill as module
from ansible_collections.quorate.swarm.plugins.module_utils import _raft_store
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import DaemonFailed, EngineError, TimedOut
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import StateFacts, read_state
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    KEY,
    OTHER_UNLOCK_KEY,
    SERVICE,
    UNLOCK_KEY,
    FakeHost,
    raft_contents,
    raft_position,
    store_of,
    write_state,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock


class FakePrivateEngine:
    """Takes the place of PrivateEngine: a fake host, whose state directory is in the folder.

    Attributes:
        made: The last one.
        broken: Lets the engine end by itself.
    """

    made: FakePrivateEngine
    api: FakeApi
    broken = False

    def __init__(self, folder: Path, *, addresses: set[str], hostname: str, limit: int) -> None:
        self.arguments = {"addresses": addresses, "hostname": hostname, "limit": limit}
        self.host = FakeHost(folder / "data", self.api, node=hostname)
        self.host.running = False
        self.host.peers_alive = False
        self.state = self.host.state.path
        self.engine = Engine()
        self.ended = False
        self.files: list[set[str]] = []
        self.api.answers["/containers/json"] = lambda dummy: [200, []]
        self.api.answers["/events"] = lambda dummy: [200, None]
        FakePrivateEngine.made = self

    def __enter__(self) -> FakePrivateEngine:
        return self

    def __exit__(self, *dummy: object) -> None:
        self.ended = True

    def start(self) -> None:
        self.engine.close()
        self.files.append({path.relative_to(self.state).as_posix() for path in self.state.rglob("*")})
        self.host.run(["systemctl", "start", SERVICE])

    def require_running(self) -> None:
        if self.broken:
            raise DaemonFailed("run a private engine", "it ended by itself: no luck")


@pytest.fixture(autouse=True)
def fakes(api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePrivateEngine, "api", api, raising=False)
    monkeypatch.setattr(module, "PrivateEngine", FakePrivateEngine)
    monkeypatch.setattr(_raft_store, "position", raft_position)
    monkeypatch.setattr(_raft_store, "contents", raft_contents)


def drill_in(folder: Path, *, managers: int = 3, unlock_key: str = "") -> module.Drill:
    """A drill of an archive of m2."""
    store = store_of(managers=managers, leader="m1", unlock_key=unlock_key)
    write_state(folder / "copy", store, node="m2", cluster="blue")
    key = KEY if unlock_key else None
    facts = read_state(folder / "copy", unlock_key=key, decode=True)
    return module.Drill(folder / "copy", facts, unlock_key=key, hostname="m2", folder=folder, wait_timeout=20)


def test_swarm_comes_back(tmp_path: Path) -> None:
    found = drill_in(tmp_path).run()
    private = FakePrivateEngine.made
    assert private.arguments == {"addresses": {"192.0.2.2"}, "hostname": "m2", "limit": 100}
    assert private.host.effects == ["start", "force new cluster"]
    assert private.ended
    assert (found["cluster_id"], found["node_id"], found["address"]) == ("blue", "id-m2", "192.0.2.2")
    assert (found["autolock"], found["key"], found["containers"]) == (False, "not_needed", 0)
    assert (found["difference"], found["engine_version"]) == ({}, "28.5.2")
    assert [step["step"] for step in found["steps"]] == [
        "start",
        "force a new cluster",
        "wait for the leader",
        "compare",
    ]


def test_the_engine_is_not_told_of_tasks_of_its_node(tmp_path: Path) -> None:
    drill_in(tmp_path).run()
    (files,) = FakePrivateEngine.made.files
    assert not any(name.startswith("worker") for name in files)


def test_the_engine_is_not_told_of_other_managers_for_which_it_would_wait(tmp_path: Path) -> None:
    drill_in(tmp_path).run()
    (files,) = FakePrivateEngine.made.files
    assert "docker-state.json" not in files
    assert "state.json" in files


@pytest.mark.parametrize(("known", "expected"), [("", "192.0.2.2"), ("192.0.2.77", "192.0.2.77")])
def test_the_engine_of_a_manager_that_joined_knows_its_address_without_a_route(
    tmp_path: Path, known: str, expected: str
) -> None:
    """All managers but this one have left since."""
    store = store_of(managers=2, leader="m2", unlock_key="")
    del store["nodes"][0]["ManagerStatus"]
    write_state(tmp_path / "copy", store, node="m2", cluster="blue")
    joined = {"LocalAddr": known, "RemoteAddr": "192.0.2.1:2377", "ListenAddr": "0.0.0.0:2377"}
    (tmp_path / "copy/docker-state.json").write_text(json.dumps(joined))
    drill = module.Drill(
        tmp_path / "copy",
        read_state(tmp_path / "copy", decode=True),
        unlock_key=None,
        hostname="m2",
        folder=tmp_path,
        wait_timeout=20,
    )
    drill.run()
    assert FakePrivateEngine.made.host.effects == ["start"]
    state = json.loads((FakePrivateEngine.made.state / "docker-state.json").read_text())
    assert state == {**joined, "LocalAddr": expected}


def test_unlock_key_is_proven_by_a_restart(tmp_path: Path) -> None:
    found = drill_in(tmp_path, unlock_key=UNLOCK_KEY).run()
    private = FakePrivateEngine.made
    assert private.host.effects == ["start", "force new cluster", "start", "unlock", "unlock"]
    assert private.host.condition == "manager"
    assert (found["autolock"], found["key"]) == (True, "proven")
    assert found["steps"][-1]["step"] == "restart and unlock"
    unlocks = [request.body["UnlockKey"] for request in private.api.requests if request.path == "/swarm/unlock"]
    assert unlocks[0] not in (UNLOCK_KEY, OTHER_UNLOCK_KEY)
    assert unlocks[1] == UNLOCK_KEY
    assert UNLOCK_KEY not in str(found)


def test_engine_that_accepts_any_key_is_found(tmp_path: Path) -> None:
    drill = drill_in(tmp_path, unlock_key=UNLOCK_KEY)
    FakePrivateEngine.made.api.answers["POST /swarm/unlock"] = lambda dummy: [200, None]
    with pytest.raises(EngineError, match="the engine accepted one that was made up"):
        drill.run()
    assert FakePrivateEngine.made.ended


def test_engine_that_comes_back_unlocked_is_found(tmp_path: Path) -> None:
    drill = drill_in(tmp_path, unlock_key=UNLOCK_KEY)
    private = FakePrivateEngine.made
    start = private.start

    def start_unlocked() -> None:
        start()
        private.host.unlocked = True

    private.start = start_unlocked  # type: ignore[method-assign]
    with pytest.raises(TimedOut, match="see the restarted manager locked"):
        drill.run()


def test_what_is_missing_is_found(tmp_path: Path) -> None:
    drill = drill_in(tmp_path)
    FakePrivateEngine.made.host.on_force = lambda store: store.update(secrets=[])
    with pytest.raises(EngineError, match="1 secrets are missing: password"):
        drill.run()
    assert FakePrivateEngine.made.ended


@pytest.mark.parametrize(
    ("path", "answer"),
    [("/containers/json", [{"Id": "a"}]), ("/events", {"Action": "create"})],
)
def test_what_runs_or_ran_is_found(tmp_path: Path, path: str, answer: Any) -> None:
    drill = drill_in(tmp_path)
    FakePrivateEngine.made.api.answers[path] = lambda dummy: [200, answer]
    with pytest.raises(EngineError, match="without running anything of it"):
        drill.run()


def test_engine_that_ends_by_itself_is_told_at_once(tmp_path: Path, clock: Clock) -> None:
    drill = drill_in(tmp_path)
    FakePrivateEngine.made.broken = True
    with pytest.raises(DaemonFailed, match="no luck"):
        drill.run()
    assert clock.pauses == []
    assert FakePrivateEngine.made.ended


@pytest.mark.parametrize(
    ("docker_state", "expected"),
    [
        ({"LocalAddr": "192.0.2.1", "AdvertiseAddr": "192.0.2.1:2377", "ListenAddr": "0.0.0.0:2377"}, {"192.0.2.1"}),
        ({"ListenAddr": "[::]:2377", "AdvertiseAddr": "[2001:db8::1]:2377"}, {"2001:db8::1"}),
        ({"AdvertiseAddr": "192.0.2.1:2377", "DataPathAddr": "198.51.100.7"}, {"192.0.2.1", "198.51.100.7"}),
        ({"AdvertiseAddr": "192.0.2.1:2377", "DataPathAddr": "eth7", "ListenAddr": "127.0.0.1:2377"}, {"192.0.2.1"}),
        ({}, set()),
    ],
)
def test_addresses_that_the_engine_needs(docker_state: dict[str, str], expected: set[str]) -> None:
    assert module.addresses_of(StateFacts(docker_state=docker_state)) == expected


def test_folder_is_private_and_removed(tmp_path: Path) -> None:
    place = StateDir(tmp_path / "swarm")
    left = tmp_path / ".quorate-swarm-drill-of-a-killed-run"
    left.mkdir()
    with pytest.raises(ZeroDivisionError), module.folder_beside(place) as folder:
        assert not left.exists()
        assert (folder.parent, folder.stat().st_mode & 0o777) == (tmp_path, 0o700)
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
