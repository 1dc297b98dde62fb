# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows how a swarm is formed of running hosts, through the Engine API of each (Docker Engine API, tag Swarm)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from .errors import LabError
from .process import in_parallel, wait_until

LISTEN = "0.0.0.0:2377"


class EngineHost(Protocol):
    """What is needed of a host here."""

    name: str
    address: str

    def api(self, method: str, path: str, body: object = None, timeout: float = 25) -> tuple[int, Any]:
        """Send a request to the engine of the host."""

    @property
    def disk(self) -> Path:
        """The root directory of the host as this machine sees it."""


def _ask(host: EngineHost, method: str, path: str, body: object = None, timeout: float = 60) -> Any:
    """Send a request that must succeed and return its answer. Raises LabError with the engine's words."""
    try:
        status, answer = host.api(method, path, body, timeout)
    except OSError as error:
        raise LabError(f"{method} {path} on {host.name}: {error}") from error
    if status >= 300:
        message = answer.get("message") if isinstance(answer, dict) else answer
        raise LabError(f"{method} {path} on {host.name}: {status} {message}")
    return answer


def form(managers: Sequence[EngineHost], workers: Sequence[EngineHost], *, autolock: bool) -> str | None:
    """Make one swarm of the hosts, the first manager first, and return the unlock key with *autolock*.

    Returns when every node is ready and every manager reachable; with autolock also when every manager has sealed
    its node key. Raises LabError.
    """
    first = managers[0]
    spec = {"EncryptionConfig": {"AutoLockManagers": autolock}}
    _ask(first, "POST", "/swarm/init", {"ListenAddr": LISTEN, "AdvertiseAddr": first.address, "Spec": spec})
    tokens = _ask(first, "GET", "/swarm")["JoinTokens"]

    def join(host: EngineHost) -> None:
        body = {
            "ListenAddr": LISTEN,
            "AdvertiseAddr": host.address,
            "RemoteAddrs": [f"{first.address}:2377"],
            "JoinToken": tokens["Manager" if host in managers else "Worker"],
        }
        _ask(host, "POST", "/swarm/join", body)

    for manager in managers[1:]:  # one at a time: each changes the quorum of the next
        join(manager)
    in_parallel(join, workers)
    count = len(managers) + len(workers)
    wait_until(lambda: _is_ready(first, managers=len(managers), nodes=count), timeout=60, what="the swarm to be ready")
    if not autolock:
        return None
    wait_until(lambda: all(_is_sealed(manager) for manager in managers), timeout=30, what="the node keys to be sealed")
    return str(_ask(first, "GET", "/swarm/unlockkey")["UnlockKey"])


def unlock(host: EngineHost, key: str) -> None:
    """Unlock *host* with *key* if it is locked; returns when it is ready, for which a majority must be up."""
    if _ask(host, "GET", "/info")["Swarm"]["LocalNodeState"] == "locked":
        _ask(host, "POST", "/swarm/unlock", {"UnlockKey": key})


def _is_ready(manager: EngineHost, *, managers: int, nodes: int) -> bool:
    status, answer = manager.api("GET", "/nodes")
    if status != 200:
        return False
    reachable = [node for node in answer if node.get("ManagerStatus", {}).get("Reachability") == "reachable"]
    ready = [node for node in answer if node["Status"]["State"] == "ready"]
    return len(reachable) == managers and len(ready) == nodes


def _is_sealed(manager: EngineHost) -> bool:
    key = manager.disk / "var/lib/docker/swarm/certificates/swarm-node.key"
    return "ENCRYPTED" in key.read_text()
