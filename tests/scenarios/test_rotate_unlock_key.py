# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unlock keys are rotated with everything up, with a manager down or cut off, and with a controller that dies between any two
steps or in the middle of one; autolock is switched; and no key is lost or shown."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import LabFactory
from helpers.backup import (
    SecretWatch,
    ask,
    leader,
    meanwhile,
    modules,
    repeated,
    wait_until_healthy,
    write_inventory,
)
from helpers.escrow import Escrow
from helpers.power import cut_power, prepared, state
from helpers.runner import AnsibleRun, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

pytestmark = pytest.mark.long

MANAGERS = ("m1", "m2", "m3")
CALLBACKS = Path(__file__).parent / "helpers/callback"
SECRET = re.compile("SWMKEY-1-[A-Za-z0-9+/]{43}|SWMTKN-1-[a-z0-9]{50}")
FINGERPRINT = "uk1:[0-9a-f]{32}"


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    return prepared(lab_factory(managers=3, workers=0, autolock=True))


@pytest.fixture
def escrow(tmp_path: Path) -> Escrow:
    """An empty one for each test, with a directory of its own."""
    (tmp_path / "escrow").mkdir()
    return Escrow(tmp_path / "escrow")


def rotate(
    lab: Lab,
    playbook: RunPlaybook,
    escrow: Escrow,
    *args: str,
    check_rc: bool = True,
    env: Mapping[str, str] | None = None,
    inventory: Path | None = None,
    **variables: Any,
) -> AnsibleRun:
    given = {**escrow.configuration, **{f"rotate_unlock_key_{name}": value for name, value in variables.items()}}
    return playbook(lab, "rotate_unlock_key", given, [*escrow.args, *args], check_rc, env=env, inventory=inventory)


def unlock(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> AnsibleRun:
    return playbook(lab, "unlock", escrow.configuration, escrow.args)


def told(run: AnsibleRun) -> list[str]:
    """What was said of the only swarm, without its name."""
    return [line.split(": ", 1)[1] for line in lines(run)]


def lines(run: AnsibleRun) -> list[str]:
    """What was said of the swarms."""
    text = run.stdout.rpartition("Say what became of the key of each swarm]")[2]
    block = re.search(r"^ok: .*=> *\n((?: .*\n)+)", text, re.MULTILINE)
    assert block, run.readable()[-4000:]
    return list(yaml.safe_load(block[1])["msg"])


def keys(escrow: Escrow) -> tuple[list[str], list[str]]:
    """The fingerprints in the escrow: those that are not retired, and the others, newest first."""
    entries = escrow.entries()
    return (
        [entry["fingerprint"] for entry in entries if not entry["retired"]],
        [entry["fingerprint"] for entry in entries if entry["retired"]],
    )


def hold_the_current_key(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    run = rotate(lab, playbook, escrow, policy="never")
    assert [entry["key"] for entry in escrow.entries()] == [current_key(lab)]
    assert told(run)[0] == f"the key is {keys(escrow)[0][0]}, as before"


def current_key(lab: Lab) -> str:
    return str(ask(lab.hosts["m1"], "GET", "/swarm/unlockkey")["UnlockKey"])


def only_the_newest_opens(lab: Lab, escrow: Escrow, hosts: Sequence[str] = MANAGERS) -> None:
    newest = escrow.entries()[0]
    assert newest["key"] == current_key(lab)
    assert {name: escrow.opened_by(lab.hosts[name]) for name in hosts} == {
        name: [newest["fingerprint"]] for name in hosts
    }


def rotate_with_everything_up(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    first = current_key(lab)
    run = rotate(lab, playbook, escrow, "--check")
    assert re.fullmatch(f"the key would be rotated from {FINGERPRINT}", told(run)[0])
    assert (escrow.entries(), current_key(lab)) == ([], first)

    run = rotate(lab, playbook, escrow)
    ((new,), (old,)) = keys(escrow)
    assert told(run) == [
        f"the key rotated from {old} to {new}",
        f"the key file of m1, m2, m3 opens with {new} alone; {old} retired",
    ]
    assert [entry["key"] for entry in escrow.entries()] == [current_key(lab), first]
    only_the_newest_opens(lab, escrow)


def rotate_with_a_manager_down(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    lab.hosts["m3"].kill()
    wait_until(lambda: is_unreachable(lab.hosts["m1"], "m3"), timeout=60, what="m3 unreachable")
    before = (escrow.path.read_bytes(), current_key(lab))
    run = rotate(lab, playbook, escrow, check_rc=False)
    assert run.rc == 2
    assert re.search("FAILED: manager m3 .*name it in rotate_unlock_key_missing_managers", " ".join(run.stdout.split()))
    assert (escrow.path.read_bytes(), current_key(lab)) == before

    run = rotate(lab, playbook, escrow, missing_managers=["m3"])
    (new, old), dummy = keys(escrow)
    assert told(run)[0] == f"the key rotated from {old} to {new}"
    assert re.search(f"WARNING: m3 .* needs {old} to come back", told(run)[1])
    only_the_newest_opens(lab, escrow, ("m1", "m2"))
    assert escrow.opened_by(lab.hosts["m3"]) == [old]

    lab.hosts["m3"].start()
    assert state(lab.hosts["m3"]) == "locked"
    run = unlock(lab, playbook, escrow)
    assert f"host m3: unlocked with key {old}" in " ".join(run.stdout.split())
    wait_until(lambda: escrow.opened_by(lab.hosts["m3"]) == [new], timeout=60, what="the new key on m3")
    wait_until_healthy(lab.hosts["m1"])
    run = rotate(lab, playbook, escrow)
    assert told(run)[0] == f"the key is {new}, of a rotation that was interrupted before"
    assert keys(escrow)[0] == [new]
    assert old in keys(escrow)[1]
    only_the_newest_opens(lab, escrow)


def is_unreachable(manager: Host, name: str) -> bool:
    status, nodes = manager.api("GET", "/nodes")  # an error while a new leader is elected
    return status == 200 and any(
        node["Description"]["Hostname"] == name and node["ManagerStatus"]["Reachability"] == "unreachable"
        for node in nodes
    )


def test_rotation(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    rotate_with_everything_up(lab, playbook, escrow)
    before = escrow.path.read_bytes()
    run = rotate(lab, playbook, escrow, policy="older_than")
    assert told(run)[0] == f"the key is {keys(escrow)[0][0]}, as before"
    assert escrow.path.read_bytes() == before
    run = rotate(lab, playbook, escrow, policy="older_than", older_than=0)
    assert re.fullmatch(f"the key rotated from {FINGERPRINT} to {FINGERPRINT}", told(run)[0])
    only_the_newest_opens(lab, escrow)


def test_no_key_is_shown_or_left_anywhere(lab: Lab, playbook: RunPlaybook, escrow: Escrow, tmp_path: Path) -> None:
    """The runner looks at the output at -vvvv; here: process lists, fact caches, variables, temporary folders and logs."""
    hold_the_current_key(lab, playbook, escrow)
    lab.hosts["m3"].kill()
    lab.hosts["m3"].start()
    assert state(lab.hosts["m3"]) == "locked"
    dump = tmp_path / "hostvars.json"
    plays: list[dict[str, Any]] = [
        {
            "hosts": "swarm_managers",
            "gather_facts": True,
            "vars": {"ansible_pipelining": False},
            "roles": ["quorate.swarm.unlock", "quorate.swarm.rotate_unlock_key"],
            "post_tasks": [
                {
                    "copy": {"content": "{{ hostvars | to_json }}", "dest": str(dump)},
                    "delegate_to": "localhost",
                    "run_once": True,
                    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
                }
            ],
        }
    ]
    cache = tmp_path / "facts"
    env = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(cache)}
    env["ANSIBLE_LOCAL_TEMP"] = str(tmp_path / "local")
    watch = SecretWatch("SWMKEY-1-")
    with repeated(watch.look, interval=0.3):
        playbook(lab, plays, escrow.configuration, escrow.args, env=env)
    assert watch.looks > 10
    assert watch.found == set()
    assert len(list(cache.iterdir())) >= 3
    assert escrow.leaks(tmp_path) == []
    assert len(keys(escrow)[1]) == 1
    places = "/root /tmp /var/tmp /var/log /etc /run/systemd /run/log"
    for host in lab.hosts.values():
        journal = host.run("journalctl --output=cat --no-pager").stdout
        assert re.search(r"Invoked with .*return_key=", journal) or host.name != leader(host), "modules are logged"
        assert not SECRET.search(journal)
        assert host.run(f"grep -rlE '{SECRET.pattern}' {places} 2>/dev/null || true").stdout == ""


def test_a_manager_that_is_down(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    hold_the_current_key(lab, playbook, escrow)
    rotate_with_a_manager_down(lab, playbook, escrow)


def test_a_manager_that_is_cut_off_meanwhile(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    """Everything was there when the guards looked. Nothing is retired that nobody has proven on every disk."""
    name = next(name for name in MANAGERS if name != leader(lab.hosts["m1"]))
    with halted_before("Change the key", lab, playbook, escrow, wait_timeout=10) as (dummy, go_on):
        lab.partition([name])
        run = go_on()
    new, old = keys(escrow)[0]
    assert run.rc == 2
    assert told(run)[0] == f"the key rotated from {old} to {new}"
    assert re.match(f"FAILED: not proven: {name}: .*; run again when that is cured", told(run)[1])
    assert escrow.opened_by(lab.hosts[name]) == [old]
    assert keys(escrow)[1] == []

    lab.heal()
    wait_until(lambda: escrow.opened_by(lab.hosts[name]) == [new], timeout=90, what=f"the new key on {name}")
    wait_until_healthy(lab.hosts["m1"])
    run = rotate(lab, playbook, escrow)
    assert told(run)[0] == f"the key is {new}, of a rotation that was interrupted before"
    assert keys(escrow) == ([new], [old])
    only_the_newest_opens(lab, escrow)


@contextmanager
def halted_before(
    step: str, lab: Lab, playbook: RunPlaybook, escrow: Escrow, **variables: Any
) -> Iterator[tuple[int, Callable[[], AnsibleRun]]]:
    """Run the playbook up to a step in the background. Gives its process ID, and a function that lets it go on to its end."""
    there = escrow.directory / "halt"
    there.mkdir()
    env = interruption("halt_before", QUORATE_HALT_BEFORE=step, QUORATE_HALT_IN=str(there))
    with meanwhile(lambda: rotate(lab, playbook, escrow, check_rc=False, env=env, **variables)) as result:
        wait_until((there / "halted").exists, timeout=60, what=f"the controller before {step}")

        def go_on() -> AnsibleRun:
            (there / "go").touch()
            run: AnsibleRun = result()
            return run

        try:
            yield int((there / "halted").read_text()), go_on
        finally:
            (there / "go").touch()


def interruption(callback: str, **env: str) -> dict[str, str]:
    return {"ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS), "ANSIBLE_CALLBACKS_ENABLED": callback, **env}


def test_a_controller_that_dies_between_any_two_steps(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    """Every run begins with what the one before has left, and is killed a step later."""
    hold_the_current_key(lab, playbook, escrow)
    before = current_key(lab)
    known = keys(escrow)

    def kill_before(step: str) -> None:
        env = interruption("kill_before", QUORATE_KILL_BEFORE=step)
        run = rotate(lab, playbook, escrow, check_rc=False, env=env)
        assert run.rc == -signal.SIGKILL, run.readable()[-4000:]

    def some_key_opens_every_manager() -> None:
        assert all(escrow.opened_by(host) for host in lab.hosts.values())

    for step in (
        "Put the current key into the escrow",
        "See on every manager that it has the current key",
        "Change the key",
    ):
        kill_before(step)
        assert current_key(lab) == before
        assert keys(escrow) == known
        some_key_opens_every_manager()

    kill_before("Say why the key cannot be changed")
    new = current_key(lab)
    assert new != before
    assert keys(escrow) == known
    assert not any(escrow.opened_by(host) for host in lab.hosts.values()), "nobody has the new key but the swarm"

    # the worst moment for a power cut: every manager finds the new key on its own disk, with the old one
    cut_power(lab, *MANAGERS)
    run = unlock(lab, playbook, escrow)
    assert " ".join(run.stdout.split()).count("which nobody keeps: a rotation was cut off") >= len(MANAGERS)
    wait_until_healthy(lab.hosts["m1"])
    assert current_key(lab) == new

    kill_before("Prove on every manager that it has the new key, and no longer an old one")
    (fresh, *others), dummy = keys(escrow)
    assert others == known[0]
    assert [entry["key"] for entry in escrow.entries()[:2]] == [new, before]
    some_key_opens_every_manager()

    kill_before("Mark the old keys as retired")
    assert keys(escrow)[0] == [fresh, *known[0]]
    some_key_opens_every_manager()

    kill_before("Note the success")
    assert keys(escrow) == ([fresh], [*known[0], *known[1]])
    assert current_key(lab) == new, "it was rotated once"
    only_the_newest_opens(lab, escrow)

    run = rotate(lab, playbook, escrow)
    assert told(run)[0].startswith(f"the key rotated from {fresh} to ")
    only_the_newest_opens(lab, escrow)


def test_a_death_in_the_middle_of_a_step(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    """The controller and the module that changes the key die together, at the same moment; and all managers a moment later."""
    before = current_key(lab)
    with halted_before("Change the key", lab, playbook, escrow) as (controller, go_on):
        assert [entry["key"] for entry in escrow.entries()] == [before], "the old key is kept first"

        def die() -> None:
            wait_until(lambda: current_key(lab) != before, timeout=60, what="the new key", interval=0.001)
            os.killpg(controller, signal.SIGKILL)
            for host in lab.hosts.values():
                for pid in modules(host):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

        with meanwhile(die) as died:
            run = go_on()
            died()
    assert run.rc == -signal.SIGKILL
    new = current_key(lab)
    assert [entry["key"] for entry in escrow.entries()] == [before]
    cut_power(lab, *MANAGERS)
    run = unlock(lab, playbook, escrow)
    assert " ".join(run.stdout.split()).count("which nobody keeps: a rotation was cut off") >= len(MANAGERS)
    wait_until_healthy(lab.hosts["m1"])
    run = rotate(lab, playbook, escrow)
    assert re.fullmatch(f"the key is {FINGERPRINT}, of a rotation that was interrupted before", told(run)[0])
    assert [entry["key"] for entry in escrow.entries()] == [new, before]
    only_the_newest_opens(lab, escrow)


def test_a_controller_that_dies_while_it_writes_the_escrow(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    hold_the_current_key(lab, playbook, escrow)
    for moment in ("half", "whole", "placed"):
        before, known = current_key(lab), escrow.entries()
        env = interruption("kill_writing", QUORATE_KILL_WRITING=moment)
        run = rotate(lab, playbook, escrow, check_rc=False, env=env)
        assert run.rc == -signal.SIGKILL, run.readable()[-4000:]
        new = current_key(lab)
        assert new != before
        entries = escrow.entries()
        assert entries[-len(known) :] == known
        assert [entry["key"] for entry in entries[: -len(known)]] == ([new] if moment == "placed" else [])
        assert escrow.leaks(escrow.directory) == []

        run = rotate(lab, playbook, escrow)
        assert re.fullmatch(f"the key is {FINGERPRINT}, of a rotation that was interrupted before", told(run)[0])
        assert current_key(lab) == new
        only_the_newest_opens(lab, escrow)
    assert {path.name for path in escrow.directory.iterdir()} == {
        "password",
        "unlock_keys.json",
        ".unlock_keys.json.lock",
    }


def test_two_swarms_in_one_run(
    lab: Lab, lab_factory: LabFactory, playbook: RunPlaybook, escrow: Escrow, tmp_path: Path
) -> None:
    """Each gets a key of its own, at the same time; and what is wrong with one is no matter for the other."""
    small = lab_factory(managers=1, workers=0, autolock=True)
    hosts = {f"red-{name}": (lab, name) for name in MANAGERS} | {"blue-m1": (small, "m1")}
    inventory = write_inventory(tmp_path / "inventory.json", hosts, {"swarm_managers": list(hosts)})
    red, blue = (str(ask(each.hosts["m1"], "GET", "/swarm")["ID"]) for each in (lab, small))
    run = rotate(lab, playbook, escrow, inventory=inventory)
    assert [line.split(": ", 1)[1].split(" from ")[0] for line in lines(run) if "the key rotated" in line] == [
        "the key rotated"
    ] * 2
    assert {line.split(": ", 1)[0] for line in lines(run)} == {f"swarm {red}", f"swarm {blue}"}
    current = {red: current_key(lab), blue: current_key(small)}
    assert {entry["cluster_id"]: entry["key"] for entry in escrow.entries() if not entry["retired"]} == current
    assert sorted(entry["cluster_id"] for entry in escrow.entries() if entry["retired"]) == sorted(current)
    for host in (*lab.hosts.values(), small.hosts["m1"]):
        assert len(escrow.opened_by(host)) == 1

    small.hosts["m1"].kill()
    run = rotate(lab, playbook, escrow, inventory=inventory, check_rc=False)
    assert run.rc != 0
    assert current_key(lab) != current[red]
    assert any(re.match("host blue-m1: FAILED: .*no swarm that was found knows it", line) for line in lines(run))
    assert {entry["key"] for entry in escrow.entries() if not entry["retired"]} == {current_key(lab), current[blue]}


def test_autolock_is_switched_off_while_a_manager_is_down_and_on_again(
    lab: Lab, playbook: RunPlaybook, escrow: Escrow
) -> None:
    hold_the_current_key(lab, playbook, escrow)
    lab.hosts["m3"].kill()
    wait_until(lambda: is_unreachable(lab.hosts["m1"], "m3"), timeout=60, what="m3 unreachable")
    (last,), dummy = keys(escrow)
    run = rotate(lab, playbook, escrow, autolock="disabled", missing_managers=["m3"])
    assert told(run)[0] == f"autolock switched off; the last key was {last}"
    assert re.search(f"WARNING: m3 .* needs {last} to come back", told(run)[1])
    assert current_key(lab) == ""
    assert keys(escrow)[0] == [last]

    lab.hosts["m3"].start()
    assert state(lab.hosts["m3"]) == "locked"
    unlock(lab, playbook, escrow)
    wait_until_healthy(lab.hosts["m1"])
    run = rotate(lab, playbook, escrow, autolock="enabled")
    (new,), retired = keys(escrow)
    assert told(run)[0] == f"autolock switched on, with the key {new}"
    assert last in retired
    only_the_newest_opens(lab, escrow)


def test_the_newest_engine(lab_factory: LabFactory, playbook: RunPlaybook, tmp_path: Path) -> None:
    escrow = Escrow(tmp_path)
    with lab_factory(managers=3, workers=0, autolock=True, engine="28.5") as newest:
        lab = prepared(newest)
        rotate_with_everything_up(lab, playbook, escrow)
        rotate_with_a_manager_down(lab, playbook, escrow)
        cut_power(lab, *MANAGERS)
        unlock(lab, playbook, escrow)
        wait_until_healthy(lab.hosts["m1"])
