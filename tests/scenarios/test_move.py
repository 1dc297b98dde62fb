# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Managers on hosts with another address than the one by which their swarm knows them: restored elsewhere, or renumbered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import ask, changes, fill, is_healthy, meanwhile, node_id, write_inventory
from helpers.restore import engine_off, engine_on, give, identity, leftovers, local, managers, snapshot, switch, unlock
from helpers.runner import AnsibleRun, RunModule, RunPlaybook, kill_ansible

from quorate_lab import Host, Lab
from quorate_lab.process import in_parallel, wait_until

pytestmark = pytest.mark.long

STATE = "/var/lib/docker/swarm"
NEW = ("n1", "n2", "n3")


@dataclass
class Site:
    """A swarm whose hosts are all gone but for a worker, and new hosts with other addresses.

    Attributes:
        old: The address of the archived manager.
        archive: Its archive.
        before: What must be the same afterwards.
        free: Addresses that no host has.
    """

    lab: Lab
    interrupted: bool
    directory: Path
    archive: Path
    old: str
    lost: list[str]
    before: dict[str, Any]
    free: Iterator[str]
    key: str | None = field(repr=False)
    worker_id: str = ""

    @property
    def hosts(self) -> list[Host]:
        return [self.lab.host(name) for name in NEW]

    @property
    def worker(self) -> Host:
        return self.lab.host("w1")

    def inventory(self, *names: str) -> Path:
        groups = {"swarm_managers": names, "swarm_workers": ["w1"]}
        described = {name: (self.lab, name) for name in (*names, "w1")}
        return write_inventory(self.directory / f"{'-'.join(names)}.yml", described, groups)

    def variables(self, **more: Any) -> dict[str, Any]:
        given = {
            "restore_host": "n1",
            "restore_archive": str(self.archive),
            "restore_move_address": True,
            "restore_lost_managers": self.lost,
        }
        return {**given, **({"restore_unlock_key": self.key} if self.key else {}), **more}


@pytest.fixture(
    scope="module",
    params=[("20.10", False, True), ("28.5", True, False)],
    ids=["20.10-plain-interrupted", "28.5-autolock"],
)
def site(
    request: pytest.FixtureRequest,
    lab_factory: LabFactory,
    module: RunModule,
    playbook: RunPlaybook,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    engine, autolock, interrupted = request.param
    directory = tmp_path_factory.mktemp("site")
    with lab_factory(3, 1, autolock, engine=engine) as lab:
        m1 = lab.host("m1")
        fill(m1)
        playbook(lab, "backup", {"backup_collect_to": str(directory / "archives"), "backup_hosts": ["m2"]})
        (archive,) = (directory / "archives").iterdir()
        before, worker_id = identity(m1), node_id(lab.host("w1"))
        addresses = {name: lab.host(name).address for name in ("m1", "m2", "m3")}
        free = iter(lab.network.addresses()[20:])
        first = lab.add("n1", address=next(free))
        # The managers are stopped, but the host of the archived one is there, and still has its address.
        in_parallel(engine_off, [lab.host(name) for name in addresses])
        key: dict[str, Any] = {"unlock_key": lab.unlock_key} if autolock else {}
        path = give(archive, first)
        alive = module(lab, "n1", "swarm_restore", archive=path, lend_address=True, check_mode=True, **key)
        assert alive["error"] == "refused" and "another host has it: a host on eth0" in alive["msg"], alive
        for name in addresses:
            lab.rm(name)
        for name in NEW[1:]:
            lab.add(name, address=next(free))
        yield Site(
            lab=lab,
            interrupted=interrupted,
            directory=directory,
            archive=archive,
            old=addresses["m2"],
            lost=list(addresses.values()),
            before=before,
            free=free,
            key=lab.unlock_key,
            worker_id=worker_id,
        )


def refused(site: Site, run: AnsibleRun, before: dict[str, Any], words: str) -> None:
    assert run.rc != 0
    assert words in " ".join(run.readable().split()), run.readable()[-3000:]
    assert snapshot(site.lab.host("n1")) == before
    assert site.old not in site.lab.host("n1").run("ip address").stdout


def test_refused_without_another_host(site: Site, playbook: RunPlaybook) -> None:
    before = snapshot(site.lab.host("n1"))
    variables = site.variables(restore_confirmed=True)
    run = playbook(site.lab, "restore", variables, inventory=site.inventory("n1"), check_rc=False)
    refused(site, run, before, "Add a second host to the group swarm_managers")


def test_refused_while_the_archived_manager_may_live(site: Site, playbook: RunPlaybook) -> None:
    """Its host is not this one, so that it is a manager like all others."""
    before = snapshot(site.lab.host("n1"))
    variables = site.variables(restore_confirmed=True, restore_lost_managers=[*set(site.lost) - {site.old}])
    run = playbook(site.lab, "restore", variables, inventory=site.inventory(*NEW), check_rc=False)
    refused(site, run, before, f"manager m2 ({site.old}) of the swarm does not answer")


def test_check_mode_changes_nothing(site: Site, playbook: RunPlaybook) -> None:
    before = snapshot(site.lab.host("n1"))
    run = playbook(site.lab, "restore", site.variables(), ["--check"], inventory=site.inventory(*NEW))
    assert changes(run) == []
    assert snapshot(site.lab.host("n1")) == before


@pytest.fixture(scope="module")
def restored(site: Site, playbook: RunPlaybook) -> Site:
    """After the restore, in one run, or in two of which the first one is killed while two managers depend on the lent address."""
    first, inventory = site.lab.host("n1"), site.inventory(*NEW)
    variables = site.variables(restore_confirmed=True)
    if site.interrupted:
        with meanwhile(lambda: playbook(site.lab, "restore", variables, inventory=inventory, check_rc=False)) as run:
            wait_until(lambda: reachable(first) == 2, timeout=500, interval=0.1, what="the second manager")
            kill_ansible(inventory)
            assert run().rc != 0
        assert site.old in first.run("ip address show dev eth0").stdout
        assert "quorate-swarm-address.timer" in switch(first)
    playbook(site.lab, "restore", variables, inventory=inventory)
    return site


def reachable(manager: Host) -> int:
    """How many managers are reachable; a node that has just joined has no name yet. None while there is no swarm."""
    try:
        listed = ask(manager, "GET", "/nodes")
    except (AssertionError, OSError):
        return 0
    return sum(node.get("ManagerStatus", {}).get("Reachability") == "reachable" for node in listed)


def joined_again(manager: Host, name: str, old_id: str) -> bool:
    """Whether a host is a reachable manager with another node ID than this one."""
    return any(
        node["Description"].get("Hostname") == name
        and node["ID"] != old_id
        and node.get("ManagerStatus", {}).get("Reachability") == "reachable"
        for node in ask(manager, "GET", "/nodes")
    )


def assert_no_trace(site: Site, address: str, hosts: list[Host]) -> None:
    """The address is in no node list, no list of managers, no state on disk, and on no interface."""
    for host in hosts:
        if local(host)["ControlAvailable"]:
            for node in ask(host, "GET", "/nodes"):
                assert address not in json.dumps([node["Status"], node.get("ManagerStatus")]), (host.name, node)
        assert address not in json.dumps(local(host)), host.name
        files = host.run(f"cat {STATE}/state.json {STATE}/docker-state.json").stdout
        assert f'"{address}:' not in files, (host.name, files)
        assert f" {address}/" not in host.run("ip address").stdout
        assert switch(host) == ""


def test_no_trace_of_the_old_address(restored: Site) -> None:
    first = restored.lab.host("n1")
    wait_until(lambda: is_healthy(first), timeout=60, what="the swarm to be healthy")
    assert_no_trace(restored, restored.old, [*restored.hosts, restored.worker])
    assert managers(first) == set(NEW)
    addresses = {node["ManagerStatus"]["Addr"] for node in ask(first, "GET", "/nodes") if "ManagerStatus" in node}
    assert addresses == {f"{host.address}:2377" for host in restored.hosts}
    assert len(ask(first, "GET", "/nodes")) == 4


def test_swarm_is_the_archived_one(restored: Site) -> None:
    assert identity(restored.lab.host("n1")) == restored.before
    assert leftovers(restored.lab.host("n1")) == []


def test_worker_came_back_and_survives_a_restart(restored: Site) -> None:
    worker, first = restored.worker, restored.lab.host("n1")
    assert node_id(worker) == restored.worker_id
    engine_off(worker)
    engine_on(worker)

    def ready() -> bool:
        (node,) = (node for node in ask(first, "GET", "/nodes") if node["ID"] == restored.worker_id)
        return local(worker)["LocalNodeState"] == "active" and bool(node["Status"]["State"] == "ready")

    wait_until(ready, timeout=60, what="the worker after its restart")


def test_second_run_changes_nothing(restored: Site, playbook: RunPlaybook) -> None:
    variables = restored.variables(restore_confirmed=True)
    run = playbook(restored.lab, "restore", variables, inventory=restored.inventory(*NEW))
    assert changes(run) == []
    moved = playbook(restored.lab, "move_manager", {"move_manager_host": "n1"}, inventory=restored.inventory(*NEW))
    assert changes(moved) == []


def test_any_manager_may_restart(restored: Site) -> None:
    """The moved one is the one that would not come back if it had no address of its own."""
    first, second = restored.lab.host("n1"), restored.lab.host("n2")
    engine_off(first)
    engine_on(first)
    if restored.key:
        unlock(first, restored.key)
    wait_until(lambda: managers(second) == set(NEW), timeout=60, what="the moved manager after its restart")


# -- a host is renumbered --------------------------------------------------------------------------------------------


def renumber(host: Host, address: str) -> str:
    """Give a host another address instead of the one it has, and return the old one."""
    old, host.address = host.address, address
    host.forget_connections()
    host.run(f"ip address del {old}/24 dev eth0 && ip address add {address}/24 dev eth0")
    return old


def test_renumbered_manager_of_a_healthy_swarm(restored: Site, playbook: RunPlaybook) -> None:
    first, host = restored.lab.host("n1"), restored.lab.host("n3")
    first.docker("node", "update", "--label-add", "zone=c", "n3")
    old = renumber(host, next(restored.free))
    inventory = restored.inventory(*NEW)
    variables: dict[str, Any] = {"move_manager_host": "n3"}
    run = playbook(restored.lab, "move_manager", variables, inventory=inventory, check_rc=False)
    assert run.rc != 0 and f"at {host.address} instead of {old}" in " ".join(run.readable().split())
    variables["move_manager_confirmed"] = True
    if restored.interrupted:
        old_id = json.loads(first.docker("node", "inspect", "n3"))[0]["ID"]
        with meanwhile(
            lambda: playbook(restored.lab, "move_manager", variables, inventory=inventory, check_rc=False)
        ) as result:
            wait_until(lambda: joined_again(first, "n3", old_id), timeout=200, interval=0.1, what="n3 to be back")
            kill_ansible(inventory)
            assert result().rc != 0
        assert old_id in first.docker("node", "ls", "--quiet")
    playbook(restored.lab, "move_manager", variables, inventory=inventory)
    wait_until(lambda: is_healthy(first), timeout=60, what="the swarm to be healthy")
    assert managers(first) == set(NEW)
    assert_no_trace(restored, old, [*restored.hosts, restored.worker])
    assert json.loads(first.docker("node", "inspect", "n3"))[0]["Spec"]["Labels"] == {"zone": "c"}
    assert changes(playbook(restored.lab, "move_manager", variables, inventory=inventory)) == []
