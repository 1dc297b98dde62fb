# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of plugins need: an engine that is not there, and time that does not pass."""

from __future__ import annotations

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _wait
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """Return the API that every Engine talks to in this test."""
    fake = FakeApi()
    monkeypatch.setattr("docker.APIClient", fake.connect)
    return fake


class Clock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def time(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += max(seconds, 0.001)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let waiting take no time in this test."""
    clock = Clock()
    defaults = _wait.wait_for.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "clock", clock.time)
    monkeypatch.setitem(defaults, "pause", clock.pause)
    return clock
