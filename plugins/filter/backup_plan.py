# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_plan
short_description: Choose one manager of each swarm for a backup
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Takes what M(quorate.swarm.swarm_info) returned on the hosts of an inventory, groups the hosts by cluster ID, and chooses
    a manager of each swarm, a follower before the leader, a drained one before one with tasks.

positional: _input
options:
  _input:
    description:
      - For each inventory host the result of M(quorate.swarm.swarm_info).
      - A host that cannot be reached has C(unreachable) in its place, which is V(true).
    type: dict
    required: true
  named:
    description: Inventory hosts to take in their swarms.
    type: list
    elements: str
    default: []
  leader:
    description: What may be done to a leader where there is no follower to take.
    type: str
    choices: [refuse, step_down, stop]
    default: refuse
  addresses:
    description: For each inventory host, the names and addresses by which a swarm may know it.
    type: dict
"""

EXAMPLES = r"""
- name: Choose
  ansible.builtin.debug:
    msg: "{{ infos | quorate.swarm.backup_plan(leader='step_down') }}"
"""

RETURN = r"""
_value:
  description:
    - C(swarms), each with C(cluster_id), C(host), C(node_id), C(is_leader), C(peer), C(hosts) and C(problem), and C(others),
      the hosts that are in no swarm that was found, each with C(host), C(state) and C(problem).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.backup_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"backup_plan": in_templates("backup_plan", "_fleet.backup_plan", lists=["named"])}
