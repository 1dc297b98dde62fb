# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rotation_plan
short_description: Say which managers take part in the rotation of an unlock key
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Takes what M(quorate.swarm.swarm_info) returned on the hosts of an inventory, groups the hosts by cluster ID, and says
    which managers of each swarm there are, and which are away.

positional: _input
options:
  _input:
    description: For each inventory host the result of M(quorate.swarm.swarm_info).
    type: dict
    required: true
  missing:
    description: Managers that are known to be away, as inventory hosts, host names, addresses or node IDs.
    type: list
    elements: str
    default: []
  addresses:
    description: For each inventory host, the names and addresses by which a swarm may know it.
    type: dict
"""

EXAMPLES = r"""
- name: See who is there
  ansible.builtin.debug:
    msg: "{{ infos | quorate.swarm.rotation_plan(missing=['manager3']) }}"
"""

RETURN = r"""
_value:
  description:
    - C(swarms), each with C(cluster_id), C(host), C(hosts), C(missing) and C(problem), and C(others), the hosts that are in
      none of them, each with C(host), C(state) and C(problem).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.rotation_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rotation_plan": in_templates("rotation_plan", "_rotation.rotation_plan", lists=["missing"])}
