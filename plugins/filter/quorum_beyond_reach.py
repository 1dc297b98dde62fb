# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: quorum_beyond_reach
short_description: Decide whether no time will bring a quorum back
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Compares the managers that the survivors know with those that can still exist. A manager is gone when it is named as lost,
    or when the host that has its address is in no swarm, or another node.
  - A manager that was removed long ago may still be known. So this is a reason to wait for less time, but none not to wait.
positional: _input
options:
  _input:
    description:
      - For each inventory host that is or shall be a manager, the result of M(quorate.swarm.swarm_info) with C(identity).
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
- name: Say how long it makes sense to wait
  ansible.builtin.debug:
    msg: "{{ 10 if infos | quorate.swarm.quorum_beyond_reach(lost=['m2'], addresses={}) else 60 }}"
"""

RETURN = r"""
_value:
  description: Whether fewer managers than the majority can still exist. False where that cannot be told.
  type: bool
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils import _recovery_plan
from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.quorum_beyond_reach."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "quorum_beyond_reach": in_templates(
                "quorum_beyond_reach", _recovery_plan.quorum_beyond_reach, lists=["lost"]
            )
        }
