# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how autolock is switched and an unlock key is rotated without losing one, and how a manager proves on its own
disk which key it needs.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import _kept_key, _node_key
from ansible_collections.quorate.swarm.plugins.module_utils._critical import Steps, uninterrupted
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    QuorumLost,
    Refused,
    TimedOut,
    Unsettled,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node
from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NODE_KEY
from ansible_collections.quorate.swarm.plugins.module_utils._survey import survey
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

_DAY = 86400.0
_ATTEMPTED = {
    "enable": "switch autolock on",
    "disable": "switch autolock off",
    "rotate": "rotate the unlock key",
    "none": "look at the unlock key",
}


@dataclasses.dataclass(frozen=True)
class UnlockKeyOptions:
    """What the operator asked for. See the documentation of swarm_unlock_key."""

    autolock: bool | None
    rotate: str
    older_than: float | None
    created: str | None
    current_fingerprint: str | None
    keep_key_file: bool | None
    settle_timeout: float
    wait_timeout: float


@dataclasses.dataclass(frozen=True)
class UnlockKeyPlan:
    """What was found, and what is to be done.

    Attributes:
        change: C(none), C(enable), C(disable) or C(rotate).
        autolock: Whether autolock is on afterwards.
        key: The current key, as the engine tells it; empty when autolock is off.
        known: More keys to try on the key file of this manager.
    """

    change: str
    autolock: bool
    key: str = dataclasses.field(repr=False)
    known: tuple[bytes, ...] = dataclasses.field(repr=False)


def age_in_days(created: str | None, now: float) -> float | None:
    """Days since a time such as C(2026-01-31T02:03:04Z); None when there is none.

    Raises:
        Refused: It has another form.
    """
    if not created:
        return None
    try:
        return (now - moment(created)) / _DAY
    except ValueError:
        raise Refused(
            "tell the age of the unlock key",
            f"created is {created!r}, which has not the form 2026-01-31T02:03:04Z",
            "Take created from the escrow",
        ) from None


def decide(
    *, autolock: bool, wanted: bool | None, rotate: str, age: float | None = None, older_than: float | None = None
) -> str:
    """Say what has to be done: C(none), C(enable), C(disable) or C(rotate).

    Autolock that is switched on comes with a new key, so there is nothing to rotate then. A key of unknown age is taken
    for an old one.

    Args:
        autolock: Whether autolock is on.
        wanted: Whether it shall be; None to leave it.
        rotate: C(never), C(always) or C(older_than).
        age: Days since the key was made.
        older_than: Days that a key may be used.

    Raises:
        Refused: There is nothing to rotate, because autolock is off.
    """
    after = autolock if wanted is None else wanted
    if rotate != "never" and not after:
        raise Refused(
            _ATTEMPTED["rotate"],
            "autolock is off, so there is no unlock key; an engine that is asked all the same says yes and does nothing",
            "Set autolock to true, or rotate to never",
        )
    if after != autolock:
        return "enable" if after else "disable"
    if rotate == "never" or (rotate == "older_than" and age is not None and age < (older_than or 0.0)):
        return "none"
    return "rotate"


def require_kept(*, change: str, current: str | None, named: str | None, unreachable: t.Sequence[str]) -> None:
    """Refuse a change after which a key is needed that nobody may have.

    A manager that is not there during a rotation, or when autolock is switched off, comes back locked, with the key that
    was current before; the swarm does not tell that key any more (lab facts B3.3, B3.7).

    Args:
        change: What decide() said.
        current: Fingerprint of the current key; None when autolock is off.
        named: Fingerprint of the key that the operator keeps.
        unreachable: Names of the managers that are not there.

    Raises:
        Refused: Another key is kept than the current one, or none although a manager will need it.
    """
    attempted = _ATTEMPTED[change]
    if named and named != current:
        raise Refused(
            attempted,
            f"the current key is {current or 'none, because autolock is off'}, not {named}; it was changed meanwhile",
            "Put the current key into the escrow, then run again",
            unlock_key_fingerprint=current,
        )
    if change in ("disable", "rotate") and unreachable and not named:
        raise Refused(
            attempted,
            f"{', '.join(unreachable)} cannot be reached, and will need the current key {current} to come back, which the "
            "swarm does not tell any more then",
            "Keep that key, and say so by current_fingerprint",
            unreachable=list(unreachable),
            unlock_key_fingerprint=current,
        )


def key_file_facts(node_key: _node_key.NodeKey, *, key: bytes | None, known: t.Iterable[bytes]) -> dict[str, t.Any]:
    """What the key file of a manager says about the unlock key that it needs.

    Args:
        node_key: The content of swarm-node.key.
        key: The current unlock key; None when autolock is off.
        known: More keys to try.

    Returns: C(sealed), C(kek_version), C(opened_by), the fingerprints of the keys that open it when it is sealed, and
        C(proven): it is sealed by the current key and by no other one, or open when there is none.

    Raises:
        BadArchive: It is sealed in a form that this collection does not open.
        MissingLibrary: PyNaCl is not installed.
    """
    tried = [] if key is None else [key]
    tried += [other for other in known if other not in tried]
    opened_by = [_node_key.fingerprint(each) for each in tried if node_key.sealed and _node_key.opens(node_key, each)]
    expected = [] if key is None else [_node_key.fingerprint(key)]
    return {
        "sealed": node_key.sealed,
        "kek_version": node_key.kek_version,
        "opened_by": opened_by,
        "proven": node_key.sealed == (key is not None) and opened_by == expected,
    }


class UnlockKey:
    """Looks after the unlock key of the swarm that this host manages.

    Args:
        engine: This host's engine.
        state_directory: Tells the state directory of an engine with this data root.
        options: What the operator asked for.
        hide: Told every secret that is fetched, so that no output shows it.

    Attributes:
        known: What is known so far, for the result, and for the error when there is none.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        state_directory: t.Callable[[str], Path],
        options: UnlockKeyOptions,
        hide: t.Callable[[str], None],
    ) -> None:
        self.engine = engine
        self.state_directory = state_directory
        self.options = options
        self.hide = hide
        self.steps = Steps()
        self.known: dict[str, t.Any] = {
            "cluster_id": None,
            "node_id": None,
            "autolock": None,
            "previous_fingerprint": None,
            "unlock_key_fingerprint": None,
            "unreachable_managers": [],
        }

    def plan(self, known_keys: t.Mapping[bytes, str]) -> UnlockKeyPlan:
        """Read the current key and decide. Changes nothing.

        Args:
            known_keys: More keys to try on the key file of this manager, by their 32 bytes.

        Raises:
            Refused: A guard said no.
            SwarmError: This is no manager with a leader.
        """
        options = self.options
        found = survey(self.engine, timeout=options.settle_timeout)
        found.require_manager()
        cluster = self.engine.cluster()
        key = self._current_key() if cluster.autolock else ""
        fingerprint = _fingerprint(key)
        unreachable = [node.name for node in found.nodes if _is_missing(node)]
        self.known.update(
            cluster_id=cluster.id,
            node_id=found.local.node_id if found.local else None,
            autolock=cluster.autolock,
            previous_fingerprint=fingerprint,
            unlock_key_fingerprint=fingerprint,
            unreachable_managers=unreachable,
        )
        change = decide(
            autolock=cluster.autolock,
            wanted=options.autolock,
            rotate=options.rotate,
            age=age_in_days(options.created, time.time()),
            older_than=options.older_than,
        )
        require_kept(change=change, current=fingerprint, named=options.current_fingerprint, unreachable=unreachable)
        self._key_file(key, known_keys, timeout=0)  # whatever fails here would fail after the change too
        autolock = cluster.autolock if change in ("none", "rotate") else change == "enable"
        return UnlockKeyPlan(change, autolock, key, tuple(known_keys))

    def run(self, plan: UnlockKeyPlan, *, check: bool = False) -> tuple[dict[str, t.Any], str]:
        """Make the change, and look whether this manager's own disk has followed.

        It fails for no reason that comes after the change, so that the new key gets to whoever keeps it.

        Args:
            plan: What was found.
            check: Only say what would happen.

        Returns: the result of swarm_unlock_key, C(changed) included, and apart from it the key: the current one, or the
            last one when autolock is off now.

        Raises:
            SwarmError: The engine refused, or did not tell the new key; the next run gets it then.
        """
        key, after = plan.key, plan.key
        directory = self.state_directory(self.engine.root_dir() or "")
        kept = self.options.keep_key_file is True and not check and _kept_key.keep(directory)
        if plan.change != "none" and not check:
            with uninterrupted(), self.steps.step(_ATTEMPTED[plan.change]):
                key, after = self._change(plan)
            self.known.update(autolock=plan.autolock, unlock_key_fingerprint=_fingerprint(after))
        with self.steps.step("look at the key file"):
            key_file = self._key_file(after, plan.known, timeout=self.options.wait_timeout)
        drop = self.options.keep_key_file is False and not check and key_file["proven"]
        dropped = drop and _kept_key.discard(directory)
        result = {
            **self.known,
            "changed": plan.change != "none" or kept or dropped,
            "change": plan.change,
            "key_file": key_file,
            "steps": self.steps.taken,
        }
        return result, key

    def _change(self, plan: UnlockKeyPlan) -> tuple[str, str]:
        """Returns: the key to keep, and the current key afterwards."""
        if plan.change == "disable":
            self.engine.set_autolock(False)
            return plan.key, ""
        if plan.change == "enable":
            self.engine.set_autolock(True)
        else:
            self.engine.rotate_unlock_key()
        seen: list[str] = []

        def look() -> bool:
            seen[:] = [self._current_key()]
            return seen[0] not in ("", plan.key)

        wait_for(
            look,
            bool,
            attempted="read the new unlock key",
            timeout=self.options.wait_timeout,
            tolerate=(Unsettled, QuorumLost),
            remedy="The swarm tells it when it has a leader: run again with rotate set to never, and keep it",
        )
        return seen[0], seen[0]

    def _current_key(self) -> str:
        key = self.engine.unlock_key()
        if key:
            self.hide(key)
        return key

    def _key_file(self, key: str, known: t.Iterable[bytes], *, timeout: float) -> dict[str, t.Any]:
        """Look at the key file until it proves the key, or the time is up."""
        path = self.state_directory(self.engine.root_dir() or "") / NODE_KEY
        current = _node_key.parse_unlock_key(key) if key else None
        seen: list[dict[str, t.Any]] = []

        def look() -> bool:
            seen[:] = [
                key_file_facts(_node_key.parse_node_key(_kept_key.read_key_file(path)), key=current, known=known)
            ]
            return bool(seen[0]["proven"])

        with contextlib.suppress(TimedOut):
            wait_for(look, bool, attempted="see the key file of this manager follow", timeout=timeout)
        return seen[0]


def _fingerprint(key: str) -> str | None:
    return _node_key.fingerprint(_node_key.parse_unlock_key(key)) if key else None


def _is_missing(node: Node) -> bool:
    return node.manager is not None and not node.manager.reachable
