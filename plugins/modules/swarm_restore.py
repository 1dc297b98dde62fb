#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_restore
short_description: Restore a Docker Swarm from an archive on this host
version_added: 0.1.0
description:
  - Makes this host the only manager of the archived swarm, with its services, networks, secrets and configs, its cluster
    ID, certificate authority, join tokens and unlock key. Other managers and the workers join it, or come back to it.
  - Verifies the archive completely, checks this host, and asks the other archived managers whether they live, before
    anything is touched.
  - Autolocked swarms are restored as well, which Docker's own procedure cannot do. The sealed key is opened on this host
    with the unlock key while the engine is stopped, and the engine seals it again under the same unlock key.
  - While the engine starts, an empty file system in memory lies over the state directory, so that it does not wait 21 seconds
    for managers that are gone. Where nothing can be mounted, it waits.
  - Gives the workers three minutes to find this manager, where Docker gives them half a minute before it starts their tasks
    anew. For that it leads twice; the engine is started once more, with a longer heartbeat period of the swarm, which is put
    back at once.
  - An engine before 23.0 sends a manager that joins 64 KB of its raft log a second, and a swarm whose second manager is joining
    has no quorum until that one has all of it. There the engine is made to write a snapshot, which it sends at once; for
    that the raft options of the swarm are changed and put back.
  - If anything fails, the old state is put back and the engine started. If this module, the connection or the controller
    dies, the host does the same by itself (see O(dead_man_timeout)).
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.state_directory
  - quorate.swarm.daemon
  - quorate.swarm.attributes
requirements:
  - cryptography
  - PyNaCl, to open the raft store of the archive
attributes:
  check_mode:
    support: full
    details:
      - The archive, the key, this host and the other managers are checked as in a real run, for which the archive is
        extracted beside the state directory and removed again.
  diff_mode:
    support: none
    details:
      - The result tells what came back and what is different.
  idempotent:
    support: none
    details:
      - A host that is in a swarm is refused without O(replace_state), and with it every run restores the archive again.
options:
  archive:
    description:
      - The archive, on this host.
    type: path
    required: true
  unlock_key:
    description:
      - The unlock key that was current when the archive was made. Needed when the archive is autolocked.
      - The manifest says its fingerprint.
    type: str
  replace_state:
    description:
      - Allow to put the swarm state of this host aside, and so take this host out of the swarm that it is in.
      - The old state is kept in RV(quarantine).
      - State that is just what the archive holds, as a restore leaves it whose host lost its power, is replaced without it.
    type: bool
    default: false
  allow_other_cluster:
    description:
      - Allow O(replace_state) on a host whose state is that of another swarm than the archive's.
    type: bool
    default: false
  allow_missing_manifest:
    description:
      - Allow an archive without manifest, such as one made with C(tar) by hand. What a manifest would say is read from
        its raft store then, and the restored swarm is compared with that. But whether its files are those that were
        copied, and whether the end of the raft log was lost, cannot be known.
    type: bool
    default: false
  allow_engine_downgrade:
    description:
      - Allow an engine that is older than the one that made the archive.
    type: bool
    default: false
  reissue_certificate:
    description:
      - What to do when the node certificate in the archive has expired, so that no engine would start from it.
      - V(auto) issues it again, with the key of the swarm's certificate authority, which is in the archive. The node keeps
        its ID, its key and its role. RV(certificate_reissued) says that it was done.
      - V(never) refuses such an archive. One of a swarm with an external certificate authority is always refused.
    type: str
    choices: [auto, never]
    default: auto
  lend_address:
    description:
      - Allow a host without the archived address. It is lent the address as M(quorate.swarm.swarm_address) does, unless
        another host answers at it.
      - The restored manager needs it until it has left and joined again, for which another manager has to be there. The
        role P(quorate.swarm.restore#role) does that.
    type: bool
    default: false
  interface:
    description:
      - With O(lend_address), the interface. By default the one in whose subnet the address lies.
    type: str
  prefix:
    description:
      - With O(lend_address), length of the prefix, by default that of the subnet.
    type: int
  wait_timeout:
    description:
      - Seconds to wait until the engine has loaded the state, and again until it leads the swarm.
    type: int
    default: 120
  dead_man_timeout:
    description:
      - Seconds after which the host puts the old state back and starts the engine by itself, if this module died before
        the restored swarm was proven.
      - A transient systemd timer does it, so it needs neither the module nor the connection nor the controller.
      - Set it to V(0) on a host without systemd, to go without. With systemd, the switch of another operation on this host
        is respected all the same.
    type: int
    default: 600
notes:
  - Only the managers whose addresses are in the archive are asked whether they live, and a host that does not answer at
    all is not proven dead. The role P(quorate.swarm.restore#role) also proves on the hosts themselves that their engines
    are stopped, and demands the name of every one that cannot be reached.
seealso:
  - module: quorate.swarm.swarm_backup
  - name: Restore from a backup
    description: The procedure in Docker's documentation.
    link: https://docs.docker.com/engine/swarm/admin_guide/#restore-from-a-backup
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: See whether the archive could be restored here
  quorate.swarm.swarm_restore:
    archive: /root/swarm_2jt0p6gmnx0cgpq3gm1vl9vvt_x1n8lbvdvhs6zbzmrs7sbk1gh_20260131T020304Z.tar.gz
    unlock_key: "{{ vault_swarm_unlock_key }}"
  check_mode: true

- name: Restore an autolocked swarm on a fresh host with the address of the archived manager
  quorate.swarm.swarm_restore:
    archive: /root/swarm_2jt0p6gmnx0cgpq3gm1vl9vvt_x1n8lbvdvhs6zbzmrs7sbk1gh_20260131T020304Z.tar.gz
    unlock_key: "{{ vault_swarm_unlock_key }}"
  register: restored

- name: Restore a tar file of /var/lib/docker/swarm that somebody made by hand, over the state that is there
  quorate.swarm.swarm_restore:
    archive: /root/swarm-backup.tar.gz
    allow_missing_manifest: true
    replace_state: true
"""

RETURN = r"""
cluster_id:
  description: Cluster ID of the restored swarm.
  returned: success
  type: str
node_id:
  description: Node ID of the restored manager.
  returned: success
  type: str
address:
  description: Address by which the swarm knows the restored manager.
  returned: success
  type: str
lent:
  description: Whether the host does not have that address of its own, and is lent it for a while, or would be.
  returned: success
  type: bool
autolock:
  description: Whether the swarm is autolocked, as it was when the archive was made.
  returned: success
  type: bool
certificate_reissued:
  description: What became of a node certificate that had expired, or null when it had not.
  returned: success
  type: dict
  contains:
    expired:
      description: When the archived certificate ended.
      type: str
    expires:
      description: When the new one ends.
      type: str
inventory:
  description: What came back, by kind (nodes, services, networks, secrets, configs), as names and IDs.
  returned: success, outside check mode
  type: dict
difference:
  description:
    - Where the inventory differs from that of the archive, by kind, as lists C(missing), C(added) and C(older). Empty when
      it does not.
    - What is missing, or there in an older version, makes the restore fail.
  returned: success, outside check mode
  type: dict
quarantine:
  description: Where the old state directory is kept, or null when there was no state.
  returned: success, outside check mode
  type: str
peers:
  description: What answered at the addresses of the other archived managers.
  returned: success
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
managers:
  description: The managers that the archive knows, this one included.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Node ID.
      type: str
    hostname:
      description: Host name, or an empty text when the archive has no manifest.
      type: str
    address:
      description: IP address in the raft store.
      type: str
manifest:
  description: The manifest of the archive without its list of files; empty when it has none.
  returned: success
  type: dict
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
  description: Kind of the error, such as V(bad_archive), V(wrong_key), V(refused), V(engine_error) or V(daemon_failed).
  returned: failure
  type: str
error_details:
  description: Facts about the error. C(rolled_back) is V(true) when the old state was put back.
  returned: failure
  type: dict
"""

import dataclasses
import typing as t
from pathlib import Path

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
from ansible_collections.quorate.swarm.plugins.module_utils._host import host_addresses
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of
from ansible_collections.quorate.swarm.plugins.module_utils._restore import Restore, RestoreOptions
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._temporary_address import HOLD, Loan, TemporaryAddress

ARGUMENTS: dict[str, t.Any] = {
    "archive": {"type": "path", "required": True},
    "unlock_key": {"type": "str", "no_log": True},
    "replace_state": {"type": "bool", "default": False},
    "allow_other_cluster": {"type": "bool", "default": False},
    "allow_missing_manifest": {"type": "bool", "default": False},
    "allow_engine_downgrade": {"type": "bool", "default": False},
    "reissue_certificate": {"type": "str", "choices": ["auto", "never"], "default": "auto"},
    "lend_address": {"type": "bool", "default": False},
    "interface": {"type": "str"},
    "prefix": {"type": "int"},
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
    restore: Restore | None = None
    try:
        engine = Engine.from_params(params)
        daemon = Daemon(module.run_command, service=params["service_name"])
        state = StateDir(state_directory(params, engine.root_dir(), daemon.arguments))
        addresses = host_addresses(module.run_command)
        loan = Loan(
            TemporaryAddress(module.run_command, state_directory=state.path),
            addresses,
            interface=params["interface"],
            prefix=params["prefix"],
            hold=HOLD + params["dead_man_timeout"],
        )
        restore = Restore(
            engine=engine,
            daemon=daemon,
            state=state,
            options=RestoreOptions(
                archive=Path(params["archive"]),
                unlock_key=params["unlock_key"] or "",
                **{
                    name: params[name]
                    for name in RestoreOptions.__dataclass_fields__
                    if name not in ("archive", "unlock_key")
                },
            ),
            host_addresses=frozenset(known.address for known in addresses),
            engine_version=daemon.engine_version,
            hide=module.no_log_values.add,
            loan=loan if params["lend_address"] else None,
        )
        try:
            facts = restore.prepare()
            known = {
                "cluster_id": facts.cluster_id,
                "node_id": facts.node_id,
                "address": host_of(facts.address or ""),
                "lent": loan.place is not None,
                "autolock": restore.autolock,
                "certificate_reissued": dataclasses.asdict(restore.reissued) if restore.reissued else None,
                "peers": [dataclasses.asdict(peer) for peer in restore.peers],
                "managers": restore.managers(facts),
                "manifest": {name: value for name, value in restore.manifest.items() if name != "files"},
            }
            if not module.check_mode:
                known.update(restore.run(facts))
        finally:
            restore.cleanup()
    except SwarmError as error:
        fail(module, error, steps=restore.steps.taken if restore else [])
    for warning in restore.cluster.warnings:
        module.warn(warning)
    module.exit_json(changed=True, steps=restore.steps.taken, **known)


if __name__ == "__main__":
    main()
