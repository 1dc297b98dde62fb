# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows the network of a lab: one switch, a cable to every host, and how to cut them.

The switch is a bridge in a network namespace of its own, so that no packet filter of the lab machine touches what
the hosts say to each other. Its uplink gives the lab machine the first address of the subnet; the hosts have no
route beyond the subnet.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path

from .process import execute

# Namespace and links of the switch; no host can be called so.
RESERVED_NAMES = ("br0", "lo", "switch", "uplink")
NAMESPACES = Path("/run/netns")
# Belongs to no host: what is sent there is lost without a word, as on a broken line.
NOWHERE = "02:00:00:00:00:00"


class Network:
    """The network of the lab with this *prefix* and *subnet* (IPv4, CIDR)."""

    def __init__(self, prefix: str, subnet: str) -> None:
        self.prefix = prefix
        self.subnet = ipaddress.IPv4Network(subnet)
        self.gateway = str(next(self.subnet.hosts()))
        self.switch = f"{prefix}-switch"
        self.uplink = f"{prefix}-up"

    def namespace(self, host: str) -> str:
        """Return the name of the network namespace of *host*."""
        return f"{self.prefix}-{host}"

    def addresses(self) -> list[str]:
        """Return the addresses that hosts may have, in order, beginning at the eleventh."""
        return [str(address) for address in self.subnet.hosts()][10:]

    def can_have(self, address: str) -> bool:
        """Tell whether a host may have *address*: in the subnet, and neither its ends nor the lab machine's."""
        reserved = (self.gateway, str(self.subnet.network_address), str(self.subnet.broadcast_address))
        return ipaddress.IPv4Address(address) in self.subnet and address not in reserved

    def create(self) -> None:
        """Make the switch and its uplink; does nothing when they are there."""
        if not (NAMESPACES / self.switch).exists():
            _batch(f"netns add {self.switch}")
        if not _link_exists("br0", self.switch):
            _batch(
                "link add br0 type bridge mcast_snooping 0", "link set br0 up", "link set lo up", namespace=self.switch
            )
        if not _link_exists(self.uplink):
            _batch(
                f"link add {self.uplink} type veth peer name uplink netns {self.switch}",
                f"address add {self.gateway}/{self.subnet.prefixlen} dev {self.uplink}",
                f"link set {self.uplink} up",
            )
            _batch("link set uplink master br0", "link set uplink up", namespace=self.switch)

    def attach(self, host: str, address: str) -> None:
        """Make the namespace of *host* and plug it in; does nothing when that is so.

        The MAC address follows from *address*: a host that takes over the address of another is found at once.
        """
        namespace = self.namespace(host)
        if not (NAMESPACES / namespace).exists():
            _batch(f"netns add {namespace}")
        if _link_exists(host, self.switch):
            return
        mac = ":".join(["02", "51", *(f"{octet:02x}" for octet in ipaddress.IPv4Address(address).packed)])
        _batch(f"link add {host} type veth peer name eth0 address {mac} netns {namespace}", namespace=self.switch)
        _batch(
            "link set lo up",
            f"address add {address}/{self.subnet.prefixlen} dev eth0",
            "link set eth0 up",
            namespace=namespace,
        )
        _batch(f"link set {host} master br0", f"link set {host} up", namespace=self.switch)

    def detach(self, host: str) -> None:
        """Unplug *host* and remove its namespace."""
        if _link_exists(host, self.switch):
            _batch(f"link delete {host}", namespace=self.switch)
        if (NAMESPACES / self.namespace(host)).exists():
            _batch(f"netns delete {self.namespace(host)}")

    def set_cable(self, host: str, plugged: bool) -> None:
        """Plug the cable of *host* in or out; out, the host sees no carrier and nobody reaches it."""
        _batch(f"link set {host} {'up' if plugged else 'down'}", namespace=self.switch)

    def set_power(self, host: str, on: bool) -> None:
        """Let the network card of *host* work or not; off, nobody gets an answer, whatever the cable and partitions."""
        _batch(f"link set {host} {'master br0' if on else 'nomaster'}", namespace=self.switch)

    def is_plugged(self, host: str) -> bool:
        """Tell whether the cable of *host* is plugged in at the switch."""
        shown = execute(["ip", "-n", self.switch, "-o", "link", "show", "dev", host], check=False).stdout
        return bool(re.search(r"<[^>]*\bUP\b", shown))

    def lose(self, host: str, peers: Iterable[str]) -> None:
        """Let everything that *host* sends to the addresses *peers* get lost without an answer."""
        _batch(
            *(f"neighbour replace {peer} lladdr {NOWHERE} nud permanent dev eth0" for peer in peers),
            namespace=self.namespace(host),
        )

    def find(self, host: str, peers: Iterable[str] | None = None) -> None:
        """Undo `lose` for *peers*, or for all."""
        namespace = self.namespace(host)
        shown = execute(["ip", "-n", namespace, "neighbour", "show", "dev", "eth0", "nud", "permanent"]).stdout
        lost = [line.split()[0] for line in shown.splitlines() if NOWHERE in line]
        _batch(
            *(f"neighbour delete {peer} dev eth0" for peer in lost if peers is None or peer in peers),
            namespace=namespace,
        )

    def remove(self) -> None:
        """Remove the switch, the uplink and every namespace of the lab, wherever they are."""
        for namespace in self.namespaces():
            _batch(f"netns delete {namespace}")
        if _link_exists(self.uplink):
            # its other end goes with the namespace of the switch, a moment after the name
            execute(["ip", "link", "delete", self.uplink], check=False)

    def leftovers(self) -> list[str]:
        """Return the namespaces and links of the lab that exist, in words."""
        links = [f"link {self.uplink}"] if _link_exists(self.uplink) else []
        return links + [f"namespace {name}" for name in self.namespaces()]

    def namespaces(self) -> list[str]:
        """Return the names of all network namespaces of the lab that exist."""
        return sorted(path.name for path in NAMESPACES.glob(f"{self.prefix}-*"))


def _link_exists(name: str, namespace: str = "") -> bool:
    option = ["-n", namespace] if namespace else []
    return execute(["ip", *option, "link", "show", "dev", name], check=False).returncode == 0


def _batch(*commands: str, namespace: str = "") -> None:
    """Run ip(8) *commands* in one process, in *namespace* when given. Raises LabError at the first that fails."""
    if commands:
        option = ["-n", namespace] if namespace else []
        execute(["ip", *option, "-batch", "-"], input="\n".join(commands) + "\n")
