# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: verify_result
short_description: Tell which archives are good, as values
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Turns what the role P(quorate.swarm.verify_backup#role) found on each host into one result.

positional: _input
options:
  _input:
    description: For each host, its C(verify_backup_result).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: See which archives are good
  ansible.builtin.debug:
    msg: "{{ (results | quorate.swarm.verify_result).archives | selectattr('good') | map(attribute='archive') }}"
"""

RETURN = r"""
_value:
  description:
    - C(good), whether there are archives, and all of them are good.
    - C(archives), each with C(host), C(archive), C(cluster_id), C(level), C(good) and C(problem).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.verify_result."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"verify_result": in_templates("verify_result", "_fleet.verify_result")}
