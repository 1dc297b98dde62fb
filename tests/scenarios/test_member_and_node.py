# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts come into a swarm and go out of it, and nodes change, without the quorum ever being at risk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
from conftest import LabFactory
from helpers.backup import ask, create_service, leader, node_id, nodes, wait_until_healthy
from helpers.runner import RunModule, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

STATE_DIRECTORY = "/var/lib/docker/swarm"


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """An autolocked swarm, and x1, which is in no swarm; every test leaves them so."""
    lab = lab_factory(managers=3, workers=1, autolock=True)
    lab.add("x1")
    return lab


@pytest.fixture
def manager(lab: Lab) -> Host:
    """A manager of a healthy swarm that does not lead it."""
    wait_until_healthy(lab.hosts["m1"])
    leading = leader(lab.hosts["m1"])
    return next(lab.hosts[name] for name in ("m1", "m2", "m3") if name != leading)


@pytest.fixture
def outsider(lab: Lab, manager: Host) -> Iterator[Host]:
    """x1, which is taken out of whatever swarm the test has brought it into."""
    host = lab.hosts["x1"]
    yield host
    ours = [node for node in ask(manager, "GET", "/nodes") if node["Description"].get("Hostname") in ("x1", None)]
    for node in ours:
        manager.docker("node", "demote", node["ID"], check=False)
    wait_until(lambda: not any(n.get("ManagerStatus") for n in entries(manager, "x1")), timeout=60, what="x1 demoted")
    host.api("POST", "/swarm/leave?force=true", timeout=60)
    for node in ours:
        manager.docker("node", "rm", "--force", node["ID"])
    host.run(f"rm -rf {STATE_DIRECTORY}/*")


def entries(manager: Host, name: str) -> list[dict[str, Any]]:
    """The nodes with this host name."""
    return [node for node in ask(manager, "GET", "/nodes") if node["Description"].get("Hostname") == name]


def way_in(manager: Host, role: str) -> dict[str, Any]:
    """Options to join the swarm of a manager."""
    token = ask(manager, "GET", "/swarm")["JoinTokens"][role.capitalize()]
    return {"join_token": token, "remote_addresses": [f"{manager.address}:2377"]}


class Cycle(Protocol):
    """The type of the fixture `cycle`."""

    def __call__(self, host: str, name: str, **options: Any) -> dict[str, Any]: ...


@pytest.fixture
def cycle(lab: Lab, playbook: RunPlaybook, tmp_path: Path) -> Cycle:
    """A function that runs a module in check mode, for real, again, and in check mode again.

    Of these the first two must be changes and the last two none. It returns the result of the second.
    """

    def run(host: str, name: str, **options: Any) -> dict[str, Any]:
        steps = {"planned": True, "done": False, "again": False, "planned_again": True}
        tasks: list[dict[str, Any]] = [
            {f"quorate.swarm.{name}": options, "check_mode": check_mode, "register": step}
            for step, check_mode in steps.items()
        ]
        content = "{{ [" + ", ".join(steps) + "] | to_json }}"
        kept = tmp_path / "results.json"
        keep: dict[str, Any] = {
            "ansible.builtin.copy": {"content": content, "dest": str(kept), "mode": "0600"},
            "delegate_to": "localhost",
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        }
        playbook(lab, [{"hosts": host, "gather_facts": False, "tasks": [*tasks, keep]}])
        results: list[dict[str, Any]] = json.loads(kept.read_text())
        assert [result["changed"] for result in results] == [True, True, False, False]
        return results[1]

    return run


def assert_refused(result: dict[str, Any], *words: str, kind: str = "refused") -> None:
    assert (result.get("failed"), result.get("error")) == (True, kind), result
    assert all(word in result["msg"] for word in words), result["msg"]


# -- swarm_node --------------------------------------------------------------------------------------------------


def test_promote_and_demote(lab: Lab, module: RunModule, cycle: Cycle, manager: Host) -> None:
    cycle(manager.name, "swarm_node", node="w1", role="manager")
    assert nodes(manager)["w1"] == "reachable"
    cycle(manager.name, "swarm_node", node=node_id(lab.hosts["w1"]), role="worker")
    assert "ManagerStatus" not in entries(manager, "w1")[0]


def test_availability_and_labels(lab: Lab, module: RunModule, cycle: Cycle, manager: Host) -> None:
    done = cycle(manager.name, "swarm_node", node="w1", availability="drain", labels={"zone": "a", "disks": 2})
    assert (done["node"]["availability"], done["node"]["labels"]) == ("drain", {"zone": "a", "disks": "2"})
    cycle(manager.name, "swarm_node", node="w1", availability="active", labels={"disks": None})
    (node,) = entries(manager, "w1")
    assert (node["Spec"]["Availability"], node["Spec"]["Labels"]) == ("active", {"zone": "a"})


def tasks_of(manager: Host, service: str) -> dict[str, str]:
    """Task ID -> host name of the running tasks of a service."""
    names = {node["ID"]: node["Description"]["Hostname"] for node in ask(manager, "GET", "/nodes")}
    tasks = ask(manager, "GET", f'/tasks?filters={{"service":["{service}"],"desired-state":["running"]}}')
    return {task["ID"]: names[task["NodeID"]] for task in tasks if task["Status"]["State"] == "running"}


@pytest.fixture
def web(manager: Host) -> Iterator[str]:
    """A service with a task on each manager; they take 2 s to stop."""
    create_service(manager, "web", "--replicas", "3", "--constraint", "node.role==manager", grace="2s")
    yield "web"
    manager.docker("service", "rm", "web")


def test_a_drain_waits_for_the_tasks_and_leaves_containers(
    lab: Lab, module: RunModule, cycle: Cycle, manager: Host, web: str
) -> None:
    manager.docker("run", "--detach", "--name", "plain", "busybox:latest", "sleep", "1000000")
    try:
        before = tasks_of(manager, web)
        done = cycle(manager.name, "swarm_node", node=manager.name, availability="drain")
        after = tasks_of(manager, web)
        assert done["drained"] == {"services": ["web"], "stranded": [], "containers": ["plain"]}
        assert len(after) == 3 and manager.name not in after.values()
        assert {task for task, name in before.items() if name != manager.name} < set(after)
        assert manager.docker("ps", "--format", "{{.Names}}") == "plain"
    finally:
        manager.docker("rm", "--force", "plain")
        manager.docker("node", "update", "--availability", "active", manager.name)


def test_a_drain_without_another_place(lab: Lab, module: RunModule, manager: Host, web: str) -> None:
    """It is refused; where only the time shows that it does not come true, it is undone."""
    others = [name for name in ("m1", "m2", "m3") if name != manager.name]
    drain: dict[str, Any] = {"node": manager.name, "availability": "drain", "wait_timeout": 4}
    for check_mode in (True, False):
        refused = module(lab, manager.name, "swarm_node", check_mode=check_mode, avoid=others, **drain)
        assert_refused(refused, "no other node may take: web", "set allow_stranded")
    manager.docker("service", "update", "--detach", "--replicas-max-per-node", "1", web)
    wait_until(lambda: len(set(tasks_of(manager, web).values())) == 3, timeout=90, what="a task on each manager")
    result = module(lab, manager.name, "swarm_node", **drain)
    assert_refused(result, "web do not run elsewhere yet", "max replicas per node", "active again", kind="timed_out")
    assert entries(manager, manager.name)[0]["Spec"]["Availability"] == "active"
    done = module(lab, manager.name, "swarm_node", avoid=others, allow_stranded=True, **{**drain, "wait_timeout": 60})
    assert (done["changed"], done["drained"]["stranded"]) == (True, ["web"])
    assert manager.name not in tasks_of(manager, web).values()
    manager.docker("node", "update", "--availability", "active", manager.name)


def test_the_leader_steps_down(lab: Lab, module: RunModule, cycle: Cycle, manager: Host) -> None:
    first = leader(manager)
    assert_refused(module(lab, first, "swarm_node", node=first, step_down=True), "Run this on another manager")
    cycle(manager.name, "swarm_node", node=first, step_down=True)
    assert nodes(manager)[first] == "reachable"
    assert leader(manager) != first


def test_what_would_lose_the_quorum_is_refused(lab: Lab, module: RunModule, manager: Host) -> None:
    lost = next(lab.hosts[name] for name in ("m1", "m2", "m3") if name not in (manager.name, leader(manager)))
    lost.pause()
    try:
        wait_until(
            lambda: entries(manager, lost.name)[0]["ManagerStatus"]["Reachability"] == "unreachable",
            timeout=30,
            what="a manager to be unreachable",
        )
        other = leader(manager)
        numbers = "1 of 2 managers are reachable, 2 are needed"
        for check_mode in (True, False):
            for options in ({"role": "worker"}, {"state": "absent", "force": True}):
                result = module(lab, manager.name, "swarm_node", check_mode=check_mode, node=other, **options)
                assert_refused(result, numbers)
    finally:
        lost.resume()
    assert_refused(module(lab, manager.name, "swarm_node", node=manager.name, role="worker"), "another manager")


def test_only_a_manager_changes_nodes(lab: Lab, module: RunModule, manager: Host) -> None:
    for host in ("w1", "x1"):
        result = module(lab, host, "swarm_node", node="w1", role="manager")
        assert_refused(result, "Run this on a manager", kind="not_a_manager")


# -- swarm_member, and what the managers do about it ---------------------------------------------------------------


def test_a_worker_comes_and_goes(lab: Lab, module: RunModule, cycle: Cycle, manager: Host, outsider: Host) -> None:
    cluster = ask(manager, "GET", "/swarm")["ID"]
    joined = cycle("x1", "swarm_member", state="worker", cluster_id=cluster, **way_in(manager, "worker"))
    assert (joined["node_id"], joined["cluster_id"], joined["address"]) == (
        node_id(outsider),
        cluster,
        outsider.address,
    )
    assert [node["Status"]["State"] for node in entries(manager, "x1")] == ["ready"]

    refused = module(lab, "x1", "swarm_member", state="manager", **way_in(manager, "manager"))
    assert_refused(refused, "Promote it from a manager", joined["node_id"])
    refused = module(lab, "x1", "swarm_member", state="worker", cluster_id="another", **way_in(manager, "worker"))
    assert_refused(refused, f"in another swarm, {cluster} instead of another")
    assert module(lab, "x1", "swarm_member", state="absent", cluster_id="another")["changed"] is False
    result = module(lab, manager.name, "swarm_node", node=joined["node_id"], state="absent", wait_timeout=2)
    assert_refused(result, "it is ready, not down")

    left = cycle("x1", "swarm_member", state="absent")
    assert left["previous_node_id"] == joined["node_id"]
    assert outsider.run(["find", STATE_DIRECTORY, "-mindepth", "1"]).stdout == ""
    removed = module(lab, manager.name, "swarm_node", node="x1", state="absent")
    assert removed["changed"], removed
    assert entries(manager, "x1") == []
    assert module(lab, manager.name, "swarm_node", node="x1", state="absent")["changed"] is False


def test_a_manager_comes_and_goes(lab: Lab, module: RunModule, cycle: Cycle, manager: Host, outsider: Host) -> None:
    options = {"advertise_address": outsider.address, "listen_address": f"{outsider.address}:2377"}
    joined = cycle("x1", "swarm_member", state="manager", **options, **way_in(manager, "manager"))
    assert nodes(manager)["x1"] == "reachable"
    assert module(lab, "x1", "swarm_info", gather=[])["cluster"]["autolock"] is True

    assert_refused(module(lab, "x1", "swarm_member", state="absent"), "Demote it from another manager first")
    refused = module(lab, "x1", "swarm_member", state="worker", **way_in(manager, "worker"))
    assert_refused(refused, "Demote it from a manager", joined["node_id"])
    assert module(lab, manager.name, "swarm_node", node="x1", role="worker")["changed"]
    assert module(lab, "x1", "swarm_member", state="absent")["changed"]
    cycle(manager.name, "swarm_node", node=joined["node_id"], state="absent")


def test_a_manager_that_is_gone_is_removed(
    lab: Lab, module: RunModule, cycle: Cycle, manager: Host, outsider: Host
) -> None:
    module(lab, "x1", "swarm_member", state="manager", **way_in(manager, "manager"))
    outsider.run("systemctl stop docker.socket docker.service")
    try:
        wait_until(lambda: nodes(manager)["x1"] == "down", timeout=60, what="x1 to be down")
        cycle(manager.name, "swarm_node", node="x1", state="absent")
    finally:
        outsider.run(f"rm -rf {STATE_DIRECTORY}; systemctl start docker.service")
    wait_until_healthy(manager)


def test_force_goes_where_nothing_else_does(lab: Lab, module: RunModule, manager: Host, outsider: Host) -> None:
    joined = module(lab, "x1", "swarm_member", state="manager", **way_in(manager, "manager"))
    outsider.run("systemctl restart docker.service")
    for options in ({"state": "worker"}, {"state": "manager", "init": True}):
        assert_refused(module(lab, "x1", "swarm_member", **options), "Unlock it", kind="locked")
    assert_refused(module(lab, "x1", "swarm_member", state="absent"), "locked", "set force")
    left = module(lab, "x1", "swarm_member", state="absent", force=True)
    assert (left["changed"], left["previous_node_id"]) == (True, joined["node_id"])
    removed = module(lab, manager.name, "swarm_node", node=joined["node_id"], state="absent")
    assert removed["changed"], removed
    wait_until_healthy(manager)


@pytest.mark.long
def test_a_join_that_fails_leaves_nothing(lab: Lab, module: RunModule, manager: Host, outsider: Host) -> None:
    way = way_in(manager, "worker")
    nobody = f"{lab.subnet.rpartition('.')[0]}.250:2377"
    for options, words in (
        ({**way, "join_token": way["join_token"][:-4] + "0000"}, ["A valid join token is necessary"]),
        ({**way, "remote_addresses": [nobody]}, ["the engine gave up", nobody]),
    ):
        result = module(lab, "x1", "swarm_member", state="worker", **options)
        assert_refused(result, *words, kind="engine_error")
        assert module(lab, "x1", "swarm_info", gather=[])["state"] == "inactive"
    wrong_address = {"advertise_address": "192.0.2.1", **way_in(manager, "manager")}
    result = module(lab, "x1", "swarm_member", state="manager", **wrong_address)
    assert_refused(result, "Correct advertise_address", kind="engine_error")
    assert module(lab, "x1", "swarm_info", gather=[])["state"] == "inactive"


@pytest.mark.parametrize(("wanted", "other"), [("worker", "manager"), ("manager", "worker")])
def test_the_token_of_the_other_role(
    lab: Lab, module: RunModule, manager: Host, outsider: Host, wanted: str, other: str
) -> None:
    result = module(lab, "x1", "swarm_member", state=wanted, wait_timeout=5, **way_in(manager, other))
    assert_refused(result, f"it has joined as a {other}, so the token was that of {other}s", node_id(outsider))


def test_a_new_swarm(lab: Lab, module: RunModule, cycle: Cycle, manager: Host, outsider: Host) -> None:
    assert_refused(module(lab, "x1", "swarm_member", state="manager"), "set init to create a new one")
    made = cycle("x1", "swarm_member", state="manager", init=True, advertise_address=outsider.address)
    assert made["cluster_id"] == ask(outsider, "GET", "/swarm")["ID"] != ask(manager, "GET", "/swarm")["ID"]
    assert_refused(module(lab, "x1", "swarm_member", state="absent"), "it is the last manager", "set force")
    cycle("x1", "swarm_member", state="absent", force=True)


def test_state_on_disk_is_never_deleted_by_joining(lab: Lab, module: RunModule, manager: Host, outsider: Host) -> None:
    outsider.run(
        f"mkdir -p {STATE_DIRECTORY}/certificates; echo precious > {STATE_DIRECTORY}/certificates/swarm-node.key"
    )
    way: Sequence[dict[str, Any]] = (
        {"state": "manager", "init": True},
        {"state": "worker", **way_in(manager, "worker")},
    )
    for options in way:
        result = module(lab, "x1", "swarm_member", **options)
        assert_refused(result, "which creating or joining a swarm deletes", "swarm_restore")
    assert outsider.run(f"cat {STATE_DIRECTORY}/certificates/swarm-node.key").stdout == "precious\n"


def test_an_engine_that_is_down(lab: Lab, module: RunModule, manager: Host, outsider: Host) -> None:
    outsider.run("systemctl stop docker.socket docker.service")
    try:
        result = module(lab, "x1", "swarm_member", state="worker", **way_in(manager, "worker"))
        assert_refused(result, "systemctl start docker", kind="unreachable")
    finally:
        outsider.run("systemctl start docker.service")
