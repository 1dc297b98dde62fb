#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_backup
short_description: Back up the Docker Swarm state of a manager
version_added: 0.1.0
description:
  - Stops the Docker Engine of a manager, copies the swarm state directory, starts and unlocks the engine, and writes a
    verified archive while the manager comes back. The archive gets its name when the manager is reachable again.
  - The copy is verified while the engine runs again, down to every record of its raft store. It must hold every object
    of the swarm that the API shows, in its version. The archive is read back, and holds the same bytes as the copy.
  - It refuses to stop a manager when the quorum would not hold without it, when it is the leader, or when the swarm has
    not settled. Nothing is changed before all guards have passed.
  - The engine is running again afterwards, whatever happens. If this module, the connection or the controller dies while
    the engine is stopped, the host starts it by itself (see O(dead_man_timeout)).
  - Tasks of the swarm that run on this manager are stopped with its engine and run again afterwards, here or elsewhere.
    Drained managers have none.
  - The archive holds the keys of the swarm. Without autolock, whoever can read it can read every secret of the swarm;
    with autolock, whoever has the unlock key as well.
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.state_directory
  - quorate.swarm.daemon
  - quorate.swarm.attributes
requirements:
  - cryptography, to read the certificates
  - PyNaCl, to open the raft store of the copy
attributes:
  check_mode:
    support: full
    details:
      - Every guard is passed or fails as in a real run.
  diff_mode:
    support: none
    details:
      - Nothing that an operator could compare is changed; an archive is added.
  idempotent:
    support: none
    details:
      - Each run makes a new archive.
options:
  directory:
    description:
      - Directory for the archives, on this host.
      - It is made with mode V(0700). One that others can enter is refused, because the archive holds keys.
    type: path
    default: /var/backups/quorate-swarm
  method:
    description:
      - V(cold) stops the engine while the state is copied. This is the only way to be sure of the last change.
      - V(hot) copies the state of the running engine. It may lose what was written while the copy was made. It needs no
        downtime.
    type: str
    choices: [cold, hot]
    default: cold
  leader:
    description:
      - What to do when this manager is the leader and has fellow managers. Stopping the leader blocks the management API
        of all managers for 10 to 20 seconds.
      - V(refuse) fails.
      - V(step_down) hands the leadership over first, which blocks nobody. It needs O(peer_docker_host), because a demoted
        manager cannot promote itself again.
      - V(stop) stops the leader.
    type: str
    choices: [refuse, step_down, stop]
    default: refuse
  peer_docker_host:
    description:
      - Address of the engine of another manager, for O(leader=step_down), such as V(tcp://10.0.0.12:2376). The TLS options
        of this module are used for it too.
      - Where no manager offers its API over the network, run M(quorate.swarm.swarm_node) with O(quorate.swarm.swarm_node#module:step_down)
        on another manager before this module, as the role P(quorate.swarm.backup#role) does.
    type: str
  allow_control_plane_outage:
    description:
      - Allow the backup of a swarm with one manager, or with two reachable ones, although nobody can manage the swarm
        while the engine is stopped. Its tasks on other nodes go on.
    type: bool
    default: false
  keep:
    description:
      - Number of archives of this manager to keep in O(directory), the new one included. Older ones are removed after the
        new one was verified. All are kept by default.
    type: int
  settle_timeout:
    description:
      - Seconds to wait for a leader, a reachable majority, and no node in state C(unknown) before the guards decide.
    type: int
    default: 60
  wait_timeout:
    description:
      - Seconds to wait until this manager is ready and reachable after the start of its engine.
    type: int
    default: 120
  escrowed_fingerprints:
    description:
      - Fingerprints of the unlock keys that are kept. A swarm with autolock is not backed up when its current key is none
        of them.
      - By default nothing is known of that, and the backup is made.
    type: list
    elements: str
  dead_man_timeout:
    description:
      - Seconds after which the host starts the engine by itself if this module died while it was stopped.
      - A transient systemd timer does it, so it needs neither the module nor the connection nor the controller. An
        autolocked manager is locked then.
      - Set it to V(0) on a host without systemd, to go without. With systemd, the switch of another operation on this host
        is respected all the same.
    type: int
    default: 180
seealso:
  - module: quorate.swarm.swarm_backup_info
  - module: quorate.swarm.swarm_restore
  - name: Back up the swarm
    description: The procedure in Docker's documentation.
    link: https://docs.docker.com/engine/swarm/admin_guide/#back-up-the-swarm
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Back up this manager and keep a fortnight of archives
  quorate.swarm.swarm_backup:
    directory: /var/backups/quorate-swarm
    keep: 14
  register: backup

- name: Say where it is
  ansible.builtin.debug:
    msg: "{{ backup.archive }} {{ backup.checksum }}, the engine was down for {{ backup.downtime }} s"

- name: Back up the only manager of a small swarm
  quorate.swarm.swarm_backup:
    allow_control_plane_outage: true

- name: Back up the leader after handing its leadership over
  quorate.swarm.swarm_backup:
    leader: step_down
    peer_docker_host: tcp://10.0.0.12:2376
    validate_certs: true
    ca_path: /etc/docker/ca.pem
    client_cert: /etc/docker/client.pem
    client_key: /etc/docker/client-key.pem
"""

RETURN = r"""
archive:
  description: Path of the archive on this host. In check mode, the path as it would be if it were made now.
  returned: success
  type: str
  sample: /var/backups/quorate-swarm/swarm_2jt0p6gmnx0cgpq3gm1vl9vvt_x1n8lbvdvhs6zbzmrs7sbk1gh_20260131T020304Z.tar.gz
checksum:
  description: SHA-256 of the archive.
  returned: success, outside check mode
  type: str
size:
  description: Size of the archive in bytes.
  returned: success, outside check mode
  type: int
manifest:
  description: What the archive says of itself. Holds names and IDs, no secrets.
  returned: success, outside check mode
  type: dict
downtime:
  description: Seconds during which the engine did not answer. 0 for a hot backup.
  returned: success, outside check mode
  type: float
removed:
  description: Archives removed because of O(keep).
  returned: success, outside check mode
  type: list
  elements: str
steps:
  description: The steps that were taken, with their seconds.
  returned: always, outside check mode
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
  description: Kind of the error, such as V(refused), V(quorum_lost), V(locked), V(unsettled) or V(not_a_manager).
  returned: failure
  type: str
error_details:
  description: Facts about the error.
  returned: failure
  type: dict
"""

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
from ansible_collections.quorate.swarm.plugins.module_utils._backup import Backup, BackupOptions
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._data_root import state_directory
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir

ARGUMENTS: dict[str, t.Any] = {
    "directory": {"type": "path", "default": "/var/backups/quorate-swarm"},
    "method": {"type": "str", "choices": ["cold", "hot"], "default": "cold"},
    "leader": {"type": "str", "choices": ["refuse", "step_down", "stop"], "default": "refuse"},
    "peer_docker_host": {"type": "str"},
    "allow_control_plane_outage": {"type": "bool", "default": False},
    "keep": {"type": "int"},
    "escrowed_fingerprints": {"type": "list", "elements": "str"},
    "settle_timeout": {"type": "int", "default": 60},
    "wait_timeout": {"type": "int", "default": 120},
    "dead_man_timeout": {"type": "int", "default": 180},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**DOCKER_ARGUMENTS, **STATE_DIRECTORY_ARGUMENTS, **DAEMON_ARGUMENTS, **ARGUMENTS},
        required_together=DOCKER_REQUIRED_TOGETHER,
        required_if=[("leader", "step_down", ["peer_docker_host"])],
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    if params["keep"] is not None and params["keep"] < 1:
        module.fail_json(msg=f"keep is {params['keep']}, and at least the new archive is kept: give 1 or more")
    steps: list[dict[str, t.Any]] = []
    try:
        engine = Engine.from_params(params)
        daemon = Daemon(module.run_command, service=params["service_name"])
        backup = Backup(
            engine=engine,
            daemon=daemon,
            state=StateDir(state_directory(params, engine.root_dir(), daemon.arguments)),
            options=BackupOptions(
                directory=Path(params["directory"]),
                **{name: params[name] for name in BackupOptions.__dataclass_fields__ if name != "directory"},
            ),
            peer=Engine.from_params(params, base_url=params["peer_docker_host"])
            if params["peer_docker_host"]
            else None,
            hide=module.no_log_values.add,
        )
        steps = backup.steps.taken
        plan = backup.plan()
        if module.check_mode:
            module.exit_json(changed=True, archive=str(Path(params["directory"]) / plan.name))
        module.exit_json(changed=True, **backup.run(plan))
    except SwarmError as error:
        fail(module, error, steps=steps)


if __name__ == "__main__":
    main()
