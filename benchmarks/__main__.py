# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures what the collection costs beside what people do by hand: make bench ARGS="FIGURE...", without ARGS all figures.

Each figure is a module of this directory with a TITLE, an ABOUT and a function measure. Needs root.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / place) for place in ("tests/scenarios", "tests/lab", "build")]

from common import FIGURES, ROUNDS, Bench, save  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the collection costs.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="how often everything is measured (default: %(default)s)"
    )
    options = parser.parse_args()
    wanted = options.figures
    if unknown := sorted(set(wanted) - set(FIGURES)):
        parser.error(f"there is no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    engine = os.environ.get("QUORATE_ENGINE") or "20.10"
    with Bench(engine, options.rounds) as bench:
        for name in [name for name in FIGURES if not wanted or name in wanted]:
            began, load = time.monotonic(), os.getloadavg()[0]
            print(f"{name} (load average {load:.2f})", flush=True)
            series = importlib.import_module(name).measure(bench)
            save(name, series, engine=engine, load=load)
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
