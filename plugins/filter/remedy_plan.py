# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: remedy_plan
short_description: Decide what is done about managers that their swarms do not reach
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Finds the managers that their swarms do not reach, who acts, and the reasons against it.
positional: _input, infos, remedy
options:
  _input:
    description: The verdict of P(quorate.swarm.health_verdict#filter).
    type: dict
    required: true
  infos:
    description: What that filter was given.
    type: dict
    required: true
  remedy:
    description: What is to be done.
    type: str
    choices: [restart, reboot, replace]
    required: true
"""

EXAMPLES = r"""
- name: Show which managers would be restarted
  ansible.builtin.debug:
    msg: "{{ verdict | quorate.swarm.remedy_plan(infos, 'restart') | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description:
    - For each such manager C(cluster_id), C(actor) (the host that acts), C(node_id), C(host), C(name), C(replacement) (node ID of
      the worker that is promoted in its place), and C(problem), why nothing may be done, or null.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.remedy_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"remedy_plan": in_templates("remedy_plan", "_remedy.remedy_plan")}
