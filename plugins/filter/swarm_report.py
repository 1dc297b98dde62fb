# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: swarm_report
short_description: Say how a swarm stands after it was restored or recovered
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Puts what was there before beside what is there now, as lines for people.
positional: _input
options:
  _input:
    description: What M(quorate.swarm.swarm_info) returned on the manager.
    type: dict
    required: true
  before:
    description: The inventory before, such as C(inventory) in the manifest of an archive. Empty where it is not known.
    type: dict
"""

EXAMPLES = r"""
- name: Report
  ansible.builtin.debug:
    msg: "{{ swarm | quorate.swarm.swarm_report(before=backups.archives[0].manifest.inventory) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.swarm_report."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"swarm_report": in_templates("swarm_report", "_fleet.swarm_report")}
