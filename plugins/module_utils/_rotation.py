# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the rotation of the unlock keys of a whole inventory: which managers have to take part, whether an earlier
rotation is still to be finished, and what became of it. Pure; no I/O, and no key comes here.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._fleet import Info, cluster_of, node_of, state_of, why
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of


def rotation_plan(
    infos: t.Mapping[str, Info],
    *,
    missing: t.Sequence[str] = (),
    addresses: t.Mapping[str, t.Sequence[str]] | None = None,
) -> dict[str, t.Any]:
    """Say which hosts take part in the rotation of each swarm, and which managers are not there.

    Args:
        infos: For each inventory host, what swarm_info returned there, or C({"unreachable": True}).
        missing: Managers that the operator knows to be away: inventory hosts, host names, addresses or node IDs.
        addresses: For each inventory host, the names and addresses by which a swarm may know it.

    Returns:
        C(swarms), each with C(cluster_id), C(host) (the one that speaks for the swarm; None when nobody can), C(hosts)
        (all that prove the key on their disk), C(missing) (names of the managers that are away) and C(problem); and
        C(others), hosts that are in none of them, each with C(host), C(state) and C(problem).
    """
    members: dict[str, list[str]] = {}
    for host in sorted(infos):
        if cluster_of(infos[host]) and state_of(infos[host]) not in ("worker", "inactive"):
            members.setdefault(cluster_of(infos[host]), []).append(host)
    places = {host: {host, *(addresses or {}).get(host, ())} for host in infos}
    swarms = [
        _swarm(cluster, {host: infos[host] for host in hosts}, infos, set(missing), places)
        for cluster, hosts in sorted(members.items())
    ]
    judged = {host for swarm in swarms for host in swarm.pop("judged")}.union(*members.values())
    others = [
        {
            "host": host,
            "state": state_of(infos[host]),
            "problem": None
            if state_of(infos[host]) in ("worker", "inactive") or places[host].intersection(missing)
            else f"{why(infos[host])}, and no swarm that was found knows it",
        }
        for host in sorted(set(infos) - judged)
    ]
    return {"swarms": swarms, "others": others}


def _swarm(
    cluster: str,
    members: t.Mapping[str, Info],
    infos: t.Mapping[str, Info],
    named: set[str],
    places: t.Mapping[str, set[str]],
) -> dict[str, t.Any]:
    """What is known of one swarm. C(judged) are the inventory hosts that are among its managers."""
    able = [host for host in members if state_of(members[host]) == "manager"]
    result: dict[str, t.Any] = {
        "cluster_id": cluster,
        "host": None,
        "hosts": [],
        "missing": [],
        "judged": set(),
        "problem": None,
    }
    if not able:
        result["problem"] = "; ".join(f"{host}: {why(info)}" for host, info in members.items())
        return result
    speaker = min(able, key=lambda host: (not members[host]["node"].get("is_leader"), host))
    by_node = {node_of(members[host]): host for host in able}
    if len(by_node) < len(able):
        result["problem"] = "a node ID is used by more than one host: a state directory was copied"
        return result
    problems: list[str] = []
    for node in members[speaker]["nodes"]:
        if node["role"] != "manager":
            continue
        words = {node["id"], node["hostname"], node["address"], host_of((node.get("manager") or {}).get("address", ""))}
        words -= {""}
        hosts = [host for host in infos if node_of(infos[host]) == node["id"]] or [
            host for host in infos if places[host] & words and not node_of(infos[host])
        ]
        result["judged"].update(hosts)
        reachable = (node.get("manager") or {}).get("reachability") == "reachable"
        if node["id"] in by_node and reachable:
            result["hosts"].append(by_node[node["id"]])
            continue
        name = f"{node['hostname']} ({node['id']})"
        result["missing"].append(name)
        if named.isdisjoint(words.union(hosts, *(places[host] for host in hosts))):
            reason = "the swarm does not reach it"
            if not hosts:
                reason = "it is no host of this play that answers, so nobody can see its disk"
            elif hosts[0] not in able:
                reason = why(infos[hosts[0]])
            problems.append(f"manager {name}: {reason}")
    result.update(host=speaker, hosts=sorted(result["hosts"]))
    if problems:
        result["problem"] = (
            f"{'; '.join(problems)}. Bring it back, or unlock it, first; if it is to stay away, name it in "
            "rotate_unlock_key_missing_managers, and its old key stays marked as needed"
        )
    return result


def rotation_step(
    entries: t.Sequence[t.Mapping[str, t.Any]],
    *,
    current: str | None,
    missing: t.Sequence[str] = (),
    autolock: str = "unchanged",
    policy: str = "always",
    anew: bool = False,
) -> dict[str, t.Any]:
    """Say what is to be done to the key of a swarm now.

    A rotation that was interrupted is finished, not begun anew. It shows in the escrow: the current key is not there
    although older ones are needed, or older ones are marked as needed although every manager is there.

    Args:
        entries: What the escrow knows of the swarm.
        current: Fingerprint of the current key; None when autolock is off.
        missing: Names of the managers that are away.
        autolock: C(unchanged), C(enabled) or C(disabled), what the operator asked for.
        policy: C(always), C(older_than) or C(never), likewise.
        anew: Older keys are marked as needed because the swarm was restored, so nothing was interrupted.

    Returns: C(rotate) and C(autolock), as swarm_unlock_key takes them; C(created) of the current key; C(needed), the
        fingerprints of other keys that are not retired; C(interrupted).
    """
    created = next((entry["created"] for entry in entries if entry["fingerprint"] == current), None)
    needed = [entry["fingerprint"] for entry in entries if entry["retired"] is None and entry["fingerprint"] != current]
    interrupted = not anew and bool(needed) and current is not None and (created is None or not missing)
    rotate = policy if autolock == "unchanged" and not interrupted else "never"
    return {
        "rotate": rotate,
        "autolock": {"enabled": True, "disabled": False}.get(autolock),
        "created": created,
        "needed": needed,
        "interrupted": interrupted and autolock == "unchanged",
    }


def rotation_unproven(results: t.Sequence[t.Mapping[str, t.Any]], *, current: str | None) -> list[str]:
    """Say why managers have not proven on their disk that they have the current key, a reason for each of them.

    Args:
        results: What swarm_unlock_key returned on each, as a loop registers it, C(__rotate_unlock_key_host) being the
            name of the host.
        current: Fingerprint of the current key; None when autolock is off.
    """
    reasons: list[str] = []
    for result in results:
        host, key_file = result["__rotate_unlock_key_host"], result.get("key_file")
        if result.get("unreachable") or key_file is None:
            cause = "the host cannot be reached" if result.get("unreachable") else result.get("msg") or "no answer"
            reasons.append(f"{host}: {cause}")
        elif result["unlock_key_fingerprint"] != current:
            reasons.append(f"{host}: its engine tells another key, {result['unlock_key_fingerprint']}")
        elif not key_file["proven"]:
            opened_by = ", ".join(key_file["opened_by"])
            if not key_file["sealed"]:
                state = "is not sealed"
            else:
                state = f"opens with {opened_by}" if opened_by else "opens with no key that was tried"
            expected = f"not with {current} alone" if current else "though autolock is off"
            reasons.append(f"{host}: its key file {state}, {expected}")
    return reasons


def rotation_report(
    plan: t.Mapping[str, t.Any], outcomes: t.Mapping[str, t.Mapping[str, t.Any]]
) -> dict[str, list[str]]:
    """Say in two lines what became of the key of each swarm. Fingerprints, never a key.

    Args:
        plan: What rotation_plan returned.
        outcomes: For each host that spoke for a swarm, C(problem), or C(change), C(check), C(interrupted), C(previous),
            C(current), C(proven), C(unproven) (a reason for each host), C(retired) and C(needed).

    Returns: C(lines) for people, and C(failures), those of them that make the run fail.
    """
    lines: list[str] = []
    failures: list[str] = []
    for swarm in plan["swarms"]:
        about = f"swarm {swarm['cluster_id']}"
        outcome = outcomes.get(swarm["host"]) or {}
        problem = _problem(swarm, outcome)
        if outcome.get("change"):
            lines.append(f"{about}: {_what(outcome)}")
        if problem:
            failures.append(f"{about}: FAILED: {problem}")
        elif outcome["unproven"]:
            failures.append(
                f"{about}: FAILED: not proven: {'; '.join(outcome['unproven'])}; run again when that is cured"
            )
        else:
            lines.append(f"{about}: {_proof(outcome, swarm['missing'])}")
    failures += [f"host {other['host']}: FAILED: {other['problem']}" for other in plan["others"] if other["problem"]]
    if not plan["swarms"] and not failures:
        failures.append("FAILED: no swarm was found: no host of this play is a manager")
    return {"lines": lines + failures, "failures": failures}


def rotation_result(plan: t.Mapping[str, t.Any], outcomes: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Return what became of the key of each swarm as values, with fingerprints, never a key. Takes what rotation_report does."""
    swarms = [_as_values(swarm, outcomes.get(swarm["host"]) or {}) for swarm in plan["swarms"]]
    others = [other for other in plan["others"] if other["problem"]]
    return {"good": bool(swarms) and not others and all(swarm["good"] for swarm in swarms), "swarms": swarms}


def _as_values(swarm: t.Mapping[str, t.Any], outcome: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    problem = _problem(swarm, outcome) or "; ".join(outcome["unproven"])
    return {
        "cluster_id": swarm["cluster_id"],
        "host": swarm["host"],
        "good": not problem,
        "problem": problem,
        **{name: outcome.get(name) for name in ("change", "previous", "current")},
    }


def _problem(swarm: t.Mapping[str, t.Any], outcome: t.Mapping[str, t.Any]) -> str:
    lost = "" if outcome else "its host was lost meanwhile; run again"
    return str(swarm["problem"] or outcome.get("problem") or lost)


def _what(outcome: t.Mapping[str, t.Any]) -> str:
    previous, current = outcome["previous"], outcome["current"]
    would = "would be " if outcome["check"] else ""
    if outcome["change"] == "rotate":
        return f"the key {would}rotated from {previous}{'' if outcome['check'] else f' to {current}'}"
    if outcome["change"] == "enable":
        return f"autolock {would}switched on{'' if outcome['check'] else f', with the key {current}'}"
    if outcome["change"] == "disable":
        return f"autolock {would}switched off; the last key was {previous}"
    if current is None:
        return "autolock is off, and stays so"
    return f"the key is {current}, {'of a rotation that was interrupted before' if outcome['interrupted'] else 'as before'}"


def _proof(outcome: t.Mapping[str, t.Any], missing: t.Sequence[str]) -> str:
    if outcome["check"]:
        return "nothing was changed"
    state = f"opens with {outcome['current']} alone" if outcome["current"] else "is not sealed"
    parts = [f"the key file of {', '.join(outcome['proven'])} {state}"]
    if outcome["retired"]:
        parts.append(f"{', '.join(outcome['retired'])} retired")
    if missing and outcome["needed"]:
        parts.append(
            f"WARNING: {', '.join(missing)} was not there and needs {' or '.join(outcome['needed'])} to come back, which "
            "stays in the escrow; run this again then"
        )
    return "; ".join(parts)
