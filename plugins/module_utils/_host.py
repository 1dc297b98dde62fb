# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the addresses of this host, and which of them are fixed.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import json

from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Runner
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError

#: Networks of the engine itself. An address in them is one of a container.
ENGINE_INTERFACES = ("docker0", "docker_gwbridge")


@dataclasses.dataclass(frozen=True)
class HostAddress:
    """An address of an interface of this host.

    Attributes:
        address: The IP address.
        prefix: Length of its subnet's prefix.
        interface: Name of the interface; one of the loopback kind is none that another host can reach.
        kind: C(permanent), C(leased) when its lifetime is limited, C(temporary) when it is a lent one that the host
            does not choose for connections of its own (deprecated).
        loopback: Whether the interface is of the loopback kind.
    """

    address: str
    prefix: int
    interface: str
    kind: str
    loopback: bool = False


def host_addresses(run: Runner) -> list[HostAddress]:
    """Return every IP address of this host.

    An address with a limited lifetime was leased (DHCP) or formed from a router's advertisement, and the kernel flags
    it as dynamic (ip-address(8)). An address that a lease gives for ever cannot be told from a configured one.

    Args:
        run: Runs a command and returns (rc, stdout, stderr).

    Raises:
        SwarmError: C(ip) is missing, failed, or is too old to print JSON.
    """
    attempted = "read the addresses of this host"
    rc, out, err = run(["ip", "-json", "address"])
    if rc != 0:
        raise SwarmError(attempted, f"ip -json address ended with {rc}: {err.strip()}", "Install iproute2")
    try:
        links = json.loads(out)
    except ValueError as error:
        raise SwarmError(attempted, "ip -json address printed no JSON", "Install iproute2 4.13 or newer") from error
    return [
        HostAddress(
            address=info["local"],
            prefix=info.get("prefixlen", 0),
            interface=link.get("ifname", ""),
            kind=_kind(dynamic=info.get("dynamic", False), preferred=info.get("preferred_life_time", 1)),
            loopback="LOOPBACK" in link.get("flags", ()),
        )
        for link in links
        for info in link.get("addr_info") or ()
        if "local" in info
    ]


def _kind(*, dynamic: bool, preferred: int) -> str:
    if not dynamic:
        return "permanent"
    return "leased" if preferred else "temporary"


def addresses(run: Runner) -> dict[str, bool]:
    """Return every IP address of this host with whether it is fixed. Raises as host_addresses does."""
    return {known.address: known.kind == "permanent" for known in host_addresses(run)}
