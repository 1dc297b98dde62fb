#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_backup_info
short_description: List and verify archives of Docker Swarm state
version_added: 0.1.0
description:
  - Lists the archives in a directory, newest first, with what their manifests say, and verifies them as far as O(level)
    says.
  - It needs neither a running swarm nor a Docker Engine, and changes nothing. No value of a secret or config is read.
extends_documentation_fragment:
  - quorate.swarm.attributes
  - quorate.swarm.attributes.info_module
options:
  directory:
    description:
      - Directory with the archives.
    type: path
    default: /var/backups/quorate-swarm
  archive:
    description:
      - One archive to look at, instead of all in O(directory).
      - It may be a tar file of a state directory that somebody else made, without a manifest. From the level V(files) on
        it is accepted. At the level V(raft), what the state directory says takes the place of the manifest.
    type: path
  level:
    description:
      - How much to verify.
      - V(manifest) reads the manifest, which is the first member, and nothing else.
      - V(files) reads everything, and compares every file with the manifest.
      - V(raft) extracts the archive into a private temporary folder, checks the certificates and keys, proves the
        checksums of the raft store, opens every record of it, and compares what is in it with the manifest. The folder
        is in C(remote_tmp), which needs room for the state directory.
    type: str
    choices: [manifest, files, raft]
    default: files
  unlock_keys:
    description:
      - Unlock keys, for the level V(raft) on archives of autolocked swarms. For each archive, the one that opens it is
        used.
    type: list
    elements: str
requirements:
  - cryptography and PyNaCl, for the level V(raft)
seealso:
  - module: quorate.swarm.swarm_backup
  - module: quorate.swarm.swarm_restore
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Look at the archives of this host
  quorate.swarm.swarm_backup_info:
  register: backups

- name: Prove that the archives hold swarms that can be restored
  quorate.swarm.swarm_backup_info:
    level: raft
    unlock_keys: "{{ vault_swarm_unlock_keys }}"
  register: backups

- name: Fail when the newest archive is not good
  ansible.builtin.assert:
    that: backups.archives[0].good
    fail_msg: "{{ backups.archives[0].path }}: {{ backups.archives[0].problem }}"
"""

RETURN = r"""
archives:
  description: The archives, newest first. One that cannot be read is listed with its problem.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path of the archive.
      type: str
    size:
      description: Size in bytes.
      type: int
    good:
      description: Whether it passed O(level).
      type: bool
    problem:
      description: What is wrong with it, or null.
      type: str
    manifest:
      description:
        - Its manifest, or null when it cannot be read. The list of files is left out.
        - At the level V(raft), for an archive without one, what its state directory says instead, without C(schema).
      type: dict
    unknown:
      description: What cannot be known of an archive without a manifest. Not at the level V(manifest).
      type: list
      elements: str
    inventory:
      description:
        - What the swarm in it consists of, by kind (nodes, services, networks, secrets, configs), as names, IDs and
          versions, and the size of each secret and config in bytes. Only at the level V(raft), of a good archive.
      type: dict
    managers:
      description: The members of its raft group, as C(id) and C(address). Only at the level V(raft), of a good archive.
      type: list
      elements: dict
    uncommitted:
      description:
        - The changes that a restore loses, because the raft store does not say that they were committed, as C(action),
          C(kind), C(id), C(name) and C(version). Only at the level V(raft), of a good archive.
      type: list
      elements: dict
    unlock_key_is_current:
      description:
        - Whether the unlock key that opens it is the one that the swarm in it names; null without autolock. It is not
          when the key had been rotated, and that had not arrived at this manager. Only at the level V(raft).
      type: bool
    restorable_until:
      description:
        - When the certificate of the root CA in it ends or, where an external CA signs, that of the node. A node
          certificate that has expired is issued again by M(quorate.swarm.swarm_restore). Only at the level V(raft), of a
          good archive.
      type: str
    warnings:
      description: Signs of earlier damage, and that the node certificate has expired. Only at the level V(raft), of a good archive.
      type: list
      elements: str
directory:
  description: The directory that was looked at, or null when O(archive) was given.
  returned: success
  type: str
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _archive, _archive_check
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._node_key import parse_unlock_key


def entry_of(
    listed: _archive.Listed, *, level: str, unlock_keys: t.Sequence[bytes], folder: Path, allow_foreign: bool
) -> dict[str, t.Any]:
    """Describe one archive, after verifying it as far as the level says."""
    problem = listed.problem
    found: dict[str, t.Any] = {"manifest": listed.manifest}
    if level != "manifest" and (problem is None or (listed.is_foreign and allow_foreign)):
        try:
            found.update(_archive_check.contents_of(listed.path, level=level, unlock_keys=unlock_keys, folder=folder))
            problem = None
        except SwarmError as error:
            problem = error
    found["manifest"] = {name: value for name, value in (found["manifest"] or {}).items() if name != "files"} or None
    return {
        "path": str(listed.path),
        "size": listed.size,
        "good": problem is None,
        "problem": str(problem) if problem else None,
        **found,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "default": "/var/backups/quorate-swarm"},
            "archive": {"type": "path"},
            "level": {"type": "str", "choices": list(_archive_check.LEVELS), "default": "files"},
            "unlock_keys": {"type": "list", "elements": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    archive, directory = module.params["archive"], module.params["directory"]
    try:
        unlock_keys = [parse_unlock_key(key) for key in module.params["unlock_keys"] or ()]
        if archive:
            listed = [_archive.describe(Path(archive))]
        else:
            listed = _archive.list_archives(Path(directory))
    except SwarmError as error:
        fail(module, error)
    entries = [
        entry_of(
            entry,
            level=module.params["level"],
            unlock_keys=unlock_keys,
            folder=Path(module.tmpdir),
            allow_foreign=bool(archive),
        )
        for entry in listed
    ]
    module.exit_json(changed=False, archives=entries, directory=None if archive else directory)


if __name__ == "__main__":
    main()
