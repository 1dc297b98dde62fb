# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rotation_unproven
short_description: Say which managers have not proven that they have the current unlock key
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Takes what M(quorate.swarm.swarm_unlock_key) returned on each manager, and gives a reason for each that has not proven
    on its disk that it has the current key.

positional: _input
options:
  _input:
    description: Results of a loop over hosts with the loop variable C(__rotate_unlock_key_host).
    type: list
    elements: dict
    required: true
  current:
    description: Fingerprint of the current key; null when autolock is off.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Judge
  ansible.builtin.debug:
    msg: "{{ proof.results | quorate.swarm.rotation_unproven(current=now.unlock_key_fingerprint) }}"
"""

RETURN = r"""
_value:
  description: The reasons.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.rotation_unproven."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rotation_unproven": in_templates("rotation_unproven", "_rotation.rotation_unproven")}
