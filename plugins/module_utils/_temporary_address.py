# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a host gets the former address of a manager for a while, and how the host itself gives it back.

A raft member keeps the address that it joined with, also through a forced new cluster (lab fact B4.8). A manager that
leads alone does not need it; as soon as a second one has joined, the quorum is lost without it, and is back some
seconds after the address is. So the address must neither stay for ever nor go too early, whatever becomes of the run
that wanted it. Two things see to that:

- A transient systemd timer looks at the list of managers that the engine keeps on disk. While it names the address, the
  timer renews it; when not, it takes it away. It needs no engine, and so cannot hang with one.
- The kernel takes the address away when nobody renews it. So does a reboot.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import shlex
import shutil
import socket
import struct
import time
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Runner
from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused, SwarmError
from ansible_collections.quorate.swarm.plugins.module_utils._fence import probe
from ansible_collections.quorate.swarm.plugins.module_utils._host import ENGINE_INTERFACES, HostAddress
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import KNOWN_MANAGERS

#: Name of the transient timer and service. Systemd allows a name only once, so a host has one such address at a time.
KEEPER = "quorate-swarm-address"
#: Seconds between two looks of the timer.
INTERVAL = 30
#: Seconds for which the kernel keeps the address beyond the hold when nobody renews it: time for an operator to see
#: that the timer does not run, before a quorum may depend on it.
LEASE = 3600
#: Seconds for which the timer leaves the address alone in any case, because the manager with it is only being started.
HOLD = 900
_ARP = 0x0806


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where an address is to be: address, prefix length and interface."""

    address: str
    prefix: int
    interface: str

    @property
    def cidr(self) -> str:
        """The address as ip(8) takes it."""
        return f"{self.address}/{self.prefix}"


# -- decisions -------------------------------------------------------------------------------------------------------


def held(addresses: t.Iterable[HostAddress], address: str) -> HostAddress | None:
    """Return the address as this host has it, or None."""
    return next((known for known in addresses if known.address == address), None)


def placement(
    addresses: t.Sequence[HostAddress], address: str, *, interface: str | None, prefix: int | None
) -> Placement:
    """Decide on which interface, and with which prefix, an address that this host does not have belongs.

    Args:
        addresses: The addresses of this host.
        address: The IPv4 address to give to it.
        interface: The one that the operator wants, or None for the one in whose subnet the address lies.
        prefix: The length that the operator wants, or None for that of the subnet.

    Raises:
        Refused: There is no such interface, or more than one, or no host can have this address.
    """
    attempted = f"give this host the address {address} for a while"
    wanted = _usable(address, attempted)
    subnets = [
        (known.interface, ipaddress.ip_interface(f"{known.address}/{known.prefix}").network)
        for known in addresses
        if not known.loopback and known.interface not in ENGINE_INTERFACES and ":" not in known.address
    ]
    homes = sorted(
        {(name, network.prefixlen) for name, network in subnets if wanted in network and interface in (None, name)}
    )
    shown = ", ".join(sorted(f"{name} {network}" for name, network in subnets)) or "none"
    if interface is not None and interface not in {known.interface for known in addresses}:
        raise Refused(
            attempted, f"it has no interface {interface} with an address; it has {shown}", "Correct interface"
        )
    names = sorted({name for name, dummy in homes})
    if interface is None and not homes:
        raise Refused(
            attempted,
            f"the address lies in no subnet of this host, which has {shown}; other hosts would not find it here",
            "Restore on a host in the subnet of the address. Where the other hosts have a route to the address through "
            "this one, give interface and prefix",
        )
    if interface is None and len(names) > 1:
        raise Refused(attempted, f"the address lies in the subnets of {', '.join(names)}", "Choose one as interface")
    if interface is not None and prefix is None and not homes:
        raise Refused(
            attempted,
            f"the address lies in no subnet of {interface}; this host has {shown}",
            "Give prefix as well, if the other hosts have a route to the address through this one",
        )
    length = homes[0][1] if prefix is None else prefix
    network = ipaddress.ip_interface(f"{address}/{length}").network
    if length < 31 and wanted in (network.network_address, network.broadcast_address):
        raise Refused(
            attempted, f"in {network} it is the address of the network or of all hosts", "Correct the address or prefix"
        )
    return Placement(address, length, interface or names[0])


def _usable(address: str, attempted: str) -> ipaddress.IPv4Address:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise Refused(attempted, "it is not an IP address", "Correct the address") from None
    if not isinstance(parsed, ipaddress.IPv4Address):
        raise Refused(
            attempted,
            "whether another host has an IPv6 address is not proven here",
            f"Give it the address by hand: ip address add {address}/PREFIX dev INTERFACE preferred_lft 0",
        )
    if parsed.is_loopback or parsed.is_multicast or parsed.is_unspecified or parsed.is_reserved:
        raise Refused(attempted, "no host can have this address in a network", "Correct the address")
    return parsed


def removal_decision(managers: t.Sequence[tuple[str, str]], address: str, *, force: bool) -> None:
    """Decide whether a lent address may be taken from this host.

    Args:
        managers: Node ID and raft address of every manager in the state directory of this host.
        address: The address.
        force: The operator wants it in any case.

    Raises:
        Refused: The swarm of this host still has a manager at this address.
    """
    users = [node_id for node_id, raft_address in managers if host_of(raft_address) == address]
    if not users or force:
        return
    others = len(managers) - len(users)
    loss = "the quorum may be lost without it" if others else "workers would not find this manager without it"
    raise Refused(
        f"take the address {address} from this host",
        f"the swarm on this host still has the manager {users[0]} at it, and {loss}",
        "Let that manager leave and join again at an address of this host first, or set force",
        node_id=users[0],
    )


def keeper_script(place: Placement, *, managers_file: Path, lease: int = LEASE) -> str:
    """The shell commands of the timer: renew the address while the swarm on this disk names it, else take it away."""
    named = shlex.quote(f'"{place.address}:')
    where = f"{shlex.quote(place.cidr)} dev {shlex.quote(place.interface)}"
    return (
        f"if grep -qF {named} {shlex.quote(str(managers_file))}; "
        f"then ip address replace {where} valid_lft {lease} preferred_lft 0; "
        f"else ip address delete {where}; systemctl stop --no-block {KEEPER}.timer; fi"
    )


# -- does another host have it? --------------------------------------------------------------------------------------


def arp_frame(*, mac: bytes, sender: str, target: str) -> bytes:
    """An ARP request for an address, to all hosts of the link (RFC 826, RFC 5227)."""
    return struct.pack(
        "!6s6sHHHBBH6s4s6s4s",
        b"\xff" * 6,
        mac,
        _ARP,
        1,  # Ethernet
        0x0800,  # IPv4
        6,
        4,
        1,  # request
        mac,
        socket.inet_aton(sender),
        bytes(6),
        socket.inet_aton(target),
    )


def arp_owner(frame: bytes, address: str, *, own: bytes) -> str | None:
    """The MAC address of the host that claims an address by this ARP frame, or None when it claims another one."""
    if len(frame) < 42:
        return None
    kind, hardware, protocol = struct.unpack("!HHH", frame[12:18])
    mac, sender = frame[22:28], frame[28:32]
    if (kind, hardware, protocol) != (_ARP, 1, 0x0800) or mac == own or sender != socket.inet_aton(address):
        return None
    return ":".join(f"{octet:02x}" for octet in mac)


def ask_link(place: Placement, *, tries: int = 3, timeout: float = 0.7) -> str | None:
    """Ask all hosts on the link of an interface who has an address, as RFC 5227 says. Takes 2 s when nobody answers.

    Returns: the MAC address of the host that has it, or None. A packet filter does not hide a host from this.
    """
    with _raw_socket(place.interface) as link:
        own = link.getsockname()[4]
        request = arp_frame(mac=own, sender="0.0.0.0", target=place.address)
        for dummy in range(tries):
            link.send(request)
            end = time.monotonic() + timeout
            while (left := end - time.monotonic()) > 0:
                link.settimeout(left)
                try:
                    owner = arp_owner(link.recv(128), place.address, own=own)
                except socket.timeout:
                    break
                if owner:
                    return owner
    return None


def announce(place: Placement) -> None:
    """Tell all hosts on the link that this one has the address now, so that they forget the MAC address of another."""
    with contextlib.suppress(OSError), _raw_socket(place.interface) as link:
        for dummy in range(2):
            link.send(arp_frame(mac=link.getsockname()[4], sender=place.address, target=place.address))


def _raw_socket(interface: str) -> socket.socket:
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP))
    try:
        link.bind((interface, _ARP))
    except BaseException:
        link.close()
        raise
    return link


def who_answers(run: Runner, place: Placement) -> str | None:
    """Ask in every way whether another host has this address.

    Returns: what answered, in words, or None.
    """
    try:
        mac = ask_link(place)
    except OSError as error:
        raise SwarmError(
            f"ask on {place.interface} which host has the address {place.address}",
            error.strerror or str(error),
            "See that the interface is up, and run the task with become",
        ) from error
    if mac:
        return f"a host on {place.interface} with the MAC address {mac}"
    peer = probe(place.address, cluster_id="", timeout=2.0)
    if peer.state != "silent":
        return f"port 2377 there ({peer.detail})"
    if shutil.which("ping") and run(["ping", "-n", "-c", "1", "-W", "1", place.address])[0] == 0:
        return "a host that can be pinged"
    return None


# -- acting ----------------------------------------------------------------------------------------------------------


class TemporaryAddress:
    """An address that this host is lent.

    Args:
        run: Runs a command and returns (rc, stdout, stderr). Never through a shell.
        state_directory: The swarm state directory of this host's engine.
        systemd: Whether systemd is PID 1. Found by itself when None.
    """

    def __init__(self, run: Runner, *, state_directory: Path, systemd: bool | None = None) -> None:
        self._run = run
        self._managers_file = state_directory / KNOWN_MANAGERS
        self.systemd = os.path.isdir("/run/systemd/system") if systemd is None else systemd

    def kept(self) -> bool:
        """Whether the timer runs."""
        return self.systemd and self._run(["systemctl", "is-active", f"{KEEPER}.timer"])[0] == 0

    def require_free(self, place: Placement) -> None:
        """Refuse an address that another host has.

        Raises:
            Refused: With what answered.
        """
        answer = who_answers(self._run, place)
        if answer:
            raise Refused(
                f"give this host the address {place.address} for a while",
                f"another host has it: {answer} answers",
                "Shut that host down, or take the address from it. If a router answers for every address, give this "
                "host the address by the means of its network",
            )

    def give(self, place: Placement, *, hold: int) -> None:
        """Give this host the address; the timer first, so that it cannot be there without.

        Args:
            place: Where.
            hold: Seconds until the timer looks for the first time.

        Raises:
            Refused: The host keeps another such address.
            SwarmError: The timer or the address could not be set.
        """
        attempted = f"give this host the address {place.address} for a while"
        if self.systemd:
            self._keep(place, hold=hold, attempted=attempted)
        lifetime = ["valid_lft", str(hold + LEASE), "preferred_lft", "0"]
        try:
            self._command(["ip", "address", "replace", place.cidr, "dev", place.interface, *lifetime], attempted)
        except SwarmError:
            self._stop_keeper()
            raise
        announce(place)

    def _keep(self, place: Placement, *, hold: int, attempted: str) -> None:
        self._run(["systemctl", "reset-failed", f"{KEEPER}.service", f"{KEEPER}.timer"])
        script = keeper_script(place, managers_file=self._managers_file)
        rc, out, err = self._run(
            [
                "systemd-run",
                f"--unit={KEEPER}",
                f"--on-active={hold}",
                f"--on-unit-active={INTERVAL}",
                "--timer-property=AccuracySec=1s",
                f"--description=Keeps the address {place.address} while a manager of quorate.swarm needs it",
                "/bin/sh",
                "-c",
                script.replace("$", "$$"),  # systemd expands variables in arguments (systemd.service(5))
            ]
        )
        text = (err or out).strip()
        if rc != 0 and ("already" in text or "exists" in text):
            raise Refused(
                attempted,
                f"this host keeps another address like this ({KEEPER}.timer is loaded)",
                f"See systemctl cat {KEEPER}.service, and let it be given back first (state absent)",
            )
        if rc != 0:
            raise SwarmError(attempted, f"systemd-run ended with {rc}: {text}", "See journalctl")

    def take(self, place: Placement) -> None:
        """Take a lent address from this host. Raises SwarmError when it cannot be taken."""
        self._stop_keeper()
        self._command(
            ["ip", "address", "delete", place.cidr, "dev", place.interface],
            f"take the address {place.address} from this host",
        )

    def _stop_keeper(self) -> None:
        if self.systemd:
            self._run(["systemctl", "stop", f"{KEEPER}.timer", f"{KEEPER}.service"])

    def _command(self, argv: list[str], attempted: str) -> None:
        rc, out, err = self._run(argv)
        if rc != 0:
            raise SwarmError(attempted, f"{shlex.join(argv)} ended with {rc}: {(err or out).strip()}")


class Loan:
    """The address that an operation needs on this host, borrowed when the host does not have it.

    Args:
        lent: What gives it.
        addresses: The addresses of this host.
        interface: The interface that the operator wants, or None.
        prefix: The prefix length that the operator wants, or None.
        hold: Seconds for which the host keeps it in any case.
    """

    def __init__(
        self,
        lent: TemporaryAddress,
        addresses: t.Sequence[HostAddress],
        *,
        interface: str | None,
        prefix: int | None,
        hold: int,
    ) -> None:
        self._lent = lent
        self._addresses = addresses
        self._interface = interface
        self._prefix = prefix
        self._hold = hold
        self.place: Placement | None = None

    def prepare(self, address: str) -> None:
        """See that the address may be given to this host; nothing to see when the host has it.

        Raises:
            Refused: Another host has it, or it belongs nowhere on this one.
        """
        if held(self._addresses, address) is None:
            place = placement(self._addresses, address, interface=self._interface, prefix=self._prefix)
            self._lent.require_free(place)
            self.place = place

    @contextlib.contextmanager
    def given(self) -> t.Iterator[None]:
        """Give the address to this host, and take it back when what follows fails."""
        if self.place is None:
            yield
            return
        self._lent.give(self.place, hold=self._hold)
        try:
            yield
        except BaseException:
            self._lent.take(self.place)
            raise
