# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab as tests and the command use it: which hosts there are, and what can happen to each."""

from __future__ import annotations

import ipaddress
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import cgroup, engine, image, inventory, mounts, swarm
from .errors import LabError
from .machine import Machine, remove_traces, traces
from .network import RESERVED_NAMES, Network
from .process import execute, in_parallel, wait_until
from .state import Files, HostState, LabState

INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
HOST_ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "USER": "root",
}


class Host:
    """One host of a lab; made by `Lab`."""

    def __init__(self, lab: Lab, name: str, state: HostState, base: Path) -> None:
        self._lab = lab
        self.name = name
        self.address = state.address
        self.engine = state.engine
        self.machine = Machine(
            name=lab.network.namespace(name), hostname=name, directory=lab.files.host(name), image=base
        )

    def __repr__(self) -> str:
        return f"Host({self.name!r}, {self.address!r})"

    @property
    def pid(self) -> int | None:
        """The process ID of the host's PID 1 as this machine sees it; None when it is down."""
        return self.machine.pid()

    @property
    def disk(self) -> Path:
        """The host's root directory as this machine sees it; without /var/lib/docker while the host is down."""
        pid = self.pid
        return Path(f"/proc/{pid}/root") if pid else self.machine.root

    @property
    def docker_directory(self) -> Path:
        """The directory of this machine that is /var/lib/docker of the host, running or not."""
        return self.machine.directory / "docker"

    def run(
        self, cmd: str | Sequence[str], check: bool = True, input: str | None = None, timeout: float | None = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run *cmd* (a shell command line, or an argument list) as root in the host, without the network.

        Works on a host that is cut off. Raises LabError when the host is down, when the command fails and *check* is
        true, or when it does not end in *timeout* seconds.
        """
        argv = ["/bin/sh", "-c", cmd] if isinstance(cmd, str) else list(cmd)
        prefix = ["nsenter", "-t", str(self._running_pid("run a command")), "-a", "-r", "-w"]
        return execute([*prefix, *argv], check=check, input=input, timeout=timeout, env=HOST_ENVIRONMENT)

    def ssh(
        self, cmd: str | Sequence[str], check: bool = True, input: str | None = None, timeout: float | None = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run *cmd* over ssh, as Ansible does; otherwise as `run`."""
        line = cmd if isinstance(cmd, str) else shlex.join(cmd)
        return execute([*self.ssh_command(), line], check=check, input=input, timeout=timeout)

    def ssh_command(self) -> list[str]:
        """Return the ssh command with options and destination, to which a remote command can be added."""
        return ["ssh", *inventory.SSH_OPTIONS, "-i", str(self._lab.files.key), f"root@{self.address}"]

    def docker(self, *args: str, check: bool = True, timeout: float | None = 120) -> str:
        """Run the docker command with *args* in the host and return its standard output, stripped."""
        return self.run(["docker", *args], check=check, timeout=timeout).stdout.strip()

    def api(self, method: str, path: str, body: object = None, timeout: float = 25) -> tuple[int, Any]:
        """Send one request to the host's Engine API through its socket; see `engine.request`."""
        socket = Path(f"/proc/{self._running_pid(f'{method} {path}')}/root/run/docker.sock")
        return engine.request(socket, method, path, body, timeout)

    def start(self, wait: bool = True) -> None:
        """Start the host; nothing happens when it runs.

        Returns when it accepts ssh and its engine answers, or at once without *wait*. An engine answers late (20 s)
        when it is in a swarm that it cannot reach.
        """
        self._lab.network.set_power(self.name, on=True)
        self.machine.boot()
        if wait:
            self._wait()

    def stop(self) -> None:
        """Shut the host down in order; returns when it is down."""
        self.forget_connections()
        self.machine.power_off()
        self._lab.network.set_power(self.name, on=False)

    def kill(self) -> None:
        """Cut the power of the host: nobody hears of it any more, not even that its connections end.

        The disk keeps what was written (the page cache is that of this machine).
        """
        self.forget_connections()
        self._lab.network.set_power(self.name, on=False)
        self.machine.kill()

    def reboot(self) -> None:
        """Reboot the host in order; returns when it accepts ssh and its engine answers."""
        self.forget_connections()
        self.machine.reboot()
        self._wait()

    def pause(self) -> None:
        """Stop all processes of the host where they are."""
        cgroup.set_frozen(self.machine.name, True)

    def resume(self) -> None:
        """Let a paused host go on."""
        cgroup.set_frozen(self.machine.name, False)

    def cut(self) -> None:
        """Pull the network cable."""
        self._lab.network.set_cable(self.name, plugged=False)

    def heal(self) -> None:
        """Plug the network cable in, and end every partition between this host and others."""
        self._lab.network.set_cable(self.name, plugged=True)
        self._lab.network.find(self.name)
        for other in self._lab.hosts.values():
            if other is not self:
                self._lab.network.find(other.name, [self.address])

    def power(self) -> str:
        """Return running, paused or stopped."""
        if cgroup.is_frozen(self.machine.name):
            return "paused"
        return "running" if self.pid else "stopped"

    def prepare(self) -> None:
        """Give the host its disk and its cable, as far as it does not have them."""
        self._lab.network.attach(self.name, self.address)
        self.machine.prepare(self._lab.files.public_key())

    def destroy(self) -> None:
        """Pull the cable of the host, cut its power and drop its disk."""
        self.forget_connections()
        self._lab.network.detach(self.name)
        self.machine.destroy()

    def is_plugged(self) -> bool:
        """Tell whether the network cable is in."""
        return self._lab.network.is_plugged(self.name)

    def load_busybox(self) -> None:
        """Import the local image busybox:latest, for want of a registry."""
        if self.api("GET", "/images/busybox:latest/json")[0] == 200:
            return
        url = "/images/create?fromSrc=-&repo=busybox&tag=latest&changes=CMD%20%5B%22sh%22%5D"
        status, answer = self.api("POST", url, image.busybox_layer(self.machine.image), timeout=60)
        if status != 200 or "error" in str(answer):
            raise LabError(f"import the busybox image on {self.name}: {status} {answer}")

    def _running_pid(self, purpose: str) -> int:
        pid = self.pid
        if pid is None:
            raise LabError(f"{purpose} on {self.name}: the host is down. Start it first")
        return pid

    def _wait(self) -> None:
        self.machine.wait_for_boot()

        def answers() -> bool:
            try:
                return self.api("GET", "/_ping")[0] == 200
            except (OSError, LabError):
                return False

        wait_until(answers, timeout=90, what=f"the engine of {self.name}")

    def forget_connections(self) -> None:
        """End the shared ssh connection, so that the next command does not wait on one to a host that was."""
        _end_connection(self._lab.files.control_socket(self.name))


class Lab:
    """A lab with a name of its own: all that it makes on this machine begins with *prefix*.

    *subnet* (IPv4, at least a /28) and *engine* (20.10, 26.1 or 28.5) are those of a new lab; a lab that is up keeps
    its own. Several labs run side by side when prefix and subnet differ.
    """

    def __init__(self, prefix: str, subnet: str = "10.78.0.0/24", engine: str = "20.10") -> None:
        self.files = Files(prefix)
        self._wanted = LabState(subnet=subnet, engine=engine)
        self._state = self.files.load() or self._wanted
        self._take_over()

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *dummy: object) -> None:
        self.down()

    def _take_over(self) -> None:
        """Build the objects that follow from the state."""
        self.network = Network(self.files.prefix, self._state.subnet)
        self.hosts: dict[str, Host] = {}
        for name, host in self._state.hosts.items():
            self.hosts[name] = Host(self, name, host, image.path(self.files.home, host.engine))

    @property
    def prefix(self) -> str:
        """The name of the lab."""
        return self.files.prefix

    @property
    def subnet(self) -> str:
        """The subnet of the lab."""
        return self._state.subnet

    @property
    def engine(self) -> str:
        """The engine version of the lab's hosts."""
        return self._state.engine

    @property
    def unlock_key(self) -> str | None:
        """The unlock key with which the swarm was formed; None without autolock."""
        return self._state.unlock_key

    @property
    def is_up(self) -> bool:
        """Whether `up` has made this lab and `down` has not yet taken it away."""
        return self._state.complete

    def up(self, managers: int = 3, workers: int = 1, autolock: bool = False, form_swarm: bool = True) -> None:
        """Boot the hosts m1 ... and w1 ... and form one swarm of them, unless *form_swarm* is false.

        What an interrupted run of this lab left is removed first. A lab that is up already must have these hosts,
        this subnet and this engine; hosts that are down are started, and locked managers unlocked. Raises LabError.
        """
        names = [f"m{n + 1}" for n in range(managers)] + [f"w{n + 1}" for n in range(workers)]
        with self.files.lock():
            self._reload()
            if self._state.complete:
                self._start_again(names)
                return
            self._remove_all()
            self._claim(names)
            image.build(self.files.home, self.engine)
            raise_inotify_limit()
            self.files.public_key()
            self.network.create()
            in_parallel(self._boot_new, self.hosts.values())
            if form_swarm and managers:
                hosts = list(self.hosts.values())
                self._state.unlock_key = swarm.form(hosts[:managers], hosts[managers:], autolock=autolock)
            self._state.complete = True
            self.files.save(self._state)

    def down(self) -> None:
        """Take everything of this lab away, whatever state it is in; base images stay."""
        with self.files.lock():
            self._remove_all()
            image.remove_unfinished(self.files.home)
            self._state = LabState(subnet=self.subnet, engine=self.engine)
            self._take_over()

    def add(
        self, name: str, address: str | None = None, engine: str | None = None, disk_from: str | None = None
    ) -> Host:
        """Boot a fresh host *name*, which is in no swarm, and return it.

        *address* may be that of a removed host (default: the first free one), *engine* another version than the
        lab's. With *disk_from* it starts with a copy of the disk of that host, which must be down. Raises LabError.
        """
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,14}", name) or name in RESERVED_NAMES:
            raise LabError(
                f"host name {name!r}: use at most 15 lower case letters, digits and hyphens, a letter first; "
                f"{', '.join(RESERVED_NAMES)} are taken"
            )
        engine = engine or (self.hosts[disk_from].engine if disk_from else self.engine)
        base = image.build(self.files.home, engine)
        with self.files.lock():
            self._reload()
            taken = {host.address for host in self.hosts.values()}
            if name in self.hosts:
                raise LabError(f"add {name}: lab {self.prefix} has a host of that name. Remove it first")
            if address in taken:
                raise LabError(f"add {name}: another host has the address {address}. Remove that first")
            if address and not self.network.can_have(address):
                raise LabError(f"add {name}: {address} is not a host address of {self.subnet}")
            free = address or next((each for each in self.network.addresses() if each not in taken), None)
            if free is None:
                raise LabError(f"add {name}: the subnet {self.subnet} is full")
            self._state.hosts[name] = HostState(free, engine)
            self.files.save(self._state)
            host = self.hosts[name] = Host(self, name, self._state.hosts[name], base)
        if disk_from:
            self.hosts[disk_from].machine.copy_disk_to(host.machine)
        self._boot_new(host)
        return host

    def rm(self, name: str) -> None:
        """Cut the power of host *name* and drop its disk; the swarm is not told."""
        with self.files.lock():
            self._reload()
            host = self.host(name)
            host.destroy()
            del self.hosts[name]
            del self._state.hosts[name]
            self.files.save(self._state)

    def host(self, name: str) -> Host:
        """Return the host *name*. Raises LabError when there is none."""
        if name not in self.hosts:
            raise LabError(f"lab {self.prefix} has no host {name}. It has: {', '.join(self.hosts) or 'none'}")
        return self.hosts[name]

    def partition(self, names: Sequence[str]) -> None:
        """Let nothing pass between the hosts *names* and the others; the lab machine still reaches all."""
        inside = [self.host(name) for name in names]
        outside = [host for host in self.hosts.values() if host not in inside]
        for group, others in ((inside, outside), (outside, inside)):
            for host in group:
                self.network.lose(host.name, [other.address for other in others])

    def heal(self) -> None:
        """Plug every cable in and end every partition."""
        for host in self.hosts.values():
            self.network.set_cable(host.name, plugged=True)
            self.network.find(host.name)

    def inventory(self, groups: Mapping[str, Sequence[str]] | None = None) -> str:
        """Return an Ansible inventory (INI) of the lab over ssh; see `inventory.render`."""
        return inventory.render(self.files, self._state, groups)

    def write_inventory(self, path: str | Path, groups: Mapping[str, Sequence[str]] | None = None) -> Path:
        """Write the inventory to *path* and return that."""
        Path(path).write_text(self.inventory(groups))
        return Path(path)

    def status(self) -> list[dict[str, Any]]:
        """Return name, address, engine, power, cable and swarm state of every host, as that host sees itself."""
        return in_parallel(_host_status, self.hosts.values())

    def leftovers(self) -> list[str]:
        """Return what there is on this machine of this lab: processes, mounts, namespaces, links, cgroups, files."""
        found = [f"cgroup {name}" for name in cgroup.groups(f"{self.prefix}-")]
        found += [f"process {pid}" for name in cgroup.groups(f"{self.prefix}-") for pid in cgroup.processes(name)]
        found += [f"mount {point}" for point in mounts.below(self.files.directory)]
        found += self.network.leftovers()
        found += [f"file {path}" for path in (self.files.directory, *traces(f"{self.prefix}-")) if path.exists()]
        return found

    def _reload(self) -> None:
        """Take over what other commands have changed in the meantime; hosts that are known keep their objects."""
        known = self.hosts
        self._state = self.files.load() or self._wanted
        self._take_over()
        for name, host in known.items():
            if name in self.hosts and self.hosts[name].address == host.address:
                self.hosts[name] = host

    def _boot_new(self, host: Host) -> None:
        host.prepare()
        host.start()
        host.load_busybox()

    def _start_again(self, names: Sequence[str]) -> None:
        if (self.subnet, self.engine) != (self._wanted.subnet, self._wanted.engine):
            raise LabError(
                f"lab {self.prefix} is up with engine {self.engine} on {self.subnet}. Take it down first, or use another prefix"
            )
        missing = [name for name in names if name not in self.hosts]
        if missing:
            raise LabError(
                f"lab {self.prefix} is up without {', '.join(missing)}. Add them with `lab add`, or take the lab down first"
            )
        raise_inotify_limit()
        self.network.create()

        def start(host: Host) -> None:
            self._boot_new(host)
            if self.unlock_key:
                swarm.unlock(host, self.unlock_key)

        # all at the same time: no manager gets ready without a majority, and no worker without managers
        in_parallel(start, self.hosts.values())

    def _claim(self, names: Sequence[str]) -> None:
        """Begin a new state with these hosts. Raises LabError when another lab has the subnet."""
        self._state = LabState(subnet=self._wanted.subnet, engine=self._wanted.engine)
        addresses = iter(Network(self.prefix, self.subnet).addresses())
        try:
            self._state.hosts = {name: HostState(next(addresses), self.engine) for name in names}
        except StopIteration:
            raise LabError(f"lab {self.prefix}: {len(names)} hosts do not fit into {self.subnet}") from None
        self._take_over()
        # first claim, then look: of two that claim the same at the same time none gets it unseen
        self.files.save(self._state)
        for prefix, other in self.files.others().items():
            if self.network.subnet.overlaps(ipaddress.IPv4Network(other.subnet)):
                mounts.remove_tree(self.files.directory)
                raise LabError(f"lab {self.prefix}: lab {prefix} has the subnet {other.subnet}. Use another one")

    def _remove_all(self) -> None:
        """Remove all of this lab that is found on the machine, known to the state or not.

        Raises LabError with what remains when something does.
        """
        for dummy in range(3):  # a command that was killed may leave a child that is just making something
            self._sweep()
            if not self.leftovers():
                return
        raise LabError(f"take lab {self.prefix} down: there remains: {', '.join(self.leftovers())}")

    def _sweep(self) -> None:
        for socket in self.files.control_socket("").glob("*"):
            _end_connection(socket)
        groups = cgroup.groups(f"{self.prefix}-")
        in_parallel(cgroup.kill, groups)
        in_parallel(cgroup.remove, groups)
        for root in self.files.hosts.glob("*/root"):
            remove_traces(self.network.namespace(root.parent.name), root)
        self.network.remove()
        for path in (self.files.directory, *traces(f"{self.prefix}-")):
            mounts.remove_tree(path)


def _end_connection(socket: Path) -> None:
    """End the shared ssh connection behind the control *socket*, if there is one."""
    if socket.exists():
        execute(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "host"], check=False)
        socket.unlink(missing_ok=True)


def raise_inotify_limit(limit: int = 8192) -> None:
    """Allow the kernel's inotify instances that the systemds of many hosts need together (lab fact A3)."""
    if int(INOTIFY_INSTANCES.read_text()) < limit:
        INOTIFY_INSTANCES.write_text(str(limit))


def _host_status(host: Host) -> dict[str, Any]:
    swarm_state: str = "-"
    if host.power() == "running":
        try:
            status, info = host.api("GET", "/info", timeout=5)
            swarm_state = info["Swarm"]["LocalNodeState"] if status == 200 else f"error {status}"
            if swarm_state == "active":
                swarm_state = "manager" if info["Swarm"]["ControlAvailable"] else "worker"
        except (OSError, LabError):
            swarm_state = "no answer"
    return {
        "name": host.name,
        "address": host.address,
        "engine": host.engine,
        "power": host.power(),
        "cable": "in" if host.is_plugged() else "out",
        "swarm": swarm_state,
    }
