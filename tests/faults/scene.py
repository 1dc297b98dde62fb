# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab of a case: a swarm of three autolocked managers, what is kept of it, and where an operation is halted in it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from faults.points import Point
from faults.writer import Writer, clear
from helpers.backup import DIRECTORY, archives, ask, is_healthy, wait_until_healthy
from helpers.escrow import Escrow
from helpers.power import end_soon, prepared
from helpers.runner import AnsibleRun, Runner

from quorate_lab import Host, Lab
from quorate_lab.errors import LabError
from quorate_lab.process import in_parallel, wait_until

#: Where a halted module says so on its host.
HALT = "/run/quorate-halt"
CALLBACKS = Path(__file__).resolve().parents[1] / "scenarios/helpers/callback"
NodeSpecs = dict[str, list[tuple[dict[str, str], str]]]
MANAGERS = ("m1", "m2", "m3")


class NeverReached(AssertionError):
    """The operation ended without being at the point of the case."""


class Scene:
    """One lab, which serves one case after the other as long as they leave it healthy.

    Attributes:
        lab: The lab.
        runner: Runs Ansible.
        directory: For files of the controller.
        inventory: Of the lab; also what a run is killed by.
        escrow: Has the key of the swarm.
        nodes: What the nodes have that must not get lost.
        archive: A copy of an archive of the swarm on the controller, for operations that begin with a loss.
        writer: The load; knows what has to be there.
        log: Gets what the playbooks of a case print.
    """

    def __init__(self, lab: Lab, runner: Runner, directory: Path) -> None:
        self.lab = lab
        self.runner = runner
        self.directory = directory
        self.inventory = directory / "inventory"
        self.escrow = Escrow(directory)
        self.archive: Path | None = None
        self.archived: dict[str, int] = {}
        self.archived_host = self.archived_cluster = self.archived_key = ""
        self.archived_nodes: NodeSpecs = {}
        self.nodes: NodeSpecs = {}
        self.writer = Writer([])
        self.stale = True
        self.log = directory / "log"

    @property
    def hosts(self) -> list[Host]:
        return [self.lab.hosts[name] for name in MANAGERS]

    # -- the start of a case -----------------------------------------------------------------------------------------

    def make_healthy(self) -> None:
        """Have a healthy swarm: the one of the case before if it is, else a new one."""
        if not self.stale and all(map(is_healthy, self.hosts)):
            clear(self.hosts[0])
            return
        self.lab.down()
        self.lab.up(3, 0, autolock=True)
        prepared(self.lab)
        wait_until_healthy(self.hosts[0])
        self.lab.write_inventory(self.inventory)
        self.stale = False
        self.escrow.put(str(ask(self.hosts[0], "GET", "/swarm")["ID"]), [str(self.lab.unlock_key)])

    @property
    def key(self) -> str:
        """The newest unlock key that is kept."""
        return str(self.escrow.entries()[0]["key"])

    def keep_archive(self) -> None:
        """Back the healthy swarm up. Labs that follow have the same addresses, so this is done once."""
        self.archived = dict(self.writer.acknowledged)
        self.label()
        self.archived_nodes = dict(self.nodes)
        directory = self.directory / "archives"
        run = self.play("backup", {"backup_collect_to": str(directory)})
        (self.archive,) = directory.iterdir()
        (self.archived_host,) = [host.name for host in self.hosts if archives(host)]
        self.archived_cluster = str(ask(self.hosts[0], "GET", "/swarm")["ID"])
        self.archived_key = self.key
        assert run.rc == 0, run.readable()[-3000:]

    def label(self) -> None:
        """Give the managers labels and an availability of their own."""
        for name, zone in zip(MANAGERS, "abc", strict=True):
            availability = "pause" if zone == "c" else "active"
            self.manager().docker("node", "update", "--label-add", f"zone={zone}", "--availability", availability, name)
        self.nodes = self.node_specs()

    def node_specs(self) -> NodeSpecs:
        """Labels and availability of each node, by host name."""
        found: NodeSpecs = {}
        for node in ask(self.manager(), "GET", "/nodes"):
            entry = (node["Spec"]["Labels"], node["Spec"]["Availability"])
            found.setdefault(node["Description"]["Hostname"], []).append(entry)
        return found

    def replace(self, names: Sequence[str]) -> None:
        """Lose these hosts for good, and put fresh ones with their addresses in their places."""
        addresses = {name: self.lab.hosts[name].address for name in names}
        for name in names:
            self.lab.hosts[name].forget_connections()
        in_parallel(self.lab.rm, names)

        def add(name: str) -> None:
            end_soon(self.lab.add(name, address=addresses[name]))

        in_parallel(add, names)

    def keys(self) -> list[str]:
        """All unlock keys that are kept, and the one of the swarm if it can be asked."""
        keys = [str(entry["key"]) for entry in self.escrow.entries()]
        with suppress(LabError):
            keys.append(str(ask(self.manager(), "GET", "/swarm/unlockkey")["UnlockKey"]))
        return list(dict.fromkeys(keys))

    def manager(self) -> Host:
        """A manager that is in a quorum. Raises LabError when there is none."""
        for host in self.hosts:
            with suppress(OSError, LabError):
                status, listed = host.api("GET", "/nodes", timeout=5)
                if status == 200 and any(node.get("ManagerStatus", {}).get("Leader") for node in listed):
                    return host
        raise LabError("no manager is in a quorum")

    def leader(self) -> str:
        """The host name of the leader. Raises LabError when there is none."""
        for node in ask(self.manager(), "GET", "/nodes"):
            if node.get("ManagerStatus", {}).get("Leader"):
                return str(node["Description"]["Hostname"])
        raise LabError("there is no leader")

    def in_state(self, state: str) -> list[Host]:
        """The hosts whose engines say that they are in this state."""
        found = []
        for host in self.hosts:
            with suppress(OSError, LabError):
                status, info = host.api("GET", "/info", timeout=10)
                if status == 200 and info["Swarm"]["LocalNodeState"] == state:
                    found.append(host)
        return found

    def sweep(self) -> None:
        """Remove what cases leave by right: archives, and old states that were put aside."""

        def sweep_host(host: Host) -> None:
            host.run(
                f"umount {DIRECTORY} 2>/dev/null; rm -rf {DIRECTORY} /var/lib/docker/swarm.quarantine-*", check=False
            )
            host.run(f"rm -rf {HALT} /run/quorate-clock; : > /etc/environment", check=False)
            host.forget_connections()

        in_parallel(sweep_host, [host for host in self.hosts if host.pid])

    # -- where it is halted ------------------------------------------------------------------------------------------

    def arm(self, point: Point, hosts: Sequence[Host], environment: dict[str, str]) -> dict[str, str]:
        """Have the operation halted at *point*; *environment* is for the modules. Returns the controller's environment."""
        if point.kind == "step":
            environment = environment | {"QUORATE_SWARM_HALT_AT": point.name, "QUORATE_SWARM_HALT_IN": HALT}
        for host in hosts:
            # sshd gives it to whoever logs in
            host.run(
                ["tee", "/etc/environment"], input="".join(f"{name}={value}\n" for name, value in environment.items())
            )
            host.run(f"rm -rf {HALT} && mkdir {HALT}")
            host.forget_connections()
        if point.kind != "task":
            return {}
        for name in ("halted", "go"):
            (self.directory / name).unlink(missing_ok=True)
        return {
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "halt_before",
            "QUORATE_HALT_BEFORE": point.name,
            "QUORATE_HALT_IN": str(self.directory),
        }

    def wait_for(self, point: Point, hosts: Sequence[Host], run: Future[AnsibleRun]) -> tuple[list[Host], int]:
        """Wait until the operation is at *point*. Returns the hosts whose modules halt there, and the PID of the first's."""
        places = {host.name: host.disk / HALT.lstrip("/") / "halted" for host in hosts}
        if point.kind == "task":
            places = {"": self.directory / "halted"}

        def is_there() -> bool:
            return run.done() or any(map(os.path.exists, places.values()))

        wait_until(is_there, timeout=240, what=str(point), interval=0.02)
        found = [name for name, place in places.items() if place.exists()]
        if not found:
            raise NeverReached(f"{point} was never reached:\nsee {self.log}")
        pid = int(places[found[0]].read_text()) if point.kind == "step" else 0
        return [host for host in hosts if host.name in found], pid

    def disarm(self, hosts: Sequence[Host]) -> None:
        """Let nothing that begins from now on halt."""
        for host in hosts:
            host.run(["sed", "-i", "/^QUORATE_/d", "/etc/environment"])

    def release(self, hosts: Sequence[Host]) -> None:
        """Let go on what halts."""
        (self.directory / "go").touch()
        for host in hosts:
            with suppress(LabError):
                host.run(f"test ! -d {HALT} || touch {HALT}/go")

    def play(
        self, playbook: str, variables: dict[str, Any], args: Sequence[str] = (), env: dict[str, str] | None = None
    ) -> AnsibleRun:
        """Run a playbook of the collection as an operator does."""
        run = self.runner.playbook(
            self.lab, playbook, variables, args, check_rc=False, inventory=self.inventory, env=env, timeout=400
        )
        with self.log.open("a") as log:
            log.write(f"== {time.strftime('%H:%M:%S')} {playbook}: exit status {run.rc}\n{run.readable()}\n")
        return run
