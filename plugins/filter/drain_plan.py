# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drain_plan
short_description: Decide which managers are drained, and who does it
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Takes all managers of all swarms, or those that are named.

positional: _input
options:
  _input:
    description:
      - For each host of the inventory that is a manager, the result of M(quorate.swarm.swarm_info).
      - A host that cannot be reached has C(unreachable) in its place, which is V(true).
    type: dict
    required: true
  named:
    description: Inventory hosts, node IDs or host names. All managers when it is empty.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what would be drained
  ansible.builtin.debug:
    var: (infos | quorate.swarm.drain_plan(named=[])).swarms
"""

RETURN = r"""
_value:
  description:
    - C(problem), why it may not be done, or null; C(swarms), each with C(cluster_id), C(actor) (the host that does it) and
      C(targets), which have C(id), C(name), C(availability) and C(containers).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.drain_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"drain_plan": in_templates("drain_plan", "_roster.drain_plan")}
