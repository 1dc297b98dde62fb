# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows what can go wrong with a swarm, and how an engine's answer is recognised as one of these.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


class SwarmError(Exception):
    """Something that was attempted failed, with its cause and what to do next.

    Args:
        attempted: What was attempted, on which host or object, as a phrase in the infinitive ("read the node list").
        cause: Why it failed, without a full stop.
        remedy: What the operator does next, as a sentence without a full stop. Empty when there is nothing to say.
        details: Facts for programs. They are returned as C(error_details) and must not hold secrets.
    """

    kind = "swarm_error"

    def __init__(self, attempted: str, cause: str, remedy: str = "", **details: t.Any) -> None:
        self.attempted = attempted
        self.cause = cause
        self.remedy = remedy
        self.details = details
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"Could not {self.attempted}: {self.cause.rstrip('.')}."
        return f"{text} {self.remedy.rstrip('.')}." if self.remedy else text


class NotAManager(SwarmError):
    """The engine is a worker, or in no swarm at all, and so cannot answer for the swarm."""

    kind = "not_a_manager"


class Locked(SwarmError):
    """The manager's key is sealed by autolock, and it waits for the unlock key."""

    kind = "locked"


class QuorumLost(SwarmError):
    """The managers that can reach one another are fewer than the majority: no leader, no reads, no writes."""

    kind = "quorum_lost"


class Unsettled(SwarmError):
    """The swarm gave no decisive answer in time: an election may be running, or nodes are in state unknown."""

    kind = "unsettled"


class Unreachable(SwarmError):
    """The engine's API did not answer: it is down, or the address is wrong."""

    kind = "unreachable"


class PermissionDenied(SwarmError):
    """The engine's socket is there, but this user may not use it."""

    kind = "permission_denied"


class EngineError(SwarmError):
    """The engine refused a request with an answer that means none of the other kinds."""

    kind = "engine_error"


class OutOfSequence(EngineError):
    """The object was changed by somebody else between read and write; read it again and repeat (lab fact B7.1)."""

    kind = "out_of_sequence"


class BadArchive(SwarmError):
    """A backup archive, or a state directory, is not what it has to be."""

    kind = "bad_archive"


class CopyFailed(SwarmError):
    """A copy of an archive could not be made, read back or removed, or it is not what was copied."""

    kind = "copy_failed"


class BadEscrow(SwarmError):
    """The escrow of unlock keys cannot be read or written, or what is to be put in it is no unlock key of a swarm."""

    kind = "bad_escrow"


class WrongKey(SwarmError):
    """An unlock key is malformed, or does not fit."""

    kind = "wrong_key"


class Refused(SwarmError):
    """A guard said no. The remedy names the option that allows it, where there is one."""

    kind = "refused"


class UpdateFailed(SwarmError):
    """The update of a service was paused or rolled back, because new tasks of it do not run."""

    kind = "update_failed"


class DaemonFailed(SwarmError):
    """The engine's service did not stop or start."""

    kind = "daemon_failed"


class TimedOut(SwarmError):
    """The awaited state was not reached in time."""

    kind = "timed_out"


class MissingLibrary(SwarmError):
    """A Python library that is needed is not installed on the managed node."""

    kind = "missing_library"


_NO_LEADER = ("does not have a leader", "too few managers are online", "no elected primary cluster manager")
_NO_DECISION = ("deadlineexceeded", "deadline exceeded", "node lost leader status", "leader has changed")
_LOCKED = ("encrypted and needs to be unlocked", "encrypted and locked")
_NOT_A_MANAGER = ("not a swarm manager", "not part of a swarm")


def error_from_answer(*, attempted: str, status: int, message: str) -> SwarmError:
    """Name what an Engine API error means for a swarm.

    The engine uses 503 for three different things and 500 for two, so the text decides (lab facts B2.2, B5.1, B6, B7.1;
    moby daemon/cluster/errors.go).

    Args:
        attempted: What was attempted, as for SwarmError.
        status: HTTP status of the answer.
        message: The text in the answer.
    """
    text = " ".join(message.split())
    low = text.lower()
    details: dict[str, t.Any] = {"status": status, "message": text}
    if any(sign in low for sign in _LOCKED):
        return Locked(
            attempted, "this manager is locked (autolock)", "Unlock it with its unlock key, then run again", **details
        )
    if any(sign in low for sign in _NO_LEADER):
        return QuorumLost(
            attempted,
            "the swarm has no leader: fewer managers than the majority can reach one another",
            "Bring the missing managers back first; force a new cluster only when they are lost for good",
            **details,
        )
    if any(sign in low for sign in _NO_DECISION):
        return Unsettled(
            attempted,
            f"the swarm did not decide in time ({text})",
            "An election may be running: wait half a minute and run again",
            **details,
        )
    if any(sign in low for sign in _NOT_A_MANAGER):
        return NotAManager(attempted, "this node is not a swarm manager", "Run it on a manager of the swarm", **details)
    if "out of sequence" in low:
        return OutOfSequence(attempted, "the object was changed at the same time", "Run again", **details)
    if status == 401 or "invalid key" in low:
        return WrongKey(
            attempted, "the engine rejected the unlock key", "Use the key that was current on this manager", **details
        )
    return EngineError(attempted, f"the engine answered {status}: {text}", **details)


def fail(module: AnsibleModule, error: SwarmError, **facts: t.Any) -> t.NoReturn:
    """End the module with the error's text, its kind as RV(error) and the facts that are known all the same."""
    module.fail_json(msg=str(error), error=error.kind, error_details=error.details, **facts)
    raise error  # fail_json does not return; this says so to the type checker
