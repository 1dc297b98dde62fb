# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the order of a restore on one host, and how to put everything back when it fails.

Nothing is touched before the archive is extracted beside the state directory and checked there. The swap is two renames.
From before the stop until the restored swarm is proven, the dead man's switch would put the old state back, remove the
copy, whose key is opened only then, and start the engine.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import _archive, _certificate, _node_key, _state_facts
from ansible_collections.quorate.swarm.plugins.module_utils._critical import Steps, uninterrupted
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    BadArchive,
    DaemonFailed,
    EngineError,
    Locked,
    NotAManager,
    QuorumLost,
    Refused,
    SwarmError,
    TimedOut,
    Unreachable,
    Unsettled,
    WrongKey,
)
from ansible_collections.quorate.swarm.plugins.module_utils._fence import Peer, probe_all
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of, inventory_difference, version_tuple
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir, utc_stamp
from ansible_collections.quorate.swarm.plugins.module_utils._survey import DECISIVE, Survey, survey
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

_TRANSIENT = (Unsettled, QuorumLost, Unreachable, NotAManager, Locked)


@dataclasses.dataclass(frozen=True)
class RestoreOptions:
    """What the operator asked for; times in seconds. See the documentation of swarm_restore."""

    archive: Path
    unlock_key: str = dataclasses.field(repr=False)
    allow_missing_manifest: bool
    allow_engine_downgrade: bool
    replace_state: bool
    allow_other_cluster: bool
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
    """

    found: Survey
    engine_version: str
    addresses: frozenset[str]
    has_state: bool
    cluster_id: str | None


# -- decisions -------------------------------------------------------------------------------------------------------


def host_decision(
    host: Host, *, archived_cluster: str, archived_address: str, archived_engine: str, options: RestoreOptions
) -> None:
    """Decide whether this host may become the restored manager.

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
    if archived_address not in host.addresses:
        raise Refused(
            attempted,
            f"the archived manager has the address {archived_address}, this host has "
            f"{', '.join(sorted(host.addresses)) or 'none'}; a restored manager keeps its address in the raft store, "
            "and the first manager that joins it at another one loses the quorum",
            f"Restore on a host with the address {archived_address}, or give this host that address as well "
            f"(ip address add {archived_address}/PREFIX dev INTERFACE)",
            archived_address=archived_address,
        )
    if version_tuple(host.engine_version) < version_tuple(archived_engine) and not options.allow_engine_downgrade:
        raise Refused(
            attempted,
            f"the archive was made by engine {archived_engine}, and this host has the older {host.engine_version}",
            "Upgrade the engine of this host, or set allow_engine_downgrade",
        )
    if options.replace_state:
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


def fence_decision(peers: t.Sequence[Peer]) -> None:
    """Decide by what answered at the other managers' addresses whether a new cluster may be forced.

    A second cluster beside a living one takes it over, and writes are lost (lab facts B5.8, B5.9).

    Raises:
        Refused: A manager of this swarm lives, or something listens and does not say what it is.
    """
    alive = [peer for peer in peers if peer.state in ("alive", "unclear")]
    if alive:
        raise Refused(
            "restore the swarm",
            "a manager of it may be alive: " + "; ".join(f"{peer.address}: {peer.detail}" for peer in alive),
            "If the swarm still has its quorum, do not restore it: rejoin the broken manager. If not, stop "
            "docker.socket and docker.service on these hosts first",
            peers=[dataclasses.asdict(peer) for peer in alive],
        )


def comparison(
    *,
    identity: t.Iterable[tuple[str, str | None, str | None]],
    archived: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]],
    inventory: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]],
) -> tuple[list[str], dict[str, t.Any]]:
    """Compare what came back with what was archived.

    Args:
        identity: What must be equal: its name, the archived value, the value now.
        archived: Inventory in the manifest; empty when there is no manifest.
        inventory: Inventory now.

    Returns: the problems that make the restore a failure, and the difference of the inventories. What is there beyond
    the manifest is no problem: it was created while the backup was made.
    """
    problems = []
    for what, expected, seen in identity:
        if expected != seen:
            problems.append(f"the {what} is {seen}, the archive says {expected}")
    difference = inventory_difference(archived, inventory) if archived else {}
    for kind, change in difference.items():
        if change["missing"]:
            names = ", ".join(str(entry.get("name") or entry.get("hostname")) for entry in change["missing"])
            problems.append(f"{len(change['missing'])} {kind} are missing: {names}")
    return problems, difference


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
    ) -> None:
        self.hide = hide
        self.engine = engine
        self.daemon = daemon
        self.state = state
        self.options = options
        self.host_addresses = host_addresses
        self.engine_version = engine_version
        self.steps = Steps()
        self._work: Path | None = None
        self._old_key = ""
        stamp = utc_stamp()
        self.aside = state.path.with_name(f"{state.path.name}.quarantine-{stamp}")
        self._discarded = state.path.with_name(f"{state.path.name}.discarded-{stamp}")

    def prepare(self) -> _state_facts.StateFacts:
        """Verify the archive, check this host, fence, and extract a copy that is ready to start beside the state.

        Nothing of the host is changed but for the folder of the copy, which cleanup() removes.

        Raises:
            BadArchive, WrongKey, Refused: With the reason.
        """
        options = self.options
        key = self._key_bytes()
        with self.steps.step("verify the archive"):
            archive = _archive.verify(
                options.archive, allow_missing_manifest=options.allow_missing_manifest, room=self.state.room()
            )
        self.manifest = archive.manifest or {}
        self.state.require_renamable()
        with self.steps.step("extract and check a copy"):
            self._work = self.state.new_work_folder("restore")
            _archive.extract(archive, self._staged)
            facts = _state_facts.check_state(self._staged, unlock_key=key)
        self._require_own_state(facts)
        self._require_key(facts)
        with self.steps.step("check this host"):
            found = survey(self.engine)
            host_decision(
                Host(
                    found=found,
                    engine_version=found.local.engine_version if found.local else self.engine_version(),
                    addresses=self.host_addresses,
                    has_state=self.state.exists,
                    cluster_id=_state_facts.read_cluster_id(self.state.path),
                ),
                archived_cluster=facts.cluster_id or "",
                archived_address=host_of(facts.address or ""),
                archived_engine=self.manifest.get("engine", {}).get("version", ""),
                options=options,
            )
        self.autolock = bool(facts.sealed)
        if found.state == "manager" and found.local is not None and found.local.autolock:
            # A roll-back restarts the manager that is replaced, and it will be locked.
            self._old_key = self.engine.unlock_key()
            self.hide(self._old_key)
        with self.steps.step("fence the other managers"):
            self.peers = probe_all(self._other_managers(facts), cluster_id=facts.cluster_id or "")
            fence_decision(self.peers)
        return facts

    def _key_bytes(self) -> bytes | None:
        return _node_key.parse_unlock_key(self.options.unlock_key) if self.options.unlock_key else None

    def _require_own_state(self, facts: _state_facts.StateFacts) -> None:
        """See that the archived state is that of a manager, and the one that the manifest describes."""
        attempted = f"verify the archive {self.options.archive}"
        if facts.raft is None:
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

    def _require_key(self, facts: _state_facts.StateFacts) -> None:
        """A sealed key needs its unlock key; check_state has proven that a given one fits."""
        if facts.sealed and not self.options.unlock_key:
            fingerprint = self.manifest.get("unlock_key_fingerprint")
            raise WrongKey(
                f"open the archive {self.options.archive}",
                "its swarm is autolocked, and no unlock key was given",
                f"Give the key {'with fingerprint ' + fingerprint + ' ' if fingerprint else ''}as unlock_key",
                fingerprint=fingerprint,
            )

    def _other_managers(self, facts: _state_facts.StateFacts) -> list[str]:
        """Raft addresses of the managers that the archive knows, but for this one."""
        return [address for node_id, address in facts.known_managers if node_id != facts.node_id]

    def managers(self, facts: _state_facts.StateFacts) -> list[dict[str, str]]:
        """The managers that the archive knows: C(id), C(hostname) and C(address)."""
        names = {node["id"]: node["hostname"] for node in self.manifest.get("inventory", {}).get("nodes", ())}
        return [
            {"id": node_id, "hostname": names.get(node_id, ""), "address": host_of(address)}
            for node_id, address in facts.known_managers
        ]

    def cleanup(self) -> None:
        """Remove the copy, if it was not swapped in. It may hold an opened key."""
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)

    @property
    def _staged(self) -> Path:
        """The copy, on the file system of the state directory."""
        if self._work is None:
            raise RuntimeError("prepare() comes first")
        return self._work / "swarm"

    def run(self, facts: _state_facts.StateFacts) -> dict[str, t.Any]:
        """Swap the prepared copy in, start, force a new cluster, compare; or put everything back and raise why.

        Raises:
            SwarmError: The restore failed. The old state is back and the engine started, or the text says what is not.
        """
        if self.options.dead_man_timeout:
            self.daemon.arm(
                seconds=self.options.dead_man_timeout,
                before_start=[
                    *self.daemon.stop_commands(),
                    *self.state.put_back_commands(self.aside, self._discarded),
                    f"rm -rf {shlex.quote(str(self._staged.parent))}",
                ],
            )
        had_state = self.state.exists
        with uninterrupted():
            try:
                with self.steps.step("stop"):
                    self.daemon.stop()
                with self.steps.step("swap the state directories"):
                    self._open_key(facts)
                    self.state.replace_with(self._staged, self.aside)
                result = self._bring_up(facts)
            except OSError as error:
                failure = SwarmError("put the restored state in place", str(error), "See to that, and run again")
                self._roll_back(failure)
                raise failure from error
            except Exception as error:
                self._roll_back(error)
                raise
            self.daemon.disarm()
        if not had_state:
            shutil.rmtree(self.aside)
        return {
            **result,
            "quarantine": str(self.aside) if had_state else None,
            "steps": self.steps.taken,
        }

    def _open_key(self, facts: _state_facts.StateFacts) -> None:
        """Open the sealed key of the copy, because Docker cannot force a new cluster with a sealed one (B4.11)."""
        key = self._key_bytes()
        if not facts.sealed or key is None:
            return
        path = self._staged / "certificates" / "swarm-node.key"
        opened = _node_key.open_node_key(_node_key.parse_node_key(path.read_bytes()), key)
        path.chmod(0o600)
        path.write_bytes(opened)

    def _bring_up(self, facts: _state_facts.StateFacts) -> dict[str, t.Any]:
        with self.steps.step("start"):
            self.engine.close()
            self.daemon.start()
            wait_for(
                lambda: self.engine.local_state().control_available,
                bool,
                attempted="see the restored state loaded by the engine",
                timeout=self.options.wait_timeout,
                tolerate=_TRANSIENT,
                remedy="See journalctl -u docker",
            )
        with self.steps.step("force a new cluster"):
            if not self._leads_alone(facts):
                self.engine.force_new_cluster(
                    autolock=self.autolock,
                    listen_address=facts.docker_state.get("ListenAddr") or "0.0.0.0:2377",
                    advertise_address=facts.docker_state.get("AdvertiseAddr") or facts.address or "",
                    data_path_address=facts.docker_state.get("DataPathAddr") or "",
                )
        with self.steps.step("wait for the leader"):
            wait_for(
                lambda: self._leads(facts.node_id),
                bool,
                attempted="see the restored manager lead its swarm",
                timeout=self.options.wait_timeout,
                tolerate=_TRANSIENT,
            )
        with self.steps.step("compare with the manifest"):
            return self._compare(facts)

    def _leads_alone(self, facts: _state_facts.StateFacts) -> bool:
        """Whether it leads its swarm without being forced to, as the only manager of a swarm does.

        Where it was autolocked, it has sealed its key again by then, and no engine can force a new cluster with a sealed
        key (lab fact B4.10).

        Raises:
            Refused: Another manager is in its swarm, and there is a leader, so a quorum lives.
        """
        try:
            managers = wait_for(
                lambda: [node for node in self.engine.nodes() if node.manager is not None],
                bool,
                attempted="see whether the restored manager leads by itself",
                timeout=0 if self._other_managers(facts) else DECISIVE,
                tolerate=_TRANSIENT,
            )
        except TimedOut:
            return False
        others = [node.name for node in managers if node.id != facts.node_id]
        if others:
            raise Refused(
                "force a new cluster on this manager",
                f"it has found a living quorum of its swarm, with {', '.join(others)}",
                "Do not restore a swarm that lives: rejoin the broken manager",
            )
        return True

    def _leads(self, node_id: str | None) -> bool:
        me = next((node for node in self.engine.nodes() if node.id == node_id), None)
        return me is not None and me.state == "ready" and me.manager is not None and me.manager.leader

    def _compare(self, facts: _state_facts.StateFacts) -> dict[str, t.Any]:
        cluster = self.engine.cluster()
        inventory = self.engine.inventory().as_dict()
        manager = next((node for node in self.engine.nodes() if node.id == facts.node_id), None)
        problems, difference = comparison(
            identity=(
                ("cluster ID", facts.cluster_id, cluster.id),
                ("root CA digest", facts.root_ca_sha256, _certificate.digest(cluster.root_ca.encode())),
                ("node ID", facts.node_id, manager.id if manager else None),
            ),
            archived=self.manifest.get("inventory", {}),
            inventory=inventory,
        )
        raft_address = host_of(manager.manager.address) if manager and manager.manager else ""
        if raft_address not in self.host_addresses:
            problems.append(f"its raft address is {raft_address}, which is no address of this host")
        if cluster.autolock != self.autolock:
            problems.append(f"autolock is {'on' if cluster.autolock else 'off'} afterwards")
        if self.autolock:
            problems.extend(self._key_problems())
        if problems:
            raise EngineError("restore the swarm as it was archived", "; ".join(problems), "", difference=difference)
        return {
            "cluster_id": cluster.id,
            "node_id": facts.node_id,
            "address": raft_address,
            "autolock": cluster.autolock,
            "inventory": inventory,
            "difference": difference,
            "peers": [dataclasses.asdict(peer) for peer in self.peers],
        }

    def _key_problems(self) -> list[str]:
        """See that the engine sealed the key again, and that the same unlock key still opens it."""
        key = self._key_bytes()
        path = self.state.path / "certificates" / "swarm-node.key"
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
            return ["the unlock key of the archive does not open the restored manager"]
        return []

    def _is_back(self) -> bool:
        """Whether the engine answers with the old state, which is unlocked again where it was before."""
        if not self._old_key:
            return bool(self.engine.version())
        if self.engine.local_state().state == "locked":
            self.engine.unlock(self._old_key, timeout=5)
        return self.engine.local_state().state != "locked"

    def _roll_back(self, error: Exception) -> None:
        """Put the old state back and start the engine on it; say so in the error."""
        try:
            with self.steps.step("roll back"):
                self.daemon.stop()
                self.state.put_back(self.aside, self._discarded)
                self.engine.close()
                self.daemon.start()
                wait_for(
                    self._is_back,
                    bool,
                    attempted="reach the engine after the roll-back",
                    timeout=self.options.wait_timeout,
                    tolerate=(Unreachable, Unsettled),
                )
        except (SwarmError, OSError) as second:
            # The dead man's switch stays armed: it tries the same once more.
            raise DaemonFailed(
                "put the old state back after a failed restore",
                f"{second} The restore had failed because of: {error}",
                f"The old state is in {self.aside} unless it is in {self.state.path} again; stop the engine, rename it "
                "back and start the engine",
                quarantine=str(self.aside),
            ) from error
        self.daemon.disarm()
        if isinstance(error, SwarmError):
            error.details["rolled_back"] = True
            error.remedy = (
                f"{error.remedy.rstrip('.')}. " if error.remedy else ""
            ) + "Everything was put back as it was, and the engine runs on the old state"
