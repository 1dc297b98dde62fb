# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: address_traces
short_description: Find where a swarm still uses an address
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Looks at the interfaces of the hosts, at what they know of themselves and of their managers, and at the node list.

positional: _input
options:
  _input:
    description:
      - For each inventory host, the result of M(quorate.swarm.swarm_info) with C(nodes), C(identity) and C(addresses). A host
        that could not be reached is passed over.
    type: dict
    required: true
  address:
    description: The address.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Fail when the old address is in use
  ansible.builtin.assert:
    that: infos | quorate.swarm.address_traces(address='10.0.0.11') | length == 0
"""

RETURN = r"""
_value:
  description: Each place in words; none when the list is empty.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.address_traces."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"address_traces": in_templates("address_traces", "_move.address_traces")}
