# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows which hosts of an inventory form which swarm, and decides which of them an operation takes. Pure; no I/O.

Hosts are matched to nodes by node ID, and to swarms by cluster ID, never by host name.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of
from ansible_collections.quorate.swarm.plugins.module_utils._moment import time_spent

Info = t.Mapping[str, t.Any]


def cluster_of(info: Info) -> str:
    """Cluster ID of a host: from its engine, else from the certificate on its disk; empty when it has neither."""
    return (info.get("cluster") or {}).get("id") or (info.get("state_directory") or {}).get("cluster_id") or ""


def node_of(info: Info) -> str:
    """Node ID of a host, likewise."""
    return (info.get("node") or {}).get("id") or (info.get("state_directory") or {}).get("node_id") or ""


def state_of(info: Info) -> str:
    """State of a host: a state of swarm_info, or C(unreachable)."""
    if info.get("unreachable"):
        return "unreachable"
    return info.get("state") or "failed"


def why(info: Info) -> str:
    """Why a host is not a manager that an operation can take, in words."""
    return {
        "unreachable": "the host cannot be reached",
        "daemon_down": "its engine is down",
        "locked": "it is locked (autolock)",
        "quorum_lost": "the quorum is lost",
        "unsettled": "its swarm gave no decisive answer",
        "pending": "it is still joining",
        "error": "its swarm is in state error",
        "worker": "it is a worker",
        "manager": "it is a manager",
        "inactive": "it is in no swarm",
        "absent": "it is no manager of this play",
        "failed": f"its state could not be read ({info.get('msg') or 'no answer'})",
    }.get(state_of(info), state_of(info))


def split_reason(infos: t.Mapping[str, Info]) -> str | None:
    """Why hosts are not what they seem to be: two of one identity, or two swarms of one ID; None when they are.

    Args:
        infos: For each host what swarm_info returned there, or C({"unreachable": True}).
    """
    for node_id, hosts in twins(infos).items():
        return (
            f"node ID {node_id} is used by more than one host ({', '.join(hosts)}): a state directory was copied. "
            "Stop docker.socket and docker.service on the copy, and move its state directory away"
        )
    for host, other in strangers(infos):
        return (
            f"there are two swarms of this cluster ID, a restored one beside a living one: {host} does not know {other}"
        )
    return None


def name_list(names: str | t.Sequence[str]) -> list[str]:
    """Names as a list. The command line makes a text of them (C(-e lost_managers=m2,m3)), which is split at its commas, as
    Ansible does for the list of a module."""
    return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else list(names)


def twins(infos: t.Mapping[str, Info]) -> dict[str, list[str]]:
    """The node IDs that more than one host has, with these hosts: a state directory was copied."""
    hosts: dict[str, list[str]] = {}
    for host in sorted(infos):
        if node_of(infos[host]) and state_of(infos[host]) != "inactive":
            hosts.setdefault(node_of(infos[host]), []).append(host)
    return {node_id: same for node_id, same in sorted(hosts.items()) if len(same) > 1}


def strangers(infos: t.Mapping[str, Info]) -> list[tuple[str, str]]:
    """Pairs of managers of one cluster ID of which the first does not know the second: there are two such swarms."""
    known = {
        host: {node["id"] for node in infos[host]["nodes"]}
        for host in sorted(infos)
        if state_of(infos[host]) == "manager"
    }
    return [
        (host, other)
        for host in known
        for other in known
        if cluster_of(infos[host]) == cluster_of(infos[other]) and node_of(infos[other]) not in known[host]
    ]


def backup_plan(
    infos: t.Mapping[str, Info],
    *,
    named: t.Sequence[str] = (),
    leader: str = "refuse",
    addresses: t.Mapping[str, t.Sequence[str]] | None = None,
) -> dict[str, t.Any]:
    """Choose one manager of each swarm for a backup.

    A follower is taken before the leader, a drained one before one with tasks, and then the first by name.

    Args:
        infos: For each inventory host, what swarm_info returned there, or C({"unreachable": True}).
        named: Inventory hosts that the operator chose; they are taken in their swarms. One that is in no swarm that was
            found is a problem, so that a choice is never passed over in silence.
        leader: What may be done to a leader where there is no follower to take: C(refuse), C(step_down) or C(stop).
        addresses: For each inventory host, the names and addresses by which a swarm may know it. An unreachable host
            that a swarm knows as one of its nodes belongs to that swarm.

    Returns:
        C(swarms), each with C(cluster_id), C(host) (None when no host can be taken), C(node_id), C(is_leader),
        C(peer) (another manager, to hand the leadership over), C(hosts) and C(problem); and C(others), hosts that are
        in no swarm that was found, each with C(host), C(state) and C(problem) (None where nothing is missed).
    """
    members: dict[str, list[str]] = {}
    for host in sorted(infos):
        cluster = cluster_of(infos[host])
        if cluster and state_of(infos[host]) not in ("worker", "inactive"):
            members.setdefault(cluster, []).append(host)
    swarms = [_choose(cluster, hosts, infos, named, leader) for cluster, hosts in sorted(members.items())]
    known = {
        word
        for info in infos.values()
        for node in info.get("nodes") or ()
        for word in (
            node["hostname"],
            node["address"],
            host_of((node.get("manager") or {}).get("address", "")),
        )
    }
    others = []
    for host in sorted({*infos, *named}.difference(*members.values())):
        info = infos.get(host, {"state": "absent"})
        state = state_of(info)
        problem = None
        if host in named:
            problem = f"it was named, but {why(info)}"
        elif state not in ("worker", "inactive") and known.isdisjoint((addresses or {}).get(host, (host,))):
            problem = f"{why(info)}, and no swarm that was found knows it"
        others.append({"host": host, "state": state, "problem": problem})
    return {"swarms": swarms, "others": others}


def _choose(
    cluster: str, hosts: list[str], infos: t.Mapping[str, Info], named: t.Sequence[str], leader: str
) -> dict[str, t.Any]:
    able = [host for host in hosts if state_of(infos[host]) == "manager"]
    result: dict[str, t.Any] = {
        "cluster_id": cluster,
        "host": None,
        "node_id": None,
        "is_leader": False,
        "peer": None,
        "hosts": hosts,
        "problem": None,
    }
    split = split_reason({host: infos[host] for host in able})
    if split:
        result["problem"] = split
        return result
    wanted = [host for host in named if host in hosts]
    pool = wanted or able
    if not able or not set(pool) <= set(able):
        bad = [host for host in (wanted or hosts) if host not in able]
        result["problem"] = "; ".join(f"{host}: {why(infos[host])}" for host in bad)
        return result

    def rank(host: str) -> tuple[bool, bool, str]:
        info = infos[host]
        me: Info = next((node for node in info["nodes"] if node["id"] == node_of(info)), {})
        return (bool(info["node"].get("is_leader")), me.get("availability") != "drain", host)

    chosen = min(pool, key=rank)
    is_leader = bool(infos[chosen]["node"].get("is_leader"))
    managers = infos[chosen]["quorum"]["managers"]
    result.update(host=chosen, node_id=node_of(infos[chosen]), is_leader=is_leader)
    if is_leader and managers > 1 and leader != "stop":
        result["peer"] = next((host for host in able if host != chosen), None)
        if leader == "refuse":
            only = "" if wanted else " and the only manager of its swarm that can be taken"
            result["problem"] = f"{chosen} is the leader{only}; set backup_leader to step_down or stop to take it"
        elif result["peer"] is None:
            result["problem"] = (
                f"{chosen} is the leader, and no other manager of its swarm is there to promote it again"
            )
    return result


def fence_plan(
    infos: t.Mapping[str, Info],
    *,
    target: str,
    cluster_id: str,
    target_node_id: str,
    archived_managers: t.Sequence[t.Mapping[str, str]],
    peers: t.Sequence[t.Mapping[str, str]],
    lost: t.Sequence[str],
    addresses: t.Mapping[str, t.Sequence[str]],
    may_stop: bool = False,
    variable: str = "restore_lost_managers",
) -> dict[str, t.Any]:
    """Decide whether every other manager of a swarm is proven stopped, so that one may lead it alone.

    Two old managers that live on beside the new one are a second swarm with the same cluster ID.

    Args:
        infos: For each inventory host that is, was or shall be a manager, what swarm_info returned there, or
            C({"unreachable": True}).
        target: The inventory host that shall lead.
        cluster_id: Cluster ID of the swarm.
        target_node_id: Node ID of that manager.
        archived_managers: Managers that are known from before, by an archive for instance: C(id), C(hostname), C(address).
        peers: What was found at their addresses: C(address), C(state).
        lost: What the operator says is lost for good: inventory hosts, host names, addresses or node IDs.
        addresses: For each inventory host, the names and addresses by which a swarm may know it.
        may_stop: Whether hosts that run as members are going to be stopped, and so are no reason against it.
        variable: Where the operator says what is lost, for the reasons.

    Returns:
        C(reasons) (empty when it may begin), C(stopped) (hosts proven stopped or elsewhere), C(stale) (those of them that
        still have this swarm's state on disk), C(running) (hosts to be stopped), C(lost) (what was accepted as lost).
    """
    reasons: list[str] = []
    running: list[str] = []
    stopped: list[str] = []
    stale: list[str] = []
    judged = {target_node_id}
    proven: set[str] = set()
    accepted: set[str] = set()

    def is_named(words: t.Iterable[str]) -> bool:
        hit = set(lost).intersection(words)
        accepted.update(hit)
        return bool(hit)

    for host in sorted(infos):
        if host == target:
            continue
        info, state, cluster = infos[host], state_of(infos[host]), cluster_of(infos[host])
        words = {host, *addresses.get(host, ())}
        for manager in archived_managers:
            if manager["id"] == node_of(info) or manager["address"] in words:
                judged.add(manager["id"])
                words |= {manager["id"], manager["hostname"], manager["address"]} - {""}
        if state in ("unreachable", "failed"):
            if not is_named(words):
                reasons.append(f"{host}: {why(info)}; if it is lost for good, name it in {variable}")
        elif state in ("daemon_down", "inactive", "worker") or (cluster and cluster != cluster_id):
            stopped.append(host)
            proven |= words
            if state == "daemon_down" and cluster == cluster_id:
                stale.append(host)
        elif may_stop and cluster:
            running.append(host)
        else:
            reasons.append(
                f"{host}: its engine runs as a member of swarm {cluster or 'unknown'} (state {state}); "
                "stop docker.socket and docker.service there"
            )
    found = {host_of(peer["address"]): peer["state"] for peer in peers}
    for manager in archived_managers:
        seen = found.get(manager["address"], "silent")
        # A machine that was set up anew may bear the name of the one that is cut off, so a name proves nothing of a
        # manager that is silent. One that refuses connections is up, and known by that name.
        if manager["id"] in judged or seen == "other" or (seen == "closed" and manager["hostname"] in proven):
            continue
        if not is_named((manager["id"], manager["hostname"], manager["address"])):
            reasons.append(
                f"manager {manager['hostname'] or manager['id']} ({manager['address']}) of the swarm "
                f"{'does not answer' if seen == 'silent' else 'refuses connections'} and is no host of this inventory, so "
                f"nobody can see whether it is stopped; if it is lost for good, name its address in {variable}"
            )
    return {"reasons": reasons, "stopped": stopped, "stale": stale, "running": running, "lost": sorted(accepted)}


def host_addresses(variables: t.Mapping[str, t.Any]) -> list[str]:
    """Names and addresses by which a swarm may know an inventory host.

    Args:
        variables: The variables of the host: C(inventory_hostname), C(ansible_host), C(swarm_advertise_address).
    """
    words = (variables.get(name) for name in ("inventory_hostname", "ansible_host", "swarm_advertise_address"))
    return list(dict.fromkeys(str(word) for word in words if word))


def needs_become(variables: t.Mapping[str, t.Any]) -> bool:
    """Decide whether a task that is delegated to a host has to become root there: on the controller never, since a job runner
    is not root and does not need to be; elsewhere, unless the host says otherwise.

    Args:
        variables: The variables of the host: C(inventory_hostname), C(ansible_become).
    """
    return variables["inventory_hostname"] != "localhost" and boolean(variables.get("ansible_become", True))


def _report(
    plan: t.Mapping[str, t.Any],
    outcomes: t.Mapping[str, t.Mapping[str, t.Any]],
    *,
    say: t.Callable[[t.Mapping[str, t.Any]], str],
    undone: str,
    nothing: str,
) -> dict[str, list[str]]:
    """Say what became of each swarm, a line a swarm.

    Args:
        plan: What backup_plan returned.
        outcomes: For each inventory host that was taken, C(result) or C(problem), and C(copies), of which one with a
            C(problem) is a failure although there is a result.
        say: Puts an outcome with a result in words.
        undone: What is said of a swarm without a result.
        nothing: What is said of a host that has no part in it.
    """
    lines: list[str] = []
    failures: list[str] = []
    for swarm in plan["swarms"]:
        outcome = outcomes.get(swarm["host"]) or {}
        problem = swarm["problem"] or outcome.get("problem") or ("" if outcome.get("result") else undone)
        if problem:
            where = f" on {swarm['host']}" if swarm["host"] else f" ({', '.join(swarm['hosts'])})"
            failures.append(f"swarm {swarm['cluster_id']}{where}: FAILED: {problem}")
            lines.append(failures[-1])
            continue
        lines.append(f"swarm {swarm['cluster_id']} on {swarm['host']}: {say(outcome)}")
        later = [copy["problem"] for copy in outcome.get("copies") or () if copy["problem"]]
        if later:
            lines[-1] += f"; FAILED afterwards: {' '.join(later)}"
            failures.append(lines[-1])
    for other in plan["others"]:
        if other["problem"]:
            failures.append(f"host {other['host']}: FAILED: {other['problem']}")
            lines.append(failures[-1])
        elif other["state"] in ("worker", "inactive"):
            lines.append(f"host {other['host']}: {nothing}, {why(other)}")
    if not plan["swarms"] and not failures:
        failures.append("no swarm was found: no host of this play is a manager")
        lines.append(failures[-1])
    return {"lines": lines, "failures": failures}


def backup_report(plan: t.Mapping[str, t.Any], outcomes: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, list[str]]:
    """Say what became of each swarm, a line a swarm.

    Args:
        plan: What backup_plan returned.
        outcomes: For each inventory host that was taken, C(result) (of swarm_backup) or C(problem), and C(copies), the
            fact of the role copy_archive.

    Returns: C(lines) for people, and C(failures), those of them that make the run fail.
    """
    return _report(plan, outcomes, say=_success, undone="it was not backed up", nothing="nothing to back up")


def rebalance_report(
    plan: t.Mapping[str, t.Any], outcomes: t.Mapping[str, t.Mapping[str, t.Any]]
) -> dict[str, list[str]]:
    """Say what became of the services of each swarm, a line a swarm.

    Args:
        plan: What backup_plan returned.
        outcomes: For each inventory host that was asked, what swarm_rebalance returned.

    Returns: C(lines) for people, and C(failures), those of them that make the run fail.
    """
    told: dict[str, Info] = {}
    for host, outcome in outcomes.items():
        if outcome.get("failed"):
            before = _spreads(outcome)
            told[host] = {"problem": f"{outcome['msg']} Before that: {before}" if before else outcome["msg"]}
        elif "services" in outcome:
            told[host] = {"result": outcome}
    return _report(
        plan,
        told,
        say=lambda outcome: _spreads(outcome["result"]) or "none of its services was chosen",
        undone="it was not reached",
        nothing="nothing to rebalance",
    )


def _spreads(result: Info) -> str:
    """What became of the services, those that were spread anew first."""
    changed, same = [], []
    for entry in result.get("services") or ():
        outcome = entry["outcome"].replace("_", " ")
        if entry["outcome"] in ("rebalanced", "still_uneven"):
            counts = (f"{host} {count} to {entry['after'].get(host, 0)}" for host, count in entry["before"].items())
            changed.append(f"{entry['name']} {outcome} ({', '.join(counts)})")
        elif entry["outcome"] != "failed":
            same.append(f"{entry['name']} {outcome}")
    return "; ".join([*changed, *(["not touched: " + ", ".join(same)] if same else [])])


def _success(outcome: t.Mapping[str, t.Any]) -> str:
    result = outcome["result"]
    if "checksum" not in result:
        return f"would be written to {result['archive']}"
    parts = [
        f"{result['archive']} ({result['size'] / 1e6:.2f} MB, sha256 {result['checksum'][:16]}…)",
        f"engine down for {result['downtime']:.1f} s" if result["downtime"] else "engine not stopped",
    ]
    if outcome.get("seconds"):
        parts.append(time_spent([], seconds=outcome["seconds"]))
    copied = [copy["target"] for copy in outcome.get("copies") or () if not copy["problem"]]
    if copied:
        parts.append(f"copied to {' and '.join(copied)}")
    if result["removed"]:
        parts.append(f"{len(result['removed'])} older removed")
    return ", ".join(parts)


def swarm_report(swarm: Info, *, before: t.Mapping[str, t.Any] | None = None) -> list[str]:
    """Say how a swarm stands after it was restored or recovered, what was there before beside what is there now.

    Args:
        swarm: What swarm_info returns on the manager.
        before: The inventory before; nothing where it is not known.
    """
    lines = [f"swarm {swarm['cluster']['id']}, autolock {'on' if swarm['cluster']['autolock'] else 'off'}"]
    for kind in ("services", "networks", "secrets", "configs"):
        now = {entry["id"]: entry["name"] for entry in swarm[kind]}
        if not before:
            lines.append(f"{kind}: {len(now)} ({', '.join(sorted(now.values())) or 'none'})")
            continue
        then = {entry["id"]: entry["name"] for entry in before[kind]}
        missing = sorted(then[key] for key in then.keys() - now.keys())
        added = sorted(now[key] for key in now.keys() - then.keys())
        verdict = "IDs equal" if not missing and not added else ""
        verdict += f" missing: {', '.join(missing)}" if missing else ""
        verdict += f" added since: {', '.join(added)}" if added else ""
        lines.append(f"{kind}: before {len(then)}, now {len(now)}: {verdict.strip()}")
    for node in sorted(swarm["nodes"], key=lambda node: (node["role"], node["hostname"])):
        manager = node["manager"]
        part = (
            f", {'leader' if manager['leader'] else manager['reachability']} at {manager['address']}" if manager else ""
        )
        lines.append(f"{node['role']} {node['hostname']} ({node['id']}): {node['state']}, {node['availability']}{part}")
    health = swarm["quorum"]
    lines.append(
        f"quorum: {health['reachable']} of {health['managers']} managers reachable, majority {health['majority']}, "
        f"{health['can_lose']} may fail"
    )
    lines.extend(f"{reason['message']}: {reason['remedy']}" for reason in health["reasons"])
    return lines


def verify_result(results: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Return which archives are good as values.

    Args:
        results: For each host that verified archives, C(level), and C(archives) as swarm_backup_info returns them.
    """
    archives = [
        {
            "host": host,
            "archive": entry["path"],
            "cluster_id": ((entry["manifest"] or {}).get("cluster") or {}).get("id"),
            "level": result["level"],
            "good": entry["good"],
            "problem": entry["problem"],
        }
        for host, result in results.items()
        for entry in result["archives"]
    ]
    return {"good": bool(archives) and all(archive["good"] for archive in archives), "archives": archives}


def verify_report(archives: t.Iterable[t.Mapping[str, t.Any]], *, level: str) -> list[str]:
    """Say which archives are good, and what came back from them.

    Args:
        archives: What swarm_backup_info returns of each.
        level: The level at which it verified them.
    """
    entries = list(archives)
    lines = [f"{sum(entry['good'] for entry in entries)} of {len(entries)} archives good at level {level}"]
    for entry in entries:
        boot = entry.get("boot")
        if not entry["good"]:
            lines.append(f"{entry['path']}: NOT GOOD: {entry['problem']}")
        elif boot:
            parts = [
                f"{len(boot['inventory'][kind])} {kind}" for kind in ("services", "networks", "secrets", "configs")
            ]
            parts.append("no container")
            if boot["key"] == "proven":
                parts.append("unlock key proven")
            if boot["certificate_reissued"]:
                parts.append(
                    f"node certificate issued again, it had expired at {boot['certificate_reissued']['expired']}"
                )
            seconds = sum(step["seconds"] for step in boot["steps"])
            lines.append(
                f"{entry['path']}: swarm {boot['cluster_id']} came back on engine {boot['engine_version']} "
                f"in {seconds:.0f} s: {', '.join(parts)}"
            )
        else:
            lines.append(f"{entry['path']}: good")
    return lines
