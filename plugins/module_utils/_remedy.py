# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows which unreachable managers may be restarted, rebooted or replaced, and by whom. Pure; no I/O.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._fleet import Info

#: In the order in which they are tried: the later, the more is lost by it (Docker docs, Recover from failure).
REMEDIES = ("restart", "reboot", "replace")


def remedy_plan(verdict: t.Mapping[str, t.Any], infos: t.Mapping[str, Info], remedy: str) -> list[dict[str, t.Any]]:
    """Say what is to be done about the managers that their swarms do not reach, one after the other.

    Nothing is done in a swarm without a leader, or whose managers do not agree. What is done never takes a reachable
    manager away, so the quorum that is there stays.

    Args:
        verdict: What health_verdict returned, of managers that have settled.
        infos: What it was given.
        remedy: One of REMEDIES.

    Returns: for each such manager C(cluster_id), C(actor) (the host of a manager with a leader), C(node_id), C(host) (empty
        when it is no host of the play), C(name), C(replacement) (node ID of the worker that is promoted in its place) and
        C(problem) (why nothing may be done, or None).

    Raises:
        Refused: There is no such remedy.
    """
    if remedy not in REMEDIES:
        raise Refused("remedy what is wrong", f"there is no remedy {remedy}", f"Give one of {', '.join(REMEDIES)}")
    steps = []
    for swarm in verdict["swarms"]:
        found = {finding["id"] for finding in swarm["findings"]}
        doubt = sorted(found & {"views_differ", "two_swarms", "node_id_twice"})
        nodes = infos[swarm["host"]]["nodes"] if swarm["host"] else []
        taken: set[str] = set()
        for member in swarm["members"]:
            if not swarm["host"] or not member["is_manager"] or member["reachable"]:
                continue
            replacement = _replacement(nodes, member["node_id"], taken) if remedy == "replace" else ""
            taken.add(replacement)
            steps.append(
                {
                    "cluster_id": swarm["cluster_id"],
                    "actor": swarm["host"],
                    "node_id": member["node_id"],
                    "host": member["host"],
                    "name": member["host"] or f"{member['hostname']} ({member['node_id']})",
                    "replacement": replacement,
                    "problem": _problem(member, remedy, doubt, replacement),
                }
            )
    return steps


def _problem(member: Info, remedy: str, doubt: t.Sequence[str], replacement: str) -> str | None:
    if doubt:
        return f"what its swarm is, is in doubt: {', '.join(doubt)}"
    if member["state"] == "locked":
        return "it is locked, and another start does not unlock it: quorate.swarm.unlock"
    if remedy == "replace":
        return None if replacement else "there is no ready worker that could be promoted in its place"
    if not member["host"]:
        return "it is no host of this play"
    if remedy == "restart" and member["state"] in ("unreachable", "failed"):
        return "its host does not answer, so its engine cannot be restarted: health_remedy=reboot, or replace"
    return None


def _replacement(nodes: t.Sequence[Info], lost: str, taken: t.Container[str]) -> str:
    """A worker that can be promoted: of the same labels as the lost one if there is one, as its zone is one of them."""
    labels: t.Mapping[str, str] = next((node["labels"] for node in nodes if node["id"] == lost), {})
    able = [
        node
        for node in nodes
        if node["role"] == "worker"
        and node["state"] == "ready"
        and node["availability"] == "active"
        and node["id"] not in taken
    ]
    best = max(
        able, key=lambda node: sum(labels.get(key) == text for key, text in node["labels"].items()), default=None
    )
    return str(best["id"]) if best else ""
