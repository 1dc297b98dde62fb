# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to find out whether another manager of a swarm is alive, from outside, by its cluster port.

A manager listens on its raft address with TLS, and its certificate names node, role and cluster (raft-store fact 5).
So a connection tells a live manager of this swarm from a host that is now in another swarm.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import socket
import ssl
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils import _certificate
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive


@dataclasses.dataclass(frozen=True)
class Peer:
    """What answered, or did not, at the address of a manager.

    Attributes:
        address: ip:port.
        state: C(closed) (the host refuses the connection: no engine of a swarm listens), C(silent) (no answer at all:
            the host is down or cut off, nobody can tell), C(alive) (a manager of the swarm in question), C(other)
            (a manager of another swarm), C(unclear) (something listens and does not say what it is).
        detail: The cause in words.
    """

    address: str
    state: str
    detail: str


def split_address(address: str) -> tuple[str, int]:
    """Split ip:port and [ip6]:port; the port is 2377 when there is none."""
    if address.startswith("["):
        host, dummy, rest = address[1:].partition("]")
        return host, int(rest.lstrip(":") or 2377)
    if address.count(":") == 1:
        host, dummy, port = address.partition(":")
        return host, int(port)
    return address, 2377


def probe(address: str, *, cluster_id: str, timeout: float = 3.0) -> Peer:
    """Ask one address.

    Args:
        address: ip:port of a manager's raft address.
        cluster_id: The swarm in question.
        timeout: Seconds for the connection and for the TLS handshake each.

    Raises:
        MissingLibrary: cryptography is not installed, so that no certificate can be read.
    """
    try:
        with socket.create_connection(split_address(address), timeout=timeout) as plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            try:
                with context.wrap_socket(plain) as secured:
                    der = secured.getpeercert(binary_form=True)
            except (ssl.SSLError, OSError) as error:
                return Peer(address, "unclear", f"something listens there, but its TLS fails ({error})")
    except ConnectionRefusedError:
        return Peer(address, "closed", "the host is up and no manager listens")
    except OSError as error:
        return Peer(address, "silent", f"no answer ({error})")
    if not der:
        return Peer(address, "unclear", "something listens there without a certificate")
    try:
        certificate = _certificate.describe(ssl.DER_cert_to_PEM_cert(der).encode())
    except BadArchive as error:
        return Peer(address, "unclear", f"its certificate is not one of a swarm ({error.cause})")
    if certificate.cluster_id == cluster_id:
        return Peer(address, "alive", f"manager {certificate.node_id} of this swarm answers")
    return Peer(address, "other", f"it is a manager of swarm {certificate.cluster_id}")


def probe_all(addresses: t.Iterable[str], *, cluster_id: str, timeout: float = 3.0) -> list[Peer]:
    """Ask all addresses at once."""
    wanted = sorted(set(addresses))
    if not wanted:
        return []
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(16, len(wanted))) as pool:
        return list(pool.map(lambda address: probe(address, cluster_id=cluster_id, timeout=timeout), wanted))
