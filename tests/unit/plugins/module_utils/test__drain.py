# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any, Sequence

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _drain
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node, Task
from ansible_collections.quorate.swarm.tests.unit.fake_engine import api_node, api_service, api_task, managers

NODES = [
    *managers(3),
    api_node("w1", labels={"zone": "b"}, address="10.0.0.9"),
    api_node("w2", availability="pause"),
    api_node("w3", state="down"),
]


def load(*tasks: dict[str, Any], constraints: Sequence[str] = (), state: str = "ready") -> _drain.Load:
    """What w1, which is in this state, has to get rid of."""
    known = [Node.from_api(entry) for entry in NODES]
    return _drain.load_of(
        next(dataclasses.replace(node, state=state) for node in known if node.id == "id-w1"),
        nodes=known,
        services=[api_service("web", *constraints), api_service("agent")],
        tasks=[Task.from_api(task) for task in tasks],
        avoid=(),
    )


def undrained(found: _drain.Load, *tasks: dict[str, Any]) -> list[str]:
    return _drain.undrained(found, [Task.from_api(task) for task in tasks])


@pytest.mark.parametrize(
    ("constraints", "fits"),
    [
        ([], True),
        (["node.role == worker"], False),
        (["node.role!=worker"], True),
        (["node.role==MANAGER", "node.labels.zone != b"], True),
        (["node.labels.zone==b"], False),
        (["node.hostname==m2"], True),
        (["node.hostname==w3"], False),
        (["node.id==id-m2"], True),
        (["node.ip==10.0.0.9"], False),
        (["node.platform.os==plan9", "engine.labels.x==y"], True),
    ],
)
def test_constraints_decide_who_may_take_a_task(constraints: list[str], fits: bool) -> None:
    found = load(api_task("web", "w1"), constraints=constraints)
    assert (found.names(found.stranded) == []) is fits


def test_only_what_lives_on_the_node_counts() -> None:
    found = load(
        api_task("web", "w1", state="shutdown", desired="shutdown"),
        api_task("web", "m2"),
        {**api_task("web", "w1"), "ServiceID": ""},
        constraints=["node.role==worker"],
    )
    assert (found.services, found.movable, found.stranded) == ({}, frozenset(), frozenset())


def test_a_service_that_is_gone_is_named_by_its_id() -> None:
    found = load(api_task("gone", "w1"))
    assert found.names(found.services) == ["id-gone"]


OLD = api_task("web", "w1", state="shutdown", desired="shutdown")


@pytest.mark.parametrize(
    ("tasks", "reasons"),
    [
        ([api_task("web", "w1", desired="shutdown")], ["1 task(s) of web have not stopped"]),
        ([OLD, api_task("web", "m2")], []),
        ([OLD, api_task("web", "m2", state="complete", desired="complete")], []),
        (
            [OLD, api_task("web", "", state="pending", error="no suitable node")],
            ["1 task(s) of web do not run elsewhere yet (no suitable node)"],
        ),
        ([OLD, api_task("web", "m2", state="preparing")], ["1 task(s) of web do not run elsewhere yet"]),
        ([OLD, api_task("web", "m2", state="ready", desired="ready")], ["1 task(s) of web do not run elsewhere yet"]),
        ([OLD, api_task("web", "m2", state="failed", desired="shutdown"), api_task("web", "m3")], []),
        ([OLD], []),
        ([OLD, api_task("web", "m2", slot=2, state="pending")], []),
    ],
)
def test_when_a_node_is_drained(tasks: list[dict[str, Any]], reasons: list[str]) -> None:
    assert undrained(load(api_task("web", "w1")), *tasks) == reasons


def test_a_stranded_service_only_has_to_stop() -> None:
    found = load(api_task("web", "w1"), constraints=["node.id==id-w1"])
    assert undrained(found, api_task("web", "w1")) == ["1 task(s) of web have not stopped"]
    assert undrained(found, OLD, api_task("web", "", state="pending")) == []


def test_nobody_hears_that_tasks_of_a_node_that_is_down_have_stopped() -> None:
    found = load(api_task("web", "w1"), state="down")
    waiting = api_task("web", "m2", state="starting")
    assert undrained(found, api_task("web", "w1"), waiting) == ["1 task(s) of web do not run elsewhere yet"]
    assert undrained(found, api_task("web", "w1"), api_task("web", "m2")) == []


def test_a_task_of_a_global_service_only_stops() -> None:
    found = load(api_task("agent", "w1", slot=0))
    assert (found.movable, found.names(found.services)) == (frozenset(), ["agent"])
    assert undrained(found, api_task("agent", "w1", slot=0, state="shutdown")) == []
