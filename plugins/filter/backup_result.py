# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_result
short_description: Tell what became of the backup of each swarm, as values
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Turns the plan of P(quorate.swarm.backup_plan#filter) and the outcomes on the hosts into one result.

positional: _input, outcomes
options:
  _input:
    description: The plan.
    type: dict
    required: true
  outcomes:
    description: For each host that was taken, C(result) of M(quorate.swarm.swarm_backup) or C(problem), and C(collected)
      and C(copies).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: See which swarms have an archive
  ansible.builtin.debug:
    msg: "{{ (plan | quorate.swarm.backup_result(outcomes)).swarms | map(attribute='archive') }}"
"""

RETURN = r"""
_value:
  description:
    - C(good), whether nothing failed.
    - C(swarms), each with C(cluster_id), C(host), C(good), C(problem), C(archive), C(checksum), C(size), C(downtime) and
      C(collected).
    - C(retry), the hosts that another run may be limited to, which does again what failed.
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.backup_result."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"backup_result": in_templates("backup_result", "_backup_result.backup_result")}
