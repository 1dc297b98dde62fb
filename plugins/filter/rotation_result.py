# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rotation_result
short_description: Tell what became of the unlock key of each swarm, as values
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Turns the plan of P(quorate.swarm.rotation_plan#filter) and the outcomes on the hosts into one result. No key is in it.

positional: _input, outcomes
options:
  _input:
    description: The plan.
    type: dict
    required: true
  outcomes:
    description: For each host that spoke for a swarm, what became of its key.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: See which swarms have a new key
  ansible.builtin.debug:
    msg: "{{ (plan | quorate.swarm.rotation_result(outcomes)).swarms | selectattr('change', 'equalto', 'rotate') }}"
"""

RETURN = r"""
_value:
  description:
    - C(good), whether nothing failed.
    - C(swarms), each with C(cluster_id), C(host), C(good), C(problem), C(change), and the fingerprints C(previous) and
      C(current).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.rotation_result."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rotation_result": in_templates("rotation_result", "_rotation.rotation_result")}
