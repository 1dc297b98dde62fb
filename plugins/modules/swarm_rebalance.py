#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_rebalance
short_description: Spread the tasks of uneven Docker Swarm services anew
version_added: 0.1.0
description:
  - Swarm places a task once. A node that was drained, restarted or added stays empty until its services are updated, and
    services with many tasks on few nodes stay so. This module finds such services and gives them an even spread.
  - It computes the spread that the scheduler would give to a service - nodes that are ready and active, placement
    constraints, platforms, volume and log plugins, reserved processors and memory, ports of the host, the maximum of replicas
    for each node, and placement preferences - and touches only services of which tasks are in the wrong place. Even ones,
    global ones and jobs are never touched.
  - One service is changed at a time. The next one only follows when the tasks of this one run.
  - It stops when an update is paused or rolled back, and leaves the services after it alone.
  - It refuses while a node is neither ready nor down, because tasks on such a node count as running although they may not.
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.attributes
attributes:
  check_mode:
    support: full
    details:
      - RV(services[].after) is then the spread that is expected. Of several equal ones the scheduler may choose another.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - A service that is even is not touched. With C(order=start-first) in its update configuration, the scheduler may leave
        one uneven, which then counts as uneven in the next run; RV(services[].outcome) is V(still_uneven) there.
options:
  services:
    description: Services to rebalance, by name or ID. One that the swarm does not have is an error.
    type: list
    elements: str
    default: []
  labels:
    description: Rebalance the services that have one of these labels, given as C(KEY) or C(KEY=VALUE).
    type: list
    elements: str
    default: []
  all:
    description: Rebalance all services.
    type: bool
    default: false
  method:
    description:
      - V(force_update) restarts all tasks of a service by a rolling update, as C(docker service update --force) does. The
        update configuration of the service says how many at a time, in which order, and what happens when a new task fails.
      - V(scale) starts as many tasks more as are in the wrong place, which go to the emptiest nodes, and then takes the number
        of replicas back, by which Swarm removes tasks from the fullest nodes. No more tasks stop than have to move, and never
        fewer run than the service has replicas; but for a moment it has more. While it is scaled up, the service has the label
        C(quorate.swarm.scaled); a run that finds it there, because an earlier one was killed, scales the service back.
    type: str
    choices: [force_update, scale]
    default: force_update
  minimum_moves:
    description: Touch a service only when at least so many of its tasks are in the wrong place.
    type: int
    default: 1
  wait_timeout:
    description:
      - Seconds to wait for the next task of a service to run. To them come the delay and the monitor time in its update
        configuration, and the time that its tasks have to stop.
    type: int
    default: 120
notes:
  - Run it on one manager of the swarm, one run at a time.
  - All tasks of a service restart with V(force_update), also those in the right place. That is what Swarm offers.
  - A forced update counts C(ForceUpdate) in the service up. A tool that writes the whole service without this number restarts
    its tasks once more at its next change. C(docker stack deploy) of Docker 18.06 and newer keeps the number.
  - After a forced update, C(docker service rollback) undoes that update, not the change before it.
seealso:
  - module: quorate.swarm.swarm_info
  - module: quorate.swarm.swarm_node
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Spread two services over the nodes that have come back
  quorate.swarm.swarm_rebalance:
    services: [web, api]

- name: See which services of the swarm are uneven, and how they would be
  quorate.swarm.swarm_rebalance:
    all: true
  check_mode: true
  diff: true
  register: rebalance

- name: Rebalance what says that it may be restarted, when it is worth it
  quorate.swarm.swarm_rebalance:
    labels: [rebalance=true]
    minimum_moves: 2

- name: Move tasks of a service without restarting the others
  quorate.swarm.swarm_rebalance:
    services: [web]
    method: scale
"""

RETURN = r"""
services:
  description: What became of the services that were chosen and reached, by name.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Service ID.
      type: str
    name:
      description: Its name.
      type: str
    outcome:
      description:
        - V(even) - nothing to do.
        - V(uneven) - fewer than O(minimum_moves) tasks are in the wrong place.
        - V(rebalanced) - it was spread anew, or in check mode would be.
        - V(still_uneven) - it was restarted, but the scheduler has put tasks in the wrong place again.
        - V(failed) - the run stopped here; RV(services[].reason) says why.
        - V(global), V(job) - Swarm itself says where its tasks are.
        - V(updating), V(paused), V(unsettled) - an update is running, the last one failed, or not all of its tasks run; it was
          left alone.
        - V(not_judged) - where its tasks may go depends on generic resources or cluster volumes, or there is no room for all
          of them; it was left alone.
      type: str
      sample: rebalanced
    reason:
      description: More about RV(services[].outcome); empty when there is nothing to say.
      type: str
    moves:
      description: How many tasks were in the wrong place.
      type: int
      sample: 2
    before:
      description: Number of tasks by host name, on the nodes that have one or may have one.
      type: dict
      sample: {manager1: 3, worker1: 0, worker2: 3}
    after:
      description: The same afterwards. In check mode, as expected. Null for RV(services[].outcome=failed).
      type: dict
      sample: {manager1: 2, worker1: 2, worker2: 2}
error:
  description:
    - Kind of the error, such as V(update_failed), V(timed_out), V(refused), V(unsettled), V(quorum_lost) or
      V(not_a_manager).
  returned: failure
  type: str
error_details:
  description: Facts about the error. For V(update_failed), C(service), C(update_state) and C(task_errors).
  returned: failure
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils._argspec import (
    DOCKER_ARGUMENTS,
    DOCKER_REQUIRED_TOGETHER,
    checked_arguments,
)
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._rebalance import Rebalance, RebalanceOptions

ARGUMENTS: dict[str, t.Any] = {
    "services": {"type": "list", "elements": "str", "default": []},
    "labels": {"type": "list", "elements": "str", "default": []},
    "all": {"type": "bool", "default": False},
    "method": {"type": "str", "choices": ["force_update", "scale"], "default": "force_update"},
    "minimum_moves": {"type": "int", "default": 1},
    "wait_timeout": {"type": "int", "default": 120},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**DOCKER_ARGUMENTS, **ARGUMENTS},
        required_together=DOCKER_REQUIRED_TOGETHER,
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    if not (params["services"] or params["labels"] or params["all"]):
        module.fail_json(msg="Name the services to rebalance: set services or labels, or all to true")
    options = RebalanceOptions(
        services=params["services"],
        labels=params["labels"],
        all_services=params["all"],
        method=params["method"],
        minimum_moves=params["minimum_moves"],
        wait_timeout=params["wait_timeout"],
    )
    rebalance = Rebalance(Engine.from_params(params), options)
    error = None
    try:
        rebalance.run(check=module.check_mode)
    except SwarmError as failure:
        error = failure
    for warning in rebalance.warnings:
        module.warn(warning)
    result: dict[str, t.Any] = {"changed": rebalance.changed, "services": rebalance.results}
    if module._diff:
        result["diff"] = {
            side: {entry["name"]: entry[side] or "unknown" for entry in rebalance.results}
            for side in ("before", "after")
        }
    if error is not None:
        fail(module, error, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
