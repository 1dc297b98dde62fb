# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A swarm is lost and restored: all managers at once, one manager from a tar file made by hand, or nothing but power."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import ask, changes, fill, is_healthy, node_id, nodes, repeated
from helpers.restore import (
    engine_off,
    engine_on,
    identity,
    leftovers,
    local,
    managers,
    read_manifest,
    running_tasks,
    snapshot,
    switch,
    unlock,
    unlock_key_digest,
)
from helpers.runner import AnsibleRun, RunModule, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import in_parallel, wait_until

# -- all managers are lost -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """A swarm whose managers are all gone, and the hosts that shall take their place.

    Attributes:
        manager: A fresh host with the address of the archived manager.
        others: Fresh hosts with new addresses, to be managers.
        worker: A worker that goes on without managers.
        fresh_worker: A fresh host, to be a worker.
        gone: Names and addresses of the other managers of the archive.
        lost: The same, as the operator names them.
        inventory: Its managers are the fresh hosts.
        before: What must be the same afterwards.
        tasks: IDs of the tasks that ran on the worker.
        worker_states: States of the worker, as the restored manager saw them, during the restore.
    """

    lab: Lab
    archive: Path
    manager: Host
    others: tuple[Host, Host]
    worker: Host
    fresh_worker: Host
    gone: dict[str, str]
    lost: list[str]
    inventory: Path
    before: dict[str, Any]
    key_digest: str
    worker_id: str
    tasks: set[str]
    key: str | None = field(repr=False)
    worker_states: list[str] = field(default_factory=list)

    def variables(self, **more: Any) -> dict[str, Any]:
        given = {
            "restore_host": self.manager.name,
            "restore_archive": str(self.archive),
            "restore_lost_managers": self.lost,
        }
        return {**given, **({"restore_unlock_key": self.key} if self.key else {}), **more}


@dataclass(frozen=True)
class Variant:
    """What differs between the swarms that are lost.

    With *same_names* the fresh host bears the name of the archived manager, and one of the lost managers is still in
    the inventory.
    """

    engine: str
    autolock: bool
    same_names: bool

    def __str__(self) -> str:
        return f"{self.engine}-{'autolock' if self.autolock else 'plain'}"


VARIANTS = [
    Variant("20.10", autolock=True, same_names=False),
    Variant("28.5", autolock=True, same_names=True),
    pytest.param(Variant("20.10", autolock=False, same_names=False), marks=pytest.mark.long),
]


def add_dead_manager(inventory: Path, name: str, address: str) -> None:
    """Add a manager to the inventory where nobody answers."""
    host = f"{name} ansible_host={address}"
    inventory.write_text(f"{host}\n{inventory.read_text()}\n[swarm_managers]\n{name}\n")


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def loss(
    request: pytest.FixtureRequest,
    lab_factory: LabFactory,
    playbook: RunPlaybook,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Loss]:
    variant: Variant = request.param
    directory = tmp_path_factory.mktemp("loss")
    with lab_factory(3, 1, variant.autolock, engine=variant.engine) as lab:
        m1, worker = lab.host("m1"), lab.host("w1")
        fill(m1)
        worker_id = node_id(worker)
        archived_tasks = running_tasks(m1, worker_id)
        playbook(lab, "backup", {"backup_collect_to": str(directory / "archives")})
        (archive,) = (directory / "archives").iterdir()
        archived = read_manifest(archive)["node"]
        before, key_digest = identity(m1), unlock_key_digest(m1)
        # The archive does not know a task that the backup has moved here from the manager that it stopped.
        tasks = archived_tasks & running_tasks(m1, worker_id)
        assert tasks

        addresses = {name: lab.host(name).address for name in ("m1", "m2", "m3")}
        for name in addresses:
            lab.rm(name)
        first = lab.add(archived["hostname"] if variant.same_names else "m4", address=archived["address"])
        free = (each for each in lab.network.addresses() if each not in {*addresses.values(), worker.address})
        others = (lab.add("m5", address=next(free)), lab.add("m6", address=next(free)))
        fresh_worker = lab.add("w2", address=next(free))

        gone = {name: address for name, address in addresses.items() if name != archived["hostname"]}
        inventory = lab.write_inventory(directory / "inventory")
        if variant.same_names:
            add_dead_manager(inventory, *next(iter(gone.items())))
        yield Loss(
            lab=lab,
            archive=archive,
            manager=first,
            others=others,
            worker=worker,
            fresh_worker=fresh_worker,
            gone=gone,
            lost=list(gone if variant.autolock else gone.values()),
            inventory=inventory,
            before=before,
            key_digest=key_digest,
            worker_id=worker_id,
            tasks=tasks,
            key=lab.unlock_key,
        )


@pytest.fixture(scope="module")
def restored(loss: Loss, playbook: RunPlaybook) -> Loss:
    """The same after the restore."""

    def note_worker_state() -> None:
        with suppress(OSError):
            status, listed = loss.manager.api("GET", "/nodes", timeout=5)
            if status == 200:
                loss.worker_states.extend(node["Status"]["State"] for node in listed if node["ID"] == loss.worker_id)

    expect = [{"query": "services[?name=='web'].running | [0]", "is": 3}, {"query": "length(nodes)", "at_least": 5}]
    variables = loss.variables(restore_confirmed=True, restore_expect=expect)
    with repeated(note_worker_state, interval=0.2):
        playbook(loss.lab, "restore", variables, inventory=loss.inventory)
    return loss


def refuse(loss: Loss, playbook: RunPlaybook, variables: dict[str, Any], inventory: Path) -> str:
    """Run the playbook, see it fail without a trace, and return what it said."""
    before = snapshot(loss.manager)
    run = playbook(loss.lab, "restore", variables, check_rc=False, inventory=inventory)
    assert run.rc != 0
    assert snapshot(loss.manager) == before
    assert {numbers["changed"] for numbers in run.recap.values()} == {0}
    return run.readable()


@pytest.mark.parametrize("loss", VARIANTS[:1], indirect=True, ids=str)
def test_refused_without_confirmation(loss: Loss, playbook: RunPlaybook) -> None:
    said = refuse(loss, playbook, loss.variables(), loss.inventory)
    manifest = read_manifest(loss.archive)
    assert "Verified, and nothing changed" in said
    assert f"makes {loss.manager.name} the first manager of swarm" in said
    assert manifest["cluster"]["id"] in said and manifest["created"] in said
    assert "Set restore_confirmed to true" in said


@pytest.mark.parametrize("loss", VARIANTS[:1], indirect=True, ids=str)
def test_refused_while_managers_are_not_named_as_lost(loss: Loss, playbook: RunPlaybook, tmp_path: Path) -> None:
    """One of them is in the inventory and cannot be reached, the other one is known from the archive only."""
    (here, here_address), (elsewhere, address) = loss.gone.items()
    inventory = tmp_path / "inventory"
    inventory.write_text(loss.inventory.read_text())
    add_dead_manager(inventory, here, here_address)
    variables = loss.variables(restore_confirmed=True, restore_lost_managers=[])
    said = refuse(loss, playbook, variables, inventory)
    assert "must not be restored while another manager of it may be alive" in said
    assert f"{here}: the host cannot be reached; if it is lost for good, name it in restore_lost_managers" in said
    assert f"manager {elsewhere} ({address}) of the swarm does not answer" in said
    assert "name its address in restore_lost_managers" in said


@pytest.mark.parametrize("loss", VARIANTS[:1], indirect=True, ids=str)
def test_check_mode_changes_nothing(loss: Loss, playbook: RunPlaybook) -> None:
    before = snapshot(loss.manager)
    run = playbook(loss.lab, "restore", loss.variables(restore_confirmed=True), ["--check"], inventory=loss.inventory)
    assert changes(run) == []
    assert snapshot(loss.manager) == before


def test_everything_is_back(restored: Loss) -> None:
    """The IDs of services, networks, secrets and configs, of the cluster, its root CA and its join tokens."""
    assert identity(restored.manager) == restored.before
    assert unlock_key_digest(restored.manager) == restored.key_digest
    assert (leftovers(restored.manager), switch(restored.manager)) == ([], "")


def test_nodes_are_those_of_the_inventory(restored: Loss) -> None:
    """Three reachable managers at their own addresses, both workers, and nobody of before."""
    manager = restored.manager
    assert nodes(manager) == {
        manager.name: "leader",
        "m5": "reachable",
        "m6": "reachable",
        "w1": "ready",
        "w2": "ready",
    }
    listed = ask(manager, "GET", "/nodes")
    assert len(listed) == 5
    addresses = {node["ManagerStatus"]["Addr"] for node in listed if "ManagerStatus" in node}
    assert addresses == {f"{host.address}:2377" for host in (manager, *restored.others)}
    assert node_id(manager) == read_manifest(restored.archive)["node"]["id"]


def test_worker_came_back_with_its_tasks(restored: Loss) -> None:
    """By itself: it is the same node, was never taken for down, and its tasks were never started anew."""
    assert node_id(restored.worker) == restored.worker_id
    assert "down" not in restored.worker_states
    wait_until(
        lambda: running_tasks(restored.manager, restored.worker_id) >= restored.tasks,
        timeout=90,
        what="the tasks of the worker",
    )


@pytest.mark.parametrize("loss", VARIANTS[:2], indirect=True, ids=str)
def test_second_run_changes_nothing(restored: Loss, playbook: RunPlaybook) -> None:
    run = playbook(restored.lab, "restore", restored.variables(restore_confirmed=True), inventory=restored.inventory)
    assert changes(run) == []
    assert {numbers["changed"] for numbers in run.recap.values()} == {0}


@pytest.mark.parametrize("loss", VARIANTS[:1], indirect=True, ids=str)
def test_what_is_not_as_expected_is_told(restored: Loss, playbook: RunPlaybook) -> None:
    nonsense = restored.variables(restore_confirmed=True, restore_expect=[{"query": "length(nodes", "is": 5}])
    assert "evaluate the query length(nodes: it is no JMESPath: it ends" in refuse(
        restored, playbook, nonsense, restored.inventory
    )
    expect = [{"query": "length(services)", "at_least": 9, "message": "services are missing"}]
    variables = restored.variables(restore_confirmed=True, restore_expect=expect, restore_wait_timeout=5)
    said = refuse(restored, playbook, variables, restored.inventory)
    assert "services are missing (length(services): it is 2, at least 9 is expected)" in " ".join(said.split())


def test_old_unlock_key_still_opens(restored: Loss) -> None:
    other = restored.others[0]
    engine_off(other)
    engine_on(other)
    if restored.key:
        assert local(other)["LocalNodeState"] == "locked"
        unlock(other, restored.key)
    wait_until(lambda: is_healthy(restored.manager), timeout=90, what="the manager to be reachable again")


def test_one_manager_may_fail(restored: Loss) -> None:
    restored.others[1].kill()
    manager = restored.manager
    wait_until(
        lambda: managers(manager) == {manager.name, "m5"}, timeout=60, what="the swarm without its third manager"
    )
    manager.run(["docker", "config", "create", "afterwards", "-"], input="new")


# -- a tar file made by hand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("autolock", "tar"),
    [
        (False, "tar -czf /root/by-hand.tar.gz -C /var/lib/docker swarm"),
        (True, "cd /var/lib/docker/swarm && tar -czf /root/by-hand.tar.gz ."),
    ],
    ids=["plain", "autolock"],
)
def test_tar_file_made_by_hand(lab_factory: LabFactory, module: RunModule, *, autolock: bool, tar: str) -> None:
    """The state directory, packed while the engine is stopped, and restored on a fresh host with the same address."""
    with lab_factory(1, 0, autolock) as lab:
        m1, key = lab.host("m1"), lab.unlock_key
        fill(m1)
        before, key_digest = identity(m1), unlock_key_digest(m1)
        engine_off(m1)
        m1.run(tar)
        archive = (m1.disk / "root/by-hand.tar.gz").read_bytes()
        address = m1.address
        lab.rm("m1")
        fresh = lab.add("m2", address=address)
        (fresh.disk / "root/by-hand.tar.gz").write_bytes(archive)
        options: dict[str, Any] = {"archive": "/root/by-hand.tar.gz", **({"unlock_key": key} if key else {})}
        result = module(lab, "m2", "swarm_restore", allow_missing_manifest=True, **options)
        assert not result.get("failed"), result
        assert (result["manifest"], result["quarantine"], result["autolock"]) == ({}, None, autolock)
        assert identity(fresh) == before
        assert unlock_key_digest(fresh) == key_digest
        assert (leftovers(fresh), switch(fresh)) == ([], "")


# -- nothing is lost but the quorum ----------------------------------------------------------------------------------


PLAYBOOK = """\
- name: Somebody's own playbook
  hosts: m2
  gather_facts: false
  roles:
    - role: quorate.swarm.restore
      vars:
        restore_archive: "{{ their_archive }}"
        restore_archive_on: host
        restore_unlock_key: "{{ their_key }}"
        restore_replace_state: true
        restore_confirmed: true
"""


def test_old_managers_that_are_reachable(
    lab_factory: LabFactory, playbook: RunPlaybook, module: RunModule, tmp_path: Path
) -> None:
    """Engines stopped, old state on every disk: one is restored over it, the others put theirs aside and join."""
    lab = lab_factory(3, 0, autolock=True)
    hosts = [lab.host(name) for name in ("m1", "m2", "m3")]
    m1, m2 = hosts[:2]
    m1.run(["docker", "config", "create", "before-the-backup", "-"], input="old")
    before, old_ids = identity(m1), {host.name: node_id(host) for host in hosts}
    archive = module(lab, "m2", "swarm_backup")["archive"]
    m1.run(["docker", "config", "create", "after-the-backup", "-"], input="new")
    in_parallel(engine_off, hosts)

    (tmp_path / "theirs.yml").write_text(PLAYBOOK)
    variables = {"their_archive": archive, "their_key": lab.unlock_key}
    run: AnsibleRun = playbook(lab, tmp_path / "theirs.yml", variables)

    assert "Proven stopped or in no part of this swarm: m1, m3" in run.readable()
    assert identity(m2) == before
    for host in hosts:
        assert managers(host) == {"m1", "m2", "m3"}
        assert ask(host, "GET", "/swarm")["ID"] == before["cluster ID"]
        assert len(leftovers(host)) == 1
    assert len(ask(m2, "GET", "/nodes")) == 3
    ids = {host.name: node_id(host) for host in hosts}
    assert {name for name in ids if ids[name] == old_ids[name]} == {"m2"}
