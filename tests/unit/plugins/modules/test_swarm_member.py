# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
import requests.exceptions
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _daemon
from ansible_collections.quorate.swarm.plugins.module_utils._certificate import Certificate
from ansible_collections.quorate.swarm.plugins.modules import swarm_member
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    FakeApi,
    Request,
    api_info,
    managers,
    recorded,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

TOKEN = "SWMTKN-1-the-very-secret-token"
JOIN = {"join_token": TOKEN, "remote_addresses": ["10.0.0.1:2377"]}
#: What makes this host what it can be: the node as the engine shows it afterwards.
INACTIVE = api_info()
WORKER = api_info(node_id="id-w1", state="active")
MANAGER = api_info(node_id="id-m3", state="active", control=True, cluster_id="the-cluster")
DOWN = requests.exceptions.ConnectionError("FileNotFoundError(2, 'No such file or directory')")


class Host:
    """An engine that joins, creates and leaves as it is told."""

    def __init__(self, api: FakeApi, directory: Path) -> None:
        self.api = api
        self.directory = directory
        self.info = INACTIVE
        self.nodes = managers(3)
        api.answers.update(
            {
                "/info": lambda dummy: [200, {**self.info, "DockerRootDir": str(directory.parent)}],
                "/nodes": lambda dummy: [200, self.nodes],
                "POST /swarm/join": self._become(lambda body: MANAGER if "manager" in body["JoinToken"] else WORKER),
                "POST /swarm/init": self._become(lambda dummy: MANAGER),
                "POST /swarm/leave": self._become(lambda dummy: INACTIVE),
            }
        )

    def _become(self, what: Callable[[Any], dict[str, Any]]) -> Callable[[Request], list[Any]]:
        def answer(request: Request) -> list[Any]:
            self.info = what(request.body)
            return [200, None]

        return answer

    @property
    def done(self) -> list[str]:
        """What the engine was told to do."""
        return [request.path for request in self.api.asked("POST")]


@pytest.fixture
def host(api: FakeApi, clock: Clock, tmp_path: Path) -> Host:
    """A host that is in no swarm."""
    (tmp_path / "swarm").mkdir()
    return Host(api, tmp_path / "swarm")


@pytest.fixture
def certificate(monkeypatch: pytest.MonkeyPatch, host: Host) -> None:
    """Give the host a node certificate of the swarm with ID the-cluster."""

    def describe(dummy: bytes) -> Certificate:
        return Certificate("id-on-disk", "worker", "the-cluster", "", "", b"")

    monkeypatch.setattr(swarm_member._certificate, "describe", describe)
    (host.directory / "certificates").mkdir()
    (host.directory / "certificates" / "swarm-node.crt").write_bytes(b"")


def cycle(run_module: RunModule, host: Host, expected: list[str], **options: Any) -> dict[str, Any]:
    """Run in check mode, for real, and again; the first two must be a change, the last must be none."""
    planned = run_module(swarm_member.main, check=True, diff=True, **options)
    assert planned["changed"], planned
    assert host.done == []
    done = run_module(swarm_member.main, diff=True, **options)
    assert done["changed"], done
    assert host.done == expected
    assert planned["state"] == done["state"] == options["state"]
    again = run_module(swarm_member.main, diff=True, **options)
    assert again["changed"] is False, again
    assert again["diff"]["before"] == again["diff"]["after"]
    assert host.done == expected
    assert TOKEN not in json.dumps([planned, done, again])
    return done


# -- into a swarm ------------------------------------------------------------------------------------------------


def test_join_as_a_worker(run_module: RunModule, host: Host) -> None:
    done = cycle(run_module, host, ["/swarm/join"], state="worker", **JOIN)
    assert {key: done[key] for key in ("node_id", "previous_node_id", "address", "cluster_id")} == {
        "node_id": "id-w1",
        "previous_node_id": None,
        "address": "10.0.0.1",
        "cluster_id": None,
    }
    assert done["nodes"] is None


def test_join_as_a_manager(run_module: RunModule, host: Host) -> None:
    token = "SWMTKN-1-of-a-manager"
    options = {
        "advertise_address": "10.0.0.3",
        "listen_address": "10.0.0.3:2377",
        "data_path_address": "eth1",
        "remote_addresses": ["10.0.0.1:2377", "10.0.0.2:2377"],
    }
    done = cycle(run_module, host, ["/swarm/join"], state="manager", join_token=token, **options)
    assert (done["node_id"], done["cluster_id"]) == ("id-m3", "the-cluster")
    assert [(node["id"], node["manager"]["reachability"]) for node in done["nodes"]] == [
        ("id-m1", "reachable"),
        ("id-m2", "reachable"),
        ("id-m3", "reachable"),
    ]
    assert host.api.asked("POST")[0].body == {
        "JoinToken": token,
        "RemoteAddrs": ["10.0.0.1:2377", "10.0.0.2:2377"],
        "AdvertiseAddr": "10.0.0.3",
        "ListenAddr": "10.0.0.3:2377",
        "DataPathAddr": "eth1",
    }


def test_create_a_swarm(run_module: RunModule, host: Host) -> None:
    done = cycle(run_module, host, ["/swarm/init"], state="manager", init=True, advertise_address="10.0.0.1")
    assert done["cluster_id"] == "the-cluster"
    assert done["diff"]["before"] == {"state": "absent", "node_id": None, "cluster_id": None, "address": None}


@pytest.mark.usefixtures("certificate")
def test_the_swarm_that_is_meant(run_module: RunModule, host: Host) -> None:
    host.info = WORKER
    result = run_module(swarm_member.main, state="worker", cluster_id="the-cluster", **JOIN)
    assert (result["changed"], result["cluster_id"]) == (False, "the-cluster")
    refused = run_module(swarm_member.main, state="worker", cluster_id="another", **JOIN)
    assert (refused["failed"], refused["error"]) == (True, "refused")
    assert "it is in another swarm, the-cluster instead of another" in refused["msg"]
    left_alone = run_module(swarm_member.main, state="absent", cluster_id="another")
    assert (left_alone["changed"], left_alone["state"]) == (False, "worker")
    assert host.done == []


def test_a_swarm_that_cannot_be_told_is_a_warning(
    run_module: RunModule, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda dummy, text: warnings.append(text))
    host.info = WORKER
    assert run_module(swarm_member.main, state="worker", cluster_id="c", **JOIN)["changed"] is False
    assert warnings == ["Could not see whether this host is in swarm c: install cryptography."]


def test_the_wrong_swarm_is_told_after_joining(run_module: RunModule, host: Host) -> None:
    result = run_module(
        swarm_member.main,
        state="manager",
        join_token="SWMTKN-1-of-a-manager",
        remote_addresses=["10.0.0.1:2377"],
        cluster_id="another",
    )
    assert "this host is now in swarm the-cluster" in result["msg"]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("info", "options", "words"),
    [
        (INACTIVE, {"state": "worker"}, "Give join_token and remote_addresses"),
        (INACTIVE, {"state": "worker", "join_token": TOKEN}, "Give join_token and remote_addresses"),
        (INACTIVE, {"state": "manager", "remote_addresses": ["m1:2377"]}, "Give join_token and remote_addresses"),
        (INACTIVE, {"state": "worker", "init": True}, "a new swarm begins with a manager"),
        (WORKER, {"state": "manager", **JOIN}, "Promote it from a manager"),
        (WORKER, {"state": "manager", "init": True}, "Promote it from a manager"),
        (MANAGER, {"state": "worker", **JOIN}, "Demote it from a manager"),
        (MANAGER, {"state": "absent"}, "Demote it from another manager first"),
    ],
)
def test_refused(
    run_module: RunModule, host: Host, info: dict[str, Any], options: dict[str, Any], words: str, check: bool
) -> None:
    host.info = info
    result = run_module(swarm_member.main, check=check, **options)
    assert (result["failed"], result["error"]) == (True, "refused")
    assert words in result["msg"]
    assert host.done == []


def test_a_refused_join_shows_no_token(run_module: RunModule, host: Host) -> None:
    host.api.answers["POST /swarm/join"] = [400, {"message": "A valid join token is necessary to join this cluster"}]
    result = run_module(swarm_member.main, state="worker", **JOIN)
    assert (result["failed"], result["error"]) == (True, "engine_error")
    assert "join the swarm at 10.0.0.1:2377" in result["msg"]
    assert TOKEN not in json.dumps(result)


@pytest.mark.parametrize("options", [{"state": "manager", "init": True}, {"state": "worker", **JOIN}])
def test_state_that_would_be_deleted(run_module: RunModule, host: Host, options: dict[str, Any]) -> None:
    (host.directory / "docker-state.json").write_text("{}")
    result = run_module(swarm_member.main, **options)
    assert "the state directory holds the state of one" in result["msg"]
    assert host.done == []


def test_a_state_directory_that_may_not_be_read(
    run_module: RunModule, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(dummy: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    result = run_module(swarm_member.main, state="worker", **JOIN)
    assert (result["failed"], result["error"]) == (True, "permission_denied")
    assert host.done == []


def test_a_state_directory_that_was_never_made(run_module: RunModule, host: Host) -> None:
    host.directory.rmdir()
    assert run_module(swarm_member.main, state="worker", **JOIN)["changed"]


# -- out of a swarm ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("certificate")
def test_a_worker_leaves(run_module: RunModule, host: Host) -> None:
    host.info = WORKER
    done = cycle(run_module, host, ["/swarm/leave"], state="absent")
    assert (done["node_id"], done["previous_node_id"], done["cluster_id"]) == (None, "id-w1", None)
    assert done["diff"]["before"]["cluster_id"] == "the-cluster"
    assert host.api.asked("POST")[0].params == {"force": "false"}


@pytest.mark.usefixtures("certificate")
@pytest.mark.parametrize(
    "info",
    [
        MANAGER,
        api_info(state="locked", error="Swarm is encrypted and needs to be unlocked before it can be used."),
        api_info(state="error", error="manager stopped"),
        api_info(node_id="id-m3", state="active", control=True, error="The swarm does not have a leader."),
    ],
)
def test_force_leaves_in_any_state(run_module: RunModule, host: Host, info: dict[str, Any]) -> None:
    host.info = info
    done = cycle(run_module, host, ["/swarm/leave"], state="absent", force=True)
    assert done["previous_node_id"] in ("id-m3", "id-on-disk")
    assert host.api.asked("POST")[0].params == {"force": "true"}


def test_the_last_manager_does_not_leave(run_module: RunModule, host: Host) -> None:
    host.info = api_info(node_id="id-m1", state="active", control=True, cluster_id="the-cluster")
    host.nodes = managers(1)
    assert "it is the last manager" in run_module(swarm_member.main, state="absent")["msg"]
    assert host.done == []


# -- uncertain states --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("recording", "kind"), [("locked", "locked"), ("quorum_lost", "quorum_lost")])
def test_nothing_is_done_in_an_uncertain_state(
    api: FakeApi, run_module: RunModule, clock: Clock, recording: str, kind: str
) -> None:
    api.answers = recorded("20.10", recording)
    for options in ({"state": "worker", **JOIN}, {"state": "manager", "init": True}):
        result = run_module(swarm_member.main, **options)
        assert (result["failed"], result["error"]) == (True, kind)
    assert "set force" in run_module(swarm_member.main, state="absent")["msg"]
    assert api.asked("POST") == []


def test_the_engine_is_down(api: FakeApi, run_module: RunModule, clock: Clock) -> None:
    api.answers["/info"] = requests.exceptions.ConnectionError("ConnectionRefusedError(111, 'refused')")
    for state in ("manager", "absent"):
        result = run_module(swarm_member.main, state=state)
        assert (result["failed"], result["error"]) == (True, "unreachable")


# -- an engine that does not answer ------------------------------------------------------------------------------


class Service:
    """The service of an engine that fails over its state again and again, in the place of run_command."""

    def __init__(self, host: Host, *, up: bool = False) -> None:
        self.host = host
        self.active = "active" if up else "activating"
        self.broken = False
        self.disturbed = False
        self.commands: list[str] = []
        host.api.answers["/info"] = DOWN

    def run(self, argv: list[str]) -> tuple[int, str, str]:
        if argv[:2] == ["systemctl", "show"]:
            name = argv[2].partition("=")[2]
            known = {"LoadState": "loaded", "ActiveState": self.active, "ActiveEnterTimestampMonotonic": "0"}
            return 0, "\n".join([f"{name}={known[name]}\n"] * len(argv[3:])), ""
        if argv[:2] == ["systemctl", "is-active"]:
            return 0 if self.disturbed else 3, "", ""
        self.commands.append(" ".join(argv))
        if argv[1] == "stop":
            self.active = "inactive"
        if argv[1] == "start":
            if self.broken:
                return 1, "", "Job for docker.service failed"
            self.active = "active"
            self.host.api.answers["/info"] = [200, INACTIVE]
        return 0, "", ""


@pytest.fixture
def service(host: Host, monkeypatch: pytest.MonkeyPatch) -> Service:
    (host.directory / "state.json").touch()
    service = Service(host)
    monkeypatch.setattr(AnsibleModule, "run_command", lambda dummy, argv: service.run(argv))
    monkeypatch.setattr(_daemon.os.path, "isdir", lambda dummy: True)
    monkeypatch.setattr(_daemon.time, "monotonic", lambda: 100.0)
    return service


def put_aside(run_module: RunModule, host: Host, **options: Any) -> dict[str, Any]:
    directory = str(host.directory)
    return run_module(swarm_member.main, state="absent", force=True, state_directory=directory, **options)


def test_the_state_of_an_engine_that_fails_over_it_is_put_aside(
    run_module: RunModule, host: Host, service: Service
) -> None:
    planned = put_aside(run_module, host, check=True, start_engine=True)
    assert (planned["changed"], planned["quarantine"], service.commands) == (True, None, [])
    done = put_aside(run_module, host, start_engine=True)
    assert (done["changed"], done["state"]) == (True, "absent")
    assert (Path(done["quarantine"]) / "state.json").exists()
    assert service.commands == [
        "systemctl reset-failed docker.socket docker.service",
        "systemctl stop docker.socket docker.service",
        "systemctl start docker.service",
    ]
    assert put_aside(run_module, host, start_engine=True)["changed"] is False


def test_the_engine_stays_stopped_unless_it_is_to_be_started(
    run_module: RunModule, host: Host, service: Service
) -> None:
    assert put_aside(run_module, host)["quarantine"]
    assert service.commands == [
        "systemctl reset-failed docker.socket docker.service",
        "systemctl stop docker.socket docker.service",
    ]


def test_a_service_that_is_up_has_another_engine_than_the_one_that_was_asked(
    run_module: RunModule, host: Host, service: Service
) -> None:
    service.active = "active"
    result = put_aside(run_module, host, docker_host="unix:///wrong.sock")
    assert (result["failed"], result["error"], service.commands) == (True, "refused", [])
    assert "no engine answers at unix:///wrong.sock, but the service of this host is up" in result["msg"]
    assert (host.directory / "state.json").exists()


def test_the_state_of_an_engine_that_another_operation_has_stopped_stays_where_it_is(
    run_module: RunModule, host: Host, service: Service
) -> None:
    service.disturbed = True
    result = put_aside(run_module, host)
    assert (result["failed"], result["error"], service.commands) == (True, "refused", [])
    assert "another operation that stops the engine is under way here" in result["msg"]
    assert (host.directory / "state.json").exists()


def test_where_the_engine_does_not_start_it_is_said_where_the_state_is(
    run_module: RunModule, host: Host, service: Service
) -> None:
    service.broken = True
    result = put_aside(run_module, host, start_engine=True)
    assert (result["failed"], result["error"]) == (True, "daemon_failed")
    quarantine = Path(result["error_details"]["quarantine"])
    assert str(quarantine) in result["msg"]
    assert (quarantine / "state.json").exists()
