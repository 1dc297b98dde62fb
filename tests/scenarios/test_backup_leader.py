# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The leader is backed up only when that is wanted, and then without an outage of the management API."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import (
    api_gaps,
    archives,
    engine_started,
    is_healthy,
    leader,
    manifest_of,
    node_id,
    nodes,
    summary,
    traces,
    untouched,
    wait_until_healthy,
)
from helpers.runner import RunModule, RunPlaybook

from quorate_lab import Host, Lab

DIRECTORY = "/srv/archives"


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """A swarm; every test leaves it healthy, with a leader of its own choice."""
    return lab_factory(managers=3, workers=0)


@pytest.fixture
def first(lab: Lab) -> Host:
    """The leader as the test finds it."""
    wait_until_healthy(lab.hosts["m1"])
    return lab.hosts[leader(lab.hosts["m1"])]


def others(lab: Lab, host: Host) -> list[Host]:
    return [other for other in lab.hosts.values() if other is not host]


def new_archive(host: Host, before: list[str]) -> str:
    (archive,) = [path for path in archives(host, DIRECTORY) if path not in before]
    return archive


def assert_follower(lab: Lab, host: Host) -> None:
    """Fail the test unless *host* is a reachable follower in a healthy swarm."""
    for manager in lab.hosts.values():
        assert nodes(manager)[host.name] == "reachable"
        assert is_healthy(manager)


def test_leader_is_refused(lab: Lab, module: RunModule, first: Host) -> None:
    with untouched(*lab.hosts.values(), directory=DIRECTORY):
        result = module(lab, first.name, "swarm_backup", directory=DIRECTORY)
    assert (result.get("failed"), result.get("error")) == (True, "refused")
    assert "it is the leader" in result["msg"]
    assert "set leader to step_down or stop" in result["msg"]


def test_named_leader_is_refused(lab: Lab, playbook: RunPlaybook, first: Host) -> None:
    variables = {"backup_hosts": [first.name], "backup_directory": DIRECTORY}
    with untouched(*lab.hosts.values(), directory=DIRECTORY):
        run = playbook(lab, "backup", variables, check_rc=False)
    assert run.rc != 0
    (line,) = summary(run)
    assert f"on {first.name}: FAILED: {first.name} is the leader" in line
    assert "set backup_leader to step_down or stop" in line


def test_playbook_hands_the_leadership_over(lab: Lab, playbook: RunPlaybook, first: Host) -> None:
    before, started = archives(first, DIRECTORY), {host.name: engine_started(host) for host in others(lab, first)}
    node = node_id(first)
    variables = {"backup_hosts": [first.name], "backup_leader": "step_down", "backup_directory": DIRECTORY}
    with api_gaps(others(lab, first)) as gaps:
        run = playbook(lab, "backup", variables)
    longest = {name: gap.seconds for name, gap in gaps.items()}
    answers = min(gap.answers for gap in gaps.values())
    print(f"\nlongest time without an answer of the API: {max(longest.values()):.2f} s ({answers} answers)")
    assert answers > 20
    assert max(longest.values()) < 5, longest
    assert_follower(lab, first)
    assert node_id(first) == node
    assert manifest_of(first, new_archive(first, before))["node"]["id"] == node
    assert f" on {first.name}: " in summary(run)[0]
    assert {host.name: engine_started(host) for host in others(lab, first)} == started


def test_module_hands_the_leadership_over(lab: Lab, module: RunModule, first: Host) -> None:
    before, peer = archives(first, DIRECTORY), others(lab, first)[0]
    # without the address of a peer there is nobody to promote it again
    with untouched(*lab.hosts.values(), directory=DIRECTORY):
        result = module(lab, first.name, "swarm_backup", directory=DIRECTORY, leader="step_down")
    assert result.get("failed")
    assert "peer_docker_host" in result["msg"]
    # the engine of the peer over the network
    proxy = ["systemd-run", "--unit=engine-proxy", f"--socket-property=ListenStream={peer.address}:2375"]
    peer.run([*proxy, "/lib/systemd/systemd-socket-proxyd", "/run/docker.sock"])
    arguments: dict[str, Any] = {
        "directory": DIRECTORY,
        "leader": "step_down",
        "peer_docker_host": f"tcp://{peer.address}:2375",
    }
    with untouched(*lab.hosts.values(), directory=DIRECTORY):
        planned = module(lab, first.name, "swarm_backup", check_mode=True, **arguments)
        assert planned["changed"], planned
    assert leader(first) == first.name
    with api_gaps(others(lab, first)) as gaps:
        result = module(lab, first.name, "swarm_backup", **arguments)
    peer.run(["systemctl", "stop", "engine-proxy.socket", "engine-proxy.service"])
    assert not result.get("failed"), result
    longest = max(gap.seconds for gap in gaps.values())
    print(f"\nlongest time without an answer of the API: {longest:.2f} s")
    assert longest < 5
    assert result["steps"][0]["step"] == "hand over the leadership"
    assert result["archive"] == new_archive(first, before)
    assert_follower(lab, first)


def test_module_stops_the_leader(lab: Lab, module: RunModule, first: Host) -> None:
    before = archives(first, DIRECTORY)
    result = module(lab, first.name, "swarm_backup", directory=DIRECTORY, leader="stop")
    assert not result.get("failed"), result
    assert result["archive"] == new_archive(first, before)
    assert result["manifest"]["node"]["id"] == node_id(first)
    assert traces(first) == []
    assert is_healthy(first)
