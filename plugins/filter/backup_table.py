# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_table
short_description: Show the backups of many swarms as a table
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Turns a result of P(quorate.swarm.backup_result#filter) into a table for people, those that failed last.

positional: _input
options:
  _input:
    description: The result.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what was backed up
  ansible.builtin.debug:
    msg: "{{ backup_result | quorate.swarm.backup_table }}"
"""

RETURN = r"""
_value:
  description: A line with headings, and a line a swarm.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.backup_table."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"backup_table": in_templates("backup_table", "_backup_result.backup_table")}
