# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
import requests.exceptions
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.modules import swarm_quorum
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    ENGINES,
    NO_LEADER,
    FakeApi,
    FakeSwarm,
    api_node,
    in_turn,
    managers,
    recorded,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock


@pytest.fixture(autouse=True)
def no_wait(clock: Clock) -> None:
    """Let time not pass."""


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this host have a fixed and a leased address."""
    info = [{"local": "10.0.0.1"}, {"local": "10.0.0.77", "dynamic": True}]

    def run(dummy: AnsibleModule, argv: list[str]) -> tuple[int, str, str]:
        assert argv == ["ip", "-json", "address"]
        return 0, json.dumps([{"addr_info": info}]), ""

    monkeypatch.setattr(AnsibleModule, "run_command", run)


def codes(result: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in result["verdict"]["reasons"]]


@pytest.mark.parametrize("version", ENGINES)
def test_healthy(api: FakeApi, run_module: RunModule, version: str) -> None:
    api.answers = recorded(version, "leader")
    result = run_module(swarm_quorum.main, minimum_fault_tolerance=1, require_odd=True, stopping=["m2"])
    assert not result.get("failed"), result
    assert result["changed"] is False
    assert result["verdict"] == {"ok": True, "reasons": []}
    assert result["quorum"]["reachable"] == 3
    assert result["zones"] is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"stopping": ["m1", "m2"]}, ["stop_loses_quorum"]),
        ({"stopping": ["nobody"]}, ["unknown_node"]),
        ({"minimum_fault_tolerance": 2}, ["fault_tolerance_too_low"]),
        ({"zone_label": "zone"}, ["zone_unknown"]),
        ({"stopping": ["m1", "m2"], "minimum_fault_tolerance": 2}, ["stop_loses_quorum", "fault_tolerance_too_low"]),
    ],
)
def test_every_reason_is_told(
    api: FakeApi, run_module: RunModule, options: dict[str, Any], expected: list[str]
) -> None:
    api.answers = recorded("20.10", "leader")
    failed = run_module(swarm_quorum.main, **options)
    assert (failed["failed"], failed["error"], codes(failed)) == (True, "refused", expected)
    assert failed["msg"].splitlines()[0] == "The quorum does not pass:"
    assert len(failed["msg"].splitlines()) == 1 + len(expected)
    reported = run_module(swarm_quorum.main, report_only=True, **options)
    assert not reported.get("failed")
    assert reported["verdict"] == failed["verdict"] == {"ok": False, "reasons": failed["verdict"]["reasons"]}


@pytest.mark.parametrize("version", ENGINES)
@pytest.mark.parametrize(
    ("recording", "state", "code"),
    [
        ("worker", "worker", "not_a_manager"),
        ("inactive", "inactive", "not_a_manager"),
        ("locked", "locked", "locked"),
        ("quorum_lost", "quorum_lost", "quorum_lost"),
    ],
)
def test_an_engine_that_cannot_tell(
    api: FakeApi, run_module: RunModule, version: str, recording: str, state: str, code: str
) -> None:
    api.answers = recorded(version, recording)
    reported = run_module(swarm_quorum.main, report_only=True, require_odd=True, zone_label="zone")
    assert not reported.get("failed")
    assert (reported["state"], codes(reported)) == (state, [code])
    assert (reported["quorum"], reported["zones"]) == (None, None)
    assert run_module(swarm_quorum.main)["failed"]


def test_the_engine_is_down(api: FakeApi, run_module: RunModule) -> None:
    api.answers["/info"] = requests.exceptions.ConnectionError("ConnectionRefusedError(111, 'refused')")
    reported = run_module(swarm_quorum.main, report_only=True)
    assert (reported["state"], codes(reported)) == ("daemon_down", ["unreachable"])


def test_a_loss_that_the_leader_has_not_noticed(api: FakeApi, run_module: RunModule) -> None:
    api.answers = recorded("20.10", "quorum_lost_unnoticed")
    failed = run_module(swarm_quorum.main)
    assert codes(failed) == ["quorum_lost", "managers_unreachable"]
    assert failed["quorum"]["reachable"] == 1


def test_unknown_nodes_are_waited_out(api: FakeApi, run_module: RunModule, clock: Clock) -> None:
    swarm = FakeSwarm([*managers(3), api_node("w1", state="unknown")], lag=4).install(api)
    swarm.later(lambda: swarm.nodes["id-w1"]["Status"].update(State="ready"))
    assert run_module(swarm_quorum.main)["verdict"]["ok"]
    assert clock.now == 1002


def test_nodes_that_stay_unknown_are_a_reason(api: FakeApi, run_module: RunModule, clock: Clock) -> None:
    FakeSwarm([*managers(3), api_node("w1", state="unknown")]).install(api)
    assert codes(run_module(swarm_quorum.main, settle_timeout=5)) == ["nodes_unknown"]
    assert clock.now == 1005


def test_an_election_is_waited_out(api: FakeApi, run_module: RunModule) -> None:
    answers = recorded("20.10", "leader")
    lost = [500, {"message": NO_LEADER}]
    api.answers = {**answers, "/nodes": in_turn(lost, lost, answers["/nodes"])}
    assert run_module(swarm_quorum.main)["verdict"]["ok"]


def test_zones(api: FakeApi, run_module: RunModule) -> None:
    nodes = managers(3)
    for node, zone in zip(nodes, "aab"):
        node["Spec"]["Labels"] = {"zone": zone}
    FakeSwarm([*nodes, api_node("w1", labels={"zone": "c"})]).install(api)
    failed = run_module(swarm_quorum.main, zone_label="zone")
    assert codes(failed) == ["zones_uneven", "zone_holds_majority"]
    assert (failed["zones"]["spread"], failed["zones"]["ideal_spread"]) == ([2, 1, 0], [1, 1, 1])
    assert "the ideal is 1-1-1. Promote a node in c and then demote one in a" in failed["msg"]


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    ("address", "expected_address", "expected"),
    [
        ("10.0.0.1", None, []),
        ("10.0.0.1", "10.0.0.1", []),
        ("10.0.0.77", None, ["address_dynamic"]),
        ("10.0.0.3", "10.0.0.1", ["address_not_on_host", "address_not_expected"]),
    ],
)
def test_addresses(
    api: FakeApi, run_module: RunModule, address: str, expected_address: str | None, expected: list[str]
) -> None:
    nodes = managers(3)
    nodes[0]["ManagerStatus"]["Addr"] = f"{address}:2377"
    FakeSwarm(nodes).install(api)
    options = {"require_static_addresses": True, "expected_address": expected_address, "report_only": True}
    assert codes(run_module(swarm_quorum.main, **options)) == expected


def test_an_expected_address_is_not_ignored(api: FakeApi, run_module: RunModule) -> None:
    result = run_module(swarm_quorum.main, expected_address="10.0.0.1")
    assert "require_static_addresses" in result["msg"]


def test_no_permission_is_no_verdict(api: FakeApi, run_module: RunModule) -> None:
    api.answers["/info"] = requests.exceptions.ConnectionError("PermissionError(13, 'Permission denied')")
    result = run_module(swarm_quorum.main, report_only=True)
    assert (result["failed"], result["error"]) == (True, "permission_denied")
