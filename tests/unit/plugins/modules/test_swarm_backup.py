# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _daemon, _raft_store, _state_dir
from ansible_collections.quorate.swarm.plugins.modules import swarm_backup as module
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    UNLOCK_KEY,
    FakeHost,
    raft_contents,
    raft_newest_index,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock


@pytest.fixture
def host(tmp_path: Path, api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """m2, a follower of an autolocked swarm of three managers. Modules run on it."""
    host = FakeHost(tmp_path / "docker", api).join(unlock_key=UNLOCK_KEY)
    monkeypatch.setattr(AnsibleModule, "run_command", lambda self, argv: host.run(argv))
    monkeypatch.setattr(_daemon.os.path, "isdir", lambda path: path == "/run/systemd/system")
    monkeypatch.setattr(_raft_store, "newest_index", raft_newest_index)
    monkeypatch.setattr(_raft_store, "contents", raft_contents)
    monkeypatch.setattr(_state_dir.StateDir, "require_room", lambda self, needed: None)
    return host


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "backups")


def test_backup(host: FakeHost, run_module: RunModule, directory: str) -> None:
    result = run_module(module.main, directory=directory, keep=2)
    assert result["changed"] is True
    assert Path(result["archive"]).parent == Path(directory)
    assert stat.S_IMODE(Path(result["archive"]).stat().st_mode) == 0o600
    assert set(result) - {"invocation"} == {
        "changed",
        "archive",
        "checksum",
        "size",
        "manifest",
        "downtime",
        "removed",
        "steps",
    }
    assert host.effects == ["settle", "arm", "stop", "start", "unlock", "disarm"]
    assert host.condition == "manager"


def test_no_secret_is_in_the_result(host: FakeHost, run_module: RunModule, directory: str) -> None:
    assert "SWM" not in json.dumps(run_module(module.main, directory=directory))
    assert "SWM" not in json.dumps(run_module(module.main, directory=directory, check=True))


def test_a_key_that_slips_into_an_error_is_masked(host: FakeHost, run_module: RunModule, directory: str) -> None:
    def leak(dummy: Any) -> Any:
        return [500, {"message": f"something about {UNLOCK_KEY}"}]

    host.api.answers["POST /swarm/unlock"] = leak
    result = run_module(module.main, directory=directory, wait_timeout=1)
    assert result["failed"]
    assert "something about" in result["msg"]
    assert "SWMKEY" not in json.dumps(result)


def test_check_mode_passes_the_guards_and_changes_nothing(
    host: FakeHost, run_module: RunModule, directory: str
) -> None:
    before = host.tree()
    result = run_module(module.main, directory=directory, check=True)
    assert result["changed"] is True
    assert Path(result["archive"]).name.startswith("swarm_blue_id-m2_")
    assert "checksum" not in result
    assert (host.effects, host.tree(), Path(directory).exists()) == ([], before, False)


@pytest.mark.parametrize("check", [False, True])
def test_a_guard_fails_with_its_kind_also_in_check_mode(
    host: FakeHost, run_module: RunModule, directory: str, check: bool
) -> None:
    host.join(leader="m2")
    result = run_module(module.main, directory=directory, check=check)
    assert (result["failed"], result["error"]) == (True, "refused")
    assert "set leader to step_down or stop" in result["msg"]
    assert host.effects == []


def test_an_error_comes_with_its_facts_and_the_steps_so_far(
    host: FakeHost, run_module: RunModule, directory: str
) -> None:
    host.refuse["start"] = 1
    result = run_module(module.main, directory=directory)
    assert (result["failed"], result["error"]) == (True, "daemon_failed")
    assert [entry["step"] for entry in result["steps"]] == [
        "write a settling entry",
        "copy the snapshots",
        "stop",
        "copy",
        "start",
    ]
    assert result["error_details"] == {}


def test_an_engine_that_is_down_is_told_by_that_name(host: FakeHost, run_module: RunModule, directory: str) -> None:
    host.running = False
    result = run_module(module.main, directory=directory, state_directory=str(host.state.path))
    assert (result["failed"], result["error"]) == (True, "unreachable")


def test_the_new_archive_is_kept(host: FakeHost, run_module: RunModule, directory: str) -> None:
    result = run_module(module.main, directory=directory, keep=0)
    assert result["failed"]
    assert result["msg"] == "keep is 0, and at least the new archive is kept: give 1 or more"
    assert host.effects == []


def test_stepping_down_needs_another_manager(host: FakeHost, run_module: RunModule, directory: str) -> None:
    result = run_module(module.main, directory=directory, leader="step_down")
    assert result["failed"]
    assert "leader is step_down but all of the following are missing: peer_docker_host" in result["msg"]


def test_options_reach_the_backup(host: FakeHost, run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    class Seen:
        steps: Any = type("Steps", (), {"taken": []})

        def __init__(self, **parts: Any) -> None:
            seen.append(parts)

        def plan(self) -> Any:
            return None

        def run(self, dummy: Any) -> dict[str, Any]:
            return {}

    monkeypatch.setattr(module, "Backup", Seen)
    run_module(
        module.main,
        directory="/srv/backups",
        method="hot",
        leader="step_down",
        peer_docker_host="tcp://192.0.2.1:2376",
        allow_control_plane_outage=True,
        keep=3,
        escrowed_fingerprints=["uk1:0"],
        settle_timeout=1,
        wait_timeout=2,
        dead_man_timeout=0,
        service_name="docker-ce",
        state_directory="/data/swarm",
        validate_certs=True,
        ca_path="/ca.pem",
    )
    (parts,) = seen
    assert parts["options"] == module.BackupOptions(
        directory=Path("/srv/backups"),
        method="hot",
        leader="step_down",
        allow_control_plane_outage=True,
        keep=3,
        escrowed_fingerprints=["uk1:0"],
        settle_timeout=1,
        wait_timeout=2,
        dead_man_timeout=0,
    )
    assert parts["state"].path == Path("/data/swarm")
    assert parts["peer"].base_url == "tcp://192.0.2.1:2376"
    assert parts["peer"]._tls == parts["engine"]._tls == {"verify": "/ca.pem", "ca_cert": "/ca.pem"}
    assert parts["daemon"]._service == "docker-ce"


def test_the_state_directory_is_that_of_the_engine(
    host: FakeHost, run_module: RunModule, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    plan = module.Backup.plan

    def noted(self: module.Backup) -> Any:
        seen.append(self.state.path)
        return plan(self)

    monkeypatch.setattr(module.Backup, "plan", noted)
    run_module(module.main, directory=directory, check=True)
    assert seen == [host.state.path]
