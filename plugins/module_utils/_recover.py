# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows when a manager whose swarm has lost its quorum may be made the only one, and when it must not. How it is done then,
and put back when it fails, _force_new_cluster.py knows.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils import _node_key, _raft_store
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._data_root import require_of_engine
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    BadArchive,
    MissingLibrary,
    Refused,
    SwarmError,
    TimedOut,
    Unsettled,
    WrongKey,
)
from ansible_collections.quorate.swarm.plugins.module_utils._fence import Peer, probe_all
from ansible_collections.quorate.swarm.plugins.module_utils._force_new_cluster import ForceNewCluster, fence_decision
from ansible_collections.quorate.swarm.plugins.module_utils._lone_manager import Copy, other_managers
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of
from ansible_collections.quorate.swarm.plugins.module_utils._raft_inventory import inventory_of_store, uncommitted_facts
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import StateFacts, check_state, read_state
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NODE_KEY
from ansible_collections.quorate.swarm.plugins.module_utils._survey import DECISIVE, Survey, survey
from ansible_collections.quorate.swarm.plugins.module_utils._unlock import parse_unlock_keys
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

_ATTEMPTED = "recover the swarm on this manager"


@dataclasses.dataclass(frozen=True)
class RecoverOptions:
    """What the operator asked for; times in seconds. See the documentation of swarm_recover."""

    unlock_keys: tuple[str, ...] = dataclasses.field(repr=False)
    down_managers: tuple[str, ...]
    settle_timeout: float
    wait_timeout: float
    dead_man_timeout: int


# -- decisions -------------------------------------------------------------------------------------------------------


def is_lost(found: Survey) -> bool:
    """Decide whether the quorum is lost, after a survey that has waited for elections to end.

    Returns: False when there is a quorum, so that there is nothing to recover.

    Raises:
        Unsettled: Nobody can tell yet.
        SwarmError: This engine is no unlocked manager, so it cannot tell, or has nothing that could be recovered.
    """
    if found.state == "manager":
        return False
    if found.state == "quorum_lost":
        return True
    if found.state in ("pending", "unsettled"):
        raise Unsettled(
            _ATTEMPTED,
            "whether its quorum is lost is not certain, because the engine gave no decisive answer: "
            + (found.error.cause if found.error else found.state),
            "An election may be running. Run again; give settle_timeout more seconds if it stays",
            state=found.state,
        )
    remedies = {
        "locked": "Unlock it first (swarm_unlock): only an unlocked manager knows whether there is a quorum",
        "daemon_down": "Start the engine first: only a running manager knows whether there is a quorum",
    }
    error = found.error or SwarmError(_ATTEMPTED, f"its engine is in state {found.state}")
    raise type(error)(_ATTEMPTED, error.cause, remedies.get(found.state, error.remedy), state=found.state)


def require_own_state(facts: StateFacts, *, node_id: str, addresses: t.Container[str]) -> None:
    """See that the state directory is the engine's own, sound, and at home on this host.

    Raises:
        Refused: It is that of another node, or its address is not one of this host.
        SwarmError: It is damaged.
    """
    for problem in facts.problems:
        if not isinstance(problem, (WrongKey, MissingLibrary)):
            raise problem
    if facts.node_id != node_id:
        raise Refused(
            _ATTEMPTED,
            f"the state directory is that of node {facts.node_id}, and the engine is node {node_id}",
            "Give the state directory of this engine as state_directory",
        )
    address = host_of(facts.address or "")
    if address not in addresses:
        raise Refused(
            _ATTEMPTED,
            f"its raft address is {address}, which is no address of this host; a forced new cluster keeps it, and the "
            "first manager that joins loses the quorum",
            f"Give this host that address as well (ip address add {address}/PREFIX dev INTERFACE)",
            address=address,
        )


def require_key(facts: StateFacts, *, given: int) -> None:
    """See that the key of an autolocked manager can be opened.

    Args:
        facts: What is in the state directory.
        given: Number of unlock keys that were tried on it.

    Raises:
        WrongKey: No unlock key was given, or none fits.
        MissingLibrary: It cannot be tried here.
    """
    if facts.sealed and not given:
        raise WrongKey(
            _ATTEMPTED,
            f"the swarm is autolocked, and no unlock key was given (kek-version {facts.kek_version})",
            "Give the unlock key in unlock_keys; the engine cannot force a new cluster with a sealed key",
            kek_version=facts.kek_version,
        )
    for problem in facts.problems:
        if isinstance(problem, WrongKey) and given > 1:
            raise WrongKey(
                _ATTEMPTED,
                f"none of the {given} unlock keys fits; the key of this manager is sealed with that of kek-version "
                f"{facts.kek_version}",
                "Add the key that was current when this manager saw its swarm last",
                kek_version=facts.kek_version,
            )
        raise problem


def require_down(facts: StateFacts, peers: t.Sequence[Peer], *, down: t.Iterable[str]) -> None:
    """Decide whether every other manager that this one knows is down.

    One that does not answer may be cut off, and one that refuses connections may be starting, so neither is proof.

    Args:
        facts: What is in the state directory.
        peers: What answered at the other managers' addresses.
        down: Node IDs and addresses of managers that are known to be down.

    Raises:
        Refused: One is alive, or is not known to be down.
    """
    fence_decision(peers)
    known = set(down)
    found = {peer.address: peer for peer in peers}
    missing = [
        (node_id, found[address])
        for node_id, address in facts.known_managers
        if node_id != facts.node_id
        and found[address].state != "other"
        and known.isdisjoint((node_id, address, host_of(address)))
    ]
    if missing:
        raise Refused(
            _ATTEMPTED,
            "not every other manager is known to be down, and one that lives would be taken over and lose writes: "
            + "; ".join(f"{node_id} at {peer.address}: {peer.detail}" for node_id, peer in missing),
            "Stop docker.socket and docker.service there, or make sure that it is off or wiped, and name it in "
            "down_managers",
            managers=[node_id for node_id, dummy in missing],
        )


# -- the sequence ----------------------------------------------------------------------------------------------------


class Recover:
    """One recovery on this host.

    Args:
        engine: This host's engine.
        daemon: Its service.
        state: Its state directory.
        options: What the operator asked for.
        host_addresses: Addresses of this host.

    Attributes:
        known: What is known so far, for the result, also of a failure.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        daemon: Daemon,
        state: StateDir,
        options: RecoverOptions,
        host_addresses: frozenset[str],
    ) -> None:
        self.engine = engine
        self.state = state
        self.options = options
        self.host_addresses = host_addresses
        self.cluster = ForceNewCluster(
            engine=engine,
            daemon=daemon,
            state=state,
            host_addresses=host_addresses,
            unlock_key="",
            wait_timeout=options.wait_timeout,
            dead_man_timeout=options.dead_man_timeout,
            what="recovery",
            of_itself=True,
        )
        self.steps = self.cluster.steps
        self.known: dict[str, t.Any] = {}
        self._unlock_key = ""

    def prepare(self) -> bool:
        """Decide whether there is something to recover, and whether it may be. Changes nothing.

        Returns: whether run() shall follow; False when the swarm has a quorum.

        Raises:
            SwarmError: With the reason why it must not be recovered.
        """
        keys = parse_unlock_keys(self.options.unlock_keys)
        with self.steps.step("see whether the quorum is lost"):
            found = self._survey()
            lost = is_lost(found)
        with self.steps.step("check the state directory"):
            facts = self._read_state(keys, lost=lost)
        self.known.update(
            cluster_id=facts.cluster_id,
            node_id=facts.node_id,
            address=host_of(facts.address or ""),
            autolock=facts.autolock,
            managers=[{"id": node_id, "address": host_of(address)} for node_id, address in facts.known_managers],
        )
        if not lost:
            return False
        require_own_state(facts, node_id=found.local.node_id if found.local else "", addresses=self.host_addresses)
        require_key(facts, given=len(keys))
        require_of_engine(self.state.path, self.engine.root_dir())
        self.state.require_renamable()
        self.state.require_room(self.state.size())
        with self.steps.step("fence the other managers"):
            peers = probe_all(other_managers(facts), cluster_id=facts.cluster_id or "")
            self.known["peers"] = [dataclasses.asdict(peer) for peer in peers]
            require_down(facts, peers, down=self.options.down_managers)
        return True

    def _survey(self) -> Survey:
        """Find the state, and ask again while this manager cannot know it: it hangs, or sees a quorum whose members do not
        answer. In the first half minute after the loss, the leader of it still answers every read (lab fact B5.1)."""
        found = survey(self.engine, timeout=self.options.settle_timeout)
        if not self._is_certain(found):
            with contextlib.suppress(TimedOut):
                found = wait_for(
                    lambda: survey(self.engine, timeout=self.options.settle_timeout),
                    self._is_certain,
                    attempted="see whether the quorum is lost",
                    timeout=DECISIVE,
                )
        return found

    def _is_certain(self, found: Survey) -> bool:
        return found.state not in ("pending", "unsettled") and (
            found.state != "manager" or self._majority_answers(found)
        )

    @staticmethod
    def _majority_answers(found: Survey) -> bool:
        """Whether as many managers as a quorum needs can be reached from here; true where that cannot be told."""
        here, health = found.local, found.health
        if here is None or health is None:
            return True
        others = [node.manager.address for node in found.nodes if node.manager and node.id != here.node_id]
        try:
            peers = probe_all(others, cluster_id=here.cluster_id)
        except MissingLibrary:
            return True
        return 1 + sum(peer.state in ("alive", "unclear") for peer in peers) >= health.majority

    def _read_state(self, keys: t.Mapping[bytes, str], *, lost: bool) -> StateFacts:
        """Read the state directory with the first key that opens it; when none does, the facts say so.

        Where there is a quorum, nothing in the raft store is asked for.
        """
        key = next(iter(keys), None)
        with contextlib.suppress(SwarmError, OSError):  # told by whoever reads the state directory
            node_key = _node_key.parse_node_key((self.state.path / NODE_KEY).read_bytes())
            key = _node_key.first_that_opens(node_key, keys) or key
        facts = read_state(self.state.path, unlock_key=key, live=True, decode=lost, with_raft=lost)
        if key is not None and not any(isinstance(problem, WrongKey) for problem in facts.problems):
            self._unlock_key = keys[key]
            self.cluster.use_key(self._unlock_key)
        return facts

    def run(self) -> dict[str, t.Any]:
        """Let this manager lead its swarm alone; or put everything back and raise why.

        Raises:
            SwarmError: The recovery failed. The old state is back and the engine started, or the text says what is not.
        """
        with self.steps.step("see that it has written what is committed"), contextlib.suppress(TimedOut):
            wait_for(
                self._has_written,
                bool,
                attempted="see an election begin",
                timeout=DECISIVE,
                sleep=1,
                tolerate=(BadArchive,),
            )
        self.cluster.new_copy()
        return self.cluster.run(self._copy_state, old_key=self._unlock_key)

    def _has_written(self) -> bool:
        """Whether this manager has put to disk how much it knows to be committed, which it does when an election begins.

        A forced new cluster drops what is behind that (lab fact B4.5): the last acknowledged write before the loss, if the
        engine were killed now, or could only be stopped by force.
        """
        position = _raft_store.position(self.state.path)
        return not position.uncommitted or position.term > _raft_store.newest_term(self.state.path)

    def tidy(self) -> bool:
        """Remove what a run has left that lost its power, and put back what it had changed, when there is nothing to recover
        any more.

        Returns: whether there was anything.
        """
        removed = self.state.remove_leftovers()
        return self.cluster.settings.put_back() or bool(removed)

    def _copy_state(self) -> Copy:
        """Copy the state of the stopped engine, and insist that the copy is good."""
        copy = self.cluster.copy
        self.state.copy_to(copy)
        facts = check_state(copy, unlock_key=self.cluster.key_bytes(), decode=True)
        if facts.contents is None:
            raise BadArchive(_ATTEMPTED, "its state directory is that of a worker")
        self.known["dropped"] = uncommitted_facts(facts.contents)
        return Copy(facts, inventory_of_store(facts.contents))

    def cleanup(self) -> None:
        """Remove the copy, if it was not swapped in. It may hold an opened key."""
        self.cluster.cleanup()
