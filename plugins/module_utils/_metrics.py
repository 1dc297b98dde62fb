# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the metrics of a swarm, and the text in which Prometheus reads them. Pure; no I/O.

Each file holds what one kind of run knows of one swarm, so that no metric of a swarm is ever in two files.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._findings import SEVERITIES, newest_archive
from ansible_collections.quorate.swarm.plugins.module_utils._fleet import Info
from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment

_PREFIX = "quorate_swarm_"

#: All metrics, without their prefix. Each is a gauge: a run writes what is, and nothing counts from run to run.
HELP = {
    "health_timestamp_seconds": "When the health of this swarm was judged, in seconds since 1970.",
    "findings": "What is not as it should be, by severity.",
    "has_leader": "Whether a manager that was asked has a leader.",
    "managers": "Members of the quorum, reachable or not.",
    "managers_reachable": "Members of the quorum that can be reached.",
    "managers_may_fail": "How many more managers may fail now.",
    "fault_tolerance": "How many managers may fail when all are reachable.",
    "autolock": "Whether managers are locked after a restart.",
    "root_ca_expiry_timestamp_seconds": "When the certificate of the root CA ends, in seconds since 1970.",
    "nodes": "Nodes by state.",
    "services": "Services.",
    "services_below_replicas": "Services that run fewer tasks than they should.",
    "newest_archive_timestamp_seconds": "When the newest good archive was made, in seconds since 1970.",
    "newest_archive_size_bytes": "Size of the newest good archive.",
    "manager_reachable": "Whether this manager can be reached by the others.",
    "manager_leader": "Whether this manager leads the swarm.",
    "certificate_expiry_timestamp_seconds": "When the certificate of this node ends, in seconds since 1970.",
    "state_directory_size_bytes": "Size of the state directory of this node.",
    "state_directory_free_bytes": "Free space where the state directory of this node is.",
    "raft_snapshot_size_bytes": "Size of the newest raft snapshot of this manager.",
    "raft_index": "Last index of the raft log that this manager knows to be committed.",
    "last_backup_timestamp_seconds": "When the last good backup was made, in seconds since 1970.",
    "last_backup_size_bytes": "Size of the archive of the last good backup.",
    "backup_duration_seconds": "How long the last good backup took.",
    "backup_copied": "Whether the copy of the last good backup in this place was read back and found to be the same.",
    "manager_downtime_seconds": "How long the manager was stopped for the last good backup.",
    "last_verification_timestamp_seconds": "When an archive was last found to be good, in seconds since 1970, by level.",
    "last_verified_archive_timestamp_seconds": "When the archive was made that was found to be good, in seconds since 1970, by level.",
    "last_drill_timestamp_seconds": "When the swarm last came back from an archive in a drill, in seconds since 1970.",
    "drill_duration_seconds": "How long the last good drill took.",
}

Sample = t.Tuple[str, t.Mapping[str, t.Any], t.Union[float, int, bool, None]]


def prometheus_metrics(result: t.Any, kind: str, *, now: float | None = None) -> list[dict[str, str]]:
    """Say what a run found, as files for the textfile collector of node_exporter.

    Args:
        result: What the run returned: the verdict of health_verdict (kind C(health)), the result of swarm_backup
            with the C(copies) of its archive (C(backup)), or the fact of the role verify_backup (C(verify)).
        kind: What the run was.
        now: Seconds since 1970.

    Returns: for each swarm, the C(file) name and its C(text).

    Raises:
        Refused: There is no such kind.
    """
    moment_of_run = time.time() if now is None else now
    if kind == "health":
        swarms = result["swarms"]
        return [_file(kind, swarm["cluster_id"], _health(swarm, moment_of_run)) for swarm in swarms]
    if kind == "backup":
        return [_file(kind, result["manifest"]["cluster"]["id"], _backup(result))]
    if kind == "verify":
        level = result["level"]
        archives = result["archives"]
        newest = {
            cluster_id: newest_archive(archives, cluster_id)
            for cluster_id in sorted({entry["manifest"]["cluster"]["id"] for entry in archives if entry["good"]})
        }
        return [
            _file(f"{kind}_{level}", cluster_id, _verified(entry, level, moment_of_run))
            for cluster_id, entry in newest.items()
            if entry
        ]
    raise Refused("write metrics", f"there is no kind {kind}", "Give health, backup or verify")


def _file(kind: str, cluster_id: str, samples: t.Iterable[Sample]) -> dict[str, str]:
    families: dict[str, list[str]] = {}
    for name, labels, value in samples:
        if value is None:
            continue
        pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in {"cluster_id": cluster_id, **labels}.items())
        number = int(value) if isinstance(value, bool) else value
        families.setdefault(name, []).append(f"{_PREFIX}{name}{{{pairs}}} {number!r}")
    lines = []
    for name, found in families.items():
        lines += [f"# HELP {_PREFIX}{name} {HELP[name]}", f"# TYPE {_PREFIX}{name} gauge", *found]
    return {"file": f"{_PREFIX}{kind}_{cluster_id}.prom", "text": "\n".join(lines) + "\n"}


def _escaped(text: t.Any) -> str:
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _moment(text: str | None) -> float | None:
    return moment(text) if text else None


def _health(swarm: Info, now: float) -> t.Iterator[Sample]:
    quorum = swarm["quorum"] or {}
    newest = swarm["newest_archive"] or {}
    yield "health_timestamp_seconds", {}, now
    for severity in SEVERITIES:
        found = [finding for finding in swarm["findings"] if finding["severity"] == severity]
        yield "findings", {"severity": severity}, len(found)
    yield "has_leader", {}, bool(quorum.get("leader"))
    yield "managers", {}, quorum.get("managers")
    yield "managers_reachable", {}, quorum.get("reachable")
    yield "managers_may_fail", {}, quorum.get("can_lose")
    yield "fault_tolerance", {}, quorum.get("fault_tolerance")
    yield "autolock", {}, swarm["autolock"]
    yield "root_ca_expiry_timestamp_seconds", {}, _moment(swarm["root_ca_expires"])
    for state, count in sorted(swarm["nodes"].items()):
        yield "nodes", {"state": state}, count
    if quorum:
        yield "services", {}, swarm["services"]
        yield "services_below_replicas", {}, swarm["services_below"]
    yield "newest_archive_timestamp_seconds", {}, _moment(newest.get("created"))
    yield "newest_archive_size_bytes", {}, newest.get("size")
    for member in swarm["members"]:
        labels = {"node_id": member["node_id"], "hostname": member["hostname"]}
        if member["is_manager"] and quorum:
            yield "manager_reachable", labels, member["reachable"]
            yield "manager_leader", labels, member["leader"]
        yield "certificate_expiry_timestamp_seconds", labels, _moment(member["certificate_expires"])
        yield "state_directory_size_bytes", labels, member["state_size"]
        yield "state_directory_free_bytes", labels, member["free"]
        if member["is_manager"]:
            yield "raft_snapshot_size_bytes", labels, member["snapshot_size"]
            yield "raft_index", labels, member["raft_index"]


def _backup(result: Info) -> t.Iterator[Sample]:
    yield "last_backup_timestamp_seconds", {}, moment(result["manifest"]["created"])
    yield "last_backup_size_bytes", {}, result["size"]
    yield "backup_duration_seconds", {}, _duration(result["steps"])
    for copy in result.get("copies") or ():
        yield "backup_copied", {"target": copy["target"]}, not copy["problem"]
    yield "manager_downtime_seconds", {}, round(result["downtime"], 3)


def _verified(entry: Info, level: str, now: float) -> t.Iterator[Sample]:
    yield "last_verification_timestamp_seconds", {"level": level}, now
    yield "last_verified_archive_timestamp_seconds", {"level": level}, moment(entry["manifest"]["created"])
    if entry.get("boot"):
        yield "last_drill_timestamp_seconds", {}, now
        yield "drill_duration_seconds", {}, _duration(entry["boot"]["steps"])


def _duration(steps: t.Iterable[Info]) -> float:
    return round(sum(step["seconds"] for step in steps), 3)
