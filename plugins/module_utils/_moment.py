# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows in which form facts, manifests and escrows have a time: C(2026-01-31T02:03:04Z).

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import calendar
import time

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def moment(text: str) -> float:
    """Seconds since 1970 of a time in this form. Raises ValueError when it has another one."""
    return calendar.timegm(time.strptime(text, _FORM))


def moment_text(seconds: float | None = None) -> str:
    """A time in this form, by its seconds since 1970; by default the current one."""
    return time.strftime(_FORM, time.gmtime(seconds))
