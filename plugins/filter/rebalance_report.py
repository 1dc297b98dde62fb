# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rebalance_report
short_description: Say what became of the services of each swarm in a rebalance
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Turns a plan and the outcomes on the managers that were asked into a line a swarm.

positional: _input, outcomes
options:
  _input:
    description: The plan, made by P(quorate.swarm.backup_plan#filter).
    type: dict
    required: true
  outcomes:
    description: For each host that was asked, what M(quorate.swarm.swarm_rebalance) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Report
  ansible.builtin.debug:
    msg: "{{ (plan | quorate.swarm.rebalance_report(outcomes)).lines }}"
"""

RETURN = r"""
_value:
  description: C(lines) for people, and C(failures), those of them that mean that something went wrong.
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.rebalance_report."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rebalance_report": in_templates("rebalance_report", "_fleet.rebalance_report")}
