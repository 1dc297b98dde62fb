# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: quorum_outlook
short_description: Decide whether, and for how long, it makes sense to wait for a quorum
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Compares the managers that the survivors know with those that can still exist. A manager is gone when it is named as lost,
    or when the host that has its address is in no swarm, or another node.
  - A manager that was removed long ago may still be known. So where too few are left, an election has to be ruled out, for 10
    seconds. It is ruled out at once where only one manager is left, because nobody else could vote.
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
  settle_timeout:
    description: Seconds to wait where a quorum may come back by itself.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Say how long it makes sense to wait
  ansible.builtin.debug:
    msg: "{{ (infos | quorate.swarm.quorum_outlook(lost=['m2'], addresses={}, settle_timeout=60)).settle_timeout }}"
"""

RETURN = r"""
_value:
  description: The outlook.
  type: dict
  contains:
    beyond_reach:
      description: Whether fewer managers than the majority can still exist. False where that cannot be told.
      type: bool
    settle_timeout:
      description: Seconds to wait before the quorum is taken for lost.
      type: int
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.quorum_outlook."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"quorum_outlook": in_templates("quorum_outlook", "_recovery_plan.quorum_outlook", lists=["lost"])}
