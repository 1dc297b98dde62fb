#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_quorum
short_description: Check the quorum of a Docker Swarm, and whether managers may stop
version_added: 0.1.0
description:
  - Checks the quorum as a manager sees it, and fails with every reason why it does not pass and what to do about each.
  - It passes when there is a leader, all managers are reachable, no node is in state V(unknown), and every check that
    was asked for holds.
  - An engine that cannot tell, because it is down, locked, a worker, in no swarm or without quorum, does not pass either.
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.attributes
  - quorate.swarm.attributes.info_module
options:
  stopping:
    description:
      - Nodes that are about to stop, by ID or by unique host name. It is checked that the quorum holds without them.
    type: list
    elements: str
    default: []
  minimum_fault_tolerance:
    description:
      - How many managers must be able to fail now, before O(stopping) stop.
    type: int
  require_odd:
    description:
      - Whether the number of managers must be odd. An even number stands no more failures than one manager less.
    type: bool
    default: false
  zone_label:
    description:
      - Node label that names the zone of a node. It is checked that the managers are spread as evenly as can be over all
        zones that any node names (three zones take 1-1-1, 2-2-1, 3-2-2 or 3-3-3), and that no zone holds so many that
        its loss is that of the quorum.
    type: str
  require_static_addresses:
    description:
      - Whether the address by which the managers know this one must be a fixed address of this host, not a leased one.
      - It is looked up on this host with C(ip), so O(docker_host) has to be its own engine.
    type: bool
    default: false
  expected_address:
    description:
      - The address that this manager should have, as in the inventory. Used with O(require_static_addresses).
    type: str
  settle_timeout:
    description:
      - Seconds to wait for a leader, a reachable majority, and no node in state V(unknown) before the verdict.
    type: int
    default: 30
  report_only:
    description:
      - Return the verdict without failing.
    type: bool
    default: false
seealso:
  - module: quorate.swarm.swarm_info
  - name: Administer and maintain a swarm of Docker Engines
    description: How many managers to have, and how to spread them, in Docker's documentation.
    link: https://docs.docker.com/engine/swarm/admin_guide/
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: See that this manager may be stopped
  quorate.swarm.swarm_quorum:
    stopping: ["{{ swarm.node.id }}"]

- name: See that the managers are laid out well
  quorate.swarm.swarm_quorum:
    minimum_fault_tolerance: 1
    require_odd: true
    zone_label: zone
    require_static_addresses: true
    expected_address: "{{ swarm_advertise_address }}"

- name: Only report
  quorate.swarm.swarm_quorum:
    report_only: true
  register: quorum

- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ item.message }}. {{ item.remedy }}."
  loop: "{{ quorum.verdict.reasons }}"
  loop_control:
    label: "{{ item.code }}"
"""

RETURN = r"""
verdict:
  description: Whether the quorum passes.
  returned: always, unless the engine may not be asked
  type: dict
  contains:
    ok:
      description: Whether there is no reason against it.
      type: bool
    reasons:
      description: Every reason why it does not pass.
      type: list
      elements: dict
      contains:
        code:
          description:
            - A word for programs.
            - From the health of the quorum, V(no_leader), V(quorum_lost), V(managers_unreachable) or V(nodes_unknown).
            - From the checks, V(stop_loses_quorum), V(unknown_node), V(ambiguous_node), V(fault_tolerance_too_low),
              V(even_managers), V(zone_unknown), V(zones_uneven), V(zone_holds_majority), V(address_not_on_host),
              V(address_dynamic) or V(address_not_expected).
            - From an engine that cannot tell, V(not_a_manager), V(locked), V(quorum_lost), V(unsettled) or V(unreachable).
          type: str
        message:
          description: What is wrong, with the numbers and the nodes.
          type: str
        remedy:
          description: What to do about it.
          type: str
  sample:
    ok: false
    reasons:
      - code: stop_loses_quorum
        message: with m2 (x1n8lbvdvhs6zbzmrs7sbk1gh) down, 1 of 3 managers are reachable, 2 are needed
        remedy: Bring unreachable managers back first, stop fewer at once, or add managers
state:
  description: What this host is in the swarm, as RV(quorate.swarm.swarm_info#module:state).
  returned: always, unless the engine may not be asked
  type: str
  sample: manager
quorum:
  description: The quorum, as RV(quorate.swarm.swarm_info#module:quorum). Null when nobody can tell.
  returned: always, unless the engine may not be asked
  type: dict
zones:
  description: How the managers are spread. Null without O(zone_label), or when nobody can tell.
  returned: always, unless the engine may not be asked
  type: dict
  contains:
    label:
      description: The label.
      type: str
    zones:
      description: The zones.
      type: list
      elements: dict
      contains:
        zone:
          description: Name of the zone.
          type: str
        managers:
          description: Node IDs of the managers in it.
          type: list
          elements: str
    spread:
      description: Managers in each zone, largest first.
      type: list
      elements: int
      sample: [2, 1, 0]
    ideal_spread:
      description: How they would best be spread.
      type: list
      elements: int
      sample: [1, 1, 1]
error:
  description: Kind of the error. V(refused) when the quorum does not pass.
  returned: failure
  type: str
error_details:
  description: Facts about the error.
  returned: failure
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _host
from ansible_collections.quorate.swarm.plugins.module_utils._argspec import (
    DOCKER_ARGUMENTS,
    DOCKER_REQUIRED_TOGETHER,
    checked_arguments,
)
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._survey import survey
from ansible_collections.quorate.swarm.plugins.module_utils._verdict import (
    QuorumChecks,
    verdict,
    verdict_text,
    zone_facts,
)

ARGUMENTS: dict[str, t.Any] = {
    "stopping": {"type": "list", "elements": "str", "default": []},
    "minimum_fault_tolerance": {"type": "int"},
    "require_odd": {"type": "bool", "default": False},
    "zone_label": {"type": "str"},
    "require_static_addresses": {"type": "bool", "default": False},
    "expected_address": {"type": "str"},
    "settle_timeout": {"type": "int", "default": 30},
    "report_only": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**DOCKER_ARGUMENTS, **ARGUMENTS},
        required_together=DOCKER_REQUIRED_TOGETHER,
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    if params["expected_address"] and not params["require_static_addresses"]:
        module.fail_json(msg="expected_address is only checked with require_static_addresses: true")
    try:
        found = survey(Engine.from_params(params), timeout=params["settle_timeout"], settled=True)
        checks = QuorumChecks(
            stopping=tuple(params["stopping"]),
            minimum_fault_tolerance=params["minimum_fault_tolerance"],
            require_odd=params["require_odd"],
            zone_label=params["zone_label"],
            host_addresses=_host.addresses(module.run_command) if params["require_static_addresses"] else None,
            expected_address=params["expected_address"],
        )
    except SwarmError as error:
        fail(module, error)
    reasons = verdict(found, checks)
    result = {
        "state": found.state,
        "verdict": {"ok": not reasons, "reasons": [reason.as_dict() for reason in reasons]},
        "quorum": found.health.as_dict() if found.health else None,
        "zones": zone_facts(found.nodes, checks.zone_label) if found.health and checks.zone_label else None,
    }
    if reasons and not params["report_only"]:
        module.fail_json(msg=verdict_text(reasons), error="refused", error_details={}, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
