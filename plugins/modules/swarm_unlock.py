#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_unlock
short_description: Unlock a locked Docker Swarm manager
version_added: 0.1.0
description:
  - Unlocks this host's manager with the first of the given unlock keys that fits. Every key is tried on the key file of
    the manager first, without its engine, so that the engine is asked only with a key that fits.
  - It never hangs. An engine takes the right key at once, but answers only when its swarm has a quorum; so the request
    has a short time-out, and the state of the engine tells what became of it.
  - After a power cut, the swarm has a quorum again when a majority of its managers is unlocked. Unlock all of them at the
    same time, without C(serial), as the role P(quorate.swarm.unlock#role) does.
  - A manager that is unlocked without a quorum counts as soon as enough others are there, and its request then ends by
    itself. Until then, O(restart_if_stuck) tells what is held up.
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.state_directory
  - quorate.swarm.daemon
  - quorate.swarm.attributes
requirements:
  - PyNaCl, to try the keys
  - cryptography, to read the cluster ID in the node certificate
attributes:
  check_mode:
    support: full
    details:
      - Every key is tried as in a real run, and a run that would fail because none fits does so in check mode too.
      - Whether the swarm will have a quorum cannot be told before it is asked.
  diff_mode:
    support: none
    details:
      - Nothing that could be compared is changed.
  idempotent:
    support: full
    details:
      - Except with O(restart_if_stuck), when RV(outcome=locked_again); the next run unlocks the manager again.
options:
  unlock_keys:
    description:
      - Unlock keys, newest first, each as C(docker swarm unlock-key) prints it.
      - When none of them fits, but one opens the copy of the key file that P(quorate.swarm.rotate_unlock_key#role) keeps
        during a rotation, the new key is found in the raft store.
      - A manager that was down during a rotation needs the key from before it, so give the older ones too.
      - Not needed when the manager is not locked. They never appear in any output; fingerprints do.
    type: list
    elements: str
    default: []
    aliases: [unlock_key]
  restart_if_stuck:
    description:
      - Restart the engine when there is no quorum in time and a request holds its swarm control lock.
      - While an unlock waits for a quorum, requests to init, join or leave a swarm hang behind it, even after the client
        of the unlock has gone, and a stop of the engine or of the host takes 90 seconds and ends with a kill. Reading, and
        containers, are not affected.
      - The quorum frees the engine by itself, however long it took. So restart it only to do something else with this
        host than to wait for the other managers.
      - The restart takes those 90 seconds, and the manager is locked again afterwards.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait for a leader after the manager was unlocked.
      - With three managers that were unlocked together, a leader was there after 11 to 16 seconds; with one of them missing,
        after 12 to 34 seconds.
    type: int
    default: 30
  dead_man_timeout:
    description:
      - With O(restart_if_stuck), seconds after which the host starts the engine by itself if this module died while it was
        stopped.
      - Set it to V(0) on a host without systemd, to go without. With systemd, the switch of another operation on this host
        is respected all the same.
    type: int
    default: 300
notes:
  - Run it on the manager itself, because it reads the key file there.
seealso:
  - module: quorate.swarm.swarm_info
  - name: Lock your swarm to protect its encryption key
    description: What autolock is, in Docker's documentation.
    link: https://docs.docker.com/engine/swarm/swarm_manager_locking/
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Unlock this manager with the current key, or with the one before the last rotation
  quorate.swarm.swarm_unlock:
    unlock_keys:
      - "{{ vault_unlock_key }}"
      - "{{ vault_previous_unlock_key }}"
  register: unlock

- name: Say where managers are missing
  ansible.builtin.debug:
    msg: "no quorum yet, {{ unlock.quorum.majority }} of {{ unlock.quorum.managers }} managers are needed"
  when: unlock.state != 'manager'

- name: See whether a key fits, and do nothing
  quorate.swarm.swarm_unlock:
    unlock_key: "{{ vault_unlock_key }}"
  check_mode: true
"""

RETURN = r"""
outcome:
  description:
    - V(already_unlocked) - it was not locked. Nothing was done.
    - V(unlocked) - it was locked and is a manager with a leader now. In check mode, a key fits.
    - V(unlocked_without_quorum) - it took the key and waits for other managers. Unlock those too.
    - V(locked_again) - there was no quorum in time, and the engine was restarted because of O(restart_if_stuck).
  returned: success
  type: str
  sample: unlocked
state:
  description:
    - State of this host's swarm afterwards, as RV(quorate.swarm.swarm_info#module:state). V(manager) means that there is a
      quorum. In check mode, the state as it is.
    - With an error, the last one that was seen; null when there was none.
  returned: always
  type: str
  sample: manager
stuck:
  description:
    - Whether a request holds the engine's swarm control lock, so that requests to init, join or leave a swarm hang, and a
      stop takes 90 seconds. Only ever V(true) without a quorum.
  returned: success
  type: bool
quorum:
  description: The numbers that matter for a quorum; null where nobody can tell.
  returned: always
  type: dict
  contains:
    managers:
      description: Managers of the swarm. Without a leader, those in the state directory of this host.
      type: int
    majority:
      description: How many of them must be unlocked and reach one another.
      type: int
    reachable:
      description: How many do. Null without a leader.
      type: int
unlock_key_fingerprint:
  description: Fingerprint of the key that fits; null when the manager was not locked, or none fits.
  returned: always
  type: str
  sample: uk1:5feceb66ffc86f38d952786c6d696c79
recovered:
  description:
    - Whether none of O(unlock_keys) fits, and the key was found in the raft store of this manager all the same. A rotation was
      cut off then before the new key got to anybody. Put it into the escrow, as P(quorate.swarm.rotate_unlock_key#role) does.
  returned: always
  type: bool
kek_version:
  description: Version index at which this manager took over its unlock key, from its key file.
  returned: always
  type: int
  sample: 18
cluster_id:
  description: ID of the swarm, from the certificate on disk where the engine does not tell it.
  returned: always
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
  description:
    - Kind of the error, such as V(wrong_key), V(not_a_manager), V(unreachable) or V(missing_library).
  returned: failure
  type: str
error_details:
  description: Facts about the error. For V(wrong_key), C(fingerprints) of the keys that were tried, and C(kek_version).
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
from ansible_collections.quorate.swarm.plugins.module_utils._unlock import Unlock, UnlockOptions

ARGUMENTS: dict[str, t.Any] = {
    "unlock_keys": {"type": "list", "elements": "str", "default": [], "no_log": True, "aliases": ["unlock_key"]},
    "restart_if_stuck": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 30},
    "dead_man_timeout": {"type": "int", "default": 300},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**DOCKER_ARGUMENTS, **STATE_DIRECTORY_ARGUMENTS, **DAEMON_ARGUMENTS, **ARGUMENTS},
        required_together=DOCKER_REQUIRED_TOGETHER,
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    daemon = Daemon(module.run_command, service=params["service_name"])
    unlock = Unlock(
        engine=Engine.from_params(params),
        daemon=daemon,
        state_directory=lambda root_dir: state_directory(params, root_dir, daemon.arguments),
        options=UnlockOptions(**{name: params[name] for name in UnlockOptions.__dataclass_fields__}),
        hide=module.no_log_values.add,
    )
    try:
        result = unlock.run(unlock.plan(params["unlock_keys"]), check=module.check_mode)
    except SwarmError as error:
        fail(module, error, steps=unlock.steps.taken, **unlock.known)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
