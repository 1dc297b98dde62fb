# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: name_list
short_description: Take names as a list, also when the command line made a text of them
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Splits a text at its commas, as Ansible does for the list of a module. A list stays as it is.
positional: _input
options:
  _input:
    description: Names, as a list or as one text.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Look at all managers but those that are lost, also with -e lost=m2,m3
  ansible.builtin.debug:
    msg: "{{ groups['swarm_managers'] | difference(lost | quorate.swarm.name_list) }}"
"""

RETURN = r"""
_value:
  description: The names.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.name_list."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"name_list": in_templates("name_list", "_fleet.name_list")}
