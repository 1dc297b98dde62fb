# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment, moment_text, time_spent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1769824984, "2026-01-31T02:03:04Z"), (1709164800, "2024-02-29T00:00:00Z")],
)
def test_a_time_and_its_text(seconds: int, text: str) -> None:
    assert moment(text) == seconds
    assert moment_text(seconds) == text


def test_the_current_time() -> None:
    assert abs(moment(moment_text()) - time.time()) < 5


@pytest.mark.parametrize("text", ["", "2026-01-31", "2026-01-31T02:03:04+00:00", "2026-02-30T00:00:00Z"])
def test_another_form_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        moment(text)


@pytest.mark.parametrize(
    ("steps", "seconds", "line"),
    [
        ([], "14.2", "14 s in all"),
        ([("copy", 0.04), ("look", 0.499)], 3, "3 s in all"),
        ([("stop", 1.6), ("copy", 0.1), ("start", 3.2)], 76.9, "77 s in all, of which stop 2 s, start 3 s"),
    ],
)
def test_the_time_of_a_run(steps: list[tuple[str, float]], seconds: Any, line: str) -> None:
    assert time_spent([{"step": step, "seconds": spent} for step, spent in steps], seconds=seconds) == line
