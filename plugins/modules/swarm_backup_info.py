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
  - It needs no running swarm, and a Docker Engine only for O(level=boot). It changes nothing. No value of a secret or
    config is read.
extends_documentation_fragment:
  - quorate.swarm.state_directory
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
      - V(boot) does that too, and then starts an engine of its own from the copy, forces a new cluster as a restore does,
        compares the swarm that comes back, and if it is autolocked, restarts it, and sees another unlock key rejected and
        the archive's accepted. It takes half a minute for each archive, root, and the programs of a Docker Engine on this
        host, whose own engine, if it runs, is not touched.
      - That private engine has no network but a loopback device, sees the files of this host read-only, has neither
        images nor a runtime, so that no task of the swarm runs, and has the lowest priority. Nothing of it is left, also
        when this module is killed. Its folder is beside the state directory of this host (O(state_directory)).
    type: str
    choices: [manifest, files, raft, boot]
    default: files
  unlock_keys:
    description:
      - Unlock keys, for the levels V(raft) and V(boot) on archives of autolocked swarms. For each archive, the one that
        opens it is used.
    type: list
    elements: str
  wait_timeout:
    description:
      - Seconds to wait at the level V(boot) until the private engine has loaded the state, and again until it leads.
    type: int
    default: 120
requirements:
  - cryptography and PyNaCl, for the levels V(raft) and V(boot)
  - the Docker SDK for Python, and the programs C(dockerd), C(containerd), C(ip) and C(unshare), for the level V(boot)
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

- name: Prove that the swarm comes back from an archive
  quorate.swarm.swarm_backup_info:
    archive: /srv/swarm-backups/swarm_2jt0p6gmnx0cgpq3gm1vl9vvt_x1n8lbvdvhs6zbzmrs7sbk1gh_20260131T020304Z.tar.gz
    level: boot
    unlock_keys: "{{ vault_swarm_unlock_keys }}"
  register: drill
  failed_when: not drill.archives[0].good

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
    error:
      description: Kind of the problem, such as V(bad_archive) or V(wrong_key), or null.
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
    boot:
      description: What came back. Only at the level V(boot), of a good archive.
      type: dict
      contains:
        engine_version:
          description: Version of the engine that started from the archive.
          type: str
        cluster_id:
          description: Cluster ID of the swarm.
          type: str
        node_id:
          description: Node ID of its manager.
          type: str
        address:
          description: Address by which the swarm knows that manager.
          type: str
        autolock:
          description: Whether the swarm is autolocked.
          type: bool
        key:
          description:
            - V(proven) when the restarted engine rejected another unlock key and accepted this one, V(not_needed) without
              autolock.
          type: str
        inventory:
          description: What came back, by kind (nodes, services, networks, secrets, configs).
          type: dict
        difference:
          description: What came back beyond the archived inventory, by kind.
          type: dict
        containers:
          description: How many containers the private engine had. Always 0; else the archive would not be good.
          type: int
        certificate_reissued:
          description: C(expired) and C(expires) of a node certificate that was issued again, or null.
          type: dict
        steps:
          description: The steps that were taken, as C(step) and C(seconds).
          type: list
          elements: dict
directory:
  description: The directory that was looked at, or null when O(archive) was given.
  returned: success
  type: str
"""

import functools
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _archive, _archive_check
from ansible_collections.quorate.swarm.plugins.module_utils._argspec import (
    STATE_DIRECTORY_ARGUMENTS,
    checked_arguments,
)
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._data_root import state_directory
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._node_key import parse_unlock_key
from ansible_collections.quorate.swarm.plugins.module_utils._private_engine import require_programs
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir


def entry_of(
    listed: _archive.Listed, verify: t.Callable[[Path], dict[str, t.Any]] | None, *, allow_foreign: bool
) -> dict[str, t.Any]:
    """Describe one archive, with what its verification tells, where there is one."""
    problem = listed.problem
    found: dict[str, t.Any] = {"manifest": listed.manifest}
    if verify is not None and (problem is None or (listed.is_foreign and allow_foreign)):
        try:
            found.update(verify(listed.path))
            problem = None
        except SwarmError as error:
            problem = error
    found["manifest"] = {name: value for name, value in (found["manifest"] or {}).items() if name != "files"} or None
    return {
        "path": str(listed.path),
        "size": listed.size,
        "good": problem is None,
        "problem": str(problem) if problem else None,
        "error": problem.kind if problem else None,
        **found,
    }


def verification(module: AnsibleModule) -> t.Callable[[Path], dict[str, t.Any]] | None:
    """What verifies an archive at the level that was asked for; nothing at the level C(manifest).

    Raises:
        SwarmError: It cannot be done with these options, or on this host.
    """
    level = module.params["level"]
    unlock_keys = [parse_unlock_key(key) for key in module.params["unlock_keys"] or ()]
    if level == "manifest":
        return None
    if level == "boot":
        require_programs()
        place = StateDir(state_directory(module.params, None, Daemon(module.run_command).arguments))
        how = {"unlock_keys": unlock_keys, "place": place, "wait_timeout": module.params["wait_timeout"]}
        return functools.partial(_archive_check.boot, **how)
    how = {"level": level, "unlock_keys": unlock_keys, "folder": Path(module.tmpdir)}
    return functools.partial(_archive_check.contents_of, **how)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **STATE_DIRECTORY_ARGUMENTS,
            "directory": {"type": "path", "default": "/var/backups/quorate-swarm"},
            "archive": {"type": "path"},
            "level": {"type": "str", "choices": list(_archive_check.LEVELS), "default": "files"},
            "unlock_keys": {"type": "list", "elements": "str", "no_log": True},
            "wait_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    archive, directory = params["archive"], params["directory"]
    try:
        verify = verification(module)
        if archive:
            listed = [_archive.describe(Path(archive))]
        else:
            listed = _archive.list_archives(Path(directory))
    except SwarmError as error:
        fail(module, error)
    entries = [entry_of(entry, verify, allow_foreign=bool(archive)) for entry in listed]
    module.exit_json(changed=False, archives=entries, directory=None if archive else directory)


if __name__ == "__main__":
    main()
