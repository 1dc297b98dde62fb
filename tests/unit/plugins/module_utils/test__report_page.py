# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import calendar
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _report_page as module

NOW = float(calendar.timegm((2026, 11, 25, 12, 0, 0)))
CLUSTER = "2jt0p6gm4xvnq8b1w5yk3zr7c"
#: What no page may take for a part of itself.
HOSTILE = "<script>alert('\"&|`')</script>\n| x |"


def member(name: str, **changes: Any) -> dict[str, Any]:
    facts = {
        "node_id": f"id-{name}",
        "host": name,
        "hostname": name,
        "state": "manager",
        "is_manager": True,
        "reachable": True,
        "leader": False,
        "availability": "active",
        "zone": None,
        "certificate_expires": "2027-01-24T12:00:00Z",
    }
    return {**facts, **changes}


def verdict(*members: dict[str, Any], **changes: Any) -> dict[str, Any]:
    swarm = {
        "cluster_id": CLUSTER,
        "worst": None,
        "summary": "healthy",
        "findings": [],
        "quorum": {"managers": 3, "reachable": 3, "majority": 2, "can_lose": 1},
        "members": list(members),
        "autolock": True,
        "root_ca_expires": "2046-11-20T00:00:00Z",
    }
    swarm.update(changes)
    return {"worst": swarm["worst"], "swarms": [swarm], "others": []}


def archive(created: str, **changes: Any) -> dict[str, Any]:
    manifest = {"created": created, "cluster": {"id": CLUSTER}, "node": {"hostname": "m2"}}
    return {
        "path": f"/a/{created}.tar.gz",
        "size": 1000,
        "good": True,
        "problem": None,
        "manifest": manifest,
        **changes,
    }


def finding(severity: str, what: str = "what") -> dict[str, str]:
    return {"id": "id", "severity": severity, "object": "object", "what": what, "remedy": "remedy"}


# -- the picture -----------------------------------------------------------------------------------------------------


def test_a_column_for_each_zone() -> None:
    picture = module.managers_by_zone([member("m3", zone="b"), member("m2", zone="a"), member("m1", zone="a")])
    assert [(zone["name"], [box["name"] for box in zone["managers"]]) for zone in picture["zones"]] == [
        ("a", ["m1", "m2"]),
        ("b", ["m3"]),
    ]
    first, second = picture["zones"]
    assert first["x"] + first["width"] < second["x"]
    assert second["x"] + second["width"] == picture["width"]
    upper, lower = first["managers"]
    assert upper["x"] == lower["x"]
    assert upper["y"] + upper["height"] < lower["y"]
    assert lower["y"] + lower["height"] < picture["height"]


def test_rows_where_there_are_no_zones() -> None:
    picture = module.managers_by_zone([member(f"m{number}") for number in range(1, 6)])
    (zone,) = picture["zones"]
    assert zone["name"] == "managers"
    places = {(box["x"], box["y"]) for box in zone["managers"]}
    assert len(places) == 5
    assert len({y for _x, y in places}) == 2
    assert all(x + 156 <= picture["width"] for x, _y in places)


def test_workers_are_not_in_it() -> None:
    assert module.managers_by_zone([member("w1", is_manager=False)]) == {"width": 1, "height": 12, "zones": []}


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"leader": True}, "leader", "leader"),
        ({}, "reachable", "reachable"),
        ({"availability": "drain"}, "reachable", "reachable, drained"),
        ({"reachable": False, "state": None}, "lost", "unreachable"),
        ({"reachable": False, "state": "manager"}, "lost", "unreachable"),
        ({"reachable": False, "state": "locked"}, "lost", "locked"),
        ({"reachable": False, "state": "daemon_down"}, "lost", "engine down"),
        ({"reachable": False, "state": "quorum_lost"}, "lost", "quorum lost"),
    ],
)
def test_state_of_a_manager(changes: dict[str, Any], state: str, words: str) -> None:
    (box,) = module.managers_by_zone([member("m1", **changes)])["zones"][0]["managers"]
    assert (box["state"], box["words"]) == (state, words)


@pytest.mark.parametrize(
    ("managers", "reachable", "majority", "can_lose", "words"),
    [
        (3, 3, 2, 1, "3 of 3 managers reachable, 2 needed: 1 more may fail"),
        (5, 5, 3, 2, "5 of 5 managers reachable, 3 needed: 2 more may fail"),
        (5, 3, 3, 0, "3 of 5 managers reachable, 3 needed: none may fail"),
        (1, 1, 1, 0, "1 of 1 managers reachable, 1 needed: none may fail"),
    ],
)
def test_the_line_is_where_the_majority_begins(
    managers: int, reachable: int, majority: int, can_lose: int, words: str
) -> None:
    row = module.quorum_bar({"managers": managers, "reachable": reachable, "majority": majority, "can_lose": can_lose})
    assert row is not None
    assert row["words"] == words
    assert [slot["filled"] for slot in row["slots"]] == [True] * reachable + [False] * (managers - reachable)
    assert sum(slot["x"] + slot["width"] <= row["line"] for slot in row["slots"]) == majority


def test_no_bar_without_a_leader() -> None:
    assert module.quorum_bar(None) is None


# -- the time lines --------------------------------------------------------------------------------------------------


def test_certificates() -> None:
    line = module.certificate_line(
        [
            member("m2", certificate_expires="2026-11-25T11:59:59Z"),
            member("m1", certificate_expires="2027-01-09T12:00:00Z"),
            member("m3", certificate_expires=None),
        ],
        "2046-11-20T00:00:00Z",
        NOW,
    )
    first, second, root = line["rows"]
    assert (first["name"], first["words"], first["beyond"]) == ("m1", "2027-01-09, in 45 days", False)
    assert first["width"] == pytest.approx((line["width"] - line["begin"]) / 2, abs=0.1)
    assert (second["name"], second["words"], second["expired"]) == ("m2", "expired 2026-11-25", True)
    assert (root["name"], root["words"], root["beyond"]) == ("root CA", "2046-11-20, in 19 years", True)
    assert root["width"] == line["width"] - line["begin"]


def test_backups() -> None:
    line = module.backup_line(
        [
            archive("2026-11-10T12:00:00Z"),
            archive("2026-11-25T11:30:00Z"),
            archive("2026-10-01T12:00:00Z"),
            archive("2026-11-24T11:00:00Z", good=False, problem="it ends too early"),
        ],
        NOW,
    )
    assert [entry["age"] for entry in line["archives"]] == [
        "less than an hour ago",
        "25 hours ago",
        "15 days ago",
        "55 days ago",
    ]
    assert [mark["good"] for mark in line["marks"]] == [True, False, True]
    assert line["marks"][2]["x"] == line["width"] / 2
    assert line["archives"][1]["problem"] == "it ends too early"


# -- the whole -------------------------------------------------------------------------------------------------------


def test_swarm() -> None:
    services = [
        {"id": "1", "name": "a", "mode": "global", "desired": 2, "running": 2},
        {"id": "2", "name": "z", "mode": "replicated", "desired": 3, "running": 2},
    ]
    nodes = [{"hostname": "w1", "role": "worker"}, {"hostname": "m1", "role": "manager"}]
    keys = [{"fingerprint": "f1", "created": "2026-11-23T12:00:00Z", "retired": None, "key": "SWMKEY-1-secret"}]
    page = module.report_page(
        verdict(member("m1", leader=True), worst="warning", findings=[finding("warning"), finding("error")]),
        {CLUSTER: {"services": services, "nodes": nodes}},
        archives=[archive("2026-11-25T11:30:00Z"), archive("2026-11-25T11:30:00Z", manifest=None)],
        keys={CLUSTER: keys},
        names={CLUSTER: "production"},
        now=NOW,
    )
    (swarm,) = page["swarms"]
    assert (page["generated"], page["verdict"], swarm["name"]) == (
        "2026-11-25T12:00:00Z",
        "needs attention",
        "production",
    )
    assert page["counts"] == {"error": 1, "warning": 1, "info": 0}
    assert [found["severity"] for found in swarm["findings"]] == ["error", "warning"]
    assert [(service["name"], service["below"]) for service in swarm["services"]] == [("z", True), ("a", False)]
    assert [node["hostname"] for node in swarm["nodes"]] == ["m1", "w1"]
    assert len(swarm["backups"]["archives"]) == 1
    assert swarm["unlock_keys"] == [
        {"fingerprint": "f1", "created": "2026-11-23T12:00:00Z", "retired": None, "age": "2 days"}
    ]


def test_a_host_that_no_swarm_knows_counts_as_an_error() -> None:
    found = {"worst": "error", "swarms": [], "others": [{"host": "h", "state": None, "problem": "no answer"}]}
    assert module.report_page(found, now=NOW)["counts"]["error"] == 1


# -- the templates ---------------------------------------------------------------------------------------------------


def rendered(name: str, page: dict[str, Any], **changes: Any) -> str:
    """As ansible.builtin.template renders it, which is on the controller: a managed node's Python has no Jinja."""
    jinja2 = pytest.importorskip("jinja2")
    templates = Path(__file__).parents[4] / "roles" / "report" / "templates"
    loader = jinja2.FileSystemLoader(str(templates))
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, loader=loader)
    variables = {"report_title": "Swarms", "report_archives": 10, **changes}
    return environment.get_template(name).render(__report_page=page, **variables)


def hostile_page() -> dict[str, Any]:
    """A page with a name or a text that is hostile in every place."""
    facts = verdict(
        member(HOSTILE, zone=HOSTILE, leader=True),
        member("m2", zone=None, state=HOSTILE, reachable=False, certificate_expires="2026-01-01T00:00:00Z"),
        worst="error",
        findings=[{**finding("error", HOSTILE), "object": HOSTILE, "remedy": HOSTILE}],
    )
    facts["others"] = [{"host": HOSTILE, "state": HOSTILE, "problem": HOSTILE}]
    node = {
        "id": "1",
        "hostname": HOSTILE,
        "role": "worker",
        "state": HOSTILE,
        "availability": "active",
        "address": HOSTILE,
        "engine_version": HOSTILE,
        "manager": None,
    }
    service = {"id": "1", "name": HOSTILE, "mode": HOSTILE, "desired": 2, "running": 1}
    damaged = archive("2026-11-25T11:30:00Z", path=HOSTILE, good=False, problem=HOSTILE)
    damaged["manifest"]["node"]["hostname"] = HOSTILE
    return module.report_page(
        facts,
        {CLUSTER: {"services": [service], "nodes": [node]}},
        archives=[damaged, archive("2026-11-24T11:30:00Z")],
        keys={CLUSTER: [{"fingerprint": HOSTILE, "created": "2026-11-23T12:00:00Z", "retired": HOSTILE}]},
        names={CLUSTER: HOSTILE},
        now=NOW,
    )


def test_html_is_well_formed_whatever_is_in_it() -> None:
    text = rendered("report.html.j2", hostile_page(), report_title=HOSTILE)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 15
    # nothing is loaded from elsewhere
    assert not re.search(r"(src|href|url\(|@import)", text)
    body = re.sub(r"<!DOCTYPE html>|<meta[^>]*>|<style>.*?</style>", "", text, flags=re.DOTALL)
    ElementTree.fromstring(body.replace("<details open>", "<details>"))


def test_html_of_a_swarm_without_a_leader() -> None:
    page = module.report_page(
        verdict(member("m1", reachable=False, state="quorum_lost"), quorum=None, autolock=None, root_ca_expires=None),
        now=NOW,
    )
    text = rendered("report.html.j2", page)
    assert "no leader" in text
    assert "no archive was found" in text
    assert "No leader" in rendered("report.md.j2", page)


def test_every_row_of_a_table_in_markdown_has_as_many_cells_as_its_head() -> None:
    text = rendered("report.md.j2", hostile_page(), report_title=HOSTILE)
    assert "<script" not in text
    cells = 0
    for line in text.splitlines():
        if not line.startswith("|"):
            cells = 0
            continue
        found = len(re.findall(r"(?<!\\)\|", line))
        assert cells in (0, found), line
        cells = found
