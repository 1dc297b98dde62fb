# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _roster

UNREACHABLE: dict[str, Any] = {"unreachable": True, "msg": "Failed to connect to the host via ssh"}


def address_of(host: str) -> str:
    return f"10.0.0.{'12' if host[0] == 'w' else '1'}{host[1:]}"


def node(name: str, *, host: str = "", role: str = "manager", **changes: Any) -> dict[str, Any]:
    """An entry of the node list, as swarm_info returns it. Its ID is id-NAME."""
    address = address_of(host or name)
    manager = {"address": f"{address}:2377", "reachability": "reachable", "leader": name == "m1"}
    return {
        "id": f"id-{name}",
        "hostname": host or name,
        "address": address,
        "role": role,
        "state": "ready",
        "availability": "active",
        "labels": {},
        "version": 10,
        "manager": manager if role == "manager" else None,
        **changes,
    }


LOST = {"address": address_of("m3") + ":2377", "reachability": "unreachable", "leader": False}
NODES = [node("m1"), node("m2"), node("m3", labels={"zone": "c"}), node("w1", role="worker")]


def info(host: str, state: str = "manager", *, of: str = "blue", **changes: Any) -> dict[str, Any]:
    """What swarm_info returns on a host, with its disk and addresses."""
    has_state = state != "inactive"
    return {
        "state": state,
        "cluster": {"id": of} if state == "manager" else None,
        "node": {
            "id": f"id-{host}" if state in ("manager", "worker") else "",
            "hostname": None if state == "daemon_down" else host,
            "is_leader": host == "m1" if state == "manager" else None,
            "address": address_of(host),
        },
        "nodes": copy.deepcopy(NODES) if state == "manager" else None,
        "state_directory": {"node_id": f"id-{host}", "cluster_id": of} if has_state else {"node_id": None},
        "addresses": [{"address": address_of(host), "kind": "permanent"}],
        **changes,
    }


def fleet(nodes: list[dict[str, Any]] | None = None, **hosts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Three managers, with this node list if it is given, and hosts that are otherwise."""
    infos = {host: info(host) for host in ("m1", "m2", "m3")}
    infos.update(hosts)
    for found in infos.values():
        if nodes is not None and found.get("nodes"):
            found["nodes"] = copy.deepcopy(nodes)
    return infos


# -- rejoin ------------------------------------------------------------------------------------------------------


def rejoin(infos: dict[str, Any], target: str = "m3", **options: Any) -> dict[str, Any]:
    addresses = {host: [host, address_of(host)] for host in infos}
    return _roster.rejoin_plan(infos, target=target, addresses=addresses, **options)


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["id"] for entry in entries]


def without(name: str) -> list[dict[str, Any]]:
    return [entry for entry in NODES if entry["hostname"] != name]


def test_a_healthy_manager_is_left_alone() -> None:
    plan = rejoin(fleet())
    assert (plan["problem"], plan["needed"], plan["why"]) == (None, False, "it is a reachable manager")


def test_a_healthy_manager_is_rejoined_when_that_is_said() -> None:
    plan = rejoin(fleet(), even_if_healthy=True)
    assert (plan["needed"], plan["actor"], plan["remote"], plan["leave"]) == (True, "m1", "10.0.0.11:2377", True)
    assert (ids(plan["demote"]), ids(plan["remove"]), ids(plan["former"])) == (["id-m3"], [], ["id-m3"])
    assert (plan["former"][0]["labels"], plan["address"]) == ({"zone": "c"}, "10.0.0.13")


def test_the_leader_is_rejoined_by_another_manager() -> None:
    assert rejoin(fleet(), "m1", even_if_healthy=True)["actor"] == "m2"


@pytest.mark.parametrize("state", ["daemon_down", "locked", "pending", "quorum_lost", "unsettled", "error"])
def test_a_manager_that_is_ill_leaves_and_joins(state: str) -> None:
    plan = rejoin(fleet([*without("m3"), node("m3", manager=LOST, state="down")], m3=info("m3", state)))
    assert (plan["problem"], plan["needed"], plan["leave"]) == (None, True, True)
    assert (ids(plan["demote"]), ids(plan["remove"]), ids(plan["former"])) == (["id-m3"], [], ["id-m3"])


def test_a_manager_that_the_others_do_not_reach_is_rejoined() -> None:
    assert rejoin(fleet([*without("m3"), node("m3", manager=LOST, state="down")]))["needed"]


def test_a_manager_that_was_removed_while_it_was_down() -> None:
    plan = rejoin(fleet(without("m3"), m3=info("m3", "quorum_lost")))
    assert (plan["needed"], plan["leave"], plan["demote"], plan["remove"]) == (True, True, [], [])
    assert (plan["former"], plan["address"]) == ([], "")


def test_a_host_that_was_installed_again_has_its_old_entry_removed() -> None:
    old = node("old", host="m3", manager=LOST, state="down", labels={"zone": "c"})
    plan = rejoin(fleet([*without("m3"), old], m3=info("m3", "inactive")))
    assert (plan["needed"], plan["leave"], plan["node_id"]) == (True, False, "")
    assert (ids(plan["demote"]), ids(plan["remove"]), ids(plan["former"])) == (["id-old"], [], ["id-old"])


@pytest.mark.parametrize(
    "other",
    [
        node("old", host="m3", address="10.0.0.99", manager=None, role="worker"),
        node("old", host="m3", hostname="another"),
    ],
)
def test_an_entry_of_the_same_name_or_the_same_address_alone_is_not_the_host(other: dict[str, Any]) -> None:
    plan = rejoin(fleet([*without("m3"), other], m3=info("m3", "inactive")))
    assert (plan["needed"], plan["remove"], plan["former"]) == (True, [], [])


def test_a_run_that_was_interrupted_goes_on() -> None:
    demoted = node("m3", role="worker", labels={"zone": "c"})
    worker = rejoin(fleet([*without("m3"), demoted], m3=info("m3", "worker")))
    assert (worker["needed"], worker["demote"], ids(worker["former"])) == (True, [], ["id-m3"])
    left = rejoin(fleet([*without("m3"), {**demoted, "state": "down"}], m3=info("m3", "inactive")))
    assert (left["leave"], left["join"], left["remove"], left["former"][0]["labels"]) == (
        False,
        True,
        [],
        {"zone": "c"},
    )


def test_a_run_that_was_interrupted_after_the_join_gives_the_labels_and_removes_the_former_node() -> None:
    old = node("old", host="m3", role="worker", state="down", labels={"zone": "c"})
    nodes = [*without("m3"), node("m3"), old]
    plan = rejoin(fleet(nodes))
    assert (plan["needed"], plan["leave"], plan["join"]) == (True, False, False)
    assert (plan["demote"], plan["remove"], ids(plan["former"])) == ([], [], ["id-old"])
    assert plan["why"] == "it is a reachable manager, and former nodes of it are left"
    # the same, where it is said to be done all over: the labels are still those of the old one
    again = rejoin(fleet(nodes), even_if_healthy=True)
    assert (again["leave"], again["join"]) == (True, True)
    assert (ids(again["demote"]), ids(again["remove"]), ids(again["former"])) == (["id-m3"], ["id-m3"], ["id-old"])


def test_a_former_node_is_only_removed_where_the_new_one_has_its_own_labels() -> None:
    old = node("old", host="m3", manager=LOST, state="down", labels={"zone": "x"})
    plan = rejoin(fleet([*NODES, old]))
    assert (plan["leave"], plan["join"], plan["former"]) == (False, False, [])
    assert (ids(plan["demote"]), ids(plan["remove"])) == (["id-old"], ["id-old"])
    again = rejoin(fleet([*NODES, old]), even_if_healthy=True)
    assert (ids(again["remove"]), ids(again["former"])) == (["id-old"], ["id-m3"])


def test_one_of_many_former_nodes_is_kept_until_the_join() -> None:
    """Also when nobody has given one of them anything."""
    old, older = node("old", host="m3", state="down"), node("older", host="m3", role="worker", version=99)
    plan = rejoin(fleet([*without("m3"), older, old], m3=info("m3", "inactive")))
    assert (ids(plan["remove"]), ids(plan["former"])) == (["id-older"], ["id-old"])


def test_of_two_old_entries_both_go_and_the_manager_gives_the_labels() -> None:
    old = node("old", host="m3", manager=LOST, labels={"zone": "c"})
    older = node("older", host="m3", role="worker", version=99)
    plan = rejoin(fleet([*without("m3"), old, older], m3=info("m3", "inactive")))
    assert (ids(plan["remove"]), ids(plan["former"])) == (["id-older"], ["id-old"])


def test_a_moved_manager_is_rejoined_at_its_new_address() -> None:
    moved = info("m3", "quorum_lost", addresses=[{"address": "10.0.9.9"}])
    infos = fleet([*without("m3"), node("m3", manager=LOST, state="down")], m3=moved)
    plan = _roster.rejoin_plan(infos, target="m3", addresses={"m3": ["m3"]})
    assert (plan["problem"], ids(plan["demote"]), plan["address"]) == (None, ["id-m3"], "")


@pytest.mark.parametrize(
    ("infos", "words"),
    [
        (fleet(m3={}), "m3 is no host of this play"),
        (fleet(m3=UNREACHABLE), "m3: the host cannot be reached"),
        (fleet(m3={"failed": True, "msg": "no docker"}), "could not be read (no docker)"),
        (fleet(m3=info("m3", node={"id": "id-m2"})), "node ID id-m2 is used by more than one host (m2, m3)"),
        (
            fleet(m3=info("m3", "daemon_down", state_directory={"node_id": "id-m2", "cluster_id": "blue"})),
            "node ID id-m2 is used by more than one host (m2, m3)",
        ),
        (fleet(m2=info("m2", nodes=without("m1"))), "there are two swarms of this cluster ID"),
        (
            fleet(m3=info("m3", "quorum_lost", of="red")),
            "no other manager of swarm red, to which m3 belongs, has a quorum",
        ),
        (
            fleet(m1=info("m1", "quorum_lost"), m2=UNREACHABLE),
            "(m1: the quorum is lost; m2: the host cannot be reached); where the quorum is lost",
        ),
        (
            fleet(
                m1=info("m1", nodes=[node("m1")]),
                m2=info("m2", of="red", nodes=[node("m2")]),
                m3=info("m3", "inactive"),
            ),
            "in 2 swarms (blue, red), and none of them knows m3",
        ),
    ],
)
def test_rejoin_refused(infos: dict[str, Any], words: str) -> None:
    plan = rejoin({host: found for host, found in infos.items() if found})
    assert words in (plan["problem"] or ""), plan
    assert plan["needed"] is False


def test_of_two_swarms_the_one_that_knows_the_host_is_meant() -> None:
    old = node("old", host="m3", manager=LOST, state="down")
    plan = rejoin(
        fleet(
            m1=info("m1", nodes=[node("m1"), old]),
            m2=info("m2", of="red", nodes=[node("m2")]),
            m3=info("m3", "inactive"),
        )
    )
    assert (plan["problem"], plan["cluster_id"], plan["actor"]) == (None, "blue", "m1")


@pytest.mark.parametrize("reachability", ["reachable", "unreachable"])
def test_a_copied_state_directory_is_recognised_by_the_address(reachability: str) -> None:
    """m4 has the identity of m3, which is another host: one that answers, or one that the inventory knows."""
    copied = info("m4", "quorum_lost", state_directory={"node_id": "id-m3", "cluster_id": "blue"})
    manager = {**LOST, "reachability": reachability}
    infos = fleet([*without("m3"), node("m3", manager=manager)], m3=UNREACHABLE, m4=copied)
    plan = rejoin(infos, "m4")
    assert "node ID id-m3 on m4 is that of m3: its state directory was copied" in (plan["problem"] or "")
    del infos["m3"]
    problem = rejoin(infos, "m4")["problem"]
    assert ("is that of 10.0.0.13" in (problem or "")) is (reachability == "reachable")


# -- succession ------------------------------------------------------------------------------------------------


GIVEN: dict[str, Any] = {"labels": {"zone": "c"}, "availability": "drain"}


@pytest.mark.parametrize(
    ("me", "former", "give", "removed"),
    [
        ({}, [("old", GIVEN)], GIVEN, ["id-old"]),
        ({}, [("gone", GIVEN)], GIVEN, ["id-old"]),
        ({}, [("old", {}), ("gone", GIVEN)], GIVEN, ["id-old"]),
        ({}, [("gone", GIVEN), ("old", {"labels": {"zone": "x"}})], GIVEN, ["id-old"]),
        ({}, [("old", {"availability": "pause"})], {"labels": {}, "availability": "pause"}, ["id-old"]),
        ({}, [("old", {})], {}, ["id-old"]),
        ({"labels": {"zone": "own"}}, [("old", GIVEN)], {}, ["id-old"]),
        ({"availability": "drain"}, [("old", GIVEN)], {}, ["id-old"]),
        ({}, [("gone", {**GIVEN, "hostname": "another"})], {}, ["id-old"]),
        (GIVEN, [("m3", GIVEN)], {}, ["id-old"]),
        ({}, [("old", {}), ("old", GIVEN)], GIVEN, ["id-old"]),
    ],
)
def test_succession(
    me: dict[str, Any], former: list[tuple[str, dict[str, Any]]], give: dict[str, Any], removed: list[str]
) -> None:
    nodes = [*without("m3"), node("m3", **me), node("old", host="m3", role="worker", state="down")]
    entries = [node(name, host="m3", role="worker", **changes) for name, changes in former]
    found = _roster.succession(nodes, node_id="id-m3", former=entries)
    assert (found["give"], ids(found["remove"])) == (give, removed)


@pytest.mark.parametrize(
    "other",
    [
        {"state": "ready"},
        {"state": "unknown"},
        {"hostname": "another"},
        {"address": "10.0.0.99"},
        {"manager": {"address": "10.0.0.13:2377", "reachability": "unreachable", "leader": False}},
    ],
)
def test_a_node_that_may_live_or_is_another_host_is_no_former_one_unless_it_is_named(other: dict[str, Any]) -> None:
    entry = {**node("old", host="m3", role="worker"), "state": "down", **GIVEN, **other}
    nodes = [*without("m3"), node("m3"), entry]
    assert _roster.succession(nodes, node_id="id-m3", former=[]) == {"give": {}, "remove": []}
    named = _roster.succession(nodes, node_id="id-m3", former=[{**entry, "hostname": "m3"}])
    assert (named["give"], ids(named["remove"])) == (GIVEN, ["id-old"])


def test_what_an_interrupted_run_has_left_is_a_former_node() -> None:
    nodes = [*without("m3"), node("m3"), node("old", host="m3", role="worker", state="down", **GIVEN)]
    found = _roster.succession(nodes, node_id="id-m3", former=[])
    assert (found["give"], ids(found["remove"])) == (GIVEN, ["id-old"])


def test_a_node_that_the_swarm_does_not_know_succeeds_nobody() -> None:
    found = _roster.succession(NODES, node_id="id-of-another-swarm", former=[node("old", host="m3", **GIVEN)])
    assert found == {"give": {}, "remove": []}


# -- remove ------------------------------------------------------------------------------------------------------


def remove(infos: dict[str, Any], name: str) -> dict[str, Any]:
    return _roster.remove_plan(infos, node=name, addresses={host: [host, address_of(host)] for host in infos})


@pytest.mark.parametrize("name", ["m3", "id-m3"])
def test_a_manager_that_can_be_reached_has_to_leave(name: str) -> None:
    plan = remove(fleet(), name)
    assert (plan["problem"], plan["needed"], plan["actor"], plan["host"]) == (None, True, "m1", "m3")
    assert (plan["node"]["id"], plan["name"]) == ("id-m3", "m3 (id-m3)")


def test_a_node_is_removed_by_another_manager() -> None:
    assert remove(fleet(), "m1")["actor"] == "m2"


@pytest.mark.parametrize("name", ["w1", "id-w1"])
def test_a_worker_that_is_no_host_of_the_inventory(name: str) -> None:
    plan = remove(fleet(), name)
    assert (plan["needed"], plan["node"]["id"], plan["host"]) == (True, "id-w1", "")


def test_a_host_that_cannot_be_reached_is_found_by_its_addresses() -> None:
    infos = fleet([*without("m3"), node("m3", hostname="named-otherwise")], m3=UNREACHABLE)
    plan = remove(infos, "m3")
    assert (plan["node"]["id"], plan["host"]) == ("id-m3", "")


def test_a_host_is_meant_by_its_node_and_not_by_the_name_of_an_old_one() -> None:
    infos = fleet([*NODES, node("old", host="m3", role="worker", state="down")])
    assert remove(infos, "m3")["node"]["id"] == "id-m3"


def test_a_name_of_two_nodes_is_refused() -> None:
    old = [node(name, host="w9", role="worker", state="down") for name in ("old", "older")]
    problem = remove(fleet([*NODES, *old]), "w9")["problem"]
    assert "w9 is the name of 2 nodes: w9 (id-old), worker, down, w9 (id-older)" in problem


def test_what_is_gone_is_gone() -> None:
    assert remove(fleet(without("m3"), m3=info("m3", "inactive")), "m3")["needed"] is False
    assert remove(fleet(), "nobody")["needed"] is False


def test_a_node_that_was_removed_without_its_knowledge_still_leaves() -> None:
    plan = remove(fleet([*NODES[:3]], w1=info("w1", "worker")), "w1")
    assert (plan["needed"], plan["node"], plan["host"], plan["actor"]) == (True, None, "w1", "m1")


@pytest.mark.parametrize(
    ("infos", "words"),
    [
        ({"m3": info("m3")}, "no other manager of swarm blue has a quorum, which could remove m3 (id-m3)"),
        ({"m3": info("m3", "quorum_lost")}, "no manager has a quorum (m3: the quorum is lost)"),
        (fleet(m2=info("m2", node={"id": "id-m1"})), "is used by more than one host"),
    ],
)
def test_remove_refused(infos: dict[str, Any], words: str) -> None:
    plan = remove(infos, "m3")
    assert words in plan["problem"]
    assert plan["needed"] is False


# -- drain -------------------------------------------------------------------------------------------------------


def test_all_managers_of_all_swarms_are_drained() -> None:
    infos = fleet(m3=info("m3", containers=["registry"]), r1=info("r1", of="red", nodes=[node("r1")]))
    plan = _roster.drain_plan(infos, named=[])
    assert [(swarm["cluster_id"], swarm["actor"], ids(swarm["targets"])) for swarm in plan["swarms"]] == [
        ("blue", "m1", ["id-m1", "id-m2", "id-m3"]),
        ("red", "r1", ["id-r1"]),
    ]
    assert [target["containers"] for target in plan["swarms"][0]["targets"]] == [None, None, ["registry"]]


def test_only_those_are_drained_that_are_named() -> None:
    infos = {**fleet(m3=UNREACHABLE), "first": info("m2")}
    del infos["m2"]
    plan = _roster.drain_plan(infos, named=["first", "m3"])
    assert (plan["problem"], ids(plan["swarms"][0]["targets"])) == (None, ["id-m2", "id-m3"])


@pytest.mark.parametrize(
    ("infos", "named", "words"),
    [
        (fleet(), ["m3", "nobody"], "no swarm of this play has a manager nobody"),
        (fleet(), ["w1"], "w1 (id-w1) is no manager"),
        ({"m1": info("m1", "locked")}, [], "no manager has a quorum (m1: it is locked (autolock))"),
        (fleet(m2=info("m2", nodes=without("m1"))), [], "there are two swarms"),
    ],
)
def test_drain_refused(infos: dict[str, Any], named: list[str], words: str) -> None:
    assert words in _roster.drain_plan(infos, named=named)["problem"]


# -- bootstrap ---------------------------------------------------------------------------------------------------


def bootstrap(infos: dict[str, Any], *, count: int = 0, **options: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "managers": [host for host in infos if host[0] == "m"],
        "workers": [host for host in infos if host[0] == "w"],
        "addresses": {host: [host, address_of(host)] for host in infos},
        "advertise": {},
        "zones": {},
        "allow_leased": False,
        **options,
    }
    return _roster.bootstrap_plan(infos, count=count, **facts)


def fresh(*hosts: str, **others: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {**{host: info(host, "inactive") for host in hosts}, **others}


def test_a_new_swarm() -> None:
    plan = bootstrap(fresh("m1", "m2", "w1"))
    assert (plan["problem"], plan["init"], plan["actor"], plan["promote"]) == (None, "m1", "m1", [])
    assert plan["join"] == [
        {"host": "m2", "role": "manager", "address": "10.0.0.12"},
        {"host": "w1", "role": "worker", "address": ""},
    ]
    assert plan["steps"] == ["m1 creates a swarm at 10.0.0.11", "m2 joins as a manager", "w1 joins as a worker"]


def test_a_swarm_that_is_complete() -> None:
    plan = bootstrap(fleet(w1=info("w1", "worker")))
    assert (plan["problem"], plan["steps"], plan["init"], plan["actor"]) == (None, [], None, "m1")


def test_a_swarm_is_completed_and_nothing_is_created() -> None:
    """Also where the first host of the inventory is not in it yet."""
    plan = bootstrap(fleet(NODES[1:], m1=info("m1", "inactive"), w1=info("w1", "worker")))
    assert (plan["init"], plan["actor"]) == (None, "m2")
    assert plan["steps"] == ["m1 joins as a manager"]


def test_a_worker_that_shall_be_a_manager_is_promoted() -> None:
    nodes = [node("m1"), node("m2", role="worker")]
    plan = bootstrap({"m1": info("m1", nodes=nodes), "m2": info("m2", "worker")})
    assert plan["promote"] == [{"host": "m2", "node_id": "id-m2"}]


def test_workers_become_managers_from_the_emptiest_zone() -> None:
    zones = {"m1": "a", "w1": "a", "w2": "b", "w3": "b", "w4": "c"}
    plan = bootstrap(fresh("m1", "w1", "w2", "w3", "w4"), count=3, zones=zones)
    assert plan["managers"] == ["m1", "w2", "w4"]
    assert bootstrap(fresh("m1", "w1", "w2", "w3", "w4"), count=5, zones=zones)["managers"] == [
        *("m1", "w2", "w4", "w1", "w3")
    ]


def test_a_worker_that_was_made_a_manager_is_counted_first() -> None:
    infos = {"m1": info("m1"), "w1": info("w1", "worker"), "w2": info("w2", nodes=NODES)}
    for found in infos.values():
        found["nodes"] = found["nodes"] and [node("m1"), node("w1", role="worker"), node("w2")]
    plan = bootstrap(infos, count=2)
    assert (plan["problem"], plan["managers"], plan["steps"]) == (None, ["m1", "w2"], [])


def test_a_lease_may_be_allowed() -> None:
    infos = fresh("m1", "m2")
    infos["m2"]["addresses"][0]["kind"] = "leased"
    assert "m2: its address 10.0.0.12 is leased" in (bootstrap(infos)["problem"] or "")
    assert bootstrap(infos, allow_leased=True)["problem"] is None


def test_a_worker_without_a_fixed_address_is_passed_over() -> None:
    infos = fresh("m1", "w1", "w2")
    infos["w1"]["addresses"][0]["kind"] = "leased"
    assert bootstrap(infos, count=2)["managers"] == ["m1", "w2"]


@pytest.mark.parametrize(
    ("infos", "options", "words"),
    [
        (fresh("w1"), {}, "there is no host that shall be a manager"),
        (fresh("m1", m2=UNREACHABLE), {}, "m2: the host cannot be reached"),
        (fresh("m1", m2=info("m2", "locked")), {}, "m2: it is locked (autolock)"),
        (fresh("m1", m2=info("m2", "quorum_lost")), {}, "m2: the quorum is lost"),
        (fresh("m1", m2=info("m2", "daemon_down")), {}, "m2: its engine is down"),
        (
            fresh("m1", m2=info("m2", "inactive", state_directory={"exists": True})),
            {},
            "m2: its engine is in no swarm, but its disk holds the state of one",
        ),
        (
            fresh(m1=info("m1", nodes=[node("m1")]), m2=info("m2", of="red", nodes=[node("m2")])),
            {},
            "the hosts are in 2 swarms: blue, red",
        ),
        (fresh("m1", w1=info("w1", "worker")), {}, "w1 belong to a swarm that none of the managers is in"),
        (fleet(m3=info("m3", node={"id": "id-m1"})), {}, "is used by more than one host"),
        (fresh("m1", "m2"), {"count": 1}, "1 managers are wanted, but 2 hosts shall be managers"),
        (fresh("m1", "w1"), {"count": 3}, "3 managers are wanted, and only 2 hosts with a fixed address are there"),
        (fresh("m1"), {"advertise": {"m1": "10.0.0.99"}}, "m1: its address 10.0.0.99 is no address of this host"),
        (fresh("m1", "w1"), {"advertise": {"w1": "10.0.0.99"}}, "w1: its address 10.0.0.99 is no address of this host"),
        (fresh("m1"), {"addresses": {"m1": ["m1"]}}, "m1: nobody knows its address as a manager"),
        (
            fleet(m1=info("m1", addresses=[{"address": "10.0.0.99", "kind": "permanent"}])),
            {"advertise": {"m1": "10.0.0.99"}},
            "m1: the managers know it by 10.0.0.11, the inventory says 10.0.0.99",
        ),
    ],
)
def test_bootstrap_refused(infos: dict[str, Any], options: dict[str, Any], words: str) -> None:
    assert words in (bootstrap(infos, **options)["problem"] or "")
