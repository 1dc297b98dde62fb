# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: place_command
short_description: Write the command that makes a place for an archive on its way
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - An archive holds the keys of a swarm. The place is a folder in C(/var/tmp) that whoever runs the command can read alone.
  - Where a run was killed, the next one for the same purpose, host and archive removes what was left there.
positional: _input
options:
  _input:
    description: The archive, with or without its path.
    type: str
    required: true
  purpose:
    description: What the place is for. No two places of one run have the same.
    type: str
    required: true
  host:
    description: The inventory host for which it is made; many may use the same place to work, such as the controller.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Make a place
  ansible.builtin.command:
    argv: "{{ archive | quorate.swarm.place_command(purpose='unpack', host=inventory_hostname) }}"
  register: place
  changed_when: false

- name: Show it
  ansible.builtin.debug:
    msg: "{{ place.stdout_lines[0] }}, which belongs to user {{ place.stdout_lines[1] }}"
"""

RETURN = r"""
_value:
  description: The words of the command. It prints the path of the place, and in a second line the ID of the user.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.place_command."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"place_command": in_templates("place_command", "_copies.place_command")}
