# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: health_verdict
short_description: Judge the health of every swarm of an inventory
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Turns the facts of all managers into one verdict a swarm, with everything that is wrong, how bad it is, and what to do.
requirements:
  - jmespath, on the controller, for O(expect)
positional: _input
options:
  _input:
    description:
      - For each host of the inventory, the result of M(quorate.swarm.swarm_info).
      - A host that cannot be reached has C(unreachable) in its place, which is V(true).
    type: dict
    required: true
  addresses:
    description: For each inventory host, the names and addresses by which a swarm may know it.
    type: dict
    required: true
  expected:
    description: For each inventory host, the address that it should have in its swarm, or an empty text.
    type: dict
  wanted:
    description:
      - How a swarm should be. C(fault_tolerance) is how many managers must be able to fail, C(zone_label) the node label
        that names a zone, C(managers_drained) whether managers shall run no tasks, C(certificate_days) and
        C(root_ca_days) how long certificates must be valid, C(free_space) and C(snapshot_size) bytes, and
        C(backup_hours) how old the newest good archive may be.
    type: dict
  archives:
    description: What M(quorate.swarm.swarm_backup_info) returned of all archives that were found.
    type: list
    elements: dict
  escrow:
    description:
      - For each cluster ID, C(current), the fingerprint of its unlock key, and C(known), those in the escrow; or
        C(problem).
    type: dict
  expect:
    description: What the facts must say, as P(quorate.swarm.unmet_expectations#filter) takes it.
    type: list
    elements: dict
    default: []
  fail_on:
    description: The least severity for which a run fails.
    type: str
    choices: [error, warning, never]
    default: error
  now:
    description: The time, in seconds since 1970; by default the current one.
    type: float
"""

EXAMPLES = r"""
- name: Fail when one more manager must not fail
  ansible.builtin.assert:
    that: verdict.worst != 'error'
    fail_msg: "{{ verdict.lines | join('\n') }}"
  vars:
    verdict: "{{ infos | quorate.swarm.health_verdict(addresses=addresses, wanted={'fault_tolerance': 1}) }}"
"""

RETURN = r"""
_value:
  description: The verdict.
  type: dict
  contains:
    unsettled:
      description: Why the managers should be asked again; empty when they agree.
      type: list
      elements: str
    swarms:
      description:
        - For each swarm its C(cluster_id), its C(findings) (each with C(id), C(severity), C(object), C(what) and C(remedy)),
          the C(worst) severity, a C(summary), and its numbers.
      type: list
      elements: dict
    others:
      description: Hosts that are in none of them, each with C(host), C(state) and C(problem).
      type: list
      elements: dict
    worst:
      description: The worst severity of all; null when nothing was found.
      type: str
    lines:
      description: The verdict for people.
      type: list
      elements: str
    failures:
      description: What makes the run fail.
      type: list
      elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.health_verdict."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"health_verdict": in_templates("health_verdict", "_health.health_verdict")}
