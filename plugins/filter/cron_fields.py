# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: cron_fields
short_description: Take the five fields of a crontab apart
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Takes the time of a cron job apart, as M(ansible.builtin.cron) wants it.


positional: _input
options:
  _input:
    description: Five fields, such as V(0 2 * * *).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the hour
  ansible.builtin.debug:
    msg: "{{ ('0 2 * * *' | quorate.swarm.cron_fields).hour }}"
"""

RETURN = r"""
_value:
  description: C(minute), C(hour), C(day), C(month) and C(weekday).
  type: dict
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.cron_fields."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"cron_fields": in_templates("cron_fields", "_schedule.cron_fields")}
