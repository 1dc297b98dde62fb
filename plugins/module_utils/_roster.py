# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the hosts of an inventory beside the nodes of their swarms, and decides who changes which node. Pure; no I/O.

Each plan has C(problem), why nothing may be done, or None. Plans hold facts of swarm_info only, and so no secrets.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._fleet import (
    Info,
    cluster_of,
    node_of,
    split_reason,
    state_of,
    why,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of

Words = t.Mapping[str, t.Sequence[str]]


def _able(infos: t.Mapping[str, Info]) -> list[str]:
    """The hosts that can be asked about their swarm."""
    return [host for host in sorted(infos) if state_of(infos[host]) == "manager"]


def _actor(infos: t.Mapping[str, Info], cluster_id: str, *, but: t.Container[str] = ()) -> str | None:
    """The manager that an operation runs on: the leader, who knows best who is reachable, else the first by name."""
    able = [host for host in _able(infos) if cluster_of(infos[host]) == cluster_id and host not in but]
    return min(able, key=lambda host: (not infos[host]["node"].get("is_leader"), host), default=None)


def _addresses(info: Info, words: t.Sequence[str]) -> set[str]:
    """The addresses of a host: those of its interfaces, else those by which it is known."""
    known = info.get("addresses")
    if known is None:
        return {*words, (info.get("node") or {}).get("address") or ""} - {""}
    return {*words, *(entry["address"] for entry in known)}


def _places(entry: Info) -> set[str]:
    """The addresses by which a swarm knows a node."""
    return {entry["address"], host_of((entry.get("manager") or {}).get("address", ""))} - {"", "0.0.0.0"}


def _label(entry: Info) -> str:
    return f"{entry['hostname']} ({entry['id']})" if entry["hostname"] else str(entry["id"])


def _unable(infos: t.Mapping[str, Info], but: t.Container[str]) -> str:
    """Why each of the other hosts cannot be asked."""
    causes = [f"{host}: {why(infos[host])}" for host in sorted(infos) if host not in but and infos[host] != {}]
    return "; ".join(causes) or "there is no other host in the play"


# -- rejoin a manager ----------------------------------------------------------------------------------------------


def rejoin_plan(
    infos: t.Mapping[str, Info], *, target: str, addresses: Words, even_if_healthy: bool = False
) -> dict[str, t.Any]:
    """Decide how a host becomes a manager with fresh state, under the eyes of another manager.

    Args:
        infos: For each manager of the inventory, what swarm_info returned there, or C({"unreachable": True}).
        target: The inventory host.
        addresses: For each inventory host, the names and addresses by which a swarm may know it.
        even_if_healthy: Whether a host that is a reachable manager is to be rejoined too.

    Returns:
        C(problem); C(needed) (whether there is anything to do); C(actor) (the host that does it); C(cluster_id);
        C(remote) (the actor's raft address); C(why) (what the host is now); C(node_id) (of its present node, or empty);
        C(leave) and C(join) (whether it has to); C(demote) and C(remove) (nodes of this host, the latter before it joins);
        C(former) (the node that goes when the new one has its labels and its availability, so that they are nowhere
        missing in between); C(address) (the address that it had, or empty).
    """
    info = infos.get(target, {})
    plan: dict[str, t.Any] = {
        "problem": None,
        "needed": False,
        "actor": None,
        "cluster_id": cluster_of(info),
        "remote": "",
        "why": why(info) if info else "",
        "node_id": node_of(info),
        "leave": state_of(info) != "inactive",
        "join": True,
        "demote": [],
        "remove": [],
        "former": [],
        "address": "",
    }
    words = addresses.get(target, (target,))
    own_addresses = _addresses(info, words)
    name = (info.get("node") or {}).get("hostname")
    names = {name} if name else {target, *words}

    def is_stale(entry: Info) -> bool:
        return entry["hostname"] in names and bool(_places(entry) & own_addresses)

    def refused(problem: str) -> dict[str, t.Any]:
        return {**plan, "problem": problem}

    if not info:
        return refused(f"{target} is no host of this play: name a manager of the inventory as rejoin_manager_host")
    if state_of(info) in ("unreachable", "failed"):
        return refused(f"{target}: {why(info)}, and it has to leave and join by itself")
    others = {host: infos[host] for host in infos if host != target}
    split = split_reason(infos)
    if split:
        return refused(split)
    found = sorted({cluster_of(others[host]) for host in _able(others)})
    if plan["cluster_id"]:
        found = [plan["cluster_id"]] if plan["cluster_id"] in found else []
    elif len(found) > 1:
        found = [
            cluster
            for cluster in found
            if any(is_stale(entry) for entry in infos[str(_actor(others, cluster))]["nodes"])
        ] or found
    if len(found) > 1:
        return refused(
            f"the managers of this play are in {len(found)} swarms ({', '.join(found)}), and none of them knows {target}: "
            "limit the play to the managers of the one that is meant"
        )
    if not found:
        of = f" of swarm {plan['cluster_id']}, to which {target} belongs," if plan["cluster_id"] else ""
        return refused(
            f"no other manager{of} has a quorum ({_unable(infos, (target,))}); where the quorum is lost, that is what has "
            "to be repaired first (quorate.swarm.recover_quorum)"
        )
    plan["cluster_id"] = found[0]
    plan["actor"] = actor = str(_actor(others, found[0]))
    nodes = infos[actor]["nodes"]
    plan["remote"] = next(entry["manager"]["address"] for entry in nodes if entry["id"] == node_of(infos[actor]))
    own = next((entry for entry in nodes if entry["id"] == plan["node_id"]), None)
    taken = {node_of(infos[host]) for host in others}
    stale = [entry for entry in nodes if entry is not own and entry["id"] not in taken and is_stale(entry)]
    reachable = own is not None and (own.get("manager") or {}).get("reachability") == "reachable"
    if own is not None and not _places(own) & own_addresses:
        living = [host for host in sorted(others) if _places(own) & _addresses(others[host], addresses.get(host, ()))]
        if reachable or living:
            where = ", ".join(living) or " and ".join(sorted(_places(own)))
            return refused(
                f"node ID {own['id']} on {target} is that of {where}: its state directory was copied. Taken out, it would "
                f"take the manager there out of the quorum. Stop docker.socket and docker.service on {target}, move its "
                "state directory away, start the engine, and run again"
            )
    if state_of(info) == "manager" and reachable and not even_if_healthy:
        plan["why"] = "it is a reachable manager"
        if not stale:
            return plan
        plan["why"] += ", and former nodes of it are left"
        plan.update(leave=False, join=False)
    entries = ([own] if own else []) + sorted(
        stale, key=lambda entry: (entry["role"] == "manager", entry["version"]), reverse=True
    )
    # A node that joined a moment ago, before a run was interrupted, has nothing yet.
    former = next((entry for entry in entries if not _is_bare(entry)), entries[0] if entries else None)
    going = entries if plan["join"] else stale
    if former not in going:
        former = None
    plan.update(
        needed=True,
        demote=[{"id": entry["id"], "name": _label(entry)} for entry in going if entry.get("manager")],
        remove=[{"id": entry["id"], "name": _label(entry)} for entry in going if entry is not former],
        former=[{**former, "hostname": name or former["hostname"]}] if former else [],
        address=next((place for entry in entries for place in sorted(_places(entry) & own_addresses)), ""),
    )
    return plan


# -- take the place of a former node -------------------------------------------------------------------------------


def succession(nodes: t.Sequence[Info], *, node_id: str, former: t.Sequence[Info]) -> dict[str, t.Any]:
    """Decide what a node gets of the nodes that its host was before, and which of them go after that.

    Args:
        nodes: The nodes of the swarm, as swarm_info lists them.
        node_id: The node that is there now.
        former: Nodes that are gone, as swarm_info lists or listed them, the one that has the say first. Nodes that are
            down, out of the quorum, and of the same host name and address are former ones too: a run that was
            interrupted has left them.

    Returns:
        C(give), with C(labels) and C(availability), or nothing when the node has some of its own, or there is nothing
        to give; C(remove), those of its host name that are listed still, each with C(id) and C(name).
    """
    me = next((entry for entry in nodes if entry["id"] == node_id), None)
    if me is None:
        return {"give": {}, "remove": []}
    left = [
        entry for entry in nodes if entry["state"] == "down" and not entry["manager"] and _places(entry) & _places(me)
    ]
    mine = [entry for entry in (*former, *left) if entry["hostname"] == me["hostname"] and entry["id"] != node_id]
    heritage = next((entry for entry in mine if not _is_bare(entry)), None) if _is_bare(me) else None
    listed = {entry["id"] for entry in nodes}
    names = {entry["id"]: _label(entry) for entry in mine if entry["id"] in listed}
    return {
        "give": {key: heritage[key] for key in ("labels", "availability")} if heritage else {},
        "remove": [{"id": entry_id, "name": name} for entry_id, name in names.items()],
    }


def _is_bare(entry: Info) -> bool:
    """Whether nobody has given a node anything that would be lost with it."""
    return not entry["labels"] and entry["availability"] == "active"


# -- remove a node -------------------------------------------------------------------------------------------------


def remove_plan(infos: t.Mapping[str, Info], *, node: str, addresses: Words) -> dict[str, t.Any]:
    """Decide which node is meant, who removes it, and whether its host can be told to leave.

    Args:
        infos: For each host of the inventory, what swarm_info returned there, or C({"unreachable": True}).
        node: An inventory host, a node ID, or a host name.
        addresses: For each inventory host, the names and addresses by which a swarm may know it.

    Returns:
        C(problem); C(needed); C(actor); C(cluster_id); C(node) (its entry, or None); C(name) (what it is called in
        messages); C(host) (the inventory host that has to leave, or empty); C(why) (what that host is now).
    """
    plan: dict[str, t.Any] = {
        "problem": None,
        "needed": False,
        "actor": None,
        "cluster_id": "",
        "node": None,
        "name": node,
        "host": "",
        "why": "",
    }

    def refused(problem: str) -> dict[str, t.Any]:
        return {**plan, "problem": problem}

    split = split_reason(infos)
    if split:
        return refused(split)
    clusters = sorted({cluster_of(infos[host]) for host in _able(infos)})
    if not clusters:
        return refused(f"no manager has a quorum ({_unable(infos, ())})")
    meant = node_of(infos.get(node, {}))
    words = {node, *addresses.get(node, ())} if node in infos else {node}
    found = []
    for cluster in clusters:
        entries = infos[str(_actor(infos, cluster))]["nodes"]
        exact = [entry for entry in entries if entry["id"] in (meant, node)]
        known = [entry for entry in entries if entry["hostname"] in words or (node in infos and _places(entry) & words)]
        found += [(cluster, entry) for entry in exact or ([] if meant else known)]
    if len(found) > 1:
        names = ", ".join(f"{_label(entry)}, {entry['role']}, {entry['state']}" for dummy, entry in found)
        return refused(f"{node} is the name of {len(found)} nodes: {names}. Name one by its ID")
    if found:
        plan["cluster_id"], plan["node"] = found[0]
        plan["name"] = _label(plan["node"])
    elif meant:
        plan["cluster_id"] = cluster_of(infos[node])
    node_id = plan["node"]["id"] if plan["node"] else meant
    plan["host"] = next(
        (host for host in sorted(infos) if node_id and node_of(infos[host]) == node_id and _has_swarm(infos[host])), ""
    )
    if plan["host"]:
        plan["why"] = why(infos[plan["host"]])
    if not plan["node"] and not plan["host"]:
        return plan
    plan["actor"] = _actor(infos, plan["cluster_id"], but=(plan["host"],))
    if plan["actor"] is None:
        return refused(
            f"no other manager of swarm {plan['cluster_id'] or 'of this node'} has a quorum, which could remove "
            f"{plan['name']} ({_unable(infos, (plan['host'],))})"
        )
    plan["needed"] = True
    return plan


def _has_swarm(info: Info) -> bool:
    return state_of(info) not in ("inactive", "unreachable", "failed")


# -- drain managers ------------------------------------------------------------------------------------------------


def drain_plan(infos: t.Mapping[str, Info], *, named: t.Sequence[str]) -> dict[str, t.Any]:
    """Decide which managers are drained, and who does it.

    Args:
        infos: For each manager of the inventory, what swarm_info returned there, or C({"unreachable": True}).
        named: Inventory hosts, node IDs or host names; all managers of all swarms when empty.

    Returns:
        C(problem); C(swarms), each with C(cluster_id), C(actor) and C(targets), which have C(id), C(name), C(availability)
        and C(containers) (names of containers that stay; None where nobody can tell).
    """
    plan: dict[str, t.Any] = {"problem": split_reason(infos), "swarms": []}
    if plan["problem"]:
        return plan
    clusters = sorted({cluster_of(infos[host]) for host in _able(infos)})
    if not clusters:
        return {**plan, "problem": f"no manager has a quorum ({_unable(infos, ())})"}
    containers = {node_of(infos[host]): infos[host].get("containers") for host in infos if node_of(infos[host])}
    missing = dict.fromkeys(named)
    for cluster in clusters:
        actor = str(_actor(infos, cluster))
        targets = []
        for entry in infos[actor]["nodes"]:
            words = {entry["id"], entry["hostname"], *(host for host in infos if node_of(infos[host]) == entry["id"])}
            hit = words.intersection(named)
            if hit and not entry["manager"]:
                return {**plan, "problem": f"{_label(entry)} is no manager, but it was named"}
            if not entry["manager"] or (named and not hit):
                continue
            for word in hit:
                missing.pop(word, None)
            targets.append(
                {
                    "id": entry["id"],
                    "name": _label(entry),
                    "availability": entry["availability"],
                    "containers": containers.get(entry["id"]),
                }
            )
        plan["swarms"].append({"cluster_id": cluster, "actor": actor, "targets": targets})
    if missing:
        return {**plan, "problem": f"no swarm of this play has a manager {', '.join(missing)}"}
    return plan


# -- build a swarm -------------------------------------------------------------------------------------------------


def bootstrap_plan(
    infos: t.Mapping[str, Info],
    *,
    managers: t.Sequence[str],
    workers: t.Sequence[str],
    count: int,
    addresses: Words,
    advertise: t.Mapping[str, str],
    zones: t.Mapping[str, str],
    allow_leased: bool,
) -> dict[str, t.Any]:
    """Decide what makes the hosts of an inventory one swarm.

    Args:
        infos: For each host of the inventory, what swarm_info returned there, or C({"unreachable": True}).
        managers: The hosts that shall be managers, the one that creates the swarm first.
        workers: The hosts that shall be workers, or managers where C(count) needs more.
        count: How many managers there shall be; 0 for as many as C(managers) are.
        addresses: For each inventory host, the names and addresses by which a swarm may know it.
        advertise: For each inventory host, the address under which it shall join, or an empty text.
        zones: For each inventory host, its zone, or an empty text.
        allow_leased: Whether a manager may have an address that is leased.

    Returns:
        C(problem); C(init) (the host that creates the swarm, or None); C(actor) (the manager that does the rest);
        C(join) (what joins, each with C(host), C(role), C(address)); C(promote) (workers that become managers, each with
        C(host), C(node_id)); C(managers) (all hosts that shall be managers) with their C(addresses); C(steps) (the changes
        in words).
    """
    problems: list[str] = []
    split = split_reason(infos)
    if split:
        problems.append(split)
    hosts = [*managers, *(host for host in workers if host not in managers)]
    if not managers:
        problems.append("there is no host that shall be a manager")
    problems.extend(_unfit(infos, hosts))
    cluster_ids = sorted({cluster_of(infos[host]) for host in hosts if _has_swarm(infos.get(host, {}))} - {""})
    if len(cluster_ids) > 1:
        problems.append(f"the hosts are in {len(cluster_ids)} swarms: {', '.join(cluster_ids)}")
    actor = _actor(infos, cluster_ids[0]) if len(cluster_ids) == 1 else None
    known = {entry["id"] for entry in infos[actor]["nodes"]} if actor else set()
    strangers = [
        host for host in hosts if state_of(infos.get(host, {})) == "worker" and node_of(infos[host]) not in known
    ]
    if strangers:
        problems.append(f"{', '.join(strangers)} belong to a swarm that none of the managers is in")
    fixed, reasons = _fixed_addresses(infos, hosts, addresses, advertise, allow_leased=allow_leased)
    chosen, short = _chosen_managers(infos, managers, workers, count, zones, fixed)
    problems.extend(short)
    problems.extend(reason for host in chosen for reason in reasons.get(host, ()))
    problems.extend(
        f"{host}: its address {host_of(advertise[host])} is no address of this host"
        for host in hosts
        if host not in chosen
        and advertise.get(host)
        and host_of(advertise[host]) not in _addresses(infos.get(host, {}), ())
    )
    init = None if actor or not managers else managers[0]
    first = actor or init
    join = [
        {
            "host": host,
            "role": "manager" if host in chosen else "worker",
            "address": fixed.get(host, "") if host in chosen else advertise.get(host, ""),
        }
        for host in sorted(hosts, key=lambda host: host not in chosen)
        if host != init and state_of(infos.get(host, {})) == "inactive"
    ]
    promote = [
        {"host": host, "node_id": node_of(infos[host])} for host in chosen if state_of(infos.get(host, {})) == "worker"
    ]
    steps = [f"{init} creates a swarm at {fixed.get(init, '?')}"] if init else []
    steps += [f"{entry['host']} joins as a {entry['role']}" for entry in join]
    steps += [f"{entry['host']} is promoted" for entry in promote]
    return {
        "problem": "; ".join(problems) or None,
        "init": init,
        "actor": first,
        "join": join,
        "promote": promote,
        "managers": chosen,
        "addresses": {host: fixed.get(host, "") for host in chosen},
        "steps": steps,
    }


def _unfit(infos: t.Mapping[str, Info], hosts: t.Sequence[str]) -> list[str]:
    """Why hosts cannot become or be members of a swarm as they are."""
    problems = []
    for host in hosts:
        info = infos.get(host, {})
        state = state_of(info)
        if state not in ("manager", "worker", "inactive"):
            problems.append(f"{host}: {why(info) if info else 'it is not in the play'}")
        elif state == "inactive" and (info.get("state_directory") or {}).get("exists"):
            problems.append(
                f"{host}: its engine is in no swarm, but its disk holds the state of one; restore it, or move it away"
            )
    return problems


def _fixed_addresses(
    infos: t.Mapping[str, Info],
    hosts: t.Sequence[str],
    addresses: Words,
    advertise: t.Mapping[str, str],
    *,
    allow_leased: bool,
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The address of each host as a manager, and the reasons why a host has none that a manager may have."""
    fixed: dict[str, str] = {}
    reasons: dict[str, list[str]] = {}
    for host in hosts:
        info = infos.get(host, {})
        if state_of(info) in ("unreachable", "failed"):
            continue
        kinds = {entry["address"]: entry["kind"] for entry in info.get("addresses") or ()}
        known = [word for word in addresses.get(host, ()) if word in kinds]
        wanted = host_of(advertise.get(host) or "") or (known[0] if known else "")
        if not wanted:
            reasons[host] = [f"{host}: nobody knows its address as a manager; set swarm_advertise_address"]
        elif wanted not in kinds:
            reasons[host] = [f"{host}: its address {wanted} is no address of this host"]
        elif kinds[wanted] != "permanent" and not allow_leased:
            reasons[host] = [
                f"{host}: its address {wanted} is {kinds[wanted]}, and that of a manager must never change; make it a "
                "static one, or set bootstrap_allow_leased_addresses where the lease is reserved for good"
            ]
        else:
            fixed[host] = advertise.get(host) or wanted
            own: Info = next((entry for entry in info.get("nodes") or () if entry["id"] == node_of(info)), {})
            raft = host_of((own.get("manager") or {}).get("address", ""))
            if raft and raft != wanted:
                reasons[host] = [
                    f"{host}: the managers know it by {raft}, the inventory says {wanted}; correct the inventory, or let it "
                    "leave and join (quorate.swarm.rejoin_manager)"
                ]
    return fixed, reasons


def _chosen_managers(
    infos: t.Mapping[str, Info],
    managers: t.Sequence[str],
    workers: t.Sequence[str],
    count: int,
    zones: t.Mapping[str, str],
    fixed: t.Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """The hosts that shall be managers: those that are meant, and workers for the rest, from the emptiest zone first."""
    chosen = list(managers)
    wanted = count or len(chosen)
    if wanted < len(chosen):
        return chosen, [f"{wanted} managers are wanted, but {len(chosen)} hosts shall be managers"]
    pool = [host for host in workers if host not in chosen and host in fixed]
    while len(chosen) < wanted and pool:
        held = {zone: sum(zones.get(host, "") == zone for host in chosen) for zone in set(zones.values()) | {""}}
        best = min(
            pool, key=lambda host: (state_of(infos[host]) != "manager", held[zones.get(host, "")], pool.index(host))
        )
        pool.remove(best)
        chosen.append(best)
    if len(chosen) < wanted:
        return chosen, [f"{wanted} managers are wanted, and only {len(chosen)} hosts with a fixed address are there"]
    return chosen, []
