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
    _restore,
    _state_dir,
)
from ansible_collections.quorate.swarm.plugins.module_utils._fence import Peer
from ansible_collections.quorate.swarm.plugins.modules import swarm_backup
from ansible_collections.quorate.swarm.plugins.modules import swarm_restore as module
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    OTHER_UNLOCK_KEY,
    UNLOCK_KEY,
    FakeHost,
    raft_contents,
    raft_newest_index,
    raft_position,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

UP = [
    "arm",
    "stop",
    "cover",
    "start",
    "uncover",
    "force new cluster",
    "heartbeat 30 s",
    "stop",
    "start",
    "unlock",
    "heartbeat 5 s",
    "disarm",
]


class World:
    """A fresh host on which modules run, and an archive of a lost manager that had its address."""

    def __init__(self, host: FakeHost, archive: str) -> None:
        self.host = host
        self.archive = archive
        self.peers = [Peer("192.0.2.1:2377", "silent", "no answer"), Peer("192.0.2.3:2377", "closed", "it is up")]


@pytest.fixture
def world(tmp_path: Path, api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch, run_module: RunModule) -> World:
    hosts = [FakeHost(tmp_path / "lost", api).join(unlock_key=UNLOCK_KEY)]
    monkeypatch.setattr(AnsibleModule, "run_command", lambda self, argv: hosts[-1].run(argv))
    monkeypatch.setattr(_daemon.os.path, "isdir", lambda path: path == "/run/systemd/system")
    monkeypatch.setattr(_raft_store, "position", raft_position)
    monkeypatch.setattr(_raft_store, "newest_index", raft_newest_index)
    monkeypatch.setattr(_raft_store, "contents", raft_contents)
    monkeypatch.setattr(_state_dir.StateDir, "require_room", lambda self, needed: None)
    archive = run_module(swarm_backup.main, directory=str(tmp_path / "backups"))["archive"]
    hosts.append(FakeHost(tmp_path / "docker", api, node="fresh"))
    hosts[-1].peers_alive = False
    world = World(hosts[-1], archive)
    for user in (_restore, _force_new_cluster):
        monkeypatch.setattr(user, "probe_all", lambda addresses, cluster_id: world.peers)
    return world


def test_restore(world: World, run_module: RunModule) -> None:
    result = run_module(module.main, archive=world.archive, unlock_key=UNLOCK_KEY)
    assert not result.get("failed"), result
    assert result["changed"] is True
    assert (result["cluster_id"], result["node_id"], result["address"]) == ("blue", "id-m2", "192.0.2.2")
    assert (result["autolock"], result["difference"], result["quarantine"]) == (True, {}, None)
    assert [entry["name"] for entry in result["inventory"]["services"]] == ["web"]
    assert [entry["id"] for entry in result["managers"]] == ["id-m1", "id-m2", "id-m3"]
    assert result["peers"][0] == {"address": "192.0.2.1:2377", "state": "silent", "detail": "no answer"}
    assert "files" not in result["manifest"]
    assert result["steps"][-1]["step"] == "give the workers time"
    assert world.host.effects == UP
    assert world.host.condition == "manager"


def test_what_the_operator_should_know_is_a_warning(world: World, run_module: RunModule) -> None:
    world.host.engine_version, world.host.snapshots = "20.10.24", False
    result = run_module(module.main, archive=world.archive, unlock_key=UNLOCK_KEY, allow_engine_downgrade=True)
    assert (result["changed"], result["steps"][-1]["step"]) == (True, "shorten the raft log")
    assert "The raft log could not be shortened" in str(result["warnings"])


def test_check_mode_verifies_everything_and_changes_nothing(world: World, run_module: RunModule) -> None:
    before = world.host.tree()
    result = run_module(module.main, archive=world.archive, unlock_key=UNLOCK_KEY, check=True)
    assert not result.get("failed"), result
    assert (result["changed"], result["cluster_id"], result["autolock"]) == (True, "blue", True)
    assert [entry["step"] for entry in result["steps"]] == [
        "verify the archive",
        "extract and check a copy",
        "check this host",
        "fence the other managers",
    ]
    assert (world.host.effects, world.host.tree()) == ([], before)
    assert [path.name for path in world.host.state.path.parent.iterdir()] == ["swarm"]


def test_check_mode_and_restore_return_the_same_address(world: World, run_module: RunModule) -> None:
    """The IP address, as the manifest has it; a role compares it with the inventory."""
    checked, made = (
        run_module(module.main, archive=world.archive, unlock_key=UNLOCK_KEY, check=check) for check in (True, False)
    )
    assert checked["address"] == made["address"]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(("key", "kind"), [(None, "wrong_key"), (OTHER_UNLOCK_KEY, "wrong_key")])
def test_a_wrong_key_is_refused_before_anything_is_touched(
    world: World, run_module: RunModule, key: Any, kind: str, check: bool
) -> None:
    before = world.host.tree()
    result = run_module(module.main, archive=world.archive, unlock_key=key, check=check)
    assert (result["failed"], result["error"]) == (True, kind)
    assert result["error_details"]["fingerprint"].startswith("uk1:")
    assert (world.host.effects, world.host.tree()) == ([], before)
    assert [path.name for path in world.host.state.path.parent.iterdir()] == ["swarm"]


def test_no_secret_is_in_any_result(world: World, run_module: RunModule) -> None:
    for key in (OTHER_UNLOCK_KEY, UNLOCK_KEY):
        result = run_module(module.main, archive=world.archive, unlock_key=key)
        assert "SWM" not in json.dumps(result)


@pytest.mark.parametrize("check", [True, False])
def test_a_live_manager_is_refused_also_in_check_mode(world: World, run_module: RunModule, check: bool) -> None:
    world.peers = [Peer("192.0.2.3:2377", "alive", "manager id-m3 of this swarm answers")]
    result = run_module(module.main, archive=world.archive, unlock_key=UNLOCK_KEY, check=check)
    assert (result["failed"], result["error"]) == (True, "refused")
    assert result["error_details"]["peers"][0]["address"] == "192.0.2.3:2377"
    assert world.host.effects == []


def test_an_error_says_that_it_was_rolled_back(world: World, run_module: RunModule) -> None:
    world.host.on_force = lambda store: store["services"].clear()
    result = run_module(module.main, archive=world.archive, unlock_key=UNLOCK_KEY)
    assert (result["failed"], result["error"]) == (True, "engine_error")
    assert "1 services are missing: web" in result["msg"]
    assert result["error_details"]["rolled_back"] is True
    assert result["error_details"]["difference"]["services"]["missing"] == [
        {"id": "id-web", "name": "web", "version": 7}
    ]
    assert result["steps"][-1]["step"] == "roll back"
    assert world.host.tree() == {}


def test_the_version_is_asked_of_the_program_when_the_engine_is_down(world: World, run_module: RunModule) -> None:
    world.host.running, world.host.engine_version = False, "20.10.24"
    result = run_module(
        module.main, archive=world.archive, unlock_key=UNLOCK_KEY, state_directory=str(world.host.state.path)
    )
    assert (result["failed"], result["error"]) == (True, "refused")
    assert "this host has the older 20.10.24" in result["msg"]


def test_the_archive_is_required(run_module: RunModule) -> None:
    assert "missing required arguments: archive" in run_module(module.main)["msg"]


def test_options_reach_the_restore(world: World, run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    make = module.Restore.__init__

    def note(self: Any, **parts: Any) -> None:
        seen.append(parts)
        make(self, **parts)

    monkeypatch.setattr(module.Restore, "__init__", note)
    options: dict[str, Any] = {
        "replace_state": True,
        "allow_other_cluster": True,
        "allow_missing_manifest": True,
        "allow_engine_downgrade": True,
        "reissue_certificate": "never",
        "wait_timeout": 7,
        "dead_man_timeout": 0,
    }
    run_module(
        module.main,
        archive="/root/missing.tar.gz",
        unlock_key=UNLOCK_KEY,
        state_directory="/data/swarm",
        service_name="docker-ce",
        **options,
    )
    (parts,) = seen
    assert parts["options"] == module.RestoreOptions(
        archive=Path("/root/missing.tar.gz"), unlock_key=UNLOCK_KEY, **options
    )
    assert parts["state"].path == Path("/data/swarm")
    assert parts["host_addresses"] == frozenset(["192.0.2.2", "127.0.0.1"])
    assert parts["daemon"]._service == "docker-ce"
    assert parts["engine_version"]() == "28.5.2"
    assert parts["loan"] is None
    run_module(module.main, archive="/root/missing.tar.gz", lend_address=True, interface="eth1", prefix=32)
    assert seen[1]["loan"] is not None
