# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any, Sequence

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import (
    Reason,
    address_reasons,
    fault_tolerance,
    ideal_spread,
    is_quorate,
    majority,
    manager_layout,
    managers_of,
    odd_reasons,
    quorum_health,
    settling_reasons,
    stop_reasons,
    tolerance_reasons,
    zone_reasons,
)
from ansible_collections.quorate.swarm.tests.unit.fake_engine import ENGINES, api_node, managers, recorded


def nodes_of(*api_nodes: dict[str, Any]) -> list[Node]:
    return [Node.from_api(node) for node in api_nodes]


def codes(reasons: Sequence[Reason]) -> list[str]:
    return [reason.code for reason in reasons]


# Docker docs, Administer and maintain a swarm of Docker Engines: the table of fault tolerance.
@pytest.mark.parametrize(
    ("count", "needed", "tolerated"),
    [(1, 1, 0), (2, 2, 0), (3, 2, 1), (4, 3, 1), (5, 3, 2), (6, 4, 2), (7, 4, 3), (8, 5, 3), (9, 5, 4)],
)
def test_majority_and_fault_tolerance(count: int, needed: int, tolerated: int) -> None:
    assert majority(count) == needed
    assert fault_tolerance(count) == tolerated


# -- health ------------------------------------------------------------------------------------------------------


def test_healthy() -> None:
    health = quorum_health(nodes_of(*managers(3), api_node("w1")))
    assert health.as_dict() == {
        "managers": 3,
        "reachable": 3,
        "majority": 2,
        "fault_tolerance": 1,
        "can_lose": 1,
        "leader": "id-m1",
        "healthy": True,
        "reasons": (),
    }


@pytest.mark.parametrize("version", ENGINES)
@pytest.mark.parametrize(
    ("recording", "reachable", "expected"),
    [
        ("leader", 3, []),
        ("follower", 3, []),
        ("one_unreachable", 2, ["managers_unreachable"]),
        ("quorum_lost_unnoticed", 1, ["quorum_lost", "managers_unreachable"]),
    ],
)
def test_recorded_health(version: str, recording: str, reachable: int, expected: list[str]) -> None:
    answer = recorded(version, recording)["/nodes"]
    assert isinstance(answer, list)
    health = quorum_health(nodes_of(*answer[1]))
    assert (health.managers, health.reachable, codes(health.reasons)) == (3, reachable, expected)


def test_unreachable_managers_are_named() -> None:
    (reason,) = quorum_health(nodes_of(*managers(3, reachability="unreachable"))).reasons
    assert reason.message == "1 of 3 managers are not reachable: m3 (id-m3)"
    assert reason.remedy


def test_no_leader() -> None:
    nodes = managers(3)
    nodes[0]["ManagerStatus"]["Leader"] = False
    health = quorum_health(nodes_of(*nodes))
    assert (health.leader, health.healthy, codes(health.reasons)) == (None, False, ["no_leader"])


def test_unknown_nodes_are_not_healthy() -> None:
    health = quorum_health(nodes_of(*managers(3), api_node("w1", state="unknown")))
    assert codes(health.reasons) == ["nodes_unknown"]
    assert "w1 (id-w1)" in health.reasons[0].message


def test_a_worker_that_is_down_does_not_concern_the_quorum() -> None:
    assert quorum_health(nodes_of(*managers(3), api_node("w1", state="down"))).healthy


def test_a_manager_without_manager_status_is_no_member() -> None:
    nodes = nodes_of(*managers(3), api_node("lost", role="manager", reachability="none", state="down"))
    assert [node.hostname for node in managers_of(nodes)] == ["m1", "m2", "m3"]
    assert quorum_health(nodes).managers == 3


def test_an_empty_node_list_is_not_healthy() -> None:
    health = quorum_health([])
    assert (health.healthy, health.can_lose, health.fault_tolerance) == (False, 0, 0)


def test_no_settling_reasons_without_unknown_nodes() -> None:
    assert settling_reasons(nodes_of(*managers(3), api_node("w1", state="down"))) == []


# -- stopping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "last", "stopping", "expected"),
    [
        (3, {}, [], []),
        (3, {}, ["m3"], []),
        (3, {}, ["id-m3"], []),
        (3, {}, ["m2", "m3"], ["stop_loses_quorum"]),
        (3, {"reachability": "unreachable"}, ["m3"], []),
        (3, {"reachability": "unreachable"}, ["m2"], ["stop_loses_quorum"]),
        (5, {}, ["m2", "m3"], []),
        (5, {"reachability": "unreachable"}, ["m2", "m3"], ["stop_loses_quorum"]),
        (1, {}, ["m1"], ["stop_loses_quorum"]),
        (2, {}, ["m2"], ["stop_loses_quorum"]),
        (3, {}, ["w1"], []),
        (3, {}, ["nobody"], ["unknown_node"]),
        (3, {}, ["nobody", "m2", "m3"], ["unknown_node", "stop_loses_quorum"]),
        (3, {}, ["m3", "id-m3"], []),
    ],
)
def test_stop_reasons(count: int, last: dict[str, Any], stopping: list[str], expected: list[str]) -> None:
    nodes = nodes_of(*managers(count, **last), api_node("w1"))
    assert codes(stop_reasons(nodes, stopping)) == expected


def test_the_numbers_are_in_the_refusal() -> None:
    (reason,) = stop_reasons(nodes_of(*managers(3)), ["m2", "m3"])
    assert reason.message == ("with m2 (id-m2), m3 (id-m3) down, 1 of 3 managers are reachable, 2 are needed")


def test_a_host_name_of_several_nodes_must_be_told_apart() -> None:
    nodes = nodes_of(*managers(3), api_node("old", hostname="m3", role="manager", reachability="none"))
    (reason,) = stop_reasons(nodes, ["m3"])
    assert reason.code == "ambiguous_node"
    assert "id-m3" in reason.message and "id-old" in reason.message


# -- number of managers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "last", "minimum", "remedy"),
    [
        (3, {}, 0, None),
        (3, {}, 1, None),
        (3, {}, 2, "Have 5 reachable managers"),
        (3, {"reachability": "unreachable"}, 1, "Bring the unreachable managers back"),
        (5, {}, 2, None),
    ],
)
def test_tolerance(count: int, last: dict[str, Any], minimum: int, remedy: str | None) -> None:
    reasons = tolerance_reasons(quorum_health(nodes_of(*managers(count, **last))), minimum)
    assert [reason.remedy for reason in reasons] == ([remedy] if remedy else [])


@pytest.mark.parametrize(("count", "odd"), [(1, True), (2, False), (3, True), (4, False), (7, True)])
def test_odd(count: int, odd: bool) -> None:
    assert (odd_reasons(count) == []) is odd


def test_even_managers_are_explained() -> None:
    (reason,) = odd_reasons(4)
    assert reason.message == "4 managers stand the loss of 1, as 3 do"
    assert reason.remedy == "Add one (promote a worker) or demote one, for 5 or 3"


# -- zones -------------------------------------------------------------------------------------------------------


# Docker docs, Administer and maintain a swarm of Docker Engines: Distribute manager nodes.
@pytest.mark.parametrize(
    ("count", "zones", "spread"),
    [
        (3, 3, [1, 1, 1]),
        (5, 3, [2, 2, 1]),
        (7, 3, [3, 2, 2]),
        (9, 3, [3, 3, 3]),
        (3, 2, [2, 1]),
        (3, 4, [1, 1, 1, 0]),
        (5, 1, [5]),
        (3, 0, []),
    ],
)
def test_ideal_spread(count: int, zones: int, spread: list[int]) -> None:
    assert ideal_spread(count, zones) == spread


def in_zones(*zones: str | None, workers: str = "") -> list[Node]:
    nodes = managers(len(zones))
    for node, zone in zip(nodes, zones):
        node["Spec"]["Labels"] = {"zone": zone} if zone else {}
    return nodes_of(*nodes, *(api_node(f"w-{zone}", labels={"zone": zone}) for zone in workers))


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (in_zones("a", "b", "c"), []),
        (in_zones("a", "a", "b", "b", "c"), []),
        (in_zones("a", "a", "b"), ["zone_holds_majority"]),
        (in_zones("a", "a", "b", workers="c"), ["zones_uneven", "zone_holds_majority"]),
        (in_zones("a", "a", "a", "b", "c"), ["zones_uneven", "zone_holds_majority"]),
        (in_zones("a", "b", None), ["zone_unknown"]),
        (in_zones(None, None, None), ["zone_unknown"]),
        (in_zones(None, None, None, workers="abc"), ["zone_unknown"]),
        (in_zones("a", "a", "a"), []),
        (in_zones("a", "b", "c", workers="d"), []),
        (in_zones("a"), []),
    ],
)
def test_zones(nodes: list[Node], expected: list[str]) -> None:
    assert codes(zone_reasons(nodes, "zone")) == expected


def test_the_move_that_evens_the_zones_is_named() -> None:
    reason = zone_reasons(in_zones("a", "a", "b", workers="c"), "zone")[0]
    assert reason.message == "managers by zone are a=2, b=1, c=0 (2-1-0), the ideal is 1-1-1"
    assert reason.remedy == "Promote a node in c and then demote one in a, such as m1 (id-m1)"


# -- addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected_address", "expected"),
    [
        ({"10.0.0.1": True}, None, []),
        ({"10.0.0.1": True}, "10.0.0.1", []),
        ({"10.0.0.1": True}, "10.0.0.1:2377", []),
        ({"10.0.0.1": False}, None, ["address_dynamic"]),
        ({"10.0.0.9": True}, None, ["address_not_on_host"]),
        ({"10.0.0.1": True}, "10.0.0.9", ["address_not_expected"]),
        ({"10.0.0.1": False}, "10.0.0.9", ["address_dynamic", "address_not_expected"]),
    ],
)
def test_addresses(host: dict[str, bool], expected_address: str | None, expected: list[str]) -> None:
    (node,) = nodes_of(api_node("m1", role="manager", address="10.0.0.1"))
    assert codes(address_reasons(node, host_addresses=host, expected=expected_address)) == expected


def test_the_address_of_a_worker_may_change() -> None:
    (node,) = nodes_of(api_node("w1"))
    assert address_reasons(node, host_addresses={}, expected="10.0.0.9") == []


# -- layout ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("managers_", range(1, 12))
@pytest.mark.parametrize("zones", range(1, 6))
def test_layout_over_names_is_the_ideal_spread(managers_: int, zones: int) -> None:
    names = [f"zone{number}" for number in range(zones)]
    layout = manager_layout(managers_, names)
    assert layout["spread"] == list(layout["managers"].values()) == ideal_spread(managers_, zones)
    assert (list(layout["managers"]), layout["hosts"]) == (names, [])


def test_layout_chooses_hosts_that_are_spread_at_every_moment() -> None:
    assert manager_layout(5, {"north": ["n1", "n2", "n3"], "south": ["s1"], "west": ["w1", "w2"]}) == {
        "managers": {"north": 2, "south": 1, "west": 2},
        "hosts": ["n1", "s1", "w1", "n2", "w2"],
        "spread": [2, 2, 1],
        "fault_tolerance": 2,
        "survives_zone": True,
    }


def test_layout_takes_what_a_zone_has() -> None:
    layout = manager_layout(5, {"a": ["a1"], "b": ["b1", "b2", "b3", "b4"], "c": []})
    assert (layout["managers"], layout["survives_zone"]) == ({"a": 1, "b": 4, "c": 0}, False)


@pytest.mark.parametrize(
    ("count", "zones", "words"),
    [
        (0, ["a"], "nothing to place"),
        (3, [], "no zone is named"),
        (3, {}, "no zone is named"),
        (3, ["a", "b", "a"], "not the names of zones"),
        (3, "abc", "not the names of zones"),
        (3, {"a": ["m1", "m2"], "b": ["m1", "m3"]}, "named more than once: m1"),
        (3, {"a": ["m1"], "b": ["m2"]}, r"the zones have 2 host\(s\)"),
    ],
)
def test_layout_refused(count: int, zones: Any, words: str) -> None:
    with pytest.raises(Refused, match=words):
        manager_layout(count, zones)


# -- quorate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("api_nodes", "expected"),
    [
        (managers(3), True),
        (managers(3, reachability="unreachable"), True),
        (managers(2, reachability="unreachable"), False),
        (managers(1), True),
    ],
)
def test_quorate_is_a_leader_and_a_majority(api_nodes: list[dict[str, Any]], expected: bool) -> None:
    quorum = quorum_health(nodes_of(*api_nodes)).as_dict()
    assert is_quorate(quorum) is is_quorate({"state": "manager", "quorum": quorum}) is expected
    assert is_quorate({**quorum, "leader": None}) is False
    assert is_quorate({"state": "quorum_lost", "quorum": quorum}) is False


@pytest.mark.parametrize("state", ["worker", "locked", "daemon_down", "pending", "inactive"])
def test_a_host_that_sees_no_quorum(state: str) -> None:
    assert is_quorate({"state": state, "quorum": None}) is False
    assert is_quorate(None) is False


def test_quorum_without_a_leader_as_swarm_unlock_returns_it() -> None:
    assert is_quorate({"managers": 3, "majority": 2, "reachable": None}) is False
    assert is_quorate({"managers": 3, "majority": 2, "reachable": 2}) is True


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"failed": True, "msg": "no permission", "state": "manager"}, "no permission"),
        ({"unreachable": True}, "no result"),
        ({"skipped": True}, "it was skipped"),
        ({"managers": 3}, "it has no 'reachable'"),
    ],
)
def test_what_is_no_answer_is_an_error(seen: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        is_quorate(seen)
