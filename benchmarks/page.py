# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes benchmarks/results.md and a chart of each figure in docs/benchmarks, from the results that were kept."""

from __future__ import annotations

import importlib
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / place) for place in ("tests/scenarios", "tests/lab", "build")]

import matplotlib  # noqa: E402
from common import FIGURES, RESULTS, ROOT, Series  # noqa: E402

PAGE = ROOT / "benchmarks" / "results.md"
CHARTS = ROOT / "docs" / "benchmarks"
HEAD = """# What it costs

Measured on real hosts by `make bench`, which also writes this page and its charts. The figures are in
`benchmarks/results/`.

Every figure is a ratio to a baseline that was measured in the same run on the same lab, one right after the other, in turns
from the first to the last and from the last to the first. A ratio is the median of its rounds, with the least and the most
of them behind it. Seconds are those of the machine of that figure, with its load average (jobs that wait for a
processor) before the figure began, and say nothing about another machine.
"""
#: Text stays text, and neither a date nor random names of elements change a chart that shows the same.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "quorate", "font.family": "sans-serif", "font.size": 9}
INK, GOOD, BAD = "#37474f", "#2e7d32", "#c62828"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def spread(values: Sequence[float]) -> str:
    """The median, with the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def short(value: float) -> str:
    """A number with three digits at least."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def goal(series: Series, subject: str) -> str:
    """What was aimed at, and whether it was met."""
    met = series.is_met(subject)
    if met is None:
        return ""
    aim = f"{series.goals[subject]:.2f}" if subject in series.goals else f"{series.limits[subject]:g} {series.unit}"
    return f"{aim}, {'met' if met else 'missed'}"


def rows_of(series: Series) -> Iterator[list[str]]:
    for subject in series.subjects():
        row = [series.case, subject, spread(series.ratios(subject)), goal(series, subject)]
        row += [short(statistics.median(series.values[name])) for name in (subject, series.baseline)]
        if series.memory:
            row += [short(max(series.memory[name])) for name in (subject, series.baseline) if name in series.memory]
        yield row


def section(name: str, result: Mapping[str, Any], all_series: Sequence[Series]) -> list[str]:
    """What the page says of one figure."""
    figure = importlib.import_module(name)
    first = all_series[0]
    header = ["case", "what", f"times {first.baseline}", "goal", first.unit, f"{first.baseline}, {first.unit}"]
    if first.memory:
        header += ["MB of memory", *([f"{first.baseline}, MB"] if first.baseline in first.memory else [])]
    lines = [
        *(f"## {figure.TITLE}", "", figure.ABOUT.strip(), ""),
        *(f"![{figure.TITLE}](../docs/benchmarks/{name}.svg)", ""),
        *table(header, [row for series in all_series for row in rows_of(series)]),
        "",
    ]
    for series in all_series:
        if series.spent:
            steps = ", ".join(f"{step} {short(seconds)}" for step, seconds in series.spent.items())
            lines += [f"Median seconds by step, {series.case}: {steps}.", ""]
    if hasattr(figure, "REMAINS"):
        lines += [figure.REMAINS.strip(), ""]
    counts = dict.fromkeys(str(len(series.values[series.baseline])) for series in all_series)
    lines += [
        f"{' and '.join(counts)} rounds; {result['machine']}; Engine {result['engine']}; Python {result['python']}; {result['date']}; "
        f"load average {result['load']}.",
        "",
    ]
    return lines


def draw(name: str, all_series: Sequence[Series]) -> None:
    """A chart: of each subject the median, with the least and the most, beside the baseline."""
    plots = matplotlib.pyplot
    absolute = any(series.limits for series in all_series)
    bars = [
        (series, subject) for series in all_series for subject in (series.values if absolute else series.subjects())
    ]
    figure, axes = plots.subplots(figsize=(7.2, 0.7 + 0.34 * len(bars)), layout="constrained")
    largest = 0.0
    for position, (series, subject) in enumerate(bars):
        values = series.values[subject] if absolute else series.ratios(subject)
        middle = statistics.median(values)
        colour = {None: INK, True: GOOD, False: BAD}[series.is_met(subject)]
        axes.barh(position, middle, height=0.55, color=colour, alpha=0.75)
        axes.hlines(position, min(values), max(values), color=INK, linewidth=1.2)
        aim = series.limits.get(subject) if absolute else series.goals.get(subject)
        if aim is not None:
            axes.vlines(aim, position - 0.4, position + 0.4, color="black", linewidth=2)
        largest = max(largest, *values)
    if absolute:
        axes.set_xlabel(f"{all_series[0].unit} (black: the limit)")
    else:
        axes.axvline(1, color=INK, linewidth=0.8, linestyle="--")
        axes.set_xlabel(f"times {all_series[0].baseline} (black: the goal)")
    if largest > 20:
        axes.set_xscale("log")
    axes.set_yticks(range(len(bars)), [f"{series.case}: {subject}" for series, subject in bars])
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(CHARTS / f"{name}.svg", metadata={"Date": None, "Creator": None})
    plots.close(figure)


def main() -> None:
    importlib.import_module("matplotlib.pyplot")
    matplotlib.rcParams.update(STYLE)
    CHARTS.mkdir(exist_ok=True)
    lines = [HEAD]
    for name in FIGURES:
        kept = RESULTS / f"{name}.json"
        if kept.exists():
            result = json.loads(kept.read_text())
            all_series = [Series(**each) for each in result["series"]]
            lines += section(name, result, all_series)
            draw(name, all_series)
    PAGE.write_text("\n".join(lines).rstrip() + "\n")
    print(f"The page is {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
