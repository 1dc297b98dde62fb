# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._rebalance import SCALED
from ansible_collections.quorate.swarm.plugins.modules import swarm_rebalance
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    FakeApi,
    FakeSwarm,
    api_node,
    api_service,
    api_task,
    managers,
    recorded,
)
from ansible_collections.quorate.swarm.tests.unit.fake_services import FakeServices
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

UNEVEN = {"m1": 3, "w1": 0, "w2": 3}
EVEN = {"m1": 2, "w1": 2, "w2": 2}
METHODS = ("force_update", "scale")


@pytest.fixture(autouse=True)
def no_wait(clock: Clock) -> None:
    """Let time not pass."""


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run has warned of."""
    texts: list[str] = []
    monkeypatch.setattr(swarm_rebalance.AnsibleModule, "warn", lambda dummy, text: texts.append(text))
    return texts


@pytest.fixture
def swarm(api: FakeApi) -> FakeSwarm:
    return FakeSwarm([*managers(1), api_node("w1"), api_node("w2")]).install(api)


def tasks_of(service: str, counts: dict[str, int]) -> list[dict[str, Any]]:
    return [api_task(service, node, slot=index) for node, count in counts.items() for index in range(count)]


@pytest.fixture
def services(api: FakeApi, swarm: FakeSwarm) -> FakeServices:
    """An uneven service, one that is even, and a global one."""
    listed = [
        api_service("web", replicas=6, labels={"tier": "front"}, update="completed"),
        api_service("api", replicas=3, labels={"tier": "front"}),
        api_service("agent", mode={"Global": {}}),
    ]
    each = {"m1": 1, "w1": 1, "w2": 1}
    tasks = [*tasks_of("web", UNEVEN), *tasks_of("api", each), *tasks_of("agent", each)]
    return FakeServices(swarm, listed, tasks).install(api)


def writes(api: FakeApi) -> list[str]:
    return [request.path for request in api.asked("POST")]


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["outcome"] for entry in result["services"]}


@pytest.mark.parametrize("method", METHODS)
def test_cycle(api: FakeApi, run_module: RunModule, services: FakeServices, method: str) -> None:
    options: dict[str, Any] = {"all": True, "method": method}
    planned = run_module(swarm_rebalance.main, check=True, diff=True, **options)
    assert planned["changed"]
    assert outcomes(planned) == {"agent": "global", "api": "even", "web": "rebalanced"}
    assert (planned["diff"]["before"]["web"], planned["diff"]["after"]["web"]) == (UNEVEN, EVEN)
    assert writes(api) == []

    done = run_module(swarm_rebalance.main, diff=True, **options)
    assert (done["changed"], done["services"], done["diff"]) == (True, planned["services"], planned["diff"])
    (web,) = (entry for entry in done["services"] if entry["name"] == "web")
    assert (web["moves"], web["before"], web["after"]) == (2, UNEVEN, EVEN)
    assert services.held("web") == EVEN
    written = writes(api)
    assert set(written) == {"/services/id-web/update"}

    again = run_module(swarm_rebalance.main, diff=True, **options)
    assert again["changed"] is False
    assert again["diff"]["before"] == again["diff"]["after"]
    assert outcomes(again) == {"agent": "global", "api": "even", "web": "even"}
    assert writes(api) == written


def test_a_forced_update_writes_the_whole_service_once(
    api: FakeApi, run_module: RunModule, services: FakeServices
) -> None:
    before = services.services["id-web"]["Spec"]
    run_module(swarm_rebalance.main, services=["web"])
    (request,) = api.asked("POST")
    assert request.body == {**before, "TaskTemplate": {**before["TaskTemplate"], "ForceUpdate": 1}}
    assert all(task["Spec"]["ForceUpdate"] == 1 for task in services.tasks if task["ServiceID"] == "id-web")


def test_scaling_restarts_only_what_moves(api: FakeApi, run_module: RunModule, services: FakeServices) -> None:
    before = {task["ID"] for task in services.tasks if task["ServiceID"] == "id-web"}
    spec = services.services["id-web"]["Spec"]
    run_module(swarm_rebalance.main, services=["web"], method="scale")
    up, down = api.asked("POST")
    assert (up.body["Mode"]["Replicated"]["Replicas"], up.body["Labels"][SCALED]) == (8, "6/8")
    assert down.body == services.services["id-web"]["Spec"] == spec
    assert len(before & {task["ID"] for task in services.tasks}) == 4


def test_by_label(run_module: RunModule, services: FakeServices) -> None:
    result = run_module(swarm_rebalance.main, labels=["tier=front"], check=True)
    assert outcomes(result) == {"api": "even", "web": "rebalanced"}


def test_services_must_be_named(run_module: RunModule, services: FakeServices) -> None:
    assert "set services or labels, or all to true" in run_module(swarm_rebalance.main)["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_a_name_of_no_service(api: FakeApi, run_module: RunModule, services: FakeServices, check: bool) -> None:
    result = run_module(swarm_rebalance.main, services=["web", "shop"], check=check)
    assert (result["error"], result["changed"], writes(api)) == ("refused", False, [])


def test_few_moves_are_not_worth_it(api: FakeApi, run_module: RunModule, services: FakeServices) -> None:
    result = run_module(swarm_rebalance.main, services=["web"], minimum_moves=3)
    assert (result["changed"], outcomes(result), writes(api)) == (False, {"web": "uneven"}, [])
    assert run_module(swarm_rebalance.main, services=["web"], minimum_moves=2)["changed"]


def test_somebody_else_is_faster(api: FakeApi, run_module: RunModule, services: FakeServices) -> None:
    services.conflicts = 2
    assert outcomes(run_module(swarm_rebalance.main, services=["web"])) == {"web": "rebalanced"}
    assert len(writes(api)) == 3


@pytest.mark.parametrize(("action", "state"), [("pause", "paused"), ("rollback", "rollback completed")])
def test_it_stops_at_a_failed_update(
    api: FakeApi, run_module: RunModule, services: FakeServices, action: str, state: str
) -> None:
    services.services["id-web"]["Spec"]["UpdateConfig"]["FailureAction"] = action
    services.services["id-zoo"] = api_service("zoo", replicas=6)
    services.tasks.extend(tasks_of("zoo", UNEVEN))
    services.install(api)
    services.failing = "No such image: web@sha256:0"
    result = run_module(swarm_rebalance.main, all=True, diff=True)
    assert (result["failed"], result["error"], result["changed"]) == (True, "update_failed", True)
    assert f"rebalance service web: its update is {state}: update paused due to failure" in result["msg"]
    assert "No such image: web@sha256:0" in result["msg"]
    assert result["error_details"]["service"] == "web"
    assert outcomes(result) == {"agent": "global", "api": "even", "web": "failed"}
    assert result["services"][-1]["after"] is None
    assert set(writes(api)) == {"/services/id-web/update"}


def test_one_whose_last_update_failed_is_left_alone(
    api: FakeApi, run_module: RunModule, services: FakeServices, warnings: list[str]
) -> None:
    services.services["id-web"]["UpdateStatus"]["State"] = "paused"
    result = run_module(swarm_rebalance.main, services=["web"])
    assert (outcomes(result), result["changed"], writes(api)) == ({"web": "paused"}, False, [])
    assert warnings == ["service web is left alone: its last update is paused"]


def test_one_without_progress(api: FakeApi, run_module: RunModule, services: FakeServices, clock: Clock) -> None:
    services.stuck = True
    result = run_module(swarm_rebalance.main, services=["web"], wait_timeout=30)
    assert (result["error"], outcomes(result)) == ("timed_out", {"web": "failed"})
    assert "0 of 6 tasks ready, 6 others, update updating" in result["msg"]
    assert sum(clock.pauses) < 60


def test_one_that_cannot_be_scaled_up_is_scaled_back(
    api: FakeApi, run_module: RunModule, services: FakeServices
) -> None:
    services.stuck = True
    spec = services.services["id-web"]["Spec"]
    result = run_module(swarm_rebalance.main, services=["web"], method="scale", wait_timeout=5)
    assert (result["error"], outcomes(result)) == ("timed_out", {"web": "failed"})
    assert services.services["id-web"]["Spec"] == spec


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_killed_while_it_had_scaled_up(
    api: FakeApi, run_module: RunModule, services: FakeServices, method: str, warnings: list[str]
) -> None:
    web = services.services["id-web"]
    web["Spec"]["Mode"] = {"Replicated": {"Replicas": 8}}
    web["Spec"]["Labels"][SCALED] = "6/8"
    services.tasks.extend(api_task("web", "w1", slot=50 + index) for index in range(2))
    planned = run_module(swarm_rebalance.main, services=["web"], method=method, check=True)
    assert (planned["changed"], writes(api)) == (True, [])
    result = run_module(swarm_rebalance.main, services=["web"], method=method)
    assert (result["changed"], outcomes(result)) == (True, {"web": "even"})
    assert "an earlier run had scaled it up" in warnings[0]
    assert (services.held("web"), web["Spec"]["Labels"]) == (EVEN, {"tier": "front"})


def test_one_that_the_scheduler_leaves_uneven(
    run_module: RunModule, services: FakeServices, warnings: list[str]
) -> None:
    services.favourite = "m1"
    result = run_module(swarm_rebalance.main, services=["web"])
    assert (result["changed"], outcomes(result)) == (True, {"web": "still_uneven"})
    assert "the scheduler has put 4 of its tasks in the wrong place again" in warnings[-1]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("state", ["unknown", "disconnected"])
def test_refused_while_a_node_is_in_doubt(
    api: FakeApi, run_module: RunModule, services: FakeServices, state: str, check: bool, clock: Clock
) -> None:
    services.swarm.nodes["id-w2"]["Status"]["State"] = state
    result = run_module(swarm_rebalance.main, services=["web"], check=check)
    assert (result["failed"], result["error"], writes(api)) == (True, "unsettled", [])
    assert f"w2 (id-w2): {state}" in result["msg"]


def test_a_node_that_is_unknown_for_a_moment_is_waited_for(run_module: RunModule, services: FakeServices) -> None:
    services.swarm.nodes["id-w2"]["Status"]["State"] = "unknown"
    services.swarm.later(lambda: services.swarm.nodes["id-w2"]["Status"].update(State="ready"))
    assert outcomes(run_module(swarm_rebalance.main, services=["web"])) == {"web": "rebalanced"}


def test_refused_without_a_quorum(api: FakeApi, run_module: RunModule, services: FakeServices) -> None:
    FakeSwarm(managers(2, reachability="unreachable")).install(api)
    result = run_module(swarm_rebalance.main, services=["web"])
    assert (result["error"], writes(api)) == ("quorum_lost", [])


@pytest.mark.parametrize(
    ("recording", "kind"), [("worker", "not_a_manager"), ("locked", "locked"), ("quorum_lost", "quorum_lost")]
)
def test_only_a_manager_with_a_leader_can_do_it(api: FakeApi, run_module: RunModule, recording: str, kind: str) -> None:
    api.answers = recorded("20.10", recording)
    result = run_module(swarm_rebalance.main, all=True)
    assert (result["failed"], result["error"], result["services"]) == (True, kind, [])


def test_hosts_of_one_name_are_told_by_node_id(api: FakeApi, run_module: RunModule) -> None:
    swarm = FakeSwarm([*managers(1), api_node("w1"), api_node("w1b", hostname="w1"), api_node("old", state="down")])
    tasks = tasks_of("web", {"m1": 2, "w1": 1})
    FakeServices(swarm.install(api), [api_service("web", replicas=3)], tasks).install(api)
    (web,) = run_module(swarm_rebalance.main, all=True, check=True)["services"]
    assert web["before"] == {"m1": 2, "w1 (id-w1)": 1, "w1 (id-w1b)": 0}
    assert web["after"] == {"m1": 1, "w1 (id-w1)": 1, "w1 (id-w1b)": 1}
