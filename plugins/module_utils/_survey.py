# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to find out in which state this engine and its swarm are, whatever that state is.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._engine import QUICK, Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    Locked,
    NotAManager,
    QuorumLost,
    SwarmError,
    TimedOut,
    Unreachable,
    Unsettled,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import LocalState, Node
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import (
    QuorumHealth,
    quorum_health,
    settling_reasons,
)
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

#: Seconds after which a lost quorum has shown itself: calls begun in the first 26 s may hang (lab fact B5.1).
DECISIVE = 30.0


@dataclasses.dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        state: One word of _model.STATES.
        local: What the engine says of itself; None when it is down.
        nodes: The node list; empty where nobody can tell.
        health: The quorum; None where nobody can tell.
        error: Why state is not C(manager), as the error that an operation needing a manager would raise.
    """

    state: str
    local: LocalState | None = None
    nodes: tuple[Node, ...] = ()
    health: QuorumHealth | None = None
    error: SwarmError | None = None

    @property
    def this_node(self) -> Node | None:
        """This engine's own entry in the node list."""
        return next((node for node in self.nodes if self.local and node.id == self.local.node_id), None)

    def require_manager(self) -> None:
        """Raise what keeps this engine from being a manager with a leader."""
        if self.error is not None:
            raise self.error


def survey(engine: Engine, *, timeout: float = DECISIVE, settled: bool = False) -> Survey:
    """Find the state, waiting out what passes by itself, and never take a lost quorum for "not a manager".

    An election looks like a lost quorum: the engine hangs, or says that there is no leader, after a power cut of all
    managers for 25 s and more although two of three are up again. So no leader is believed only when none has shown
    itself for the whole time (lab facts B5.1, B5.3).

    Args:
        engine: The engine of this host.
        timeout: Seconds to wait for a state that lasts. 30 are enough to tell a lost quorum from an engine that hangs.
        settled: Whether to wait, in the same time, until no node is in state unknown (lab fact B1.8).

    Raises:
        SwarmError: only for what says nothing about the swarm: a missing library, no permission.
    """
    attempted = "find out the state of this engine's swarm"
    end = time.monotonic() + timeout
    last: list[Survey] = []

    def look() -> Survey:
        # The last look begins in the last second: the later, the surer it is that an engine no longer hangs.
        found = _look(engine, timeout=max(1.0, min(QUICK, end - time.monotonic() - 1)))
        last[:] = [found]
        return found

    def lasts(found: Survey) -> bool:
        return found.state not in ("pending", "quorum_lost", "unsettled") and not (
            settled and settling_reasons(found.nodes)
        )

    try:
        return wait_for(
            look,
            lasts,
            attempted=attempted,
            timeout=timeout,
            tolerate=(Unsettled,),
        )
    except TimedOut as error:
        if last:
            return last[0]
        return Survey(
            "unsettled",
            error=Unsettled(attempted, error.cause, "Run again; if it stays, restart the engine of this host"),
        )


def _look(engine: Engine, *, timeout: float) -> Survey:
    """Find the state as it is at this moment. Raises Unsettled when the engine hangs."""
    try:
        local = engine.local_state(timeout=timeout)
    except Unreachable as error:
        return Survey("daemon_down", error=error)
    if local.state != "manager":
        return Survey(local.state, local=local, error=_why_not(local))
    try:
        nodes = tuple(engine.nodes(timeout=timeout))
    except (QuorumLost, Locked, NotAManager) as error:
        return Survey(_state_of(error), local=local, error=error)
    health = quorum_health(nodes)
    if health.leader is None or health.reachable < health.majority:
        # The leader of a quorum that was lost seconds ago still answers every read (lab fact B5.1).
        return Survey("quorum_lost", local, nodes, health, _quorum_lost(health))
    return Survey("manager", local, nodes, health)


def _state_of(error: SwarmError) -> str:
    return {"not_a_manager": "worker"}.get(error.kind, error.kind)


def _quorum_lost(health: QuorumHealth) -> QuorumLost:
    return QuorumLost(
        "use this manager",
        f"the quorum is lost: {health.reachable} of {health.managers} managers are reachable, "
        f"{health.majority} are needed",
        "Bring the missing managers back first; force a new cluster only when they are lost for good",
    )


def _why_not(local: LocalState) -> SwarmError:
    attempted = f"use the engine of {local.hostname} as a manager"
    if local.state == "locked":
        return Locked(attempted, "it is locked (autolock)", "Unlock it with its unlock key, then run again")
    if local.state == "quorum_lost":
        return QuorumLost(
            attempted,
            "the swarm has no leader: fewer managers than the majority can reach one another",
            "Bring the missing managers back first; force a new cluster only when they are lost for good",
        )
    if local.state == "unsettled":
        return Unsettled(
            attempted,
            f"the swarm did not decide in time ({local.error})",
            "An election may be running: wait half a minute and run again",
        )
    if local.state == "pending":
        words = f" ({local.error})" if local.error else ""
        return Unsettled(attempted, f"it is still joining its swarm{words}", "Wait, then run again")
    if local.state == "error":
        return NotAManager(attempted, f"its swarm is in state error: {local.error}", "See journalctl -u docker")
    cause = "it is in no swarm" if local.state == "inactive" else "it is a worker"
    return NotAManager(attempted, cause, "Run this on a manager of the swarm")


def wait_until_settled(engine: Engine, *, timeout: float, allow_unreachable: bool = True) -> tuple[Node, ...]:
    """Wait until there is a leader, a reachable majority, and no node in state unknown (lab fact B1.8).

    Args:
        engine: A manager.
        timeout: Seconds.
        allow_unreachable: Whether unreachable managers beyond the majority are accepted.

    Raises:
        Unsettled: Not within the time; the cause holds every reason.
    """

    def unsettled(nodes: t.Sequence[Node]) -> list[str]:
        health = quorum_health(nodes)
        if not allow_unreachable:
            return [reason.message for reason in health.reasons]
        reasons = [reason.message for reason in settling_reasons(nodes)]
        if health.leader is None:
            reasons.append("there is no leader")
        if health.reachable < health.majority:
            reasons.append(f"{health.reachable} of {health.managers} managers are reachable")
        return reasons

    seen: list[Node] = []

    def probe() -> list[str]:
        seen[:] = engine.nodes()
        return unsettled(seen)

    try:
        wait_for(
            probe,
            lambda reasons: not reasons,
            attempted="see the swarm settled",
            timeout=timeout,
            tolerate=(Unsettled, QuorumLost),
        )
    except TimedOut as error:
        causes = unsettled(seen) if seen else [error.cause]
        raise Unsettled(
            "see the swarm settled",
            f"not within {timeout:g} s: {'; '.join(causes)}",
            "Start the engines of these nodes or remove the nodes, or give settle_timeout more seconds",
        ) from error
    return tuple(seen)
