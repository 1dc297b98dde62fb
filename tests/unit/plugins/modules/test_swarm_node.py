# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _step_down
from ansible_collections.quorate.swarm.plugins.modules import swarm_node
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    FakeApi,
    FakeSwarm,
    api_node,
    api_service,
    api_task,
    in_turn,
    managers,
    recorded,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock


@pytest.fixture(autouse=True)
def no_wait(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time not pass."""
    monkeypatch.setattr(_step_down.time, "monotonic", clock.time)


@pytest.fixture
def swarm(api: FakeApi) -> FakeSwarm:
    """Three managers, of which m1 leads and m2 is asked, and two workers, of which w2 is down."""
    nodes = [*managers(3), api_node("w1", labels={"rack": "1"}), api_node("w2", state="down")]
    return FakeSwarm(nodes, this="m2").install(api)


def writes(api: FakeApi) -> list[str]:
    return [f"{request.method} {request.path}" for request in api.requests if request.method != "GET"]


def cycle(run_module: RunModule, api: FakeApi, **options: Any) -> dict[str, Any]:
    """Run in check mode, for real, and again; the first two must be a change, the last must be none."""
    planned = run_module(swarm_node.main, check=True, diff=True, **options)
    assert planned["changed"], planned
    assert writes(api) == []
    done = run_module(swarm_node.main, diff=True, **options)
    assert done["changed"], done
    assert (done["diff"], done["node"]) == (planned["diff"], planned["node"])
    written = writes(api)
    again = run_module(swarm_node.main, diff=True, **options)
    assert again["changed"] is False, again
    assert again["diff"]["before"] == again["diff"]["after"]
    assert writes(api) == written
    return done


# -- present -----------------------------------------------------------------------------------------------------


def test_promote(api: FakeApi, run_module: RunModule, swarm: FakeSwarm) -> None:
    done = cycle(run_module, api, node="w1", role="manager")
    assert done["node"]["role"] == "manager"
    assert (done["diff"]["before"]["role"], done["diff"]["after"]["role"]) == ("worker", "manager")
    assert swarm.nodes["id-w1"]["ManagerStatus"]["Reachability"] == "reachable"


def test_demote(api: FakeApi, run_module: RunModule, swarm: FakeSwarm) -> None:
    cycle(run_module, api, node="id-m3", role="worker")
    assert "ManagerStatus" not in swarm.nodes["id-m3"]


def test_availability(api: FakeApi, run_module: RunModule, swarm: FakeSwarm) -> None:
    done = cycle(run_module, api, node="w1", availability="drain")
    assert done["diff"]["before"]["availability"] == "active"
    assert swarm.nodes["id-w1"]["Spec"]["Availability"] == "drain"


def test_labels(api: FakeApi, run_module: RunModule, swarm: FakeSwarm) -> None:
    done = cycle(run_module, api, node="w1", labels={"zone": "a", "rack": None})
    assert done["node"]["labels"] == {"zone": "a"}
    assert swarm.nodes["id-w1"]["Spec"]["Labels"] == {"zone": "a"}


def test_everything_at_once_is_one_write(api: FakeApi, run_module: RunModule, swarm: FakeSwarm) -> None:
    cycle(run_module, api, node="w1", role="manager", availability="drain", labels={"zone": "a"})
    assert writes(api) == ["POST /nodes/id-w1/update"]


def test_nothing_asked_for_changes_nothing(api: FakeApi, run_module: RunModule, swarm: FakeSwarm) -> None:
    result = run_module(swarm_node.main, node="w1")
    assert result["changed"] is False
    assert result["node"] == {
        "id": "id-w1",
        "hostname": "w1",
        "role": "worker",
        "availability": "active",
        "labels": {"rack": "1"},
        "state": "ready",
    }


def test_this_manager_itself_may_be_labelled(api: FakeApi, run_module: RunModule, swarm: FakeSwarm) -> None:
    cycle(run_module, api, node="m2", role="manager", labels={"zone": "a"})


def test_an_earlier_promotion_that_has_not_come_true_is_waited_for(
    api: FakeApi, run_module: RunModule, clock: Clock
) -> None:
    joining = api_node("w1", role="manager", reachability="none")
    swarm = FakeSwarm([*managers(3), joining], lag=4).install(api)
    swarm.later(lambda: swarm.role_follows(swarm.nodes["id-w1"]))
    result = run_module(swarm_node.main, node="w1", role="manager")
    assert result["changed"] is False
    assert clock.pauses


def member_by_mistake() -> dict[str, Any]:
    """A worker by its role that the managers list as an unreachable member of the quorum."""
    return {**api_node("w1"), "ManagerStatus": {"Reachability": "unreachable", "Addr": "192.0.2.21:2377"}}


def test_an_earlier_demotion_that_the_managers_have_forgotten_is_done_anew(
    api: FakeApi, run_module: RunModule, clock: Clock
) -> None:
    swarm = FakeSwarm([*managers(3), member_by_mistake()]).install(api)
    result = run_module(swarm_node.main, node="w1", role="worker")
    assert (result["changed"], result["node"]["role"]) == (False, "worker")
    assert writes(api) == ["POST /nodes/id-w1/update"] * 2
    roles = [request.body["Role"] for request in api.requests if request.method == "POST"]
    assert roles == ["manager", "worker"]
    assert "ManagerStatus" not in swarm.nodes["id-w1"]


def test_an_earlier_demotion_that_has_not_come_true_is_waited_for(api: FakeApi, run_module: RunModule) -> None:
    swarm = FakeSwarm([*managers(3), member_by_mistake()], lag=4).install(api)
    swarm.later(lambda: swarm.role_follows(swarm.nodes["id-w1"]))
    assert run_module(swarm_node.main, node="w1", role="worker")["changed"] is False
    assert writes(api) == []


def test_no_demotion_is_done_anew_without_a_quorum_to_spare(api: FakeApi, run_module: RunModule) -> None:
    nodes = managers(2, reachability="unreachable", state="down")
    FakeSwarm([*nodes, member_by_mistake()]).install(api)
    result = run_module(swarm_node.main, node="w1", role="worker")
    assert result["failed"], result
    assert writes(api) == []


def test_an_unreachable_manager_has_its_role(api: FakeApi, run_module: RunModule, clock: Clock) -> None:
    FakeSwarm(managers(3, reachability="unreachable", state="down")).install(api)
    assert run_module(swarm_node.main, node="m3", role="manager")["changed"] is False
    assert clock.pauses == []


def test_a_node_that_is_unknown_for_a_moment_can_be_promoted(
    api: FakeApi, run_module: RunModule, swarm: FakeSwarm
) -> None:
    swarm.nodes["id-w1"]["Status"]["State"] = "unknown"
    swarm.later(lambda: swarm.nodes["id-w1"]["Status"].update(State="ready"))
    assert run_module(swarm_node.main, node="w1", role="manager")["changed"]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"node": "nobody"}, "the swarm has no such node"),
        ({"node": "w2", "role": "manager"}, r"promote w2 \(id-w2\): it is down, not ready"),
        ({"node": "m2", "role": "worker"}, "Run this on another manager"),
        ({"node": "m2", "state": "absent", "force": True}, "Run this on another manager"),
        ({"node": "w1", "state": "absent"}, "it is ready, not down"),
        ({"node": "m3", "state": "absent"}, "it is ready, not down"),
        ({"node": "w1", "step_down": True}, "it is no manager"),
    ],
)
def test_refused(
    api: FakeApi, run_module: RunModule, swarm: FakeSwarm, options: dict[str, Any], words: str, check: bool
) -> None:
    result = run_module(swarm_node.main, check=check, **options)
    assert (result["failed"], result["error"]) == (True, "refused")
    assert writes(api) == []
    assert re.search(words, result["msg"])


def test_a_demotion_that_would_lose_the_quorum(api: FakeApi, run_module: RunModule) -> None:
    FakeSwarm(managers(3, reachability="unreachable")).install(api)
    for options in ({"role": "worker"}, {"state": "absent", "force": True}):
        result = run_module(swarm_node.main, node="m2", **options)
        assert result["failed"]
        assert "without m2 (id-m2), 1 of 2 managers are reachable, 2 are needed" in result["msg"]
    assert writes(api) == []


def test_the_last_manager_is_not_demoted(api: FakeApi, run_module: RunModule) -> None:
    FakeSwarm([*managers(1), api_node("w1")], this="w1").install(api)
    result = run_module(swarm_node.main, node="m1", role="worker")
    assert "m1 (id-m1) is the last manager" in result["msg"]


def test_a_host_name_of_two_nodes(api: FakeApi, run_module: RunModule) -> None:
    FakeSwarm([*managers(3), api_node("old", hostname="m3", state="down")]).install(api)
    assert "Name the node by its ID" in run_module(swarm_node.main, node="m3", role="worker")["msg"]


# -- drain -------------------------------------------------------------------------------------------------------


@pytest.fixture
def busy(swarm: FakeSwarm) -> FakeSwarm:
    """The swarm with tasks of two services on m3, of which w1 can take those of web, and a container on m2."""
    swarm.services = [
        api_service("web", "node.role==worker"),
        api_service("agent"),
        api_service("db", "node.id==id-m3"),
    ]
    swarm.tasks = [api_task("web", "m3"), api_task("web", "w1", slot=2), api_task("agent", "m3", slot=0)]
    swarm.containers = [
        {"Names": ["/web.1.x"], "Labels": {"com.docker.swarm.task.id": "x"}},
        {"Names": ["/registry"], "Labels": {}},
    ]
    return swarm


def test_a_drain_waits_until_the_tasks_run_elsewhere(
    api: FakeApi, run_module: RunModule, busy: FakeSwarm, clock: Clock
) -> None:
    busy.lag = 3
    done = cycle(run_module, api, node="m3", availability="drain")
    assert done["drained"] == {"services": ["agent", "web"], "stranded": [], "containers": None}
    assert len(clock.pauses) == 3
    assert [task["NodeID"] for task in busy.tasks if task["DesiredState"] == "running"] == ["id-w1", "id-w1"]


def test_containers_of_nobody_are_named_by_their_own_manager(
    api: FakeApi, run_module: RunModule, busy: FakeSwarm
) -> None:
    assert cycle(run_module, api, node="m2", availability="drain")["drained"]["containers"] == ["registry"]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda swarm: swarm.nodes["id-w1"]["Spec"].update(Availability="pause"), {}),
        (lambda swarm: swarm.nodes["id-w1"]["Status"].update(State="down"), {}),
        (lambda dummy: None, {"avoid": ["w1"]}),
        (lambda dummy: None, {"avoid": ["id-w1"]}),
    ],
)
def test_a_drain_is_refused_when_a_service_has_no_other_place(
    api: FakeApi, run_module: RunModule, busy: FakeSwarm, change: Any, options: dict[str, Any], check: bool
) -> None:
    change(busy)
    result = run_module(swarm_node.main, check=check, node="m3", availability="drain", **options)
    assert (result["failed"], result["error"], writes(api)) == (True, "refused", [])
    assert "1 service(s) have tasks there that no other node may take: web;" in result["msg"]
    assert "set allow_stranded" in result["msg"]


def test_a_stranded_service_is_stopped_when_that_is_said(api: FakeApi, run_module: RunModule, busy: FakeSwarm) -> None:
    busy.tasks.append(api_task("db", "m3"))
    assert run_module(swarm_node.main, node="m3", availability="drain")["failed"]
    done = cycle(run_module, api, node="m3", availability="drain", allow_stranded=True)
    assert done["drained"]["stranded"] == ["db"]


def test_a_drain_that_does_not_come_true_is_undone(api: FakeApi, run_module: RunModule, busy: FakeSwarm) -> None:
    busy.obedient = False
    busy.nodes["id-m3"]["Spec"]["Availability"] = "pause"
    result = run_module(swarm_node.main, node="m3", availability="drain", wait_timeout=5)
    assert (result["failed"], result["error"]) == (True, "timed_out")
    assert "1 task(s) of agent have not stopped; 1 task(s) of web have not stopped; it was made pause" in result["msg"]
    assert busy.nodes["id-m3"]["Spec"]["Availability"] == "pause"


def test_a_drain_that_cannot_be_undone_says_how(api: FakeApi, run_module: RunModule, busy: FakeSwarm) -> None:
    busy.obedient = False
    refuse: list[Any] = [400, {"message": "no"}]
    api.answers["POST /nodes/id-m3/update"] = in_turn(busy.update, refuse)
    result = run_module(swarm_node.main, node="m3", availability="drain", wait_timeout=5)
    assert "it is still drained" in result["msg"]
    assert "docker node update --availability active id-m3" in result["msg"]


def test_an_earlier_drain_that_has_not_come_true_is_waited_for_and_kept(
    api: FakeApi, run_module: RunModule, busy: FakeSwarm
) -> None:
    busy.nodes["id-m3"]["Spec"]["Availability"] = "drain"
    busy.nodes["id-w1"]["Status"]["State"] = "down"
    result = run_module(swarm_node.main, node="m3", availability="drain", wait_timeout=5)
    assert (result["failed"], result["error"], writes(api)) == (True, "timed_out", [])
    busy.later(lambda: busy.tasks_move("id-m3"))
    assert run_module(swarm_node.main, node="m3", availability="drain")["changed"] is False


# -- absent ------------------------------------------------------------------------------------------------------


def test_remove_a_worker_that_is_down(api: FakeApi, run_module: RunModule, swarm: FakeSwarm) -> None:
    done = cycle(run_module, api, node="w2", state="absent")
    assert done["node"] is None
    assert done["diff"]["after"] == {}
    assert writes(api) == ["DELETE /nodes/id-w2"]


def test_remove_a_manager_that_is_down(api: FakeApi, run_module: RunModule) -> None:
    FakeSwarm(managers(3, state="down", reachability="unreachable")).install(api)
    cycle(run_module, api, node="m3", state="absent")
    assert writes(api) == ["POST /nodes/id-m3/update", "DELETE /nodes/id-m3"]


def test_remove_a_manager_that_a_forced_new_cluster_has_left_out(api: FakeApi, run_module: RunModule) -> None:
    FakeSwarm([*managers(1), api_node("m2", role="manager", reachability="none", state="down")]).install(api)
    cycle(run_module, api, node="m2", state="absent")
    assert writes(api) == ["DELETE /nodes/id-m2"]


def test_remove_a_node_that_is_not_down_by_force(api: FakeApi, run_module: RunModule, swarm: FakeSwarm) -> None:
    cycle(run_module, api, node="m3", state="absent", force=True)
    assert writes(api) == ["POST /nodes/id-m3/update", "DELETE /nodes/id-m3"]


@pytest.mark.parametrize("name", ["w1", "m3"])
def test_a_node_that_has_left_is_waited_for(api: FakeApi, run_module: RunModule, swarm: FakeSwarm, name: str) -> None:
    node = swarm.nodes[f"id-{name}"]
    if name == "m3":
        node["ManagerStatus"]["Reachability"] = "unreachable"
    swarm.lag = 20
    swarm.later(lambda: node["Status"].update(State="down"))
    assert run_module(swarm_node.main, node=name, state="absent")["changed"]
    assert node["ID"] not in swarm.nodes


def test_a_working_manager_is_refused_at_once(
    api: FakeApi, run_module: RunModule, swarm: FakeSwarm, clock: Clock
) -> None:
    assert run_module(swarm_node.main, node="m3", state="absent")["failed"]
    assert clock.pauses == []


@pytest.mark.parametrize("option", [{"role": "worker"}, {"labels": {"a": 1}}, {"step_down": True}])
def test_absent_takes_nothing_else(api: FakeApi, run_module: RunModule, option: dict[str, Any]) -> None:
    assert run_module(swarm_node.main, node="w2", state="absent", **option)["failed"]


# -- stepping down -----------------------------------------------------------------------------------------------


def test_step_down(api: FakeApi, run_module: RunModule, swarm: FakeSwarm) -> None:
    planned = run_module(swarm_node.main, check=True, diff=True, node="m1", step_down=True)
    assert (planned["changed"], writes(api)) == (True, [])
    done = run_module(swarm_node.main, diff=True, node="m1", step_down=True)
    assert done["changed"]
    assert (done["diff"]["before"]["leader"], done["diff"]["after"]["leader"]) == (True, False)
    assert writes(api) == ["POST /nodes/id-m1/update"] * 2
    assert run_module(swarm_node.main, node="m1", step_down=True)["changed"] is False
    assert len(writes(api)) == 2


@pytest.mark.parametrize("check", [True, False])
def test_a_leader_does_not_step_down_by_itself(api: FakeApi, run_module: RunModule, check: bool) -> None:
    FakeSwarm(managers(3), this="m1").install(api)
    assert "Run this on another manager" in run_module(swarm_node.main, check=check, node="m1", step_down=True)["msg"]
    assert writes(api) == []


def test_a_leader_does_not_step_down_when_the_quorum_needs_it(api: FakeApi, run_module: RunModule) -> None:
    FakeSwarm(managers(3, reachability="unreachable", state="down"), this="m2").install(api)
    result = run_module(swarm_node.main, check=True, node="m1", step_down=True)
    assert "1 of 2 managers are reachable, 2 are needed" in result["msg"]


@pytest.mark.parametrize("option", [{"role": "worker"}, {"labels": {"a": 1}}, {"availability": "drain"}])
def test_stepping_down_takes_nothing_else(api: FakeApi, run_module: RunModule, option: dict[str, Any]) -> None:
    assert run_module(swarm_node.main, node="m1", step_down=True, **option)["failed"]


# -- where it cannot run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recording", "kind"),
    [
        ("worker", "not_a_manager"),
        ("inactive", "not_a_manager"),
        ("locked", "locked"),
        ("quorum_lost", "quorum_lost"),
        ("quorum_lost_unnoticed", "quorum_lost"),
    ],
)
def test_only_a_manager_with_a_leader_can_do_it(api: FakeApi, run_module: RunModule, recording: str, kind: str) -> None:
    api.answers = recorded("20.10", recording)
    result = run_module(swarm_node.main, node="w1", role="manager")
    assert (result["failed"], result["error"]) == (True, kind)
