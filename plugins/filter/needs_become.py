# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: needs_become
short_description: Decide whether a task that is delegated to a host has to become root there
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Never on the controller, which is C(localhost) and where a job runner need not be root. Elsewhere, unless the variable
    C(ansible_become) of the host is false.
  - A delegated task has the privilege escalation of the host that it was written for, which may be another one.

options:
  _input:
    description: The variables of the host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Make a directory where the archives are kept
  ansible.builtin.file:
    path: /srv/swarm-backups
    state: directory
    mode: "0700"
  delegate_to: "{{ archive_host }}"
  vars:
    ansible_become: "{{ hostvars[archive_host] | quorate.swarm.needs_become }}"
"""

RETURN = r"""
_value:
  description: Whether it has to.
  type: bool
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.needs_become."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"needs_become": in_templates("needs_become", "_fleet.needs_become")}
