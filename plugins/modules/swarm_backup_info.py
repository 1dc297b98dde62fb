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
  - Lists the archives in a directory, newest first, with what their manifests say, and verifies the files in them.
  - It needs neither a running swarm nor a Docker Engine, and never opens a sealed key.
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
    type: path
  level:
    description:
      - How much to verify.
      - V(manifest) reads the manifest, which is the first member, and nothing else.
      - V(files) reads everything, and compares every file with the manifest.
    type: str
    choices: [manifest, files]
    default: files
seealso:
  - module: quorate.swarm.swarm_backup
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Look at the archives of this host
  quorate.swarm.swarm_backup_info:
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
      description: Its manifest, or null when it cannot be read. The list of files is left out.
      type: dict
directory:
  description: The directory that was looked at, or null when O(archive) was given.
  returned: success
  type: str
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _archive
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, fail


def entry_of(listed: _archive.Listed, *, verify: bool) -> dict[str, t.Any]:
    """Describe one archive, after reading all of it when asked to."""
    problem = listed.problem
    if verify and problem is None:
        try:
            _archive.verify(listed.path)
        except SwarmError as error:
            problem = error
    manifest = {name: value for name, value in (listed.manifest or {}).items() if name != "files"}
    return {
        "path": str(listed.path),
        "size": listed.size,
        "good": problem is None,
        "problem": str(problem) if problem else None,
        "manifest": manifest or None,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "default": "/var/backups/quorate-swarm"},
            "archive": {"type": "path"},
            "level": {"type": "str", "choices": ["manifest", "files"], "default": "files"},
        },
        supports_check_mode=True,
    )
    archive, directory = module.params["archive"], module.params["directory"]
    try:
        if archive:
            listed = [_archive.describe(Path(archive))]
        else:
            listed = _archive.list_archives(Path(directory))
    except SwarmError as error:
        fail(module, error)
    verify = module.params["level"] == "files"
    module.exit_json(
        changed=False,
        archives=[entry_of(entry, verify=verify) for entry in listed],
        directory=None if archive else directory,
    )


if __name__ == "__main__":
    main()
