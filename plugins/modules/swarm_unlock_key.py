#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_unlock_key
short_description: Switch autolock of a Docker Swarm, and rotate its unlock key
version_added: 0.1.0
description:
  - Switches autolock on or off, rotates the unlock key by a policy, and looks which key opens the key file of this host's
    manager, on its own disk and without its engine.
  - Without options it changes nothing, and tells the fingerprint of the current key and whether this manager has taken it
    over.
  - Every manager seals its own key file when it hears of a new key. One that is not there during a rotation, or while
    autolock is switched off, comes back locked and needs the key from before, which the swarm does not tell any more.
  - It changes one thing only. To rotate so that no key can be lost, with an escrow and a proof on every manager, use the
    role P(quorate.swarm.rotate_unlock_key#role).
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.state_directory
  - quorate.swarm.attributes
requirements:
  - PyNaCl, to try keys on the key file
attributes:
  check_mode:
    support: full
    details:
      - Every guard is passed or fails as in a real run. The fingerprint of a key that is not made yet cannot be told.
  diff_mode:
    support: none
    details:
      - The only thing that could be compared is a key.
  idempotent:
    support: partial
    details:
      - Not with O(rotate=always), which rotates each time.
options:
  autolock:
    description:
      - Whether managers seal their keys on disk and have to be unlocked after a start. By default it stays as it is.
    type: bool
  rotate:
    description:
      - V(never) leaves the key, V(always) rotates it, V(older_than) rotates it when it is O(older_than) days old.
      - It is an error when autolock is off. An engine that is asked all the same answers that all is well, and does
        nothing.
      - Autolock that is switched on in the same call comes with a new key, which is not rotated.
    type: str
    choices: [never, always, older_than]
    default: never
  older_than:
    description: Days after which a key is rotated with O(rotate=older_than).
    type: float
  created:
    description:
      - When the current key was made, such as V(2026-01-31T02:03:04Z), for O(rotate=older_than). No engine tells it; the
        escrow does. A key without it is taken for an old one.
    type: str
  current_fingerprint:
    description:
      - Fingerprint of the key that you keep. Nothing is changed when the current key is another one.
      - Needed to rotate the key, or to switch autolock off, while a manager cannot be reached.
    type: str
  known_keys:
    description:
      - Older unlock keys to try on the key file of this manager too, to see that it no longer opens with them.
    type: list
    elements: str
    default: []
  keep_key_file:
    description:
      - V(true) keeps a copy of the key file beside the state directory, sealed as it is, before anything is changed.
        M(quorate.swarm.swarm_unlock) finds a new key with the old one and this copy, should it get lost before anybody
        kept it.
      - V(false) removes the copy, when RV(key_file.proven=true).
      - By default neither is done.
    type: bool
  return_key:
    description:
      - Return the key as RV(unlock_key). The task must have C(no_log=true) then.
    type: bool
    default: false
  settle_timeout:
    description: Seconds to wait for a leader.
    type: int
    default: 30
  wait_timeout:
    description: Seconds to wait until the key file of this manager has followed. It takes less than one in a healthy swarm.
    type: int
    default: 30
notes:
  - Run it on a manager itself, because it reads the key file there.
seealso:
  - module: quorate.swarm.swarm_unlock
  - module: quorate.swarm.swarm_unlock_key_escrow
  - name: Lock your swarm to protect its encryption key
    description: What autolock is, in Docker's documentation.
    link: https://docs.docker.com/engine/swarm/swarm_manager_locking/
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: See whether this manager has taken over the current key
  quorate.swarm.swarm_unlock_key:
  register: unlock_key
  failed_when: not unlock_key.key_file.proven

- name: Switch autolock on, and keep the key
  quorate.swarm.swarm_unlock_key:
    autolock: true
    return_key: true
  register: unlock_key
  no_log: true

- name: Rotate the key every 90 days
  quorate.swarm.swarm_unlock_key:
    rotate: older_than
    older_than: 90
    created: "{{ entry.created }}"
    current_fingerprint: "{{ entry.fingerprint }}"
    return_key: true
  register: unlock_key
  no_log: true
"""

RETURN = r"""
change:
  description: What was done, or in check mode would be, V(none), V(enable), V(disable) or V(rotate).
  returned: success
  type: str
autolock:
  description: Whether autolock is on now. In check mode, as it is.
  returned: always
  type: bool
unlock_key_fingerprint:
  description: Fingerprint of the key that is current now; null when autolock is off.
  returned: always
  type: str
  sample: uk1:5feceb66ffc86f38d952786c6d696c79
previous_fingerprint:
  description: Fingerprint of the key that was current before; null when autolock was off.
  returned: always
  type: str
unlock_key:
  description:
    - The key that is current now. When autolock is off, the last one, if it was on before, else an empty text.
    - Only with O(return_key=true).
  returned: success
  type: str
key_file:
  description: What the key file of this manager says.
  returned: success
  type: dict
  contains:
    sealed:
      description: Whether it is sealed by an unlock key.
      type: bool
    kek_version:
      description: Version index at which this manager took over its key. Managers with the same number have the same key.
      type: int
    opened_by:
      description: Fingerprints of the keys that open it, of the current one and O(known_keys).
      type: list
      elements: str
    proven:
      description: It opens with the current key and with none of O(known_keys); with autolock off, it is not sealed.
      type: bool
unreachable_managers:
  description: Names of the managers that the swarm does not reach. They need the previous key when they come back.
  returned: always
  type: list
  elements: str
cluster_id:
  description: ID of the swarm.
  returned: always
  type: str
node_id:
  description: ID of this manager.
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
  description: Kind of the error, such as V(refused), V(not_a_manager), V(locked), V(quorum_lost) or V(missing_library).
  returned: failure
  type: str
error_details:
  description: Facts about the error.
  returned: failure
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils._argspec import (
    DOCKER_ARGUMENTS,
    DOCKER_REQUIRED_TOGETHER,
    STATE_DIRECTORY_ARGUMENTS,
    checked_arguments,
)
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._data_root import state_directory
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._unlock import parse_unlock_keys
from ansible_collections.quorate.swarm.plugins.module_utils._unlock_key import UnlockKey, UnlockKeyOptions

ARGUMENTS: dict[str, t.Any] = {
    "autolock": {"type": "bool"},
    "rotate": {"type": "str", "choices": ["never", "always", "older_than"], "default": "never"},
    "older_than": {"type": "float"},
    "created": {"type": "str"},
    "current_fingerprint": {"type": "str"},
    "known_keys": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "keep_key_file": {"type": "bool", "no_log": False},
    "return_key": {"type": "bool", "default": False, "no_log": False},
    "settle_timeout": {"type": "int", "default": 30},
    "wait_timeout": {"type": "int", "default": 30},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**DOCKER_ARGUMENTS, **STATE_DIRECTORY_ARGUMENTS, **ARGUMENTS},
        required_together=DOCKER_REQUIRED_TOGETHER,
        required_if=[("rotate", "older_than", ["older_than"])],
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    if params["return_key"] and not module.no_log:
        module.fail_json(msg="return_key returns the unlock key: set no_log to true for this task")
    unlock_key = UnlockKey(
        engine=Engine.from_params(params),
        state_directory=lambda root_dir: state_directory(params, root_dir, Daemon(module.run_command).arguments),
        options=UnlockKeyOptions(**{name: params[name] for name in UnlockKeyOptions.__dataclass_fields__}),
        hide=module.no_log_values.add,
    )
    try:
        plan = unlock_key.plan(parse_unlock_keys(params["known_keys"]))
        result, key = unlock_key.run(plan, check=module.check_mode)
    except SwarmError as error:
        fail(module, error, steps=unlock_key.steps.taken, **unlock_key.known)
    if params["return_key"]:
        module.no_log_values.discard(key)
        result["unlock_key"] = key
    module.exit_json(**result)


if __name__ == "__main__":
    main()
