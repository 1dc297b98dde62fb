# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import (
    _daemon,
    _force_new_cluster,
    _raft_store,
    _recover,
    _state_dir,
)
from ansible_collections.quorate.swarm.plugins.module_utils._fence import Peer
from ansible_collections.quorate.swarm.plugins.modules import swarm_recover as module
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    UNLOCK_KEY,
    FakeHost,
    raft_contents,
    raft_newest_term,
    raft_position,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

OPTIONS = {"unlock_key": UNLOCK_KEY, "down_managers": ["id-m1", "192.0.2.3"], "settle_timeout": 0}


@pytest.fixture
def host(tmp_path: Path, api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """The manager m2 of an autolocked swarm of three, whose other two managers are gone."""
    host = FakeHost(tmp_path / "docker", api).join(unlock_key=UNLOCK_KEY)
    host.peers_alive = False
    monkeypatch.setattr(AnsibleModule, "run_command", lambda self, argv: host.run(argv))
    monkeypatch.setattr(_daemon.os.path, "isdir", lambda path: path == "/run/systemd/system")
    monkeypatch.setattr(_raft_store, "position", raft_position)
    monkeypatch.setattr(_raft_store, "newest_term", raft_newest_term)
    monkeypatch.setattr(_raft_store, "contents", raft_contents)
    monkeypatch.setattr(_state_dir.StateDir, "require_room", lambda self, needed: None)
    for user in (_recover, _force_new_cluster):
        monkeypatch.setattr(user, "probe_all", lambda addresses, cluster_id: [Peer(a, "silent", "") for a in addresses])
    return host


def test_recover(host: FakeHost, run_module: RunModule) -> None:
    result = run_module(module.main, **OPTIONS)
    assert not result.get("failed"), result
    assert (result["changed"], result["outcome"]) == (True, "recovered")
    assert (result["cluster_id"], result["node_id"], result["address"]) == ("blue", "id-m2", "192.0.2.2")
    assert (result["autolock"], result["difference"]) == (True, {})
    assert [entry["name"] for entry in result["inventory"]["services"]] == ["web"]
    assert result["managers"][0] == {"id": "id-m1", "address": "192.0.2.1"}
    assert result["peers"][0] == {"address": "192.0.2.1:2377", "state": "silent", "detail": ""}
    assert Path(result["quarantine"]).is_dir()
    assert [entry["step"] for entry in result["steps"]] == [
        "see whether the quorum is lost",
        "check the state directory",
        "fence the other managers",
        "see that it has written what is committed",
        "stop",
        "swap the state directories",
        "start outside the swarm",
        "uncover the state",
        "look for other managers once more",
        "force a new cluster",
        "wait for the leader",
        "compare",
        "give the workers time",
    ]
    assert "SWM" not in json.dumps(result)
    assert "deprecations" not in result


def test_a_second_run_changes_nothing(host: FakeHost, run_module: RunModule) -> None:
    run_module(module.main, **OPTIONS)
    host.effects.clear()
    result = run_module(module.main, **OPTIONS)
    assert (result["changed"], result["outcome"], host.effects) == (False, "has_quorum", [])


@pytest.mark.parametrize("check", [True, False])
def test_what_a_run_left_that_lost_its_power_is_removed_where_there_is_a_quorum(
    host: FakeHost, run_module: RunModule, check: bool
) -> None:
    run_module(module.main, **OPTIONS)
    left = host.state.path.with_name(".quorate-swarm-recovery-left")
    left.mkdir()
    result = run_module(module.main, check=check, settle_timeout=0)
    assert (result["changed"], result["outcome"], left.exists()) == (not check, "has_quorum", check)
    assert run_module(module.main, settle_timeout=0)["changed"] is check


def test_check_mode_changes_nothing(host: FakeHost, run_module: RunModule) -> None:
    before = host.tree()
    result = run_module(module.main, check=True, **OPTIONS)
    assert (result["changed"], result["outcome"]) == (True, "recoverable")
    assert (host.effects, host.tree()) == ([], before)


@pytest.mark.parametrize("check", [True, False])
def test_what_is_known_is_returned_with_a_refusal(host: FakeHost, run_module: RunModule, check: bool) -> None:
    result = run_module(module.main, check=check, **{**OPTIONS, "down_managers": ["id-m1"]})
    assert (result["failed"], result["error"]) == (True, "refused")
    assert result["error_details"] == {"managers": ["id-m3"]}
    assert (result["cluster_id"], result["autolock"]) == ("blue", True)
    assert [peer["state"] for peer in result["peers"]] == ["silent", "silent"]
    assert host.effects == []


def test_a_quorum_that_came_back_is_told(host: FakeHost, run_module: RunModule) -> None:
    host.peers_alive = False
    host.mounts = False
    run = host.run

    def start(argv: list[str]) -> Any:
        host.peers_alive = argv[:2] == ["systemctl", "start"] or host.peers_alive
        return run(argv)

    host.run = start  # type: ignore[method-assign]
    result = run_module(module.main, **OPTIONS)
    assert (result["changed"], result["outcome"], result["quarantine"]) == (True, "quorum_returned", None)


def test_a_key_that_was_not_sealed_again_is_a_warning(
    host: FakeHost, run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.mounts = False
    run = host.run

    def start(argv: list[str]) -> Any:
        host.peers_alive = argv[:2] == ["systemctl", "start"] or host.peers_alive
        return run(argv)

    host.run = start  # type: ignore[method-assign]
    monkeypatch.setattr(host, "_seal", lambda: None)
    said: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: said.append(text))
    result = run_module(module.main, **OPTIONS)
    assert result["outcome"] == "quorum_returned"
    assert said == ["the engine did not seal its key again"]


def test_options_reach_the_recovery(host: FakeHost, run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    make = module.Recover.__init__

    def note(self: Any, **parts: Any) -> None:
        seen.append(parts)
        make(self, **parts)

    monkeypatch.setattr(module.Recover, "__init__", note)
    options: dict[str, Any] = {"settle_timeout": 1, "wait_timeout": 7, "dead_man_timeout": 0}
    host.running = False
    run_module(
        module.main,
        down_managers=["a", "b"],
        unlock_key=UNLOCK_KEY,
        state_directory="/data/swarm",
        service_name="docker-ce",
        **options,
    )
    (parts,) = seen
    assert parts["options"] == module.RecoverOptions(unlock_keys=(UNLOCK_KEY,), down_managers=("a", "b"), **options)
    assert parts["state"].path == Path("/data/swarm")
    assert parts["host_addresses"] == frozenset(["192.0.2.2", "127.0.0.1"])
    assert parts["daemon"]._service == "docker-ce"
