# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: remove_plan
short_description: Decide which node is meant, and who removes it
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - A node is found by its inventory host, its ID or its host name. Another manager than its own host removes it.

positional: _input
options:
  _input:
    description:
      - For each host of the inventory, the result of M(quorate.swarm.swarm_info).
      - A host that cannot be reached has C(unreachable) in its place, which is V(true).
    type: dict
    required: true
  node:
    description: An inventory host, a node ID or a host name.
    type: str
    required: true
  addresses:
    description: For each inventory host, the names and addresses by which a swarm may know it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Fail unless the node may be removed
  ansible.builtin.assert:
    that: (infos | quorate.swarm.remove_plan(node='m3', addresses=addresses)).problem is none
"""

RETURN = r"""
_value:
  description:
    - C(problem), why it may not be done, or null; C(needed); C(actor) (the host that does it); C(cluster_id); C(node) (its
      entry in the node list, or null) and C(name); C(host) (the inventory host that has to leave, or empty) and C(why) (what
      that is now).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.remove_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"remove_plan": in_templates("remove_plan", "_roster.remove_plan")}
