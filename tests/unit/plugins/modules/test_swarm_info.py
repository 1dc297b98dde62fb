# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Iterator

import pytest
import requests.exceptions
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _certificate, _engine
from ansible_collections.quorate.swarm.plugins.module_utils._certificate import Certificate
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, MissingLibrary
from ansible_collections.quorate.swarm.plugins.module_utils._model import STATES
from ansible_collections.quorate.swarm.plugins.module_utils._raft_store import RaftPosition
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import StateFacts
from ansible_collections.quorate.swarm.plugins.modules import swarm_info
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    ENGINES,
    NO_LEADER,
    FakeApi,
    api_info,
    in_turn,
    recorded,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

EVERYTHING = {
    "state",
    "node",
    "engine",
    "cluster",
    "nodes",
    "managers",
    "quorum",
    "services",
    "networks",
    "secrets",
    "configs",
    "containers",
    "state_directory",
    "addresses",
    "tasks",
}
#: Names of methods of dictionaries, which a template would reach in the place of a key.
METHODS = set(dir(dict))
LISTS = ["nodes", "services", "networks", "secrets", "configs"]
HANG = requests.exceptions.ReadTimeout("Read timed out.")
DOWN = requests.exceptions.ConnectionError("FileNotFoundError(2, 'No such file or directory')")


@pytest.fixture(autouse=True)
def no_wait(clock: Clock) -> None:
    """Let time not pass."""


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the module warns of. In its result each ansible-core has it in another form."""
    found: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda dummy, text: found.append(text))
    return found


def all_keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from all_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from all_keys(inner)


def info(run_module: RunModule, **options: Any) -> dict[str, Any]:
    result = run_module(swarm_info.main, **{"gather": LISTS, **options})
    assert not result.get("failed"), result
    assert result["changed"] is False
    return result


# -- states ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ENGINES)
@pytest.mark.parametrize(
    ("recording", "state", "is_manager", "is_leader"),
    [
        ("leader", "manager", True, True),
        ("follower", "manager", True, False),
        ("one_unreachable", "manager", True, True),
        ("worker", "worker", False, False),
        ("inactive", "inactive", False, False),
        ("locked", "locked", True, None),
        ("quorum_lost", "quorum_lost", True, None),
        ("quorum_lost_unnoticed", "quorum_lost", True, True),
    ],
)
def test_recorded_states(
    api: FakeApi,
    run_module: RunModule,
    version: str,
    recording: str,
    state: str,
    is_manager: bool,
    is_leader: bool | None,
) -> None:
    api.answers = {"/version": recorded(version, "leader")["/version"], **recorded(version, recording)}
    result = info(run_module)
    assert result["state"] == state
    assert state in STATES
    assert result["node"]["is_manager"] is is_manager
    assert result["node"]["is_leader"] is is_leader
    assert bool(result["node"]["error"]) is (state != "manager")
    assert set(result) >= EVERYTHING
    assert not METHODS & set(all_keys(result))
    assert not any(secret in json.dumps(result) for secret in ("SWMTKN", "SWMKEY", "c2hvd24="))
    assert result["engine"]["version"].startswith(version)
    assert result["engine"]["hostname"] == result["node"]["hostname"]
    knows_nodes = state == "manager" or recording == "quorum_lost_unnoticed"
    assert all((result[part] is not None) is knows_nodes for part in ("nodes", "managers", "quorum"))
    assert all((result[part] is not None) is (state == "manager") for part in ("cluster", *LISTS[1:]))


@pytest.mark.parametrize("version", ENGINES)
def test_a_healthy_manager(api: FakeApi, run_module: RunModule, version: str) -> None:
    api.answers = recorded(version, "follower")
    result = info(run_module)
    node_id = {node["hostname"]: node["id"] for node in result["nodes"]}
    assert result["node"]["id"] == node_id["m2"]
    assert result["node"]["address"] == "10.82.0.12"
    assert sorted(peer["address"] for peer in result["node"]["remote_managers"]) == [
        "10.82.0.11:2377",
        "10.82.0.12:2377",
        "10.82.0.13:2377",
    ]
    assert result["quorum"] == {
        "managers": 3,
        "reachable": 3,
        "majority": 2,
        "fault_tolerance": 1,
        "can_lose": 1,
        "leader": node_id["m1"],
        "healthy": True,
        "reasons": [],
    }
    leader = next(manager for manager in result["managers"] if manager["leader"])
    assert leader == {
        "id": node_id["m1"],
        "hostname": "m1",
        "address": "10.82.0.11:2377",
        "reachability": "reachable",
        "leader": True,
        "state": "ready",
    }
    assert {node["hostname"]: node["role"] for node in result["nodes"]} == {
        "m1": "manager",
        "m2": "manager",
        "m3": "manager",
        "w1": "worker",
    }
    services = {service["name"]: service for service in result["services"]}
    assert {key: services["web"][key] for key in ("mode", "desired", "running")} == {
        "mode": "replicated",
        "desired": 2,
        "running": 2,
    }
    assert sorted(network["name"] for network in result["networks"]) == ["backend", "ingress"]
    assert [secret["name"] for secret in result["secrets"]] == ["password"]
    assert [sorted(config) for config in result["configs"]] == [["id", "name", "version"]]
    cluster = result["cluster"]
    assert (cluster["autolock"], cluster["subnet_size"], cluster["data_path_port"]) == (False, 24, 4789)
    assert cluster["root_ca_expires"].startswith("2046-")
    assert len(cluster["root_ca_sha256"]) == 64
    assert "root_ca" not in cluster


def test_containers_are_told_when_they_are_asked_for(api: FakeApi, run_module: RunModule) -> None:
    api.answers = recorded("20.10", "leader")
    assert info(run_module)["containers"] is None
    task = {"Names": ["/web.1.abc"], "Labels": {"com.docker.swarm.task.id": "abc"}}
    api.answers["/containers/json"] = [200, [task, {"Names": ["/registry"], "Labels": None}]]
    assert info(run_module, gather=["containers"])["containers"] == ["registry"]


def test_the_engine_is_down(api: FakeApi, run_module: RunModule) -> None:
    api.answers["/info"] = DOWN
    result = info(run_module)
    assert result["state"] == "daemon_down"
    assert "no engine answers at unix:///var/run/docker.sock" in result["node"]["error"]
    assert set(result["engine"].values()) == {None}
    assert result["node"]["id"] is None


def test_the_engine_hangs(api: FakeApi, run_module: RunModule) -> None:
    api.answers["/info"] = HANG
    result = info(run_module)
    assert result["state"] == "unsettled"
    assert "not within 30 s" in result["node"]["error"]


def test_an_election_is_waited_out_for_as_long_as_told(api: FakeApi, run_module: RunModule, clock: Clock) -> None:
    leaderless = api_info(node_id="n", state="active", control=True, error=NO_LEADER)
    api.answers = {**recorded("20.10", "leader"), "/info": [200, leaderless]}
    assert info(run_module, settle_timeout=0)["state"] == "quorum_lost"
    assert clock.pauses == []
    assert info(run_module, settle_timeout=7)["state"] == "quorum_lost"
    assert clock.now == 1007


def test_an_election_between_the_reads_is_no_failure(api: FakeApi, run_module: RunModule, warnings: list[str]) -> None:
    answers = recorded("20.10", "leader")
    lost = [500, {"message": NO_LEADER}]
    api.answers = {**answers, "/swarm": lost, "/secrets": HANG}
    result = info(run_module)
    assert result["state"] == "manager"
    assert (result["cluster"], result["secrets"]) == (None, None)
    assert result["services"]
    assert [warning.split(":")[0] for warning in warnings] == [
        "Could not read the cluster object of the swarm",
        "Could not read the names of the secrets",
    ]


# -- gather ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gather", [[], ["nodes"], ["services", "configs"]])
def test_only_what_is_asked_for_is_read(api: FakeApi, run_module: RunModule, gather: list[str]) -> None:
    api.answers = recorded("20.10", "leader")
    result = info(run_module, gather=gather)
    assert [kind for kind in LISTS if result[kind] is not None] == gather
    assert result["state_directory"] is None
    assert result["addresses"] is None
    assert result["managers"] and result["quorum"] and result["cluster"]
    asked = {request.path for request in api.requests}
    assert {f"/{kind}" for kind in LISTS[1:]} & asked == {f"/{kind}" for kind in gather if kind != "nodes"}


def test_an_unknown_part_is_refused(api: FakeApi, run_module: RunModule) -> None:
    assert run_module(swarm_info.main, gather=["everything"])["failed"]


# -- the state directory -----------------------------------------------------------------------------------------

FACTS = StateFacts(
    docker_state={"AdvertiseAddr": "10.0.0.1:2377"},
    known_managers=(("nodeid", "10.0.0.1:2377"),),
    certificate=Certificate("nodeid", "manager", "clusterid", "2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z", b""),
    sealed=True,
    kek_version=12,
    raft=RaftPosition(2, 9, 10, 0, 0, "nodeid", 1),
)


def test_running_tasks_are_counted_when_they_are_asked_for(api: FakeApi, run_module: RunModule) -> None:
    api.answers = recorded("20.10", "leader")
    assert info(run_module)["tasks"] is None
    states = [("n2", "running"), ("n1", "running"), ("n2", "running"), ("n2", "shutdown"), ("", "pending")]
    tasks = [
        {"ID": str(place), "NodeID": node, "Status": {"State": state}} for place, (node, state) in enumerate(states)
    ]
    api.answers["/tasks"] = [200, tasks]
    assert info(run_module, gather=["tasks"])["tasks"] == [
        {"node_id": "n1", "running": 1},
        {"node_id": "n2", "running": 2},
    ]


def on_disk(
    run_module: RunModule,
    monkeypatch: pytest.MonkeyPatch,
    directory: Path,
    facts: StateFacts = FACTS,
    *,
    gather: str = "disk",
) -> dict[str, Any]:
    def read_state(path: Path, *, live: bool, with_raft: bool) -> StateFacts:
        assert path == directory
        assert live
        return facts if with_raft else dataclasses.replace(facts, raft=None)

    monkeypatch.setattr(swarm_info, "read_state", read_state)
    return info(run_module, gather=[gather], state_directory=str(directory))


def test_state_directory(api: FakeApi, run_module: RunModule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    api.answers["/info"] = DOWN
    (tmp_path / "docker-state.json").write_text("{}")
    monkeypatch.setattr(StateDir, "free", lambda dummy: 5)
    assert on_disk(run_module, monkeypatch, tmp_path)["state_directory"] == {
        "path": str(tmp_path),
        "exists": True,
        "size": 2,
        "free": 5,
        "snapshot_size": 0,
        "certificate_expires": "2026-04-01T00:00:00Z",
        "key": "sealed",
        "kek_version": 12,
        "raft": {
            "term": 2,
            "commit_index": 9,
            "last_index": 10,
            "snapshot_term": 0,
            "snapshot_index": 0,
            "node_id": "nodeid",
            "raft_id": 1,
        },
        "node_id": "nodeid",
        "cluster_id": "clusterid",
        "role": "manager",
        "address": "10.0.0.1:2377",
        "problems": [],
    }


def test_identity_is_told_without_the_raft_store(
    api: FakeApi, run_module: RunModule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.answers["/info"] = DOWN
    (tmp_path / "docker-state.json").write_text("{}")
    found = on_disk(run_module, monkeypatch, tmp_path, gather="identity")["state_directory"]
    assert (found["node_id"], found["cluster_id"], found["key"], found["raft"]) == (
        "nodeid",
        "clusterid",
        "sealed",
        None,
    )


def test_addresses(api: FakeApi, run_module: RunModule, monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> None:
    api.answers["/info"] = DOWN
    lent = {"local": "10.0.0.11", "prefixlen": 24, "dynamic": True, "preferred_life_time": 0}
    links = [
        {"ifname": "lo", "flags": ["LOOPBACK"], "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
        {"ifname": "eth0", "flags": ["UP"], "addr_info": [{"local": "10.0.0.21", "prefixlen": 24}, lent]},
    ]
    answers = [(0, json.dumps(links), ""), (1, "", "ip: broken")]
    monkeypatch.setattr(AnsibleModule, "run_command", lambda dummy, argv: answers.pop(0))
    assert info(run_module, gather=["addresses"])["addresses"] == [
        {"address": "10.0.0.21", "prefix": 24, "interface": "eth0", "kind": "permanent"},
        {"address": "10.0.0.11", "prefix": 24, "interface": "eth0", "kind": "temporary"},
    ]
    assert info(run_module, gather=["addresses"])["addresses"] is None
    assert warnings == [
        "Could not read the addresses of this host: ip -json address ended with 1: ip: broken. Install iproute2."
    ]


@pytest.mark.parametrize("made", [True, False])
def test_no_state(
    api: FakeApi, run_module: RunModule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: bool
) -> None:
    api.answers["/info"] = DOWN
    directory = tmp_path / "swarm"
    if made:
        directory.mkdir()
    found = on_disk(run_module, monkeypatch, directory)["state_directory"]
    assert (found["exists"], found["key"], found["node_id"], found["raft"]) == (False, "absent", None, None)
    assert found["path"] == str(directory)


def test_damage_is_a_problem_and_a_missing_library_a_warning(
    api: FakeApi, run_module: RunModule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, warnings: list[str]
) -> None:
    api.answers["/info"] = DOWN
    (tmp_path / "docker-state.json").write_text("{}")
    missing = MissingLibrary("read the certificate", "cryptography is not installed", "Install it")
    problems = (missing, BadArchive("use x", "it is missing", "Use another"), missing)
    facts = StateFacts(sealed=False, problems=problems, warnings=("the WAL was cut off",))
    result = on_disk(run_module, monkeypatch, tmp_path, facts)
    assert result["state_directory"]["problems"] == ["Could not use x: it is missing. Use another."]
    assert result["state_directory"]["key"] == "open"
    assert warnings == [str(missing), "the WAL was cut off"]


def test_a_state_directory_that_may_not_be_read(
    api: FakeApi, run_module: RunModule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, warnings: list[str]
) -> None:
    def denied(dummy: Path) -> None:
        raise PermissionError(13, "Permission denied")

    api.answers["/info"] = DOWN
    monkeypatch.setattr(Path, "iterdir", denied)
    result = on_disk(run_module, monkeypatch, tmp_path)
    assert result["state_directory"] is None
    assert warnings == [f"Could not read the state directory {tmp_path}: Permission denied. Run the task with become."]


def test_the_state_directory_is_found_by_the_engine(
    api: FakeApi, run_module: RunModule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "swarm").mkdir()
    api.answers = {"/info": [200, {**api_info(), "DockerRootDir": str(tmp_path)}], "/version": [200, {}]}
    found = info(run_module, gather=["disk"])["state_directory"]
    assert found["path"] == str(tmp_path / "swarm")


# -- what it fails for -------------------------------------------------------------------------------------------


def test_no_permission(api: FakeApi, run_module: RunModule) -> None:
    api.answers["/info"] = requests.exceptions.ConnectionError("PermissionError(13, 'Permission denied')")
    result = run_module(swarm_info.main)
    assert (result["failed"], result["error"]) == (True, "permission_denied")


def test_no_docker_sdk(api: FakeApi, run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine, "HAS_DOCKER", False)
    result = run_module(swarm_info.main)
    assert (result["failed"], result["error"]) == (True, "missing_library")
    assert "python3-docker" in result["msg"]


def test_no_cryptography_is_a_warning(
    api: FakeApi, run_module: RunModule, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    monkeypatch.setattr(_certificate, "HAS_CRYPTOGRAPHY", False)
    api.answers = recorded("20.10", "leader")
    result = info(run_module)
    assert result["cluster"]["id"]
    assert result["cluster"]["root_ca_expires"] is None
    assert any("cryptography" in warning for warning in warnings)


def test_a_manager_that_is_demoted_while_it_is_read(api: FakeApi, run_module: RunModule) -> None:
    answers = recorded("20.10", "leader")
    worker = recorded("20.10", "worker")
    api.answers = {**worker, "/info": in_turn(answers["/info"], worker["/info"])}
    assert info(run_module)["state"] == "worker"
