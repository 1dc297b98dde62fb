# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Locked
from ansible_collections.quorate.swarm.plugins.module_utils._model import LocalState, Node
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import quorum_health
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey
from ansible_collections.quorate.swarm.plugins.module_utils._verdict import (
    QuorumChecks,
    verdict,
    verdict_text,
    zone_facts,
)
from ansible_collections.quorate.swarm.tests.unit.fake_engine import api_info, api_node, managers


def survey_of(*api_nodes: dict[str, Any]) -> Survey:
    nodes = tuple(Node.from_api(node) for node in api_nodes)
    local = LocalState.from_info(api_info(node_id="id-m1", state="active", control=True))
    return Survey("manager", local, nodes, quorum_health(nodes))


def zoned(*zones: str) -> list[dict[str, Any]]:
    nodes = managers(len(zones))
    for node, zone in zip(nodes, zones):
        node["Spec"]["Labels"] = {"zone": zone}
    return nodes


@pytest.mark.parametrize(
    ("found", "checks", "expected"),
    [
        (survey_of(*managers(3)), QuorumChecks(), []),
        (survey_of(*managers(2)), QuorumChecks(), []),
        (survey_of(*managers(3, reachability="unreachable")), QuorumChecks(), ["managers_unreachable"]),
        (survey_of(*managers(3), api_node("w1", state="unknown")), QuorumChecks(), ["nodes_unknown"]),
        (survey_of(*managers(3)), QuorumChecks(stopping=("m2",)), []),
        (survey_of(*managers(3)), QuorumChecks(stopping=("m1", "m2")), ["stop_loses_quorum"]),
        (survey_of(*managers(3)), QuorumChecks(minimum_fault_tolerance=0), []),
        (survey_of(*managers(3)), QuorumChecks(minimum_fault_tolerance=2), ["fault_tolerance_too_low"]),
        (survey_of(*managers(4)), QuorumChecks(require_odd=True), ["even_managers"]),
        (survey_of(*zoned("a", "b", "c")), QuorumChecks(zone_label="zone"), []),
        (survey_of(*zoned("a", "a", "b")), QuorumChecks(zone_label="zone"), ["zone_holds_majority"]),
        (survey_of(*managers(3)), QuorumChecks(host_addresses={"10.0.0.1": True}), []),
        (survey_of(*managers(3)), QuorumChecks(host_addresses={"10.0.0.1": False}), ["address_dynamic"]),
        (
            survey_of(*managers(4, reachability="unreachable")),
            QuorumChecks(
                stopping=("m2", "nobody"),
                minimum_fault_tolerance=1,
                require_odd=True,
                zone_label="zone",
                host_addresses={},
                expected_address="10.0.0.9",
            ),
            [
                "managers_unreachable",
                "unknown_node",
                "stop_loses_quorum",
                "fault_tolerance_too_low",
                "even_managers",
                "zone_unknown",
                "address_not_on_host",
                "address_not_expected",
            ],
        ),
    ],
)
def test_every_reason_is_given(found: Survey, checks: QuorumChecks, expected: list[str]) -> None:
    reasons = verdict(found, checks)
    assert [reason.code for reason in reasons] == expected
    assert all(reason.message and reason.remedy for reason in reasons)


def test_an_engine_that_cannot_tell_does_not_pass() -> None:
    found = Survey("locked", error=Locked("use the engine of m1 as a manager", "it is locked", "Unlock it"))
    (reason,) = verdict(found, QuorumChecks(stopping=("m2",), require_odd=True))
    assert reason.as_dict() == {
        "code": "locked",
        "message": "could not use the engine of m1 as a manager: it is locked",
        "remedy": "Unlock it",
    }


def test_the_text_has_a_line_for_each_reason() -> None:
    reasons = verdict(survey_of(*managers(4, reachability="unreachable")), QuorumChecks(require_odd=True))
    assert verdict_text(reasons).splitlines() == [
        "The quorum does not pass:",
        "- 1 of 4 managers are not reachable: m4 (id-m4). Start the engine there, or demote and remove the manager if it "
        "is gone for good.",
        "- 4 managers stand the loss of 1, as 3 do. Add one (promote a worker) or demote one, for 5 or 3.",
    ]


def test_zone_facts() -> None:
    nodes = [Node.from_api(node) for node in [*zoned("b", "b", "a"), api_node("w1", labels={"zone": "c"})]]
    assert zone_facts(nodes, "zone") == {
        "label": "zone",
        "zones": [
            {"zone": "a", "managers": ["id-m3"]},
            {"zone": "b", "managers": ["id-m1", "id-m2"]},
            {"zone": "c", "managers": []},
        ],
        "spread": [2, 1, 0],
        "ideal_spread": [1, 1, 1],
    }


def test_zone_facts_without_zones() -> None:
    nodes = [Node.from_api(node) for node in managers(3)]
    assert zone_facts(nodes, "zone") == {"label": "zone", "zones": [], "spread": [], "ideal_spread": []}
