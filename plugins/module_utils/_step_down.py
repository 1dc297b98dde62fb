# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to make a leader hand its leadership over.

Swarm has no command for it. Stopping the leader blocks the API of all managers for 10 to 20 s; demoting it blocks
nobody, and it can be promoted again at once (lab facts B1.7, B1.9).

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import time

from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, Unsettled
from ansible_collections.quorate.swarm.plugins.module_utils._membership import (
    leader_to_replace,
    membership,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node
from ansible_collections.quorate.swarm.plugins.module_utils._survey import wait_until_settled
from ansible_collections.quorate.swarm.plugins.module_utils._transition import wait_for_role
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

#: Seconds for which a demoted leader must have been a ready worker before it is promoted again.
_SETTLED = 3.0


def hand_over(engine: Engine, node_id: str, *, timeout: float) -> None:
    """Make a node that leads the swarm a follower; nothing happens when it is one already.

    It is demoted, and promoted again when another manager leads, it has become a worker, and it is ready. When
    something fails in between it is promoted again before the error is raised.

    Args:
        engine: The engine of another manager than the node.
        node_id: The node.
        timeout: Seconds for each of the waits: settled before, demoted, promoted, settled after.

    Raises:
        Refused: The quorum would not hold without the node, or the engine is the node's own.
        Unsettled: The swarm did not settle before or afterwards.
        TimedOut: The node did not follow.
    """
    nodes = wait_until_settled(engine, timeout=timeout)
    node = leader_to_replace(nodes, node_id, this_node_id=engine.local_state().node_id)
    if node is None:
        return
    try:
        engine.set_role(node.id, "worker")
        _wait_until_replaced(engine, node, timeout=timeout)
        engine.set_role(node.id, "manager")
        wait_for_role(engine, node, "manager", timeout=timeout)
    except SwarmError as error:
        raise _promoted_again(engine, node, error, timeout=timeout) from error
    wait_until_settled(engine, timeout=timeout)


def _wait_until_replaced(engine: Engine, node: Node, *, timeout: float) -> None:
    """Wait until another manager leads and the node has been a ready worker for a while.

    Right after its demotion it may still show the state it had as a manager. Promoted then, while it waits for its
    certificate as a worker, it took half a minute to become a manager again (seen in 3 of 4 such cases, engines 20.10
    and 28.5); promoted some seconds later, 0.7 s.
    """
    since: list[float] = []

    def look() -> str:
        nodes = engine.nodes()
        led = any(other.manager is not None and other.manager.leader for other in nodes if other.id != node.id)
        state = next((seen.state for seen in nodes if seen.id == node.id), "unknown")
        if not (led and state == "ready" and membership(nodes, node.id) == "worker"):
            since.clear()
            return f"{membership(nodes, node.id)}, {state}, {'another leader' if led else 'no other leader'}"
        since.append(time.monotonic())
        return "ready as a worker" if since[-1] - since[0] >= _SETTLED else "a ready worker, for a moment"

    wait_for(
        look,
        lambda seen: seen == "ready as a worker",
        attempted=f"see another leader than {node.name}",
        timeout=timeout,
        tolerate=(SwarmError,),
    )


def _promoted_again(engine: Engine, node: Node, error: SwarmError, *, timeout: float) -> SwarmError:
    """Promote the node again, and return the error with a word on whether that was possible."""
    try:
        wait_for(
            lambda: engine.set_role(node.id, "manager"),
            lambda dummy: True,
            attempted=f"promote {node.name} again",
            timeout=timeout,
            tolerate=(SwarmError,),
        )
    except SwarmError as second:
        outcome = f"and it could not be promoted again: {second.cause}"
        remedy = f"Promote it as soon as the swarm has a leader: docker node promote {node.id}"
    else:
        outcome = "and it was promoted again"
        remedy = error.remedy
    return Unsettled(
        f"make {node.name} hand over its leadership",
        f"{error.cause}; {outcome}",
        remedy,
        **{**error.details, "node_id": node.id},
    )
