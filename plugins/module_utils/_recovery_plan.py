# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows on which manager a swarm is recovered that has lost its quorum, which others have to be stopped before, and what
speaks against it. Pure; no I/O.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils import _fleet
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import majority

#: Seconds after which an election has ended that was under way, in most cases (lab fact B1.7).
_ELECTION = 10


def recovery_plan(
    infos: t.Mapping[str, _fleet.Info], *, lost: t.Sequence[str], addresses: t.Mapping[str, t.Sequence[str]]
) -> dict[str, t.Any]:
    """Decide how a swarm is recovered.

    Args:
        infos: For each inventory host that is or shall be a manager, what swarm_info returned there, or
            C({"unreachable": True}).
        lost: What the operator says is lost for good: inventory hosts, host names, addresses or node IDs.
        addresses: For each inventory host, the names and addresses by which a swarm may know it.

    Returns:
        C(cluster_id) (None when it is not certain), C(healthy) (a host that sees a quorum, or None), C(host) (the survivor
        that is the most advanced, or None), C(ranking) (all survivors, the most advanced first), C(managers) (those that
        this one knows, with C(id) and C(address)), C(stop) (hosts that run as members and have to be stopped before),
        C(lost) (what was accepted as lost) and C(reasons) against it.
    """
    plan: dict[str, t.Any] = {
        "cluster_id": None,
        "healthy": None,
        "host": None,
        "ranking": [],
        "managers": [],
        "stop": [],
        "lost": [],
        "reasons": [],
    }
    members = _members(infos)
    clusters = sorted({_fleet.cluster_of(info) for info in members.values()})
    if len(clusters) != 1:
        plan["reasons"] = [_no_single_swarm(infos, clusters)]
        return plan
    plan["cluster_id"] = clusters[0]
    led = [host for host, info in members.items() if _fleet.state_of(info) == "manager"]
    leaderless = [
        host for host, info in members.items() if _fleet.state_of(info) in ("quorum_lost", "unsettled", "pending")
    ]
    plan["healthy"] = min(led, default=None)
    if led:
        if leaderless:
            plan["reasons"] = [
                f"the swarm has its quorum, which {', '.join(led)} can see and {', '.join(leaderless)} cannot: repair the "
                "network between them, or wait until they have found each other"
            ]
        return plan
    plan["ranking"] = survivors(members)
    if not plan["ranking"]:
        plan["reasons"] = [
            "no manager is left on which it could be recovered: "
            + "; ".join(f"{host}: {_fleet.why(info)}" for host, info in sorted(infos.items()))
        ]
        return plan
    target = plan["ranking"][0]["host"]
    info = members[target]
    managers = [
        {"id": manager["id"], "hostname": "", "address": host_of(manager["address"])}
        for manager in info["node"]["remote_managers"]
    ]
    fence = _fleet.fence_plan(
        infos,
        target=target,
        cluster_id=clusters[0],
        target_node_id=_fleet.node_of(info),
        archived_managers=managers,
        peers=[],
        lost=lost,
        addresses=addresses,
        may_stop=True,
        variable="recover_quorum_lost_managers",
    )
    plan.update(
        host=target,
        managers=[{"id": manager["id"], "address": manager["address"]} for manager in managers],
        stop=fence["running"],
        lost=fence["lost"],
        reasons=fence["reasons"],
    )
    return plan


def quorum_outlook(
    infos: t.Mapping[str, _fleet.Info],
    *,
    lost: t.Sequence[str],
    addresses: t.Mapping[str, t.Sequence[str]],
    settle_timeout: int,
) -> dict[str, t.Any]:
    """Decide whether, and for how long, it makes sense to wait for a quorum.

    A manager is gone when it is named as lost, or when the host that has its address is in no swarm, or another node. No
    time will bring a quorum back where fewer managers than the majority can still exist. But the managers are those that
    the survivors know, and one that was removed long ago may still be among them. So this is a reason to wait only for
    the end of an election; and none to wait at all where nobody else could vote.

    Args:
        infos: As for recovery_plan.
        lost: As for recovery_plan.
        addresses: As for recovery_plan.
        settle_timeout: Seconds to wait where a quorum may come back by itself.

    Returns: C(beyond_reach), false where it cannot be told, and C(settle_timeout), in seconds.
    """
    members = _members(infos)
    managers = {
        manager["id"]: host_of(manager["address"])
        for info in members.values()
        for manager in (info.get("node") or {}).get("remote_managers") or ()
    }
    words = {host: {host, *addresses.get(host, ())} for host in infos}
    named = set(lost).union(*(words[host] for host in infos if words[host].intersection(lost)))

    def is_gone(node_id: str, address: str) -> bool:
        return not named.isdisjoint((node_id, address)) or any(
            _fleet.node_of(infos[host]) != node_id
            and (_fleet.node_of(infos[host]) or _fleet.state_of(infos[host]) == "inactive")
            for host in infos
            if address in words[host] and _fleet.state_of(infos[host]) not in ("unreachable", "failed")
        )

    left = {node_id for node_id, address in managers.items() if not is_gone(node_id, address)}
    is_one_swarm = len({_fleet.cluster_of(info) for info in members.values()}) == 1
    if not is_one_swarm or not managers or len(left) >= majority(len(managers)):
        return {"beyond_reach": False, "settle_timeout": settle_timeout}
    voters = left.union(_fleet.node_of(info) for info in members.values())
    return {
        "beyond_reach": True,
        "settle_timeout": min(settle_timeout, _ELECTION if len(voters) > 1 else 0),
    }


def _members(infos: t.Mapping[str, _fleet.Info]) -> dict[str, _fleet.Info]:
    """The hosts that are or were managers of a swarm, by name."""
    return {
        host: info
        for host, info in sorted(infos.items())
        if _fleet.cluster_of(info) and _fleet.state_of(info) not in ("worker", "inactive")
    }


def survivors(infos: t.Mapping[str, _fleet.Info]) -> list[dict[str, t.Any]]:
    """Rank the managers that run and have lost the quorum, the most advanced first.

    The commit index goes first: a forced new cluster drops what is behind it, and of two managers of one swarm the one
    with the higher commit index has everything that the other one has committed. The last entry decides where these are
    equal, and then the name.
    """
    ranking = [
        {
            "host": host,
            "commit_index": info["state_directory"]["raft"]["commit_index"],
            "last_index": info["state_directory"]["raft"]["last_index"],
            "term": info["state_directory"]["raft"]["term"],
        }
        for host, info in infos.items()
        if _fleet.state_of(info) == "quorum_lost" and (info.get("state_directory") or {}).get("raft")
    ]
    return sorted(
        ranking, key=lambda entry: (-entry["commit_index"], -entry["last_index"], -entry["term"], entry["host"])
    )


def _no_single_swarm(infos: t.Mapping[str, _fleet.Info], clusters: t.Sequence[str]) -> str:
    if clusters:
        return f"the hosts are of {len(clusters)} swarms, {', '.join(clusters)}: recover one at a time, with a group of its own"
    return "no host has the state of a swarm: " + "; ".join(
        f"{host}: {_fleet.why(info)}" for host, info in sorted(infos.items())
    )
