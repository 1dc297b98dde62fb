# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to stop and start dockerd, and the dead man's switch that starts it when we no longer can.

The only file that does. With systemd it stops docker.socket as well, because the socket would start the engine at the
next request (lab fact B1.1), and clears the start limit for every start (lab fact B1.3): before the stop where there is one,
because every call of systemd adds to the time that the engine is missed. Without systemd it uses service(8).

An engine looks for its swarm only while it starts. One that finds an empty directory there is in no swarm, answers after
a second, and can be told to force a new cluster from what lies there by then; one whose swarm has no quorum needs 21 s
(lab fact B5.5; moby/moby daemon/cluster/cluster.go, Start() and Init()). So for the time of a start something empty can be
laid over a state directory: a file system in memory, because a power cut must find the state where it belongs.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
import time
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._errors import DaemonFailed, Refused
from ansible_collections.quorate.swarm.plugins.module_utils._unit_arguments import PROPERTIES, unit_arguments

#: Runs a command: argv -> (return code, stdout, stderr).
Runner = t.Callable[[t.List[str]], t.Tuple[int, str, str]]

#: Name of the transient timer and service. Systemd allows a name only once, so it is the lock of a host as well
#: (lab fact B8.3): two operations that stop the engine can never run at the same time.
SWITCH = "quorate-swarm-dead-man"


class Daemon:
    """The engine's service on this host.

    Args:
        run: Runs a command and returns (rc, stdout, stderr). Never through a shell.
        service: Name of the service without suffix; its socket unit has the same name.
        systemd: Whether systemd is PID 1. Found by itself when None.
    """

    def __init__(self, run: Runner, *, service: str = "docker", systemd: bool | None = None) -> None:
        self._run = run
        self._service = service
        self._armed = False
        self._covered: Path | None = None
        self._limit_cleared = False
        self._present: list[str] = []
        self.systemd = os.path.isdir("/run/systemd/system") if systemd is None else systemd

    @property
    def _units(self) -> list[str]:
        return [f"{self._service}.socket", f"{self._service}.service"]

    def _command(self, argv: list[str], attempted: str, remedy: str) -> str:
        rc, out, err = self._run(argv)
        if rc != 0:
            raise DaemonFailed(attempted, f"{shlex.join(argv)} ended with {rc}: {(err or out).strip()}", remedy)
        return out

    def active_units(self) -> list[str]:
        """Names of the units (socket and service) that are not fully stopped."""
        if not self.systemd:
            return [self._service] if self._run(["service", self._service, "status"])[0] == 0 else []
        states = self._properties("ActiveState", *self._units)
        return [unit for unit, state in zip(self._units, states) if state not in ("inactive", "failed", "")]

    def _properties(self, name: str, *units: str) -> list[str]:
        """A property of each unit, in one call: while the engine is down, every call counts."""
        shown = self._run(["systemctl", "show", f"--property={name}", *units])[1]
        return [block.strip().partition("=")[2] for block in shown.split("\n\n")]

    def _property(self, unit: str, name: str) -> str:
        return self._properties(name, unit)[0]

    def active_for(self) -> float:
        """Seconds for which the service has been up; 0 when it is down or about to be started again after it failed.

        Without systemd nothing starts it again, and one that is up has been up for ever.
        """
        if not self.systemd:
            return math.inf if self.active_units() else 0.0
        service = f"{self._service}.service"
        if self._property(service, "ActiveState") != "active":
            return 0.0
        return time.monotonic() - int(self._property(service, "ActiveEnterTimestampMonotonic") or 0) / 1e6

    def arguments(self) -> list[str]:
        """The words with which the engine is started here, whether it is up or not; none without systemd."""
        if not self.systemd:
            return []
        shown = self._run(["systemctl", "show", f"--property={','.join(PROPERTIES)}", f"{self._service}.service"])[1]
        return unit_arguments(shown, lambda path: Path(path).read_text(encoding="utf-8"))

    def engine_version(self) -> str:
        """Version of the engine that is installed here, asked of its program because the engine may be down."""
        out = self._command(["dockerd", "--version"], "ask for the engine's version", "Install a Docker Engine")
        return out.partition("version ")[2].partition(",")[0].strip()

    def stop(self, *, looked_at_later: bool = False) -> None:
        """Stop the engine so that nothing starts it again, and see that it is down.

        Args:
            looked_at_later: Leave that look out where systemd has said that it is down: the caller asks for
                active_units() after what must not be done while it runs.

        Raises:
            DaemonFailed: The service is still active afterwards.
        """
        attempted = f"stop {self._service} and its socket"
        remedy = f"See journalctl -u {self._service}"
        if self.systemd:
            self._clear_start_limit()
            self._command(["systemctl", "stop", *self._units_present()], attempted, remedy)
            if looked_at_later:
                return
        else:
            self._command(["service", self._service, "stop"], attempted, remedy)
        still = self.active_units()
        if still:
            raise DaemonFailed(attempted, f"{', '.join(still)} still active", remedy)

    def _units_present(self) -> list[str]:
        """The units that exist here: some packages ship no socket unit."""
        if not self._present:
            states = self._properties("LoadState", *self._units)
            self._present = [unit for unit, state in zip(self._units, states) if state == "loaded"]
        return self._present or [f"{self._service}.service"]

    def start(self) -> None:
        """Start the engine. Takes 21 s when its swarm has no quorum (lab fact B5.5); the unit has no start limit.

        Raises:
            DaemonFailed: The service manager says it did not start.
        """
        attempted = f"start {self._service}"
        remedy = f"See journalctl -u {self._service}"
        if not self.systemd:
            self._command(["service", self._service, "start"], attempted, remedy)
            return
        if not self._limit_cleared:
            self._clear_start_limit()
        self._limit_cleared = False
        self._command(["systemctl", "start", f"{self._service}.service"], attempted, remedy)

    def _clear_start_limit(self) -> None:
        self._run(["systemctl", "reset-failed", *self._units_present()])
        self._limit_cleared = True

    def cover(self, directory: Path) -> bool:
        """Lay something empty over a state directory, so that an engine that is started now is in no swarm.

        Returns: whether it lies there. It does not where a process may mount nothing, as in some containers.
        """
        if self._covered is None and shutil.which("mount"):
            options = ["-t", "tmpfs", "-o", "mode=0700,size=64k"]
            if self._run(["mount", *options, "quorate-swarm", str(directory)])[0] == 0:
                self._covered = directory
        return self._covered is not None

    def uncover(self) -> None:
        """Take away what cover() has laid there. The engine has started.

        Raises:
            DaemonFailed: It is still there.
        """
        if self._covered is not None:
            argv = ["umount", "--lazy", str(self._covered)]
            self._command(argv, f"take away what lies over {self._covered}", "See to that: the state lies beneath it")
            self._covered = None

    @staticmethod
    def uncover_commands(directory: Path) -> list[str]:
        """uncover() as shell commands, for the dead man's switch."""
        return [f"umount --lazy {shlex.quote(str(directory))} 2>/dev/null"]

    def stop_commands(self) -> list[str]:
        """Shell commands that stop the engine, for the dead man's switch."""
        if not self.systemd:
            return [f"service {shlex.quote(self._service)} stop"]
        return ["systemctl stop " + " ".join(shlex.quote(unit) for unit in self._units)]

    def start_commands(self) -> list[str]:
        """Shell commands that start the engine, for the dead man's switch."""
        if not self.systemd:
            return [f"service {shlex.quote(self._service)} start"]
        units = " ".join(shlex.quote(unit) for unit in self._units)
        return [f"systemctl reset-failed {units}", f"systemctl start {shlex.quote(self._units[1])}"]

    def arm(self, *, seconds: int, before_start: t.Sequence[str] = ()) -> None:
        """Arm the dead man's switch: in so many seconds the engine is started, whatever has become of us.

        A transient systemd timer, so it outlives the module, the SSH session and the controller (lab fact B8.2).

        Args:
            seconds: Time until it goes off; with 0 it only sees that no other operation has armed it.
            before_start: Shell commands to run before the start, such as putting a state directory back. They must
                hold no secret, because unit properties are readable by everybody.

        Raises:
            Refused: Another operation holds the switch on this host.
            DaemonFailed: The switch could not be armed.
        """
        attempted = "arm the dead man's switch on this host"
        if seconds == 0:
            self.require_undisturbed("stop the engine without the dead man's switch")
            return
        if not self.systemd:
            raise Refused(
                attempted,
                "this host has no systemd, and without the switch nothing would start the engine again if we die",
                "Set dead_man_timeout to 0 to go without it",
            )
        if seconds < 0:
            raise Refused(
                attempted, f"dead_man_timeout is {seconds}", "Give a number of seconds, or 0 to go without it"
            )
        script = "; ".join([*before_start, *self.start_commands()])
        self._run(["systemctl", "reset-failed", f"{SWITCH}.service", f"{SWITCH}.timer"])
        rc, out, err = self._run(
            [
                "systemd-run",
                f"--unit={SWITCH}",
                f"--on-active={seconds}",
                "--timer-property=AccuracySec=1s",
                "--description=Starts the Docker Engine if an operation of quorate.swarm died",
                "/bin/sh",
                "-c",
                script.replace("$", "$$"),  # systemd expands variables in arguments (systemd.service(5))
            ]
        )
        if rc == 0:
            self._armed = True
            return
        text = (err or out).strip()
        if "already" in text or "exists" in text:
            raise self._disturbed(attempted)
        raise DaemonFailed(attempted, f"systemd-run ended with {rc}: {text}", "See journalctl")

    def require_undisturbed(self, attempted: str) -> None:
        """See that no operation on this host has the dead man's switch armed.

        Raises:
            Refused: One has: it has stopped the engine, or is about to.
        """
        units = (f"{SWITCH}.timer", f"{SWITCH}.service")
        if self.systemd and self._run(["systemctl", "is-active", "--quiet", *units])[0] == 0:
            raise self._disturbed(attempted)

    @staticmethod
    def _disturbed(attempted: str) -> Refused:
        return Refused(
            attempted,
            f"another operation that stops the engine is under way here ({SWITCH}.timer is loaded)",
            f"Wait for it to end; if none runs, systemctl stop {SWITCH}.timer",
        )

    def disarm(self) -> None:
        """Cancel the dead man's switch that this object armed; never that of another operation."""
        if self._armed:
            self._armed = False
            self._run(["systemctl", "stop", f"{SWITCH}.timer"])
