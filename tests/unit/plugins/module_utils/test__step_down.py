# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
import requests.exceptions

from ansible_collections.quorate.swarm.plugins.module_utils import _step_down
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused, Unsettled
from ansible_collections.quorate.swarm.plugins.module_utils._step_down import hand_over
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    FakeApi,
    FakeSwarm,
    Request,
    api_node,
    managers,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock


@pytest.fixture(autouse=True)
def time_of_the_test(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_step_down.time, "monotonic", clock.time)


def roles_written(api: FakeApi) -> list[tuple[str, str]]:
    """Every role that was written, with the node."""
    return [(request.path.split("/")[2], request.body["Role"]) for request in api.asked("POST")]


def test_the_leader_becomes_a_follower(api: FakeApi) -> None:
    swarm = FakeSwarm([*managers(3), api_node("w1")], this="m2").install(api)
    hand_over(Engine(), "id-m1", timeout=60)
    assert roles_written(api) == [("id-m1", "worker"), ("id-m1", "manager")]
    assert swarm.nodes["id-m2"]["ManagerStatus"]["Leader"] is True
    assert swarm.nodes["id-m1"]["ManagerStatus"]["Reachability"] == "reachable"


def test_it_is_not_promoted_before_it_has_been_a_ready_worker_for_a_while(api: FakeApi, clock: Clock) -> None:
    swarm = FakeSwarm(managers(3), this="m2", lag=0).install(api)
    written: list[float] = []

    def update(request: Request) -> list[Any]:
        written.append(clock.now)
        return swarm.update(request)

    api.answers["POST /nodes/id-m1/update"] = update
    hand_over(Engine(), "id-m1", timeout=60)
    assert written[1] - written[0] >= 3


def test_nothing_happens_when_it_does_not_lead(api: FakeApi) -> None:
    FakeSwarm(managers(3), this="m1").install(api)
    hand_over(Engine(), "id-m2", timeout=60)
    assert roles_written(api) == []


@pytest.mark.parametrize(
    ("nodes", "this", "node", "words"),
    [
        (managers(3), "m1", "id-m1", "Run this on another manager"),
        (managers(3, reachability="unreachable"), "m2", "id-m1", "1 of 2 managers are reachable, 2 are needed"),
        ([*managers(3), api_node("w1")], "m2", "id-w1", "it is no manager of this swarm"),
        (managers(3), "m2", "id-x", "it is no manager of this swarm"),
    ],
)
def test_refused(api: FakeApi, nodes: list[dict[str, Any]], this: str, node: str, words: str) -> None:
    FakeSwarm(nodes, this=this).install(api)
    with pytest.raises(Refused, match=words):
        hand_over(Engine(), node, timeout=60)
    assert roles_written(api) == []


def test_an_unsettled_swarm_is_left_alone(api: FakeApi) -> None:
    FakeSwarm([*managers(3), api_node("w1", state="unknown")], this="m2").install(api)
    with pytest.raises(Unsettled, match="w1"):
        hand_over(Engine(), "id-m1", timeout=10)
    assert roles_written(api) == []


def test_it_is_promoted_again_when_no_other_leader_comes(api: FakeApi) -> None:
    swarm = FakeSwarm(managers(3), this="m2").install(api)
    swarm.obedient = False
    with pytest.raises(Unsettled, match="leader, ready, no other leader'; and it was promoted again"):
        hand_over(Engine(), "id-m1", timeout=10)
    assert roles_written(api) == [("id-m1", "worker"), ("id-m1", "manager")]


def test_what_to_do_is_said_when_it_cannot_be_promoted_again(api: FakeApi) -> None:
    swarm = FakeSwarm(managers(3), this="m2").install(api)
    hang = requests.exceptions.ReadTimeout("Read timed out.")

    def update(request: Request) -> list[Any]:
        if request.body["Role"] == "manager":
            raise hang
        return swarm.update(request)

    api.answers["POST /nodes/id-m1/update"] = update
    with pytest.raises(Unsettled, match="could not be promoted again: .*docker node promote id-m1") as caught:
        hand_over(Engine(), "id-m1", timeout=10)
    assert caught.value.details["node_id"] == "id-m1"
