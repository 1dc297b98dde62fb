# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: move_plan
short_description: Decide how a manager gets a raft address of its own host
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - A manager keeps the address in the raft store with which it joined. Where that is no address of its host any more, the
    manager leaves and joins again, from another manager.

positional: _input
options:
  _input:
    description:
      - For each inventory host that is or shall be a manager, the result of M(quorate.swarm.swarm_info) with C(nodes),
        C(identity) and C(addresses).
      - A host that cannot be reached has C(unreachable) in its place, which is V(true).
    type: dict
    required: true
  target:
    description: The inventory host of the manager.
    type: str
    required: true
  addresses:
    description: For each inventory host the address under which it shall be known, or an empty text.
    type: dict
    required: true
  lost:
    description: Inventory hosts that do not take part.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Say what has to be done
  ansible.builtin.debug:
    msg: "{{ infos | quorate.swarm.move_plan(target='m1', addresses={'m1': '10.0.0.21'}) }}"
"""

RETURN = r"""
_value:
  description:
    - C(reasons) against it (empty when it can go on), C(needed), C(old) and C(own) (the addresses), C(lent) (whether the host
      has the old one for a while), C(lend) (hosts to be lent their old addresses first), C(second) (the host that joins
      first), C(through) and C(through_address) (the manager by which the target leaves and joins), C(leave), C(cluster_id)
      and C(former) (the target's entries in the node list).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.move_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"move_plan": in_templates("move_plan", "_move.move_plan", lists=["lost"])}
