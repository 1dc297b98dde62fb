# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows what is verified before a swarm is restored from an archive on this host. How it is done then, and put back when
it fails, _force_new_cluster.py knows.

Nothing is touched before the archive is extracted beside the state directory and checked there.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import _archive, _state_facts
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._data_root import require_of_engine
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, Refused, WrongKey
from ansible_collections.quorate.swarm.plugins.module_utils._fence import probe_all
from ansible_collections.quorate.swarm.plugins.module_utils._force_new_cluster import ForceNewCluster, fence_decision
from ansible_collections.quorate.swarm.plugins.module_utils._lone_manager import Copy, other_managers
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of, version_tuple
from ansible_collections.quorate.swarm.plugins.module_utils._raft_inventory import (
    inventory_of_store,
    require_manifest,
)
from ansible_collections.quorate.swarm.plugins.module_utils._reissue import Reissued, make_startable
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey, survey
from ansible_collections.quorate.swarm.plugins.module_utils._temporary_address import Loan


@dataclasses.dataclass(frozen=True)
class RestoreOptions:
    """What the operator asked for; times in seconds. See the documentation of swarm_restore."""

    archive: Path
    unlock_key: str = dataclasses.field(repr=False)
    allow_missing_manifest: bool
    allow_engine_downgrade: bool
    replace_state: bool
    allow_other_cluster: bool
    reissue_certificate: str
    wait_timeout: float
    dead_man_timeout: int


@dataclasses.dataclass(frozen=True)
class Host:
    """This host before the restore.

    Attributes:
        found: The state of its engine and swarm.
        engine_version: Version of the engine that will start the restored state.
        addresses: Addresses of its interfaces.
        has_state: Whether its state directory holds swarm state.
        cluster_id: The swarm of that state, by the node certificate on disk; None when it has none that can be read.
        is_archived: Whether that state is the one of the archive, and nothing came after it: a restore was interrupted.
    """

    found: Survey
    engine_version: str
    addresses: frozenset[str]
    has_state: bool
    cluster_id: str | None
    is_archived: bool = False


# -- decisions -------------------------------------------------------------------------------------------------------


def host_decision(
    host: Host,
    *,
    archived_cluster: str,
    archived_address: str,
    archived_engine: str,
    options: RestoreOptions,
    may_borrow: bool = False,
) -> None:
    """Decide whether this host may become the restored manager; may_borrow says that it can be lent the address.

    Raises:
        Refused: With the reason, and the option that allows it where there is one.
    """
    attempted = "restore on this host"
    if host.cluster_id and host.cluster_id != archived_cluster and not options.allow_other_cluster:
        raise Refused(
            attempted,
            f"the archive is of swarm {archived_cluster}, and this host has the state of another one, {host.cluster_id}",
            "Take an archive of that swarm, or set allow_other_cluster (and replace_state) to change the swarm of this host",
            cluster_id=host.cluster_id,
            archived_cluster_id=archived_cluster,
        )
    if archived_address not in host.addresses and not may_borrow:
        raise Refused(
            attempted,
            f"the archived manager has the address {archived_address}, this host has "
            f"{', '.join(sorted(host.addresses)) or 'none'}; a restored manager keeps its address in the raft store, "
            "and the first manager that joins it at another one loses the quorum",
            f"Restore on a host with the address {archived_address}, or set lend_address, and let the manager move to "
            "another address afterwards (role quorate.swarm.restore with restore_move_address)",
            archived_address=archived_address,
        )
    if version_tuple(host.engine_version) < version_tuple(archived_engine) and not options.allow_engine_downgrade:
        raise Refused(
            attempted,
            f"the archive was made by engine {archived_engine}, and this host has the older {host.engine_version}",
            "Upgrade the engine of this host, or set allow_engine_downgrade",
        )
    if options.replace_state or (host.is_archived and host.found.state != "manager"):
        return
    local = host.found.local
    cluster = local.cluster_id if local else ""
    if host.found.state in ("manager", "worker", "pending", "locked", "quorum_lost", "unsettled", "error"):
        raise Refused(
            attempted,
            f"its engine is in a swarm already (state {host.found.state}{', cluster ' + cluster if cluster else ''})",
            "Set replace_state to put that state aside, or leave the swarm first",
            state=host.found.state,
        )
    if host.has_state:
        raise Refused(
            attempted,
            "its state directory holds the state of a swarm, although the engine is "
            f"{'down' if host.found.state == 'daemon_down' else 'in none'}",
            "Set replace_state to put that state aside",
        )


# -- the sequence ----------------------------------------------------------------------------------------------------


class Restore:
    """One restore on this host.

    Args:
        engine: This host's engine.
        daemon: Its service.
        state: Its state directory.
        options: What the operator asked for.
        host_addresses: Addresses of this host.
        engine_version: Asks the engine's program for its version; used when the engine is down.
        hide: Told every secret that is fetched, so that no output shows it.
        loan: Lends this host the archived address, or None when it must have it.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        daemon: Daemon,
        state: StateDir,
        options: RestoreOptions,
        host_addresses: frozenset[str],
        engine_version: t.Callable[[], str],
        hide: t.Callable[[str], None],
        loan: Loan | None = None,
    ) -> None:
        self.hide = hide
        self.loan = loan
        self.engine = engine
        self.state = state
        self.options = options
        self.host_addresses = host_addresses
        self.engine_version = engine_version
        self.cluster = ForceNewCluster(
            engine=engine,
            daemon=daemon,
            state=state,
            host_addresses=host_addresses,
            unlock_key=options.unlock_key,
            wait_timeout=options.wait_timeout,
            dead_man_timeout=options.dead_man_timeout,
            what="restore",
        )
        self.steps = self.cluster.steps
        self.reissued: Reissued | None = None
        self._old_key = ""

    def prepare(self) -> _state_facts.StateFacts:
        """Verify the archive, check this host, fence, and extract a copy that is ready to start beside the state.

        Nothing of the host is changed but for the folder of the copy, which cleanup() removes.

        Raises:
            BadArchive, WrongKey, Refused: With the reason.
        """
        options = self.options
        key = self.cluster.key_bytes()
        with self.steps.step("verify the archive"):
            archive = _archive.verify(
                options.archive, allow_missing_manifest=options.allow_missing_manifest, room=self.state.room()
            )
        self.manifest = archive.manifest or {}
        self._require_key()
        require_of_engine(self.state.path, self.engine.root_dir())
        self.state.require_renamable()
        with self.steps.step("extract and check a copy"):
            copy = self.cluster.new_copy()
            _archive.extract(archive, copy)
            facts = _state_facts.read_state(copy, unlock_key=key, decode=True)
            facts, self.reissued = make_startable(
                copy, facts, unlock_key=key, allowed=options.reissue_certificate == "auto"
            )
        self._require_own_state(facts)
        archived = self.manifest or _state_facts.manifest_of(facts, unlock_key=key)
        with self.steps.step("check this host"):
            found = survey(self.engine)
            is_archived = self._is_archived(facts)
            self.cluster.keeps_old = not is_archived
            host_decision(
                Host(
                    found=found,
                    engine_version=found.local.engine_version if found.local else self.engine_version(),
                    addresses=self.host_addresses,
                    has_state=self.state.exists,
                    cluster_id=_state_facts.read_cluster_id(self.state.path),
                    is_archived=is_archived,
                ),
                archived_cluster=facts.cluster_id or "",
                archived_address=host_of(facts.address or ""),
                archived_engine=archived["engine"]["version"],
                options=options,
                may_borrow=self.loan is not None,
            )
        self.autolock = bool(facts.autolock)
        if found.state == "manager" and found.local is not None and found.local.autolock:
            # A roll-back restarts the manager that is replaced, and it will be locked.
            self._old_key = self.engine.unlock_key()
            self.hide(self._old_key)
        with self.steps.step("fence the other managers"):
            self.peers = probe_all(other_managers(facts), cluster_id=facts.cluster_id or "")
            fence_decision(self.peers)
        if self.loan is not None:
            with self.steps.step("see that no other host has the address"):
                self.loan.prepare(host_of(facts.address or ""))
        return facts

    def _is_archived(self, facts: _state_facts.StateFacts) -> bool:
        """Whether the state of this host is what the archive holds, as a restore leaves it that lost its power.

        Without a quorum an engine may vote, but appends nothing to the log.
        """
        if not self.state.exists:
            return False
        here = _state_facts.read_state(self.state.path, live=True)
        return (
            (here.node_id, here.cluster_id) == (facts.node_id, facts.cluster_id)
            and here.raft is not None
            and facts.raft is not None
            and here.raft.last_index == facts.raft.last_index
        )

    def _require_own_state(self, facts: _state_facts.StateFacts) -> None:
        """See that the archived state is that of a manager, and the one that the manifest describes."""
        attempted = f"verify the archive {self.options.archive}"
        if facts.contents is None:
            raise BadArchive(attempted, "it holds the state of a worker", "Use an archive of a manager")
        if not self.manifest:
            return
        for what, said, found in (
            ("cluster", self.manifest["cluster"]["id"], facts.cluster_id),
            ("node", self.manifest["node"]["id"], facts.node_id),
        ):
            if said != found:
                raise BadArchive(
                    attempted,
                    f"its manifest is of {what} {said}, its certificate of {what} {found}",
                    "The archive was put together from two; use another one",
                )
        require_manifest(self.manifest, facts.contents, attempted=attempted)

    def _require_key(self) -> None:
        """Ask for the unlock key by its fingerprint before an archive is extracted that needs one."""
        if self.manifest.get("autolock") and not self.options.unlock_key:
            fingerprint = self.manifest["unlock_key_fingerprint"]
            raise WrongKey(
                f"open the archive {self.options.archive}",
                "its swarm is autolocked, and no unlock key was given",
                f"Give the key with fingerprint {fingerprint} as unlock_key",
                fingerprint=fingerprint,
            )

    def managers(self, facts: _state_facts.StateFacts) -> list[dict[str, str]]:
        """The managers that the archive knows: C(id), C(hostname) and C(address)."""
        nodes = facts.contents.of_kind("nodes") if facts.contents else []
        names = {node.id: node.name for node in nodes}
        return [
            {"id": node_id, "hostname": names.get(node_id, ""), "address": host_of(address)}
            for node_id, address in facts.known_managers
        ]

    def cleanup(self) -> None:
        """Remove the copy, if it was not swapped in. It may hold an opened key."""
        self.cluster.cleanup()

    def run(self, facts: _state_facts.StateFacts) -> dict[str, t.Any]:
        """Let this host lead the archived swarm; or put everything back and raise why.

        Raises:
            SwarmError: The restore failed. The old state is back and the engine started, or the text says what is not.
        """
        copy = Copy(facts, inventory_of_store(facts.contents) if facts.contents else {})
        if self.loan is None:
            return self.cluster.run(lambda: copy, old_key=self._old_key)
        self.cluster.count_as_own(host_of(facts.address or ""))
        with self.loan.given():
            return self.cluster.run(lambda: copy, old_key=self._old_key)
