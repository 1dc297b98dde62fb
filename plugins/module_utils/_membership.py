# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows which change of a node or of this host's membership is needed, and which is refused. Pure; no I/O.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused, SwarmError
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node, find_nodes
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import Reason, majority, managers_of
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey

Json = t.Mapping[str, t.Any]

# -- a node, as a manager sees it ----------------------------------------------------------------------------------


def find_node(nodes: t.Sequence[Node], wanted: str) -> Node | None:
    """Return the node with this ID, or the only one with this host name; None when there is none.

    Raises:
        Refused: Several nodes have this host name, as a host has after it left and joined again.
    """
    found = find_nodes(nodes, wanted)
    if len(found) > 1:
        raise Refused(
            f"find node {wanted}",
            f"{len(found)} nodes have this host name: "
            + ", ".join(f"{node.id} ({node.role}, {node.state})" for node in found),
            "Name the node by its ID",
        )
    return found[0] if found else None


def membership(nodes: t.Iterable[Node], node_id: str) -> str:
    """Say in one word what a node is to the quorum.

    Returns:
        C(leader), C(follower) or C(unreachable) for a member of the raft cluster; C(outside) for a manager by role that
        is no member, because it has not joined yet, or because a forced new cluster dropped it (lab fact B5.6);
        C(worker); C(absent) when the swarm has no such node.
    """
    node = next((node for node in nodes if node.id == node_id), None)
    if node is None:
        return "absent"
    if node.manager is None:
        return "outside" if node.role == "manager" else "worker"
    if not node.manager.reachable:
        return "unreachable"
    return "leader" if node.manager.leader else "follower"


def demotion_reasons(nodes: t.Iterable[Node], node: Node) -> list[Reason]:
    """Reasons why this node may not leave the quorum: the managers that stay must hold the majority of themselves.

    Swarm's own guard has the same aim, but gives no numbers (lab fact B6.4).
    """
    if node.manager is None:
        return []
    staying = [other for other in managers_of(nodes) if other.id != node.id]
    if not staying:
        return [Reason("last_manager", f"{node.name} is the last manager", "Promote another node first")]
    reachable = [other for other in staying if other.manager is not None and other.manager.reachable]
    needed = majority(len(staying))
    if len(reachable) >= needed:
        return []
    return [
        Reason(
            "demotion_loses_quorum",
            f"without {node.name}, {len(reachable)} of {len(staying)} managers are reachable, {needed} are needed",
            "Bring unreachable managers back first, or demote those that are gone for good",
        )
    ]


def require_demotable(nodes: t.Sequence[Node], node: Node, *, this_node_id: str) -> None:
    """Refuse to demote a node when the quorum would not hold, when it is the one we are asking, or when Swarm cannot.

    A manager by role that is no member of the raft cluster cannot be demoted (moby/swarmkit manager/controlapi/node.go:
    "can't find manager in raft memberlist").

    Raises:
        Refused: With the numbers.
    """
    attempted = f"demote {node.name}"
    if node.id == this_node_id:
        raise Refused(
            attempted,
            "this is the manager that was asked, and a demoted manager can neither watch its demotion nor undo it",
            "Run this on another manager",
        )
    if node.role == "manager" and node.manager is None:
        raise Refused(
            attempted,
            "it is a manager by its role, but no member of the quorum, and so cannot be demoted; it has not joined yet, or "
            "a forced new cluster has left it out",
            "Wait until it is a reachable manager, or remove it (state absent) and let its host join again",
        )
    for reason in demotion_reasons(nodes, node):
        raise Refused(attempted, reason.message, reason.remedy, code=reason.code)


def leader_to_replace(nodes: t.Sequence[Node], node_id: str, *, this_node_id: str) -> Node | None:
    """Return the node when it leads the swarm and may hand its leadership over; None when it does not lead.

    Raises:
        Refused: It is no manager, or may not be demoted even for a moment.
    """
    node = next((node for node in nodes if node.id == node_id), None)
    if node is None or node.manager is None:
        raise Refused(
            f"make {node.name if node else node_id} hand over its leadership",
            "it is no manager of this swarm",
            "Name a manager",
        )
    if not node.manager.leader:
        return None
    require_demotable(nodes, node, this_node_id=this_node_id)
    return node


def changed_spec(
    spec: Json, *, role: str | None, availability: str | None, labels: t.Mapping[str, t.Any] | None
) -> dict[str, t.Any]:
    """Return a node's API spec with these changes: what is None stays, labels are merged, a label of None goes."""
    changed = dict(spec)
    if role is not None:
        changed["Role"] = role
    if availability is not None:
        changed["Availability"] = availability
    if labels is not None:
        merged = dict(spec.get("Labels") or {})
        merged.update({name: _label_text(label) for name, label in labels.items() if label is not None})
        changed["Labels"] = {name: label for name, label in merged.items() if labels.get(name, "") is not None}
    return changed


def _label_text(label: t.Any) -> str:
    """A label as text: what YAML reads as true is written as C(true)."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def spec_of(node: Node) -> dict[str, t.Any]:
    """The API spec of a node, as far as an operator sets it."""
    return {"Role": node.role, "Availability": node.availability, "Labels": dict(node.labels)}


def shown_spec(spec: Json) -> dict[str, t.Any]:
    """A node's API spec under the names of the module's options, for a diff."""
    return {"role": spec["Role"], "availability": spec["Availability"], "labels": dict(spec["Labels"])}


def require_promotable(node: Node) -> None:
    """Refuse to promote a node that could not become a manager now.

    Raises:
        Refused: It is not ready.
    """
    if node.state != "ready":
        raise Refused(
            f"promote {node.name}",
            f"it is {node.state}, not ready",
            "Start its engine, and see that it reaches the managers",
        )


def removal_needs_demotion(nodes: t.Sequence[Node], node: Node, *, force: bool, this_node_id: str) -> bool:
    """Decide whether a node must be demoted before it is removed, or refuse the removal.

    A member of the raft cluster cannot be removed (lab fact B6.1). A manager by role that is no member, as a forced new
    cluster leaves it, can (lab fact B4.7).

    Raises:
        Refused: It is not down, or the quorum would not hold without it, or it is the manager that was asked.
    """
    if node.manager is not None:
        require_demotable(nodes, node, this_node_id=this_node_id)
    if node.state != "down" and not force:
        raise Refused(
            f"remove {node.name}",
            f"it is {node.state}, not down; removed now, it would go on running tasks as if it were still a member",
            "Let it leave first (swarm_member with state absent, after a demotion), or set force",
        )
    return node.manager is not None


# -- this host's own membership ------------------------------------------------------------------------------------


def member_step(
    found: Survey,
    *,
    wanted: str,
    cluster_id: str | None,
    expected_cluster_id: str | None,
    has_state: bool,
    init: bool,
    can_join: bool,
    force: bool,
) -> str:
    """Decide what makes this host what it shall be.

    Args:
        found: The state of this host's engine.
        wanted: C(manager), C(worker) or C(absent).
        cluster_id: The swarm that this host is in, or None when that is not known.
        expected_cluster_id: The swarm that is meant, or None for any.
        has_state: Whether the state directory holds a swarm's state.
        init: Whether a new swarm may be created.
        can_join: Whether there is a token and an address to join with.
        force: Whether to leave in any state.

    Returns: C(none), C(init), C(join), C(leave), or C(put_aside) for a host whose engine is down.

    Raises:
        Refused: Another way has to be gone first; the remedy says which.
        SwarmError: The engine is in a state in which nothing is certain.
    """
    attempted = "take this host out of its swarm" if wanted == "absent" else f"make this host a {wanted}"
    if found.state == "inactive":
        if wanted == "absent":
            return "none"
        return _entry(attempted, wanted=wanted, has_state=has_state, init=init, can_join=can_join)
    if expected_cluster_id and cluster_id and cluster_id != expected_cluster_id:
        if wanted == "absent":
            return "none"
        raise Refused(
            attempted,
            f"it is in another swarm, {cluster_id} instead of {expected_cluster_id}",
            "If that swarm is not needed here, let it leave first (state absent)",
            cluster_id=cluster_id,
        )
    if wanted == "absent":
        return _exit(attempted, found, has_state=has_state, force=force)
    if found.state not in ("manager", "worker"):
        error = found.error
        if error is None:
            raise SwarmError(attempted, f"its engine is in state {found.state}")
        raise type(error)(attempted, error.cause, error.remedy, **error.details)
    if found.state == wanted:
        return "none"
    node_id = found.local.node_id if found.local else ""
    raise Refused(
        attempted,
        f"it is a {found.state} already",
        f"{'Promote' if wanted == 'manager' else 'Demote'} it from a manager: quorate.swarm.swarm_node with "
        f"node {node_id} and role {wanted}",
        node_id=node_id,
    )


def _entry(attempted: str, *, wanted: str, has_state: bool, init: bool, can_join: bool) -> str:
    """How a host that is in no swarm gets into one."""
    if has_state:
        raise Refused(
            attempted,
            "its engine is in no swarm, but the state directory holds the state of one, which creating or joining a "
            "swarm deletes",
            "Restore it (quorate.swarm.swarm_restore), or move the directory away if it is not needed",
        )
    if can_join:
        return "join"
    if not init:
        raise Refused(
            attempted,
            "it is in no swarm, and there is none to join",
            "Give join_token and remote_addresses of a swarm, or set init to create a new one",
        )
    if wanted != "manager":
        raise Refused(attempted, "a new swarm begins with a manager", "Set state to manager, or give a join_token")
    return "init"


def _exit(attempted: str, found: Survey, *, has_state: bool, force: bool) -> str:
    """How a host gets out of its swarm."""
    if found.state == "daemon_down" and found.error is not None:
        if not force:
            raise type(found.error)(attempted, found.error.cause, found.error.remedy, **found.error.details)
        return "put_aside" if has_state else "none"
    if found.state == "worker" or force:
        return "leave"
    if found.state == "manager":
        if found.health is not None and found.health.managers == 1:
            raise Refused(
                attempted,
                "it is the last manager, and with it the swarm is gone",
                "Promote another node and demote this one, or set force to erase the swarm",
            )
        node_id = found.local.node_id if found.local else ""
        raise Refused(
            attempted,
            "it is a manager, and would leave a dead member behind in the quorum",
            f"Demote it from another manager first: quorate.swarm.swarm_node with node {node_id} and role worker",
            node_id=node_id,
        )
    cause = found.error.cause if found.error else f"its engine is in state {found.state}"
    raise Refused(
        attempted, f"{cause}; leaving deletes its state", "Repair it first, or set force to leave all the same"
    )


def require_cluster(cluster_id: str | None, expected: str | None) -> None:
    """Refuse to call it done when a host has joined another swarm than was meant.

    Raises:
        Refused: Another one.
    """
    if cluster_id and expected and cluster_id != expected:
        raise Refused(
            f"join swarm {expected}",
            f"this host is now in swarm {cluster_id}, to which the token and the addresses belong",
            "Let it leave (state absent), and correct the token and the addresses",
            cluster_id=cluster_id,
        )
