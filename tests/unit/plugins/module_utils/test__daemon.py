# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Tuple

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _daemon
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import SWITCH, Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._errors import DaemonFailed, Refused

Answer = Tuple[int, str, str]
Step = Tuple[str, Answer]
OK: Answer = (0, "", "")


class Script:
    """A runner that expects exactly these commands, in this order."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)

    def __call__(self, argv: list[str]) -> Answer:
        assert self.steps, f"not expected: {argv}"
        expected, answer = self.steps.pop(0)
        assert argv == expected.split(" ")
        return answer


def shown(name: str, *values: str, service: str = "docker") -> Step:
    """systemctl shows a property of the socket and the service, one block a unit."""
    answer = "\n".join(f"{name}={value}\n" for value in values)
    return f"systemctl show --property={name} {service}.socket {service}.service", (0, answer, "")


PRESENT = shown("LoadState", "loaded", "loaded")
BOTH_DOWN = shown("ActiveState", "inactive", "inactive")
LIMIT = ("systemctl reset-failed docker.socket docker.service", OK)
STOP = ("systemctl stop docker.socket docker.service", OK)


def test_stop_takes_the_socket_too_and_looks_again() -> None:
    script = Script(PRESENT, LIMIT, STOP, BOTH_DOWN)
    Daemon(script, systemd=True).stop()
    assert script.steps == []


def test_stop_where_there_is_no_socket_unit() -> None:
    script = Script(
        shown("LoadState", "not-found", "loaded"),
        ("systemctl reset-failed docker.service", OK),
        ("systemctl stop docker.service", OK),
        BOTH_DOWN,
    )
    Daemon(script, systemd=True).stop()
    assert script.steps == []


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["active", "1990000000"], 10.0),
        (["activating"], 0.0),
        (["failed"], 0.0),
    ],
)
def test_how_long_the_service_has_been_up(monkeypatch: pytest.MonkeyPatch, values: list[str], seconds: float) -> None:
    monkeypatch.setattr(_daemon.time, "monotonic", lambda: 2000.0)
    names = ("ActiveState", "ActiveEnterTimestampMonotonic")
    show = "systemctl show --property={0} docker.service"
    script = Script(*((show.format(name), (0, f"{name}={value}\n", "")) for name, value in zip(names, values)))
    assert Daemon(script, systemd=True).active_for() == seconds


@pytest.mark.parametrize(("rc", "seconds"), [(0, math.inf), (3, 0.0)])
def test_without_systemd_a_service_that_is_up_stays_up(rc: int, seconds: float) -> None:
    script = Script(("service docker status", (rc, "", "")))
    assert Daemon(script, systemd=False).active_for() == seconds


@pytest.mark.parametrize("state", ["active", "activating", "deactivating", "reloading"])
def test_stop_fails_when_the_engine_came_back(state: str) -> None:
    script = Script(
        PRESENT,
        LIMIT,
        STOP,
        shown("ActiveState", state, "inactive"),
    )
    with pytest.raises(DaemonFailed, match="stop docker and its socket: docker.socket still active"):
        Daemon(script, systemd=True).stop()


def test_a_failed_stop_quotes_the_command_and_its_words() -> None:
    script = Script(PRESENT, LIMIT, (STOP[0], (1, "", "Job failed.\n")))
    with pytest.raises(DaemonFailed, match="systemctl stop docker.socket docker.service ended with 1: Job failed"):
        Daemon(script, systemd=True).stop()


def test_a_failed_unit_is_down() -> None:
    script = Script(shown("ActiveState", "failed", ""))
    assert Daemon(script, systemd=True).active_units() == []


def test_while_the_engine_is_down_no_call_is_made_that_could_be_made_before() -> None:
    script = Script(PRESENT, LIMIT, STOP, ("systemctl start docker.service", OK))
    daemon = Daemon(script, systemd=True)
    daemon.stop(looked_at_later=True)
    daemon.start()
    assert script.steps == []


def test_each_start_has_its_start_limit_cleared() -> None:
    start = ("systemctl start docker.service", OK)
    script = Script(PRESENT, LIMIT, STOP, BOTH_DOWN, start, LIMIT, start)
    daemon = Daemon(script, systemd=True)
    daemon.stop()
    daemon.start()
    daemon.start()
    assert script.steps == []


def test_without_systemd_a_stop_is_always_looked_at() -> None:
    script = Script(("service docker stop", OK), ("service docker status", OK))
    with pytest.raises(DaemonFailed, match="docker still active"):
        Daemon(script, systemd=False).stop(looked_at_later=True)


def test_start_clears_the_start_limit_first() -> None:
    script = Script(
        PRESENT, ("systemctl reset-failed docker.socket docker.service", OK), ("systemctl start docker.service", OK)
    )
    Daemon(script, systemd=True).start()
    assert script.steps == []


def test_start_says_when_the_engine_does_not_come_up() -> None:
    script = Script(
        PRESENT,
        ("systemctl reset-failed docker.socket docker.service", (1, "", "not loaded")),
        ("systemctl start docker.service", (1, "", "Job for docker.service failed")),
    )
    with pytest.raises(DaemonFailed, match="start docker: .*Job for docker.service failed. See journalctl -u docker"):
        Daemon(script, systemd=True).start()


def test_another_service_name() -> None:
    script = Script(shown("ActiveState", "active", "active", service="moby"))
    assert Daemon(script, service="moby", systemd=True).active_units() == ["moby.socket", "moby.service"]


def test_without_systemd() -> None:
    script = Script(
        ("service docker stop", OK),
        ("service docker status", (3, "docker is not running", "")),
        ("service docker start", OK),
    )
    daemon = Daemon(script, systemd=False)
    daemon.stop()
    daemon.start()
    assert script.steps == []
    assert daemon.start_commands() == ["service docker start"]


def test_without_systemd_a_service_that_still_runs_is_told() -> None:
    script = Script(("service docker stop", OK), ("service docker status", OK))
    with pytest.raises(DaemonFailed, match="docker still active"):
        Daemon(script, systemd=False).stop()


def test_systemd_is_found_by_itself() -> None:
    assert Daemon(Script()).systemd is Path("/run/systemd/system").is_dir()


# -- the dead man's switch ---------------------------------------------------------------------------------------


class SwitchScript:
    """A runner that records and lets systemd-run answer as told."""

    def __init__(self, answer: Answer = OK) -> None:
        self.answer = answer
        self.commands: list[list[str]] = []

    def __call__(self, argv: list[str]) -> Answer:
        self.commands.append(argv)
        return self.answer if argv[0] == "systemd-run" else OK


def test_arm() -> None:
    script = SwitchScript()
    Daemon(script, systemd=True).arm(seconds=300, before_start=["mv -T /a /b"])
    assert script.commands == [
        ["systemctl", "reset-failed", f"{SWITCH}.service", f"{SWITCH}.timer"],
        [
            "systemd-run",
            f"--unit={SWITCH}",
            "--on-active=300",
            "--timer-property=AccuracySec=1s",
            "--description=Starts the Docker Engine if an operation of quorate.swarm died",
            "/bin/sh",
            "-c",
            "mv -T /a /b; systemctl reset-failed docker.socket docker.service; systemctl start docker.service",
        ],
    ]


def test_systemd_leaves_dollars_to_the_shell() -> None:
    script = SwitchScript()
    Daemon(script, systemd=True).arm(seconds=300, before_start=["mv -T '/a$HOME' /b"])
    assert script.commands[1][-1].startswith("mv -T '/a$$HOME' /b; ")


def test_the_switch_is_the_lock_of_the_host() -> None:
    words = f"Failed to start transient timer unit: Unit {SWITCH}.timer was already loaded or has a fragment file."
    with pytest.raises(
        Refused, match=f"another operation .* Wait for it to end; if none runs, systemctl stop {SWITCH}.timer"
    ):
        Daemon(SwitchScript((1, "", words)), systemd=True).arm(seconds=300)


def test_a_switch_that_cannot_be_armed_is_told() -> None:
    with pytest.raises(DaemonFailed, match="systemd-run ended with 1: Access denied"):
        Daemon(SwitchScript((1, "", "Access denied\n")), systemd=True).arm(seconds=300)


@pytest.mark.parametrize(("systemd", "seconds"), [(False, 300), (True, -1)])
def test_no_switch_without_systemd_or_time(systemd: bool, seconds: int) -> None:
    script = SwitchScript()
    with pytest.raises(Refused, match="dead_man_timeout"):
        Daemon(script, systemd=systemd).arm(seconds=seconds)
    assert script.commands == []


@pytest.mark.parametrize(("answer", "armed"), [(0, True), (3, False), (4, False)])
def test_without_the_switch_that_of_another_operation_is_looked_for(answer: int, armed: bool) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str]) -> Answer:
        asked.append(argv)
        return answer, "", ""

    daemon = Daemon(run, systemd=True)
    with pytest.raises(Refused, match="under way here") if armed else nullcontext():
        daemon.arm(seconds=0)
    assert asked == [["systemctl", "is-active", "--quiet", f"{SWITCH}.timer", f"{SWITCH}.service"]]
    daemon.disarm()
    assert len(asked) == 1


def test_without_systemd_there_is_no_switch_to_look_for() -> None:
    Daemon(Script(), systemd=False).arm(seconds=0)


def test_names_that_the_shell_would_read_are_quoted() -> None:
    commands = Daemon(Script(), service="my docker", systemd=True).start_commands()
    assert commands == [
        "systemctl reset-failed 'my docker.socket' 'my docker.service'",
        "systemctl start 'my docker.service'",
    ]


def test_only_the_own_switch_is_disarmed() -> None:
    script = SwitchScript()
    daemon = Daemon(script, systemd=True)
    daemon.disarm()
    assert script.commands == []
    daemon.arm(seconds=300)
    daemon.disarm()
    daemon.disarm()
    assert script.commands[2:] == [["systemctl", "stop", f"{SWITCH}.timer"]]


def test_arguments_of_the_service(tmp_path: Path) -> None:
    file = tmp_path / "default"
    file.write_text('OPTIONS="--data-root /srv"')
    shown = f"""ExecStart={{ path=/dockerd ; argv[]=/dockerd -H fd:// $OPTIONS ; ignore_errors=no ; pid=0 }}
Environment=
EnvironmentFiles={file} (ignore_errors=no)
"""
    script = Script(("systemctl show --property=ExecStart,Environment,EnvironmentFiles other.service", (0, shown, "")))
    assert Daemon(script, service="other", systemd=True).arguments() == "/dockerd -H fd:// --data-root /srv".split()
    assert Daemon(Script(), systemd=False).arguments() == []
