#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_restic_archive
short_description: Keep an archive of Docker Swarm state in a restic repository
version_added: 0.1.0
description:
  - Stores an archive in a restic repository, reads all of it back and compares the checksums, and then forgets older
    archives of the same swarm.
  - An archive that is there already is read back and not stored again.
extends_documentation_fragment:
  - quorate.swarm.restic
  - quorate.swarm.attributes
attributes:
  check_mode:
    support: full
    details:
      - The repository is opened. The archive need not exist yet. What would be forgotten is not predicted.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  archive:
    description:
      - The archive, on this host, under the name that M(quorate.swarm.swarm_backup) gave it.
    type: path
    required: true
  checksum:
    description: The SHA-256 that the archive has to have, in hexadecimal digits.
    type: str
  initialize:
    description:
      - Make the repository when it is not there. By default that is an error, because it may be that a disk is not mounted.
    type: bool
    default: false
  keep_last:
    description: Keep the newest archives of this swarm, so many of them. Without any O(keep_last) and so on, all are kept.
    type: int
  keep_hourly:
    description: Keep the newest archive of each of the last hours that have any, so many of them.
    type: int
  keep_daily:
    description: Keep the newest archive of each of the last days that have any, so many of them.
    type: int
  keep_weekly:
    description: Keep the newest archive of each of the last weeks that have any, so many of them.
    type: int
  keep_monthly:
    description: Keep the newest archive of each of the last months that have any, so many of them.
    type: int
  prune:
    description: Free the room of what was forgotten. Without it, run C(restic prune) at times.
    type: bool
    default: true
seealso:
  - module: quorate.swarm.swarm_restic_fetch
  - module: quorate.swarm.swarm_backup
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Keep the archive on a REST server
  quorate.swarm.swarm_restic_archive:
    archive: "{{ backup.archive }}"
    checksum: "{{ backup.checksum }}"
    repository_file: /etc/quorate/repository
    password_file: /etc/quorate/password
    keep_daily: 7
    keep_monthly: 12

- name: Keep it in a bucket
  quorate.swarm.swarm_restic_archive:
    archive: "{{ backup.archive }}"
    repository: s3:https://s3.example.org/swarm-backups
    password: "{{ vault_restic_password }}"
    environment:
      AWS_ACCESS_KEY_ID: "{{ vault_access_key_id }}"
      AWS_SECRET_ACCESS_KEY: "{{ vault_secret_access_key }}"
"""

RETURN = r"""
snapshot:
  description: ID of the snapshot with the archive. Empty in check mode, when it is not stored yet.
  returned: success
  type: str
checksum:
  description: SHA-256 of what was read back out of the repository.
  returned: success, but not in check mode
  type: str
size:
  description: Bytes that were read back.
  returned: success, but not in check mode
  type: int
forgotten:
  description: IDs of the snapshots that were forgotten.
  returned: success
  type: list
  elements: str
error:
  description: Kind of the error, such as V(copy_failed) or V(refused).
  returned: failure
  type: str
error_details:
  description: Facts about the error.
  returned: failure
  type: dict
"""

import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils._argspec import RESTIC_ARGUMENTS, checked_arguments
from ansible_collections.quorate.swarm.plugins.module_utils._copies import KEEP, keep_rules
from ansible_collections.quorate.swarm.plugins.module_utils._errors import CopyFailed, Refused, SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._manifest import cluster_of_name
from ansible_collections.quorate.swarm.plugins.module_utils._restic import (
    Restic,
    Snapshot,
    environment_of,
)


def checksum_of(module: AnsibleModule, archive: Path) -> str:
    """SHA-256 of the archive on this host.

    Raises:
        Refused: It has not the name of an archive, by which its swarm is known.
        CopyFailed: It is not there, or is not the one that was meant.
    """
    attempted = f"store {archive}"
    if not cluster_of_name(archive.name):
        raise Refused(
            attempted,
            "its name is not that of an archive, which says of which swarm it is",
            "Give it the name again that swarm_backup gave it",
        )
    found: str | None = module.sha256(str(archive))
    if found is None and not module.check_mode:
        raise CopyFailed(attempted, "there is no such file on this host", "Give the path of an archive")
    if found and module.params["checksum"] and found != module.params["checksum"].lower():
        raise CopyFailed(attempted, f"its SHA-256 is {found}, not {module.params['checksum']}", "Make a new backup")
    return found or ""


def stored(restic: Restic, archive: Path) -> Snapshot | None:
    """The archive in the repository; None when it is not there."""
    cluster = cluster_of_name(archive.name) or ""
    return next((snapshot for snapshot in restic.snapshots(cluster) if snapshot.name == archive.name), None)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **RESTIC_ARGUMENTS,
            "archive": {"type": "path", "required": True},
            "checksum": {"type": "str"},
            "initialize": {"type": "bool", "default": False},
            **{name: {"type": "int"} for name in KEEP},
            "prune": {"type": "bool", "default": True},
        },
        mutually_exclusive=[["repository", "repository_file"], ["password", "password_file"]],
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    archive = Path(params["archive"])
    answer: dict[str, t.Any] = {"snapshot": "", "forgotten": []}
    try:
        keep = keep_rules(params)
        restic = Restic(environment_of(params, os.environ), timeout=params["timeout"])
        checksum = checksum_of(module, archive)
        made = restic.require_repository(initialize=params["initialize"], check_mode=module.check_mode)
        snapshot = None if made and module.check_mode else stored(restic, archive)
        changed = snapshot is None
        before = snapshot.name if snapshot else ""
        if not module.check_mode:
            snapshot = snapshot or restic.store(archive)
            answer["size"], answer["checksum"] = restic.read(snapshot)
            if answer["checksum"] != checksum:
                raise CopyFailed(
                    f"prove {archive.name} in the restic repository",
                    f"what was read back has SHA-256 {answer['checksum']}, and the archive has {checksum}",
                    "Run restic check --read-data, and look at the storage of the repository",
                    snapshot=snapshot.id,
                )
            if keep:
                answer["forgotten"] = restic.forget(archive.name, keep, prune=params["prune"])
        if snapshot:
            answer["snapshot"] = snapshot.id
    except SwarmError as error:
        fail(module, error)
    diff = {"diff": {"before": before, "after": archive.name}} if module._diff else {}
    module.exit_json(changed=changed or bool(answer["forgotten"]), **answer, **diff)


if __name__ == "__main__":
    main()
