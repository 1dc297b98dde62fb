# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: majority
short_description: The least number of managers that a swarm needs
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - How many of so many managers must reach one another, so that the swarm has a leader and can be changed.
options:
  _input:
    description: Number of managers.
    type: int
    required: true
seealso:
  - plugin: quorate.swarm.fault_tolerance
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Say how many must be up
  ansible.builtin.debug:
    msg: "{{ groups['swarm_managers'] | length | quorate.swarm.majority }} managers must be up"
"""

RETURN = r"""
_value:
  description: The number, 2 for 3 managers.
  type: int
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.majority."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"majority": in_templates("majority", "_quorum.majority", number=True)}
