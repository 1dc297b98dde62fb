# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to change a node, or this host's membership, and to wait until the change is seen.

What may be changed, _membership.py decides.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import functools
import time
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._critical import reached
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._drain import Load, undrained
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    DaemonFailed,
    EngineError,
    QuorumLost,
    Refused,
    SwarmError,
    TimedOut,
    Unreachable,
    Unsettled,
)
from ansible_collections.quorate.swarm.plugins.module_utils._membership import changed_spec, membership
from ansible_collections.quorate.swarm.plugins.module_utils._model import LocalState, Node
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey, survey
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

#: Seconds in which the leader takes a change of role on.
_TAKEN_ON = 3.0
#: What a manager may answer while the leader changes, which a demotion can bring about.
_PASSING = (Unsettled, QuorumLost)

# -- a node, as a manager sees it ----------------------------------------------------------------------------------


def wait_for_membership(engine: Engine, node: Node, wanted: t.Container[str], *, timeout: float) -> str:
    """Wait until a node is one of the words of _membership.membership, and return that word.

    Raises:
        TimedOut: It is not; the cause says what it is instead.
    """
    return wait_for(
        lambda: membership(engine.nodes(), node.id),
        lambda seen: seen in wanted,
        attempted=f"see the change of {node.name} in the node list",
        timeout=timeout,
        tolerate=_PASSING,
        remedy=f"See journalctl -u docker on {node.hostname or 'that node'}; the managers must reach it at port 2377",
    )


def wait_for_state(engine: Engine, node: Node, wanted: t.Container[str], *, timeout: float) -> Node:
    """Wait until a node is in one of these states (C(ready), C(down) ...), and return it as it is at the end.

    After a change of leader even a ready node is unknown for some seconds (lab fact B1.8), and a node that has left is
    ready for some 15 seconds more. So this does not fail: what was seen last is returned.
    """
    last = [node]

    def look() -> str:
        last[:] = [seen for seen in engine.nodes() if seen.id == node.id] or last
        return last[0].state

    with contextlib.suppress(TimedOut):
        wait_for(
            look, lambda seen: seen in wanted, attempted=f"see {node.name} settled", timeout=timeout, tolerate=_PASSING
        )
    return last[0]


def change_node(
    engine: Engine,
    node: Node,
    *,
    role: str | None,
    availability: str | None,
    labels: t.Mapping[str, t.Any] | None,
    timeout: float,
) -> None:
    """Change a node's spec in one write, and wait until a change of role is real.

    Raises:
        TimedOut: The spec is changed, but the node did not follow in time.
    """
    reached("change the node")
    engine.update_node(
        node.id,
        lambda spec: changed_spec(spec, role=role, availability=availability, labels=labels),
        attempted=f"change {node.name}",
    )
    if role is not None:
        wait_for_role(engine, node, role, timeout=timeout)


def wait_for_role(engine: Engine, node: Node, role: str, *, timeout: float) -> None:
    """Wait until a node's part in the quorum is that of its role.

    Raises:
        TimedOut: The node did not follow in time.
    """
    reached("wait for the role")
    wait_for_membership(engine, node, ("follower", "leader") if role == "manager" else ("worker",), timeout=timeout)


def demote_anew(engine: Engine, node: Node, *, timeout: float) -> None:
    """Demote a node that is a worker by its role, and yet a member of the quorum that the managers never take out.

    One that was demoted shortly before the quorum was lost may have joined the quorum again before it learned of it. The
    managers look at a member only when its role changes (moby/swarmkit manager/role_manager.go), so it changes once more.

    Raises:
        TimedOut: The node did not follow in time.
    """
    for role, pause in (("manager", _TAKEN_ON), ("worker", 0.0)):
        engine.update_node(
            node.id,
            functools.partial(changed_spec, role=role, availability=None, labels=None),
            attempted=f"demote {node.name} anew",
        )
        time.sleep(pause)
    wait_for_role(engine, node, "worker", timeout=timeout)


def wait_until_drained(engine: Engine, load: Load, *, undo_to: str | None, timeout: float) -> None:
    """Wait until the tasks of a node that is drained have stopped, and run elsewhere if they can.

    Args:
        engine: A manager.
        load: What the node had when it was to be drained.
        undo_to: The availability to give back to the node when that does not happen; None for none.
        timeout: Seconds.

    Raises:
        TimedOut: It did not happen; the cause says which tasks of which services are missing.
    """
    attempted = f"drain {load.node.name}"
    last: list[str] = []

    def look() -> list[str]:
        last[:] = undrained(load, engine.tasks())
        return last

    reached("wait until it is drained")
    try:
        wait_for(look, lambda reasons: not reasons, attempted=attempted, timeout=timeout, tolerate=_PASSING)
    except SwarmError as error:
        cause = f"not within {timeout:g} s: {'; '.join(last)}" if isinstance(error, TimedOut) and last else error.cause
        outcome, remedy = "", "Look at docker service ps of these services, or give wait_timeout more seconds"
        if undo_to is not None:
            outcome, undone = _availability_back(engine, load.node, undo_to)
            remedy = remedy if undone else f"docker node update --availability {undo_to} {load.node.id}"
        raise TimedOut(attempted, f"{cause}{outcome}", remedy, node_id=load.node.id, reasons=last) from error


def _availability_back(engine: Engine, node: Node, availability: str) -> tuple[str, bool]:
    """Undo a drain. Tasks that have moved stay where they are."""
    try:
        change_node(engine, node, role=None, availability=availability, labels=None, timeout=0)
    except SwarmError as error:
        return f"; it is still drained, because making it {availability} again failed: {error.cause}", False
    return f"; it was made {availability} again", True


def remove_node(engine: Engine, node: Node, *, demote: bool, force: bool, timeout: float) -> None:
    """Remove a node, after demoting it when it is a member of the raft cluster."""
    if demote:
        change_node(engine, node, role="worker", availability=None, labels=None, timeout=timeout)
    reached("remove the node")
    engine.remove_node(node.id, force=force)
    wait_for_membership(engine, node, ("absent",), timeout=timeout)


# -- this host's own membership ------------------------------------------------------------------------------------


def create_swarm(
    engine: Engine,
    *,
    advertise_address: str,
    listen_address: str,
    data_path_address: str,
    autolock: bool = False,
    timeout: float,
) -> Survey:
    """Create a swarm with this host as its only manager."""
    engine.init(
        advertise_address=advertise_address,
        listen_address=listen_address,
        autolock=autolock,
        DataPathAddr=data_path_address,
    )
    return _wait_until_member(engine, "manager", timeout=timeout)


def join_swarm(
    engine: Engine,
    *,
    role: str,
    token: str,
    remote_addresses: t.Sequence[str],
    advertise_address: str,
    listen_address: str,
    data_path_address: str,
    timeout: float,
) -> Survey:
    """Join a swarm, and wait until this side is ready.

    The engine answers after 20 s at the latest and may go on in the background, so its state counts, not its answer
    (lab fact B10). A join that ends in an error is undone, because the engine refuses to join again until it has left.

    Raises:
        EngineError: The engine refused; nothing has changed.
        Refused: The token was that of the other role.
        TimedOut: This host has not become what it should, or is still trying.
    """
    reached("join")
    try:
        engine.join(
            token=token,
            remote_addresses=remote_addresses,
            advertise_address=advertise_address,
            listen_address=listen_address,
            data_path_address=data_path_address,
        )
    except Unreachable:
        raise
    except SwarmError as error:
        if survey(engine, timeout=0).state == "inactive":
            raise _explained(error, remote_addresses) from error
    reached("wait until it has joined")
    return _wait_until_member(engine, role, timeout=timeout)


def _explained(error: SwarmError, remote_addresses: t.Sequence[str]) -> SwarmError:
    """The engine's refusal to join, with where it tried."""
    message = error.details.get("message") or error.cause
    remedy = "Check the token, the addresses, and that the managers and this host reach one another at port 2377"
    if "advertised address" in message:
        remedy = (
            "Correct advertise_address, open port 2377 of this host to the managers, and remove the node without a host "
            "name that this has left in the node list (swarm_node with state absent and force)"
        )
    return EngineError(
        f"join the swarm at {', '.join(remote_addresses)}", f"the engine answered: {message}", remedy, **error.details
    )


def _wait_until_member(engine: Engine, role: str, *, timeout: float) -> Survey:
    attempted = f"see this host as a {role} of the swarm"
    last: list[Survey] = []

    def look() -> str:
        found = survey(engine, timeout=0)
        last[:] = [found]
        if found.state == "manager":
            return membership(found.nodes, found.local.node_id if found.local else "")
        return found.state

    awaited = ("leader", "follower") if role == "manager" else ("worker",)
    # A host that is to be a manager may look like a worker until it has joined the quorum, but never the other way.
    final = (*awaited, "error", "inactive", *(("leader", "follower") if role == "worker" else ()))
    try:
        seen = wait_for(look, lambda seen: seen in final, attempted=attempted, timeout=timeout, tolerate=_PASSING)
    except TimedOut as error:
        local = last[0].local if last else None
        if last and last[0].state == "worker":
            raise _other_role(attempted, role, local) from error
        words = f" ({local.error})" if local and local.error else ""
        raise TimedOut(
            attempted,
            f"{error.cause}{words}",
            "It may go on trying: run again, or let it leave (state absent, force)",
            **error.details,
        ) from error
    if seen in awaited:
        return last[0]
    if seen in ("leader", "follower"):
        raise _other_role(attempted, role, last[0].local)
    if seen == "error":
        engine.leave()
    words = last[0].local.error if last[0].local else ""
    raise EngineError(
        attempted,
        f"the engine gave up: {words or 'it is in no swarm'}",
        "Check the addresses, and that the managers and this host reach one another at port 2377",
    )


def _other_role(attempted: str, role: str, local: LocalState | None) -> Refused:
    other = "worker" if role == "manager" else "manager"
    node_id = local.node_id if local else ""
    return Refused(
        attempted,
        f"it has joined as a {other}, so the token was that of {other}s",
        f"Give it its role from a manager: quorate.swarm.swarm_node with node {node_id} and role {role}",
        node_id=node_id,
    )


def leave_swarm(engine: Engine, *, force: bool, timeout: float) -> Survey:
    """Leave the swarm, which empties the state directory, and wait until the engine says that it is in none.

    Raises:
        TimedOut: It still is.
    """
    reached("leave")
    with contextlib.suppress(Unsettled):  # it first stops the tasks, which may take longer than we wait for an answer
        engine.leave(force=force)
    reached("wait until it has left")
    return _wait_until_out(engine, timeout=timeout)


def _wait_until_out(engine: Engine, *, timeout: float) -> Survey:
    state = wait_for(
        lambda: survey(engine, timeout=0).state,
        lambda seen: seen == "inactive",
        attempted="see this host out of its swarm",
        timeout=timeout,
    )
    return Survey(state)


#: Seconds for which a service is never up that fails over its swarm's state again and again (lab fact B4.15).
_STEADY = 30.0


def put_state_aside(engine: Engine, daemon: Daemon, state: StateDir, *, start: bool, timeout: float) -> Path:
    """Take a host whose engine does not answer out of its swarm, and return where its state is now.

    The service is stopped first, because one that fails over its state is started again and again.

    Args:
        engine: The engine, which was found to be down.
        daemon: Its service.
        state: Its state directory.
        start: Whether to start the engine in the end, which is then in no swarm.
        timeout: Seconds to wait until it says so.

    Raises:
        Refused: The service is up all the same, so that it is another engine that was asked; another operation has
            stopped it; or the state cannot be renamed.
        DaemonFailed: The service did not stop, or not start again; the state stays where it was put.
        TimedOut: The engine runs, and is not out of its swarm.
    """
    attempted = "put the state of a stopped engine aside"
    if daemon.active_for() > _STEADY:
        raise Refused(
            attempted,
            f"no engine answers at {engine.base_url}, but the service of this host is up",
            "Correct docker_host or service_name",
        )
    daemon.require_undisturbed(attempted)
    state.require_renamable()
    daemon.stop()
    aside = state.put_aside()
    if start:
        try:
            daemon.start()
        except SwarmError as error:
            raise DaemonFailed(
                error.attempted, f"{error.cause}; the old state is in {aside}", error.remedy, quarantine=str(aside)
            ) from error
        engine.close()
        _wait_until_out(engine, timeout=timeout)
    return aside
