#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_restic_fetch
short_description: Fetch an archive of Docker Swarm state from a restic repository
version_added: 0.1.0
description:
  - Lists the archives that M(quorate.swarm.swarm_restic_archive) stored, and writes one of them to this host.
extends_documentation_fragment:
  - quorate.swarm.restic
  - quorate.swarm.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  archive:
    description:
      - File name of the archive. By default the newest one.
    type: str
  cluster_id:
    description: Cluster ID of the swarm, where the repository has archives of several.
    type: str
    default: ""
  dest:
    description:
      - Directory on this host to which the archive is written, with mode V(0600). It has to be there.
      - Without it, the archives are only listed.
    type: path
seealso:
  - module: quorate.swarm.swarm_restic_archive
  - module: quorate.swarm.swarm_backup_info
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Fetch the newest archive
  quorate.swarm.swarm_restic_fetch:
    repository_file: /etc/quorate/repository
    password_file: /etc/quorate/password
    dest: /root/restore
  register: fetched

- name: Prove that the swarm comes back from it
  quorate.swarm.swarm_backup_info:
    archive: "{{ fetched.path }}"
    level: boot
"""

RETURN = r"""
archives:
  description: The archives in the repository, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: File name of the archive.
      type: str
    created:
      description: When it was made, by its name.
      type: str
    snapshot:
      description: ID of its snapshot.
      type: str
path:
  description: The archive on this host, or null when none was asked for.
  returned: success
  type: str
checksum:
  description: SHA-256 of the archive.
  returned: success, when it was read
  type: str
error:
  description: Kind of the error, such as V(copy_failed).
  returned: failure
  type: str
error_details:
  description: Facts about the error.
  returned: failure
  type: dict
"""

import os
import tempfile
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils._argspec import RESTIC_ARGUMENTS, checked_arguments
from ansible_collections.quorate.swarm.plugins.module_utils._errors import CopyFailed, SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._restic import (
    Restic,
    Snapshot,
    environment_of,
)


def chosen(snapshots: t.Sequence[Snapshot], name: str | None) -> Snapshot:
    """The archive of that name, by default the newest one. Raises CopyFailed when it is not there."""
    for snapshot in snapshots:
        if name in (None, "", snapshot.name):
            return snapshot
    raise CopyFailed(
        f"fetch {name or 'the newest archive'} from the restic repository",
        f"it has {', '.join(snapshot.name for snapshot in snapshots[:5]) or 'no archive of a swarm'}",
        "Give the name of one that is there",
    )


def write(restic: Restic, snapshot: Snapshot, target: Path) -> str:
    """Write an archive to a file that only its owner can read, and give it its name at the end. Returns its SHA-256."""
    try:
        descriptor, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
        try:
            with os.fdopen(descriptor, "wb") as file:
                dummy, checksum = restic.read(snapshot, file)
            os.replace(partial, target)
        except BaseException:
            os.unlink(partial)
            raise
    except OSError as error:
        raise CopyFailed(f"write {target}", str(error), "Make room or correct the path, and run again") from error
    return checksum


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **RESTIC_ARGUMENTS,
            "archive": {"type": "str"},
            "cluster_id": {"type": "str", "default": ""},
            "dest": {"type": "path"},
        },
        mutually_exclusive=[["repository", "repository_file"], ["password", "password_file"]],
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    changed, before, after = False, "", ""
    answer: dict[str, t.Any] = {"path": None}
    try:
        restic = Restic(environment_of(params, os.environ), timeout=params["timeout"])
        snapshots = restic.snapshots(params["cluster_id"])
        answer["archives"] = [snapshot.as_dict() for snapshot in snapshots]
        if params["dest"]:
            snapshot = chosen(snapshots, params["archive"])
            target = Path(params["dest"], snapshot.name)
            answer["path"] = str(target)
            before = module.sha256(str(target)) or ""
            checksum = restic.read(snapshot)[1] if before else ""
            changed = not before or before != checksum
            if changed and not module.check_mode:
                checksum = write(restic, snapshot, target)
            after = checksum or "present"
            if checksum:
                answer["checksum"] = checksum
    except SwarmError as error:
        fail(module, error)
    diff = {"diff": {"before": before, "after": after}} if module._diff else {}
    module.exit_json(changed=changed, **answer, **diff)


if __name__ == "__main__":
    main()
