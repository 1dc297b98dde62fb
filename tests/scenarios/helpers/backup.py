# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of backups look at in a swarm and on its hosts, and what they do to them meanwhile."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import yaml

from quorate_lab import Host, Lab
from quorate_lab.cgroup import processes
from quorate_lab.inventory import SSH_OPTIONS
from quorate_lab.process import wait_until

from .runner import AnsibleRun

DIRECTORY = "/var/backups/quorate-swarm"
#: The dead man's switch of a host.
SWITCH = "quorate-swarm-dead-man"
#: Where a copy of the state directory is made.
WORK_FOLDERS = "/var/lib/docker/.quorate-swarm-*"
#: How a module runs on a host: its program comes through standard input, or without pipelining from a file.
MODULE = re.compile(rb"/usr/bin/python3\0(.*/AnsiballZ_\w+\.py\0)?")
#: Bytes of a large config; the engine accepts up to 1000 KiB (moby/swarmkit manager/controlapi/config.go).
LARGE_CONFIG = 990 * 1024
KINDS = ("services", "networks", "secrets", "configs")

Json = dict[str, Any]


# Swarms


def ask(host: Host, method: str, path: str, body: object = None) -> Any:
    """Send a request to the engine of *host* that must succeed, and return the answer."""
    status, answer = host.api(method, path, body)
    assert status < 300, f"{method} {path} on {host.name}: {status} {answer}"
    return answer


def create_service(manager: Host, name: str, *options: str, grace: str = "1s", image: str = "busybox:latest") -> None:
    """Create a service whose tasks ignore SIGTERM, so that they take *grace* to stop, and wait until they run."""
    manager.docker(
        *("service", "create", "--detach", "--no-resolve-image", "--name", name, "--stop-grace-period", grace),
        *options,
        *(image, "sleep", "1000000"),
    )

    def runs() -> bool:
        (service,) = ask(manager, "GET", f'/services?status=true&filters={{"name":["{name}"]}}')
        status = service["ServiceStatus"]
        return bool(status["RunningTasks"] == status["DesiredTasks"] > 0)

    wait_until(runs, timeout=60, what=f"the tasks of {name}")


def fill(manager: Host) -> None:
    """Give the swarm one of everything that a backup has to keep."""
    manager.docker("network", "create", "--driver", "overlay", "backend")
    manager.run(["docker", "secret", "create", "password", "-"], input="not for everybody")
    manager.run(["docker", "config", "create", "settings", "-"], input="colour = blue")
    create_service(manager, "agent", "--mode", "global")
    create_service(
        manager, "web", *("--replicas", "3", "--network", "backend", "--secret", "password", "--config", "settings")
    )


def grow(manager: Host, configs: int) -> None:
    """Give the swarm so many large configs and one more, which do not compress, in a raft snapshot.

    They end in a snapshot, and the engine removes the log before that.
    """

    def create(number: int) -> None:
        data = base64.b64encode(os.urandom(LARGE_CONFIG)).decode()
        ask(manager, "POST", "/configs/create", {"Name": f"large-{number}", "Data": data})

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(create, range(configs)))
    manager.docker("swarm", "update", "--snapshot-interval", "10")
    create(configs)  # the new interval counts from the next entry on
    snapshots = manager.docker_directory / "swarm/raft/snap-v3-encrypted"

    def is_in_a_snapshot() -> bool:
        return any(path.stat().st_size > configs * LARGE_CONFIG for path in snapshots.glob("*.snap"))

    wait_until(is_in_a_snapshot, timeout=300, what="a snapshot")
    manager.docker("swarm", "update", "--snapshot-interval", "10000")
    wait_until_healthy(manager)


def nodes(manager: Host) -> dict[str, str]:
    """Host name -> leader, or the reachability of a manager, or the state of a worker, as *manager* sees them."""
    return {node["Description"]["Hostname"]: _standing(node) for node in ask(manager, "GET", "/nodes")}


def has_lost(manager: Host, name: str) -> bool:
    """Whether *manager* sees that this node is not there any more; not while it cannot tell, as in an election."""
    status, listed = manager.api("GET", "/nodes")
    return status == 200 and not any(
        node["Description"]["Hostname"] == name and _standing(node) in ("leader", "reachable", "ready")
        for node in listed
    )


def _standing(node: Json) -> str:
    manager = node.get("ManagerStatus")
    state = str(node["Status"]["State"])
    if state != "ready" or manager is None:
        return state
    return "leader" if manager.get("Leader") else str(manager["Reachability"])


def leader(manager: Host) -> str:
    """The host name of the leader, in whatever state its node is; empty when there is none."""
    leaders = [
        str(node["Description"]["Hostname"])
        for node in ask(manager, "GET", "/nodes")
        if node.get("ManagerStatus", {}).get("Leader")
    ]
    return leaders[0] if leaders else ""


def is_healthy(manager: Host) -> bool:
    """Whether every node is ready, every manager reachable, and one of them the leader."""
    try:
        standings = list(nodes(manager).values())
    except (AssertionError, OSError):
        return False
    return standings.count("leader") == 1 and set(standings) <= {"leader", "reachable", "ready"}


def wait_until_healthy(manager: Host, *, timeout: float = 60) -> None:
    wait_until(lambda: is_healthy(manager), timeout=timeout, what=f"a healthy swarm as {manager.name} sees it")


def inventory_of(manager: Host) -> dict[str, list[dict[str, str]]]:
    """The inventory of the swarm, as it has to be in a manifest."""
    inventory: dict[str, list[dict[str, str]]] = {}
    for kind in KINDS:
        entries = [entry for entry in ask(manager, "GET", f"/{kind}") if entry.get("Scope", "swarm") == "swarm"]
        inventory[kind] = [
            {"id": entry.get("ID") or entry["Id"], "name": entry.get("Name") or entry["Spec"]["Name"]}
            for entry in entries
        ]
    inventory["nodes"] = [
        {
            "id": node["ID"],
            "hostname": node["Description"]["Hostname"],
            "role": node["Spec"]["Role"],
            "address": node["Status"]["Addr"],
        }
        for node in ask(manager, "GET", "/nodes")
    ]
    return {kind: sorted(entries, key=lambda entry: entry["id"]) for kind, entries in inventory.items()}


def without_versions(inventory: Json) -> Json:
    """An inventory of a manifest without the version of each object."""
    return {
        kind: [{name: value for name, value in entry.items() if name != "version"} for entry in entries]
        for kind, entries in inventory.items()
    }


def node_id(host: Host) -> str:
    """The node ID that *host* has in its swarm."""
    return str(ask(host, "GET", "/info")["Swarm"]["NodeID"])


def set_role(manager: Host, node: str, role: str) -> None:
    """Promote or demote a node, given by its ID."""
    found = ask(manager, "GET", f"/nodes/{node}")
    version = found["Version"]["Index"]
    ask(manager, "POST", f"/nodes/{node}/update?version={version}", {**found["Spec"], "Role": role})


# Hosts


def unit(host: Host, name: str, *properties: str) -> dict[str, str]:
    """Properties of a unit; asking does not wake up an engine, as its socket would."""
    shown = host.run(["systemctl", "show", f"--property={','.join(properties)}", name]).stdout
    return dict(line.split("=", 1) for line in shown.splitlines())


def engine_started(host: Host) -> str:
    """When the engine of *host* was started last, in microseconds since the boot of the machine."""
    return unit(host, "docker.service", "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"]


def engine_state(host: Host) -> str:
    """ActiveState of docker.service."""
    return unit(host, "docker.service", "ActiveState")["ActiveState"]


def archives(host: Host, directory: str = DIRECTORY) -> list[str]:
    """All that a backup has left in *directory*, oldest first, unfinished files included."""
    listed = host.run(f"ls -A {shlex.quote(directory)} 2>/dev/null || true").stdout.split()
    return [f"{directory}/{name}" for name in sorted(listed, key=lambda name: name.rpartition("_")[2])]


def manifest_of(host: Host, archive: str) -> Json:
    """The manifest, read as anybody can without this collection."""
    manifest: Json = json.loads(
        host.run(["tar", "--extract", "--to-stdout", f"--file={archive}", "manifest.json"]).stdout
    )
    return manifest


def traces(host: Host) -> list[str]:
    """What must not be left on a host after a backup: a switch that is armed, and copies of the state directory."""
    units = host.run(f"systemctl list-units --all --plain --no-legend '{SWITCH}*'").stdout.splitlines()
    return units + host.run(f"ls -d {WORK_FOLDERS} 2>/dev/null || true").stdout.split()


@contextmanager
def untouched(*hosts: Host, directory: str = DIRECTORY) -> Iterator[None]:
    """Fail the test when the engine of a host was stopped or started meanwhile, or when anything was left there."""

    def look(host: Host) -> tuple[Any, ...]:
        times = unit(
            host, "docker.service", "ActiveState", "ActiveEnterTimestampMonotonic", "InactiveEnterTimestampMonotonic"
        )
        return times, archives(host, directory), traces(host)

    before = {host.name: look(host) for host in hosts}
    yield
    assert {host.name: look(host) for host in hosts} == before


def is_module(pid: int) -> bool:
    """Whether the process *pid* of this machine is an Ansible module on a host."""
    try:
        return MODULE.fullmatch(Path(f"/proc/{pid}/cmdline").read_bytes()) is not None
    except OSError:
        return False


def modules(host: Host) -> list[int]:
    """The Ansible modules that run on *host*, as process IDs of this machine."""
    return [pid for pid in processes(host.machine.name) if is_module(pid)]


# In the background


@contextmanager
def meanwhile(function: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
    """Run *function* in the background of a `with` block, which is given a function that waits for its result.

    When the block fails because *function* has failed, that is what is raised.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(function)
        try:
            yield lambda: future.result(timeout=300)
        except Exception:
            if future.done():
                future.result()
            raise


@contextmanager
def repeated(function: Callable[[], None], *, interval: float) -> Iterator[None]:
    """Call *function* every *interval* seconds in the background of a `with` block."""
    stop = Event()

    def repeat() -> None:
        while not stop.is_set():
            function()
            stop.wait(interval)

    thread = Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def recorded(host: Host, script: str) -> Iterator[list[Json]]:
    """Run a Python *script* on *host* as long as the `with` block lasts, and fill the list at its end.

    The script has a function `running()` that tells whether to go on, and prints its records as lines of JSON.
    """
    stop = f"/run/stop-{uuid.uuid4().hex}"
    head = f"import json, os, time\ndef running():\n    return not os.path.exists({stop!r})\n"
    records: list[Json] = []
    with meanwhile(lambda: host.run(["python3", "-c", head + script], timeout=300)) as result:
        try:
            yield records
        finally:
            host.run(["touch", stop])
        records += [json.loads(line) for line in result().stdout.splitlines()]


@dataclass
class Gap:
    """How long the management API of a manager gave no answer at most, in seconds."""

    seconds: float = 0.0
    answers: int = 0
    last: float = field(default_factory=time.monotonic)

    def note(self, *, answered: bool) -> None:
        now = time.monotonic()
        self.seconds = max(self.seconds, now - self.last)
        if answered:
            self.last = now
            self.answers += 1


@contextmanager
def api_gaps(hosts: Sequence[Host]) -> Iterator[dict[str, Gap]]:
    """Ask each of *hosts* for the node list every 0.1 s, and measure the longest time without an answer."""
    gaps = {host.name: Gap() for host in hosts}

    def watch(host: Host) -> Callable[[], None]:
        def probe() -> None:
            try:
                answered = host.api("GET", "/nodes", timeout=60)[0] == 200
            except OSError:
                answered = False
            gaps[host.name].note(answered=answered)

        return probe

    with ExitStack() as probes:
        for host in hosts:
            probes.enter_context(repeated(watch(host), interval=0.1))
        yield gaps


class SecretWatch:
    """Looks for a secret in the arguments and the environment (*names*) of every process of this machine and of all hosts."""

    def __init__(self, secret: str, names: Sequence[str] = ("cmdline", "environ")) -> None:
        self._secret = secret.encode()
        self._names = names
        self.found: set[str] = set()
        self.looks = 0

    def look(self) -> None:
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            for name in self._names:
                try:
                    with open(f"{entry.path}/{name}", "rb") as file:
                        seen = self._secret in file.read()
                except OSError:
                    continue
                if seen:
                    self.found.add(f"{name} of process {entry.name}")
        self.looks += 1


# What Ansible is told, and what it prints


def write_inventory(path: Path, hosts: Mapping[str, tuple[Lab, str]], groups: Mapping[str, Sequence[str]]) -> Path:
    """Write an inventory of hosts of several labs, each under a name of its own, and return *path*."""
    described = {
        alias: {
            "ansible_host": lab.hosts[name].address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(lab.files.key),
            "ansible_ssh_common_args": " ".join(SSH_OPTIONS),
            "ansible_control_path": str(lab.files.control_socket(name)),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_pipelining": True,
        }
        for alias, (lab, name) in hosts.items()
    }
    children = {group: {"hosts": dict.fromkeys(members)} for group, members in groups.items()}
    path.write_text(json.dumps({"all": {"hosts": described, "children": children}}))
    return path


def changes(run: AnsibleRun) -> list[str]:
    """The names of the tasks that changed something, without the role's name, in order."""
    found: list[str] = []
    task = ""
    for line in run.stdout.splitlines():
        heading = re.match(r"TASK \[(?:[\w.]+ : )?(.*)\] \*+$", line)
        if heading:
            task = heading[1]
        elif line.startswith("changed: ["):
            found.append(task)
    return found


def summary(run: AnsibleRun) -> list[str]:
    """The lines of the role's summary."""
    told = run.stdout.rpartition("TASK [quorate.swarm.backup : Say what became of each swarm]")[2]
    block = re.search(r"^ok: .*=> *\n((?: .*\n)+)", told, re.MULTILINE)
    assert block, run.readable()[-4000:]
    return list(yaml.safe_load(block[1])["msg"])
