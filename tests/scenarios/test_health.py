# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The health of a real swarm: nothing is found where all is well, all that is wrong is named, and an election is waited out."""

from __future__ import annotations

import json
import stat
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import ask, has_lost, leader, node_id, nodes, wait_until_healthy
from helpers.escrow import Escrow
from helpers.prometheus import prometheus
from helpers.restore import MANIFEST, pack, unpack
from helpers.runner import STATS, AnsibleRun, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

pytestmark = pytest.mark.long

ADDRESS_FOR = (
    "ip address change $(ip -o -4 address show eth0 | awk '{{print $4}}') dev eth0 "
    "valid_lft {seconds} preferred_lft {seconds}"
)
METRICS = Path(__file__).resolve().parents[2] / "docs" / "metrics"


class Scene:
    """A lab, and how the playbook is run there."""

    def __init__(self, lab: Lab, playbook: RunPlaybook, groups: dict[str, list[str]] | None = None) -> None:
        self.lab = lab
        self._playbook = playbook
        self._groups = groups

    def __getitem__(self, name: str) -> Host:
        return self.lab.hosts[name]

    def another(self, *but: str) -> Host:
        return next(self.lab.hosts[name] for name in ("m1", "m2", "m3") if name not in but)

    def run(
        self, *args: str, fails: bool, changes: bool = False, handed_over: bool = True, **variables: Any
    ) -> tuple[AnsibleRun, dict[str, Any]]:
        """Run the playbook, which changes nothing by itself, and return what it handed over to what runs next."""
        run = self._playbook(self.lab, "health", variables, args, check_rc=False, env=STATS, groups=self._groups)
        assert (run.rc != 0) is fails, run.readable()[-6000:]
        assert (sum(host["changed"] for host in run.recap.values()) > 0) is changes
        if not handed_over:
            return run, {}
        return run, run.stats["quorate_health"]

    def found(self, *args: str, fails: bool = True, **variables: Any) -> dict[str, set[str]]:
        """The objects of each finding."""
        dummy, result = self.run(*args, fails=fails, **variables)
        (swarm,) = result["swarms"]
        objects: dict[str, set[str]] = {}
        for finding in swarm["findings"]:
            objects.setdefault(finding["id"], set()).add(finding["object"])
        return objects


@pytest.fixture(scope="module")
def scene(lab_factory: LabFactory, playbook: RunPlaybook) -> Scene:
    """Three managers and a worker; every test leaves the managers healthy."""
    return Scene(lab_factory(managers=3, workers=1), playbook)


def cluster_id(host: Host) -> str:
    return str(ask(host, "GET", "/info")["Swarm"]["Cluster"]["ID"])


def test_a_healthy_swarm_has_no_finding(scene: Scene) -> None:
    wait_until_healthy(scene["m1"])
    run, result = scene.run("--check", fails=False, health_fail_on="warning")
    (swarm,) = result["swarms"]
    assert (swarm["findings"], swarm["worst"], result["worst"], result["unsettled"]) == ([], None, None, [])
    assert f"swarm {cluster_id(scene['m1'])}: healthy; 3 of 3 managers reachable, 1 may fail" in run.readable()
    assert [member["state"] for member in swarm["members"] if member["is_manager"]] == ["manager"] * 3
    assert all(member["certificate_expires"] and member["free"] for member in swarm["members"])


def test_everything_that_is_wrong_is_named_at_once(scene: Scene) -> None:
    manager, worker = scene["m1"], scene["w1"]
    swarm = cluster_id(manager)
    token = ask(manager, "GET", "/swarm")["JoinTokens"]["Worker"]
    body = {"JoinToken": token, "RemoteAddrs": [f"{manager.address}:2377"], "ListenAddr": "0.0.0.0:2377"}
    left = []
    for dummy in range(2):  # it comes back as m2, and again as m2
        left.append(f"{worker.ssh('hostname').stdout.strip()} ({node_id(worker)})")
        ask(worker, "POST", "/swarm/leave")
        worker.ssh("hostname m2; systemctl reset-failed docker.service; systemctl restart docker")
        ask(worker, "POST", "/swarm/join", body)
    wait_until(
        lambda: [entry["Status"]["State"] for entry in ask(manager, "GET", "/nodes")].count("down") == 2,
        timeout=60,
        what="the entries of the worker that left to be down",
    )
    for name, zone in (("m1", "a"), ("m2", "a"), ("m3", "b")):
        manager.docker("node", "update", "--label-add", f"zone={zone}", node_id(scene[name]))
    manager.docker("node", "update", "--label-add", "zone=c", node_id(worker))
    manager.docker("service", "create", "--detach", "--name", "web", "--no-resolve-image", "--constraint", "node.labels.no==1",
                   "busybox:latest", "sleep", "9999")  # fmt: skip
    scene["m3"].ssh(ADDRESS_FOR.format(seconds=9999))
    try:
        found = scene.found(
            health_fault_tolerance=2,
            health_zone_label="zone",
            health_managers_drained=True,
            health_root_ca_days=10000,
            health_free_space=1 << 60,
            health_backup_hours=24,
            health_expect=[
                {"query": "services[?name=='web'].running | [0]", "at_least": 1, "message": "the shop is down"}
            ],
        )
    finally:
        scene["m3"].ssh(ADDRESS_FOR.format(seconds="forever"))
        manager.docker("service", "rm", "web")
        for entry in ask(manager, "GET", "/nodes"):
            if entry["Status"]["State"] == "down":
                manager.docker("node", "rm", entry["ID"])
        worker.ssh("hostname w1; systemctl reset-failed docker.service; systemctl restart docker")
    assert found == {
        "fault_tolerance_too_low": {swarm},
        "not_as_expected": {swarm},
        "service_below_replicas": {"web"},
        "backup_missing": {swarm},
        "zones_uneven": {swarm},
        "zone_holds_majority": {swarm},
        "address_dynamic": {"m3"},
        "hostname_twice": {"m2"},
        "node_down": {left[0]},
        "dead_entry": {left[1]},
        "manager_runs_tasks": {"m1", "m2", "m3"},
        "root_ca_expires": {swarm},
        "disk_space": {"m1", "m2", "m3", "w1"},
    }


def test_an_even_number_and_an_engine_that_was_stopped(scene: Scene) -> None:
    manager, demoted = scene["m1"], node_id(scene["m3"])
    manager.docker("node", "demote", demoted)
    wait_until(lambda: "m3" not in (name for name, role in nodes(manager).items() if role in ("leader", "reachable")),
               timeout=30, what="m3 to be a worker")  # fmt: skip
    found = scene.found(health_fault_tolerance=0, health_fail_on="warning")
    assert found == {"even_managers": {cluster_id(manager)}}
    manager.docker("node", "promote", demoted)
    wait_until(lambda: nodes(manager).get("m3") == "reachable", timeout=60, what="m3 to be a member of the quorum")
    wait_until_healthy(manager)
    scene["m2"].ssh("systemctl stop docker.socket docker.service")
    found = scene.found()
    scene["m2"].ssh("systemctl start docker.service")
    assert found == {"manager_unreachable": {"m2"}, "fault_tolerance_too_low": {cluster_id(manager)}}
    wait_until_healthy(manager)


def test_a_locked_manager_and_a_key_that_nobody_keeps(scene: Scene, tmp_path: Path) -> None:
    manager, locked = scene["m1"], scene["m3"]
    escrow = Escrow(tmp_path)
    manager.docker("swarm", "update", "--autolock=true")
    key = {"UnlockKey": ask(manager, "GET", "/swarm/unlockkey")["UnlockKey"]}
    wait_until(lambda: "ENCRYPTED" in (locked.docker_directory / "swarm/certificates/swarm-node.key").read_text(),
               timeout=30, what="the key of m3 to be sealed")  # fmt: skip
    locked.ssh("systemctl reset-failed docker.service; systemctl restart docker")
    found = scene.found(*escrow.args, fails=True, **escrow.configuration)
    assert found == {
        "manager_locked": {"m3"},
        "fault_tolerance_too_low": {cluster_id(manager)},
        "unlock_key_not_in_escrow": {cluster_id(manager)},
    }
    ask(locked, "POST", "/swarm/unlock", key)
    wait_until_healthy(manager)
    manager.docker("swarm", "update", "--autolock=false")


def test_an_election_is_no_lost_quorum_and_a_lost_quorum_is_one(scene: Scene) -> None:
    first = leader(scene["m1"])
    swarm = cluster_id(scene["m1"])
    scene[first].kill()
    assert scene.found() == {"manager_unreachable": {first}, "fault_tolerance_too_low": {swarm}}
    second = leader(scene.another(first))
    scene[second].kill()
    assert scene.found(health_fail_on="error") == {"quorum_lost": {swarm}}
    for name in (first, second):
        scene[name].start()
    wait_until_healthy(scene["m1"])


def test_a_leader_that_was_cut_off_is_found(scene: Scene) -> None:
    """It tells a healthy swarm at first."""
    cut = leader(scene["m1"])
    swarm = cluster_id(scene["m1"])
    scene.lab.partition([cut])
    try:
        assert scene.found() == {"manager_unreachable": {cut}, "fault_tolerance_too_low": {swarm}}
    finally:
        scene.lab.heal()
    manager = scene.another(cut)
    wait_until_healthy(manager, timeout=300)


def test_metrics_of_all_runs_are_what_prometheus_reads(scene: Scene, playbook: RunPlaybook, tmp_path: Path) -> None:
    directory, collected = tmp_path / "metrics", tmp_path / "archives"
    directory.mkdir()
    wait_until_healthy(scene["m1"])
    playbook(scene.lab, "backup", {"backup_collect_to": str(collected), "backup_metrics_directory": str(directory)})
    verify = {"host": "w1", "archives_on": "controller", "directory": str(collected), "level": "boot"}
    verify["metrics_directory"] = str(directory)
    playbook(scene.lab, "verify_backup", {f"verify_backup_{name}": value for name, value in verify.items()})
    health = {"fail_on": "warning", "backup_hours": 1, "backups_on": "controller", "backup_directory": str(collected)}
    health["metrics_directory"] = str(directory)
    playbook(scene.lab, "health", {f"health_{name}": value for name, value in health.items()})
    swarm = cluster_id(scene["m1"])
    files = {path.name: path for path in directory.iterdir()}
    assert set(files) == {f"quorate_swarm_{kind}_{swarm}.prom" for kind in ("health", "backup", "verify_boot")}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o644}
    text = "".join(path.read_text() for path in files.values())
    promtool(["check", "metrics"], text)
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    (archive,) = collected.iterdir()
    assert samples[f'quorate_swarm_managers_reachable{{cluster_id="{swarm}"}}'] == "3"
    assert samples[f'quorate_swarm_findings{{cluster_id="{swarm}",severity="warning"}}'] == "0"
    for name in ("last_backup_size_bytes", "newest_archive_size_bytes"):
        assert samples[f'quorate_swarm_{name}{{cluster_id="{swarm}"}}'] == str(archive.stat().st_size)
    assert 0 < float(samples[f'quorate_swarm_manager_downtime_seconds{{cluster_id="{swarm}"}}']) < 300
    with prometheus(directory, tmp_path) as series:
        empty = [
            expression for expression in dashboard_expressions() if not series(expression.replace("$cluster", swarm))
        ]
    assert empty == []


def dashboard_expressions() -> list[str]:
    """What the panels of the dashboard ask Prometheus for."""
    dashboard = json.loads((METRICS / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(expressions) > 15
    return expressions


def test_every_alert_rings_when_it_should() -> None:
    rules = Path(__file__).resolve().parents[1] / "metrics" / "alerts_test.yml"
    promtool(["test", "rules", str(rules)])


def promtool(args: list[str], text: str = "") -> None:
    """Run promtool, which comes with Prometheus, and fail the test with what it says."""
    run = subprocess.run(["promtool", *args], input=text, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr


def test_what_a_swarm_shows_seldom_is_named_too(lab_factory: LabFactory, playbook: RunPlaybook, tmp_path: Path) -> None:
    """Its backup is old, a node has a newer engine, a state directory was copied, the root CA is being replaced."""
    with lab_factory(managers=1, workers=1) as lab:
        manager, worker = lab.host("m1"), lab.host("w1")
        playbook(lab, "backup", {"backup_collect_to": str(tmp_path), "backup_allow_control_plane_outage": True})
        (archive,) = tmp_path.iterdir()
        make_older(archive, hours=30)
        token = ask(manager, "GET", "/swarm")["JoinTokens"]["Worker"]
        join = {"JoinToken": token, "RemoteAddrs": [f"{manager.address}:2377"], "ListenAddr": "0.0.0.0:2377"}
        ask(lab.add("n1", engine="28.5"), "POST", "/swarm/join", join)
        copy = lab.add("x1")
        copy.run("systemctl stop docker.socket docker.service")
        packed = manager.run("tar -C /var/lib/docker/swarm -cz . | base64").stdout
        copy.run("mkdir -p /var/lib/docker/swarm && base64 -d | tar -C /var/lib/docker/swarm -xz", input=packed)
        worker.run("systemctl stop docker.socket docker.service")
        wait_until(lambda: nodes(manager)["w1"] == "down", timeout=60, what="w1 to be down")
        # a life of ten years, of which the certificates of before have too little left
        manager.docker("swarm", "update", "--cert-expiry", "87600h", "--snapshot-interval", "1")
        for name in ("one", "two", "three"):
            manager.run(["docker", "config", "create", name, "-"], input="x")
        manager.docker("swarm", "ca", "--rotate", "--detach", "--quiet")
        snapshots = manager.docker_directory / "swarm/raft/snap-v3-encrypted"
        wait_until(lambda: any(snapshots.glob("*")), timeout=60, what="a snapshot of the raft store")

        scene = Scene(lab, playbook, {"swarm_managers": ["m1"], "swarm_workers": ["n1", "w1", "x1"]})
        found = scene.found(
            health_fault_tolerance=0,
            health_certificate_days=3650,
            health_snapshot_size=1,
            health_backup_hours=24,
            health_backups_on="controller",
            health_backup_directory=str(tmp_path),
        )
        swarm = cluster_id(manager)
        assert found == {
            "node_id_twice": {"m1, x1"},
            "single_manager": {swarm},
            "node_down": {f"w1 ({node_id_of(manager, 'w1')})"},
            "engines_mixed": {swarm},
            "certificate_expires": {"w1", "x1"},
            "root_rotation": {swarm},
            "snapshot_large": {"m1"},
            "backup_old": {swarm},
        }


def test_a_newer_engine_is_judged_and_started_too(lab_factory: LabFactory, playbook: RunPlaybook) -> None:
    with lab_factory(managers=3, workers=0, engine="28.5") as lab:
        scene = Scene(lab, playbook)
        wait_until_healthy(scene["m1"])
        assert scene.found(fails=False, health_fail_on="warning") == {}
        scene["m2"].run("systemctl stop docker.socket docker.service")
        swarm = cluster_id(scene["m1"])
        assert scene.found() == {"manager_unreachable": {"m2"}, "fault_tolerance_too_low": {swarm}}
        assert remedied(scene, "restart") == {}
        wait_until_healthy(scene["m1"])


def node_id_of(manager: Host, name: str) -> str:
    (entry,) = (entry for entry in ask(manager, "GET", "/nodes") if entry["Description"]["Hostname"] == name)
    return str(entry["ID"])


def make_older(archive: Path, *, hours: float) -> None:
    """Let the manifest of an archive say that it was made earlier than it was."""
    members = []
    for info, content in unpack(archive):
        if info.name == MANIFEST:
            manifest = json.loads(content)
            created = datetime.strptime(manifest["created"], "%Y-%m-%dT%H:%M:%SZ") - timedelta(hours=hours)
            content = json.dumps({**manifest, "created": created.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()
            info.size = len(content)
        members.append((info, content))
    pack(members, archive)


# -- remedies ------------------------------------------------------------------------------------------------------


def remedied(scene: Scene, remedy: str, **variables: Any) -> dict[str, set[str]]:
    """What is found after a remedy. It changes something."""
    extra = {"health_remedy": remedy, "health_remedy_confirmed": True, **variables}
    dummy, result = scene.run(fails=False, changes=True, **extra)
    (swarm,) = result["swarms"]
    return {finding["id"]: {finding["object"]} for finding in swarm["findings"]}


def test_an_engine_that_was_stopped_is_restarted(scene: Scene) -> None:
    wait_until_healthy(scene["m1"])
    scene["m3"].ssh("systemctl stop docker.socket docker.service")
    run, dummy = scene.run(fails=True, health_remedy="restart", handed_over=False)
    assert "Checked, and nothing changed. m3 would be restarted." in " ".join(run.readable().split())
    assert remedied(scene, "restart") == {}
    wait_until_healthy(scene["m1"])


def test_a_frozen_host_is_rebooted(scene: Scene) -> None:
    frozen = scene["m2"]
    lab = Path(__file__).resolve().parents[1] / "lab" / "lab"
    command = " && ".join(f"{lab} {what} --prefix {scene.lab.prefix} m2" for what in ("kill", "start"))
    frozen.pause()
    manager = scene.another("m2")
    wait_until(lambda: has_lost(manager, "m2"), timeout=60, what="m2 to be missed")
    extra = {"health_remedy_reboot_command": f"sh -c '{command}'", "health_ask_timeout": 35}
    assert remedied(scene, "reboot", **extra) == {}
    wait_until_healthy(manager)


def test_a_manager_whose_host_is_gone_is_replaced(scene: Scene) -> None:
    """Destroys the lab, so it is the last one."""
    gone = node_id(scene["m3"])
    scene.lab.rm("m3")
    manager = scene["m1"]
    wait_until(lambda: has_lost(manager, "m3"), timeout=60, what="m3 to be missed")
    assert remedied(scene, "replace") == {}
    entries = {entry["ID"]: entry for entry in ask(manager, "GET", "/nodes")}
    assert gone not in entries
    assert nodes(manager)["w1"] in ("leader", "reachable")
