# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: superseded_archives
short_description: Choose the archives of a swarm that retention removes
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Good archives of the swarm beyond the newest O(keep). Bad ones and those of other swarms are never chosen.

positional: _input
options:
  _input:
    description: RV(quorate.swarm.swarm_backup_info#module:archives) of M(quorate.swarm.swarm_backup_info).
    type: list
    elements: dict
    required: true
  cluster_id:
    description: Cluster ID of the swarm.
    type: str
    required: true
  keep:
    description: How many to keep. At least one is kept.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Look
  ansible.builtin.debug:
    msg: "{{ backups.archives | quorate.swarm.superseded_archives(cluster_id=swarm.cluster.id, keep=14) }}"
"""

RETURN = r"""
_value:
  description: Paths of the archives, newest first.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils import _fleet
from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


def superseded_archives(archives: t.Any, cluster_id: str, keep: int) -> t.Any:
    return _fleet.superseded_archives(archives, cluster_id=cluster_id, keep=int(keep))


class FilterModule:
    """The filter quorate.swarm.superseded_archives."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"superseded_archives": in_templates("superseded_archives", superseded_archives)}
