# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import requests.exceptions

from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    Locked,
    NotAManager,
    PermissionDenied,
    QuorumLost,
    SwarmError,
    Unreachable,
    Unsettled,
)
from ansible_collections.quorate.swarm.plugins.module_utils._survey import survey, wait_until_settled
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    ENGINES,
    NO_DECISION,
    NO_LEADER,
    NOT_A_MANAGER,
    FakeApi,
    api_info,
    api_node,
    in_turn,
    managers,
    recorded,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

HANG = requests.exceptions.ReadTimeout("Read timed out. (read timeout=5.0)")
DOWN = requests.exceptions.ConnectionError("FileNotFoundError(2, 'No such file or directory')")
MANAGER = api_info(node_id="id-m1", state="active", control=True, cluster_id="c")
LEADERLESS = api_info(node_id="id-m1", state="active", control=True, error=NO_LEADER)


@pytest.mark.parametrize("version", ENGINES)
@pytest.mark.parametrize(
    ("recording", "state", "kind"),
    [
        ("leader", "manager", None),
        ("follower", "manager", None),
        ("one_unreachable", "manager", None),
        ("worker", "worker", NotAManager),
        ("inactive", "inactive", NotAManager),
        ("locked", "locked", Locked),
        ("quorum_lost", "quorum_lost", QuorumLost),
        ("quorum_lost_unnoticed", "quorum_lost", QuorumLost),
    ],
)
def test_recorded_states(
    api: FakeApi, clock: Clock, version: str, recording: str, state: str, kind: type[SwarmError] | None
) -> None:
    api.answers = recorded(version, recording)
    found = survey(Engine())
    assert found.state == state
    if kind is None:
        found.require_manager()
        assert found.this_node is not None
        assert found.this_node.hostname == ("m2" if recording == "follower" else "m1")
    else:
        with pytest.raises(kind):
            found.require_manager()


def test_a_lasting_state_is_told_at_once(api: FakeApi, clock: Clock) -> None:
    api.answers = recorded("20.10", "worker")
    survey(Engine())
    assert clock.pauses == []


def test_daemon_down(api: FakeApi, clock: Clock) -> None:
    api.answers["/info"] = DOWN
    found = survey(Engine())
    assert (found.state, found.local, found.nodes, found.health, found.this_node) == (
        "daemon_down",
        None,
        (),
        None,
        None,
    )
    with pytest.raises(Unreachable):
        found.require_manager()


def test_no_permission_says_nothing_about_the_swarm(api: FakeApi, clock: Clock) -> None:
    api.answers["/info"] = requests.exceptions.ConnectionError("PermissionError(13, 'Permission denied')")
    with pytest.raises(PermissionDenied):
        survey(Engine())


@pytest.mark.parametrize(
    "passing",
    [
        HANG,
        [200, api_info(node_id="id-m1", state="active", control=True, error=NO_DECISION)],
        [200, LEADERLESS],
        [200, api_info(node_id="id-m1", state="pending", control=True, error=NO_LEADER)],
        [200, api_info(node_id="id-m1", state="pending", control=True)],
        [200, api_info(state="pending")],
    ],
)
def test_what_passes_by_itself_is_waited_out(api: FakeApi, clock: Clock, passing: list[object] | Exception) -> None:
    api.answers = {"/info": in_turn(passing, passing, [200, MANAGER]), "/nodes": [200, managers(3)]}
    assert survey(Engine()).state == "manager"


def test_an_election_between_two_reads_is_waited_out(api: FakeApi, clock: Clock) -> None:
    no_leader = [500, {"message": NO_LEADER}]
    api.answers = {"/info": [200, MANAGER], "/nodes": in_turn(HANG, no_leader, [200, managers(3)])}
    assert survey(Engine()).state == "manager"


def test_a_quorum_that_stays_lost_is_lost(api: FakeApi, clock: Clock) -> None:
    api.answers = {"/info": in_turn(HANG, HANG, [200, LEADERLESS])}
    found = survey(Engine(), timeout=30)
    assert found.state == "quorum_lost"
    assert clock.now == 1030


def test_one_look_is_enough_when_nothing_shall_be_waited_for(api: FakeApi, clock: Clock) -> None:
    api.answers = {"/info": [200, LEADERLESS]}
    assert survey(Engine(), timeout=0).state == "quorum_lost"
    assert len(api.requests) == 1


def test_an_engine_that_only_hangs_is_unsettled(api: FakeApi, clock: Clock) -> None:
    api.answers = {"/info": HANG}
    found = survey(Engine())
    assert found.state == "unsettled"
    with pytest.raises(Unsettled, match="not within 30 s"):
        found.require_manager()


def test_what_was_seen_before_the_engine_hung_counts(api: FakeApi, clock: Clock) -> None:
    lost = managers(3, reachability="unreachable")
    lost[1]["ManagerStatus"]["Reachability"] = "unreachable"
    api.answers = {"/info": in_turn([200, MANAGER], HANG), "/nodes": [200, lost]}
    found = survey(Engine())
    assert found.state == "quorum_lost"
    assert found.health is not None and found.health.reachable == 1


def test_a_manager_that_is_demoted_between_two_reads_is_a_worker(api: FakeApi, clock: Clock) -> None:
    api.answers = {"/info": [200, MANAGER], "/nodes": [503, {"message": NOT_A_MANAGER}]}
    assert survey(Engine()).state == "worker"


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (api_info(), "it is in no swarm"),
        (api_info(state="active", node_id="n"), "it is a worker"),
        (api_info(state="error", error="manager stopped: no key"), "state error: manager stopped: no key"),
        (api_info(state="pending", error="connection refused"), r"still joining its swarm \(connection refused\)"),
        (api_info(state="active", control=True, error=NO_DECISION), "did not decide in time"),
    ],
)
def test_why_it_is_no_manager(api: FakeApi, clock: Clock, info: dict[str, object], words: str) -> None:
    api.answers = {"/info": [200, info]}
    with pytest.raises(SwarmError, match=f"use the engine of m1 as a manager: .*{words}"):
        survey(Engine(), timeout=0).require_manager()


# -- settling ----------------------------------------------------------------------------------------------------


def test_settled_at_once(api: FakeApi, clock: Clock) -> None:
    api.answers = {"/nodes": [200, managers(3)]}
    assert [node.hostname for node in wait_until_settled(Engine(), timeout=10)] == ["m1", "m2", "m3"]
    assert clock.pauses == []


def test_unknown_nodes_and_elections_are_waited_out(api: FakeApi, clock: Clock) -> None:
    unknown = [200, [*managers(3), api_node("w1", state="unknown")]]
    no_leader = [500, {"message": NO_LEADER}]
    api.answers = {"/nodes": in_turn(HANG, no_leader, unknown, [200, [*managers(3), api_node("w1")]])}
    assert len(wait_until_settled(Engine(), timeout=10)) == 4


def test_nodes_that_stay_unknown_are_named(api: FakeApi, clock: Clock) -> None:
    api.answers = {"/nodes": [200, [*managers(3), api_node("w1", state="unknown")]]}
    with pytest.raises(Unsettled, match=r"not within 10 s: 1 node\(s\) are in state unknown: w1 \(id-w1\)"):
        wait_until_settled(Engine(), timeout=10)


def test_an_unreachable_minority_is_accepted_when_it_may_be(api: FakeApi, clock: Clock) -> None:
    api.answers = {"/nodes": [200, managers(3, reachability="unreachable")]}
    wait_until_settled(Engine(), timeout=10)
    with pytest.raises(Unsettled, match="1 of 3 managers are not reachable"):
        wait_until_settled(Engine(), timeout=10, allow_unreachable=False)


def test_a_lost_majority_is_never_accepted(api: FakeApi, clock: Clock) -> None:
    nodes = managers(2, reachability="unreachable")
    nodes[0]["ManagerStatus"]["Leader"] = False
    api.answers = {"/nodes": [200, nodes]}
    with pytest.raises(Unsettled, match="there is no leader; 1 of 2 managers are reachable"):
        wait_until_settled(Engine(), timeout=10)


def test_a_manager_that_was_demoted_meanwhile_ends_the_wait(api: FakeApi, clock: Clock) -> None:
    api.answers = {"/nodes": [503, {"message": NOT_A_MANAGER}]}
    with pytest.raises(NotAManager):
        wait_until_settled(Engine(), timeout=10)
