# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovery_plan
short_description: Decide on which manager a swarm is recovered that has lost its quorum
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Ranks the managers that have survived, and says what speaks against a recovery.
positional: _input
options:
  _input:
    description:
      - For each inventory host that is or shall be a manager, the result of M(quorate.swarm.swarm_info) with C(disk).
      - A host that cannot be reached has C(unreachable) in its place, which is V(true).
    type: dict
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
"""

EXAMPLES = r"""
- name: Say where it would be recovered
  ansible.builtin.debug:
    msg: "{{ (infos | quorate.swarm.recovery_plan(lost=[], addresses={})).host }}"
"""

RETURN = r"""
_value:
  description:
    - C(reasons) against a recovery (empty when it may begin), C(healthy) (a host that sees a quorum, so that there is nothing
      to recover), C(host) (the survivor that is the most advanced), C(ranking) (all survivors), C(managers) (those that it
      knows), C(stop) (hosts whose engines have to be stopped before), C(lost) (what was accepted as lost), C(cluster_id).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.recovery_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"recovery_plan": in_templates("recovery_plan", "_recovery_plan.recovery_plan", lists=["lost"])}
