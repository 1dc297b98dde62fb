#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_member
short_description: Make this host a manager or a worker of a Docker Swarm, or take it out
version_added: 0.1.0
description:
  - Joins a swarm, creates one, or leaves.
  - It acts only on an engine whose state is certain, and never changes the role of a host that is in the swarm already;
    that is done from a manager with M(quorate.swarm.swarm_node).
  - It waits until this side is ready. A manager is ready when it has the node list and is reachable in it. Whether the
    managers see the host as ready, M(quorate.swarm.swarm_info) says on one of them.
  - To join an autolocked swarm, no unlock key is needed.
  - Where the swarm had one manager, and its engine is older than 23.0, give the second one the time to get the raft log, of which
    it is sent 64 KB a second. Until then the swarm has no quorum.
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.daemon
  - quorate.swarm.state_directory
  - quorate.swarm.attributes
attributes:
  check_mode:
    support: full
    details:
      - Whether the token and the addresses are right is not tried.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(manager) and V(worker) join with O(join_token) and O(remote_addresses), or create a swarm with O(init). A host
        that has the role already is left as it is.
      - V(absent) leaves. This deletes the state of the swarm on this host. The managers go on listing the node, until it
        is removed with M(quorate.swarm.swarm_node). A manager must be demoted first.
    type: str
    required: true
    choices: [manager, worker, absent]
  join_token:
    description:
      - The token to join with, of a manager or of a worker as O(state) says.
    type: str
  remote_addresses:
    description:
      - Managers of the swarm to join, each as address and port, such as V(10.0.0.11:2377). One that answers will do.
    type: list
    elements: str
    default: []
  advertise_address:
    description:
      - The address at which the other nodes reach this host, as address or interface with an optional port. By default the
        engine chooses it, and refuses where it has a choice.
      - Of a manager it must never change.
    type: str
    default: ""
  listen_address:
    description:
      - The address and port to listen at as a manager.
    type: str
    default: 0.0.0.0:2377
  data_path_address:
    description:
      - The address or interface for the traffic of overlay networks, when it is another one.
    type: str
    default: ""
  cluster_id:
    description:
      - ID of the swarm that is meant. A host that is in another one is refused for O(state=manager) and O(state=worker),
        and left alone for O(state=absent).
      - Without it any swarm is taken for the right one.
    type: str
  init:
    description:
      - With O(state=manager), create a new swarm when this host is in none. It is its only manager then.
    type: bool
    default: false
  autolock:
    description:
      - With O(init), lock the managers of the new swarm after a restart. Read the unlock key from a manager and keep it
        outside of the swarm before anything else; it is never returned here.
    type: bool
    default: false
  force:
    description:
      - With O(state=absent), leave although this host is a manager, is locked, or its swarm has no quorum.
      - A manager that leaves so stays in the quorum as an unreachable member until it is removed. The last manager takes
        the whole swarm with it.
      - Where the engine does not answer, its service is stopped and its state is put aside instead, see RV(quarantine).
        This is also the way out for an engine that fails over a damaged state again and again.
    type: bool
    default: false
  start_engine:
    description:
      - Start the engine after its state was put aside, a start limit notwithstanding. It is in no swarm then. Without it
        the engine stays stopped.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait until this side is ready.
    type: int
    default: 60
seealso:
  - module: quorate.swarm.swarm_node
  - module: quorate.swarm.swarm_info
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Create a swarm on the first host
  quorate.swarm.swarm_member:
    state: manager
    init: true
    advertise_address: 10.0.0.11

- name: Join as a manager
  quorate.swarm.swarm_member:
    state: manager
    join_token: "{{ manager_token }}"
    remote_addresses: ["10.0.0.11:2377"]
    advertise_address: 10.0.0.12

- name: Take a worker out of the swarm
  quorate.swarm.swarm_member:
    state: absent
  register: left

- name: Take a host whose engine does not start any more out of its swarm, and have the engine running
  quorate.swarm.swarm_member:
    state: absent
    force: true
    start_engine: true

- name: Remove its node
  quorate.swarm.swarm_node:
    node: "{{ left.previous_node_id }}"
    state: absent
  delegate_to: manager1
  when: left is changed
"""

RETURN = r"""
state:
  description: What this host is afterwards, or would be, V(manager), V(worker) or V(absent).
  returned: success
  type: str
node_id:
  description: ID of this host's node; null when it is in no swarm, and for one that would join, in check mode.
  returned: success
  type: str
  sample: x1n8lbvdvhs6zbzmrs7sbk1gh
quarantine:
  description: Where the state of an engine that does not answer was put aside with O(force), or null.
  returned: success
  type: str
previous_node_id:
  description: ID that its node had before; null when it was in no swarm.
  returned: success
  type: str
cluster_id:
  description: ID of its swarm; null when it is in none. Null also on a worker where C(cryptography) is missing.
  returned: success
  type: str
address:
  description: The address of this host as it is known to the swarm.
  returned: success
  type: str
nodes:
  description:
    - All nodes, as RV(quorate.swarm.swarm_info#module:nodes). A manager has them from the leader, so one that has joined
      is among them as the others see it.
    - Null when this host is no manager, or would become one.
  returned: success
  type: list
  elements: dict
error:
  description: Kind of the error, such as V(refused), V(engine_error), V(timed_out), V(locked) or V(quorum_lost).
  returned: failure
  type: str
error_details:
  description: Facts about the error.
  returned: failure
  type: dict
"""

import contextlib
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _certificate, _membership, _transition
from ansible_collections.quorate.swarm.plugins.module_utils._argspec import (
    DAEMON_ARGUMENTS,
    DOCKER_ARGUMENTS,
    DOCKER_REQUIRED_TOGETHER,
    STATE_DIRECTORY_ARGUMENTS,
    checked_arguments,
)
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._data_root import state_directory
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import PermissionDenied, SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NODE_CERTIFICATE
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey, survey

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "required": True, "choices": ["manager", "worker", "absent"]},
    "join_token": {"type": "str", "no_log": True},
    "remote_addresses": {"type": "list", "elements": "str", "default": []},
    "advertise_address": {"type": "str", "default": ""},
    "listen_address": {"type": "str", "default": "0.0.0.0:2377"},
    "data_path_address": {"type": "str", "default": ""},
    "cluster_id": {"type": "str"},
    "init": {"type": "bool", "default": False},
    "autolock": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "start_engine": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 60},
}


def has_files(directory: Path) -> bool:
    """Whether there is anything in a state directory. An engine that is in no swarm keeps it empty.

    Raises:
        PermissionDenied: It may not be read.
    """
    try:
        return any(directory.iterdir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PermissionDenied(
            f"see that {directory} holds no state that joining a swarm would delete",
            error.strerror or str(error),
            "Run the task with become",
        ) from error


def facts(found: Survey, directory: Path) -> dict[str, t.Any]:
    """What this host is, as it is returned: by its engine, or where that does not say, by the certificate on its disk."""
    local = found.local
    node_id, cluster_id = (local.node_id, local.cluster_id) if local else ("", "")
    if found.state != "inactive" and not (node_id and cluster_id):
        with contextlib.suppress(SwarmError, OSError):
            certificate = _certificate.describe((directory / NODE_CERTIFICATE).read_bytes())
            node_id, cluster_id = node_id or certificate.node_id, cluster_id or certificate.cluster_id
    return {
        "state": "absent" if found.state == "inactive" else found.state,
        "node_id": node_id or None,
        "cluster_id": cluster_id or None,
        "address": (local.node_address if local else "") or None,
    }


def act(engine: Engine, step: str, params: t.Mapping[str, t.Any]) -> Survey:
    """Do what was decided, and return what the host is afterwards."""
    timeout: float = params["wait_timeout"]
    addresses = {name: params[name] for name in ("advertise_address", "listen_address", "data_path_address")}
    if step == "init":
        return _transition.create_swarm(engine, **addresses, autolock=params["autolock"], timeout=timeout)
    if step == "join":
        return _transition.join_swarm(
            engine,
            role=params["state"],
            token=params["join_token"],
            remote_addresses=params["remote_addresses"],
            **addresses,
            timeout=timeout,
        )
    return _transition.leave_swarm(engine, force=params["force"], timeout=timeout)


def main() -> None:
    module = AnsibleModule(
        argument_spec={**DOCKER_ARGUMENTS, **DAEMON_ARGUMENTS, **STATE_DIRECTORY_ARGUMENTS, **ARGUMENTS},
        required_together=DOCKER_REQUIRED_TOGETHER,
        mutually_exclusive=[("init", "join_token")],
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    engine = Engine.from_params(params)
    daemon = Daemon(module.run_command, service=params["service_name"])
    try:
        found = survey(engine)
        directory = state_directory(params, found.local.root_dir if found.local else None, daemon.arguments)
        before = facts(found, directory)
        if params["cluster_id"] and before["state"] != "absent" and before["cluster_id"] is None:
            module.warn(f"Could not see whether this host is in swarm {params['cluster_id']}: install cryptography.")
        step = _membership.member_step(
            found,
            wanted=params["state"],
            cluster_id=before["cluster_id"],
            expected_cluster_id=params["cluster_id"],
            has_state=found.state in ("inactive", "daemon_down") and has_files(directory),
            init=params["init"],
            can_join=bool(params["join_token"] and params["remote_addresses"]),
            force=params["force"],
        )
        quarantine: Path | None = None
        nodes: t.Sequence[Node] = ()
        if step == "none":
            after, nodes = before, found.nodes
        elif module.check_mode:
            after = {"state": params["state"], "node_id": None, "cluster_id": None, "address": None}
        else:
            if step == "put_aside":
                quarantine = _transition.put_state_aside(
                    engine,
                    daemon,
                    StateDir(directory),
                    start=params["start_engine"],
                    timeout=params["wait_timeout"],
                )
                after = {"state": "absent", "node_id": None, "cluster_id": None, "address": None}
            else:
                become = act(engine, step, params)
                after, nodes = facts(become, directory), become.nodes
            _membership.require_cluster(after["cluster_id"], params["cluster_id"])
    except SwarmError as error:
        fail(module, error)
    result: dict[str, t.Any] = {
        **after,
        "previous_node_id": before["node_id"],
        "quarantine": str(quarantine) if quarantine else None,
        "nodes": [node.as_dict() for node in nodes] or None,
    }
    if module._diff:
        result["diff"] = {"before": before, "after": after}
    module.exit_json(changed=step != "none", **result)


if __name__ == "__main__":
    main()
