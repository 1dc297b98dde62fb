# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Broken managers become managers again: removed, damaged, installed anew; and never at the expense of the quorum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import ask, engine_state, has_lost, leader, node_id, nodes, repeated, wait_until_healthy
from helpers.runner import AnsibleRun, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

pytestmark = pytest.mark.long

STATE = "/var/lib/docker/swarm"


class Scene:
    """A lab, and how the playbook is run there."""

    def __init__(self, lab: Lab, playbook: RunPlaybook) -> None:
        self.lab = lab
        self._playbook = playbook

    def manager(self, but: str) -> Host:
        return next(self.lab.hosts[name] for name in ("m1", "m2", "m3") if name != but)

    def run(self, target: str, *args: str, fails: bool = False, **variables: Any) -> AnsibleRun:
        extra = {f"rejoin_manager_{name}": value for name, value in {"host": target, **variables}.items()}
        groups = {"swarm_managers": sorted(name for name in self.lab.hosts if name != "w1")}
        run = self._playbook(self.lab, "rejoin_manager", extra, args, check_rc=False, groups=groups)
        assert (run.rc != 0) is fails, run.readable()[-6000:]
        return run

    def rejoin(self, target: str, **variables: Any) -> str:
        """Rejoin, see that it is a manager in a healthy swarm on both sides, and that a second run changes nothing.

        Returns the ID of its new node.
        """
        run = self.run(target, confirmed=True, **variables)
        assert sum(host["changed"] for host in run.recap.values()) > 0
        for host in (self.manager(but=target), self.lab.hosts[target]):
            wait_until_healthy(host)
            assert sorted(entry["Description"]["Hostname"] for entry in ask(host, "GET", "/nodes")) == self.names
        again = self.run(target, confirmed=True)
        assert [host["changed"] for host in again.recap.values()] == [0] * len(again.recap)
        assert "it is a reachable manager" in again.readable()
        return node_id(self.lab.hosts[target])

    @property
    def names(self) -> list[str]:
        return sorted(name for name in self.lab.hosts if name != "x1")

    def label(self, target: str, *labels: str) -> None:
        options = [word for label in labels for word in ("--label-add", label)]
        self.manager(but=target).docker("node", "update", *options, "--availability", "drain", target)

    def labels(self, target: str) -> tuple[dict[str, str], str]:
        entry = ask(self.manager(but=target), "GET", f"/nodes/{node_id(self.lab.hosts[target])}")
        return entry["Spec"]["Labels"], entry["Spec"]["Availability"]

    def looks(self) -> list[Any]:
        """What a refused run must not change."""
        listed = ask(self.manager(but=""), "GET", "/nodes")
        return sorted((node["ID"], node["Version"]["Index"], node["Spec"]) for node in listed)


@pytest.fixture(scope="module")
def scene(lab_factory: LabFactory, playbook: RunPlaybook) -> Scene:
    """Three managers and a worker; every test leaves them healthy."""
    return Scene(lab_factory(managers=3, workers=1), playbook)


@contextmanager
def never_silent(hosts: Sequence[Host]) -> Iterator[None]:
    """Ask each host for the node list every 0.2 s; fail when one ever fails to answer, or needs more than 5 s for it."""
    failures: list[str] = []
    answers: list[str] = []

    def probe_of(host: Host) -> Callable[[], None]:
        def probe() -> None:
            try:
                status = host.api("GET", "/nodes", timeout=5)[0]
            except OSError as error:
                failures.append(f"{host.name}: {error}")
            else:
                (answers if status == 200 else failures).append(f"{host.name}: {status}")

        return probe

    with ExitStack() as probes:
        for host in hosts:
            probes.enter_context(repeated(probe_of(host), interval=0.2))
        yield
    assert failures == []
    assert len(answers) > 20 * len(hosts)


def test_a_healthy_leader_leaves_and_joins_and_nobody_notices(scene: Scene) -> None:
    target = leader(scene.lab.hosts["m1"])
    before = scene.looks()
    assert "Set rejoin_manager_even_if_healthy" in scene.run(target, confirmed=True).readable()
    refused = scene.run(target, fails=True, even_if_healthy=True)
    assert "Checked, and nothing changed" in refused.readable()
    assert "Set rejoin_manager_confirmed to true" in refused.readable()
    planned = scene.run(target, "--check", even_if_healthy=True)
    assert "its state deleted or put aside" in planned.readable()
    assert sum(host["changed"] for host in planned.recap.values()) > 0
    assert scene.looks() == before

    scene.label(target, "zone=a", "rack=7")
    old = node_id(scene.lab.hosts[target])
    with never_silent([scene.lab.hosts[name] for name in ("m1", "m2", "m3") if name != target]):
        new = scene.rejoin(target, even_if_healthy=True)
    assert new != old
    assert scene.labels(target) == ({"zone": "a", "rack": "7"}, "drain")


def test_a_manager_that_was_removed_while_it_was_down(scene: Scene) -> None:
    m3, m1 = scene.lab.hosts["m3"], scene.lab.hosts["m1"]
    m3.run("systemctl stop docker.socket docker.service")
    wait_until(lambda: has_lost(m1, "m3") and nodes(m1)["m3"] == "down", timeout=60, what="m3 to be down")
    m1.docker("node", "demote", "m3")
    wait_until(lambda: m1.docker("node", "rm", "m3", check=False) == "m3", timeout=60, what="m3 to be removed")
    m3.run("systemctl start docker.service")
    scene.rejoin("m3")


def test_a_host_that_was_installed_again_and_a_quorum_that_would_not_hold(scene: Scene) -> None:
    lab = scene.lab
    scene.label("m3", "zone=c")
    address = lab.hosts["m3"].address
    lab.rm("m3")
    lab.add("m3", address=address)
    m2 = lab.hosts["m2"]
    wait_until(lambda: has_lost(m2, "m3") and nodes(m2)["m3"] == "down", timeout=60, what="m3 to be down")
    # without m2 the old entry of m3 is the second of three, and there is no quorum
    before = scene.looks()
    refused = scene.run("m2", fails=True, confirmed=True, even_if_healthy=True)
    assert "1 of 2 managers are reachable, 2 are needed" in refused.readable()
    assert scene.looks() == before
    scene.rejoin("m3")
    assert scene.labels("m3") == ({"zone": "c"}, "drain")


def test_damaged_raft_state_over_which_the_engine_panics(scene: Scene) -> None:
    """The engine is in a crash loop, or in its start limit: an older copy of its own state was put back."""
    m2, m1 = scene.lab.hosts["m2"], scene.lab.hosts["m1"]
    scene.label("m2", "zone=b")
    m2.run(
        f"systemctl stop docker.socket docker.service && cp -a {STATE} /root/stale && systemctl start docker.service"
    )
    wait_until_healthy(m1)
    for number in range(20):
        m1.run(["docker", "config", "create", f"later-{number}", "-"], input="x")
    m2.run(f"systemctl stop docker.socket docker.service && rm -rf {STATE} && mv /root/stale {STATE}")
    m2.run("systemctl start docker.service", check=False)
    wait_until(lambda: engine_state(m2) == "failed", timeout=90, what="the start limit of docker.service")
    scene.rejoin("m2")
    assert scene.labels("m2") == ({"zone": "b"}, "drain")
    assert m2.run(f"stat --format=%a {STATE}.quarantine-*").stdout.split() == ["700"]
    assert len(ask(m2, "GET", "/configs")) == 20


def test_a_host_that_does_not_reach_the_managers_is_not_taken_out(scene: Scene) -> None:
    m3 = scene.lab.hosts["m3"]
    scene.lab.partition(["m3"])
    try:
        wait_until(
            lambda: has_lost(scene.lab.hosts["m1"], "m3") and nodes(scene.lab.hosts["m1"])["m3"] == "down",
            timeout=60,
            what="m3 to be cut off",
        )
        before = scene.looks()
        refused = scene.run("m3", fails=True, confirmed=True)
        assert "and so could leave but not join. Nothing was changed" in refused.readable()
        assert scene.looks() == before
    finally:
        m3.heal()
    # gRPC of the managers tries an address that was silent again after up to two minutes
    wait_until_healthy(scene.lab.hosts["m1"], timeout=300)


def test_a_copied_state_directory(scene: Scene) -> None:
    lab = scene.lab
    copy = lab.add("x1")
    try:
        copy.run("systemctl stop docker.socket docker.service")
        packed = lab.hosts["m3"].run(f"tar -C {STATE} -cz . | base64").stdout
        copy.run(f"mkdir -p {STATE} && base64 -d | tar -C {STATE} -xz", input=packed)
        before = scene.looks()
        for target in ("x1", "m3"):
            refused = scene.run(target, fails=True, confirmed=True, even_if_healthy=True)
            assert "is used by more than one host (m3, x1): a state directory was copied" in refused.readable()
        assert scene.looks() == before
    finally:
        lab.rm("x1")


def test_an_autolocked_manager_on_a_newer_engine(lab_factory: LabFactory, playbook: RunPlaybook) -> None:
    """It was removed while it was down, and is locked since it came back."""
    scene = Scene(lab_factory(managers=3, workers=0, autolock=True, engine="28.5"), playbook)
    m1, m2 = scene.lab.hosts["m1"], scene.lab.hosts["m2"]
    scene.label("m2", "zone=b")
    m2.run("systemctl restart docker.service")
    assert ask(m2, "GET", "/info")["Swarm"]["LocalNodeState"] == "locked"
    with never_silent([m1, scene.lab.hosts["m3"]]):
        scene.rejoin("m2")
    assert scene.labels("m2") == ({"zone": "b"}, "drain")
    m2.run("systemctl restart docker.service")
    assert ask(m2, "GET", "/info")["Swarm"]["LocalNodeState"] == "locked"
    status, dummy = m2.api("POST", "/swarm/unlock", {"UnlockKey": scene.lab.unlock_key}, timeout=60)
    assert status == 200
