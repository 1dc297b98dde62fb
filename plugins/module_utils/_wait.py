# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to wait: probe, judge, sleep, until a time is up.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, TimedOut

Seen = t.TypeVar("Seen")


def wait_for(
    probe: t.Callable[[], Seen],
    done: t.Callable[[Seen], bool],
    *,
    attempted: str,
    timeout: float,
    sleep: float = 0.5,
    tolerate: tuple[type[SwarmError], ...] = (),
    remedy: str = "",
    clock: t.Callable[[], float] = time.monotonic,
    pause: t.Callable[[float], None] = time.sleep,
) -> Seen:
    """Probe until the answer is the awaited one, and return that answer.

    Args:
        probe: Reads the world once.
        done: Pure predicate over what was read.
        attempted: What is waited for, for the error ("see this manager reachable").
        timeout: Seconds. The probe is always made at least once.
        sleep: Seconds between two probes.
        tolerate: Kinds of error of the probe that mean "not yet".
        remedy: What to do when the time is up.

    Raises:
        TimedOut: The time is up; the cause is the last answer or the last tolerated error.
    """
    end = clock() + timeout
    while True:
        try:
            seen = probe()
            if done(seen):
                return seen
            last = f"the last thing seen was {seen!r}"
        except tolerate as error:
            last = str(error)
        if clock() >= end:
            raise TimedOut(attempted, f"not within {timeout:g} s; {last}", remedy, timeout=timeout)
        pause(min(sleep, max(0.0, end - clock())))
