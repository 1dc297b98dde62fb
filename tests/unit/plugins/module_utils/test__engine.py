# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from typing import Any, Callable

import pytest
import requests.exceptions
from docker.errors import DockerException

from ansible_collections.quorate.swarm.plugins.module_utils import _engine
from ansible_collections.quorate.swarm.plugins.module_utils._engine import PATIENT, QUICK, Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    EngineError,
    Locked,
    MissingLibrary,
    NotAManager,
    OutOfSequence,
    PermissionDenied,
    QuorumLost,
    SwarmError,
    Unreachable,
    Unsettled,
    WrongKey,
)
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    ENGINES,
    LOCKED,
    NO_LEADER,
    NOT_A_MANAGER,
    FakeApi,
    FakeSwarm,
    Request,
    in_turn,
    managers,
    recorded,
)

PARAMS: dict[str, Any] = {
    "docker_host": "tcp://m1:2376",
    "tls": False,
    "validate_certs": False,
    "ca_path": None,
    "client_cert": None,
    "client_key": None,
    "api_version": "auto",
    "timeout": 60,
}

# -- connection --------------------------------------------------------------------------------------------------


def test_connects_at_the_first_call_and_only_once(api: FakeApi) -> None:
    api.answers["/info"] = [200, {"Swarm": {}}]
    engine = Engine("tcp://m1:2375", api_version="1.41")
    assert api.options == {}
    engine.info()
    assert api.options == {"base_url": "tcp://m1:2375", "version": "1.41", "timeout": QUICK, "tls": False}
    api.options = {}
    engine.info()
    assert api.options == {}


def test_connects_again_after_close(api: FakeApi) -> None:
    api.answers["/info"] = [200, {"Swarm": {}}]
    engine = Engine()
    engine.info()
    engine.close()
    assert api.closed == 1
    engine.info()
    assert len(api.requests) == 2


def test_closing_what_was_never_open_does_nothing() -> None:
    Engine().close()


def test_missing_library_is_told_by_name(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine, "HAS_DOCKER", False)
    with pytest.raises(MissingLibrary, match="Install the package python3-docker"):
        Engine().info()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"tls": True}, {"verify": False}),
        ({"validate_certs": True}, {"verify": True}),
        ({"validate_certs": True, "ca_path": "/ca.pem"}, {"verify": "/ca.pem", "ca_cert": "/ca.pem"}),
        (
            {"tls": True, "client_cert": "/cert.pem", "client_key": "/key.pem"},
            {"verify": False, "client_cert": ("/cert.pem", "/key.pem")},
        ),
    ],
)
def test_tls_follows_the_options(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: Any
) -> None:
    def tls_config(**options: Any) -> dict[str, Any]:
        return options

    monkeypatch.setattr("docker.tls.TLSConfig", tls_config)
    api.answers["/info"] = [200, {}]
    Engine.from_params({**PARAMS, **changes}).info()
    assert api.options["tls"] == (expected if expected is not None else False)
    assert api.options["base_url"] == ("tcp" if expected is None else "https") + "://m1:2376"


def test_another_address_keeps_the_other_options(api: FakeApi) -> None:
    api.answers["/info"] = [200, {}]
    Engine.from_params({**PARAMS, "api_version": "1.40"}, base_url="tcp://m2:2376").info()
    assert api.options["base_url"] == "tcp://m2:2376"
    assert api.options["version"] == "1.40"


TRANSPORT_ERRORS = [
    (requests.exceptions.ReadTimeout("Read timed out. (read timeout=5.0)"), Unsettled),
    (
        requests.exceptions.ConnectionError("('Connection aborted.', PermissionError(13, 'Permission denied'))"),
        PermissionDenied,
    ),
    (requests.exceptions.ConnectionError("('Connection aborted.', FileNotFoundError(2, 'No such file'))"), Unreachable),
    (
        requests.exceptions.ConnectionError("('Connection aborted.', ConnectionRefusedError(111, 'refused'))"),
        Unreachable,
    ),
    (requests.exceptions.ConnectTimeout("Connection to m1 timed out. (connect timeout=5.0)"), Unreachable),
    (OSError("Broken pipe"), Unreachable),
]


@pytest.mark.parametrize(("cause", "kind"), TRANSPORT_ERRORS)
def test_transport_errors_of_a_call_are_told_apart(api: FakeApi, cause: Exception, kind: type) -> None:
    api.answers["/info"] = cause
    with pytest.raises(SwarmError) as caught:
        Engine().info()
    assert caught.value.__class__ is kind
    assert "unix:///var/run/docker.sock" in str(caught.value)
    assert api.closed == 1


@pytest.mark.parametrize(("cause", "kind"), TRANSPORT_ERRORS)
def test_transport_errors_of_the_version_negotiation_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, cause: Exception, kind: type
) -> None:
    def connect(**dummy: Any) -> None:
        raise DockerException(f"Error while fetching server API version: {cause}") from cause

    monkeypatch.setattr("docker.APIClient", connect)
    with pytest.raises(SwarmError) as caught:
        Engine().info()
    assert caught.value.__class__ is kind


def test_a_certificate_that_is_refused_is_no_engine_that_is_down(api: FakeApi) -> None:
    api.answers["/info"] = requests.exceptions.SSLError("SSLError(SSLCertVerificationError(1, 'unable to get issuer'))")
    with pytest.raises(Unreachable, match="there is no TLS connection to .*unable to get issuer.*ca_path"):
        Engine().info()


@pytest.mark.parametrize(
    ("tls", "kept"),
    [
        (None, True),
        ({"verify": True}, True),
        ({"verify": False}, False),
        ({"verify": "/ca.pem", "ca_cert": "/ca.pem"}, False),
    ],
)
def test_authorities_of_the_environment_do_not_replace_those_of_the_engine(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, tls: Any, kept: bool
) -> None:
    seen: list[bool] = []

    def connect(**options: Any) -> Any:
        seen.extend(name in os.environ for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
        return api.connect(**options)

    api.answers["/info"] = [200, {"Swarm": {}}]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/bundle.pem")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/bundle.pem")
    monkeypatch.setattr("docker.APIClient", connect)
    monkeypatch.setattr("docker.tls.TLSConfig", dict)
    Engine("tcp://m1:2376", tls=tls).info()
    assert seen == [kept, kept]


# -- calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([503, {"message": LOCKED}], Locked),
        ([503, {"message": NOT_A_MANAGER}], NotAManager),
        ([500, {"message": NO_LEADER}], QuorumLost),
        ([500, "not JSON"], EngineError),
        ([500, {"unexpected": 1}], EngineError),
    ],
)
def test_an_error_answer_is_named(api: FakeApi, answer: list[Any], kind: type) -> None:
    api.answers["/nodes"] = answer
    with pytest.raises(SwarmError, match="read the node list of the swarm") as caught:
        Engine().nodes()
    assert caught.value.__class__ is kind


@pytest.mark.parametrize(
    ("call", "method", "path", "params", "body", "timeout"),
    [
        (lambda e: e.version(), "GET", "/version", {}, None, QUICK),
        (lambda e: e.info(timeout=3), "GET", "/info", {}, None, 3),
        (lambda e: e.nodes(), "GET", "/nodes", {}, None, PATIENT),
        (lambda e: e.services(), "GET", "/services", {"status": "true"}, None, PATIENT),
        (lambda e: e.leave(), "POST", "/swarm/leave", {"force": "false"}, None, 60),
        (lambda e: e.leave(force=True), "POST", "/swarm/leave", {"force": "true"}, None, 60),
        (lambda e: e.remove_node("n1"), "DELETE", "/nodes/n1", {"force": "false"}, None, PATIENT),
        (lambda e: e.remove_node("n1", force=True), "DELETE", "/nodes/n1", {"force": "true"}, None, PATIENT),
        (lambda e: e.unlock("the key"), "POST", "/swarm/unlock", {}, {"UnlockKey": "the key"}, PATIENT),
        (
            lambda e: e.join(token="the token", remote_addresses=("m1:2377",), advertise_address="10.0.0.2"),
            "POST",
            "/swarm/join",
            {},
            {
                "JoinToken": "the token",
                "RemoteAddrs": ["m1:2377"],
                "AdvertiseAddr": "10.0.0.2",
                "ListenAddr": "0.0.0.0:2377",
                "DataPathAddr": "",
            },
            60,
        ),
        (
            lambda e: e.init(advertise_address="10.0.0.1", autolock=True, DataPathAddr="10.1.0.1"),
            "POST",
            "/swarm/init",
            {},
            {
                "AdvertiseAddr": "10.0.0.1",
                "ListenAddr": "0.0.0.0:2377",
                "Spec": {"EncryptionConfig": {"AutoLockManagers": True}},
                "DataPathAddr": "10.1.0.1",
            },
            120,
        ),
    ],
)
def test_requests(
    api: FakeApi,
    call: Callable[[Engine], Any],
    method: str,
    path: str,
    params: dict[str, Any],
    body: Any,
    timeout: float,
) -> None:
    api.answers[f"{method} {path}"] = [200, []]
    call(Engine())
    assert api.requests == [Request(method, path, params, body, timeout)]


def test_force_new_cluster_says_what_shall_become_of_autolock(api: FakeApi) -> None:
    api.answers["POST /swarm/init"] = [200, '"the-node"']
    addresses = {"listen_address": "0.0.0.0:2377", "advertise_address": "10.0.0.1:2377"}
    Engine().force_new_cluster(autolock=True, **addresses)
    assert api.requests[0].body == {
        "ForceNewCluster": True,
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": "10.0.0.1:2377",
        "DataPathAddr": "",
        "Spec": {"EncryptionConfig": {"AutoLockManagers": True}},
    }


def test_an_empty_answer_is_none(api: FakeApi) -> None:
    api.answers["POST /swarm/leave"] = [200, None]
    Engine().leave()


def test_wrong_unlock_key_is_not_repeated_in_the_error(api: FakeApi) -> None:
    api.answers["POST /swarm/unlock"] = [401, {"message": "swarm could not be unlocked: invalid key provided"}]
    with pytest.raises(WrongKey) as caught:
        Engine().unlock("SWMKEY-1-very-secret")
    assert "secret" not in str(caught.value)
    assert "secret" not in str(caught.value.details)


@pytest.mark.parametrize("version", ENGINES)
def test_recorded_leader(api: FakeApi, version: str) -> None:
    api.answers = recorded(version, "leader")
    engine = Engine()
    assert engine.local_state().state == "manager"
    assert engine.cluster().id == engine.local_state().cluster_id
    assert engine.join_token("worker") == "SWMTKN-1-fixture-worker-secret"
    assert engine.join_token("manager") == "SWMTKN-1-fixture-manager-secret"
    inventory = engine.inventory().as_dict()
    names = {kind: sorted(entry.get("name") or entry["hostname"] for entry in inventory[kind]) for kind in inventory}
    assert names == {
        "nodes": ["m1", "m2", "m3", "w1"],
        "services": ["agent", "web"],
        "networks": ["backend", "ingress"],
        "secrets": ["password"],
        "configs": ["settings"],
    }


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 64, 1000])
def test_configs_without_their_data(size: int) -> None:
    # a label may have any name and any content
    labels = {"Data": 'abc"\n"Data":"def', "said": '"Data":"abc"', "Data ": "abc"}
    configs = [
        {"ID": "c1", "Spec": {"Name": "one", "Labels": labels, "Data": "QUJD" * 50 + "QQ=="}},
        {"ID": "c2", "Spec": {"Name": "Data", "Labels": {}, "Data": ""}},
        {"ID": "c3", "Spec": {"Name": "three", "Data": "/+8="}},
    ]
    answer = json.dumps(configs, separators=(",", ":")).encode()
    kept = _engine.without_data(answer[start : start + size] for start in range(0, len(answer), size))
    assert json.loads(kept) == [
        {"ID": "c1", "Spec": {"Name": "one", "Labels": {**labels, "Data": '"\n"Data":"def'}, "Data": ""}},
        {"ID": "c2", "Spec": {"Name": "Data", "Labels": {}, "Data": ""}},
        {"ID": "c3", "Spec": {"Name": "three", "Data": ""}},
    ]


def test_configs_are_read_without_their_data(api: FakeApi) -> None:
    spec = {"Name": "settings", "Data": "Q" * 1_000_000}
    api.answers["/configs"] = lambda dummy: [200, json.dumps([{"ID": "c1", "Spec": spec}], separators=(",", ":"))]
    assert Engine().configs() == [{"ID": "c1", "Spec": {"Name": "settings", "Data": ""}}]


def test_unlock_key(api: FakeApi) -> None:
    api.answers["/swarm/unlockkey"] = [200, {"UnlockKey": ""}]
    assert Engine().unlock_key() == ""


# -- updating a node ---------------------------------------------------------------------------------------------


def test_set_role_writes_the_whole_spec_back(api: FakeApi) -> None:
    swarm = FakeSwarm(managers(3, labels={"zone": "a"})).install(api)
    Engine().set_role("id-m3", "worker")
    assert swarm.nodes["id-m3"]["Spec"] == {"Role": "worker", "Availability": "active", "Labels": {"zone": "a"}}


def test_an_update_is_repeated_when_somebody_was_faster(api: FakeApi) -> None:
    FakeSwarm(managers(3)).install(api)
    stale = [500, {"message": "rpc error: code = Unknown desc = update out of sequence"}]
    api.answers["POST /nodes/id-m3/update"] = in_turn(stale, stale, [200, None])
    Engine().set_role("id-m3", "worker")
    assert len(api.asked("POST")) == 3


def test_an_update_is_given_up_in_the_end(api: FakeApi) -> None:
    FakeSwarm(managers(3)).install(api)
    api.answers["POST /nodes/id-m3/update"] = [500, {"message": "update out of sequence"}]
    with pytest.raises(OutOfSequence, match="make node id-m3 a worker"):
        Engine().set_role("id-m3", "worker")
    assert len(api.asked("POST")) == 5


def test_touching_a_node_changes_nothing_but_its_version(api: FakeApi) -> None:
    swarm = FakeSwarm(managers(3)).install(api)
    spec = dict(swarm.nodes["id-m1"]["Spec"])
    assert Engine().touch_node("id-m1") == 11
    assert swarm.nodes["id-m1"]["Spec"] == spec


@pytest.mark.parametrize(
    ("stream", "expected"), [(b"", []), (b'{"a":1}\n', [{"a": 1}]), (b'{"a":1}\n{"b":2}\n', [{"a": 1}, {"b": 2}])]
)
def test_stream_of_objects_is_a_list(stream: bytes, expected: list[Any]) -> None:
    assert json.loads(_engine.as_list(iter([stream[:3], stream[3:]]))) == expected


def test_containers_and_their_events_are_all_that_there_are(api: FakeApi) -> None:
    api.answers = {"/containers/json?all=true": [200, [{"Id": "a"}]], "/events": [200, {"Action": "die"}]}
    assert (Engine().containers(), Engine().container_events()) == ([{"Id": "a"}], [{"Action": "die"}])
    assert api.requests[-1].params["filters"] == '{"type":["container"]}'
    assert api.requests[-1].params["since"] == "0"
