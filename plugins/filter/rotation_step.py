# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rotation_step
short_description: Decide what is to be done to the unlock key of a swarm
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Takes what the escrow knows of a swarm, and says whether its key is to be rotated now, or an earlier rotation has to be
    finished.

positional: _input
options:
  _input:
    description: Entries of the escrow, as P(quorate.swarm.unlock_key_escrow#role) sets them.
    type: list
    elements: dict
    required: true
  current:
    description: Fingerprint of the current key; null when autolock is off.
    type: str
    required: true
  missing:
    description: Names of the managers that are away.
    type: list
    elements: str
    default: []
  autolock:
    description: What is asked for.
    type: str
    choices: [unchanged, enabled, disabled]
    default: unchanged
  policy:
    description: When a key is rotated.
    type: str
    choices: [always, older_than, never]
    default: always
  anew:
    description: Nothing was interrupted, because the swarm was restored.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Decide
  ansible.builtin.debug:
    msg: "{{ unlock_key_escrow_entries | quorate.swarm.rotation_step(current=now.unlock_key_fingerprint) }}"
"""

RETURN = r"""
_value:
  description:
    - C(rotate), C(autolock) and C(created) for M(quorate.swarm.swarm_unlock_key), C(needed), the fingerprints of other keys
      that are not retired, and C(interrupted). No key.
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.rotation_step."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rotation_step": in_templates("rotation_step", "_rotation.rotation_step")}
