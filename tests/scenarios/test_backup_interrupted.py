# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup that is disturbed while the engine is stopped: by requests, by another backup, by a death."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import (
    SWITCH,
    archives,
    create_service,
    engine_started,
    engine_state,
    is_module,
    meanwhile,
    modules,
    recorded,
    traces,
    unit,
    wait_until_healthy,
)
from helpers.runner import RunModule, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

pytestmark = pytest.mark.alone

#: Bytes of a file that makes the copy of a state directory take long enough to look at it.
BALLAST = 300 << 20

# Asks the engine for its version without a pause, and notes beside it which units are active and how much of the
# ballast is copied.
HAMMER = """
import glob, subprocess, threading
lock = threading.Lock()
def note(**record):
    with lock:
        print(json.dumps(record), flush=True)
def request():
    while running():
        began = time.monotonic()
        done = subprocess.run(["docker", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        note(what="request", began=began, ended=time.monotonic(), answered=done.returncode == 0)
def copied():
    return sum(os.path.getsize(path) for path in glob.glob("/var/lib/docker/.quorate-swarm-*/ballast"))
thread = threading.Thread(target=request)
thread.start()
show = ["systemctl", "show", "--property=ActiveState", "--value", "docker.service", "docker.socket"]
while running():
    began, before = time.monotonic(), copied()
    states = subprocess.run(show, stdout=subprocess.PIPE, text=True).stdout.split()
    note(what="units", began=began, ended=time.monotonic(), states=states, copied=[before, copied()])
    time.sleep(0.02)
thread.join()
"""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """A swarm whose tasks on m3 take their time to stop; every test leaves it healthy."""
    lab = lab_factory(managers=3, workers=0)
    create_service(lab.hosts["m1"], "slow", "--constraint", "node.hostname==m3", grace="3s")
    return lab


@pytest.fixture(autouse=True)
def healthy(lab: Lab) -> None:
    wait_until_healthy(lab.hosts["m1"])


def wait_until_stopping(host: Host) -> None:
    wait_until(lambda: engine_state(host) == "deactivating", timeout=60, what=f"the stop of the engine of {host.name}")


def started_again(host: Host) -> float:
    """When systemd began to start the engine of *host* last, on the clock of time.monotonic()."""
    name = "InactiveExitTimestampMonotonic"
    return int(unit(host, "docker.service", name)[name]) / 1e6


@contextmanager
def ballast(host: Host, size: int, source: str = "yes") -> Iterator[None]:
    """Let the state directory of *host* hold a file of so many bytes, the output of the command *source*."""
    path = "/var/lib/docker/swarm/ballast"
    host.run(f"{source} | head -c {size} > {path} && chmod 0600 {path}")
    try:
        yield
    finally:
        host.run(["rm", path])


def copied(host: Host) -> int:
    """Bytes of the ballast that are in the copy of the state directory of *host*."""
    return sum(path.stat().st_size for path in host.docker_directory.glob(".quorate-swarm-*/ballast"))


def test_nothing_wakes_the_engine_during_the_copy(lab: Lab, module: RunModule) -> None:
    host = lab.hosts["m2"]
    with ballast(host, BALLAST), recorded(host, HAMMER) as records:
        result = module(lab, "m2", "swarm_backup", directory="/srv/hammered")
    assert not result.get("failed"), result
    units = [record for record in records if record["what"] == "units"]
    requests = [record for record in records if record["what"] == "request"]

    # at no look during the copy was the engine up, or anything that would start it
    during = [record for record in units if all(0 < size < BALLAST for size in record["copied"])]
    assert len(during) >= 3, [record["copied"] for record in units]
    assert {tuple(record["states"]) for record in during} == {("inactive", "inactive")}
    # systemd's own record: it was not started before the copy was whole
    assert started_again(host) > during[-1]["began"]

    # requests were made all the time, and none that was made while both were down got an answer
    down = [record for record in units if record["states"] == ["inactive", "inactive"]]
    tried = [
        record for record in requests if record["began"] > down[0]["ended"] and record["ended"] < down[-1]["began"]
    ]
    assert len(tried) >= 3
    assert not [record for record in tried if record["answered"]]
    assert [record for record in requests if record["answered"] and record["ended"] < down[0]["began"]]
    assert [record for record in requests if record["answered"] and record["began"] > down[-1]["ended"]]
    print(
        f"\nboth units down for at least {down[-1]['began'] - down[0]['ended']:.2f} s, {len(tried)} requests in vain; "
        f"{len(during)} looks during the copy; the engine was down for {result['downtime']} s"
    )


def test_killed_module_leaves_a_running_engine(lab: Lab, module: RunModule) -> None:
    host, directory, limit = lab.hosts["m3"], "/srv/killed", 10
    before = engine_started(host)
    arguments: dict[str, Any] = {"directory": directory, "dead_man_timeout": limit}
    with meanwhile(lambda: module(lab, "m3", "swarm_backup", **arguments)) as result:
        wait_until(lambda: traces(host) != [], timeout=60, what="the dead man's switch", interval=0.01)
        armed = time.monotonic()
        wait_until_stopping(host)
        (pid,) = modules(host)
        os.kill(pid, signal.SIGKILL)
        assert result()["failed"]
    # nobody helps: the state of the unit is read without a request, which could wake the engine up
    wait_until(lambda: engine_state(host) == "inactive", timeout=limit, what="the engine to be down")
    wait_until(lambda: engine_state(host) == "active", timeout=limit + 30, what="the dead man's switch to go off")
    after = started_again(host) - armed
    assert limit - 1 < after < limit + 3
    assert engine_started(host) != before
    wait_until(
        lambda: not [trace for trace in traces(host) if SWITCH in trace], timeout=5, what="the end of the switch"
    )
    assert archives(host, directory) == []
    left = traces(host)
    assert len(left) == 1
    print(f"\nkilled during the stop: the engine was started {after:.1f} s after the switch was armed with {limit} s")

    wait_until_healthy(host)
    again = module(lab, "m3", "swarm_backup", **arguments)
    assert not again.get("failed"), again
    assert archives(host, directory) == [again["archive"]]
    assert traces(host) == []


def test_lost_connection_does_not_stop_the_module(lab: Lab, playbook: RunPlaybook) -> None:
    """Without pipelining, as it is by default, a module has a terminal, and gets SIGHUP when it goes away."""
    host, directory = lab.hosts["m3"], "/srv/cut"
    before = engine_started(host)
    play = {
        "hosts": "m3",
        "gather_facts": False,
        "vars": {"ansible_pipelining": False},
        "tasks": [{"quorate.swarm.swarm_backup": {"directory": directory}}],
    }
    with meanwhile(lambda: playbook(lab, [play], check_rc=False)) as result:
        wait_until_stopping(host)
        (pid,) = modules(host)
        host.run(["pkill", "-KILL", "-f", "^sshd.*: root@pts"])
        lost = result()
    assert lost.recap["m3"]["unreachable"] == 1
    wait_until(lambda: not is_module(pid), timeout=60, what="the end of the module")
    (archive,) = archives(host, directory)
    assert engine_state(host) == "active"
    assert engine_started(host) != before
    assert traces(host) == []
    host.run(["gzip", "--test", archive])


@contextmanager
def held_stop(host: Host) -> Iterator[None]:
    """Let systemd stop the engine of *host* for as long as the `with` block lasts. The engine answers meanwhile."""
    drop_in, go = "/run/systemd/system/docker.service.d/held.conf", "/run/go-on"
    wait = f"/bin/sh -c 'until [ -e {go} ]; do sleep 0.1; done'"
    host.run(["mkdir", "-p", os.path.dirname(drop_in)])
    host.run(["tee", drop_in], input=f"[Service]\nExecStop={wait}\n")
    host.run(["systemctl", "daemon-reload"])
    try:
        yield
    finally:
        host.run(f"touch {go} && rm {drop_in} && systemctl daemon-reload")


def test_two_backups_of_a_host(lab: Lab, module: RunModule) -> None:
    host, directory = lab.hosts["m2"], "/srv/twice"
    with meanwhile(lambda: module(lab, "m2", "swarm_backup", directory=directory)) as result:
        with held_stop(host):
            wait_until_stopping(host)
            second = module(lab, "m2", "swarm_backup", directory=directory)
        first = result()
    assert (second["failed"], second["error"]) == (True, "refused")
    assert "another operation that stops the engine is under way" in second["msg"]
    assert not first.get("failed"), first
    assert archives(host, directory) == [first["archive"]]
    assert traces(host) == []


def test_a_backup_leaves_the_copy_of_another_alone(lab: Lab, module: RunModule) -> None:
    """The first has its engine back and is still writing its archive when the second begins."""
    host, directory = lab.hosts["m2"], "/srv/overlapping"
    with meanwhile(lambda: module(lab, "m2", "swarm_backup", directory=directory)) as result:
        with ballast(host, BALLAST // 3, "cat /dev/urandom"):
            wait_until(lambda: archives(host, directory) != [], timeout=60, what="the first archive to begin")
        second = module(lab, "m2", "swarm_backup", directory=directory)
        first = result()
    assert not first.get("failed"), first
    assert not second.get("failed"), second
    assert archives(host, directory) == [first["archive"], second["archive"]]
    for archive in (first["archive"], second["archive"]):
        (listed,) = module(lab, "m2", "swarm_backup_info", archive=archive)["archives"]
        assert listed["good"], listed


def test_copy_of_an_engine_that_was_started_meanwhile_is_refused(lab: Lab, module: RunModule) -> None:
    """The copy takes longer than the dead man's switch waits."""
    host, directory = lab.hosts["m2"], "/srv/late"
    arguments: dict[str, Any] = {"directory": directory, "dead_man_timeout": 10}
    with ballast(host, BALLAST), meanwhile(lambda: module(lab, "m2", "swarm_backup", **arguments)) as result:
        wait_until(lambda: 0 < copied(host) < BALLAST, timeout=60, what="the copy", interval=0.002)
        (pid,) = modules(host)
        os.kill(pid, signal.SIGSTOP)
        assert copied(host) < BALLAST, "the copy was faster than this test"
        wait_until(lambda: engine_state(host) == "active", timeout=60, what="the dead man's switch to go off")
        os.kill(pid, signal.SIGCONT)
        late = result()
    assert (late.get("failed"), late.get("error")) == (True, "daemon_failed"), late
    assert "dead_man_timeout" in late["msg"]
    assert archives(host, directory) == []
    assert traces(host) == []
    assert engine_state(host) == "active"
