#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_recover
short_description: Recover a Docker Swarm that has lost its quorum, on one surviving manager
version_added: 0.1.0
description:
  - Makes this surviving manager the only one of its swarm, by a forced new cluster. Services, networks, secrets, configs, the
    cluster ID, certificate authority, join tokens and the unlock key stay as they are.
  - Waits until an election that may be running is over, and does nothing when the swarm has a quorum then. An engine that
    does not decide, or shows a quorum whose other members do not answer, is asked again for 30 seconds, because it may not
    have noticed the loss yet.
  - Works on a copy of the state directory, made while the engine is stopped. If anything fails, the old state is put back
    and the engine started. If this module, the connection or the controller dies, the host does the same by itself (see
    O(dead_man_timeout)).
  - Autolocked swarms are recovered as well, which Docker's own procedure cannot do. The sealed key is opened on this host
    with the unlock key while the engine is stopped, and the engine seals it again under the same unlock key.
  - While the engine starts, an empty file system in memory lies over the state directory, so that it does not wait 21 seconds
    for managers that are gone. Where nothing can be mounted, it waits.
  - Gives the workers three minutes to find this manager, where Docker gives them half a minute before it starts their tasks
    anew. For that it leads twice; the engine is started once more, with a longer heartbeat period of the swarm, which is put
    back at once.
  - An engine before 23.0 sends a manager that joins 64 KB of its raft log a second, and a swarm whose second manager is joining
    has no quorum until that one has all of it. There the engine is made to write a snapshot, which it sends at once; for
    that the raft options of the swarm are changed and put back.
  - If the lost managers come back before a new cluster is forced, the swarm is left to its quorum.
  - Where there is a quorum, nothing is done but to make good what a run left when its host lost its power. The copies beside
    the state directory are removed, and the heartbeat period and the raft options of the swarm are put back, which were noted
    in a file beside it (C(swarm.settings)).
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.state_directory
  - quorate.swarm.daemon
  - quorate.swarm.attributes
requirements:
  - cryptography
  - PyNaCl
attributes:
  check_mode:
    support: full
    details:
      - The quorum, the state directory, the key and the other managers are checked as in a real run.
  diff_mode:
    support: none
    details:
      - The result tells what came back and what is different.
  idempotent:
    support: full
options:
  unlock_keys:
    description:
      - Unlock keys, newest first, each as C(docker swarm unlock-key) prints it. Needed when the swarm is autolocked.
      - The first one that opens the key file of this manager is taken. They never appear in any output.
    type: list
    elements: str
    default: []
    aliases: [unlock_key]
  down_managers:
    description:
      - The other managers that are known to be down and not to come up during the recovery, as node IDs or addresses.
      - Every other manager that this one knows must be here, unless its host is in another swarm by now. One that does not
        answer from here may be cut off and alive.
      - One that answers is refused all the same.
    type: list
    elements: str
    default: []
  settle_timeout:
    description:
      - Seconds to wait for a quorum before it is taken for lost. Elections take up to 30 seconds.
    type: int
    default: 45
  wait_timeout:
    description:
      - Seconds to wait until the engine has loaded the state, and again until it leads the swarm.
    type: int
    default: 120
  dead_man_timeout:
    description:
      - Seconds after which the host puts the old state back and starts the engine by itself, if this module died before
        the recovered swarm was proven.
      - A transient systemd timer does it, so it needs neither the module nor the connection nor the controller.
      - Set it to V(0) on a host without systemd, to go without. With systemd, the switch of another operation on this host
        is respected all the same.
    type: int
    default: 600
notes:
  - The engine is stopped and started twice, and with it the containers of this host. Those on workers run on, but a worker
    that needs more than three minutes to find this manager is taken for down by it, and gets new tasks.
  - Entries that this manager does not know to be committed are dropped by the engine. Where several managers have survived,
    take the one that is the most advanced. The role P(quorate.swarm.recover_quorum#role) does, and it proves on the hosts
    themselves that the other engines are stopped.
  - The other managers stay in the node list, with role C(manager) and without a part in the quorum. Those that come back
    with their state join again by themselves; remove the others with M(quorate.swarm.swarm_node).
seealso:
  - module: quorate.swarm.swarm_restore
  - module: quorate.swarm.swarm_quorum
  - name: Recover from losing the quorum
    description: The procedure in Docker's documentation.
    link: https://docs.docker.com/engine/swarm/admin_guide/#recover-from-losing-the-quorum
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: See whether the swarm could be recovered here
  quorate.swarm.swarm_recover:
    unlock_keys: ["{{ vault_swarm_unlock_key }}"]
    down_managers: [10.0.0.12, 10.0.0.13]
  check_mode: true

- name: Recover the swarm; its two other managers were lost in a fire
  quorate.swarm.swarm_recover:
    down_managers: [10.0.0.12, 10.0.0.13]
  register: recovered
"""

RETURN = r"""
outcome:
  description:
    - V(recovered) when a new cluster was forced.
    - V(quorum_returned) when the lost managers came back after the engine was stopped.
    - V(has_quorum) when the quorum was not lost, or only for the time of an election.
    - V(recoverable) in check mode, when a new cluster would be forced.
  returned: success
  type: str
cluster_id:
  description: Cluster ID of the swarm.
  returned: when the state directory could be read
  type: str
node_id:
  description: Node ID of this manager.
  returned: when the state directory could be read
  type: str
address:
  description: Address by which the swarm knows this manager.
  returned: when the state directory could be read
  type: str
autolock:
  description: Whether the swarm is autolocked.
  returned: when the state directory could be read
  type: bool
managers:
  description: The managers that this one knows from before, itself included.
  returned: when the state directory could be read
  type: list
  elements: dict
  contains:
    id:
      description: Node ID.
      type: str
    address:
      description: IP address in the raft store.
      type: str
peers:
  description: What answered at the addresses of the other managers before anything was changed.
  returned: when the quorum is lost
  type: list
  elements: dict
  contains:
    address:
      description: The address and port.
      type: str
    state:
      description: V(closed), V(silent), V(alive), V(other) or V(unclear).
      type: str
    detail:
      description: The cause in words.
      type: str
inventory:
  description: What the swarm consists of, by kind (nodes, services, networks, secrets, configs), as names and IDs.
  returned: when RV(outcome) is V(recovered)
  type: dict
difference:
  description:
    - Where RV(inventory) differs from the state directory before, by kind, as lists C(missing) and C(added). Empty when it
      does not.
    - Something missing makes the recovery fail.
  returned: when RV(outcome) is V(recovered)
  type: dict
dropped:
  description:
    - Changes in the raft log of this manager that it does not know to be committed. The engine drops them, because
      nobody can tell whether the lost managers had them.
  returned: when RV(outcome) is V(recovered)
  type: list
  elements: dict
  contains:
    action:
      description: V(create), V(update) or V(remove).
      type: str
    kind:
      description: The kind of the object.
      type: str
    id:
      description: Its ID.
      type: str
    name:
      description: Its name.
      type: str
    version:
      description: Its version index.
      type: int
quarantine:
  description: Where the old state directory is kept, or null when no new cluster was forced.
  returned: success, outside check mode, when the quorum was lost
  type: str
steps:
  description: The steps that were taken, with their seconds.
  returned: always
  type: list
  elements: dict
  contains:
    step:
      description: Name of the step.
      type: str
    seconds:
      description: How long it took.
      type: float
error:
  description: Kind of the error, such as V(refused), V(unsettled), V(locked), V(wrong_key), V(engine_error) or V(daemon_failed).
  returned: failure
  type: str
error_details:
  description: Facts about the error. C(rolled_back) is V(true) when the old state was put back.
  returned: failure
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

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
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._host import addresses
from ansible_collections.quorate.swarm.plugins.module_utils._recover import Recover, RecoverOptions
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir

ARGUMENTS: dict[str, t.Any] = {
    "unlock_keys": {"type": "list", "elements": "str", "default": [], "no_log": True, "aliases": ["unlock_key"]},
    "down_managers": {"type": "list", "elements": "str", "default": []},
    "settle_timeout": {"type": "int", "default": 45},
    "wait_timeout": {"type": "int", "default": 120},
    "dead_man_timeout": {"type": "int", "default": 600},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**DOCKER_ARGUMENTS, **STATE_DIRECTORY_ARGUMENTS, **DAEMON_ARGUMENTS, **ARGUMENTS},
        required_together=DOCKER_REQUIRED_TOGETHER,
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    recover: Recover | None = None
    result: dict[str, t.Any] = {"changed": False, "outcome": "has_quorum"}
    try:
        engine = Engine.from_params(params)
        daemon = Daemon(module.run_command, service=params["service_name"])
        recover = Recover(
            engine=engine,
            daemon=daemon,
            state=StateDir(state_directory(params, engine.root_dir(), daemon.arguments)),
            options=RecoverOptions(
                unlock_keys=tuple(params["unlock_keys"]),
                down_managers=tuple(params["down_managers"]),
                settle_timeout=params["settle_timeout"],
                wait_timeout=params["wait_timeout"],
                dead_man_timeout=params["dead_man_timeout"],
            ),
            host_addresses=frozenset(addresses(module.run_command)),
        )
        try:
            if recover.prepare():
                result = {"changed": True, "outcome": "recoverable"}
                if not module.check_mode:
                    result.update(recover.run())
                    result["outcome"] = "quorum_returned" if recover.cluster.came_back else "recovered"
            elif not module.check_mode:
                result["changed"] = recover.tidy()
        finally:
            recover.cleanup()
    except SwarmError as error:
        known = {"steps": recover.steps.taken, **recover.known} if recover else {"steps": []}
        fail(module, error, **known)
    for warning in recover.cluster.warnings:
        module.warn(warning)
    module.exit_json(steps=recover.steps.taken, **{**recover.known, **result})


if __name__ == "__main__":
    main()
