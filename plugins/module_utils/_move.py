# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows what a manager needs whose raft address is none of its host's, until it has one of them. Pure; no I/O.

A raft member keeps its address until it leaves (lab fact B4.8). So the manager leaves and joins again, from another
manager; where there is no other, one joins first, and that needs the old address on this host meanwhile.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._fleet import Info, cluster_of, node_of, state_of
from ansible_collections.quorate.swarm.plugins.module_utils._host import ENGINE_INTERFACES
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of

#: States of a member of a quorum that is not there.
_WITHOUT_QUORUM = ("quorum_lost", "unsettled", "pending")


def kind_of(info: Info, address: str) -> str:
    """How a host has an address: C(permanent), C(leased), C(temporary), or C(none)."""
    return next((known["kind"] for known in info.get("addresses") or () if known["address"] == address), "none")


def known_address(info: Info) -> str:
    """The address by which the swarm on a host's disk knows it; empty when there is none."""
    return host_of((info.get("state_directory") or {}).get("address") or "")


def own_address(info: Info, *, wanted: str, near: str) -> str:
    """Choose the address under which a host joins.

    Args:
        info: What swarm_info returned there.
        wanted: The one that the inventory names, or empty.
        near: An address in whose subnet it should be when there is a choice.

    Returns: the address, or empty when there is none, or no reason to choose one of several.
    """
    fixed = [
        known
        for known in info.get("addresses") or ()
        if known["kind"] == "permanent" and known["interface"] not in ENGINE_INTERFACES and ":" not in known["address"]
    ]
    names = [known["address"] for known in fixed]
    if wanted:
        return wanted if wanted in names else ""
    beside = [
        known["address"]
        for known in fixed
        if near
        and ipaddress.ip_address(near) in ipaddress.ip_interface(f"{known['address']}/{known['prefix']}").network
    ]
    return next((found[0] for found in (names, beside) if len(found) == 1), "")


def move_plan(
    infos: t.Mapping[str, Info],
    *,
    target: str,
    addresses: t.Mapping[str, str],
    lost: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """Decide what is next for a manager whose raft address may be none of its host's.

    Args:
        infos: For each host of the managers' group what swarm_info returned there (nodes, identity, addresses), or
            C({"unreachable": True}).
        target: The host in question.
        addresses: For each host the address under which it shall be known, by its inventory; empty for any of its own.
        lost: Hosts that do not take part.

    Returns:
        C(reasons) against it, empty when it can go on. C(needed), whether anything is to be done. C(old), the address to
        get rid of, C(own), the one to get, C(lent), whether the host has C(old) for a while. C(lend), hosts that are to be
        lent the address by which their swarm knows them, first. C(second), the host that joins before, where there is no
        other manager. C(through), the manager from which the target is demoted, and which it joins. C(through_address),
        where that one, or the target for the second, is found by those who join. C(leave), whether the target is a node
        still. C(cluster_id). C(former), the target's own entries in the node list; of one that is where it should be, those that an
        interrupted move has left.
    """
    me = infos[target]
    state, old = state_of(me), known_address(me)
    temporary = next((known["address"] for known in me.get("addresses") or () if known["kind"] == "temporary"), "")
    old = old if kind_of(me, old) in ("none", "temporary") else ""
    old = old or temporary
    working = [host for host in sorted(infos) if host not in (target, *lost) and state_of(infos[host]) == "manager"]
    cluster = cluster_of(me) if state != "inactive" else ""
    if cluster:
        working = [host for host in working if cluster_of(infos[host]) == cluster]
    plan: dict[str, t.Any] = {
        "reasons": [],
        "needed": False,
        "old": old,
        "own": own_address(me, wanted=addresses.get(target, ""), near=old),
        "lent": bool(temporary),
        "lend": [],
        "second": "",
        "through": working[0] if working else "",
        "through_address": "",
        "leave": state != "inactive",
        "cluster_id": cluster or (cluster_of(infos[working[0]]) if working else ""),
        "former": [],
    }
    reasons: list[str] = plan["reasons"]
    if state in ("unreachable", "failed", "daemon_down", "locked", "error"):
        reasons.append(_obstacle(target, state))
        return plan
    if state == "manager" and kind_of(me, known_address(me)) in ("permanent", "leased"):
        taken = {node_of(info) for info in infos.values()}
        left = [node for node in _left_behind(me, me["nodes"]) if node["id"] not in taken]
        plan.update(old=temporary, needed=bool(temporary or left), leave=False, through="", former=left)
        return plan
    if state == "inactive" and not working:
        reasons.append(f"{target} is in no swarm, and no other manager of the inventory has a quorum")
        return plan
    if state == "worker" and not old:
        reasons.append(f"{target} is a worker, and known by an address of its own; promote it if it shall be a manager")
        return plan
    plan["needed"] = True
    if not plan["own"]:
        reasons.append(
            f"{target} has no address that could be its own: set swarm_advertise_address of it to a fixed address "
            "that it has"
        )
    if working:
        source = infos[working[0]]
        plan["through_address"] = _reached_at(source, wanted=addresses.get(working[0], ""), near=plan["own"])
        plan["former"] = _former(me, source["nodes"])
        return plan
    return _alone(plan, infos, target=target, lost=lost)


def _alone(
    plan: dict[str, t.Any], infos: t.Mapping[str, Info], *, target: str, lost: t.Sequence[str]
) -> dict[str, t.Any]:
    """What comes before, where no other manager has a quorum."""
    me, reasons = infos[target], plan["reasons"]
    stray = [
        host
        for host, info in sorted(infos.items())
        if cluster_of(info) == plan["cluster_id"]
        and (state_of(info) in _WITHOUT_QUORUM or host == target)
        and known_address(info)
        and kind_of(info, known_address(info)) == "none"
    ]
    if state_of(me) != "manager":
        if stray:
            plan["lend"] = stray
        else:
            reasons.append(
                f"the swarm of {target} has no quorum, though every manager of the inventory that is up has the address "
                "by which the others know it; bring the missing managers back, or recover the quorum"
            )
        return plan
    others = [
        f"{manager['hostname']} ({manager['address']}, {manager['reachability']})"
        for manager in me.get("managers") or ()
        if manager["id"] != node_of(me)
    ]
    if others:
        reasons.append(
            f"the other managers of this swarm cannot be asked: {', '.join(others)}; add them to the inventory, see that "
            "they can be reached, or remove them from the swarm"
        )
        return plan
    plan["lend"] = stray
    plan["through_address"] = _reached_at(me, wanted=plan["own"], near=plan["own"])
    spare = [
        host
        for host, info in sorted(infos.items())
        if host not in (target, *lost)
        and (
            state_of(info) == "inactive"
            or (state_of(info) == "daemon_down" and cluster_of(info) in ("", plan["cluster_id"]))
        )
    ]
    if spare:
        plan["second"] = spare[0]
    else:
        reasons.append(
            f"{target} is the only manager, and a manager cannot change its address alone: another one has to be there "
            "while it leaves. Add a second host to the managers of the inventory, which has an engine and is in no swarm"
        )
    return plan


def _reached_at(info: Info, *, wanted: str, near: str) -> str:
    """Address and port at which a manager lets others join: one that stays, with the port of its raft address."""
    raft_address = info["state_directory"]["address"]
    port = raft_address.rpartition(":")[2]
    return f"{own_address(info, wanted=wanted, near=near) or host_of(raft_address)}:{port}"


def _obstacle(target: str, state: str) -> str:
    return {
        "unreachable": f"{target} cannot be reached",
        "failed": f"the state of {target} could not be read",
        "daemon_down": f"the engine of {target} is down; start it first",
        "locked": f"{target} is locked; unlock it first",
        "error": f"the swarm on {target} is in state error; rejoin it",
    }[state]


def _former(me: Info, nodes: t.Sequence[Info]) -> list[Info]:
    """The target's own entry in the node list; of one that has left, the entry of its host name that is not ready."""
    mine = [node for node in nodes if node["id"] == node_of(me)]
    return mine or _left_behind(me, nodes)


def _left_behind(me: Info, nodes: t.Sequence[Info]) -> list[Info]:
    """Entries of the target's host name that no engine fills any more."""
    hostname = (me.get("node") or {}).get("hostname")
    return [node for node in nodes if node["hostname"] == hostname and node["state"] != "ready" and not node["manager"]]


def address_traces(infos: t.Mapping[str, Info], address: str) -> list[str]:
    """Where an address can still be found, in words.

    Args:
        infos: For each host what swarm_info returned there (nodes, identity, addresses).
        address: The address that must be nowhere.
    """
    found = []
    for host, info in sorted(infos.items()):
        if state_of(info) in ("unreachable", "failed"):
            continue
        if kind_of(info, address) != "none":
            found.append(f"{host} has it on an interface ({kind_of(info, address)})")
        if known_address(info) == address:
            found.append(f"{host} is known by it")
        if address in [
            host_of(manager["address"]) for manager in (info.get("node") or {}).get("remote_managers") or ()
        ]:
            found.append(f"{host} looks for a manager at it")
        for node in info.get("nodes") or ():
            if address in (node["address"], host_of((node["manager"] or {}).get("address", ""))):
                found.append(f"{host} lists node {node['hostname']} ({node['id']}, {node['state']}) with it")
    return found
