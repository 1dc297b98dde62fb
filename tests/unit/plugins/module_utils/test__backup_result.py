# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.quorate.swarm.plugins.module_utils._backup_result import backup_result, backup_table

MADE = {"archive": "/srv/a.tar.gz", "checksum": "ab" * 32, "size": 1_234_567, "downtime": 3.21, "removed": []}
CHECKED = {"archive": "/srv/a.tar.gz", "changed": True}


def swarm(cluster_id: str, host: str | None, *hosts: str, problem: str | None = None) -> dict[str, Any]:
    return {"cluster_id": cluster_id, "host": host, "hosts": list(hosts), "problem": problem}


def test_values_of_each_swarm() -> None:
    plan = {"swarms": [swarm("blue", "m2", "m1", "m2"), swarm("green", "n1", "n1")], "others": []}
    result = backup_result(plan, {"m2": {"result": MADE, "collected": "/here/a.tar.gz"}, "n1": {"result": MADE}})
    assert result["good"] is True
    assert result["retry"] == []
    assert result["swarms"][0] == {
        "cluster_id": "blue",
        "host": "m2",
        "good": True,
        "problem": "",
        "archive": "/srv/a.tar.gz",
        "collected": "/here/a.tar.gz",
        "checksum": "ab" * 32,
        "size": 1_234_567,
        "downtime": 3.21,
    }
    assert result["swarms"][1]["collected"] is None


def test_what_failed_is_repeated_with_all_its_managers_and_nothing_else() -> None:
    swarms = [
        swarm("blue", "m2", "m1", "m2"),
        swarm("green", "n1", "n1", "n2"),
        swarm("locked", None, "k1", "k2", problem="all are locked"),
        swarm("lost", "l1", "l1"),
    ]
    others = [{"host": "x1", "problem": "the host cannot be reached"}, {"host": "w1", "problem": None}]
    outcomes: dict[str, dict[str, Any]] = {"m2": {"result": MADE}, "n1": {"problem": "no room"}}
    result = backup_result({"swarms": swarms, "others": others}, outcomes)
    assert result["good"] is False
    assert result["retry"] == ["n1", "n2", "k1", "k2", "l1", "x1"]
    problems = {each["cluster_id"]: each["problem"] for each in result["swarms"]}
    assert problems == {"blue": "", "green": "no room", "locked": "all are locked", "lost": "it was not backed up"}
    assert [each["archive"] for each in result["swarms"]] == ["/srv/a.tar.gz", None, None, None]


def test_an_archive_whose_copy_failed_is_no_success_but_not_made_again() -> None:
    copies = [{"target": "/a on store", "problem": "no space"}, {"target": "/b on the controller", "problem": None}]
    plan = {"swarms": [swarm("blue", "m1", "m1")], "others": []}
    result = backup_result(plan, {"m1": {"result": MADE, "copies": copies}})
    assert (result["good"], result["retry"]) == (False, [])
    (entry,) = result["swarms"]
    assert (entry["good"], entry["problem"], entry["archive"]) == (False, "no space", "/srv/a.tar.gz")
    assert backup_table(result)[1].endswith("copy FAILED")


def test_no_swarm_is_not_good() -> None:
    assert backup_result({"swarms": [], "others": []}, {}) == {"good": False, "swarms": [], "retry": []}


def test_table() -> None:
    swarms = [
        swarm("blue", None, "m1", problem="locked"),
        swarm("green", "n1", "n1"),
        swarm("violet-long", "o1", "o1"),
    ]
    result = backup_result({"swarms": swarms, "others": []}, {"n1": {"result": MADE}, "o1": {"result": CHECKED}})
    assert backup_table(result) == [
        "SWARM        MANAGER  ARCHIVE        SIZE     DOWN   RESULT",
        "green        n1       /srv/a.tar.gz  1.23 MB  3.2 s  ok",
        "violet-long  o1       /srv/a.tar.gz  -        -      not done, check mode",
        "blue         -        -              -        -      FAILED",
    ]
