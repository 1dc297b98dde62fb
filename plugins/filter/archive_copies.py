# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: archive_copies
short_description: Pick the archives among paths
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Those that have the name of an archive, encrypted with age or not. Nothing is read.


positional: _input
options:
  _input:
    description: Paths.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Find the newest archive
  ansible.builtin.debug:
    msg: "{{ found.files | map(attribute='path') | quorate.swarm.archive_copies | first }}"
"""

RETURN = r"""
_value:
  description: Those paths, newest first.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.archive_copies."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"archive_copies": in_templates("archive_copies", "_copies.archive_copies")}
