# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _daemon, _kept_key, _node_key, _raft_store
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive
from ansible_collections.quorate.swarm.plugins.modules import swarm_unlock as module
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    KEY,
    OTHER_UNLOCK_KEY,
    UNLOCK_KEY,
    WAL,
    FakeHost,
    raft_position,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock


def position(directory: Path) -> _raft_store.RaftPosition:
    """Take the place of _raft_store.position, also where there is no state."""
    if not (directory / WAL).exists():
        raise BadArchive("read the raft store", "there is none")
    return raft_position(directory)


@pytest.fixture
def host(tmp_path: Path, api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """m2, a locked manager of a swarm whose other two managers are up. Modules run on it."""
    host = FakeHost(tmp_path / "docker", api).join(unlock_key=UNLOCK_KEY)
    host.unlocked = False
    monkeypatch.setattr(AnsibleModule, "run_command", lambda self, argv: host.run(argv))
    monkeypatch.setattr(_daemon.os.path, "isdir", lambda path: path == "/run/systemd/system")
    monkeypatch.setattr(_raft_store, "position", position)
    return host


def test_unlock_and_unlock_again(host: FakeHost, run_module: RunModule) -> None:
    result = run_module(module.main, unlock_keys=[OTHER_UNLOCK_KEY, UNLOCK_KEY])
    assert (result["changed"], result["outcome"], result["state"]) == (True, "unlocked", "manager")
    documented = yaml.safe_load(module.RETURN)
    on_success = {name for name, value in documented.items() if value["returned"] != "failure"}
    assert set(result) - {"invocation", "changed"} == on_success
    again = run_module(module.main, unlock_keys=[OTHER_UNLOCK_KEY, UNLOCK_KEY])
    assert (again["changed"], again["outcome"], again["state"]) == (False, "already_unlocked", "manager")
    assert host.effects == ["unlock"]


def test_a_key_that_got_lost_in_a_rotation_is_found(
    host: FakeHost, run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kept_key, "lost_key", lambda directory, keys: KEY)
    result = run_module(module.main, unlock_keys=[OTHER_UNLOCK_KEY])
    assert (result["outcome"], result["recovered"]) == ("unlocked", True)
    assert result["unlock_key_fingerprint"] == _node_key.fingerprint(KEY)
    assert "SWMKEY" not in json.dumps(result)


def test_one_key_needs_no_list(host: FakeHost, run_module: RunModule) -> None:
    assert run_module(module.main, unlock_key=UNLOCK_KEY)["outcome"] == "unlocked"


def test_check_mode(host: FakeHost, run_module: RunModule) -> None:
    result = run_module(module.main, unlock_keys=[UNLOCK_KEY], check=True)
    assert (result["changed"], result["outcome"], result["state"]) == (True, "unlocked", "locked")
    assert host.effects == []


@pytest.mark.parametrize("check", [False, True])
def test_a_wrong_key_fails_with_what_is_known(host: FakeHost, run_module: RunModule, check: bool) -> None:
    result = run_module(module.main, unlock_keys=[OTHER_UNLOCK_KEY], check=check)
    assert (result["failed"], result["error"]) == (True, "wrong_key")
    assert result["error_details"]["kek_version"] == 18
    assert [found[:4] for found in result["error_details"]["fingerprints"]] == ["uk1:"]
    assert result["error_details"]["fingerprints"][0] in result["msg"]
    assert (result["state"], result["cluster_id"], result["kek_version"]) == ("locked", "blue", 18)
    assert result["steps"] == []
    assert host.effects == []


def test_a_malformed_key_fails(host: FakeHost, run_module: RunModule) -> None:
    result = run_module(module.main, unlock_keys=[UNLOCK_KEY, UNLOCK_KEY + "x"])
    assert (result["error"], result["error_details"], result["state"]) == ("wrong_key", {"place": 2}, None)


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("keys", [[UNLOCK_KEY], [OTHER_UNLOCK_KEY], [UNLOCK_KEY, "SWMKEY-1-short"]])
def test_no_key_is_in_the_result(host: FakeHost, run_module: RunModule, keys: list[str], check: bool) -> None:
    assert "SWMKEY" not in json.dumps(run_module(module.main, unlock_keys=keys, check=check))


def test_a_key_that_slips_into_an_error_is_masked(host: FakeHost, run_module: RunModule) -> None:
    host.api.answers["POST /swarm/unlock"] = [500, {"message": f"something about {UNLOCK_KEY}"}]
    result = run_module(module.main, unlock_keys=[UNLOCK_KEY])
    assert "something about" in result["msg"]
    assert "SWMKEY" not in json.dumps(result)


def test_options_reach_the_unlock(host: FakeHost, run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    class Seen:
        def __init__(self, **parts: Any) -> None:
            seen.append(parts)

        def plan(self, keys: list[str]) -> list[str]:
            return keys

        def run(self, plan: list[str], *, check: bool) -> dict[str, Any]:
            return {"keys": len(plan), "check": check}

    monkeypatch.setattr(module, "Unlock", Seen)
    result = run_module(
        module.main,
        check=True,
        unlock_keys=[UNLOCK_KEY, OTHER_UNLOCK_KEY],
        restart_if_stuck=True,
        wait_timeout=1,
        dead_man_timeout=0,
        service_name="docker-ce",
        docker_host="unix:///run/other.sock",
    )
    (parts,) = seen
    assert (result["keys"], result["check"]) == (2, True)
    assert parts["options"] == module.UnlockOptions(restart_if_stuck=True, wait_timeout=1, dead_man_timeout=0)
    assert parts["daemon"]._service == "docker-ce"
    assert parts["engine"].base_url == "unix:///run/other.sock"
    assert parts["state_directory"]("/data") == Path("/data/swarm")


def test_a_state_directory_that_is_given_is_used(host: FakeHost, run_module: RunModule, tmp_path: Path) -> None:
    result = run_module(module.main, unlock_keys=[UNLOCK_KEY], state_directory=str(tmp_path / "elsewhere"))
    assert (result["failed"], result["error"]) == (True, "refused")
    assert str(tmp_path / "elsewhere") in result["msg"]
    assert host.effects == []
