# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup that would hurt, or could not be used, is refused with its reason before anything is touched."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import (
    DIRECTORY,
    engine_state,
    leader,
    node_id,
    nodes,
    set_role,
    untouched,
    wait_until_healthy,
)
from helpers.runner import RunModule, RunPlaybook

from quorate_lab import Lab
from quorate_lab.process import wait_until


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """A swarm led by m1; every test but the last leaves it healthy."""
    return lab_factory(managers=3, workers=1)


def refuse(
    lab: Lab, module: RunModule, name: str, directory: str = DIRECTORY, *, check_mode: bool = False, **arguments: Any
) -> dict[str, Any]:
    """Run a backup that has to fail without a trace, and return its result."""
    host = lab.hosts[name]
    with untouched(host, directory=directory):
        result = module(lab, name, "swarm_backup", check_mode=check_mode, directory=directory, **arguments)
    assert result.get("failed"), result
    assert not [step for step in result.get("steps", []) if step["step"] in ("stop", "copy", "start")]
    return result


def test_directory_that_others_can_enter(lab: Lab, module: RunModule) -> None:
    lab.hosts["m2"].run(["install", "-d", "-m", "0750", "/srv/open"])
    result = refuse(lab, module, "m2", "/srv/open")
    assert result["error"] == "refused"
    assert "its mode is 0750" in result["msg"]
    assert lab.hosts["m2"].run(["stat", "--format=%a", "/srv/open"]).stdout == "750\n"


def test_directory_that_is_a_file(lab: Lab, module: RunModule) -> None:
    lab.hosts["m2"].run(["touch", "/srv/file"])
    result = refuse(lab, module, "m2", "/srv/file")
    assert result["error"] == "refused"
    assert "not a directory" in result["msg"]


def test_nothing_to_keep(lab: Lab, module: RunModule) -> None:
    assert "keep is 0" in refuse(lab, module, "m2", keep=0)["msg"]


def test_worker(lab: Lab, module: RunModule) -> None:
    result = refuse(lab, module, "w1")
    assert result["error"] == "not_a_manager"
    assert "it is a worker" in result["msg"]


def test_state_directory_of_nobody(lab: Lab, module: RunModule) -> None:
    result = refuse(lab, module, "m2", state_directory="/srv/nothing")
    assert result["error"] == "refused"
    assert "there is no swarm state in it" in result["msg"]


def test_engine_that_is_down(lab: Lab, module: RunModule, playbook: RunPlaybook) -> None:
    host = lab.hosts["m2"]
    host.run("systemctl stop docker.socket docker.service")
    result = refuse(lab, module, "m2")
    assert result["error"] == "unreachable"
    assert engine_state(host) == "inactive"
    # the playbook does not take it either, and says so when it was named
    with untouched(*lab.hosts.values()):
        run = playbook(lab, "backup", {"backup_hosts": ["m2"]}, check_rc=False)
    assert run.rc != 0
    assert "m2: its engine is down" in run.stdout
    host.run("systemctl start docker.service")
    wait_until_healthy(host)


def test_node_in_state_unknown(lab: Lab, module: RunModule) -> None:
    """A new leader does not know a worker that has fallen silent, and waits three heartbeats before it is down."""
    old, worker = lab.hosts[leader(lab.hosts["m2"])], lab.hosts["w1"]
    others = [lab.hosts[name] for name in ("m1", "m2", "m3") if name != old.name]
    node = node_id(old)
    others[0].docker("swarm", "update", "--dispatcher-heartbeat", "30s")
    worker.pause()
    set_role(others[0], node, "worker")
    try:
        wait_until(lambda: leader(others[0]) in (others[0].name, others[1].name), timeout=90, what="another leader")
        (taken,) = [host for host in others if host.name != leader(others[0])]
        result = refuse(lab, module, taken.name, settle_timeout=8)
        assert nodes(taken)["w1"] == "unknown"
    finally:
        worker.resume()
        others[0].docker("swarm", "update", "--dispatcher-heartbeat", "5s")
        # by now it has been a worker for a while; promoted at once, it would take half a minute
        set_role(others[0], node, "manager")
        wait_until(lambda: nodes(others[0])[old.name] == "reachable", timeout=60, what="the old leader")
        wait_until_healthy(others[0])
    assert result["error"] == "unsettled"
    assert re.search(r"node\(s\) are in state unknown: .*\bw1 \(", result["msg"])
    assert "settle_timeout" in result["msg"]


def test_quorum_that_would_be_lost(lab: Lab, module: RunModule) -> None:
    wait_until_healthy(lab.hosts["m1"])
    dead, taken = [name for name, standing in sorted(nodes(lab.hosts["m1"]).items()) if standing == "reachable"]
    lab.hosts[dead].kill()
    wait_until(lambda: nodes(lab.hosts[taken])[dead] != "reachable", timeout=90, what="the loss of a manager")
    for check_mode in (True, False):
        # only a swarm of two may do without a quorum
        result = refuse(lab, module, taken, check_mode=check_mode, allow_control_plane_outage=True)
        assert result["error"] == "refused"
        assert f"with {taken} (" in result["msg"]
        assert "down, 1 of 3 managers are reachable, 2 are needed" in result["msg"]


@pytest.mark.long
def test_quorum_that_is_lost(lab: Lab, module: RunModule) -> None:
    """The last manager of three; nothing is repaired afterwards."""
    alive = [host for host in lab.hosts.values() if host.name != "w1" and host.power() == "running"]
    alive[0].kill()

    def is_seen() -> bool:
        status, found = alive[1].api("GET", "/nodes")
        return status != 200 or any(
            node["Description"]["Hostname"] == alive[0].name and node["ManagerStatus"]["Reachability"] != "reachable"
            for node in found
        )

    # until then the last manager says truly that the quorum would be lost, not that it is
    wait_until(is_seen, timeout=90, what="the loss of the quorum")
    result = refuse(lab, module, alive[1].name)
    assert result["error"] == "quorum_lost"
