# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows quorum: majority, fault tolerance, the layout over zones, and whether managers may stop. Pure; no I/O.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node, find_nodes, host_of


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a verdict is negative, and what to do about it.

    Attributes:
        code: A word for programs, stable over releases.
        message: What is wrong, with the numbers and the nodes.
        remedy: What to do.
    """

    code: str
    message: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        return dataclasses.asdict(self)


def majority(managers: int) -> int:
    """The least number of managers that must reach one another: N // 2 + 1 (Docker docs, Raft consensus)."""
    return managers // 2 + 1


def fault_tolerance(managers: int) -> int:
    """How many of so many managers may fail at once: (N - 1) // 2 (Docker docs, Administer and maintain a swarm)."""
    return max(0, (managers - 1) // 2)


@dataclasses.dataclass(frozen=True)
class QuorumHealth:
    """The quorum as the node list shows it.

    Attributes:
        managers: Members of the quorum, reachable or not.
        reachable: Those that the leader reaches.
        majority: How many must be reachable.
        fault_tolerance: How many may fail when all are reachable.
        can_lose: How many more may fail now.
        leader: Node ID of the leader, or None.
        healthy: A leader exists, the reachable managers are the majority, all of them are reachable, and no node is
            in state unknown.
        reasons: Why it is not healthy.
    """

    managers: int
    reachable: int
    majority: int
    fault_tolerance: int
    can_lose: int
    leader: str | None
    healthy: bool
    reasons: tuple[Reason, ...]

    def as_dict(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


def managers_of(nodes: t.Iterable[Node]) -> list[Node]:
    """The nodes that are members of the quorum.

    A node that is a manager by its role but has no manager status is no member: after force-new-cluster the lost
    managers look like this (lab fact B5.6).
    """
    return [node for node in nodes if node.manager is not None]


def settling_reasons(nodes: t.Iterable[Node]) -> list[Reason]:
    """Reasons why the swarm is still busy with a change of leader or a restart (lab fact B1.8)."""
    waiting = [node.name for node in nodes if node.state == "unknown"]
    if not waiting:
        return []
    return [
        Reason(
            "nodes_unknown",
            f"{len(waiting)} node(s) are in state unknown: {', '.join(waiting)}",
            "After a change of leader this lasts some seconds; if it stays, the node does not reach the managers: "
            "start its engine, or remove it",
        )
    ]


def quorum_health(nodes: t.Sequence[Node]) -> QuorumHealth:
    """Judge the quorum by the node list of one manager that has a leader.

    The reachability in the node list is right within a second or three of a loss, long before the API stops to answer
    (lab fact B5.3).
    """
    members = managers_of(nodes)
    reachable = [node for node in members if node.manager is not None and node.manager.reachable]
    leader = next((node for node in members if node.manager is not None and node.manager.leader), None)
    needed = majority(len(members))
    reasons: list[Reason] = []
    if leader is None:
        reasons.append(
            Reason("no_leader", "the node list shows no leader", "Wait for the election; if none comes, quorum is lost")
        )
    if len(reachable) < needed:
        reasons.append(
            Reason(
                "quorum_lost",
                f"{len(reachable)} of {len(members)} managers are reachable, {needed} are needed",
                "Bring the missing managers back before anything else",
            )
        )
    missing = [node.name for node in members if node.manager is not None and not node.manager.reachable]
    if missing:
        reasons.append(
            Reason(
                "managers_unreachable",
                f"{len(missing)} of {len(members)} managers are not reachable: {', '.join(missing)}",
                "Start the engine there, or demote and remove the manager if it is gone for good",
            )
        )
    reasons.extend(settling_reasons(nodes))
    return QuorumHealth(
        managers=len(members),
        reachable=len(reachable),
        majority=needed,
        fault_tolerance=fault_tolerance(len(members)),
        can_lose=max(0, len(reachable) - needed),
        leader=leader.id if leader else None,
        healthy=not reasons,
        reasons=tuple(reasons),
    )


def stop_reasons(nodes: t.Sequence[Node], stopping: t.Iterable[str]) -> list[Reason]:
    """Reasons why these nodes may not be stopped now, as far as the quorum is concerned.

    Args:
        nodes: The node list.
        stopping: Node IDs or host names.
    """
    reasons: list[Reason] = []
    chosen: set[str] = set()
    for wanted in stopping:
        found = find_nodes(nodes, wanted)
        if len(found) == 1:
            chosen.add(found[0].id)
        elif found:
            reasons.append(
                Reason(
                    "ambiguous_node",
                    f"{wanted} is the host name of {len(found)} nodes: {', '.join(node.id for node in found)}",
                    "Name the node by its ID",
                )
            )
        else:
            reasons.append(Reason("unknown_node", f"the swarm has no node {wanted}", "Correct the name or the ID"))
    members = managers_of(nodes)
    staying = [
        node for node in members if node.id not in chosen and node.manager is not None and node.manager.reachable
    ]
    going = [node.name for node in members if node.id in chosen]
    needed = majority(len(members))
    if going and len(staying) < needed:
        reasons.append(
            Reason(
                "stop_loses_quorum",
                f"with {', '.join(going)} down, {len(staying)} of {len(members)} managers are reachable, "
                f"{needed} are needed",
                "Bring unreachable managers back first, stop fewer at once, or add managers",
            )
        )
    return reasons


def tolerance_reasons(health: QuorumHealth, minimum: int) -> list[Reason]:
    """Reasons why the swarm does not stand the loss of so many managers now."""
    if health.can_lose >= minimum:
        return []
    wanted = 2 * minimum + 1
    return [
        Reason(
            "fault_tolerance_too_low",
            f"{health.can_lose} manager(s) may fail now, {minimum} are wanted "
            f"({health.reachable} of {health.managers} reachable)",
            f"Have {wanted} reachable managers" if health.managers < wanted else "Bring the unreachable managers back",
        )
    ]


def odd_reasons(managers: int) -> list[Reason]:
    """Reasons about an even number of managers, which costs a manager and gives no tolerance."""
    if managers % 2:
        return []
    return [
        Reason(
            "even_managers",
            f"{managers} managers stand the loss of {fault_tolerance(managers)}, as {max(1, managers - 1)} do",
            f"Add one (promote a worker) or demote one, for {managers + 1} or {max(1, managers - 1)}",
        )
    ]


def ideal_spread(managers: int, zones: int) -> list[int]:
    """Managers for each zone, largest first, as even as can be: (5, 3) -> [2, 2, 1].

    Docker's table (1-1-1, 2-2-1, 3-2-2, 3-3-3 over three zones) is this, for any number of zones.
    """
    if zones < 1:
        return []
    share, rest = divmod(managers, zones)
    return [share + 1] * rest + [share] * (zones - rest)


def manager_layout(managers: int, zones: t.Sequence[str] | t.Mapping[str, t.Sequence[str]]) -> dict[str, t.Any]:
    """Place so many managers in zones, as evenly as their hosts allow.

    Each one goes to the zone that has the fewest of them and a host left; of several such zones, to the one named first.

    Args:
        managers: How many managers there shall be.
        zones: Names of the zones, or the hosts in each of them, those first that shall rather be managers.

    Returns:
        C(managers) by zone; C(hosts) that shall be managers, in an order in which any first few of them are spread as
        well, or none when only the names of the zones are known; C(spread), as ideal_spread gives it;
        C(fault_tolerance); and C(survives_zone), whether the quorum survives the loss of any one zone.

    Raises:
        Refused: There are no zones, too few hosts, a host in two zones, or less than one manager.
    """
    attempted = f"place {managers} manager(s) in {len(zones)} zone(s)"
    if managers < 1 or not zones:
        raise Refused(attempted, "there is nothing to place" if zones else "no zone is named", "Give at least one")
    free = {zone: list(zones[zone]) for zone in zones} if isinstance(zones, t.Mapping) else None
    if isinstance(zones, str) or (free is None and len(set(zones)) < len(zones)):
        raise Refused(attempted, f"these are not the names of zones, each once: {zones}", "Give a list of names")
    if free is not None:
        places = collections.Counter(host for hosts in free.values() for host in hosts)
        twice = sorted(host for host, times in places.items() if times > 1)
        if twice:
            raise Refused(attempted, f"hosts are named more than once: {', '.join(twice)}", "A host is in one zone")
        if len(places) < managers:
            raise Refused(attempted, f"the zones have {len(places)} host(s)", "Add hosts, or have fewer managers")
    held = dict.fromkeys(zones, 0)
    chosen = []
    for dummy in range(managers):
        zone = min((zone for zone in held if free is None or free[zone]), key=lambda zone: held[zone])
        held[zone] += 1
        if free is not None:
            chosen.append(free[zone].pop(0))
    return {
        "managers": held,
        "hosts": chosen,
        "spread": sorted(held.values(), reverse=True),
        "fault_tolerance": fault_tolerance(managers),
        "survives_zone": max(held.values()) <= fault_tolerance(managers),
    }


def is_quorate(seen: t.Mapping[str, t.Any] | None) -> bool:
    """Whether a result of swarm_info, or the C(quorum) in one, shows a quorum: a leader and a reachable majority.

    None, which swarm_info has for C(quorum) where nobody can tell, shows none.

    Raises:
        Refused: It shows neither a quorum nor the lack of one, such as the result of a task that failed.
    """
    attempted = "tell whether there is a quorum"
    if seen is None:
        return False
    if seen.get("failed") or seen.get("unreachable") or seen.get("skipped"):
        raise Refused(attempted, f"the task has no result: {seen.get('msg') or 'it was skipped'}", "See that task")
    if "state" in seen:
        return seen["state"] == "manager" and is_quorate(seen["quorum"])
    try:
        return (
            seen["reachable"] is not None
            and seen["reachable"] >= seen["majority"]
            and seen.get("leader", "") is not None
        )
    except KeyError as error:
        raise Refused(attempted, f"it has no {error}", "Give the result of swarm_info, or its quorum") from error


def zone_reasons(nodes: t.Sequence[Node], label: str) -> list[Reason]:
    """Reasons why the managers are not spread evenly over the zones that a node label names.

    A zone is every value of the label on any node, so a zone that has only workers counts as well.
    """
    members = managers_of(nodes)
    reasons: list[Reason] = []
    unlabelled = [node.name for node in members if not node.labels.get(label)]
    if unlabelled:
        reasons.append(
            Reason(
                "zone_unknown",
                f"{len(unlabelled)} manager(s) have no label {label}: {', '.join(unlabelled)}",
                f"docker node update --label-add {label}=ZONE NODE",
            )
        )
    zones = sorted({node.labels[label] for node in nodes if node.labels.get(label)})
    if not zones:
        return reasons
    held = collections.Counter(dict.fromkeys(zones, 0))
    held.update(node.labels[label] for node in members if node.labels.get(label))
    actual = sorted(held.values(), reverse=True)
    ideal = ideal_spread(sum(actual), len(zones))
    if actual != ideal:
        fullest = max(zones, key=lambda zone: held[zone])
        emptiest = min(zones, key=lambda zone: held[zone])
        mover = next(node for node in members if node.labels.get(label) == fullest)
        reasons.append(
            Reason(
                "zones_uneven",
                f"managers by zone are {', '.join(f'{zone}={held[zone]}' for zone in zones)} "
                f"({'-'.join(map(str, actual))}), the ideal is {'-'.join(map(str, ideal))}",
                f"Promote a node in {emptiest} and then demote one in {fullest}, such as {mover.name}",
            )
        )
    biggest = max(held.values())
    if len(zones) > 1 and biggest > fault_tolerance(len(members)):
        zone = max(zones, key=lambda name: held[name])
        reasons.append(
            Reason(
                "zone_holds_majority",
                f"zone {zone} holds {biggest} of {len(members)} managers: losing it loses the quorum",
                "Spread the managers over at least three zones",
            )
        )
    return reasons


def address_reasons(node: Node, *, host_addresses: t.Mapping[str, bool], expected: str | None) -> list[Reason]:
    """Reasons why this manager's address is not a fixed address of its host.

    Args:
        node: This manager as the swarm sees it.
        host_addresses: The addresses of this host, each with whether it is static (not leased).
        expected: The address that the inventory gives this host, or None.
    """
    if node.manager is None:
        return []
    address = host_of(node.manager.address)
    reasons: list[Reason] = []
    if address not in host_addresses:
        reasons.append(
            Reason(
                "address_not_on_host",
                f"{node.name} is known to the managers by {address}, which is no address of its host",
                "Give the host that address back, or move the manager to its new address by leaving and joining",
            )
        )
    elif not host_addresses[address]:
        reasons.append(
            Reason(
                "address_dynamic",
                f"the address {address} of {node.name} is leased, and managers must not change theirs",
                "Configure it as a static address, or reserve it for good where leases are given out",
            )
        )
    if expected and host_of(expected) != address:
        reasons.append(
            Reason(
                "address_not_expected",
                f"{node.name} is known to the managers by {address}, the inventory says {host_of(expected)}",
                "Correct the inventory, or move the manager by leaving and joining with the right advertise address",
            )
        )
    return reasons
