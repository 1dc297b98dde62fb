# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the addresses of this host, and which of them are fixed.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import json

from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Runner
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError


def addresses(run: Runner) -> dict[str, bool]:
    """Return every IP address of this host with whether it is fixed.

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
    return {
        info["local"]: not info.get("dynamic", False)
        for link in links
        for info in link.get("addr_info") or ()
        if "local" in info
    }
