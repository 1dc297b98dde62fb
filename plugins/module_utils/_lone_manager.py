# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how an engine that has loaded a copy of a state directory comes to lead its swarm alone, and whether that is the
swarm it was.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import _certificate, _node_key
from ansible_collections.quorate.swarm.plugins.module_utils._critical import Steps
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    EngineError,
    Locked,
    NotAManager,
    QuorumLost,
    Refused,
    TimedOut,
    Unreachable,
    Unsettled,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node, host_of, inventory_difference
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import StateFacts
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NODE_KEY
from ansible_collections.quorate.swarm.plugins.module_utils._survey import DECISIVE
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

#: What a manager may answer while its engine loads the state, or before it leads.
_TRANSIENT = (Unsettled, QuorumLost, Unreachable, NotAManager, Locked)

Inventory = t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]


def other_managers(facts: StateFacts) -> list[str]:
    """Raft addresses of the managers that a state directory knows, but for its own."""
    return [address for node_id, address in facts.known_managers if node_id != facts.node_id]


def comparison(
    *, identity: t.Iterable[tuple[str, str | None, str | None]], before: Inventory, now: Inventory
) -> tuple[list[str], dict[str, t.Any]]:
    """Compare what came up with what was there before.

    Args:
        identity: What must be equal: its name, the value before, the value now.
        before: Inventory before; empty when it is not known.
        now: Inventory now.

    Returns: the problems that make it a failure, and the difference of the inventories. What is there beyond what was
    is no problem: it was created while the backup was made.
    """
    problems = []
    for what, expected, seen in identity:
        if expected != seen:
            problems.append(f"the {what} is {seen}, and was {expected}")
    difference = inventory_difference(before, now) if before else {}
    for kind, change in difference.items():
        for found, text in (("missing", "are missing"), ("older", "are older than they were")):
            if change[found]:
                names = ", ".join(str(entry.get("name") or entry.get("hostname")) for entry in change[found])
                problems.append(f"{len(change[found])} {kind} {text}: {names}")
    return problems, difference


@dataclasses.dataclass(frozen=True)
class Copy:
    """A copy of a state directory that is complete.

    Attributes:
        facts: What is in it.
        inventory: What its swarm consists of; empty when that is not known.
    """

    facts: StateFacts
    inventory: Inventory


class LoneManager:
    """An engine that shall lead a swarm alone.

    Args:
        engine: The engine.
        directory: Its state directory.
        addresses: What it takes for addresses of its host.
        unlock_key: What opens the copy when it is sealed; else empty.
        wait_timeout: Seconds to wait until the engine has loaded the state, and again until it leads.
        steps: Told the steps that are taken.
        alive: Called before each look at the engine; raises when it cannot answer any more.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        directory: Path,
        addresses: t.Collection[str],
        unlock_key: str,
        wait_timeout: float,
        steps: Steps,
        alive: t.Callable[[], None] = lambda: None,
    ) -> None:
        self.engine = engine
        self.directory = directory
        self.addresses = addresses
        self.wait_timeout = wait_timeout
        self.steps = steps
        self.unlock_key = unlock_key
        self._alive = alive

    def key_bytes(self) -> bytes | None:
        """The unlock key, or None without one. Raises WrongKey when it is malformed."""
        return _node_key.parse_unlock_key(self.unlock_key) if self.unlock_key else None

    def open_key(self, copy: Path, facts: StateFacts) -> None:
        """Open the sealed key of the copy before it is started, because Docker cannot force a new cluster with a sealed one (B4.11)."""
        key = self.key_bytes()
        if not facts.sealed or key is None:
            return
        path = copy / NODE_KEY
        opened = _node_key.open_node_key(_node_key.parse_node_key(path.read_bytes()), key)
        path.chmod(0o600)
        path.write_bytes(opened)

    def wait_until_up(self) -> bool:
        """Wait until the engine, which was just started, answers. Returns whether it is in no swarm, and only waits to
        be told to force a new cluster."""
        return wait_for(
            self._is_outside,
            lambda dummy: True,  # any answer will do
            attempted="reach the engine after its start",
            timeout=self.wait_timeout,
            tolerate=(Unreachable, Unsettled),
        )

    def _is_outside(self) -> bool:
        self._alive()
        return self.engine.local_state().state == "inactive"

    def wait_until_loaded(self, *, remedy: str = "") -> None:
        """Wait until the engine, which was just started, has loaded the state."""
        wait_for(
            self._has_control,
            bool,
            attempted="see the state loaded by the engine",
            timeout=self.wait_timeout,
            tolerate=_TRANSIENT,
            remedy=remedy,
        )

    def take_over(self, before: Copy) -> dict[str, t.Any]:
        """Force a new cluster, wait for the leader, and compare. The engine has loaded the state, or is in no swarm.

        Returns: C(cluster_id), C(node_id), C(address), C(autolock), C(inventory) and C(difference).

        Raises:
            SwarmError: It does not lead, or its swarm is not the one that it was.
        """
        facts = before.facts
        with self.steps.step("force a new cluster"):
            if not self._leads_alone(facts):
                self.engine.force_new_cluster(
                    autolock=bool(facts.autolock),
                    listen_address=facts.docker_state.get("ListenAddr") or "0.0.0.0:2377",
                    advertise_address=facts.docker_state.get("AdvertiseAddr") or facts.address or "",
                    data_path_address=facts.docker_state.get("DataPathAddr") or "",
                )
        with self.steps.step("wait for the leader"):
            self.wait_until_leading(facts.node_id)
        with self.steps.step("compare"):
            return self._compare(before)

    def wait_until_leading(self, node_id: str | None) -> None:
        wait_for(
            lambda: self._leads(node_id),
            bool,
            attempted="see this manager lead its swarm",
            timeout=self.wait_timeout,
            tolerate=_TRANSIENT,
        )

    def _has_control(self) -> bool:
        self._alive()
        return self.engine.local_state().control_available

    def members(self, *, timeout: float) -> list[Node]:
        """The managers of its swarm, if it has a leader within so many seconds; else none."""
        try:
            return wait_for(
                lambda: [node for node in self.engine.nodes() if node.manager is not None],
                bool,
                attempted="see whether there is a leader already",
                timeout=timeout,
                tolerate=_TRANSIENT,
            )
        except TimedOut:
            return []

    def _leads_alone(self, facts: StateFacts) -> bool:
        """Whether it leads its swarm without being forced to, as the only manager of a swarm does.

        Where it was autolocked, it has sealed its key again by then, and no engine can force a new cluster with a sealed
        key (lab fact B4.10).

        Raises:
            Refused: Another manager is in its swarm, and there is a leader, so a quorum lives.
        """
        managers = self.members(timeout=0 if other_managers(facts) else DECISIVE)
        others = [node.name for node in managers if node.id != facts.node_id]
        if others:
            raise Refused(
                "force a new cluster on this manager",
                f"it has found a living quorum of its swarm, with {', '.join(others)}",
                "Leave a swarm alone that lives: rejoin the broken manager",
            )
        return bool(managers)

    def _leads(self, node_id: str | None) -> bool:
        self._alive()
        me = next((node for node in self.engine.nodes() if node.id == node_id), None)
        return me is not None and me.state == "ready" and me.manager is not None and me.manager.leader

    def _compare(self, before: Copy) -> dict[str, t.Any]:
        facts = before.facts
        cluster = self.engine.cluster()
        inventory = self.engine.inventory().as_dict()
        manager = next((node for node in self.engine.nodes() if node.id == facts.node_id), None)
        problems, difference = comparison(
            identity=(
                ("cluster ID", facts.cluster_id, cluster.id),
                ("root CA digest", facts.root_ca_sha256, _certificate.digest(cluster.root_ca.encode())),
                ("node ID", facts.node_id, manager.id if manager else None),
            ),
            before=before.inventory,
            now=inventory,
        )
        raft_address = host_of(manager.manager.address) if manager and manager.manager else ""
        if raft_address not in self.addresses:
            problems.append(f"its raft address is {raft_address}, which is no address of this host")
        if cluster.autolock != bool(facts.autolock):
            problems.append(f"autolock is {'on' if cluster.autolock else 'off'} afterwards")
        if facts.autolock:
            problems.extend(self.key_problems())
        if problems:
            raise EngineError("find the swarm as it was", "; ".join(problems), "", difference=difference)
        return {
            "cluster_id": cluster.id,
            "node_id": facts.node_id,
            "address": raft_address,
            "autolock": cluster.autolock,
            "inventory": inventory,
            "difference": difference,
        }

    def key_problems(self) -> list[str]:
        """See that the engine sealed the key again, and that the same unlock key still opens it."""
        key = self.key_bytes()
        path = self.directory / NODE_KEY
        try:
            wait_for(
                lambda: _node_key.parse_node_key(path.read_bytes()),
                lambda node_key: node_key.sealed,
                attempted="see the key sealed again",
                timeout=15,
            )
        except TimedOut:
            return ["the engine did not seal its key again"]
        if key is not None and not _node_key.opens(_node_key.parse_node_key(path.read_bytes()), key):
            return ["the unlock key does not open this manager any more"]
        return []
