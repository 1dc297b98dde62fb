# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows what is handed over of the backup of many swarms: a result for programs and a table for people.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t

HEADINGS = ("SWARM", "MANAGER", "ARCHIVE", "SIZE", "DOWN", "RESULT")


def backup_result(plan: t.Mapping[str, t.Any], outcomes: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Return what became of each swarm as values.

    Args:
        plan: What backup_plan returned.
        outcomes: For each inventory host that was taken, C(result) (of swarm_backup) or C(problem), C(collected), and
            C(copies), of which one with a C(problem) is a failure although there is an archive.

    Returns: C(good) (every swarm was backed up and copied, and every host is accounted for), C(swarms), C(retry) (the
    hosts of what was not backed up, which another run may be limited to).
    """
    swarms = [_swarm(swarm, outcomes.get(swarm["host"]) or {}) for swarm in plan["swarms"]]
    bad = {swarm["cluster_id"] for swarm in swarms if swarm["archive"] is None}
    retry = [host for swarm in plan["swarms"] if swarm["cluster_id"] in bad for host in swarm["hosts"]]
    retry += [other["host"] for other in plan["others"] if other["problem"]]
    good = bool(swarms) and all(swarm["good"] for swarm in swarms) and not retry
    return {"good": good, "swarms": swarms, "retry": retry}


def _swarm(swarm: t.Mapping[str, t.Any], outcome: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    result = outcome.get("result") or {}
    problem = swarm["problem"] or outcome.get("problem") or ("" if result else "it was not backed up")
    # The backup is good all the same when a copy of it failed.
    later = " ".join(copy["problem"] for copy in outcome.get("copies") or () if copy["problem"])
    return {
        "cluster_id": swarm["cluster_id"],
        "host": swarm["host"],
        "good": not problem and not later,
        "problem": problem or later,
        "archive": None if problem else result["archive"],
        "collected": outcome.get("collected") or None,
        **{name: None if problem else result.get(name) for name in ("checksum", "size", "downtime")},
    }


def backup_table(result: t.Mapping[str, t.Any]) -> list[str]:
    """Return a table of what backup_result returned: a heading, and a line a swarm, those that failed last."""
    rows = [HEADINGS, *(_row(swarm) for swarm in sorted(result["swarms"], key=lambda swarm: not swarm["good"]))]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _row(swarm: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    where = (swarm["cluster_id"], swarm["host"] or "-")
    if swarm["archive"] is None:
        return (*where, "-", "-", "-", "FAILED")
    if swarm["checksum"] is None:
        return (*where, swarm["archive"], "-", "-", "not done, check mode")
    facts = (swarm["archive"], f"{swarm['size'] / 1e6:.2f} MB", f"{swarm['downtime']:.1f} s")
    return (*where, *facts, "ok" if swarm["good"] else "copy FAILED")
