# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: host_addresses
short_description: Names and addresses by which a swarm may know an inventory host
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Looks at C(inventory_hostname), C(ansible_host) and C(swarm_advertise_address).

options:
  _input:
    description: The variables of the host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Look
  ansible.builtin.debug:
    msg: "{{ hostvars['m1'] | quorate.swarm.host_addresses }}"
"""

RETURN = r"""
_value:
  description: The names and addresses, each once.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.host_addresses."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"host_addresses": in_templates("host_addresses", "_fleet.host_addresses")}
