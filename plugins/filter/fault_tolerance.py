# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fault_tolerance
short_description: How many managers of a swarm may fail
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - How many of so many managers may fail at the same time, so that those that stay are the majority.
options:
  _input:
    description: Number of managers.
    type: int
    required: true
seealso:
  - plugin: quorate.swarm.majority
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Want enough managers for the loss of one
  ansible.builtin.assert:
    that: groups['swarm_managers'] | length | quorate.swarm.fault_tolerance >= 1
"""

RETURN = r"""
_value:
  description: The number, 1 for 3 managers and 1 for 4.
  type: int
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.fault_tolerance."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"fault_tolerance": in_templates("fault_tolerance", "_quorum.fault_tolerance", number=True)}
