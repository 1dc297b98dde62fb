# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a host finishes or undoes by itself what must not be left half done, when the controller goes away.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import typing as t
from pathlib import Path

#: Two environment variables for the tests of faults alone (tests/faults); where the first is not set, nothing happens.
#: At the point that it names (reached(); of a step it is before it, or "after" and the step if it did not fail) the process writes its
#: process ID to the file C(halted) in the directory that the second names, and goes on when there is a file C(go) beside it.
#: The first process alone: another one that comes there meanwhile is what the test does to it.
HALT_AT, HALT_IN = "QUORATE_SWARM_HALT_AT", "QUORATE_SWARM_HALT_IN"


@contextlib.contextmanager
def uninterrupted() -> t.Iterator[None]:
    """Let a closed connection or a cancelled job not end this process.

    Commands that are run meanwhile inherit it, which is what is wanted of systemctl.
    """
    held = {name: signal.signal(name, signal.SIG_IGN) for name in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for name, handler in held.items():
            signal.signal(name, handler)


class Steps:
    """The steps that an operation took, with their seconds, for its result."""

    def __init__(self) -> None:
        self.taken: list[dict[str, t.Any]] = []

    @contextlib.contextmanager
    def step(self, name: str) -> t.Iterator[None]:
        """Note a step, also when it fails."""
        reached(name)
        began = time.monotonic()
        try:
            yield
        finally:
            self.taken.append({"step": name, "seconds": round(time.monotonic() - began, 3)})
        reached(f"after {name}")


def reached(point: str) -> None:
    """Say that an operation is at a point that a test of faults may name; it halts there then (HALT_AT)."""
    if os.environ.get(HALT_AT) != point:
        return
    directory = Path(os.environ[HALT_IN])
    if (directory / "halted").exists():
        return
    partial = directory / "halted.partial"
    partial.write_text(str(os.getpid()), encoding="ascii")
    partial.rename(directory / "halted")
    while not (directory / "go").exists():
        time.sleep(0.02)
