# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs operations of the collection under faults, one line a case, and writes docs/faults.md and docs/faults.json.

Usage: .venv/bin/python tests/faults [--list] [--operation NAME] [--point NAME] [--fault NAME] [--seed N] [--engine VERSION]
                                        [--labs N] [--again] [--limit SECONDS]

Without a filter all cases run that were not survived yet with this seed and engine (build/faults/results.json, or
docs/faults.json where there is none), so that an interrupted run goes on where it was; a filter, or --again, runs cases
again. At the end of a run without a filter the results are written into docs/. The exit status is 0 when no case of this
run failed.
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import shlex
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from faults.case import FAILED, run_case
from faults.injections import FAULTS
from faults.results import Results
from faults.scene import Scene
from faults.table import Case, all_cases, selected
from helpers.runner import Runner

from quorate_lab.slots import borrowed_lab


class Queue:
    """The cases that are still to do, for several labs."""

    def __init__(self, cases: list[Case], results: Results, seed: int, until: float) -> None:
        self._cases = deque(cases)
        self._results = results
        self._seed = seed
        self._until = until
        self._total = len(cases)
        self._lock = threading.Lock()
        self.failed = 0
        self.done = 0

    def next(self) -> Case | None:
        with self._lock:
            return self._cases.popleft() if self._cases and time.monotonic() < self._until else None

    def work(self, engine: str) -> None:
        """Run cases in a lab of its own until there are no more."""
        with borrowed_lab(engine) as lab, tempfile.TemporaryDirectory(prefix="quorate-faults-") as directory:
            (Path(directory) / "runs").mkdir()
            scene = Scene(lab, Runner(Path(directory) / "runs"), Path(directory))
            while (case := self.next()) is not None:
                try:
                    result = run_case(scene, case, self._seed)
                except Exception:
                    print(f"      {replay(case, self._seed, engine)}", flush=True)
                    traceback.print_exc()
                    scene.stale = True
                    continue
                with self._lock:
                    self._results.add(result)
                    self.done += 1
                    self.failed += result.outcome == FAILED
                    seconds = "" if result.seconds is None else f"{result.seconds:.0f} s"
                    told = (
                        f"{self.done}/{self._total}  {result.outcome:<22}  {seconds:>5}  ({result.took:.0f} s)  {case}"
                    )
                    print(told, flush=True)
                    for line in [*result.before_rerun, result.help]:
                        if line:
                            print(f"      before the rerun: {line}", flush=True)
                    for line in result.violated:
                        print(f"      VIOLATED: {line}", flush=True)
                    if result.violated:
                        print(f"      again: {replay(case, self._seed, engine)}", flush=True)


def replay(case: Case, seed: int, engine: str) -> str:
    """The command that runs a case again."""
    words = ["--operation", case.operation, "--point", str(case.point), "--fault", case.fault, "--seed", str(seed)]
    return f"make faults ARGS={shlex.quote(shlex.join([*words, '--engine', engine]))}"


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    parser = argparse.ArgumentParser(description="Run operations under faults.")
    parser.add_argument("--list", action="store_true", help="only list the cases")
    parser.add_argument("--operation", default="", help="only cases of this operation")
    parser.add_argument("--point", default="", help="only at this point, or at points whose name matches this pattern")
    parser.add_argument("--fault", default="", help="only with this fault")
    parser.add_argument("--seed", type=int, default=1, help="decides delays, choices and the order")
    parser.add_argument("--engine", default=os.environ.get("QUORATE_ENGINE") or "20.10")
    parser.add_argument("--labs", type=int, default=4, help="labs at the same time")
    parser.add_argument("--again", action="store_true", help="also run cases that were survived")
    parser.add_argument("--limit", type=float, default=80 * 60, help="begin no case after so many seconds")
    options = parser.parse_args()
    cases = selected(options.operation, options.point, options.fault)
    if not cases:
        parser.error("there is no such case, see --list")
    if options.list:
        print("\n".join(map(str, cases)))
        print(f"{len(cases)} cases")
        return 0
    filtered = bool(options.operation or options.point or options.fault)
    results = Results()
    if not filtered and not options.again:
        cases = [case for case in cases if not results.has(case, options.seed, options.engine)]
    random.Random(options.seed).shuffle(cases)
    cases.sort(key=lambda case: list(FAULTS).index(case.fault))  # a run that is interrupted has seen the worst ones
    began = time.monotonic()
    queue = Queue(cases, results, options.seed, began + options.limit)
    lanes = [
        threading.Thread(target=queue.work, args=[options.engine]) for dummy in range(min(options.labs, len(cases)))
    ]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    if not filtered:
        results.write_docs(all_cases())
    took = datetime.timedelta(seconds=round(time.monotonic() - began))
    print(f"{queue.done} of {len(cases)} cases in {took}, {queue.failed} failed")
    return 1 if queue.failed or queue.done < len(cases) else 0


if __name__ == "__main__":
    sys.exit(main())
