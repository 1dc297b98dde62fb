# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._critical import Steps, uninterrupted

SIGNALS = [signal.SIGHUP, signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def handlers() -> Any:
    """Note the signals that get through, and put pytest's own handlers back."""
    caught: list[int] = []
    held = {name: signal.signal(name, lambda number, dummy: caught.append(number)) for name in SIGNALS}
    yield caught
    for name, handler in held.items():
        signal.signal(name, handler)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_does_not_interrupt(handlers: list[int], name: signal.Signals) -> None:
    os.kill(os.getpid(), name)
    with uninterrupted():
        os.kill(os.getpid(), name)
        assert handlers == [name]
    assert handlers == [name]


@pytest.mark.parametrize("name", SIGNALS)
def test_afterwards_signals_work_again_also_when_it_failed(handlers: list[int], name: signal.Signals) -> None:
    with pytest.raises(ValueError, match="broken"), uninterrupted():
        raise ValueError("broken")
    os.kill(os.getpid(), name)
    assert handlers == [name]


def test_commands_that_are_run_meanwhile_are_not_interrupted_either() -> None:
    with uninterrupted():
        ended = subprocess.run(
            [sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 1); os.kill(os.getpid(), 15)"], check=False
        )
    assert ended.returncode == 0


def test_steps_are_noted_in_order_with_their_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 101.23456, 200.0, 200.5])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    steps = Steps()
    with steps.step("stop"):
        pass
    with steps.step("copy"):
        pass
    assert steps.taken == [{"step": "stop", "seconds": 1.235}, {"step": "copy", "seconds": 0.5}]


def test_the_step_that_failed_is_noted_too() -> None:
    steps = Steps()
    with pytest.raises(ValueError, match="broken"), steps.step("start"):
        raise ValueError("broken")
    assert [entry["step"] for entry in steps.taken] == ["start"]
