# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prometheus_metrics
short_description: Say what a run found as metrics for Prometheus
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Makes the files that the textfile collector of node_exporter reads, one for each swarm and kind of run.
positional: _input, kind
options:
  _input:
    description:
      - What the run returned. For O(kind=health) the verdict of P(quorate.swarm.health_verdict#filter), for O(kind=backup) the
        result of M(quorate.swarm.swarm_backup), for O(kind=verify) the fact of the role P(quorate.swarm.verify_backup#role).
    type: dict
    required: true
  kind:
    description: What the run was.
    type: str
    choices: [health, backup, verify]
    required: true
  now:
    description: The time, in seconds since 1970; by default the current one.
    type: float
"""

EXAMPLES = r"""
- name: Show the metrics
  ansible.builtin.debug:
    msg: "{{ health_result | quorate.swarm.prometheus_metrics('health') | map(attribute='text') | join }}"
"""

RETURN = r"""
_value:
  description: The files, each with C(file), its name, and C(text), what is in it.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.prometheus_metrics."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prometheus_metrics": in_templates("prometheus_metrics", "_metrics.prometheus_metrics")}
