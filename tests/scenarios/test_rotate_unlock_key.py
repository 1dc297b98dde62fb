# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unlock keys are rotated with everything up, with a manager down, and with a controller that dies between any two steps;
autolock is switched; and no key is lost or shown."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import LabFactory
from helpers.backup import SecretWatch, ask, repeated, wait_until_healthy
from helpers.escrow import Escrow
from helpers.power import cut_power, prepared, state
from helpers.runner import AnsibleRun, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

pytestmark = pytest.mark.long

MANAGERS = ("m1", "m2", "m3")
CALLBACKS = Path(__file__).parent / "helpers/callback"
FINGERPRINT = "uk1:[0-9a-f]{32}"


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    return prepared(lab_factory(managers=3, workers=0, autolock=True))


@pytest.fixture(scope="module")
def escrow(tmp_path_factory: pytest.TempPathFactory) -> Escrow:
    return Escrow(tmp_path_factory.mktemp("escrow"))


def rotate(
    lab: Lab, playbook: RunPlaybook, escrow: Escrow, *args: str, check_rc: bool = True, **variables: Any
) -> AnsibleRun:
    given = {**escrow.configuration, **{f"rotate_unlock_key_{name}": value for name, value in variables.items()}}
    return playbook(lab, "rotate_unlock_key", given, [*escrow.args, *args], check_rc)


def unlock(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> AnsibleRun:
    return playbook(lab, "unlock", escrow.configuration, escrow.args)


def told(run: AnsibleRun) -> list[str]:
    """What was said of the swarm, without its name."""
    text = run.stdout.rpartition("Say what became of the key of each swarm]")[2]
    block = re.search(r"^ok: .*=> *\n((?: .*\n)+)", text, re.MULTILINE)
    assert block, run.readable()[-4000:]
    return [line.split(": ", 1)[1] for line in yaml.safe_load(block[1])["msg"]]


def keys(escrow: Escrow) -> tuple[list[str], list[str]]:
    """The fingerprints in the escrow: those that are not retired, and the others, newest first."""
    entries = escrow.entries()
    return (
        [entry["fingerprint"] for entry in entries if not entry["retired"]],
        [entry["fingerprint"] for entry in entries if entry["retired"]],
    )


def hold_the_current_key(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    """Let a test begin with one key in the escrow, whether others ran before or not."""
    if not escrow.entries():
        rotate(lab, playbook, escrow, policy="never")


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
    assert re.search(f"WARNING: m3 .* needs one of {old} to come back", told(run)[1])
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
    return any(
        node["Description"]["Hostname"] == name and node["ManagerStatus"]["Reachability"] == "unreachable"
        for node in ask(manager, "GET", "/nodes")
    )


def test_rotation(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    rotate_with_everything_up(lab, playbook, escrow)
    before = escrow.path.read_bytes()
    run = rotate(lab, playbook, escrow, policy="older_than")
    assert told(run)[0] == f"the key is {keys(escrow)[0][0]}, as before"
    assert escrow.path.read_bytes() == before


def test_no_key_is_shown_or_left_anywhere(lab: Lab, playbook: RunPlaybook, escrow: Escrow, tmp_path: Path) -> None:
    """The runner looks at the output at -vvvv; here: process lists, fact caches, variables, and temporary folders."""
    dump = tmp_path / "hostvars.json"
    plays: list[dict[str, Any]] = [
        {
            "hosts": "swarm_managers",
            "gather_facts": True,
            "vars": {"ansible_pipelining": False},
            "roles": ["quorate.swarm.rotate_unlock_key", "quorate.swarm.unlock"],
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
    assert escrow.leaks(escrow.directory) == []
    for host in lab.hosts.values():
        grep = (
            "grep -rlE 'SWMKEY-1-[A-Za-z0-9+/]{43}' /root/.ansible /tmp /var/tmp /etc /run/systemd 2>/dev/null || true"
        )
        assert host.run(grep).stdout == ""


def test_a_manager_that_is_down(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    rotate_with_a_manager_down(lab, playbook, escrow)


def test_a_controller_that_dies_between_any_two_steps(lab: Lab, playbook: RunPlaybook, escrow: Escrow) -> None:
    """Every run begins with what the one before has left, and is killed a step later."""
    hold_the_current_key(lab, playbook, escrow)
    before = current_key(lab)
    known = keys(escrow)

    def kill_before(step: str) -> None:
        given = {"ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS), "ANSIBLE_CALLBACKS_ENABLED": "kill_before"}
        env = {**given, "QUORATE_KILL_BEFORE": step}
        run = playbook(lab, "rotate_unlock_key", escrow.configuration, escrow.args, False, env=env)
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


def test_autolock_is_switched_off_while_a_manager_is_down_and_on_again(
    lab: Lab, playbook: RunPlaybook, escrow: Escrow
) -> None:
    hold_the_current_key(lab, playbook, escrow)
    lab.hosts["m3"].kill()
    wait_until(lambda: is_unreachable(lab.hosts["m1"], "m3"), timeout=60, what="m3 unreachable")
    (last,), dummy = keys(escrow)
    run = rotate(lab, playbook, escrow, autolock="disabled", missing_managers=["m3"])
    assert told(run)[0] == f"autolock switched off; the last key was {last}"
    assert re.search(f"WARNING: m3 .* needs one of {last} to come back", told(run)[1])
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
