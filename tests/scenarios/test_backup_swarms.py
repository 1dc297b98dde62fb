# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two swarms in one inventory are backed up, and reported on, by the roles in somebody else's playbook."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import archives, ask, changes, is_healthy, manifest_of, summary, unit, untouched, write_inventory
from helpers.runner import AnsibleRun, RunPlaybook

from quorate_lab import Host, Lab

DIRECTORY = "/srv/archives"


@pytest.fixture(scope="module")
def large(lab_factory: LabFactory) -> Lab:
    return lab_factory(managers=3, workers=0)


@pytest.fixture(scope="module")
def small(lab_factory: LabFactory) -> Lab:
    """A swarm that nobody can manage while its only manager is backed up."""
    return lab_factory(managers=1, workers=0)


@pytest.fixture
def inventory(large: Lab, small: Lab, tmp_path: Path) -> Path:
    """Both swarms in one group, in the words of somebody else."""
    hosts = {f"red-{name}": (large, name) for name in large.hosts} | {"blue-m1": (small, "m1")}
    return write_inventory(tmp_path / "inventory.json", hosts, {"engines": list(hosts)})


def run_role(
    playbook: RunPlaybook, lab: Lab, inventory: Path, variables: Mapping[str, Any], *, check_rc: bool = True
) -> AnsibleRun:
    """Run the role as somebody who knows nothing but its variables."""
    role = {"role": "quorate.swarm.backup", "backup_managers_group": "engines", "backup_directory": DIRECTORY}
    plays = [{"name": "Nightly work", "hosts": "engines", "roles": [{**role, **variables}]}]
    return playbook(lab, plays, inventory=inventory, check_rc=check_rc)


def cluster_id(host: Host) -> str:
    return str(ask(host, "GET", "/swarm")["ID"])


def down_and_done(host: Host, archive: str) -> tuple[float, float]:
    """When the engine of *host* was stopped, and when its archive was finished, in seconds since 1970."""
    name = "InactiveEnterTimestampMonotonic"
    stopped = int(unit(host, "docker.service", name)[name]) / 1e6 + time.time() - time.monotonic()
    return stopped, float(host.run(["stat", "--format=%.Z", archive]).stdout)


def test_swarm_that_may_not_be_stopped_fails_and_the_other_is_backed_up(
    large: Lab, small: Lab, inventory: Path, playbook: RunPlaybook
) -> None:
    with untouched(small.hosts["m1"], directory=DIRECTORY):
        run = run_role(playbook, large, inventory, {}, check_rc=False)
    assert run.rc != 0
    lines = {line.split()[1]: line for line in summary(run)}
    assert set(lines) == {cluster_id(large.hosts["m1"]), cluster_id(small.hosts["m1"])}
    failed = lines[cluster_id(small.hosts["m1"])]
    assert " on blue-m1: FAILED: " in failed
    assert "0 of 1 managers are reachable, 1 are needed" in failed
    assert "allow_control_plane_outage" in failed
    assert failed in " ".join(run.stdout.rpartition("Fail when any swarm was not backed up")[2].split())
    (archive,) = [path for host in large.hosts.values() for path in archives(host, DIRECTORY)]
    assert f": {archive} (" in lines[cluster_id(large.hosts["m1"])]


def test_both_swarms_at_the_same_time(large: Lab, small: Lab, inventory: Path, playbook: RunPlaybook) -> None:
    only = small.hosts["m1"]
    before = {path for host in large.hosts.values() for path in archives(host, DIRECTORY)}
    # one of the swarms is told which manager to take
    run = run_role(playbook, large, inventory, {"backup_allow_control_plane_outage": True, "backup_hosts": ["red-m3"]})
    assert len(summary(run)) == 2
    assert not [line for line in summary(run) if "FAILED" in line]
    new = {
        (host.name, path) for host in large.hosts.values() for path in archives(host, DIRECTORY) if path not in before
    }
    ((name, archive),) = new
    assert name == "m3"
    (other,) = archives(only, DIRECTORY)
    assert manifest_of(large.hosts["m3"], archive)["cluster"]["id"] == cluster_id(large.hosts["m3"])
    assert manifest_of(only, other)["cluster"]["id"] == cluster_id(only)
    assert is_healthy(large.hosts["m1"])
    assert is_healthy(only)
    first, second = down_and_done(large.hosts["m3"], archive), down_and_done(only, other)
    assert max(first[0], second[0]) < min(first[1], second[1]), "one after the other"


def test_report_on_both_swarms(large: Lab, small: Lab, inventory: Path, playbook: RunPlaybook, tmp_path: Path) -> None:
    """With their archives and metrics; and nothing is changed but these files."""
    reports, metrics = tmp_path / "reports", tmp_path / "metrics"
    reports.mkdir()
    metrics.mkdir()
    names = {cluster_id(large.hosts["m1"]): "large <one>", cluster_id(small.hosts["m1"]): "small"}
    report = {"report_directory": str(reports), "report_names": names}
    health = {"health_managers_group": "engines", "health_backup_directory": DIRECTORY}
    health["health_metrics_directory"] = str(metrics)
    role = {"role": "quorate.swarm.report", "vars": {**report, **health}}
    plays = [{"name": "Morning page", "hosts": "engines", "roles": [role]}]
    run = playbook(large, plays, inventory=inventory)
    assert set(changes(run)) == {"Write each file beside its place", "Put it in its place", "Write the report"}
    for swarm, managers in zip(names, (3, 1), strict=True):
        written = (metrics / f"quorate_swarm_health_{swarm}.prom").read_text()
        assert f'quorate_swarm_managers_reachable{{cluster_id="{swarm}"}} {managers}\n' in written
    assert sorted(path.name for path in reports.iterdir()) == ["quorate-swarm.html", "quorate-swarm.md"]
    page, text = ((reports / f"quorate-swarm.{kind}").read_text() for kind in ("html", "md"))
    # a single manager may not fail, one of three may
    assert text.startswith("# Docker Swarm: not healthy\n")
    assert "## large &lt;one>: healthy" in text
    assert "## small: not healthy" in text
    assert "large &lt;one&gt;" in page
    for host in (*large.hosts.values(), small.hosts["m1"]):
        assert f">{host.name}</text>" in page
        for archive in archives(host, DIRECTORY):
            assert f"{archive}</td>" in page
            assert archive in text
    assert "3 of 3 managers reachable, 2 needed: 1 more may fail" in page
    assert "1 of 1 managers reachable, 1 needed: none may fail" in page
