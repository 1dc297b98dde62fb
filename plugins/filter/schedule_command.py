# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: schedule_command
short_description: Write a command for a unit of systemd or for a crontab
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Writes words so that they reach the program as they are. Words with line breaks are refused.


positional: _input, style
options:
  _input:
    description: The program and its arguments, or assignments of variables.
    type: list
    elements: str
    required: true
  style:
    description: V(command) for C(ExecStart) of a unit, V(setting) for another of its settings, V(cron) for a crontab.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "ExecStart={{ ['/usr/bin/echo', '100 %'] | quorate.swarm.schedule_command('command') }}"
"""

RETURN = r"""
_value:
  description: The line.
  type: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.schedule_command."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"schedule_command": in_templates("schedule_command", "_schedule.schedule_command")}
