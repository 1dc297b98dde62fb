# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: report_page
short_description: Lay out a report on all swarms of a run
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Says what a report shows of each swarm, and where in its pictures. The templates of the role C(report) turn it into HTML
    and Markdown.
positional: _input
options:
  _input:
    description: The verdict of P(quorate.swarm.health_verdict#filter).
    type: dict
    required: true
  views:
    description: For each cluster ID, what M(quorate.swarm.swarm_info) returned with C(nodes) and C(services).
    type: dict
  archives:
    description: What M(quorate.swarm.swarm_backup_info) returned of all archives that were found.
    type: list
    elements: dict
    default: []
  keys:
    description:
      - For each cluster ID, the unlock keys in the escrow, each with C(fingerprint), C(created) and C(retired). The keys
        themselves are not needed.
    type: dict
  names:
    description: A name for each cluster ID.
    type: dict
  now:
    description: The time, in seconds since 1970; by default the current one.
    type: float
"""

EXAMPLES = r"""
- name: Write a report of your own
  ansible.builtin.template:
    src: report.txt.j2
    dest: /srv/reports/swarms.txt
    mode: "0644"
  vars:
    page: "{{ health_result | quorate.swarm.report_page(names={'2jt0p6gm4xvnq8b1w5yk3zr7c': 'production'}) }}"
"""

RETURN = r"""
_value:
  description:
    - C(generated) (the time), C(worst), C(verdict) (in words), C(counts) by severity, C(others) (hosts in no swarm) and
      C(swarms).
    - Each swarm has C(id), C(name), C(worst), C(verdict), C(summary), C(counts), C(findings), C(quorum), C(picture), C(autolock),
      C(nodes), C(services), C(unlock_keys), C(certificates) and C(backups).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.report_page."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"report_page": in_templates("report_page", "_report_page.report_page")}
