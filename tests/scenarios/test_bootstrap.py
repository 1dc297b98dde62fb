# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of a swarm: hosts become one, its managers are drained, nodes are removed, and it is completed again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import ask, create_service, nodes, wait_until_healthy
from helpers.escrow import Escrow
from helpers.runner import AnsibleRun, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

pytestmark = pytest.mark.long

ZONES = {"m1": "a", "m2": "b", "w1": "b", "w2": "c"}


class Scene:
    """A lab, and how the playbooks are run there."""

    def __init__(self, lab: Lab, playbook: RunPlaybook, directory: Path) -> None:
        self.lab = lab
        self._playbook = playbook
        self._directory = directory

    def run(
        self,
        name: str,
        *args: str,
        fails: bool = False,
        host_vars: Mapping[str, str] | None = None,
        **variables: Any,
    ) -> AnsibleRun:
        extra = {key if key.startswith("unlock") else f"{name}_{key}": value for key, value in variables.items()}
        given = {host: f"swarm_zone={zone}" for host, zone in ZONES.items()} | dict(host_vars or {})
        groups = {"swarm_managers": ["m1", "m2"], "swarm_workers": ["w1", "w2"]}
        path = self._directory / "inventory"
        lines = [f"{host} {words}" for host, words in given.items() if host in self.lab.hosts]
        path.write_text(self.lab.inventory(groups) + "\n".join(["", "[given]", *lines, ""]))
        run = self._playbook(self.lab, name, extra, args, check_rc=False, inventory=path)
        assert (run.rc != 0) is fails, run.readable()[-6000:]
        return run

    def refused(self, name: str, *words: str, **variables: Any) -> None:
        """See that a run fails with these words, and changes nothing."""
        before = self.looks()
        run = self.run(name, fails=True, **variables)
        assert [word for word in words if word not in text_of(run)] == [], run.readable()[-6000:]
        assert changes(run) == 0
        assert self.looks() == before

    def done(self, name: str, **variables: Any) -> AnsibleRun:
        """Run in check mode, for real, and again; only the second changes anything, and the first says so."""
        before = self.looks()
        planned = self.run(name, "--check", **variables)
        assert changes(planned) > 0
        assert self.looks() == before
        run = self.run(name, **variables)
        assert changes(run) > 0
        assert changes(self.run(name, **variables)) == 0
        return run

    def looks(self) -> list[Any]:
        """What a run that changes nothing leaves as it is."""
        seen: list[Any] = []
        for host in self.lab.hosts.values():
            if host.power() != "running":
                continue
            try:
                status, listed = host.api("GET", "/nodes")
            except ConnectionRefusedError:
                seen.append((host.name, "engine down", []))
                continue
            state = ask(host, "GET", "/info")["Swarm"]["LocalNodeState"]
            entries = [(node["ID"], node["Version"]["Index"], node["Spec"]) for node in listed] if status == 200 else []
            seen.append((host.name, state, sorted(entries, key=lambda entry: str(entry[0]))))
        return seen

    def entries(self, name: str) -> list[dict[str, Any]]:
        listed = ask(self.lab.hosts["m1"], "GET", "/nodes")
        return [node for node in listed if node["Description"]["Hostname"] == name]


def text_of(run: AnsibleRun) -> str:
    """What the run printed, without line breaks."""
    return " ".join(run.readable().split())


def changes(run: AnsibleRun) -> int:
    return sum(host["changed"] for host in run.recap.values())


@pytest.fixture(scope="module")
def scene(lab_factory: LabFactory, playbook: RunPlaybook, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Two managers and two workers to be; the tests go on from one another."""
    lab = lab_factory(managers=2, workers=2, form_swarm=False)
    return Scene(lab, playbook, tmp_path_factory.mktemp("bootstrap"))


def lease(host: Host, *, given: bool) -> None:
    """Make the address of *host* a leased or a fixed one."""
    life = "3000" if given else "forever"
    (link,) = {line.split()[1] for line in host.run(f"ip -o addr show to {host.address}").stdout.splitlines()}
    host.run(f"ip addr change {host.address}/24 dev {link} valid_lft {life} preferred_lft {life}")


def test_addresses_that_a_manager_must_not_have(scene: Scene) -> None:
    lease(scene.lab.hosts["m2"], given=True)
    try:
        scene.refused("bootstrap", "m2: its address", "is leased", "bootstrap_allow_leased_addresses")
    finally:
        lease(scene.lab.hosts["m2"], given=False)
    wrong = {"m2": "swarm_advertise_address=192.0.2.1"}
    scene.refused("bootstrap", "m2: its address 192.0.2.1 is no address of this host", host_vars=wrong)
    scene.refused("bootstrap", "no escrow keeps its unlock key", autolock=True)


def test_hosts_become_a_swarm_with_its_managers_spread_over_the_zones(scene: Scene) -> None:
    run = scene.done("bootstrap", manager_count=3, host_vars={"w1": "swarm_zone=b swarm_labels=\"{'disks': 2}\""})
    assert "3 of 3 managers are reachable, 1 may fail" in text_of(run)
    assert nodes(scene.lab.hosts["m1"]) == {"m1": "leader", "m2": "reachable", "w2": "reachable", "w1": "ready"}
    for name, zone in ZONES.items():
        (entry,) = scene.entries(name)
        assert entry["Spec"]["Labels"] == {"zone": zone, **({"disks": "2"} if name == "w1" else {})}
        if "ManagerStatus" in entry:
            assert entry["ManagerStatus"]["Addr"] == f"{scene.lab.hosts[name].address}:2377"


def test_managers_are_drained_when_all_services_have_another_place(scene: Scene) -> None:
    m1 = scene.lab.hosts["m1"]
    create_service(m1, "web", "--replicas", "4")
    create_service(m1, "bound", "--constraint", "node.role==manager")
    m1.docker("run", "--detach", "--name", "plain", "busybox:latest", "sleep", "1000000")
    scene.refused("drain_managers", "have tasks there that no other node may take: bound", "set allow_stranded")
    scene.refused("drain_managers", "w1", "is no manager", nodes=["w1"])
    m1.docker("service", "rm", "bound")
    (host,) = scene.entries("m2")
    scene.done("drain_managers", nodes=[host["ID"]])
    run = scene.done("drain_managers")
    assert "containers that stay: plain" in text_of(run)
    listed = ask(m1, "GET", '/tasks?filters={"service":["web"],"desired-state":["running"]}')
    running = [task["NodeID"] for task in listed if task["Status"]["State"] == "running"]
    assert running == [scene.entries("w1")[0]["ID"]] * 4
    assert m1.docker("ps", "--format", "{{.Names}}") == "plain"
    m1.docker("rm", "--force", "plain")


def test_the_only_worker_is_not_removed_from_under_a_service(scene: Scene) -> None:
    scene.refused("remove_node", "no other node may take: web", node="w1", confirmed=True)


def test_a_manager_that_is_there_is_removed(scene: Scene) -> None:
    before = scene.looks()
    run = scene.run("remove_node", fails=True, node="w2")
    assert "Checked, and nothing changed" in text_of(run)
    assert scene.looks() == before
    scene.done("remove_node", node="w2", confirmed=True)
    assert scene.entries("w2") == []
    assert ask(scene.lab.hosts["w2"], "GET", "/info")["Swarm"]["LocalNodeState"] == "inactive"


def test_a_swarm_is_completed_again(scene: Scene) -> None:
    scene.done("bootstrap", manager_count=3)
    assert scene.entries("w2")[0]["Spec"]["Labels"] == {"zone": "c"}
    wait_until_healthy(scene.lab.hosts["m1"])


def test_a_manager_that_is_gone_is_removed_when_the_quorum_holds(scene: Scene) -> None:
    m1, w2 = scene.lab.hosts["m1"], scene.lab.hosts["w2"]
    w2.run("systemctl stop docker.socket docker.service")
    wait_until(lambda: nodes(m1)["w2"] == "down", timeout=60, what="w2 to be down")
    numbers = "1 of 2 managers are reachable, 2 are needed"
    scene.refused("remove_node", numbers, node="m2", confirmed=True)
    scene.lab.rm("w2")
    scene.done("remove_node", node=scene.entries("w2")[0]["ID"], confirmed=True)
    assert nodes(m1) == {"m1": "leader", "m2": "reachable", "w1": "ready"}


def test_a_worker_that_is_cut_off_but_alive_is_removed_by_force_only(scene: Scene) -> None:
    """Its host cannot be reached, yet the managers see it ready: Ansible has the wrong way to it."""
    m1 = scene.lab.hosts["m1"]
    m1.docker("service", "rm", "web")
    no_way = {"w1": "ansible_port=9 ansible_control_path=none"}
    scene.refused(
        "remove_node", "it is ready, and no host that can be reached is this node", node="w1", host_vars=no_way
    )
    scene.run("remove_node", node="w1", confirmed=True, force=True, host_vars=no_way)
    assert scene.entries("w1") == []
    assert ask(scene.lab.hosts["w1"], "GET", "/info")["Swarm"]["LocalNodeState"] == "active"
    scene.done("remove_node", node="w1", confirmed=True)
    assert ask(scene.lab.hosts["w1"], "GET", "/info")["Swarm"]["LocalNodeState"] == "inactive"


def test_an_autolocked_swarm_on_a_newer_engine(lab_factory: LabFactory, playbook: RunPlaybook, tmp_path: Path) -> None:
    lab = lab_factory(managers=3, workers=0, form_swarm=False, engine="28.5")
    escrow = Escrow(tmp_path)
    variables = {"bootstrap_autolock": True, **escrow.configuration}
    playbook(lab, "bootstrap", variables, escrow.args)
    m1 = lab.hosts["m1"]
    swarm = ask(m1, "GET", "/swarm")
    assert swarm["Spec"]["EncryptionConfig"]["AutoLockManagers"] is True
    key = ask(m1, "GET", "/swarm/unlockkey")["UnlockKey"]
    assert [(entry["cluster_id"], entry["key"]) for entry in escrow.entries()] == [(swarm["ID"], key)]
    assert Escrow.leaks(tmp_path) == []
    assert changes(playbook(lab, "bootstrap", variables, escrow.args)) == 0
