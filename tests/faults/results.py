# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps the results of cases, and writes them down for readers."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from faults.case import ALONE, FAILED, RERUN, Result
from faults.injections import FAULTS
from faults.operations import OPERATIONS
from faults.points import ROOT
from faults.table import Case, left_out

RESULTS = ROOT / "build/faults/results.json"
DOCS = ROOT / "docs"


class Results:
    """The last result of each case, in a file that is written after each. It begins with what the documentation says."""

    def __init__(self, path: Path = RESULTS) -> None:
        self._path = path
        self._entries: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._entries = json.loads(path.read_text())
        elif (DOCS / "faults.json").exists():
            told = json.loads((DOCS / "faults.json").read_text())["cases"]
            self._entries = {_key(entry): entry for entry in told if entry["date"]}

    def has(self, case: Case, seed: int, engine: str) -> bool:
        """Whether this case was survived with this seed and engine."""
        entry = self._entries.get(str(case), {"outcome": FAILED})
        return entry["outcome"] != FAILED and (entry["seed"], entry["engine"]) == (seed, engine)

    def add(self, result: Result) -> None:
        self._entries[_key(result.as_dict())] = result.as_dict()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self._entries, indent=1))
        partial.rename(self._path)

    def write_docs(self, cases: list[Case], directory: Path = DOCS) -> None:
        """Write faults.json and faults.md, with the cases in their order; a case that never ran says so."""
        entries = [
            self._entries.get(str(case)) or Result(case.operation, str(case.point), case.fault, "not run").as_dict()
            for case in cases
        ]
        told = {"cases": entries, "left_out": _left_out()}
        (directory / "faults.json").write_text(json.dumps(told, indent=1) + "\n")
        (directory / "faults.md").write_text(_page(entries))


def _key(entry: dict[str, Any]) -> str:
    return f"{entry['operation']} | {entry['point']} | {entry['fault']}"


def _left_out() -> dict[str, dict[str, dict[str, list[str]]]]:
    """Operation -> point -> reason -> the faults that are left out there for it."""
    told: dict[str, dict[str, dict[str, list[str]]]] = {}
    for operation in OPERATIONS.values():
        for point in operation.points():
            for fault in FAULTS:
                reason = left_out(operation, point, fault)
                if reason:
                    told.setdefault(operation.name, {}).setdefault(str(point), {}).setdefault(reason, []).append(fault)
    return told


def _page(entries: list[dict[str, Any]]) -> str:
    counted = Counter(entry["outcome"] for entry in entries)
    ran = [entry for entry in entries if entry["date"]]
    dates = sorted(entry["date"][:10] for entry in ran)
    told = ", ".join(f"{counted[name]} {name}" for name in (ALONE, RERUN, FAILED, "not run") if counted[name])
    engines = ", ".join(sorted({entry["engine"] for entry in ran}))
    seeds = ", ".join(sorted({str(entry["seed"]) for entry in ran}))
    lines = [
        "# Faults",
        "",
        "Each operation is hit by one fault at one point, on real hosts: three managers with autolock, and a load that writes",
        "through each of them. `make faults` ran it and wrote this page and `docs/faults.json`, which also has the cases that",
        "are left out, with the reasons.",
        "",
        f"{len(entries)} cases: {told}. Docker Engine {engines}; seed {seeds}; {' to '.join(dict.fromkeys(dates[:1] + dates[-1:]))}.",
        "",
        "*Survived alone*: without help the engine runs, the swarm is healthy, the operation is done, every acknowledged write",
        "is there, every archive is good, the keys that are kept open every manager, and nothing of the operation is left. *After a",
        "rerun*: all that is true after the same playbook was run once more; the last column says what was not before. What a",
        "fault locks is unlocked with the playbook `unlock` first: that is what autolock is for. Seconds count from the fault.",
    ]
    for name in OPERATIONS:
        mine = [entry for entry in entries if entry["operation"] == name]
        if not mine:
            continue
        lines += [
            "",
            f"## {name}",
            "",
            "| point | fault | outcome | seconds | before the rerun, or violated |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [_row(entry) for entry in mine]
    lines += ["", "## The faults", "", "| fault | what happens |", "| --- | --- |"]
    lines += [f"| `{name}` | {fault.text} |" for name, fault in FAULTS.items()]
    return "\n".join(lines) + "\n"


def _row(entry: dict[str, Any]) -> str:
    notes = "; ".join(entry["violated"] or entry["before_rerun"]).replace("\n", " ").replace("|", "\\|")
    # what is random in the names of files says nothing
    notes = re.sub(r"(\.quorate-swarm-[a-z]+-)\w+", r"\1*", notes)
    notes = re.sub(r"\.?swarm_\w+\.tar\.gz(\.\w+)?", r"swarm_*.tar.gz", notes)
    seconds = "" if entry["seconds"] is None else f"{entry['seconds']:.0f}"
    return f"| {entry['point']} | {entry['fault']} | {entry['outcome']} | {seconds} | {notes[:300]} |"
