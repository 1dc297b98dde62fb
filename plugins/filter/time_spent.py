# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: time_spent
short_description: Say how long a run took, and what in it
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Makes one line of the seconds of a whole run, and of the steps that its longest module returned.
  - Steps that took less than half a second are left out.
positional: _input
options:
  _input:
    description: What a module such as M(quorate.swarm.swarm_restore) returned as C(steps).
    type: list
    elements: dict
    required: true
  seconds:
    description: How long the whole run took.
    type: float
    required: true
"""

EXAMPLES = r"""
- name: Say how long it took
  ansible.builtin.debug:
    msg: "{{ restored.steps | quorate.swarm.time_spent(seconds=77) }}"
"""

RETURN = r"""
_value:
  description: The line.
  type: str
  sample: "77 s in all, of which stop 2 s, start 3 s, force a new cluster 9 s"
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.time_spent."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"time_spent": in_templates("time_spent", "_moment.time_spent")}
