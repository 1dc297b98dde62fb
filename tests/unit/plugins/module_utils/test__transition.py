# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
import requests.exceptions

from ansible_collections.quorate.swarm.plugins.module_utils import _transition
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    EngineError,
    Refused,
    SwarmError,
    TimedOut,
    Unreachable,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    NO_LEADER,
    Answer,
    FakeApi,
    FakeSwarm,
    api_info,
    api_node,
    in_turn,
    managers,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

HANG = requests.exceptions.ReadTimeout("Read timed out.")
DOWN = requests.exceptions.ConnectionError("FileNotFoundError(2, 'No such file or directory')")


def node_of(swarm: FakeSwarm, name: str) -> Node:
    return Node.from_api(swarm.nodes[f"id-{name}"])


def change(swarm: FakeSwarm, name: str, **changes: Any) -> None:
    options = {"role": None, "availability": None, "labels": None, **changes}
    _transition.change_node(Engine(), node_of(swarm, name), **options, timeout=10)


# -- a node ------------------------------------------------------------------------------------------------------


def test_a_promotion_is_waited_for(api: FakeApi, clock: Clock) -> None:
    swarm = FakeSwarm([*managers(3), api_node("w1")], lag=3).install(api)
    change(swarm, "w1", role="manager")
    assert swarm.nodes["id-w1"]["ManagerStatus"]["Reachability"] == "reachable"
    assert len(clock.pauses) == 3


def test_everything_is_written_at_once(api: FakeApi, clock: Clock) -> None:
    swarm = FakeSwarm(managers(3), lag=0).install(api)
    change(swarm, "m3", role="worker", availability="drain", labels={"zone": "a"})
    (request,) = api.asked("POST")
    assert request.body == {"Role": "worker", "Availability": "drain", "Labels": {"zone": "a"}}


def test_without_a_role_nothing_is_waited_for(api: FakeApi, clock: Clock) -> None:
    swarm = FakeSwarm(managers(3)).install(api)
    change(swarm, "m3", availability="drain")
    assert not any(request.path == "/nodes" for request in api.requests)


def test_an_election_during_a_demotion_is_waited_out(api: FakeApi, clock: Clock) -> None:
    swarm = FakeSwarm(managers(3), lag=0).install(api)
    listing = api.answers["/nodes"]
    api.answers["/nodes"] = in_turn(HANG, [500, {"message": NO_LEADER}], listing)
    change(swarm, "m1", role="worker")
    assert "ManagerStatus" not in swarm.nodes["id-m1"]


def test_a_promotion_that_does_not_come_true_says_what_is_instead(api: FakeApi, clock: Clock) -> None:
    swarm = FakeSwarm([*managers(3), api_node("w1")]).install(api)
    swarm.obedient = False
    with pytest.raises(TimedOut, match=r"see the change of w1 \(id-w1\) .*'outside'.*See journalctl -u docker on w1"):
        change(swarm, "w1", role="manager")


def test_a_leaving_node_is_awaited_until_it_is_down(api: FakeApi, clock: Clock) -> None:
    swarm = FakeSwarm([*managers(3), api_node("w1")], lag=2).install(api)
    swarm.later(lambda: swarm.nodes["id-w1"]["Status"].update(State="down"))
    node = _transition.wait_for_state(Engine(), node_of(swarm, "w1"), ("down",), timeout=10)
    assert node.state == "down"


def test_a_node_that_stays_is_returned_as_it_is(api: FakeApi, clock: Clock) -> None:
    swarm = FakeSwarm([*managers(3), api_node("w1")]).install(api)
    node = _transition.wait_for_state(Engine(), node_of(swarm, "w1"), ("down",), timeout=10)
    assert (node.state, clock.now) == ("ready", 1010)


def test_a_manager_is_demoted_before_it_is_removed(api: FakeApi, clock: Clock) -> None:
    swarm = FakeSwarm(managers(3, state="down", reachability="unreachable")).install(api)
    _transition.remove_node(Engine(), node_of(swarm, "m3"), demote=True, force=False, timeout=10)
    assert sorted(swarm.nodes) == ["id-m1", "id-m2"]
    assert [request.params["force"] for request in api.asked("DELETE")] == ["false"]


def test_a_worker_is_removed_as_it_is(api: FakeApi, clock: Clock) -> None:
    swarm = FakeSwarm([*managers(3), api_node("w1")]).install(api)
    _transition.remove_node(Engine(), node_of(swarm, "w1"), demote=False, force=True, timeout=10)
    assert "id-w1" not in swarm.nodes
    assert api.asked("POST") == []


# -- this host ---------------------------------------------------------------------------------------------------

INACTIVE = [200, api_info()]
PENDING = [200, api_info(state="pending")]
WORKER = [200, api_info(state="active", node_id="id-w1")]
MANAGER = [200, api_info(state="active", node_id="id-m3", control=True, cluster_id="c")]
ERROR = [200, api_info(state="error", error="no route to host")]
TIMEOUT = [503, {"message": "Timeout was reached before node joined. The attempt to join the swarm will continue."}]


def join(role: str) -> Survey:
    return _transition.join_swarm(
        Engine(),
        role=role,
        token="SWMTKN-1-secret",
        remote_addresses=["10.0.0.1:2377"],
        advertise_address="10.0.0.3",
        listen_address="0.0.0.0:2377",
        data_path_address="",
        timeout=60,
    )


def states(api: FakeApi, *infos: Answer, joining: Answer) -> None:
    api.answers.update({"/info": in_turn(*infos), "POST /swarm/join": joining, "/nodes": [200, managers(3)]})


@pytest.mark.parametrize(
    ("role", "infos", "joining"),
    [
        ("worker", [WORKER], [200, None]),
        ("worker", [PENDING, PENDING, WORKER], TIMEOUT),
        ("worker", [PENDING, HANG, WORKER], HANG),
        ("worker", [HANG, PENDING, WORKER], HANG),
        ("manager", [MANAGER], [200, None]),
        ("manager", [PENDING, WORKER, MANAGER], [200, None]),
    ],
)
def test_the_state_counts_and_not_the_answer(
    api: FakeApi, clock: Clock, role: str, infos: list[Answer], joining: Answer
) -> None:
    states(api, *infos, joining=joining)
    assert join(role).state == role


def test_a_manager_is_ready_when_it_is_reachable(api: FakeApi, clock: Clock) -> None:
    states(api, MANAGER, joining=[200, None])
    unreachable = [200, managers(3, reachability="unreachable")]
    without = [200, managers(2)]
    api.answers["/nodes"] = in_turn(without, unreachable, [200, managers(3)])
    assert join("manager").state == "manager"
    assert len(clock.pauses) == 2


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("invalid join token", "Check the token, the addresses"),
        ("remote CA does not match fingerprint. Expected: 00", "Check the token, the addresses"),
        (NO_LEADER, "Check the token, the addresses"),
        (
            "could not connect to prospective new cluster member using its advertised address",
            "Correct advertise_address",
        ),
    ],
)
def test_a_refused_join_changes_nothing(api: FakeApi, clock: Clock, message: str, remedy: str) -> None:
    states(api, INACTIVE, joining=[500, {"message": message}])
    with pytest.raises(
        EngineError, match=f"join the swarm at 10.0.0.1:2377: the engine answered: .*{remedy}"
    ) as caught:
        join("manager")
    assert message in str(caught.value)
    assert "SWMTKN" not in str(caught.value)
    assert len(api.asked("POST")) == 1


def test_a_join_that_ends_in_an_error_is_undone(api: FakeApi, clock: Clock) -> None:
    states(api, PENDING, PENDING, ERROR, joining=TIMEOUT)
    api.answers["POST /swarm/leave"] = [200, None]
    with pytest.raises(EngineError, match="the engine gave up: no route to host"):
        join("worker")
    assert [request.path for request in api.asked("POST")] == ["/swarm/join", "/swarm/leave"]


def test_a_join_that_takes_too_long_may_go_on(api: FakeApi, clock: Clock) -> None:
    states(api, [200, api_info(state="pending", error="connection refused")], joining=TIMEOUT)
    with pytest.raises(TimedOut, match=r"not within 60 s; .*'pending' \(connection refused\)\. It may go on trying"):
        join("worker")


@pytest.mark.parametrize(
    ("role", "info", "words"),
    [
        ("worker", MANAGER, "it has joined as a manager, so the token was that of managers"),
        ("manager", WORKER, "it has joined as a worker, so the token was that of workers"),
    ],
)
def test_the_token_of_the_other_role(api: FakeApi, clock: Clock, role: str, info: Answer, words: str) -> None:
    states(api, info, joining=[200, None])
    with pytest.raises(Refused, match=words):
        join(role)


def test_an_engine_that_goes_down_while_joining(api: FakeApi, clock: Clock) -> None:
    states(api, DOWN, joining=DOWN)
    with pytest.raises(Unreachable):
        join("worker")


def test_create(api: FakeApi, clock: Clock) -> None:
    api.answers.update({"/info": in_turn(MANAGER), "/nodes": [200, managers(3)], "POST /swarm/init": [200, '"id-m3"']})
    found = _transition.create_swarm(
        Engine(), advertise_address="eth0", listen_address="10.0.0.1:2377", data_path_address="eth1", timeout=60
    )
    assert found.state == "manager"
    assert api.asked("POST")[0].body == {
        "AdvertiseAddr": "eth0",
        "ListenAddr": "10.0.0.1:2377",
        "DataPathAddr": "eth1",
        "Spec": {"EncryptionConfig": {"AutoLockManagers": False}},
    }


@pytest.mark.parametrize(("answer", "force"), [([200, None], False), (HANG, True)])
def test_leave(api: FakeApi, clock: Clock, answer: Answer, force: bool) -> None:
    api.answers.update({"/info": in_turn(WORKER, WORKER, INACTIVE), "POST /swarm/leave": answer})
    assert _transition.leave_swarm(Engine(), force=force, timeout=60).state == "inactive"
    assert api.asked("POST")[0].params == {"force": str(force).lower()}


def test_a_host_that_does_not_get_out(api: FakeApi, clock: Clock) -> None:
    api.answers.update({"/info": WORKER, "POST /swarm/leave": [200, None]})
    with pytest.raises(
        TimedOut, match="see this host out of its swarm: not within 60 s; the last thing seen was 'worker'"
    ):
        _transition.leave_swarm(Engine(), force=False, timeout=60)


def test_a_refused_leave(api: FakeApi, clock: Clock) -> None:
    api.answers.update({"/info": MANAGER, "POST /swarm/leave": [503, {"message": "You are attempting to leave"}]})
    with pytest.raises(SwarmError, match="You are attempting to leave"):
        _transition.leave_swarm(Engine(), force=False, timeout=60)
