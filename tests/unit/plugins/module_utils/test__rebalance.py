# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decisions of a rebalance. What it does with them, test_swarm_rebalance.py tests."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._model import Task
from ansible_collections.quorate.swarm.plugins.module_utils._rebalance import (
    SCALED,
    RebalanceOptions,
    choose,
    forced,
    patience,
    progress,
    restart_warnings,
    scaled_back,
    scaled_up,
    task_errors,
)
from ansible_collections.quorate.swarm.tests.unit.fake_engine import api_service, api_task

SERVICES = [
    api_service("web", labels={"tier": "front"}),
    api_service("api", labels={"tier": "back", "rebalance": "true"}),
    api_service("db"),
]


def options(**chosen: Any) -> RebalanceOptions:
    return RebalanceOptions(
        **{
            "services": [],
            "labels": [],
            "all_services": False,
            "method": "force_update",
            "minimum_moves": 1,
            "wait_timeout": 60,
            **chosen,
        }
    )


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"services": ["web"]}, ["web"]),
        ({"services": ["web", "id-db"]}, ["db", "web"]),
        ({"labels": ["tier"]}, ["api", "web"]),
        ({"labels": ["tier=back"]}, ["api"]),
        ({"labels": ["tier=none"]}, []),
        ({"labels": ["tier=front", "rebalance"]}, ["api", "web"]),
        ({"services": ["db"], "labels": ["tier=front"]}, ["db", "web"]),
        ({"all_services": True}, ["api", "db", "web"]),
    ],
)
def test_choose(chosen: dict[str, Any], expected: list[str]) -> None:
    assert [service["Spec"]["Name"] for service in choose(SERVICES, options(**chosen))] == expected


@pytest.mark.parametrize("others", [{}, {"all_services": True}])
def test_a_name_of_no_service_is_refused(others: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="rebalance shop, we: the swarm has no such service"):
        choose(SERVICES, options(services=["web", "shop", "we"], **others))


def test_forced_counts_up_and_changes_nothing_else() -> None:
    spec = api_service("web")["Spec"]
    once = forced(spec)
    assert once["TaskTemplate"].pop("ForceUpdate") == 1
    assert spec["TaskTemplate"].pop("ForceUpdate") == 0
    assert once == spec
    assert forced(spec)["TaskTemplate"]["ForceUpdate"] == 1


def test_scaled_up_and_back() -> None:
    spec = api_service("web", replicas=6, labels={"tier": "front"})["Spec"]
    up = scaled_up(spec, 2)
    assert up["Mode"] == {"Replicated": {"Replicas": 8}}
    assert up["Labels"] == {"tier": "front", SCALED: "6/8"}
    assert scaled_back(up) == spec


@pytest.mark.parametrize(("note", "replicas"), [("6/8", 10), ("nonsense", 8), ("", 8), ("/8", 8)])
def test_what_somebody_else_has_scaled_stays(note: str, replicas: int) -> None:
    spec = api_service("web", replicas=replicas, labels={SCALED: note})["Spec"]
    back = scaled_back(spec)
    assert (back["Mode"]["Replicated"]["Replicas"], back["Labels"]) == (replicas, {})


def test_patience() -> None:
    assert patience(api_service("web")["Spec"], 60) == 60 + 5 + 10
    config = {"Delay": 30_000_000_000, "Monitor": 20_000_000_000}
    slow = api_service("web", update_config=config, container={"StopGracePeriod": 120_000_000_000})
    assert patience(slow["Spec"], 60) == 60 + 50 + 120


def test_an_image_without_a_digest_is_told() -> None:
    assert restart_warnings(api_service("web")) == []
    (warning,) = restart_warnings(api_service("web", container={"Image": "web:1"}))
    assert "service web: its image web:1 has no digest" in warning


def tasks(*forces: int, **options: Any) -> list[Task]:
    return [
        Task.from_api(api_task("web", "w1", slot=slot, force=force, **options)) for slot, force in enumerate(forces)
    ]


def test_progress_is_not_that_of_the_update_before() -> None:
    service = api_service("web", replicas=2, update="completed")
    service["Spec"] = forced(service["Spec"])
    before = service["UpdateStatus"]["StartedAt"]
    seen = progress(service, tasks(0, 0), started_before=before)
    assert (seen.state, seen.ready, seen.others, seen.complete) == ("", 0, 2, False)
    service["UpdateStatus"] = {"State": "updating", "StartedAt": "later", "Message": "update in progress"}
    seen = progress(service, tasks(1, 0), started_before=before)
    assert repr(seen) == "1 of 2 tasks ready, 1 others, update updating (update in progress)"


def test_complete_is_as_many_tasks_as_it_shall_have_and_no_others() -> None:
    service = api_service("web", replicas=2)
    service["Spec"] = forced(service["Spec"])
    assert progress(service, tasks(1, 1)).complete
    assert progress(service, [*tasks(1, 1), *tasks(0, desired="shutdown"), *tasks(1, state="failed")]).complete
    for others in ([], tasks(0), tasks(1, state="starting"), tasks(1, 1)):
        assert not progress(service, [*tasks(1), *others]).complete


def test_a_service_that_was_never_updated_has_no_progress_yet() -> None:
    service = api_service("web", replicas=1)
    assert progress(service, tasks(0)).state == ""
    service["UpdateStatus"] = {"State": "updating", "StartedAt": "now"}
    assert progress(service, []).state == "updating"


def test_errors_of_tasks_newest_first_and_each_once() -> None:
    failed = [
        Task.from_api({**api_task("web", "", error=text), "CreatedAt": f"2026-01-01T00:00:0{second}Z"})
        for second, text in enumerate(["old", "no such image", "no such image", ""])
    ]
    assert task_errors(failed) == ["no such image", "old"]
