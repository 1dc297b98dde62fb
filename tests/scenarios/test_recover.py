# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A swarm loses its quorum and is recovered: for good, for a while, in a partition, and not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import ask, changes, engine_state, fill, is_healthy, meanwhile, node_id, nodes, repeated
from helpers.escrow import KEYS, Escrow
from helpers.restore import (
    STATE,
    identity,
    leftovers,
    local,
    managers,
    running_tasks,
    snapshot,
    switch,
    unlock_key_digest,
)
from helpers.runner import RunModule, RunPlaybook, kill_ansible

from quorate_lab import Host, Lab
from quorate_lab.process import in_parallel, wait_until

pytestmark = pytest.mark.long


def key_of(lab: Lab) -> dict[str, Any]:
    return {"recover_quorum_unlock_key": lab.unlock_key} if lab.unlock_key else {}


def has_snapshot(host: Host) -> bool:
    return host.run(f"ls {STATE}/raft/snap-v3-encrypted").stdout.strip() != ""


def engine_is_up(host: Host) -> bool:
    return "inactive" not in host.run("systemctl is-active docker.service", check=False).stdout


@contextmanager
def kept_away(lab: Lab, worker: Host, survivors: Sequence[Host]) -> Iterator[None]:
    """Cut a worker off from the managers until one leads for 45 s; Docker takes a worker for down after 30 s."""
    led: list[float] = []

    def look() -> None:
        with suppress(OSError):
            if not led and any(host.api("GET", "/nodes", timeout=5)[0] == 200 for host in survivors):
                led.append(time.monotonic())
        if led and time.monotonic() - led[0] > 45:
            lab.heal()

    lab.partition([worker.name])
    with repeated(look, interval=1):
        yield
    assert time.monotonic() - led[0] > 45


# -- most managers are lost for good -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """A swarm of so many managers, of which all but a minority are lost."""

    engine: str
    managers: int
    autolock: bool

    def __str__(self) -> str:
        return f"{self.engine}-{self.managers}-{'autolock' if self.autolock else 'plain'}"


@pytest.mark.parametrize(
    "variant",
    [
        Variant("20.10", 3, autolock=True),
        Variant("20.10", 5, autolock=False),
        Variant("28.5", 3, autolock=False),
        Variant("28.5", 5, autolock=True),
    ],
    ids=str,
)
def test_a_majority_is_lost_for_good(
    lab_factory: LabFactory, playbook: RunPlaybook, tmp_path: Path, variant: Variant
) -> None:
    """One command, fresh hosts in the place of the lost ones; refused before it is confirmed, and nothing left to do after.

    With autolock, the escrow holds a newer key that this manager never got; without, a worker finds no manager for a while,
    and where there are several survivors, the controller dies while one of them is stopped.
    """
    with lab_factory(variant.managers, 1, variant.autolock, engine=variant.engine) as lab:
        names = [f"m{number}" for number in range(1, variant.managers + 1)]
        lost, kept = names[: variant.managers // 2 + 1], names[variant.managers // 2 + 1 :]
        survivors, worker = [lab.host(name) for name in kept], lab.host("w1")
        fill(survivors[0])
        before, key_digest = identity(survivors[0]), unlock_key_digest(survivors[0])
        raft_options = ask(survivors[0], "GET", "/swarm")["Spec"]["Raft"]
        worker_id, old_ids = node_id(worker), {name: node_id(lab.host(name)) for name in kept}
        cluster_id = ask(survivors[0], "GET", "/swarm")["ID"]
        tasks = running_tasks(survivors[0], worker_id)
        assert tasks
        addresses = [lab.host(name).address for name in lost]
        in_parallel(lab.rm, lost)
        taken = {*addresses, worker.address, *(host.address for host in survivors)}
        free = (address for address in lab.network.addresses() if address not in taken)
        fresh = [lab.add(f"m{number + 10}", address=next(free)) for number in range(1, len(lost) + 1)]
        inventory = lab.write_inventory(tmp_path / "inventory")
        variables: dict[str, Any] = {"recover_quorum_lost_managers": addresses, "recover_quorum_settle_timeout": "40"}
        args: Sequence[str] = ()
        if lab.unlock_key:
            escrow = Escrow(tmp_path)
            escrow.put(cluster_id, [KEYS[0], lab.unlock_key, KEYS[1]])
            variables, args = {**variables, **escrow.configuration}, escrow.args

        refused = playbook(lab, "recover_quorum", variables, args, check_rc=False, inventory=inventory)
        assert refused.rc != 0
        assert changes(refused) == []
        assert "Set recover_quorum_confirmed to true" in " ".join(refused.readable().split())

        confirmed = {**variables, "recover_quorum_confirmed": True}
        if len(survivors) == 1:
            checked = playbook(lab, "recover_quorum", confirmed, [*args, "--check"], inventory=inventory)
            assert changes(checked) == []
        if len(survivors) > 1 and not variant.autolock:
            with meanwhile(
                lambda: playbook(lab, "recover_quorum", confirmed, args, check_rc=False, inventory=inventory)
            ) as run:
                wait_until(lambda: not all(map(engine_is_up, survivors)), timeout=240, what="a survivor to be stopped")
                kill_ansible(inventory)
                assert run().rc != 0
            assert not all(map(engine_is_up, survivors))
        with nullcontext() if variant.autolock else kept_away(lab, worker, survivors):
            playbook(lab, "recover_quorum", confirmed, args, inventory=inventory)
        leader = next(host for host in survivors if leftovers(host))
        assert identity(leader) == before
        assert unlock_key_digest(leader) == key_digest
        wanted = {*kept, *(host.name for host in fresh)}
        for host in (*survivors, *fresh):
            assert managers(host) == wanted
        assert {name: node_id(lab.host(name)) for name in kept} == old_ids
        assert len(ask(leader, "GET", "/nodes")) == variant.managers + 1
        assert node_id(worker) == worker_id
        assert running_tasks(leader, worker_id) >= tasks
        spec = ask(leader, "GET", "/swarm")["Spec"]
        assert spec["Dispatcher"]["HeartbeatPeriod"] == 5 * 10**9
        assert spec["Raft"] == raft_options
        if not variant.autolock:  # what seals a key makes a snapshot too
            assert has_snapshot(leader) is (variant.engine == "20.10")
        assert switch(leader) == ""
        assert len(leftovers(leader)) == 1

        again = playbook(lab, "recover_quorum", variables, args, inventory=inventory)
        assert changes(again) == []


# -- the lost managers come back ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """A swarm of three managers, autolocked, that every test leaves with its quorum."""
    return lab_factory(3, 1, autolock=True)


def test_managers_that_are_only_stopped_or_locked_are_brought_back(lab: Lab, playbook: RunPlaybook) -> None:
    """Without confirmation, for nothing is forced; but not while another operation has stopped the engine."""
    m1, m2 = lab.host("m1"), lab.host("m2")
    before, ids = identity(m1), {name: node_id(lab.host(name)) for name in ("m1", "m2", "m3")}
    m2.run(["systemctl", "stop", "docker.socket", "docker.service"])
    lab.host("m3").reboot()
    m2.run(["systemd-run", "--unit=quorate-swarm-dead-man", "--on-active=600", "/bin/true"])
    run = playbook(lab, "recover_quorum", {**key_of(lab), "recover_quorum_wait_timeout": 5}, check_rc=False)
    assert "The engine of m2 must not be started: for 5 s another operation" in " ".join(run.readable().split())
    assert engine_state(m2) == "inactive"
    m2.run(["systemctl", "stop", "quorate-swarm-dead-man.timer"])
    playbook(lab, "recover_quorum", key_of(lab))
    wait_until(lambda: is_healthy(m1), timeout=60, what="the swarm to be healthy")
    assert identity(m1) == before
    assert {name: node_id(lab.host(name)) for name in ids} == ids
    assert leftovers(m1) == []


def test_an_election_is_waited_for_and_nothing_is_done(lab: Lab, module: RunModule) -> None:
    """The leader is paused, so that the others elect a new one while the module waits."""
    wait_until(lambda: is_healthy(lab.host("m1")), timeout=60, what="the swarm to be healthy")
    standings = nodes(lab.host("m1"))
    leader = next(name for name, standing in standings.items() if standing == "leader")
    other = next(name for name in ("m1", "m2", "m3") if name != leader)
    before = snapshot(lab.host(other), live=True)
    lab.host(leader).pause()
    try:
        result = module(lab, other, "swarm_recover", unlock_key=lab.unlock_key, down_managers=["10.0.0.1"])
    finally:
        lab.host(leader).resume()
    assert not result.get("failed"), result
    assert (result["changed"], result["outcome"]) == (False, "has_quorum")
    assert snapshot(lab.host(other), live=True) == before


def test_the_minority_of_a_partition_is_refused(lab: Lab, playbook: RunPlaybook, module: RunModule) -> None:
    """By the role, which sees the majority, and by the module, which does not; what is written meanwhile is kept."""
    m1, m3 = lab.host("m1"), lab.host("m3")
    wait_until(lambda: is_healthy(m1), timeout=60, what="the swarm to be healthy")
    lab.partition(["m3"])
    try:
        wait_until(lambda: managers(m1) == {"m1", "m2"}, timeout=60, what="the majority to go on")
        m1.run(["docker", "config", "create", "written-by-the-majority", "-"], input="new")
        before = snapshot(m3, live=True)
        run = playbook(
            lab,
            "recover_quorum",
            {**key_of(lab), "recover_quorum_confirmed": True, "recover_quorum_lost_managers": ["m1", "m2"]},
            check_rc=False,
        )
        assert run.rc != 0
        assert "can see and m3 cannot" in " ".join(run.readable().split())
        alone = module(lab, "m3", "swarm_recover", unlock_key=lab.unlock_key, settle_timeout=10)
        assert (alone["failed"], alone["error"]) == (True, "refused")
        assert "not every other manager is known to be down" in alone["msg"]
        assert snapshot(m3, live=True) == before
    finally:
        lab.heal()
    # The longer it was cut off, the later a manager tries again (gRPC: up to 120 s).
    wait_until(lambda: is_healthy(m1), timeout=240, what="the swarm to be healthy")
    assert "written-by-the-majority" in {entry["Spec"]["Name"] for entry in ask(m1, "GET", "/configs")}


def test_refused_without_the_key_or_while_a_manager_answers(lab: Lab, module: RunModule) -> None:
    """The quorum is lost: one manager is off, and one is cut off from the survivor for some time only."""
    m1, m2, m3 = (lab.host(name) for name in ("m1", "m2", "m3"))
    wait_until(lambda: is_healthy(m1), timeout=90, what="the swarm to be healthy")
    known = [node_id(host) for host in (m2, m3)]
    in_parallel(Host.kill, [m2, m3])
    options: dict[str, Any] = {"down_managers": known, "settle_timeout": 35}
    before = snapshot(m1, live=True)
    keyless = module(lab, "m1", "swarm_recover", **options)
    assert (keyless["failed"], keyless["error"]) == (True, "wrong_key")
    assert "no unlock key was given" in keyless["msg"]
    half = module(lab, "m1", "swarm_recover", unlock_key=lab.unlock_key, down_managers=known[:1], settle_timeout=5)
    assert (half["failed"], half["error_details"]["managers"]) == (True, known[1:])
    assert snapshot(m1, live=True) == before

    m2.start()
    locked = module(lab, "m2", "swarm_recover", unlock_key=lab.unlock_key, **options)
    assert (locked["failed"], locked["error"]) == (True, "locked")
    m3.start()
    for name in ("m2", "m3"):
        module(lab, name, "swarm_unlock", unlock_key=lab.unlock_key)
    wait_until(lambda: is_healthy(m1), timeout=90, what="the swarm to be healthy")


def test_lost_managers_boot_again_in_the_middle(lab_factory: LabFactory, module: RunModule) -> None:
    """While the engine of the survivor is being started on the copy: one swarm, with all that was in it."""
    with lab_factory(3, 1) as lab:
        m1, m2, m3 = hosts = [lab.host(name) for name in ("m1", "m2", "m3")]
        fill(m1)
        before = identity(m1)
        known = [node_id(host) for host in (m2, m3)]
        in_parallel(Host.kill, [m2, m3])
        # a leader shows a healthy swarm for some seconds after it lost the others, and must not be believed
        results: list[dict[str, Any]] = []

        def recover() -> None:
            results.append(module(lab, "m1", "swarm_recover", down_managers=known, settle_timeout=35))

        def boot() -> None:
            wait_until(lambda: switch(m1) != "", timeout=120, what="the recovery to begin")
            in_parallel(Host.start, [m2, m3])

        in_parallel(lambda act: act(), [recover, boot])
        (result,) = results
        assert result.get("outcome") in ("recovered", "quorum_returned") or result["error"] == "refused", result
        wait_until(
            lambda: all(managers(host) == {"m1", "m2", "m3"} for host in hosts), timeout=180, what="one swarm of three"
        )
        assert [identity(host) for host in hosts] == [before] * 3
        assert switch(m1) == ""


# -- workers that do not find the managers -----------------------------------------------------------------------------


def test_a_worker_that_does_not_find_the_managers_joins_again(lab_factory: LabFactory, playbook: RunPlaybook) -> None:
    """It knows addresses only that are gone. It keeps its labels, and the worker beside it is left alone."""
    with lab_factory(1, 2) as lab:
        m1, w1, w2 = (lab.host(name) for name in ("m1", "w1", "w2"))
        ids = {host.name: node_id(host) for host in (w1, w2)}
        m1.run(["docker", "node", "update", "--label-add", "zone=a", "w1"])
        w1.run(["systemctl", "stop", "docker.socket", "docker.service"])
        state = w1.docker_directory / "swarm/state.json"
        state.write_text(state.read_text().replace(m1.address, lab.network.addresses()[-1]))
        w1.run(["systemctl", "start", "docker.service"])
        variables = {"bring_nodes_back_host": "m1", "bring_nodes_back_worker_timeout": 12}
        playbook(lab, "bring_nodes_back", variables)
        assert nodes(m1) == {"m1": "leader", "w1": "ready", "w2": "ready"}
        assert node_id(w1) != ids["w1"]
        assert node_id(w2) == ids["w2"]
        labels = {node["Description"]["Hostname"]: node["Spec"]["Labels"] for node in ask(m1, "GET", "/nodes")}
        assert labels["w1"] == {"zone": "a"}
        assert local(w1)["LocalNodeState"] == "active"
        assert changes(playbook(lab, "bring_nodes_back", variables)) == []
