# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _recovery_plan as module

UNREACHABLE = {"unreachable": True, "msg": "no route"}


def manager(
    number: int, state: str = "quorum_lost", *, cluster: str = "blue", raft: tuple[int, int, int] = (40, 41, 3)
) -> Any:
    """What swarm_info returns on manager m<number> of a swarm of three."""
    commit, last, term = raft
    return {
        "state": state,
        "cluster": {"id": cluster} if state == "manager" else None,
        "node": {
            "id": f"id-m{number}",
            "remote_managers": [{"id": f"id-m{n}", "address": f"192.0.2.{n}:2377"} for n in (1, 2, 3)],
        },
        "state_directory": {
            "cluster_id": cluster,
            "node_id": f"id-m{number}",
            "raft": {"commit_index": commit, "last_index": last, "term": term},
        },
    }


FRESH = {
    "state": "inactive",
    "cluster": None,
    "node": {"id": ""},
    "state_directory": {"cluster_id": None, "node_id": None},
}


def plan(infos: Any, *lost: str) -> dict[str, Any]:
    addresses = {host: [host, f"192.0.2.{host[1:]}"] for host in infos}
    return module.recovery_plan(infos, lost=list(lost), addresses=addresses)


def test_the_only_survivor_is_taken() -> None:
    found = plan({"m1": manager(1), "m2": UNREACHABLE, "m3": UNREACHABLE}, "m2", "192.0.2.3")
    assert found == {
        "cluster_id": "blue",
        "healthy": None,
        "host": "m1",
        "ranking": [{"host": "m1", "commit_index": 40, "last_index": 41, "term": 3}],
        "managers": [{"id": f"id-m{n}", "address": f"192.0.2.{n}"} for n in (1, 2, 3)],
        "stop": [],
        "lost": ["192.0.2.3", "m2"],
        "reasons": [],
    }


@pytest.mark.parametrize("lost", [[], ["m2"], ["m2", "m33"]])
def test_a_manager_that_cannot_be_reached_has_to_be_named(lost: list[str]) -> None:
    found = plan({"m1": manager(1), "m2": UNREACHABLE, "m3": UNREACHABLE}, *lost)
    assert found["host"] == "m1"
    assert (
        "m3: the host cannot be reached; if it is lost for good, name it in recover_quorum_lost_managers"
        in found["reasons"]
    )


def test_a_manager_that_is_no_host_of_the_inventory_has_to_be_named() -> None:
    infos = {"m1": manager(1), "m2": UNREACHABLE}
    (reason,) = plan(infos, "m2")["reasons"]
    assert "manager id-m3 (192.0.2.3) of the swarm does not answer and is no host of this inventory" in reason
    assert plan(infos, "m2", "192.0.2.3")["reasons"] == []


def test_a_fresh_host_with_the_address_of_a_lost_manager_proves_that_it_is_gone() -> None:
    assert plan({"m1": manager(1), "m2": FRESH, "m3": FRESH})["reasons"] == []


@pytest.mark.parametrize("state", ["daemon_down", "worker"])
def test_a_host_that_runs_no_manager_needs_no_name(state: str) -> None:
    assert plan({"m1": manager(1), "m2": manager(2, state), "m3": UNREACHABLE}, "m3")["reasons"] == []


@pytest.mark.parametrize("state", ["quorum_lost", "locked", "pending", "unsettled", "error"])
def test_a_host_that_runs_as_a_member_is_stopped_before(state: str) -> None:
    found = plan({"m1": manager(1, raft=(41, 41, 3)), "m2": manager(2, state), "m3": UNREACHABLE}, "m3")
    assert (found["host"], found["stop"], found["reasons"]) == ("m1", ["m2"], [])


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ((40, 41, 3), (41, 41, 3), "m2"),
        ((41, 41, 3), (40, 99, 9), "m1"),
        ((40, 41, 3), (40, 42, 3), "m2"),
        ((40, 41, 3), (40, 41, 4), "m2"),
        ((40, 41, 3), (40, 41, 3), "m1"),
    ],
)
def test_the_most_advanced_survivor_is_taken(
    first: tuple[int, int, int], second: tuple[int, int, int], chosen: str
) -> None:
    """A forced new cluster drops what is behind the commit index, so that goes first."""
    found = plan({"m1": manager(1, raft=first), "m2": manager(2, raft=second), "m3": UNREACHABLE}, "m3")
    assert found["host"] == found["ranking"][0]["host"] == chosen
    assert found["stop"] == [{"m1": "m2", "m2": "m1"}[chosen]]


def test_a_swarm_with_a_quorum_is_left_alone() -> None:
    found = plan({"m1": manager(1, "manager"), "m2": manager(2, "manager"), "m3": UNREACHABLE})
    assert (found["healthy"], found["host"], found["reasons"]) == ("m1", None, [])


@pytest.mark.parametrize("state", ["quorum_lost", "unsettled", "pending"])
def test_the_minority_of_a_partition_is_refused(state: str) -> None:
    found = plan({"m1": manager(1, "manager"), "m2": manager(2, "manager"), "m3": manager(3, state)}, "m1", "m2")
    assert found["host"] is None
    (reason,) = found["reasons"]
    assert "the swarm has its quorum, which m1, m2 can see and m3 cannot" in reason


def test_an_election_that_is_not_over_is_refused() -> None:
    (reason,) = plan({"m1": manager(1, "unsettled"), "m2": UNREACHABLE, "m3": UNREACHABLE}, "m2", "m3")["reasons"]
    assert "no manager is left on which it could be recovered" in reason
    assert "m1: its swarm gave no decisive answer" in reason


def test_hosts_of_two_swarms_are_refused() -> None:
    found = plan({"m1": manager(1), "m2": manager(2, cluster="green")})
    assert found["cluster_id"] is None
    assert "the hosts are of 2 swarms, blue, green" in found["reasons"][0]


def test_hosts_of_no_swarm_are_refused() -> None:
    (reason,) = plan({"m1": FRESH, "m2": UNREACHABLE})["reasons"]
    assert reason == "no host has the state of a swarm: m1: it is in no swarm; m2: the host cannot be reached"


ELSEWHERE = {"state": "worker", "node": {"id": "id-w7"}, "state_directory": {"cluster_id": "blue", "node_id": "id-w7"}}
EMPTY = {"state": "daemon_down", "node": {"id": ""}, "state_directory": {"cluster_id": None, "node_id": None}}


LEFT_OUTSIDE = {"state": "inactive", "node": {"id": ""}, "state_directory": {"cluster_id": "blue", "node_id": "id-m3"}}
UNKNOWN = {**manager(4), "node": {"id": "id-m4", "remote_managers": []}}


@pytest.mark.parametrize(
    ("infos", "lost", "beyond", "seconds"),
    [
        ({"m1": manager(1), "m2": FRESH, "m3": FRESH}, [], True, 0),
        ({"m1": manager(1), "m2": FRESH, "m3": ELSEWHERE}, [], True, 0),
        ({"m1": manager(1), "m2": UNREACHABLE, "m3": UNREACHABLE}, ["m2", "192.0.2.3"], True, 0),
        ({"m1": manager(1)}, ["id-m2", "id-m3"], True, 0),
        ({"m1": manager(1, "manager"), "m2": FRESH, "m3": FRESH}, [], True, 0),
        ({"m1": manager(1), "m2": FRESH, "m3": FRESH, "m4": UNKNOWN}, [], True, 10),
        ({"m1": manager(1), "m2": FRESH, "m3": UNREACHABLE}, [], False, 60),
        ({"m1": manager(1), "m2": FRESH, "m3": LEFT_OUTSIDE}, [], False, 60),
        ({"m1": manager(1), "m2": FRESH, "m3": {"state": None, "msg": "no python"}}, [], False, 60),
        ({"m1": manager(1), "m2": FRESH, "m3": EMPTY}, [], False, 60),
        ({"m1": manager(1), "m2": FRESH, "m3": manager(3, "daemon_down")}, [], False, 60),
        ({"m1": manager(1), "m2": FRESH, "m3": manager(3, "locked")}, [], False, 60),
        ({"m1": manager(1), "m2": FRESH}, [], False, 60),
        ({"m1": {**manager(1), "node": None}, "m2": FRESH, "m3": FRESH}, [], False, 60),
        ({"m1": manager(1), "m2": manager(2, cluster="red"), "m3": FRESH}, ["m3"], False, 60),
        ({"m2": FRESH, "m3": FRESH}, [], False, 60),
    ],
)
def test_waiting_is_vain_where_too_few_managers_can_still_exist(
    infos: Any, lost: list[str], beyond: bool, seconds: int
) -> None:
    addresses = {host: [host, f"192.0.2.{host[1:]}"] for host in infos}
    outlook = module.quorum_outlook(infos, lost=lost, addresses=addresses, settle_timeout=60)
    assert outlook == {"beyond_reach": beyond, "settle_timeout": seconds}


@pytest.mark.parametrize(("limit", "seconds"), [(5, 5), (60, 10)])
def test_two_that_could_vote_are_given_the_time_of_an_election(limit: int, seconds: int) -> None:
    """Two of five are left; and of three, if the others were removed long ago."""
    five: dict[str, Any] = {f"m{number}": FRESH for number in (3, 4, 5)}
    known = [{"id": f"id-m{number}", "address": f"192.0.2.{number}:2377"} for number in range(1, 6)]
    for number in (1, 2):
        five[f"m{number}"] = {**manager(number), "node": {"id": f"id-m{number}", "remote_managers": known}}
    addresses = {host: [f"192.0.2.{host[1:]}"] for host in five}
    outlook = module.quorum_outlook(five, lost=[], addresses=addresses, settle_timeout=limit)
    assert outlook == {"beyond_reach": True, "settle_timeout": seconds}
