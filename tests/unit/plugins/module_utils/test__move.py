# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._move import address_traces, move_plan, own_address

OLD = {"n1": "10.0.0.11", "n2": "10.0.0.12", "n3": "10.0.0.13"}
NEW = {"n1": "10.0.0.21", "n2": "10.0.0.22", "n3": "10.0.0.23"}


def address(text: str, kind: str = "permanent", interface: str = "eth0") -> dict[str, Any]:
    return {"address": text, "prefix": 24, "interface": interface, "kind": kind}


def node(host: str, raft_address: str = "", **more: Any) -> dict[str, Any]:
    manager = (
        {"address": f"{raft_address}:2377", "reachability": "reachable", "leader": False} if raft_address else None
    )
    role = "manager" if raft_address else "worker"
    return {
        "id": f"id-{host}",
        "hostname": host,
        "role": role,
        "state": "ready",
        "address": raft_address or NEW[host],
        "manager": manager,
        **more,
    }


def member(host: str, state: str = "manager", *, raft: str = "", kind: str = "", nodes: Any = (), **more: Any) -> Any:
    """What swarm_info returns on a host at its new address, which has *raft* as well in the way of *kind*."""
    raft = raft or NEW[host]
    addresses = [address(NEW[host]), address("172.17.0.1", interface="docker0")]
    return {
        "state": state,
        "cluster": {"id": "blue"} if state == "manager" else None,
        "node": {"id": f"id-{host}", "hostname": host, "remote_managers": []},
        "nodes": list(nodes) if state == "manager" else None,
        "managers": [
            {"id": each["id"], "hostname": each["hostname"], **each["manager"]} for each in nodes if each["manager"]
        ],
        "state_directory": {"cluster_id": "blue", "node_id": f"id-{host}", "address": f"{raft}:2377"},
        "addresses": [*addresses, *([address(raft, kind)] if kind else [])],
        **more,
    }


def nowhere(host: str, state: str = "inactive", *, lent: str = "") -> Any:
    """A host that is in no swarm."""
    return {
        "state": state,
        "cluster": None,
        "node": {"id": "", "hostname": host, "remote_managers": []},
        "state_directory": {"cluster_id": None, "node_id": None, "address": None},
        "addresses": [address(NEW[host]), *([address(lent, "temporary")] if lent else [])],
    }


def plan(infos: Any, **more: Any) -> dict[str, Any]:
    return move_plan(infos, **{"target": "n1", "addresses": {}, **more})


NODES = [node("n1", OLD["n1"]), node("n2", NEW["n2"]), node("n3", NEW["n3"])]
HEALTHY = {host: member(host, nodes=NODES) for host in ("n2", "n3")}


# -- another manager is there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["quorum_lost", "unsettled", "manager", "worker"])
def test_renumbered_manager_of_a_healthy_swarm(state: str) -> None:
    """It finds no quorum itself; or it still does, in the moment; or it was demoted by a run that died."""
    found = plan({**HEALTHY, "n1": member("n1", state, raft=OLD["n1"], nodes=NODES)})
    assert found == {
        "reasons": [],
        "needed": True,
        "old": OLD["n1"],
        "own": NEW["n1"],
        "lent": False,
        "lend": [],
        "second": "",
        "through": "n2",
        "through_address": f"{NEW['n2']}:2377",
        "leave": True,
        "cluster_id": "blue",
        "former": [NODES[0]],
    }


def test_manager_at_an_address_of_its_host_stays() -> None:
    for kind in ("permanent", "leased"):
        infos = {**HEALTHY, "n1": member("n1", raft="10.0.0.99", kind=kind, nodes=NODES)}
        found = plan(infos)
        assert (found["needed"], found["through"], found["reasons"]) == (False, "", [])


def test_loan_that_was_left_behind_is_given_back() -> None:
    me = member("n1", nodes=NODES)
    me["addresses"].append(address(OLD["n1"], "temporary"))
    found = plan({**HEALTHY, "n1": me})
    assert (found["needed"], found["old"], found["through"], found["leave"]) == (True, OLD["n1"], "", False)


def test_former_node_that_was_left_behind_is_removed() -> None:
    """By a run that died after the join: the one that is down, and neither that of another host nor one that lives."""
    left = node("n1", OLD["n1"], id="id-before", state="down", role="worker", manager=None)
    others = [
        node("n2", OLD["n2"], id="id-namesake", state="down", role="worker", manager=None),
        node("n1", "10.0.0.50", id="id-twin", state="ready", role="worker", manager=None),
        node("n1", NEW["n3"], id="id-n3", state="down", role="worker", manager=None),
    ]
    me = member("n1", nodes=[*NODES[:2], left, *others])
    found = plan({**HEALTHY, "n3": member("n3", "daemon_down"), "n1": me})
    assert (found["needed"], found["through"], found["leave"]) == (True, "", False)
    assert found["former"] == [left]


def test_host_that_has_left_joins() -> None:
    """Its former node is known by its host name, as long as it is not ready."""
    gone = {**NODES[0], "manager": None, "role": "worker", "state": "down", "id": "id-old"}
    nodes = [gone, *NODES[1:]]
    infos = {host: member(host, nodes=nodes) for host in ("n2", "n3")}
    found = plan({**infos, "n1": nowhere("n1", lent=OLD["n1"])})
    assert (found["needed"], found["leave"], found["old"], found["former"]) == (True, False, OLD["n1"], [gone])
    assert (found["cluster_id"], found["own"]) == ("blue", NEW["n1"])
    ready = [{**gone, "state": "ready"}, *NODES[1:]]
    infos = {host: member(host, nodes=ready) for host in ("n2", "n3")}
    assert plan({**infos, "n1": nowhere("n1")})["former"] == []


def test_manager_of_another_swarm_is_no_help() -> None:
    stranger = {**HEALTHY["n2"], "cluster": {"id": "green"}}
    found = plan({"n2": stranger, "n1": member("n1", "quorum_lost", raft=OLD["n1"])})
    assert (found["through"], found["lend"]) == ("", ["n1"])


def test_lost_host_is_no_help() -> None:
    found = plan({**HEALTHY, "n1": member("n1", "quorum_lost", raft=OLD["n1"])}, lost=["n2"])
    assert found["through"] == "n3"


# -- no other manager ------------------------------------------------------------------------------------------------


def test_manager_that_is_alone_needs_a_second() -> None:
    me = member("n1", raft=OLD["n1"], kind="temporary", nodes=NODES[:1])
    found = plan({"n1": me, "n2": nowhere("n2"), "n3": nowhere("n3")})
    assert (found["second"], found["lend"], found["through"], found["lent"]) == ("n2", [], "", True)
    assert found["through_address"] == f"{NEW['n1']}:2377"
    assert plan({"n1": me, "n2": nowhere("n2"), "n3": nowhere("n3")}, lost=["n2"])["second"] == "n3"
    stopped = {**nowhere("n2", "daemon_down"), "state_directory": {"cluster_id": "blue"}}
    assert plan({"n1": me, "n2": stopped})["second"] == "n2"


def test_manager_that_is_alone_is_lent_the_address_first() -> None:
    found = plan({"n1": member("n1", raft=OLD["n1"], nodes=NODES[:1]), "n2": nowhere("n2")})
    assert (found["lend"], found["second"], found["reasons"]) == (["n1"], "n2", [])


@pytest.mark.parametrize(
    "other",
    [
        {"unreachable": True},
        {**nowhere("n2", "daemon_down"), "state_directory": {"cluster_id": "green"}},
        member("n2", "worker"),
    ],
)
def test_manager_that_is_alone_stays_without_a_second(other: Any) -> None:
    me = member("n1", raft=OLD["n1"], kind="temporary", nodes=NODES[:1])
    found = plan({"n1": me, "n2": other})
    assert "n1 is the only manager, and a manager cannot change its address alone" in found["reasons"][0]


def test_managers_that_are_not_in_the_inventory() -> None:
    me = member("n1", raft=OLD["n1"], kind="temporary", nodes=NODES)
    found = plan({"n1": me, "n2": {"unreachable": True}})
    assert "n2 (10.0.0.22:2377, reachable), n3 (10.0.0.23:2377, reachable)" in found["reasons"][0]
    assert found["second"] == ""


def test_all_managers_were_renumbered() -> None:
    """Each is lent its old address, and the quorum comes back. A manager that is up at its own address needs none."""
    infos = {host: member(host, "quorum_lost", raft=OLD[host]) for host in ("n1", "n2")}
    infos["n3"] = member("n3", "quorum_lost")
    found = plan(infos)
    assert (found["lend"], found["reasons"]) == (["n1", "n2"], [])


def test_quorum_that_is_lost_for_another_reason() -> None:
    infos = {"n1": member("n1", "quorum_lost", raft=OLD["n1"], kind="temporary"), "n2": {"unreachable": True}}
    assert "has no quorum" in plan(infos)["reasons"][0]


# -- what cannot be done ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("me", "words"),
    [
        ({"unreachable": True}, "n1 cannot be reached"),
        ({"failed": True, "msg": "x"}, "the state of n1 could not be read"),
        (nowhere("n1", "daemon_down"), "the engine of n1 is down"),
        (member("n1", "locked"), "n1 is locked; unlock it first"),
        (member("n1", "error"), "state error"),
        (nowhere("n1"), "n1 is in no swarm, and no other manager"),
        ({**member("n1", "worker"), "addresses": [address(NEW["n1"])]}, "n1 is a worker"),
    ],
)
def test_obstacles(me: Any, words: str) -> None:
    found = plan({"n1": me, "n2": nowhere("n2")})
    assert words in found["reasons"][0] and not found["needed"]


def test_no_address_to_join_with() -> None:
    infos = {**HEALTHY, "n1": member("n1", "quorum_lost", raft=OLD["n1"])}
    found = plan(infos, addresses={"n1": "10.0.0.77"})
    assert "set swarm_advertise_address of it to a fixed address" in found["reasons"][0]


@pytest.mark.parametrize(
    ("addresses", "wanted", "expected"),
    [
        ([address(NEW["n1"])], "", NEW["n1"]),
        ([address(NEW["n1"])], NEW["n1"], NEW["n1"]),
        ([address(NEW["n1"])], "10.0.0.99", ""),
        ([address(NEW["n1"]), address("192.168.1.1")], "", NEW["n1"]),
        ([address(NEW["n1"]), address("192.168.1.1")], "192.168.1.1", "192.168.1.1"),
        ([address("192.168.0.1"), address("192.168.1.1")], "", ""),
        ([address(NEW["n1"]), address("10.0.0.30")], "", ""),
        ([address(NEW["n1"], "leased")], "", ""),
        ([address(NEW["n1"], "leased")], NEW["n1"], ""),
        ([address(OLD["n1"], "temporary"), address(NEW["n1"])], "", NEW["n1"]),
        ([address("fe80::1"), address(NEW["n1"])], "", NEW["n1"]),
        ([], "", ""),
    ],
)
def test_own_address(addresses: Any, wanted: str, expected: str) -> None:
    assert own_address({"addresses": addresses}, wanted=wanted, near=OLD["n1"]) == expected


# -- what is left ----------------------------------------------------------------------------------------------------


def test_traces() -> None:
    clean = {**HEALTHY, "n1": member("n1", nodes=[node("n1", NEW["n1"]), *NODES[1:]])}
    for info in clean.values():
        info["nodes"] = [node("n1", NEW["n1"]), *NODES[1:]]
    assert address_traces(clean, OLD["n1"]) == []
    worker = {**nowhere("n2", "worker", lent=OLD["n1"])}
    worker["node"] = {**worker["node"], "remote_managers": [{"id": "x", "address": f"{OLD['n1']}:2377"}]}
    worker["state_directory"] = {"address": f"{OLD['n1']}:2377"}
    down = node("n1", address=OLD["n1"], state="down")
    infos = {"n1": member("n1", nodes=[NODES[0], down]), "n2": worker, "n3": {"unreachable": True}}
    assert address_traces(infos, OLD["n1"]) == [
        "n1 lists node n1 (id-n1, ready) with it",
        "n1 lists node n1 (id-n1, down) with it",
        "n2 has it on an interface (temporary)",
        "n2 is known by it",
        "n2 looks for a manager at it",
    ]
