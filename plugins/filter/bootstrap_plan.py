# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: bootstrap_plan
short_description: Decide what makes the hosts of an inventory one swarm
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Finds out who creates the swarm, who joins it as what, and which workers become managers, so that the managers are spread
    over the zones.

positional: _input
options:
  _input:
    description:
      - For each host of the inventory, the result of M(quorate.swarm.swarm_info).
      - A host that cannot be reached has C(unreachable) in its place, which is V(true).
    type: dict
    required: true
  managers:
    description: The hosts that shall be managers, the one that creates the swarm first.
    type: list
    elements: str
    required: true
  workers:
    description: The hosts that shall be workers, or managers where O(count) needs more.
    type: list
    elements: str
    required: true
  count:
    description: How many managers there shall be; 0 for as many as O(managers) are.
    type: int
    required: true
  addresses:
    description: For each inventory host, the names and addresses by which a swarm may know it.
    type: dict
    required: true
  advertise:
    description: For each inventory host, the address under which it shall join, or an empty text.
    type: dict
    required: true
  zones:
    description: For each inventory host, its zone, or an empty text.
    type: dict
    required: true
  allow_leased:
    description: Whether a manager may have an address that is leased.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Show what would be done
  ansible.builtin.debug:
    var: (infos | quorate.swarm.bootstrap_plan(managers=['m1'], workers=['w1'], count=0, **facts)).steps
"""

RETURN = r"""
_value:
  description:
    - C(problem), why it may not be done, or null; C(init) (the host that creates the swarm, or null); C(actor) (the manager
      that does the rest); C(join) (C(host), C(role) and C(address) of each host that joins); C(promote) (C(host) and
      C(node_id) of each worker that becomes a manager); C(managers) and their C(addresses); and C(steps), all that in words.
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.bootstrap_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"bootstrap_plan": in_templates("bootstrap_plan", "_roster.bootstrap_plan")}
