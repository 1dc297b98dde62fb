# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The managers of a swarm with autolock lose their power and are unlocked: all of them, all but one, and only one."""

from __future__ import annotations

import base64
import re
import time
from typing import Any

import pytest
import yaml
from conftest import LabFactory
from helpers.backup import SWITCH, engine_started, is_healthy, nodes, wait_until_healthy
from helpers.power import cut_power, prepared, state
from helpers.runner import AnsibleRun, RunModule, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

pytestmark = pytest.mark.alone

WRONG_KEY = "SWMKEY-1-" + base64.b64encode(bytes(32)).decode().rstrip("=")
FINGERPRINT = r"uk1:[0-9a-f]{32}"
MANAGERS = ("m1", "m2", "m3")


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """Three managers with autolock; every test begins with a power cut."""
    return prepared(lab_factory(managers=3, workers=0, autolock=True))


def unlock(
    lab: Lab, playbook: RunPlaybook, *keys: str | None, check_rc: bool = True, check: bool = False
) -> tuple[AnsibleRun, float]:
    """Run the playbook, with the key of the swarm when no other is given. Returns its seconds as well."""
    began = time.monotonic()
    args = ["--check"] if check else []
    run = playbook(lab, "unlock", {"unlock_keys": list(keys or (WRONG_KEY, lab.unlock_key))}, args, check_rc)
    return run, time.monotonic() - began


def report(run: AnsibleRun) -> dict[str, str]:
    """What was said of each swarm and host, by "swarm" or the name of the host; one swarm only."""
    told = run.stdout.rpartition("Say what became of each swarm and host]")[2]
    block = re.search(r"^ok: .*=> *\n((?: .*\n)+)", told, re.MULTILINE)
    assert block, run.readable()[-4000:]
    lines = [line.split(": ", 1) for line in yaml.safe_load(block[1])["msg"]]
    return {"swarm" if about.startswith("swarm ") else about.replace("host ", ""): words for about, words in lines}


def changed(run: AnsibleRun) -> set[str]:
    return {name for name, numbers in run.recap.items() if numbers["changed"]}


def unlock_requests(host: Host) -> int:
    """How many requests to unlock the engine of *host* has got since its boot, by its log."""
    log = host.run(["journalctl", "--boot", "--unit=docker", "--output=cat"]).stdout
    assert re.search(r"GET.*/v[\d.]+/info", log), "the engine does not log its requests"
    return len(re.findall(r"POST.*/v[\d.]+/swarm/unlock", log))


def is_stuck(host: Host) -> bool:
    """Whether an unlock without a key, which an engine refuses at once, hangs."""
    try:
        status, dummy = host.api("POST", "/swarm/unlock", {"UnlockKey": ""}, timeout=3)
    except TimeoutError:
        return True
    assert status in (400, 409)
    return False


def survive_a_power_cut(lab: Lab, playbook: RunPlaybook) -> None:
    cut_power(lab, *MANAGERS)
    began = time.monotonic()
    run, seconds = unlock(lab, playbook)
    wait_until_healthy(lab.hosts["m1"])
    healthy = time.monotonic() - began
    print(f"\nengine {lab.engine}: unlocked in {seconds:.1f} s, healthy after {healthy:.1f} s")
    assert healthy < 60
    told = report(run)
    assert re.fullmatch(r"has a quorum, [23] of 3 managers reachable", told.pop("swarm"))
    assert sorted(told) == list(MANAGERS)
    assert all(re.fullmatch(f"unlocked with key {FINGERPRINT}", words) for words in told.values()), told
    assert changed(run) == set(MANAGERS)
    assert all(unlock_requests(host) for host in lab.hosts.values())

    before = {name: engine_started(host) for name, host in lab.hosts.items()}
    run, dummy = unlock(lab, playbook)
    assert changed(run) == set()
    assert report(run) == {
        "swarm": "has a quorum, 3 of 3 managers reachable",
        **dict.fromkeys(MANAGERS, "was not locked"),
    }
    assert {name: engine_started(host) for name, host in lab.hosts.items()} == before
    assert is_healthy(lab.hosts["m1"])


def test_power_cut(lab: Lab, playbook: RunPlaybook) -> None:
    survive_a_power_cut(lab, playbook)


@pytest.mark.long
def test_power_cut_on_the_newest_engine(lab_factory: LabFactory, playbook: RunPlaybook) -> None:
    with lab_factory(managers=3, workers=0, autolock=True, engine="28.5") as newest:
        survive_a_power_cut(prepared(newest), playbook)


def test_wrong_key_is_refused_before_the_engine_is_asked(lab: Lab, playbook: RunPlaybook) -> None:
    cut_power(lab, *MANAGERS)
    run, dummy = unlock(lab, playbook, WRONG_KEY, check_rc=False)
    assert run.rc != 0
    told = report(run)
    assert told.pop("swarm") == "FAILED: no quorum: 0 of 3 managers known to be unlocked, 2 needed"
    for words in told.values():
        assert re.match(f"FAILED: .*none of the keys fits that were tried: {FINGERPRINT}; .*kek-version \\d+", words)
    assert changed(run) == set()
    assert [unlock_requests(host) for host in lab.hosts.values()] == [0, 0, 0]
    assert {state(host) for host in lab.hosts.values()} == {"locked"}

    # check mode tells which key would fit, and asks the engines as little
    run, dummy = unlock(lab, playbook, check=True)
    told = report(run)
    assert told.pop("swarm") == "3 of 3 managers would be unlocked"
    assert all(re.fullmatch(f"would be unlocked with key {FINGERPRINT}", words) for words in told.values()), told
    assert [unlock_requests(host) for host in lab.hosts.values()] == [0, 0, 0]


def test_one_manager_is_missing(lab: Lab, playbook: RunPlaybook) -> None:
    cut_power(lab, "m1", "m2")
    run, seconds = unlock(lab, playbook)
    print(f"\nengine {lab.engine}: a quorum of two after {seconds:.1f} s")
    assert seconds < 60
    told = report(run)
    assert (told["swarm"], told["m3"]) == (
        "has a quorum, 2 of 3 managers reachable",
        "skipped, it cannot be reached",
    )
    standings = nodes(lab.hosts["m1"])
    assert sorted((standings["m1"], standings["m2"])) in (["leader", "reachable"], ["leader", "unknown"])

    # the one that comes late is unlocked like any other, here by a playbook of somebody else, with names of their own
    lab.hosts["m3"].start()
    role = {
        "role": "quorate.swarm.unlock",
        "vars": {"unlock_managers_group": "masters", "unlock_keys": "{{ our_keys.values() | list }}"},
    }
    plays = [{"hosts": "all", "gather_facts": False, "tags": ["boot"], "roles": [role]}]
    run = playbook(lab, plays, {"our_keys": {"new": WRONG_KEY, "old": lab.unlock_key}}, groups={"masters": MANAGERS})
    assert changed(run) == {"m3"}
    assert re.fullmatch(f"unlocked with key {FINGERPRINT}", report(run)["m3"])
    wait_until_healthy(lab.hosts["m3"])


@pytest.mark.long
def test_only_one_manager_is_left(lab: Lab, playbook: RunPlaybook, module: RunModule) -> None:
    cut_power(lab, "m1")
    host = lab.hosts["m1"]
    run, seconds = unlock(lab, playbook, check_rc=False)
    print(f"\nengine {lab.engine}: told that there is no quorum after {seconds:.1f} s")
    assert run.rc != 0
    assert seconds < 30
    told = report(run)
    assert told["swarm"] == "FAILED: no quorum: 1 of 3 managers known to be unlocked, 2 needed"
    assert re.match(f"unlocked with key {FINGERPRINT} and waits for the others; until they come", told["m1"])
    assert told["m2"] == told["m3"] == "skipped, it cannot be reached"

    # it is unlocked and works on the request that nobody waits for; containers do not mind
    assert (state(host), is_stuck(host)) == ("pending", True)
    assert host.docker("ps", "--all", "--quiet", timeout=5) == ""
    again = module(lab, "m1", "swarm_unlock", unlock_keys=[lab.unlock_key], wait_timeout=0)
    assert (again["changed"], again["outcome"], again["stuck"]) == (False, "already_unlocked", True)
    assert (again["state"], again["quorum"]) == ("quorum_lost", {"managers": 3, "majority": 2, "reachable": None})

    # a second manager brings the quorum, and that frees the first one, whose engine was not touched
    started = engine_started(host)
    lab.hosts["m2"].start()
    run, seconds = unlock(lab, playbook)
    print(f"engine {lab.engine}: a quorum {seconds:.1f} s after the second manager came")
    assert report(run)["swarm"] == "has a quorum, 2 of 3 managers reachable"
    assert changed(run) == {"m2"}
    wait_until(lambda: not is_stuck(host), timeout=10, what="the control lock of m1")
    assert engine_started(host) == started


def test_restart_if_stuck(lab: Lab, module: RunModule) -> None:
    cut_power(lab, "m1")
    host = lab.hosts["m1"]
    options: dict[str, Any] = {"unlock_keys": [lab.unlock_key], "wait_timeout": 0}
    result = module(lab, "m1", "swarm_unlock", restart_if_stuck=True, **options)
    assert (result["changed"], result["outcome"]) == (True, "locked_again"), result
    assert (result["state"], result["stuck"]) == ("locked", False)
    assert [entry["step"] for entry in result["steps"]] == ["unlock", "wait for a quorum", "stop", "start"]
    assert (state(host), is_stuck(host)) == ("locked", False)
    assert host.run(f"systemctl list-units --all --plain --no-legend '{SWITCH}*'").stdout == ""
