# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows in which words swarm_info returns what was found. Pure; no I/O.

No key of a returned dictionary is the name of a method of dictionaries (C(items), C(keys), C(values), C(get) ...), because
a template would reach the method instead.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._errors import MissingLibrary
from ansible_collections.quorate.swarm.plugins.module_utils._model import Cluster, Node
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import StateFacts
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey


def node_facts(found: Survey) -> dict[str, t.Any]:
    """What is known of this host's own node. A value is None when nobody can tell."""
    local = found.local
    if local is None:
        return {
            "id": None,
            "address": None,
            "hostname": None,
            "is_manager": None,
            "is_leader": None,
            "local_node_state": None,
            "error": str(found.error) if found.error else "",
            "remote_managers": [],
        }
    # A locked manager says that it has no control, but nothing else is ever locked (lab fact B2.1).
    is_manager = local.control_available or local.state == "locked"
    this_node = found.this_node
    is_leader: bool | None = False
    if is_manager:
        is_leader = this_node.manager.leader if this_node and this_node.manager else None
    return {
        "id": local.node_id,
        "address": local.node_address,
        "hostname": local.hostname,
        "is_manager": is_manager,
        "is_leader": is_leader,
        "local_node_state": local.local_node_state,
        "error": local.error or (str(found.error) if found.error else ""),
        "remote_managers": [{"id": node_id, "address": address} for node_id, address in local.remote_managers],
    }


def engine_facts(found: Survey, version: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What is known of the engine.

    Args:
        found: The survey; its engine may be down.
        version: GET /version, or nothing.
    """
    local = found.local
    return {
        "version": version.get("Version") or (local.engine_version if local else None),
        "api_version": version.get("ApiVersion"),
        "root_dir": local.root_dir if local else None,
        "hostname": local.hostname if local else None,
    }


def cluster_facts(cluster: Cluster, *, root_ca_sha256: str | None, root_ca_expires: str | None) -> dict[str, t.Any]:
    """The cluster object, with its root CA by digest and date."""
    facts = dataclasses.asdict(cluster)
    del facts["root_ca"]
    return {**facts, "root_ca_sha256": root_ca_sha256, "root_ca_expires": root_ca_expires}


def manager_facts(nodes: t.Iterable[Node]) -> list[dict[str, t.Any]]:
    """The members of the quorum."""
    return [
        {
            "id": node.id,
            "hostname": node.hostname,
            "address": node.manager.address,
            "reachability": node.manager.reachability,
            "leader": node.manager.leader,
            "state": node.state,
        }
        for node in nodes
        if node.manager is not None
    ]


def state_directory_facts(
    path: Path, *, size: int | None, free: int | None, snapshot_size: int | None, facts: StateFacts | None
) -> tuple[dict[str, t.Any], list[str]]:
    """What is known of the state directory, and warnings about what could not be read for want of a library.

    Args:
        path: The directory.
        size: Bytes of its files, or None.
        free: Bytes that are free on its file system, or None.
        snapshot_size: Bytes of the newest raft snapshot, or None.
        facts: What is in it, or None when there is no swarm state in it.
    """
    known = facts or StateFacts()
    raft = dataclasses.asdict(known.raft) if known.raft else None
    if raft is not None:
        del raft["warnings"]
    problems = [problem for problem in known.problems if not isinstance(problem, MissingLibrary)]
    missing = {problem.cause: problem for problem in known.problems if isinstance(problem, MissingLibrary)}
    warnings = [*map(str, missing.values()), *known.warnings]
    result = {
        "path": str(path),
        "exists": facts is not None,
        "size": size,
        "free": free,
        "snapshot_size": snapshot_size,
        "certificate_expires": known.certificate_expires,
        "key": "absent" if known.sealed is None else "sealed" if known.sealed else "open",
        "kek_version": known.kek_version,
        "raft": raft,
        "node_id": known.node_id,
        "cluster_id": known.cluster_id,
        "role": known.role,
        "address": known.address,
        "problems": [str(problem) for problem in problems],
    }
    return result, warnings
