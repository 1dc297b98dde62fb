# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: verify_report
short_description: Say which archives are good
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Turns what M(quorate.swarm.swarm_backup_info) says of archives into a summary line and a line for each, for people.
positional: _input
options:
  _input:
    description: The archives, as RV(quorate.swarm.swarm_backup_info#module:archives).
    type: list
    elements: dict
    required: true
  level:
    description: The level at which they were verified.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Report
  ansible.builtin.debug:
    msg: "{{ backups.archives | quorate.swarm.verify_report(level='files') }}"
"""

RETURN = r"""
_value:
  description: The lines, the summary first.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.verify_report."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"verify_report": in_templates("verify_report", "_fleet.verify_report")}
