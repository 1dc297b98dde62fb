# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab of real Docker Engine hosts in systemd-nspawn on one Debian machine."""

from __future__ import annotations

from .errors import LabError
from .lab import Host, Lab

__all__ = ["Host", "Lab", "LabError"]
