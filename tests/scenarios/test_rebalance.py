# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A worker comes back empty, and services are spread over it again: by restarting them, and by scaling them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import ask, create_service, meanwhile, modules, repeated
from helpers.runner import RunModule, RunPlaybook

from quorate_lab import Lab
from quorate_lab.process import wait_until

pytestmark = pytest.mark.long

UNEVEN = {"m1": 3, "w1": 0, "w2": 3}
EVEN = {"m1": 2, "w1": 2, "w2": 2}
SCALED = "quorate.swarm.scaled"
SERVICES = ("agent", "api", "broken", "pinned", "shop", "web")


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """A swarm with uneven services: broken, shop and web. Even are api, the global agent, and pinned, which may not run
    on w1. The image of broken has gone, so that no new task of it can start.
    """
    lab = lab_factory(managers=1, workers=2)
    manager = lab.hosts["m1"]
    manager.docker("node", "update", "--label-add", "disk=slow", "--availability", "pause", "w1")
    for host in lab.hosts.values():
        host.docker("tag", "busybox:latest", "gone:1")
    create_service(manager, "web", "--replicas", "6", "--update-monitor", "1s")
    create_service(manager, "shop", "--replicas", "4", "--label", "tier=front")
    create_service(manager, "broken", "--replicas", "3", image="gone:1")
    create_service(manager, "pinned", "--replicas", "2", "--constraint", "node.labels.disk != slow")
    manager.docker("node", "update", "--availability", "active", "w1")
    for host in lab.hosts.values():
        host.docker("image", "rm", "gone:1")
    create_service(manager, "api", "--replicas", "3")
    create_service(manager, "agent", "--mode", "global")
    assert held(lab, "web") == UNEVEN
    return lab


def tasks(lab: Lab, name: str) -> list[dict[str, Any]]:
    """The tasks of a service that run, those that are to stop included."""
    query = json.dumps({"service": [name]}).replace(" ", "")
    found = ask(lab.hosts["m1"], "GET", f"/tasks?filters={query}")
    return [task for task in found if task["Status"]["State"] == "running"]


def held(lab: Lab, name: str) -> dict[str, int]:
    """How many tasks of a service run on each host."""
    ids = {node["ID"]: node["Description"]["Hostname"] for node in ask(lab.hosts["m1"], "GET", "/nodes")}
    where = [ids[task["NodeID"]] for task in tasks(lab, name)]
    return {host: where.count(host) for host in sorted(ids.values())}


@contextmanager
def fewest_tasks(lab: Lab, name: str) -> Iterator[list[int]]:
    """Count the running tasks of a service every 0.2 s; the list has all counts."""
    counts: list[int] = []
    with repeated(lambda: counts.append(len(tasks(lab, name))), interval=0.2):
        yield counts


def identities(lab: Lab, *names: str) -> set[str]:
    return {str(task["ID"]) for name in names for task in tasks(lab, name)}


def spec(lab: Lab, name: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(lab.hosts["m1"], "GET", f"/services/{name}")["Spec"]
    return found


def moved_from(lab: Lab, worker: str, names: Sequence[str]) -> bool:
    """Whether all tasks of these services run, and none of them on a worker."""
    counts = {name: held(lab, name) for name in names if name != "broken"}
    wanted = {name: spec(lab, name)["Mode"]["Replicated"]["Replicas"] for name in counts}
    return all(each[worker] == 0 and sum(each.values()) == wanted[name] for name, each in counts.items())


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["outcome"] for entry in result["services"]}


def test_check_mode_tells_and_changes_nothing(lab: Lab, playbook: RunPlaybook, module: RunModule) -> None:
    before = identities(lab, *SERVICES)
    result = module(lab, "m1", "swarm_rebalance", check_mode=True, all=True)
    assert result["changed"], result
    assert outcomes(result) == {
        "agent": "global",
        "api": "even",
        "broken": "rebalanced",
        "pinned": "even",
        "shop": "rebalanced",
        "web": "rebalanced",
    }
    (web,) = (entry for entry in result["services"] if entry["name"] == "web")
    assert (web["moves"], web["before"], web["after"]) == (2, UNEVEN, EVEN)
    run = playbook(lab, "rebalance", {"rebalance_labels": ["com.example"]}, ["--check", "--diff"])
    assert "none of its services was chosen" in run.stdout
    assert identities(lab, *SERVICES) == before


def test_it_stops_at_a_failed_update(lab: Lab, playbook: RunPlaybook) -> None:
    others = [name for name in SERVICES if name != "broken"]
    untouched = identities(lab, *others)
    run = playbook(lab, "rebalance", {"rebalance_all": True}, check_rc=False)
    assert run.rc != 0
    assert "rebalance service broken: its update is paused" in run.stdout
    assert "No such image: gone:1" in run.stdout
    assert identities(lab, *others) == untouched
    assert sum(held(lab, "broken").values()) == 2
    # the second run leaves it alone, and goes on; here in check mode
    run = playbook(lab, "rebalance", {"rebalance_all": True}, ["--check"])
    assert "web rebalanced (" in run.stdout
    assert "broken paused" in run.stdout
    lab.hosts["m1"].docker("service", "rm", "broken")


def test_restart(lab: Lab, playbook: RunPlaybook) -> None:
    untouched = identities(lab, "shop", "pinned", "api", "agent")
    with fewest_tasks(lab, "web") as counts:
        run = playbook(lab, "rebalance", {"rebalance_services": ["web", "api", "agent"]}, ["--diff"])
    print(f"\nengine {lab.engine}: {min(counts)} of 6 tasks ran at least, in {len(counts)} looks")
    assert run.recap["m1"]["changed"] == 1
    assert held(lab, "web") == EVEN
    assert min(counts) >= 5
    assert len(counts) > 20
    assert identities(lab, "shop", "pinned", "api", "agent") == untouched
    assert spec(lab, "web")["TaskTemplate"]["ForceUpdate"] == 1

    after = identities(lab, "web")
    run = playbook(lab, "rebalance", {"rebalance_services": ["web", "api", "agent"]})
    assert run.recap["m1"]["changed"] == 0
    assert identities(lab, "web") == after


def test_scale(lab: Lab, module: RunModule) -> None:
    # killed while the service is scaled up: the note stays, and the next run makes it good
    with meanwhile(lambda: module(lab, "m1", "swarm_rebalance", services=["shop"], method="scale")) as result:
        wait_until(lambda: SCALED in spec(lab, "shop")["Labels"], timeout=120, what="shop scaled up", interval=0.05)
        for pid in modules(lab.hosts["m1"]):
            os.kill(pid, signal.SIGKILL)
        assert result()["failed"]
    left = spec(lab, "shop")
    assert (left["Labels"][SCALED], left["Mode"]["Replicated"]["Replicas"]) == ("4/5", 5)

    before = identities(lab, "shop")
    with fewest_tasks(lab, "shop") as counts:
        repaired = module(lab, "m1", "swarm_rebalance", labels=["tier=front"], method="scale")
    assert repaired["changed"], repaired
    assert sorted(held(lab, "shop").values()) == [1, 1, 2]
    assert min(counts) >= 4
    assert len(before & identities(lab, "shop")) >= 3
    mended = spec(lab, "shop")
    assert (mended["Labels"], mended["Mode"]["Replicated"]["Replicas"]) == ({"tier": "front"}, 4)

    # and a run that nobody kills, after a node was away
    manager = lab.hosts["m1"]
    manager.docker("node", "update", "--availability", "drain", "w2")
    wait_until(lambda: moved_from(lab, "w2", SERVICES[1:]), timeout=120, what="the tasks of w2 elsewhere")
    manager.docker("node", "update", "--availability", "active", "w2")
    before, spec_before = identities(lab, "web"), spec(lab, "web")
    with fewest_tasks(lab, "web") as counts:
        result_of_web = module(lab, "m1", "swarm_rebalance", services=["web"], method="scale")
    assert (outcomes(result_of_web), result_of_web["services"][0]["after"]) == ({"web": "rebalanced"}, EVEN)
    assert result_of_web["services"][0]["before"] == {"m1": 3, "w1": 3, "w2": 0}
    assert held(lab, "web") == EVEN
    assert min(counts) >= 6
    assert len(before & identities(lab, "web")) == 4
    assert spec(lab, "web") == spec_before
    again = module(lab, "m1", "swarm_rebalance", services=["web"], method="scale")
    assert (again["changed"], outcomes(again)) == (False, {"web": "even"})
