# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rejoin_plan
short_description: Decide how a host becomes a manager with fresh state
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Finds the manager that does it, the nodes that were this host, and the reasons against it.

positional: _input
options:
  _input:
    description:
      - For each host of the inventory that is or was a manager, the result of M(quorate.swarm.swarm_info).
      - A host that cannot be reached has C(unreachable) in its place, which is V(true).
    type: dict
    required: true
  target:
    description: The inventory host that is to be a manager again.
    type: str
    required: true
  addresses:
    description: For each inventory host, the names and addresses by which a swarm may know it.
    type: dict
    required: true
  even_if_healthy:
    description: Whether a host that is a reachable manager is to be rejoined too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Fail unless the host may be rejoined
  ansible.builtin.assert:
    that: (infos | quorate.swarm.rejoin_plan(target='m3', addresses=addresses)).problem is none
"""

RETURN = r"""
_value:
  description:
    - C(problem), why it may not be done, or null; C(needed); C(actor) (the host that does it), with its address C(remote);
      C(cluster_id); C(why) (what the host is now); C(node_id); C(leave) and C(join) (whether it has to); the nodes to C(demote)
      and to C(remove) before it joins; C(former) (the node that is removed when the new one has its labels and its
      availability); and C(address), the one that the host had.
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.rejoin_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rejoin_plan": in_templates("rejoin_plan", "_roster.rejoin_plan")}
