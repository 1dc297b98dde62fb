# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Callable

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    Locked,
    SwarmError,
    TimedOut,
    Unsettled,
)
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock


def probe(*seen: int | SwarmError) -> Callable[[], int]:
    """Return a probe that sees these things, one at a time; the last stays."""
    left: list[int | SwarmError] = list(seen)

    def look() -> int:
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, SwarmError):
            raise now
        return now

    return look


def test_returns_the_awaited_answer(clock: Clock) -> None:
    assert wait_for(probe(1, 2, 3), lambda seen: seen == 3, attempted="see 3", timeout=10) == 3
    assert clock.pauses == [0.5, 0.5]


def test_probes_once_when_there_is_no_time(clock: Clock) -> None:
    assert wait_for(probe(3), lambda seen: seen == 3, attempted="see 3", timeout=0) == 3
    assert clock.pauses == []


def test_says_the_last_thing_seen_when_the_time_is_up(clock: Clock) -> None:
    with pytest.raises(TimedOut, match=r"Could not see 3: not within 2 s; the last thing seen was 1\. Try\.$"):
        wait_for(probe(1), lambda seen: seen == 3, attempted="see 3", timeout=2, remedy="Try")
    assert clock.now == 1002


def test_does_not_sleep_beyond_its_time(clock: Clock) -> None:
    with pytest.raises(TimedOut):
        wait_for(probe(1), lambda seen: seen == 3, attempted="see 3", timeout=2, sleep=1.5)
    assert clock.pauses == [1.5, 0.5]


def test_tolerated_errors_mean_not_yet(clock: Clock) -> None:
    look = probe(Unsettled("read", "it hangs"), 3)
    assert wait_for(look, lambda seen: seen == 3, attempted="see 3", timeout=2, tolerate=(Unsettled,)) == 3


def test_a_tolerated_error_is_the_cause_when_the_time_is_up(clock: Clock) -> None:
    look = probe(Unsettled("read", "it hangs"))
    with pytest.raises(TimedOut, match="not within 1 s; Could not read: it hangs"):
        wait_for(look, lambda seen: seen == 3, attempted="see 3", timeout=1, tolerate=(Unsettled,))


def test_other_errors_end_the_wait(clock: Clock) -> None:
    with pytest.raises(Locked):
        wait_for(probe(Locked("read", "locked")), lambda dummy: True, attempted="see", timeout=9, tolerate=(Unsettled,))
    assert clock.pauses == []
