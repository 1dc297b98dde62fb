# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labs for tests: any number of test runs at the same time, and nothing that a killed one left stays for long.

A test run takes a numbered slot, which no other process can have at the same time. The number makes prefix and subnet.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LabError
from .lab import Lab
from .state import home

LOCKS = Path("/run/lock")
SLOTS = range(1, 255)


@contextmanager
def borrowed_lab(engine: str) -> Iterator[Lab]:
    """Yield a lab of its own, not yet up, and take it down at the end.

    Labs of test runs that were killed are taken down first. Raises LabError when all slots are in use.
    """
    _remove_abandoned()
    for number in SLOTS:
        with _slot(number) as mine:
            if mine:
                with Lab(f"t{number}", subnet=f"10.77.{number}.0/24", engine=engine) as lab:
                    yield lab
                return
    raise LabError("borrow a lab: all slots are in use. Wait for other test runs to end")


@contextmanager
def _slot(number: int) -> Iterator[bool]:
    """Hold the slot *number* and yield whether that was possible."""
    with (LOCKS / f"quorate-lab-t{number}").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _remove_abandoned() -> None:
    for path in (home() / "labs").glob("t*"):
        number = re.fullmatch(r"t(\d+)", path.name)
        if number:
            with _slot(int(number[1])) as mine:
                if mine:
                    Lab(path.name).down()
