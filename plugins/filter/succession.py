# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: succession
short_description: Decide what a node gets of the nodes that its host was before
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - A host that leaves a swarm and joins again is a new node, without labels, and active. The former node keeps them until
    the new one has them, and is removed then.

positional: _input
options:
  _input:
    description: The nodes of the swarm, as M(quorate.swarm.swarm_info) lists them.
    type: list
    elements: dict
    required: true
  node_id:
    description: The node that the host is now.
    type: str
    required: true
  former:
    description:
      - Nodes that are gone, as M(quorate.swarm.swarm_info) lists or listed them, the one that has the say first. Those of
        another host name than that of the node are passed over.
      - Nodes that are down, out of the quorum, and of the same host name and address are former ones without being named.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Decide what the new node gets
  ansible.builtin.set_fact:
    succession: "{{ swarm.nodes | quorate.swarm.succession(node_id=joined.node_id, former=before.nodes) }}"
"""

RETURN = r"""
_value:
  description:
    - C(give), with C(labels) and C(availability), or empty when the node has some of its own or there is nothing to give; and
      C(remove), the former nodes that are listed still, each with C(id) and C(name).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.succession."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"succession": in_templates("succession", "_roster.succession")}
