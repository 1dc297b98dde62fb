# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows how to run commands of the lab machine and how to do one thing to many hosts at once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .errors import LabError

T = TypeVar("T")
R = TypeVar("R")


def execute(
    argv: Sequence[str],
    *,
    check: bool = True,
    input: str | None = None,
    timeout: float | None = 120,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run *argv* and return its result; *timeout* in seconds.

    Raises LabError with the command and the end of its standard error when it fails and *check* is true, and
    whenever it is missing or does not end in time.
    """
    try:
        result = subprocess.run(
            list(argv),
            check=False,
            # without input the command must not read the terminal of the caller
            input="" if input is None else input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=env,
        )
    except FileNotFoundError as error:
        raise LabError(
            f"cannot run {argv[0]}: {error}. Install the packages listed in tests/lab/packages.txt"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)}: still running after {timeout} s") from error
    if check and result.returncode != 0:
        raise LabError(
            f"{' '.join(argv)}: exit status {result.returncode}: {(result.stderr or result.stdout).strip()[-2000:]}"
        )
    return result


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Call *function* once for every item at the same time and return the results in order.

    All calls are finished when it returns; the first exception, if any, is raised then.
    """
    work = list(items)
    if not work:
        return []
    with ThreadPoolExecutor(max_workers=len(work)) as pool:
        return list(pool.map(function, work))


def wait_until(condition: Callable[[], bool], *, timeout: float, what: str, interval: float = 0.05) -> None:
    """Ask *condition* every *interval* seconds until it is true.

    Raises LabError saying *what* was waited for after *timeout* seconds.
    """
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"waited {timeout:g} s for {what}")
        time.sleep(interval)
