# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a locked manager is unlocked: which key fits, how the engine is asked without waiting for it for ever, and
what its state means afterwards.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import _kept_key, _node_key
from ansible_collections.quorate.swarm.plugins.module_utils._critical import Steps, uninterrupted
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._engine import PATIENT, QUICK, Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    BadArchive,
    EngineError,
    NotAManager,
    Refused,
    SwarmError,
    Unreachable,
    Unsettled,
    WrongKey,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import LocalState
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import QuorumHealth, majority
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import read_state
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NODE_KEY
from ansible_collections.quorate.swarm.plugins.module_utils._survey import DECISIVE, survey
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

_UNLOCK = "unlock this manager"
#: States of a manager that is unlocked, and whose swarm has no leader that is known to it.
WITHOUT_QUORUM = ("pending", "quorum_lost", "unsettled")
#: Seconds in which an engine answers a request that needs its swarm's control lock, unless the lock is held. Measured:
#: 0.01 s on engines 20.10 and 28.5.
_CONTROL_LOCK = 3.0


@dataclasses.dataclass(frozen=True)
class UnlockOptions:
    """What the operator asked for; times in seconds. See the documentation of swarm_unlock."""

    restart_if_stuck: bool
    wait_timeout: float
    dead_man_timeout: int


@dataclasses.dataclass(frozen=True)
class UnlockPlan:
    """What was found while nothing was asked of the swarm yet.

    Attributes:
        key: The unlock key that fits; None when the manager is not locked.
    """

    key: str | None = dataclasses.field(repr=False)


def parse_unlock_keys(texts: t.Sequence[str]) -> dict[bytes, str]:
    """Read the unlock keys that were given, in their order; one that is given twice counts once.

    Returns: the text of each key, as the engine takes it, by its 32 bytes.

    Raises:
        WrongKey: One has another form; told by its place in the list, never by its text.
    """
    keys: dict[bytes, str] = {}
    for place, text in enumerate(texts, 1):
        try:
            keys.setdefault(_node_key.parse_unlock_key(text), text.strip())
        except WrongKey:
            raise WrongKey(
                f"read unlock key {place} of {len(texts)}",
                "it has not the form of an unlock key",
                "Give it as docker swarm unlock-key printed it",
                place=place,
            ) from None
    return keys


def fitting_key(node_key: _node_key.NodeKey, keys: t.Collection[bytes], *, path: Path) -> bytes:
    """Return the first key that opens a sealed node key, proven without an engine.

    Args:
        node_key: The content of swarm-node.key.
        keys: Unlock keys, newest first.
        path: Where the file is, for the errors.

    Raises:
        WrongKey: None fits. Fingerprints and the kek-version are told, never a key.
        Refused: The node key is not sealed, so it is not that of a locked manager.
        BadArchive: It is sealed in a form that this collection does not open.
        MissingLibrary: PyNaCl is not installed.
    """
    if not node_key.sealed:
        raise Refused(
            _UNLOCK,
            f"its engine says that it is locked, but {path} is not sealed, so it is not the key file of this engine",
            "Give the state directory of this engine as state_directory",
        )
    try:
        fitting = _node_key.first_that_opens(node_key, keys)
    except BadArchive as error:
        raise BadArchive(
            f"try an unlock key on {path}", error.cause, "Unlock this manager with docker swarm unlock"
        ) from None
    if fitting is not None:
        return fitting
    tried = [_node_key.fingerprint(key) for key in keys]
    offered = f"none of the keys fits that were tried: {', '.join(tried)}" if tried else "no unlock key was given"
    raise WrongKey(
        _UNLOCK,
        f"{offered}; {path} is sealed with the key of kek-version {node_key.kek_version}",
        "Add the key that was current when this manager saw the swarm last, also one from before the last rotation",
        fingerprints=tried,
        kek_version=node_key.kek_version,
    )


def unlock_outcome(*, was_locked: bool, state: str, restarted: bool = False) -> str:
    """Say in one word what became of a manager.

    Args:
        was_locked: It was locked, and took the key.
        state: State of its swarm afterwards; one word of _model.STATES.
        restarted: Its engine was restarted to free it.
    """
    if restarted:
        return "locked_again"
    if not was_locked:
        return "already_unlocked"
    return "unlocked_without_quorum" if state in WITHOUT_QUORUM else "unlocked"


def quorum_numbers(health: QuorumHealth | None, known_managers: int) -> dict[str, int | None]:
    """How many managers there are, how many must be up, and how many are.

    Args:
        health: The quorum as the swarm shows it, or None when nobody can tell.
        known_managers: Number of managers in the state directory; 0 when it does not say.

    Returns: C(managers), C(majority) and C(reachable), each None when it is not known.
    """
    if health is not None:
        return {"managers": health.managers, "majority": health.majority, "reachable": health.reachable}
    if not known_managers:
        return {"managers": None, "majority": None, "reachable": None}
    return {"managers": known_managers, "majority": majority(known_managers), "reachable": None}


class Unlock:
    """Unlocks the manager on this host.

    Args:
        engine: This host's engine.
        daemon: Its service.
        state_directory: Tells the state directory of an engine with this data root.
        options: What the operator asked for.
        hide: Told every secret that is found, so that no output shows it.

    Attributes:
        known: What is known so far, for the result, and for the error when there is none.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        daemon: Daemon,
        state_directory: t.Callable[[str], Path],
        options: UnlockOptions,
        hide: t.Callable[[str], None],
    ) -> None:
        self.engine = engine
        self.daemon = daemon
        self.state_directory = state_directory
        self.options = options
        self.hide = hide
        self.steps = Steps()
        self.known: dict[str, t.Any] = {
            "state": None,
            "cluster_id": None,
            "kek_version": None,
            "quorum": quorum_numbers(None, 0),
            "unlock_key_fingerprint": None,
            "recovered": False,
        }

    def plan(self, texts: t.Sequence[str]) -> UnlockPlan:
        """See whether the manager is locked, and find the key that fits. Asks nothing of the swarm.

        Args:
            texts: The unlock keys, newest first.

        Raises:
            WrongKey: A key is malformed, or none fits.
            NotAManager: There is nothing that could be locked.
            SwarmError: The engine is down, or the state directory cannot be used.
        """
        keys = parse_unlock_keys(texts)
        # An engine that is just being started answers late; an unlocked one without a leader, after 20 s (lab fact B5.1).
        local = wait_for(
            lambda: self.engine.local_state(timeout=PATIENT),
            lambda dummy: True,
            attempted="find out whether this manager is locked",
            timeout=DECISIVE,
            tolerate=(Unsettled,),
            remedy="See journalctl -u docker",
        )
        self.known["state"] = local.state
        _require_member(local)
        directory = self.state_directory(local.root_dir)
        facts = read_state(directory, live=True)
        self.known.update(
            cluster_id=local.cluster_id or facts.cluster_id,
            kek_version=facts.kek_version,
            quorum=quorum_numbers(None, len(facts.known_managers)),
        )
        if local.state != "locked":
            return UnlockPlan(None)
        path = directory / NODE_KEY
        node_key = _node_key.parse_node_key(_kept_key.read_key_file(path))
        try:
            key = fitting_key(node_key, keys, path=path)
        except WrongKey:
            found = _kept_key.lost_key(directory, keys)
            if found is None:
                raise
            key = found
            self.known["recovered"] = True
            self.hide(_node_key.unlock_key_text(key))
        self.known["unlock_key_fingerprint"] = _node_key.fingerprint(key)
        return UnlockPlan(keys.get(key) or _node_key.unlock_key_text(key))

    def run(self, plan: UnlockPlan, *, check: bool = False) -> dict[str, t.Any]:
        """Unlock, and wait for a quorum.

        Args:
            plan: What was found.
            check: Only say what would happen. Whether there will be a quorum cannot be told then.

        Returns: the result of swarm_unlock, C(changed) included.

        Raises:
            SwarmError: The manager is locked still, or is none any more.
        """
        end = time.monotonic() + self.options.wait_timeout
        if plan.key is not None:
            if check:
                return {**self.known, "changed": True, "outcome": "unlocked", "stuck": False, "steps": []}
            with self.steps.step("unlock"):
                self._unlock(plan.key)
        with self.steps.step("wait for a quorum"):
            found = survey(self.engine, timeout=max(0.0, end - time.monotonic()))
        self.known["state"] = found.state
        if found.health is not None:
            self.known["quorum"] = quorum_numbers(found.health, 0)
        if found.error is not None and found.state not in (*WITHOUT_QUORUM, "worker"):
            raise found.error
        stuck = found.state in WITHOUT_QUORUM and self._is_stuck()
        restart = stuck and self.options.restart_if_stuck
        if restart and not check:
            self._restart()
            self.known["state"] = self.engine.local_state().state
        return {
            **self.known,
            "changed": plan.key is not None or restart,
            "outcome": unlock_outcome(was_locked=plan.key is not None, state=found.state, restarted=restart),
            "stuck": stuck and (check or not restart),
            "steps": self.steps.taken,
        }

    def _unlock(self, key: str) -> None:
        """Hand the key to the engine. It takes the key at once, but answers only when there is a quorum."""
        try:
            self.engine.unlock(key, timeout=QUICK)
        except Unsettled:
            pass
        except EngineError as error:
            if error.details.get("status") != 409:  # not locked: somebody else was faster (lab fact B2.3)
                raise
        wait_for(
            self._has_taken_the_key,
            bool,
            attempted="see this manager unlocked",
            timeout=QUICK,
            remedy="The key fits, and the engine does not take it: see journalctl -u docker",
        )

    def _has_taken_the_key(self) -> bool:
        try:
            return self.engine.local_state().state != "locked"
        except Unsettled:
            return True  # a locked engine answers at once; one that hangs asks its swarm, so it is unlocked

    def _is_stuck(self) -> bool:
        """Whether a request holds the engine's swarm control lock, as an unlock does until there is a quorum.

        Asks for an unlock without a key. Nothing can come of that in any state, and the engine refuses it at once (400
        or 409) unless the lock is held (moby daemon/cluster/swarm.go, UnlockSwarm).
        """
        try:
            self.engine.unlock("", timeout=_CONTROL_LOCK)
        except Unsettled:
            return True
        except Unreachable:
            raise
        except SwarmError:
            pass
        return False

    def _restart(self) -> None:
        """Restart the engine. Its stop takes 90 s, until the service manager kills it (lab fact B10)."""
        self.daemon.arm(seconds=self.options.dead_man_timeout)
        try:
            with uninterrupted():
                try:
                    with self.steps.step("stop"):
                        self.daemon.stop()
                finally:
                    with self.steps.step("start"):
                        self.daemon.start()
                        self.engine.close()
                        self._wait_for_answer()
        finally:
            if self._answers():
                self.daemon.disarm()

    def _wait_for_answer(self) -> None:
        wait_for(
            self.engine.version,
            bool,
            attempted="reach the engine after its start",
            timeout=DECISIVE,
            sleep=0.1,
            tolerate=(Unreachable, Unsettled),
            remedy="See journalctl -u docker",
        )

    def _answers(self) -> bool:
        try:
            self.engine.version()
        except SwarmError:
            return False
        return True


def _require_member(local: LocalState) -> None:
    """Refuse an engine that has nothing to unlock. Raises NotAManager."""
    causes = {
        "inactive": "its engine is in no swarm",
        "worker": "it is a worker, and workers are never locked",
        "error": f"its swarm is in state error: {local.error}",
    }
    if local.state in causes:
        raise NotAManager(_UNLOCK, causes[local.state], "Run this on a manager; swarm_info tells what a host is")
