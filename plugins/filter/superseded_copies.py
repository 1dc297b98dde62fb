# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: superseded_copies
short_description: Choose the copies of archives that retention removes
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - What no rule keeps, as C(restic forget) would choose it. Each rule goes from the newest to the oldest, and keeps the
    newest of each hour, day, week or month (UTC; weeks begin on Monday) until it has kept as many as it says.


positional: _input, like
options:
  _input:
    description: Paths of the copies in a place. Their names say of which swarm they are, and when they were made.
    type: list
    elements: str
    required: true
  like:
    description:
      - The name of the new copy, which is never chosen. Nor are copies of other swarms, or plain ones when this one is
        encrypted, and the other way round.
    type: str
    required: true
  keep:
    description: C(keep_last), C(keep_hourly), C(keep_daily), C(keep_weekly), C(keep_monthly). Without any nothing is chosen.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: See what would be removed
  ansible.builtin.debug:
    msg: "{{ paths | quorate.swarm.superseded_copies(paths | first, {'keep_daily': 7, 'keep_monthly': 12}) }}"
"""

RETURN = r"""
_value:
  description: The paths to remove, newest first.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.superseded_copies."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"superseded_copies": in_templates("superseded_copies", "_copies.superseded_copies")}
