# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which unreachable managers are restarted, rebooted or replaced, and why others are not."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._remedy import REMEDIES, remedy_plan


def member(name: str, *, reachable: bool = True, state: str = "manager", host: bool = True) -> dict[str, Any]:
    return {
        "node_id": f"id-{name}",
        "host": name if host else "",
        "hostname": name,
        "state": state,
        "is_manager": True,
        "reachable": reachable,
    }


def verdict(*members: dict[str, Any], host: str | None = "m1", findings: tuple[str, ...] = ()) -> dict[str, Any]:
    found = [{"id": name} for name in findings]
    return {"swarms": [{"cluster_id": "blue", "host": host, "findings": found, "members": [member("m1"), *members]}]}


def node(name: str, role: str, zone: str, **more: Any) -> dict[str, Any]:
    labels = {"zone": zone}
    return {"id": f"id-{name}", "role": role, "state": "ready", "availability": "active", "labels": labels, **more}


NODES = [
    node("m1", "manager", "a"),
    node("m2", "manager", "b"),
    node("m3", "manager", "c"),
    node("w1", "worker", "a"),
    node("w2", "worker", "b"),
    node("w3", "worker", "c", state="down"),
]
INFOS = {"m1": {"nodes": NODES}}


def problems(remedy: str, *members: dict[str, Any], **more: Any) -> list[str | None]:
    return [step["problem"] for step in remedy_plan(verdict(*members, **more), INFOS, remedy)]


@pytest.mark.parametrize("remedy", REMEDIES)
def test_reachable_managers_are_left_alone(remedy: str) -> None:
    assert remedy_plan(verdict(member("m2"), member("m3")), INFOS, remedy) == []


@pytest.mark.parametrize("remedy", REMEDIES)
def test_nothing_is_done_without_a_quorum(remedy: str) -> None:
    assert remedy_plan(verdict(member("m2", reachable=False), host=None), INFOS, remedy) == []


@pytest.mark.parametrize("finding", ["views_differ", "two_swarms", "node_id_twice"])
def test_nothing_is_done_in_doubt(finding: str) -> None:
    lost = member("m2", reachable=False, state="daemon_down")
    assert problems("restart", lost, findings=(finding,)) == [f"what its swarm is, is in doubt: {finding}"]


@pytest.mark.parametrize(
    ("remedy", "state", "allowed"),
    [
        ("restart", "daemon_down", True),
        ("restart", "quorum_lost", True),
        ("restart", "unreachable", False),
        ("restart", "failed", False),
        ("reboot", "unreachable", True),
        ("reboot", "locked", False),
        ("restart", "locked", False),
        ("replace", "unreachable", True),
    ],
)
def test_what_helps_in_which_state(remedy: str, state: str, allowed: bool) -> None:
    (problem,) = problems(remedy, member("m2", reachable=False, state=state))
    assert (problem is None) is allowed


def test_a_manager_that_is_no_host_of_the_play_can_only_be_replaced() -> None:
    lost = member("m2", reachable=False, host=False)
    assert [problems(remedy, {**lost, "state": None})[0] is None for remedy in REMEDIES] == [False, False, True]


def test_a_ready_worker_of_the_same_zone_takes_the_place_and_only_one() -> None:
    lost = [member(name, reachable=False, state="unreachable") for name in ("m2", "m3")]
    steps = remedy_plan(verdict(*lost), INFOS, "replace")
    assert [(step["name"], step["replacement"]) for step in steps] == [("m2", "id-w2"), ("m3", "id-w1")]
    without = {"m1": {"nodes": NODES[:3]}}
    assert [bool(step["problem"]) for step in remedy_plan(verdict(*lost), without, "replace")] == [True, True]


def test_another_remedy_is_refused() -> None:
    with pytest.raises(Refused, match="there is no remedy pray"):
        remedy_plan({"swarms": []}, {}, "pray")


@pytest.mark.parametrize("remedy", REMEDIES)
def test_a_worker_that_does_not_answer_needs_no_remedy(remedy: str) -> None:
    silent = {**member("w1", reachable=False, state="unreachable"), "is_manager": False}
    assert remedy_plan(verdict(silent), INFOS, remedy) == []


def test_nobody_is_promoted_who_is_drained_or_promoted_already() -> None:
    lost = [member(name, reachable=False, state="unreachable") for name in ("m2", "m3")]
    drained = {"m1": {"nodes": [*NODES[:4], node("w2", "worker", "b", availability="drain")]}}
    steps = remedy_plan(verdict(*lost), drained, "replace")
    assert [step["replacement"] for step in steps] == ["id-w1", ""]
    assert [step["problem"] is None for step in steps] == [True, False]


@pytest.mark.parametrize("remedy", ["restart", "reboot"])
def test_nobody_is_promoted_for_a_manager_that_is_to_come_back(remedy: str) -> None:
    (step,) = remedy_plan(verdict(member("m2", reachable=False, state="failed")), INFOS, remedy)
    assert step["replacement"] == ""


def test_a_manager_that_is_no_host_of_the_play_is_named_by_host_name_and_id() -> None:
    (step,) = remedy_plan(verdict(member("m2", reachable=False, host=False)), INFOS, "replace")
    assert step["name"] == "m2 (id-m2)"
