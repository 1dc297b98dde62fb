# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how the checks of swarm_quorum make one verdict. Pure; no I/O.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._model import Node
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import (
    Reason,
    address_reasons,
    ideal_spread,
    managers_of,
    odd_reasons,
    stop_reasons,
    tolerance_reasons,
    zone_reasons,
)
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey


@dataclasses.dataclass(frozen=True)
class QuorumChecks:
    """What swarm_quorum is asked to check beyond the health of the quorum.

    Attributes:
        stopping: Nodes that are about to stop, by ID or host name.
        minimum_fault_tolerance: How many managers must be able to fail now; None for no matter.
        require_odd: Whether the number of managers must be odd.
        zone_label: The node label that names a zone; None for no matter.
        host_addresses: The addresses of this host, each with whether it is fixed; None for no matter.
        expected_address: The address that this manager should have; None for no matter.
    """

    stopping: tuple[str, ...] = ()
    minimum_fault_tolerance: int | None = None
    require_odd: bool = False
    zone_label: str | None = None
    host_addresses: t.Mapping[str, bool] | None = None
    expected_address: str | None = None


def verdict(found: Survey, checks: QuorumChecks) -> list[Reason]:
    """Every reason why the quorum does not pass the checks; none when it passes.

    Without a node list there is one reason, why this engine cannot show one.
    """
    if found.health is None:
        error = found.error
        return [Reason(error.kind, f"could not {error.attempted}: {error.cause}", error.remedy)] if error else []
    nodes = found.nodes
    reasons = [*found.health.reasons, *stop_reasons(nodes, checks.stopping)]
    if checks.minimum_fault_tolerance is not None:
        reasons.extend(tolerance_reasons(found.health, checks.minimum_fault_tolerance))
    if checks.require_odd:
        reasons.extend(odd_reasons(found.health.managers))
    if checks.zone_label is not None:
        reasons.extend(zone_reasons(nodes, checks.zone_label))
    if checks.host_addresses is not None and found.this_node is not None:
        reasons.extend(
            address_reasons(found.this_node, host_addresses=checks.host_addresses, expected=checks.expected_address)
        )
    return reasons


def zone_facts(nodes: t.Sequence[Node], label: str) -> dict[str, t.Any]:
    """How the managers are spread over the zones that a node label names, and how they would best be."""
    names = sorted({node.labels[label] for node in nodes if node.labels.get(label)})
    members = managers_of(nodes)
    zones = [
        {"zone": name, "managers": [node.id for node in members if node.labels.get(label) == name]} for name in names
    ]
    return {
        "label": label,
        "zones": zones,
        "spread": sorted((len(zone["managers"]) for zone in zones), reverse=True),
        "ideal_spread": ideal_spread(len(members), len(names)),
    }


def verdict_text(reasons: t.Sequence[Reason]) -> str:
    """A message with a line for each reason."""
    return "\n".join(["The quorum does not pass:", *(f"- {reason.message}. {reason.remedy}." for reason in reasons)])
