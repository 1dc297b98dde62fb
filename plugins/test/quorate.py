# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: quorate
short_description: Whether a swarm has a quorum
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - True when the manager that was asked knows a leader, and the majority of the managers is reachable.
  - False for a host that sees no quorum, whatever the reason. RV(quorate.swarm.swarm_info#module:state) tells it.
  - That a swarm has a quorum does not mean that all is well. RV(quorate.swarm.swarm_info#module:quorum) has the
    reasons.
options:
  _input:
    description: What M(quorate.swarm.swarm_info) returned, or RV(quorate.swarm.swarm_info#module:quorum) in it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Look
  quorate.swarm.swarm_info:
  register: swarm

- name: Go on only with a quorum
  ansible.builtin.assert:
    that: swarm is quorate.swarm.quorate
"""

RETURN = r"""
_value:
  description: Whether there is a quorum. An error for the result of a task that failed or was skipped.
  type: bool
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class TestModule:
    """The test quorate.swarm.quorate."""

    def tests(self) -> dict[str, t.Callable[..., bool]]:
        return {"quorate": in_templates("quorate", "_quorum.is_quorate")}
