# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how the views of all managers make one verdict a swarm, and when they have to be asked again. Pure; no I/O.

More than one manager is asked, because a leader that was cut off shows a healthy swarm for some seconds (lab fact B5.1).

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import collections
import time
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._expectation import unmet_expectations
from ansible_collections.quorate.swarm.plugins.module_utils._findings import (
    SEVERITIES,
    Finding,
    Scene,
    Wanted,
    findings,
    hosts_of,
    newest_archive,
    worst_of,
)
from ansible_collections.quorate.swarm.plugins.module_utils._fleet import Info, cluster_of, node_of, state_of, why
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import majority

#: When a run fails.
FAIL_ON = ("error", "warning", "never")


def health_verdict(
    infos: t.Mapping[str, Info],
    addresses: t.Mapping[str, t.Sequence[str]],
    *,
    expected: t.Mapping[str, str] | None = None,
    wanted: t.Mapping[str, t.Any] | None = None,
    archives: t.Sequence[Info] | None = None,
    escrow: t.Mapping[str, Info] | None = None,
    expect: t.Sequence[t.Mapping[str, t.Any]] = (),
    fail_on: str = "error",
    now: float | None = None,
) -> dict[str, t.Any]:
    """Judge every swarm that these hosts form.

    Args:
        infos: For each host of the inventory, what swarm_info returned there, or C({"unreachable": True}).
        addresses: For each inventory host, the names and addresses by which a swarm may know it.
        expected: For each inventory host, the address that it should have in its swarm, or an empty text.
        wanted: How a swarm should be, by the attributes of Wanted.
        archives: What swarm_backup_info returned of all archives that were found; None when nobody looked.
        escrow: For each cluster ID, what is known of its unlock key: C(current) and C(known), or C(problem).
        expect: The expectations of the operator, as unmet_expectations() takes them.
        fail_on: One of FAIL_ON.
        now: Seconds since 1970.

    Returns:
        C(unsettled) (why the managers should be asked again; empty when they agree), C(swarms), C(others) (hosts in none
        of them, with C(host), C(state) and C(problem)), C(worst) (a severity, or None), C(lines) for people, and
        C(failures), those of them that make the run fail.

    Raises:
        Refused: An option makes no sense.
    """
    try:
        how = Wanted(**(wanted or {}))
    except TypeError as error:
        raise Refused("judge the health of the swarms", str(error), "Give only what can be wanted") from error
    if fail_on not in FAIL_ON:
        raise Refused("judge the health of the swarms", f"fail_on is {fail_on}", f"Give one of {', '.join(FAIL_ON)}")
    if expect:
        unmet_expectations({}, expect)  # what makes no sense is an error before anything is judged
    scenes: list[tuple[Scene, str | None]] = []
    unsettled: list[str] = []
    for cluster_id, hosts in sorted(_grouped(infos, addresses).items()):
        members = {host: infos[host] for host in hosts}
        speaker = _speaker(members)
        view = members[speaker] if speaker else None
        disagreements = _disagreements(members, view)
        unsettled.extend(f"swarm {cluster_id}: {reason}" for reason in [*disagreements, *_in_transit(members, view)])
        scene = Scene(
            cluster_id=cluster_id,
            infos=members,
            hosts=hosts_of(members, (view or {}).get("nodes") or (), addresses),
            view=view,
            disagreements=disagreements,
            expected=expected or {},
            wanted=how,
            now=time.time() if now is None else now,
            archives=archives,
            escrow=(escrow or {}).get(cluster_id),
            expect=expect,
        )
        scenes.append((scene, speaker))
    swarms = [_swarm(scene, speaker, findings(scene)) for scene, speaker in scenes]
    others = _others(infos, {host for scene, dummy in scenes for host in scene.infos})
    return {
        "unsettled": unsettled,
        "swarms": swarms,
        "others": others,
        **_report(swarms, others, fail_on),
    }


# -- which hosts form which swarm, and whom to believe -------------------------------------------------------------


def _grouped(infos: t.Mapping[str, Info], addresses: t.Mapping[str, t.Sequence[str]]) -> dict[str, list[str]]:
    """The hosts of each swarm. One that says nothing belongs to the swarm that knows one of its addresses."""
    members: dict[str, list[str]] = {}
    for host in sorted(infos):
        if cluster_of(infos[host]) and state_of(infos[host]) != "inactive":
            members.setdefault(cluster_of(infos[host]), []).append(host)
    silent = {host: infos[host] for host in infos if not cluster_of(infos[host])}
    for hosts in members.values():
        nodes = [node for host in hosts for node in infos[host].get("nodes") or ()]
        known = set(hosts_of(silent, nodes, addresses).values())
        hosts.extend(sorted(known.difference(hosts)))
    return members


def _speaker(members: t.Mapping[str, Info]) -> str | None:
    """The manager that is believed: one of those whose leader most of them see, the leader itself if it was asked."""
    able = [host for host in members if state_of(members[host]) == "manager"]
    votes = collections.Counter(members[host]["quorum"]["leader"] for host in able)

    def rank(host: str) -> tuple[int, int, bool, str]:
        quorum = members[host]["quorum"]
        return (-votes[quorum["leader"]], -quorum["reachable"], not members[host]["node"].get("is_leader"), host)

    return min(able, key=rank, default=None)


def _picture(info: Info) -> tuple[str | None, frozenset[str]]:
    """What a manager sees of the quorum: the leader, and who is reachable."""
    return info["quorum"]["leader"], frozenset(
        node["id"] for node in info["nodes"] if (node.get("manager") or {}).get("reachability") == "reachable"
    )


def _disagreements(members: t.Mapping[str, Info], view: Info | None) -> list[str]:
    """Why the managers do not see the same swarm, though all that is wrong with it may have been seen by one."""
    if view is None:
        return []
    leader, reachable = _picture(view)
    reasons = []
    for host in sorted(members):
        info, state = members[host], state_of(members[host])
        if state == "manager" and _picture(info) != (leader, reachable):
            reasons.append(f"{host} sees another leader, or others reachable, than {view['node'].get('hostname')}")
        elif state == "manager" and node_of(info) not in reachable:
            reasons.append(f"{host} answers as a manager, and the others do not reach it")
        elif state in ("pending", "unsettled", "quorum_lost") and node_of(info) in reachable:
            reasons.append(f"{host}: {why(info)}, and the others reach it")
    return reasons


def _in_transit(members: t.Mapping[str, Info], view: Info | None) -> list[str]:
    """What passes by itself: nodes are in state unknown after each change of leader (lab fact B1.8)."""
    if view is not None:
        unknown = [node["hostname"] or node["id"] for node in view["nodes"] if node["state"] == "unknown"]
        return [f"the state of {', '.join(unknown)} is not known"] if unknown else []
    running = [host for host in sorted(members) if state_of(members[host]) in ("pending", "unsettled", "quorum_lost")]
    known = max((len(_peers(members[host])) for host in running), default=0)
    undecided = any(state_of(members[host]) != "quorum_lost" for host in running)
    # As many as the majority run: they are about to have a leader, or to say why they cannot reach one another.
    return [f"{host}: {why(members[host])}" for host in running if undecided or len(running) >= majority(known)]


def _peers(info: Info) -> t.Sequence[Info]:
    """The managers of which a node without a leader knows, itself among them."""
    return (info.get("node") or {}).get("remote_managers") or ()


def _others(infos: t.Mapping[str, Info], judged: t.Container[str]) -> list[dict[str, t.Any]]:
    return [
        {
            "host": host,
            "state": state_of(infos[host]),
            "problem": None
            if state_of(infos[host]) in ("worker", "inactive")
            else f"{why(infos[host])}, and no swarm that was found knows it",
        }
        for host in sorted(infos)
        if host not in judged
    ]


# -- what is told --------------------------------------------------------------------------------------------------


def _swarm(scene: Scene, speaker: str | None, found: t.Sequence[Finding]) -> dict[str, t.Any]:
    """A swarm with its findings, and with the numbers that a report and a monitoring system want."""
    view = scene.view or {}
    cluster = view.get("cluster") or {}
    newest = newest_archive(scene.archives or (), scene.cluster_id)
    services = view.get("services") or ()
    return {
        "cluster_id": scene.cluster_id,
        "host": speaker,
        "hosts": sorted(scene.infos),
        "worst": worst_of(found),
        "findings": [finding.as_dict() for finding in found],
        "summary": _summary(scene, found),
        "quorum": view.get("quorum"),
        "autolock": cluster.get("autolock"),
        "root_ca_expires": cluster.get("root_ca_expires"),
        "nodes": dict(collections.Counter(node.state for node in scene.nodes)),
        "services": len(services),
        "services_below": sum(finding.id == "service_below_replicas" for finding in found),
        "newest_archive": newest
        and {"path": newest["path"], "size": newest["size"], "created": newest["manifest"]["created"]},
        "members": [_member(scene, node_id, host) for node_id, host in sorted(_members(scene).items())],
    }


def _members(scene: Scene) -> dict[str, str]:
    """The managers of a swarm and the hosts that were asked, as node ID and inventory host, which may be unknown."""
    managers = {node.id: scene.hosts.get(node.id, "") for node in scene.nodes if node.manager}
    return {**{node_id: host for node_id, host in scene.hosts.items() if host in scene.infos}, **managers}


def _member(scene: Scene, node_id: str, host: str) -> dict[str, t.Any]:
    node = next((node for node in scene.nodes if node.id == node_id), None)
    info = scene.infos.get(host, {})
    disk = info.get("state_directory") or {}
    return {
        "node_id": node_id,
        "host": host,
        "hostname": node.hostname if node else (info.get("node") or {}).get("hostname") or "",
        "state": state_of(info) if info else None,
        "is_manager": node.manager is not None if node else disk.get("role") == "manager",
        "reachable": bool(node and node.manager and node.manager.reachable),
        "leader": bool(node and node.manager and node.manager.leader),
        "availability": node.availability if node else None,
        "zone": node.labels.get(scene.wanted.zone_label) if node and scene.wanted.zone_label else None,
        "engine_version": node.engine_version if node else None,
        "certificate_expires": disk.get("certificate_expires"),
        "state_size": disk.get("size"),
        "free": disk.get("free"),
        "snapshot_size": disk.get("snapshot_size"),
        "raft_index": (disk.get("raft") or {}).get("commit_index"),
    }


def _summary(scene: Scene, found: t.Sequence[Finding]) -> str:
    count = collections.Counter(finding.severity for finding in found)
    parts = [
        f"{count[severity]} {severity}{'s' * (count[severity] > 1)}" for severity in SEVERITIES[:2] if count[severity]
    ]
    verdict = ", ".join(parts) or "healthy"
    if scene.view is None:
        return f"swarm {scene.cluster_id}: {verdict}; no leader"
    quorum = scene.view["quorum"]
    leader = next((scene.name_of(node) for node in scene.nodes if node.id == quorum["leader"]), "none")
    return (
        f"swarm {scene.cluster_id}: {verdict}; {quorum['reachable']} of {quorum['managers']} managers reachable, "
        f"{quorum['can_lose']} may fail, leader {leader}"
    )


def _report(
    swarms: t.Sequence[t.Mapping[str, t.Any]], others: t.Sequence[t.Mapping[str, t.Any]], fail_on: str
) -> dict[str, t.Any]:
    fatal = () if fail_on == "never" else SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    lines, failures, severities = [], [], []
    for swarm in swarms:
        lines.append(swarm["summary"])
        for finding in swarm["findings"]:
            text = f"{finding['id']} ({finding['object']}): {finding['what']}. {finding['remedy']}."
            lines.append(f"  {finding['severity'].upper()} {text}")
            severities.append(finding["severity"])
            if finding["severity"] in fatal:
                failures.append(f"swarm {swarm['cluster_id']}: {text}")
    for other in others:
        if other["problem"]:
            lines.append(f"host {other['host']}: ERROR {other['problem']}")
            severities.append("error")
            if fatal:
                failures.append(f"host {other['host']}: {other['problem']}")
        else:
            lines.append(f"host {other['host']}: nothing to judge, {why(other)}")
    if not swarms and not severities:
        lines.append("no swarm was found: no host of this play is a manager")
        severities.append("error")
        failures.extend(lines[-1:] if fatal else ())
    return {"worst": min(severities, key=SEVERITIES.index, default=None), "lines": lines, "failures": failures}
