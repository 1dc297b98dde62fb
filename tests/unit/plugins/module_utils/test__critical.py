# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._critical import HALT_AT, HALT_IN, Steps, uninterrupted

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


def test_no_step_halts_where_nobody_asked_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(HALT_AT, raising=False)
    monkeypatch.setenv(HALT_IN, str(tmp_path))
    steps = Steps()
    with steps.step("copy"):
        pass
    monkeypatch.setenv(HALT_AT, "stop")
    with steps.step("copy"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("point", "took"), [("copy", []), ("after copy", ["copy"])])
def test_a_test_of_faults_halts_a_step_and_lets_it_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, point: str, took: list[str]
) -> None:
    monkeypatch.setenv(HALT_AT, point)
    monkeypatch.setenv(HALT_IN, str(tmp_path))
    steps = Steps()
    seen: list[tuple[list[str], str]] = []

    def look(dummy: float) -> None:  # stands for time.sleep, so it is called once for each look at the file
        seen.append(([entry["step"] for entry in steps.taken], (tmp_path / "halted").read_text()))
        if len(seen) == 2:
            (tmp_path / "go").touch()

    monkeypatch.setattr("time.sleep", look)
    with steps.step("copy"):
        pass
    with steps.step("start"):
        pass
    assert seen == [(took, str(os.getpid()))] * 2
    assert [entry["step"] for entry in steps.taken] == ["copy", "start"]


def test_another_process_at_the_same_step_does_not_halt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(HALT_AT, "copy")
    monkeypatch.setenv(HALT_IN, str(tmp_path))
    (tmp_path / "halted").write_text("1")
    with Steps().step("copy"):
        pass
    assert (tmp_path / "halted").read_text() == "1"


def test_a_step_that_failed_does_not_halt_afterwards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(HALT_AT, "after copy")
    monkeypatch.setenv(HALT_IN, str(tmp_path))
    with pytest.raises(ValueError, match="broken"), Steps().step("copy"):
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == []
