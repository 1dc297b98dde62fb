# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rotation_report
short_description: Say what became of the unlock key of each swarm
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Turns the plan of P(quorate.swarm.rotation_plan#filter) and the outcomes on the hosts into two lines a swarm.

positional: _input, outcomes
options:
  _input:
    description: The plan.
    type: dict
    required: true
  outcomes:
    description: For each host that spoke for a swarm, what the role P(quorate.swarm.rotate_unlock_key#role) notes.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Report
  ansible.builtin.debug:
    msg: "{{ (plan | quorate.swarm.rotation_report(outcomes)).lines }}"
"""

RETURN = r"""
_value:
  description: C(lines) for people, and C(failures), those of them that make the run fail.
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.rotation_report."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rotation_report": in_templates("rotation_report", "_rotation.rotation_report")}
