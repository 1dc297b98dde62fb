# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: copy_plan
short_description: Say what is to be done for each copy of an archive
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Holds what was asked for against what makes sense, and says what is to be done, without any secret.


positional: _input
options:
  _input:
    description: O(quorate.swarm.copy_archive#role:main:copy_archive_copies) of the role P(quorate.swarm.copy_archive#role).
    type: list
    elements: dict
    required: true
  hosts:
    description: The hosts of the inventory.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: See where the copies go
  ansible.builtin.debug:
    msg: "{{ copies | quorate.swarm.copy_plan(hosts=groups.all) | map(attribute='target') }}"
"""

RETURN = r"""
_value:
  description: For each copy C(index), C(to), C(host), C(become), C(directory), C(recipients), C(keep), and C(target), its place in words.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.copy_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"copy_plan": in_templates("copy_plan", "_copies.copy_plan")}
