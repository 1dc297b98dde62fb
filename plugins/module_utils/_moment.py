# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows in which form facts, manifests and escrows have a time, C(2026-01-31T02:03:04Z), and reports a duration.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import calendar
import time
import typing as t

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def moment(text: str) -> float:
    """Seconds since 1970 of a time in this form. Raises ValueError when it has another one."""
    return calendar.timegm(time.strptime(text, _FORM))


def moment_text(seconds: float | None = None) -> str:
    """A time in this form, by its seconds since 1970; by default the current one."""
    return time.strftime(_FORM, time.gmtime(seconds))


def time_spent(steps: t.Iterable[t.Mapping[str, t.Any]], seconds: t.Any) -> str:
    """How long a run took, and those of its steps that took their time."""
    spent = [f"{step['step']} {step['seconds']:.0f} s" for step in steps if step["seconds"] >= 0.5]
    total = f"{float(seconds):.0f} s in all"
    return f"{total}, of which {', '.join(spent)}" if spent else total
