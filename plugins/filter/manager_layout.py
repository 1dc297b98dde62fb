# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: manager_layout
short_description: Place the managers of a swarm in zones
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Spreads so many managers over zones as evenly as their hosts allow, so that the loss of a zone costs as few of them as
    can be. With three zones these are the layouts of Docker's documentation, such as 2-2-1 for five managers.
  - Each manager goes to the zone that has the fewest and a host left; of several such zones, to the one named first.
options:
  _input:
    description: Number of managers.
    type: int
    required: true
  zones:
    description:
      - Names of the zones, as a list.
      - Or a dictionary of the hosts in each zone, those first that shall rather be managers.
    type: raw
    required: true
seealso:
  - module: quorate.swarm.swarm_quorum
"""

EXAMPLES = r"""
- name: See how five managers are spread over three data centres
  ansible.builtin.debug:
    msg: "{{ 5 | quorate.swarm.manager_layout(zones=['north', 'south', 'west']) }}"

- name: Choose three managers from the hosts of each zone
  ansible.builtin.set_fact:
    managers: "{{ (3 | quorate.swarm.manager_layout(zones=hosts_of_zone)).hosts }}"
  vars:
    hosts_of_zone:
      north: [host1, host2, host3]
      south: [host4]
      west: [host5, host6]
"""

RETURN = r"""
_value:
  description: The layout. An error when the zones have too few hosts, or a host is in two of them.
  type: dict
  contains:
    managers:
      description: Number of managers by zone.
      type: dict
    hosts:
      description:
        - Hosts that shall be managers, in an order in which they are spread at every moment when they join one after the
          other. Empty when only the names of the zones are given.
      type: list
      elements: str
    spread:
      description: The numbers, largest first.
      type: list
      elements: int
    fault_tolerance:
      description: How many managers may fail at the same time.
      type: int
    survives_zone:
      description: Whether the swarm keeps its quorum when any one zone is lost.
      type: bool
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.manager_layout."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"manager_layout": in_templates("manager_layout", "_quorum.manager_layout", number=True)}
