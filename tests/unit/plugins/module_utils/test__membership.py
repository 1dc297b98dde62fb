# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    Locked,
    QuorumLost,
    Refused,
    SwarmError,
    Unreachable,
    Unsettled,
)
from ansible_collections.quorate.swarm.plugins.module_utils._membership import (
    changed_spec,
    demotion_reasons,
    find_node,
    member_step,
    membership,
    removal_needs_demotion,
    require_cluster,
    require_demotable,
    require_promotable,
    spec_of,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import LocalState, Node
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import quorum_health
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey
from ansible_collections.quorate.swarm.tests.unit.fake_engine import api_info, api_node, managers


def nodes_of(*api_nodes: dict[str, Any]) -> list[Node]:
    return [Node.from_api(node) for node in api_nodes]


def named(nodes: list[Node], name: str) -> Node:
    return next(node for node in nodes if node.id == f"id-{name}")


OUTSIDE = api_node("lost", role="manager", reachability="none", state="down")

# -- a node ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "found"), [("id-w1", "id-w1"), ("w1", "id-w1"), ("nobody", None)])
def test_find_node(wanted: str, found: str | None) -> None:
    node = find_node(nodes_of(api_node("m1"), api_node("w1")), wanted)
    assert (node.id if node else None) == found


def test_a_host_name_of_several_nodes_is_refused_with_what_tells_them_apart() -> None:
    nodes = nodes_of(api_node("a", hostname="m3", state="down"), api_node("b", hostname="m3", role="manager"))
    with pytest.raises(Refused, match=r"id-a \(worker, down\), id-b \(manager, ready\)"):
        find_node(nodes, "m3")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("m1", "leader"),
        ("m2", "follower"),
        ("m3", "unreachable"),
        ("lost", "outside"),
        ("w1", "worker"),
        ("nobody", "absent"),
    ],
)
def test_membership(name: str, word: str) -> None:
    nodes = nodes_of(*managers(3, reachability="unreachable"), OUTSIDE, api_node("w1"))
    assert membership(nodes, f"id-{name}") == word


@pytest.mark.parametrize(
    ("count", "last", "name", "code"),
    [
        (3, {}, "m3", None),
        (3, {}, "m1", None),
        (3, {"reachability": "unreachable"}, "m3", None),
        (3, {"reachability": "unreachable"}, "m2", "demotion_loses_quorum"),
        (5, {"reachability": "unreachable"}, "m2", None),
        (4, {"reachability": "unreachable"}, "m2", None),
        (2, {}, "m2", None),
        (2, {"reachability": "unreachable"}, "m2", None),
        (2, {"reachability": "unreachable"}, "m1", "demotion_loses_quorum"),
        (1, {}, "m1", "last_manager"),
        (3, {}, "w1", None),
    ],
)
def test_demotion_reasons(count: int, last: dict[str, Any], name: str, code: str | None) -> None:
    nodes = nodes_of(*managers(count, **last), api_node("w1"))
    assert [reason.code for reason in demotion_reasons(nodes, named(nodes, name))] == ([code] if code else [])


def test_a_refused_demotion_has_the_numbers() -> None:
    nodes = nodes_of(*managers(3, reachability="unreachable"))
    with pytest.raises(Refused, match=r"without m2 \(id-m2\), 1 of 2 managers are reachable, 2 are needed") as caught:
        require_demotable(nodes, nodes[1], this_node_id="id-m1")
    assert caught.value.details == {"code": "demotion_loses_quorum"}


def test_a_manager_does_not_demote_itself() -> None:
    nodes = nodes_of(*managers(3))
    with pytest.raises(Refused, match="Run this on another manager"):
        require_demotable(nodes, nodes[0], this_node_id="id-m1")


def test_a_manager_outside_the_quorum_cannot_be_demoted() -> None:
    nodes = nodes_of(*managers(3), OUTSIDE)
    with pytest.raises(Refused, match="no member of the quorum"):
        require_demotable(nodes, named(nodes, "lost"), this_node_id="id-m1")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {}),
        ({"role": "worker"}, {"Role": "worker"}),
        ({"availability": "drain"}, {"Availability": "drain"}),
        ({"labels": {}}, {}),
        ({"labels": {"zone": "a"}}, {"Labels": {"zone": "a", "rack": "1"}}),
        ({"labels": {"rack": None}}, {"Labels": {}}),
        ({"labels": {"none": None}}, {}),
        ({"labels": {"n": 7, "on": True, "empty": ""}}, {"Labels": {"rack": "1", "n": "7", "on": "true", "empty": ""}}),
    ],
)
def test_changed_spec(change: dict[str, Any], expected: dict[str, Any]) -> None:
    spec: dict[str, Any] = {"Name": "kept", "Role": "manager", "Availability": "active", "Labels": {"rack": "1"}}
    before = {**spec, "Labels": dict(spec["Labels"])}
    options = {"role": None, "availability": None, "labels": None, **change}
    assert changed_spec(spec, **options) == {**spec, **expected}
    assert spec == before


def test_changed_spec_of_a_node_that_never_had_labels() -> None:
    spec = {"Role": "worker", "Availability": "active", "Labels": None}
    assert changed_spec(spec, role=None, availability=None, labels={"a": 1})["Labels"] == {"a": "1"}


def test_spec_of() -> None:
    (node,) = nodes_of(api_node("m1", role="manager", labels={"a": "1"}))
    assert spec_of(node) == {"Role": "manager", "Availability": "active", "Labels": {"a": "1"}}


@pytest.mark.parametrize(("state", "promotable"), [("ready", True), ("down", False), ("unknown", False)])
def test_promotable(state: str, promotable: bool) -> None:
    (node,) = nodes_of(api_node("w1", state=state))
    if promotable:
        require_promotable(node)
    else:
        with pytest.raises(Refused, match=rf"promote w1 \(id-w1\): it is {state}, not ready"):
            require_promotable(node)


@pytest.mark.parametrize(
    ("node", "force", "demotion"),
    [
        (api_node("x", state="down"), False, False),
        (api_node("x", state="ready"), True, False),
        (api_node("x", role="manager", state="down", reachability="unreachable"), False, True),
        (api_node("x", role="manager"), True, True),
        (OUTSIDE, False, False),
    ],
)
def test_removal(node: dict[str, Any], force: bool, demotion: bool) -> None:
    nodes = nodes_of(*managers(3), node)
    assert removal_needs_demotion(nodes, nodes[-1], force=force, this_node_id="id-m1") is demotion


@pytest.mark.parametrize(
    ("name", "force", "words"),
    [
        ("w1", False, "it is ready, not down"),
        ("u1", False, "it is unknown, not down"),
        ("m2", False, "it is ready, not down"),
        ("m1", True, "Run this on another manager"),
    ],
)
def test_refused_removal(name: str, force: bool, words: str) -> None:
    nodes = nodes_of(*managers(3), api_node("w1"), api_node("u1", state="unknown"))
    with pytest.raises(Refused, match=words):
        removal_needs_demotion(nodes, named(nodes, name), force=force, this_node_id="id-m1")


def test_force_does_not_go_over_the_quorum() -> None:
    nodes = nodes_of(*managers(3, reachability="unreachable"))
    with pytest.raises(Refused, match="2 are needed"):
        removal_needs_demotion(nodes, nodes[1], force=True, this_node_id="id-m1")


# -- this host ---------------------------------------------------------------------------------------------------


def found(state: str, *, count: int = 3) -> Survey:
    """A survey of an engine in this state, in a swarm of so many managers."""
    if state == "inactive":
        return Survey(state, LocalState.from_info(api_info()))
    if state == "daemon_down":
        return Survey(state, error=Unreachable("look", "no engine answers", "Start it"))
    local = LocalState.from_info(api_info(node_id="id-m1", state="active", control=state == "manager"))
    if state == "manager":
        nodes = tuple(nodes_of(*managers(count)))
        return Survey(state, local, nodes, quorum_health(nodes))
    kinds = {"locked": Locked, "quorum_lost": QuorumLost}
    return Survey(state, local, error=kinds.get(state, Unsettled)("look", f"it is {state}", "Wait"))


def step(state: str | Survey, wanted: str, **changes: Any) -> str:
    options = {
        "cluster_id": None,
        "expected_cluster_id": None,
        "has_state": False,
        "init": False,
        "can_join": False,
        "force": False,
        **changes,
    }
    return member_step(found(state) if isinstance(state, str) else state, wanted=wanted, **options)


@pytest.mark.parametrize(
    ("state", "wanted", "changes", "expected"),
    [
        ("inactive", "absent", {}, "none"),
        ("inactive", "absent", {"has_state": True}, "none"),
        ("inactive", "manager", {"can_join": True}, "join"),
        ("inactive", "worker", {"can_join": True}, "join"),
        ("inactive", "manager", {"init": True}, "init"),
        ("inactive", "manager", {"can_join": True, "expected_cluster_id": "c"}, "join"),
        ("manager", "manager", {}, "none"),
        ("manager", "manager", {"init": True}, "none"),
        ("manager", "manager", {"cluster_id": "c", "expected_cluster_id": "c"}, "none"),
        ("worker", "worker", {"can_join": True}, "none"),
        ("worker", "worker", {"expected_cluster_id": "c"}, "none"),
        ("worker", "absent", {}, "leave"),
        ("worker", "absent", {"cluster_id": "other", "expected_cluster_id": "c"}, "none"),
        ("manager", "absent", {"force": True}, "leave"),
        ("locked", "absent", {"force": True}, "leave"),
        ("quorum_lost", "absent", {"force": True}, "leave"),
        ("error", "absent", {"force": True}, "leave"),
    ],
)
def test_member_step(state: str, wanted: str, changes: dict[str, Any], expected: str) -> None:
    assert step(state, wanted, **changes) == expected


@pytest.mark.parametrize(
    ("state", "wanted", "changes", "words"),
    [
        ("inactive", "worker", {}, "Give join_token and remote_addresses"),
        ("inactive", "worker", {"init": True}, "a new swarm begins with a manager"),
        ("inactive", "manager", {"init": True, "has_state": True}, "which creating or joining a swarm deletes"),
        ("inactive", "worker", {"can_join": True, "has_state": True}, "which creating or joining a swarm deletes"),
        ("worker", "manager", {"can_join": True}, "Promote it from a manager: .* node id-m1 and role manager"),
        ("manager", "worker", {"can_join": True}, "Demote it from a manager: .* node id-m1 and role worker"),
        ("manager", "absent", {}, "Demote it from another manager first"),
        ("locked", "absent", {}, "it is locked; leaving deletes its state.*set force"),
        ("quorum_lost", "absent", {}, "leaving deletes its state"),
        ("manager", "manager", {"cluster_id": "a", "expected_cluster_id": "b"}, "in another swarm, a instead of b"),
        ("worker", "worker", {"cluster_id": "a", "expected_cluster_id": "b"}, "in another swarm, a instead of b"),
        ("locked", "manager", {"cluster_id": "a", "expected_cluster_id": "b"}, "in another swarm, a instead of b"),
    ],
)
def test_refused_member_step(state: str, wanted: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        step(state, wanted, **changes)


def test_the_last_manager_does_not_leave() -> None:
    with pytest.raises(Refused, match="it is the last manager"):
        step(found("manager", count=1), "absent")
    assert step(found("manager", count=1), "absent", force=True) == "leave"


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("locked", Locked),
        ("quorum_lost", QuorumLost),
        ("pending", Unsettled),
        ("unsettled", Unsettled),
        ("error", Unsettled),
        ("daemon_down", Unreachable),
    ],
)
@pytest.mark.parametrize("wanted", ["manager", "worker"])
def test_nothing_is_done_in_an_uncertain_state(state: str, kind: type[SwarmError], wanted: str) -> None:
    with pytest.raises(kind, match=f"make this host a {wanted}"):
        step(state, wanted, can_join=True)


def test_an_engine_that_is_down_cannot_leave() -> None:
    with pytest.raises(Unreachable, match="take this host out of its swarm: no engine answers"):
        step("daemon_down", "absent")
    assert step("daemon_down", "absent", force=True, has_state=True) == "put_aside"
    assert step("daemon_down", "absent", force=True) == "none"


@pytest.mark.parametrize(("joined", "expected"), [("c", "c"), ("c", None), (None, "c")])
def test_the_right_cluster(joined: str | None, expected: str | None) -> None:
    require_cluster(joined, expected)


def test_the_wrong_cluster() -> None:
    with pytest.raises(Refused, match="this host is now in swarm a, to which the token and the addresses belong"):
        require_cluster("a", "b")
