# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a copy of a state directory whose node certificate has expired becomes one that an engine starts from.

No engine starts a swarm with an expired certificate, and a manager's is renewed by a running swarm only, so that every
archive stops being of use one day (raft-store fact 0.2). But the key of the swarm's certificate authority is in the raft
store, and so the node certificate is issued again. Nothing else in the copy changes.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import _certificate, _node_key, _raft_store
from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused, SwarmError
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import StateFacts, check_state
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NODE_CERTIFICATE, NODE_KEY


@dataclasses.dataclass(frozen=True)
class Reissued:
    """What became of a node certificate: when the old one ended, and when the new one ends; ISO 8601 in UTC."""

    expired: str
    expires: str


def make_startable(
    directory: Path, facts: StateFacts, *, unlock_key: bytes | None, allowed: bool, now: float | None = None
) -> tuple[StateFacts, Reissued | None]:
    """Insist that an engine could start from a copy of a state directory, and issue its node certificate again if need be.

    Args:
        directory: The copy.
        facts: What read_state() found in it.
        unlock_key: The 32 bytes of the unlock key; needed for a sealed node key.
        allowed: Whether the certificate may be issued again.
        now: Seconds since 1970; the current time by default.

    Returns: the facts as they are now, and what was done, or None when there was nothing to do.

    Raises:
        BadArchive, WrongKey, MissingLibrary: As check_state() does.
        Refused: The swarm has an external CA, so that there is no key to issue a certificate with.
    """
    expired = [problem for problem in facts.problems if _is_expired_node_certificate(problem)]
    for problem in facts.problems:
        if problem not in expired:
            raise problem
    for problem in expired:
        if not allowed:
            problem.remedy = "Use a newer backup, or set reissue_certificate to auto"
            raise problem
    if not expired:
        return facts, None
    moment = time.time() if now is None else now
    node_key = _node_key.parse_node_key((directory / NODE_KEY).read_bytes())
    authority = _raft_store.read_root_ca(directory, _node_key.raft_keys(node_key, unlock_key))
    if not authority.key:
        raise Refused(
            "issue the expired node certificate again",
            "the swarm has an external certificate authority, so its key is not in the raft store",
            f"Let that authority sign a new certificate for {directory / NODE_CERTIFICATE}, or use a newer backup",
            expired=facts.certificate_expires,
        )
    path = directory / NODE_CERTIFICATE
    path.write_bytes(
        _certificate.reissue(path.read_bytes(), ca_certificate=authority.certificate, ca_key=authority.key, now=moment)
    )
    renewed = check_state(directory, unlock_key=unlock_key, now=moment, decode=facts.contents is not None)
    return renewed, Reissued(expired=facts.certificate_expires or "", expires=renewed.certificate_expires or "")


def _is_expired_node_certificate(problem: SwarmError) -> bool:
    return "expired" in problem.details and str(problem.details.get("path", "")).endswith(NODE_CERTIFICATE)
