# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_report
short_description: Say how a swarm stands after its restore
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Puts what was archived beside what is there, as lines for people.
positional: _input
options:
  _input:
    description: What M(quorate.swarm.swarm_info) returned on the restored manager.
    type: dict
    required: true
  manifest:
    description: The manifest of the archive, or null for an archive without one.
    type: dict
  quorum:
    description: What M(quorate.swarm.swarm_quorum) returned with O(quorate.swarm.swarm_quorum#module:report_only).
    type: dict
"""

EXAMPLES = r"""
- name: Report
  ansible.builtin.debug:
    msg: "{{ swarm | quorate.swarm.restore_report(manifest=backups.archives[0].manifest) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils import _fleet
from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


def restore_report(swarm: t.Any, manifest: t.Any = None, quorum: t.Any = None) -> t.Any:
    return _fleet.restore_report(swarm, manifest=manifest, quorum=quorum)


class FilterModule:
    """The filter quorate.swarm.restore_report."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"restore_report": in_templates("restore_report", restore_report)}
