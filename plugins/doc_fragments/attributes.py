# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how the attributes that all modules state are worded."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
  diff_mode:
    description: Returns what changed, or would change in C(check_mode), when run in diff mode.
  idempotent:
    description: When run twice in a row outside check mode with the same arguments, the second run changes nothing.
  platform:
    description: Target operating systems that the module can run on.
    platforms: posix
    support: full
  action_group:
    description: Use C(group/quorate.swarm.swarm) in C(module_defaults) to set options for this module.
    support: full
    membership:
      - quorate.swarm.swarm
"""

    INFO_MODULE = r"""
attributes:
  check_mode:
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    support: full
    details:
      - This module changes nothing.
"""
