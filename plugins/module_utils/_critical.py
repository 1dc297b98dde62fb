# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a host finishes or undoes by itself what must not be left half done, when the controller goes away.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import signal
import time
import typing as t


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
        began = time.monotonic()
        try:
            yield
        finally:
            self.taken.append({"step": name, "seconds": round(time.monotonic() - began, 3)})
