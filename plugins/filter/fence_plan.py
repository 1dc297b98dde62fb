# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fence_plan
short_description: Decide whether the other managers of a swarm are proven stopped
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Two old managers that live on beside one that was made the only one are a second swarm with the same cluster ID, which takes the first
    one over or is taken over by it, and writes are lost.

positional: _input
options:
  _input:
    description:
      - For each inventory host that is, was or shall be a manager, the result of M(quorate.swarm.swarm_info).
      - A host that cannot be reached has C(unreachable) in its place, which is V(true).
    type: dict
    required: true
  target:
    description: The inventory host of the restore.
    type: str
    required: true
  cluster_id:
    description: Cluster ID of the archive.
    type: str
    required: true
  target_node_id:
    description: Node ID of the archived manager.
    type: str
    required: true
  archived_managers:
    description: Managers of the archive's inventory, each with C(id), C(hostname) and C(address).
    type: list
    elements: dict
    required: true
  peers:
    description: RV(quorate.swarm.swarm_restore#module:peers) of M(quorate.swarm.swarm_restore).
    type: list
    elements: dict
    required: true
  lost:
    description: What the operator says is lost for good, as inventory hosts, host names, addresses or node IDs.
    type: list
    elements: str
    required: true
  addresses:
    description: For each inventory host, the names and addresses by which a swarm may know it.
    type: dict
    required: true
  may_stop:
    description: Whether hosts that run as members are going to be stopped, and so are no reason against it.
    type: bool
    default: false
  variable:
    description: The variable that holds O(lost), for the reasons.
    type: str
    default: restore_lost_managers
"""

EXAMPLES = r"""
- name: Fail unless the restore may begin
  ansible.builtin.assert:
    that: (infos | quorate.swarm.fence_plan(target='m1', **facts)).reasons | length == 0
"""

RETURN = r"""
_value:
  description:
    - C(reasons) against it (empty when it may begin), C(stopped) (hosts that are proven stopped, or are elsewhere), C(stale)
      (those of them that still have this swarm's state on disk), C(running) (hosts to be stopped, with O(may_stop)) and C(lost)
      (what was accepted as lost).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.fence_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"fence_plan": in_templates("fence_plan", "_fleet.fence_plan", lists=["lost"])}
