# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A control host runs playbooks by a timer, or by cron. No Ansible is needed on it to see that: what the units start is a
program that notes how it was called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import changes, unit
from helpers.runner import AnsibleRun, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

INVENTORY = "/etc/quorate/in ventory.yml"
UNITS = "/etc/systemd/system"
NAME = "quorate-swarm-backup"
#: Notes its arguments, its variables and its user, and then does what the test told it.
PROGRAM = """\
#!/bin/sh
{ for word in "$@"; do echo "<$word>"; done; echo "user $(id -un) in $(pwd)"; env | grep ^ANSIBLE_; } >> /run/quorate/called
. /run/quorate/then
"""
NOTIFY = """\
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "%i" >> /run/quorate/notified'
"""
ARGUMENTS = ["-e", "note=100% of $HOME", "-e", "@/etc/quorate/a b.yml"]
VARIABLES: dict[str, Any] = {
    "schedule_inventory": INVENTORY,
    "schedule_program": "/usr/local/bin/ansible-playbook-of-the-test",
    "schedule_arguments": ARGUMENTS,
    "schedule_environment": {"ANSIBLE_FORCE_COLOR": "50% $no"},
    "schedule_on_failure": "notify@%n.service",
    "schedule_random_delay": "0",
}


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    lab = lab_factory(managers=1, workers=0, form_swarm=False)
    host = lab.host("m1")
    host.run(["mkdir", "-p", "/etc/quorate", "/run/quorate"])
    host.run(["chmod", "0777", "/run/quorate"])
    for path, content in {
        INVENTORY: "",
        "/run/quorate/then": "",
        "/usr/local/bin/ansible-playbook-of-the-test": PROGRAM,
        f"{UNITS}/notify@.service": NOTIFY,
    }.items():
        host.run(["tee", path], input=content)
    host.run(["chmod", "0755", "/usr/local/bin/ansible-playbook-of-the-test"])
    return lab


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    return lab.host("m1")


def schedule(
    lab: Lab, run_playbook: RunPlaybook, args: Sequence[str] = (), *, check_rc: bool = True, **more: Any
) -> AnsibleRun:
    variables = {**VARIABLES, "schedule_host": "m1", **{f"schedule_{name}": value for name, value in more.items()}}
    return run_playbook(lab, "schedule", variables, args, check_rc)


def called(host: Host) -> str:
    """What was noted since the last time."""
    return host.run("cat /run/quorate/called 2>/dev/null; rm -f /run/quorate/called; true").stdout


def units(host: Host) -> set[str]:
    return set(host.run(f"ls {UNITS} | grep ^{NAME} || true").stdout.split())


def crontab(host: Host, user: str = "root") -> str:
    return host.run(f"crontab -u {user} -l 2>/dev/null || true").stdout


def test_timer(lab: Lab, host: Host, playbook: RunPlaybook) -> None:
    predicted = schedule(lab, playbook, ["--check", "--diff"])
    assert changes(predicted) == ["Write the service", "Write the timer"]
    assert "OnCalendar=*-*-* 02:00:00" in predicted.stdout
    assert units(host) == set()

    ran = schedule(lab, playbook)
    assert changes(ran) == ["Write the service", "Write the timer", "Start the timer"]
    assert f"{NAME}.timer runs quorate.swarm.backup next at " in ran.stdout
    assert host.run(["systemctl", "is-enabled", f"{NAME}.timer"]).stdout.strip() == "enabled"
    timer = unit(host, f"{NAME}.timer", "ActiveState", "Persistent", "RandomizedDelayUSec", "NextElapseUSecRealtime")
    assert (timer["ActiveState"], timer["Persistent"], timer["RandomizedDelayUSec"]) == ("active", "yes", "0")
    assert " 02:00:00 " in timer["NextElapseUSecRealtime"]
    assert called(host) == ""
    for args in ([], ["--check", "--diff"]):
        assert changes(schedule(lab, playbook, args)) == []

    # all words reach the program as they were given
    host.run(["systemctl", "start", f"{NAME}.service"])
    words = ["-i", INVENTORY, "quorate.swarm.backup", *ARGUMENTS]
    assert called(host).splitlines() == [
        *(f"<{word}>" for word in words),
        "user root in /etc/quorate",
        "ANSIBLE_FORCE_COLOR=50% $no",
    ]


def test_a_changed_time_is_the_one_that_counts(lab: Lab, host: Host, playbook: RunPlaybook) -> None:
    assert changes(schedule(lab, playbook, calendar="*-*-* 03:30:00")) == ["Write the timer", "Start the timer"]
    assert " 03:30:00 " in unit(host, f"{NAME}.timer", "NextElapseUSecRealtime")["NextElapseUSecRealtime"]
    # and it does begin by itself
    schedule(lab, playbook, calendar="*-*-* *:*:0/2", user="nobody")
    wait_until(lambda: "user nobody" in called(host), timeout=20, what="a run by the timer")
    schedule(lab, playbook)


def test_a_run_that_fails_starts_the_unit_of_the_user(lab: Lab, host: Host, playbook: RunPlaybook) -> None:
    host.run(["tee", "/run/quorate/then"], input="exit 3\n")
    assert host.run(["systemctl", "start", f"{NAME}.service"], check=False).returncode != 0
    wait_until(
        lambda: host.run("cat /run/quorate/notified || true").stdout.strip() == f"{NAME}.service",
        timeout=10,
        what="the notification",
    )
    host.run(["tee", "/run/quorate/then"], input="")


def test_runs_with_one_inventory_do_not_overlap(lab: Lab, host: Host, playbook: RunPlaybook) -> None:
    called(host)
    schedule(lab, playbook, lock_timeout="1")
    host.run(["systemd-run", "--unit=by-hand", "flock", INVENTORY, "sleep", "60"])
    assert host.run(["systemctl", "start", f"{NAME}.service"], check=False).returncode != 0
    assert called(host) == ""
    host.run(["systemctl", "stop", "by-hand.service"])
    # what a run leaves running, as ssh does, does not hold the lock
    host.run(["tee", "/run/quorate/then"], input="systemd-notify --version >/dev/null; sleep 61 & \n")
    host.run(["systemctl", "start", f"{NAME}.service"])
    host.run(["systemctl", "start", f"{NAME}.service"])
    assert called(host).count("quorate.swarm.backup") == 2
    host.run(["tee", "/run/quorate/then"], input="")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"calendar": "every night"}, "Could not schedule quorate.swarm.backup at every night"),
        ({"calendar": "daily\nExecStart=/bin/false"}, "Could not schedule"),
        ({"inventory": "/etc/quorate/gone"}, "there is no inventory /etc/quorate/gone on m1"),
        ({"playbook": "backup"}, "neither the full name of a playbook"),
        ({"arguments": ["a\nb"]}, "has a control character in it"),
        ({"on_failure": ["notify"]}, "no names of units"),
        ({"name": "../evil"}, "Could not use ../evil as the name of a unit"),
    ],
)
def test_what_cannot_work_is_refused(
    lab: Lab, host: Host, playbook: RunPlaybook, given: dict[str, Any], words: str
) -> None:
    before = host.run(f"cat {UNITS}/{NAME}.* || true").stdout
    ran = schedule(lab, playbook, check_rc=False, **given)
    assert ran.rc != 0
    assert words in " ".join(ran.stdout.split())
    assert host.run(f"cat {UNITS}/{NAME}.* || true").stdout == before


@pytest.mark.long
def test_cron_and_removal(lab: Lab, host: Host, playbook: RunPlaybook) -> None:
    schedule(lab, playbook)
    given: dict[str, Any] = {"method": "cron", "cron": "30 2 * * mon-fri"}
    predicted = schedule(lab, playbook, ["--check"], **given)
    assert "Write the cron job" in changes(predicted)
    assert (crontab(host), len(units(host))) == ("", 2)
    # the timer of before is gone, so that nothing runs twice
    removed = ["Stop the timer", "Remove the units", "Remove the units"]
    assert changes(schedule(lab, playbook, **given)) == ["Write the cron job", *removed]
    assert units(host) == set()
    assert changes(schedule(lab, playbook, **given)) == []
    comment, line = crontab(host).splitlines()
    assert comment == f"#Ansible: {NAME}"
    assert line.startswith("30 2 * * mon-fri cd /etc/quorate && env ")
    # cron gives what is behind the time to sh, after it took the backslashes before percent signs away
    called(host)
    host.run(["env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", line.split(" ", 5)[5].replace("\\%", "%")])
    words = ["-i", INVENTORY, "quorate.swarm.backup", *ARGUMENTS]
    assert called(host).splitlines()[: len(words)] == [f"<{word}>" for word in words]
    # and a timer takes the place of the job
    schedule(lab, playbook)
    assert (crontab(host), len(units(host))) == ("", 2)
    assert changes(schedule(lab, playbook, ["--check"], state="absent")) == removed
    assert changes(schedule(lab, playbook, state="absent")) == removed
    assert (crontab(host), units(host)) == ("", set())
    assert changes(schedule(lab, playbook, state="absent")) == []
    shown = unit(host, f"{NAME}.timer", "LoadState")
    assert shown["LoadState"] == "not-found"
