# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how the options about the engine's service in module_utils/_argspec.py are documented."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  service_name:
    description:
      - Name of the engine's service. With systemd, the socket unit of the same name is stopped and started with it.
    type: str
    default: docker
"""
