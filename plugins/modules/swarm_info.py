#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_info
short_description: Find the state of a host's Docker Swarm, whatever it is
version_added: 0.1.0
description:
  - Returns what this host's engine, its state directory and, on a manager, its swarm are in.
  - It answers in every state, also when the engine is down or locked, or when the quorum is lost. It fails only when it
    may not read, or cannot.
  - What passes by itself, such as an election, is waited out; so a lost quorum is told after O(settle_timeout), and is
    never taken for a worker or an engine that is in no swarm.
  - Join tokens and keys are never in the result.
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.state_directory
  - quorate.swarm.attributes
  - quorate.swarm.attributes.info_module
requirements:
  - cryptography, to read the certificates
options:
  gather:
    description:
      - What to return besides the state, the engine, the cluster, the managers and the quorum, which always are.
      - V(disk) reads the state directory of this host, for which root is needed. Leave it out when O(docker_host) is
        another host.
      - V(identity) does so too, but leaves out the raft store, every byte of which V(disk) proves, which takes seconds where
        it is large.
      - V(containers) and V(addresses), those of this host, and V(tasks) are only returned when they are asked for.
        V(addresses) need C(ip).
    type: list
    elements: str
    choices: [nodes, services, networks, secrets, configs, disk, identity, containers, addresses, tasks]
    default: [nodes, services, networks, secrets, configs, disk]
  settle_timeout:
    description:
      - Seconds to wait for a state that lasts while the swarm has no leader, the engine hangs, or it is still joining.
      - An election looks like a lost quorum while it runs, and an engine hangs for up to half a minute before it knows
        that the quorum is lost. With less time RV(state) is what was seen so far, down to V(0) for a single look.
    type: int
    default: 30
seealso:
  - module: quorate.swarm.swarm_quorum
  - module: quorate.swarm.swarm_node
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: See what this host is in the swarm
  quorate.swarm.swarm_info:
  register: swarm

- name: Stop the play where the quorum is lost
  ansible.builtin.fail:
    msg: "{{ swarm.node.error }}"
  when: swarm.state == 'quorum_lost'

- name: Only look at the state, without waiting
  quorate.swarm.swarm_info:
    gather: []
    settle_timeout: 0

- name: Ask a remote engine
  quorate.swarm.swarm_info:
    docker_host: tcp://10.0.0.11:2376
    validate_certs: true
    gather: [nodes, services]
"""

RETURN = r"""
state:
  description:
    - What this host is in the swarm.
    - V(daemon_down) - no engine answers.
    - V(inactive) - the engine is in no swarm.
    - V(pending) - it is joining, or starting, and has not found the managers.
    - V(locked) - a manager that waits for its unlock key.
    - V(error) - its swarm component failed; RV(node.error) says why.
    - V(worker) - a worker.
    - V(quorum_lost) - a manager whose swarm has no leader, or whose leader reaches less than the majority.
    - V(unsettled) - a manager that gave no decisive answer in O(settle_timeout).
    - V(manager) - a manager of a swarm with a leader and a reachable majority. Whether all is well says RV(quorum.healthy).
  returned: success
  type: str
  sample: manager
node:
  description: This host's own node. Values are null while the engine is down.
  returned: success
  type: dict
  contains:
    id:
      description: Node ID; empty when the engine is in no swarm, or locked.
      type: str
    address:
      description: Address of this host as it is known to the swarm.
      type: str
    hostname:
      description: Host name of the engine.
      type: str
    is_manager:
      description: Whether this is a manager, even if it is locked or has no leader.
      type: bool
    is_leader:
      description: Whether it leads the swarm; null when nobody can tell.
      type: bool
    local_node_state:
      description: The engine's own word, from which RV(state) follows.
      type: str
    error:
      description: Why this engine cannot be used as a manager; empty when it can.
      type: str
    remote_managers:
      description: The managers that this node knows of.
      type: list
      elements: dict
      contains:
        id:
          description: Node ID.
          type: str
        address:
          description: Raft address, as IP and port.
          type: str
engine:
  description: The engine. Values are null while it is down.
  returned: success
  type: dict
  contains:
    version:
      description: Version of the engine.
      type: str
    api_version:
      description: Newest version of its API.
      type: str
    root_dir:
      description: Its data root.
      type: str
    hostname:
      description: Its host name.
      type: str
cluster:
  description: The cluster object; null unless RV(state=manager).
  returned: success
  type: dict
  contains:
    id:
      description: Cluster ID.
      type: str
    created:
      description: When it was created.
      type: str
    autolock:
      description: Whether the managers are locked after a restart.
      type: bool
    root_ca_sha256:
      description: SHA-256 of the root CA certificate. Null when C(cryptography) is missing.
      type: str
    root_ca_expires:
      description: When the root CA certificate ends, in UTC. Null when C(cryptography) is missing.
      type: str
    root_rotation_in_progress:
      description: Whether the root CA is being replaced.
      type: bool
    data_path_port:
      description: UDP port of the overlay networks.
      type: int
    default_address_pool:
      description: Subnets from which networks are made.
      type: list
      elements: str
    subnet_size:
      description: Prefix length of these networks.
      type: int
    spec:
      description: Settings of the swarm, without secrets.
      type: dict
nodes:
  description: All nodes. Null when nobody can tell, or when V(nodes) is not in O(gather).
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Node ID.
      type: str
    hostname:
      description: Host name. It need not be unique.
      type: str
    role:
      description: V(manager) or V(worker).
      type: str
    availability:
      description: V(active), V(pause) or V(drain).
      type: str
    state:
      description: V(ready), V(down), V(unknown) or V(disconnected).
      type: str
    address:
      description: IP address.
      type: str
    labels:
      description: Node labels.
      type: dict
    engine_version:
      description: Version of its engine.
      type: str
    manager:
      description:
        - Its part in the quorum, with C(address), C(reachability) and C(leader). Null for a worker, and for a manager by
          role that is no member of the quorum.
      type: dict
    version:
      description: Version index of the node object.
      type: int
managers:
  description: The members of the quorum; null when nobody can tell.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Node ID.
      type: str
    hostname:
      description: Host name.
      type: str
    address:
      description: Raft address, as IP and port.
      type: str
    reachability:
      description: V(reachable), V(unreachable) or V(unknown).
      type: str
    leader:
      description: Whether it leads the swarm.
      type: bool
    state:
      description: State of the node.
      type: str
quorum:
  description: The quorum; null when nobody can tell.
  returned: success
  type: dict
  contains:
    managers:
      description: Members, reachable or not.
      type: int
    reachable:
      description: Those that can be reached.
      type: int
    majority:
      description: How many must be reachable.
      type: int
    fault_tolerance:
      description: How many may fail when all are reachable.
      type: int
    can_lose:
      description: How many more may fail now.
      type: int
    leader:
      description: Node ID of the leader.
      type: str
    healthy:
      description: Whether there is a leader, all managers are reachable, and no node is in state V(unknown).
      type: bool
    reasons:
      description: Why it is not healthy.
      type: list
      elements: dict
      contains:
        code:
          description: A word for programs.
          type: str
        message:
          description: What is wrong.
          type: str
        remedy:
          description: What to do about it.
          type: str
services:
  description: The services, with O(gather=services). Null when they cannot be read.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Service ID.
      type: str
    name:
      description: Its name.
      type: str
    mode:
      description: V(replicated), V(global), V(replicated_job) or V(global_job).
      type: str
    desired:
      description: Tasks that it should have.
      type: int
    running:
      description: Tasks that run, as far as the managers know. Those of lost nodes count until the node is down.
      type: int
networks:
  description: The networks of the swarm, with O(gather=networks). Null when they cannot be read.
  returned: success
  type: list
  elements: dict
  contains: &item
    id:
      description: The ID.
      type: str
    name:
      description: The name.
      type: str
    version:
      description: The version index. Not of networks, of which the engine does not tell it.
      type: int
secrets:
  description: IDs, names and versions of the secrets, with O(gather=secrets). Null when they cannot be read.
  returned: success
  type: list
  elements: dict
  contains: *item
configs:
  description: IDs, names and versions of the configs, with O(gather=configs). Null when they cannot be read.
  returned: success
  type: list
  elements: dict
  contains: *item
containers:
  description:
    - Names of the containers that run on this engine and are no tasks of a swarm, with O(gather=containers). Draining the
      node leaves them. Null when they cannot be read.
  returned: success
  type: list
  elements: str
state_directory:
  description:
    - What the state directory on this host holds, whether the engine runs or not. Null when it may not be read, or when
      neither V(disk) nor V(identity) is in O(gather).
  returned: success
  type: dict
  contains:
    path:
      description: The directory.
      type: str
    exists:
      description: Whether there is swarm state in it.
      type: bool
    size:
      description: Bytes of its files, without those that a backup leaves out.
      type: int
    free:
      description: Bytes that are free on its file system.
      type: int
    snapshot_size:
      description: Bytes of the newest raft snapshot; 0 without one.
      type: int
    certificate_expires:
      description: When the node certificate ends, in UTC.
      type: str
    key:
      description: V(sealed) by autolock, V(open), or V(absent).
      type: str
    kek_version:
      description: Version index at which this node took over the current unlock key.
      type: int
    raft:
      description:
        - Position in the raft log, with C(term), C(commit_index), C(last_index), C(snapshot_term), C(snapshot_index),
          C(node_id) and C(raft_id). Null for a worker, or without V(disk) in O(gather).
      type: dict
    node_id:
      description: Node ID in the certificate.
      type: str
    cluster_id:
      description: Cluster ID in the certificate.
      type: str
    role:
      description: V(manager) or V(worker), by the certificate.
      type: str
    address:
      description: The address under which the swarm knows this node.
      type: str
    problems:
      description: Why an engine would not start from this directory.
      type: list
      elements: str
addresses:
  description:
    - The addresses of this host, but for those of its loopback interface, with O(gather=addresses). Null when they cannot
      be read.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: IP address.
      type: str
    prefix:
      description: Length of its prefix.
      type: int
    interface:
      description: The interface that has it.
      type: str
    kind:
      description:
        - V(permanent), V(leased) where its lifetime is limited, or V(temporary) where it was lent.
      type: str
tasks:
  description:
    - How many tasks run on each node that has any, with O(gather=tasks). Null when they cannot be read.
  returned: success
  type: list
  elements: dict
  contains:
    node_id:
      description: Node ID.
      type: str
    running:
      description: Tasks that run there, as far as the managers know.
      type: int
error:
  description: Kind of the error, such as V(permission_denied) or V(missing_library).
  returned: failure
  type: str
error_details:
  description: Facts about the error.
  returned: failure
  type: dict
"""

import collections
import dataclasses
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _certificate
from ansible_collections.quorate.swarm.plugins.module_utils._argspec import (
    DOCKER_ARGUMENTS,
    DOCKER_REQUIRED_TOGETHER,
    STATE_DIRECTORY_ARGUMENTS,
    checked_arguments,
)
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon, Runner
from ansible_collections.quorate.swarm.plugins.module_utils._data_root import state_directory
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._host import host_addresses
from ansible_collections.quorate.swarm.plugins.module_utils._model import Item, Service, Task
from ansible_collections.quorate.swarm.plugins.module_utils._report import (
    cluster_facts,
    engine_facts,
    manager_facts,
    node_facts,
    state_directory_facts,
)
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import read_state
from ansible_collections.quorate.swarm.plugins.module_utils._survey import survey

GATHER = ["nodes", "services", "networks", "secrets", "configs", "disk"]
ARGUMENTS: dict[str, t.Any] = {
    "gather": {
        "type": "list",
        "elements": "str",
        "choices": [*GATHER, "identity", "containers", "addresses", "tasks"],
        "default": GATHER,
    },
    "settle_timeout": {"type": "int", "default": 30},
}

Warn = t.Callable[[str], None]


def facts(engine: Engine, params: t.Mapping[str, t.Any], run: Runner, warn: Warn) -> dict[str, t.Any]:
    """Gather everything. Raises SwarmError only for what says nothing about the swarm."""
    gather = params["gather"]
    found = survey(engine, timeout=params["settle_timeout"])
    version: t.Mapping[str, t.Any] = {}
    if found.local is not None:
        version = attempt(engine.version, warn) or {}
    readers: dict[str, t.Callable[[], t.Any]] = {
        "services": lambda: [dataclasses.asdict(Service.from_api(entry)) for entry in engine.services()],
        "networks": lambda: items(entry for entry in engine.networks() if entry.get("Scope") == "swarm"),
        "secrets": lambda: items(engine.secrets()),
        "configs": lambda: items(engine.configs()),
        "tasks": lambda: running_tasks(engine.tasks()),
    }
    usable = found.state == "manager"
    return {
        "state": found.state,
        "node": node_facts(found),
        "engine": engine_facts(found, version),
        "cluster": attempt(lambda: cluster(engine, warn), warn) if usable else None,
        "nodes": [node.as_dict() for node in found.nodes] if found.health and "nodes" in gather else None,
        "managers": manager_facts(found.nodes) if found.health else None,
        "quorum": found.health.as_dict() if found.health else None,
        **{kind: attempt(read, warn) if usable and kind in gather else None for kind, read in readers.items()},
        "containers": attempt(engine.plain_containers, warn) if found.local and "containers" in gather else None,
        "state_directory": on_disk(
            state_directory(params, engine_facts(found, version)["root_dir"], Daemon(run).arguments),
            warn,
            with_raft="disk" in gather,
        )
        if {"disk", "identity"}.intersection(gather)
        else None,
        "addresses": attempt(lambda: addresses(run), warn) if "addresses" in gather else None,
    }


def addresses(run: Runner) -> list[dict[str, t.Any]]:
    """The addresses by which other hosts may know this one."""
    return [
        {name: getattr(known, name) for name in ("address", "prefix", "interface", "kind")}
        for known in host_addresses(run)
        if not known.loopback
    ]


def attempt(read: t.Callable[[], t.Any], warn: Warn) -> t.Any:
    """Read, or warn and return None: the swarm may change between two reads, which is no failure of this module."""
    try:
        return read()
    except SwarmError as error:
        warn(str(error))
        return None


def items(entries: t.Iterable[t.Mapping[str, t.Any]]) -> list[dict[str, str]]:
    return [Item.from_api(entry).as_dict() for entry in entries]


def running_tasks(tasks: t.Iterable[Task]) -> list[dict[str, t.Any]]:
    count = collections.Counter(task.node_id for task in tasks if task.state == "running" and task.node_id)
    return [{"node_id": node_id, "running": count[node_id]} for node_id in sorted(count)]


def cluster(engine: Engine, warn: Warn) -> dict[str, t.Any]:
    found = engine.cluster()
    pem = found.root_ca.encode()
    return cluster_facts(
        found,
        root_ca_sha256=attempt(lambda: _certificate.digest(pem), warn),
        root_ca_expires=attempt(lambda: _certificate.expires(pem), warn),
    )


def on_disk(path: Path, warn: Warn, *, with_raft: bool) -> dict[str, t.Any] | None:
    try:
        place, has_files = StateDir(path), any(path.iterdir())
        sizes: dict[str, int | None] = {
            "size": place.size(),
            "free": place.free(),
            "snapshot_size": place.snapshot_size(),
        }
    except FileNotFoundError:
        has_files, sizes = path.exists(), dict.fromkeys(("size", "free", "snapshot_size"))
    except OSError as error:
        warn(f"Could not read the state directory {path}: {error.strerror}. Run the task with become.")
        return None
    known = read_state(path, live=True, with_raft=with_raft) if has_files else None
    result, warnings = state_directory_facts(path, **sizes, facts=known)
    for warning in warnings:
        warn(warning)
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={**DOCKER_ARGUMENTS, **STATE_DIRECTORY_ARGUMENTS, **ARGUMENTS},
        required_together=DOCKER_REQUIRED_TOGETHER,
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    try:
        module.exit_json(changed=False, **facts(Engine.from_params(params), params, module.run_command, module.warn))
    except SwarmError as error:
        fail(module, error)


if __name__ == "__main__":
    main()
