# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison. The sequence is tested where it is used, by test__restore.py, test__recover.py and test__drill.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.quorate.swarm.plugins.module_utils import _lone_manager as module

# What came back, beside what was there before


def items(*names: str) -> list[dict[str, str]]:
    return [{"id": f"id-{name}", "name": name} for name in names]


def compare(before: Any, now: Any, identity: Any = ()) -> tuple[list[str], dict[str, Any]]:
    return module.comparison(identity=identity, before=before, now=now)


def test_equal_inventories_are_no_problem() -> None:
    assert compare({"services": items("web")}, {"services": items("web")}, [("cluster ID", "a", "a")]) == ([], {})


def test_what_is_missing_is_a_problem_and_what_is_added_is_none() -> None:
    problems, difference = compare(
        {"services": items("web", "api"), "secrets": []}, {"services": [], "secrets": items("new")}
    )
    assert problems == ["2 services are missing: api, web"]
    assert difference == {
        "services": {"missing": items("api", "web"), "added": [], "older": []},
        "secrets": {"missing": [], "added": items("new"), "older": []},
    }


def test_what_is_older_is_a_problem_and_what_is_newer_is_none() -> None:
    old, new = ({"secrets": [{"id": "id-key", "name": "key", "version": version}]} for version in (7, 9))
    assert compare(old, new) == ([], {})
    assert compare(new, old)[0] == ["1 secrets are older than they were: key"]


def test_missing_nodes_are_named_by_their_host_names() -> None:
    problems, dummy = compare({"nodes": [{"id": "id-w1", "hostname": "w1"}]}, {"nodes": []})
    assert problems == ["1 nodes are missing: w1"]


def test_another_identity_is_a_problem() -> None:
    problems, dummy = compare({}, {}, [("cluster ID", "blue", "green"), ("node ID", "id-m2", None)])
    assert problems == ["the cluster ID is green, and was blue", "the node ID is None, and was id-m2"]


def test_without_an_inventory_there_is_nothing_to_compare_with() -> None:
    assert compare({}, {"services": items("web")}) == ([], {})
