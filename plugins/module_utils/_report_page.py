# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows what a report shows of each swarm, and where in its pictures. Pure; no I/O.

Lengths are in pixels of a picture that scales with the page, times are in seconds since 1970 unless they are texts.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._findings import SEVERITIES
from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment, moment_text

Info = t.Mapping[str, t.Any]

_DAY = 86400
_LINE_WIDTH = 720
#: The days that a time line has marks for; the first one and the last one are its ends.
_BACKUP_TICKS = (-30, -21, -14, -7, 0)
_CERTIFICATE_TICKS = (0, 14, 30, 60, 90)
#: Where the line of the certificates begins, behind their names.
_NAMES_WIDTH = 140
_NODE_WIDTH, _NODE_HEIGHT, _GAP = 156, 64, 12
#: Managers in a row, where there are no zones.
_ABREAST = 3
_HEADING = 28
_VERDICTS = {"error": "not healthy", "warning": "needs attention", "info": "healthy", None: "healthy"}


def report_page(
    verdict: Info,
    views: t.Mapping[str, Info] | None = None,
    *,
    archives: t.Sequence[Info] = (),
    keys: t.Mapping[str, t.Sequence[Info]] | None = None,
    names: t.Mapping[str, str] | None = None,
    now: float | None = None,
) -> dict[str, t.Any]:
    """Lay out a report on all swarms of a run.

    Args:
        verdict: What health_verdict returned.
        views: For each cluster ID, what swarm_info returned on the manager that is believed, with nodes and services.
        archives: What swarm_backup_info returned of all archives that were found.
        keys: For each cluster ID, the entries of the escrow: C(fingerprint), C(created), C(retired). Nothing else of an
            entry is looked at.
        names: A name for each cluster ID, where people gave one.
        now: The time; by default the current one.

    Returns: C(generated) (ISO 8601), C(worst), C(verdict) (in words), C(counts) by severity, C(swarms) and C(others).
    """
    now = time.time() if now is None else now
    swarms = [
        _swarm(
            swarm,
            (views or {}).get(swarm["cluster_id"]) or {},
            [entry for entry in archives if _cluster_of(entry) == swarm["cluster_id"]],
            (keys or {}).get(swarm["cluster_id"]) or (),
            (names or {}).get(swarm["cluster_id"], ""),
            now,
        )
        for swarm in verdict["swarms"]
    ]
    return {
        "generated": moment_text(now),
        "worst": verdict["worst"],
        "verdict": _VERDICTS[verdict["worst"]],
        "counts": {
            severity: sum(swarm["counts"][severity] for swarm in swarms)
            + (sum(bool(other["problem"]) for other in verdict["others"]) if severity == "error" else 0)
            for severity in SEVERITIES
        },
        "swarms": swarms,
        "others": list(verdict["others"]),
    }


def _swarm(
    swarm: Info, view: Info, archives: t.Sequence[Info], keys: t.Sequence[Info], name: str, now: float
) -> dict[str, t.Any]:
    services = sorted(
        ({**service, "below": service["running"] < service["desired"]} for service in view.get("services") or ()),
        key=lambda service: (not service["below"], service["name"]),
    )
    return {
        "id": swarm["cluster_id"],
        "name": name or swarm["cluster_id"],
        "worst": swarm["worst"],
        "verdict": _VERDICTS[swarm["worst"]],
        "summary": swarm["summary"],
        "counts": {
            severity: sum(finding["severity"] == severity for finding in swarm["findings"]) for severity in SEVERITIES
        },
        "findings": sorted(swarm["findings"], key=lambda finding: SEVERITIES.index(finding["severity"])),
        "quorum": quorum_bar(swarm["quorum"]),
        "picture": managers_by_zone(swarm["members"]),
        "autolock": swarm["autolock"],
        "nodes": sorted(view.get("nodes") or (), key=lambda node: (node["role"] != "manager", node["hostname"])),
        "services": services,
        "unlock_keys": [_key(entry, now) for entry in keys],
        "certificates": certificate_line(swarm["members"], swarm["root_ca_expires"], now),
        "backups": backup_line(archives, now),
    }


# -- pictures --------------------------------------------------------------------------------------------------------


def managers_by_zone(members: t.Sequence[Info]) -> dict[str, t.Any]:
    """Lay out the managers of a swarm, a column for each zone, or a row without zones.

    Args:
        members: Of the verdict: each with C(host), C(hostname), C(zone), C(leader), C(reachable) and C(is_manager).

    Returns: C(width), C(height), and C(zones), each with C(name), C(x), C(width) and C(managers), each with C(x), C(y),
        C(width), C(height), C(name), C(words) and C(state) (leader, reachable or lost).
    """
    zones: dict[str, list[Info]] = {}
    for member in sorted(members, key=lambda found: (found["hostname"] or found["host"], found["node_id"])):
        if member["is_manager"]:
            zones.setdefault(member["zone"] or "", []).append(member)
    laid_out: list[dict[str, t.Any]] = []
    x = 0
    for name, found in sorted(zones.items()):
        across = min(len(found), _ABREAST) if len(zones) == 1 else 1
        boxes = [
            _box(
                member,
                x + _GAP + number % across * (_NODE_WIDTH + _GAP),
                _HEADING + number // across * (_NODE_HEIGHT + _GAP),
            )
            for number, member in enumerate(found)
        ]
        width = _GAP + across * (_NODE_WIDTH + _GAP)
        laid_out.append(
            {
                "name": name or ("no zone" if len(zones) > 1 else "managers"),
                "x": x,
                "width": width,
                "managers": boxes,
            }
        )
        x += width + _GAP
    return {
        "width": max(1, x - _GAP),
        "height": max((box["y"] + _NODE_HEIGHT for zone in laid_out for box in zone["managers"]), default=0) + _GAP,
        "zones": laid_out,
    }


def _box(member: Info, x: int, y: int) -> dict[str, t.Any]:
    state = "leader" if member["leader"] else "reachable" if member["reachable"] else "lost"
    told = member["state"] if state == "lost" and member["state"] not in (None, "manager") else state
    words = {"lost": "unreachable", "daemon_down": "engine down"}.get(told, told).replace("_", " ")
    return {
        "x": x,
        "y": y,
        "width": _NODE_WIDTH,
        "height": _NODE_HEIGHT,
        "name": member["hostname"] or member["host"] or member["node_id"],
        "words": words + (", drained" if member["availability"] == "drain" else ""),
        "state": state,
    }


def quorum_bar(quorum: Info | None) -> dict[str, t.Any] | None:
    """Lay out the members of the quorum in a row, with the line that the reachable ones must pass.

    Args:
        quorum: Of the verdict; None without a leader.

    Returns: C(width), C(slots) (each with C(x), C(width) and C(filled)), C(line) (where the majority begins to hold), and
        C(words); None without a leader.
    """
    if quorum is None:
        return None
    width = min(44, 616 // max(1, quorum["managers"]))
    can_lose = quorum["can_lose"]
    may = "none may fail" if can_lose == 0 else "1 more may fail" if can_lose == 1 else f"{can_lose} more may fail"
    return {
        "width": width * quorum["managers"],
        "slots": [
            {"x": number * width, "width": width - 4, "filled": number < quorum["reachable"]}
            for number in range(quorum["managers"])
        ],
        "line": quorum["majority"] * width - 2,
        "words": f"{quorum['reachable']} of {quorum['managers']} managers reachable, {quorum['majority']} needed: {may}",
    }


def certificate_line(members: t.Sequence[Info], root_ca_expires: str | None, now: float) -> dict[str, t.Any]:
    """Lay out how long the certificates of the nodes and of the root CA are valid, from now on."""
    known = [
        (member["hostname"] or member["host"], member["certificate_expires"])
        for member in members
        if member["certificate_expires"]
    ]
    line = _TimeLine(_CERTIFICATE_TICKS, begin=_NAMES_WIDTH)
    rows = []
    for name, expires in [*sorted(known), *([("root CA", root_ca_expires)] if root_ca_expires else [])]:
        days = (moment(expires) - now) / _DAY
        rows.append(
            {
                "name": name,
                "width": line.x(days) - line.begin,
                "beyond": days > line.ticks[-1],
                "expired": days <= 0,
                "words": f"expired {expires[:10]}" if days <= 0 else f"{expires[:10]}, in {_days(days)}",
            }
        )
    return {**line.as_dict(), "rows": rows}


def backup_line(archives: t.Sequence[Info], now: float) -> dict[str, t.Any]:
    """Lay out when the archives were made, the newest first in C(archives)."""
    found = sorted(archives, key=lambda entry: entry["manifest"]["created"], reverse=True)
    line = _TimeLine(_BACKUP_TICKS)
    marks = []
    for entry in found:
        days = (moment(entry["manifest"]["created"]) - now) / _DAY
        if days >= line.ticks[0]:
            marks.append({"x": line.x(days), "good": entry["good"], "words": entry["manifest"]["created"]})
    return {
        **line.as_dict(),
        "marks": marks,
        "archives": [
            {
                "created": entry["manifest"]["created"],
                "age": f"{_days((now - moment(entry['manifest']['created'])) / _DAY)} ago",
                "size": entry["size"],
                "manager": entry["manifest"]["node"]["hostname"],
                "good": entry["good"],
                "problem": entry["problem"],
                "path": entry["path"],
            }
            for entry in found
        ],
    }


class _TimeLine:
    """The days from the first tick to the last one, on a line that ends where the picture does."""

    def __init__(self, ticks: t.Sequence[int], *, begin: int = 0) -> None:
        self.ticks = ticks
        self.begin = begin

    def x(self, days: float) -> float:
        """Where a day is on the line; one that is not on it is at its end."""
        first, last = self.ticks[0], self.ticks[-1]
        within = min(max(days, first), last)
        return round(self.begin + (within - first) * (_LINE_WIDTH - self.begin) / (last - first), 1)

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "width": _LINE_WIDTH,
            "begin": self.begin,
            "ticks": [{"x": self.x(days), "words": "now" if days == 0 else f"{days:+d} d"} for days in self.ticks],
        }


# -- words -----------------------------------------------------------------------------------------------------------


def _key(entry: Info, now: float) -> dict[str, t.Any]:
    created = entry["created"]
    return {
        "fingerprint": entry["fingerprint"],
        "created": created,
        "retired": entry["retired"],
        "age": _days((now - moment(created)) / _DAY) if created else "",
    }


def _days(days: float) -> str:
    """A span of time, as people say it."""
    hours = days * 24
    if hours < 1:
        return "less than an hour"
    if hours < 48:
        return f"{int(hours)} hour{'s' * (int(hours) != 1)}"
    if days < 730:
        return f"{int(days)} days"
    return f"{int(days / 365.25)} years"


def _cluster_of(archive: Info) -> str | None:
    return ((archive.get("manifest") or {}).get("cluster") or {}).get("id")
