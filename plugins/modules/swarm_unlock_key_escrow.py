#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the action plugin of the same name does the work, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_unlock_key_escrow
short_description: Keep the unlock keys of swarms, with their history, in an encrypted file on the controller
version_added: 0.1.0
description:
  - Reads and writes a file on the controller that is encrypted with Ansible Vault, by a vault secret of the run. It holds
    one entry for each unlock key of each swarm.
  - An entry is never removed, because old keys open old archives and managers that were down during a rotation.
  - A changed file is encrypted in memory, written beside the old one with mode V(0600), read back and decrypted, and only
    then put in its place. Two runs that change it wait for each other.
  - The role P(quorate.swarm.unlock_key_escrow#role) uses it, and can use another store in its place.
extends_documentation_fragment:
  - quorate.swarm.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - A difference would show keys.
  idempotent:
    support: full
  platform:
    details:
      - It runs on the controller, whatever the host of the task is. That need not even be reachable.
  action_group:
    support: none
    details:
      - It has none of the options of the group.
    membership: []
options:
  path:
    description:
      - The encrypted file on the controller. It is made when the first key is put into it; its directory has to be there.
      - Exactly one of O(path) and O(held) is needed.
    type: path
  vault_id:
    description:
      - ID of the vault secret that encrypts the file. By default the one that encrypted it before, else the one that
        C(ansible-vault) takes.
    type: str
    default: ""
  held:
    description:
      - Entries that another store holds. O(entries) are merged into them, and nothing is written.
    type: list
    elements: dict
  entries:
    description:
      - Keys to put into the escrow. Without them, it is only read.
      - A key that is there keeps its time of creation.
    type: list
    elements: dict
    default: []
    suboptions:
      cluster_id:
        description: ID of the swarm.
        type: str
        required: true
      key:
        description: The unlock key, as C(docker swarm unlock-key) prints it.
        type: str
        required: true
      fingerprint:
        description: Its fingerprint. It is computed, and has to be the same when it is given.
        type: str
      created:
        description: When it was made, as V(2026-01-31T02:03:04Z). By default now.
        type: str
      retired:
        description:
          - Since when no manager needs it. Empty when it is needed again, as after the restore of an old archive.
          - When it is not given, it stays what it is.
        type: str
  cluster_id:
    description: Return the entries of this swarm only.
    type: str
    default: ""
  fingerprint:
    description: Return the entries of the key with this fingerprint only.
    type: str
    default: ""
  return_keys:
    description:
      - Return the keys too. The task must have C(no_log=true) then.
    type: bool
    default: false
  lock_timeout:
    description: Seconds to wait for another run that changes the file.
    type: int
    default: 30
seealso:
  - module: quorate.swarm.swarm_unlock_key
  - module: quorate.swarm.swarm_unlock
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Put a key into the escrow
  quorate.swarm.swarm_unlock_key_escrow:
    path: /srv/escrow/unlock_keys.json
    entries:
      - cluster_id: "{{ info.cluster.id }}"
        key: "{{ key_from_the_wiki }}"
  no_log: true

- name: See which keys of a swarm there are
  quorate.swarm.swarm_unlock_key_escrow:
    path: /srv/escrow/unlock_keys.json
    cluster_id: "{{ info.cluster.id }}"
  register: escrow

- name: Find the key of an archive
  quorate.swarm.swarm_unlock_key_escrow:
    path: /srv/escrow/unlock_keys.json
    fingerprint: "{{ archives.archives[0].manifest.unlock_key_fingerprint }}"
    return_keys: true
  register: escrow
  no_log: true
"""

RETURN = r"""
entries:
  description: The entries that were asked for, newest first, those that are not retired before the others.
  returned: success
  type: list
  elements: dict
  contains:
    cluster_id:
      description: ID of the swarm.
      type: str
    fingerprint:
      description: Fingerprint of the key, as in manifests and reports.
      type: str
      sample: uk1:5feceb66ffc86f38d952786c6d696c79
    created:
      description: When the key was made, or when the escrow heard of it first.
      type: str
      sample: "2026-01-31T02:03:04Z"
    retired:
      description: Since when no manager needs it; null while one may.
      type: str
    key:
      description: The key. Only with O(return_keys=true).
      type: str
written:
  description: Those of O(entries) that the escrow did not hold before, or not so, as it holds them now.
  returned: success
  type: list
  elements: dict
error:
  description: Kind of the error, V(bad_escrow).
  returned: failure
  type: str
error_details:
  description: Facts about the error.
  returned: failure
  type: dict
"""
