# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a manager is made the only one of its swarm from a copy of a state directory, and how everything is put back
when that fails.

The copy lies beside the state directory. While the engine is stopped its key is opened, and it is swapped in by two
renames. From before the stop until the swarm is proven, the dead man's switch would put the old state back, remove the
copy, and start the engine.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import _certificate, _node_key
from ansible_collections.quorate.swarm.plugins.module_utils._critical import Steps, uninterrupted
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
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
)
from ansible_collections.quorate.swarm.plugins.module_utils._fence import Peer
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of, inventory_difference
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir, utc_stamp
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import StateFacts
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NODE_KEY
from ansible_collections.quorate.swarm.plugins.module_utils._survey import DECISIVE
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

#: What a manager may answer while its engine loads the state, or before it leads.
_TRANSIENT = (Unsettled, QuorumLost, Unreachable, NotAManager, Locked)

Inventory = t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]

# -- decisions -------------------------------------------------------------------------------------------------------


def fence_decision(peers: t.Sequence[Peer]) -> None:
    """Decide by what answered at the other managers' addresses whether a new cluster may be forced.

    A second cluster beside a living one takes it over, and writes are lost (lab facts B5.8, B5.9).

    Raises:
        Refused: A manager of this swarm lives, or something listens and does not say what it is.
    """
    alive = [peer for peer in peers if peer.state in ("alive", "unclear")]
    if alive:
        raise Refused(
            "force a new cluster",
            "another manager of this swarm may be alive: "
            + "; ".join(f"{peer.address}: {peer.detail}" for peer in alive),
            "If the swarm still has its quorum, leave it alone, and rejoin the broken manager. If not, stop "
            "docker.socket and docker.service on these hosts first",
            peers=[dataclasses.asdict(peer) for peer in alive],
        )


def other_managers(facts: StateFacts) -> list[str]:
    """Raft addresses of the managers that a state directory knows, but for its own."""
    return [address for node_id, address in facts.known_managers if node_id != facts.node_id]


def comparison(
    *, identity: t.Iterable[tuple[str, str | None, str | None]], before: Inventory, now: Inventory
) -> tuple[list[str], dict[str, t.Any]]:
    """Compare what came up with what was there before.

    Args:
        identity: What must be equal: its name, the value before, the value now.
        before: Inventory before; empty when it is not known.
        now: Inventory now.

    Returns: the problems that make it a failure, and the difference of the inventories. What is there beyond what was
    is no problem: it was created while the backup was made.
    """
    problems = []
    for what, expected, seen in identity:
        if expected != seen:
            problems.append(f"the {what} is {seen}, and was {expected}")
    difference = inventory_difference(before, now) if before else {}
    for kind, change in difference.items():
        if change["missing"]:
            names = ", ".join(str(entry.get("name") or entry.get("hostname")) for entry in change["missing"])
            problems.append(f"{len(change['missing'])} {kind} are missing: {names}")
    return problems, difference


# -- the sequence ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Copy:
    """A copy of a state directory that is complete.

    Attributes:
        facts: What is in it.
        inventory: What its swarm consists of; empty when that is not known.
    """

    facts: StateFacts
    inventory: Inventory


class ForceNewCluster:
    """Lets this host's engine lead a swarm alone, from a copy of a state directory.

    Args:
        engine: This host's engine.
        daemon: Its service.
        state: Its state directory.
        host_addresses: Addresses of this host.
        unlock_key: What opens the copy when it is sealed; else empty.
        wait_timeout: Seconds to wait until the engine has loaded the state, and again until it leads.
        dead_man_timeout: Seconds until the dead man's switch goes off; 0 goes without.
        what: What this is for, as a noun, for folders and messages: C(restore).

    Attributes:
        steps: The steps that were taken.
        aside: Where the old state is kept.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        daemon: Daemon,
        state: StateDir,
        host_addresses: frozenset[str],
        unlock_key: str,
        wait_timeout: float,
        dead_man_timeout: int,
        what: str,
    ) -> None:
        self.engine = engine
        self.daemon = daemon
        self.state = state
        self.host_addresses = host_addresses
        self.wait_timeout = wait_timeout
        self.dead_man_timeout = dead_man_timeout
        self.what = what
        self.steps = Steps()
        self._unlock_key = unlock_key
        self._work: Path | None = None
        stamp = utc_stamp()
        self.aside = state.path.with_name(f"{state.path.name}.quarantine-{stamp}")
        self._discarded = state.path.with_name(f"{state.path.name}.discarded-{stamp}")

    def key_bytes(self) -> bytes | None:
        """The unlock key, or None without one. Raises WrongKey when it is malformed."""
        return _node_key.parse_unlock_key(self._unlock_key) if self._unlock_key else None

    def new_copy(self) -> Path:
        """Make a place for the copy, on the file system of the state directory. cleanup() removes it."""
        self._work = self.state.new_work_folder(self.what)
        return self.copy

    @property
    def copy(self) -> Path:
        """The copy; new_copy() comes first."""
        if self._work is None:
            raise RuntimeError("there is no copy yet")
        return self._work / "swarm"

    def cleanup(self) -> None:
        """Remove the copy, if it was not swapped in. It may hold an opened key."""
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)

    def run(self, complete: t.Callable[[], Copy], *, old_key: str = "") -> dict[str, t.Any]:
        """Swap the copy in, start, force a new cluster, compare; or put everything back and raise why.

        Args:
            complete: Called while the engine is stopped; makes the copy complete, and says what is in it.
            old_key: Unlock key of the old state, with which a roll-back unlocks it again; else empty.

        Returns: C(cluster_id), C(node_id), C(address), C(autolock), C(inventory), C(difference), and C(quarantine), where
        the old state is kept, or None when there was none.

        Raises:
            SwarmError: It failed. The old state is back and the engine started, or the text says what is not.
        """
        if self.dead_man_timeout:
            self.daemon.arm(
                seconds=self.dead_man_timeout,
                before_start=[
                    *self.daemon.stop_commands(),
                    *self.state.put_back_commands(self.aside, self._discarded),
                    f"rm -rf {shlex.quote(str(self.copy.parent))}",
                ],
            )
        had_state = self.state.exists
        with uninterrupted():
            try:
                with self.steps.step("stop"):
                    self.daemon.stop()
                with self.steps.step("swap the state directories"):
                    before = complete()
                    self._open_key(before.facts)
                    self.state.replace_with(self.copy, self.aside)
                result = self._bring_up(before)
            except OSError as error:
                failure = SwarmError("put the state in place", str(error), "See to that, and run again")
                self._roll_back(failure, old_key)
                raise failure from error
            except Exception as error:
                self._roll_back(error, old_key)
                raise
            self.daemon.disarm()
        if not had_state:
            shutil.rmtree(self.aside)
        return {**result, "quarantine": str(self.aside) if had_state else None}

    def _open_key(self, facts: StateFacts) -> None:
        """Open the sealed key of the copy, because Docker cannot force a new cluster with a sealed one (B4.11)."""
        key = self.key_bytes()
        if not facts.sealed or key is None:
            return
        path = self.copy / NODE_KEY
        opened = _node_key.open_node_key(_node_key.parse_node_key(path.read_bytes()), key)
        path.chmod(0o600)
        path.write_bytes(opened)

    def _bring_up(self, before: Copy) -> dict[str, t.Any]:
        facts = before.facts
        with self.steps.step("start"):
            self.engine.close()
            self.daemon.start()
            wait_for(
                lambda: self.engine.local_state().control_available,
                bool,
                attempted="see the state loaded by the engine",
                timeout=self.wait_timeout,
                tolerate=_TRANSIENT,
                remedy="See journalctl -u docker",
            )
        with self.steps.step("force a new cluster"):
            if not self._leads_alone(facts):
                self.engine.force_new_cluster(
                    autolock=bool(facts.sealed),
                    listen_address=facts.docker_state.get("ListenAddr") or "0.0.0.0:2377",
                    advertise_address=facts.docker_state.get("AdvertiseAddr") or facts.address or "",
                    data_path_address=facts.docker_state.get("DataPathAddr") or "",
                )
        with self.steps.step("wait for the leader"):
            wait_for(
                lambda: self._leads(facts.node_id),
                bool,
                attempted="see this manager lead its swarm",
                timeout=self.wait_timeout,
                tolerate=_TRANSIENT,
            )
        with self.steps.step("compare"):
            return self._compare(before)

    def _leads_alone(self, facts: StateFacts) -> bool:
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
                attempted="see whether this manager leads by itself",
                timeout=0 if other_managers(facts) else DECISIVE,
                tolerate=_TRANSIENT,
            )
        except TimedOut:
            return False
        others = [node.name for node in managers if node.id != facts.node_id]
        if others:
            raise Refused(
                "force a new cluster on this manager",
                f"it has found a living quorum of its swarm, with {', '.join(others)}",
                "Leave a swarm alone that lives: rejoin the broken manager",
            )
        return True

    def _leads(self, node_id: str | None) -> bool:
        me = next((node for node in self.engine.nodes() if node.id == node_id), None)
        return me is not None and me.state == "ready" and me.manager is not None and me.manager.leader

    def _compare(self, before: Copy) -> dict[str, t.Any]:
        facts = before.facts
        cluster = self.engine.cluster()
        inventory = self.engine.inventory().as_dict()
        manager = next((node for node in self.engine.nodes() if node.id == facts.node_id), None)
        problems, difference = comparison(
            identity=(
                ("cluster ID", facts.cluster_id, cluster.id),
                ("root CA digest", facts.root_ca_sha256, _certificate.digest(cluster.root_ca.encode())),
                ("node ID", facts.node_id, manager.id if manager else None),
            ),
            before=before.inventory,
            now=inventory,
        )
        raft_address = host_of(manager.manager.address) if manager and manager.manager else ""
        if raft_address not in self.host_addresses:
            problems.append(f"its raft address is {raft_address}, which is no address of this host")
        if cluster.autolock != bool(facts.sealed):
            problems.append(f"autolock is {'on' if cluster.autolock else 'off'} afterwards")
        if facts.sealed:
            problems.extend(self._key_problems())
        if problems:
            raise EngineError("find the swarm as it was", "; ".join(problems), "", difference=difference)
        return {
            "cluster_id": cluster.id,
            "node_id": facts.node_id,
            "address": raft_address,
            "autolock": cluster.autolock,
            "inventory": inventory,
            "difference": difference,
        }

    def _key_problems(self) -> list[str]:
        """See that the engine sealed the key again, and that the same unlock key still opens it."""
        key = self.key_bytes()
        path = self.state.path / NODE_KEY
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
            return ["the unlock key does not open this manager any more"]
        return []

    def _is_back(self, old_key: str) -> bool:
        """Whether the engine answers with the old state, which is unlocked again where it was before."""
        if not old_key:
            return bool(self.engine.version())
        if self.engine.local_state().state == "locked":
            self.engine.unlock(old_key, timeout=5)
        return self.engine.local_state().state != "locked"

    def _roll_back(self, error: Exception, old_key: str) -> None:
        """Put the old state back and start the engine on it; say so in the error."""
        try:
            with self.steps.step("roll back"):
                self.daemon.stop()
                self.state.put_back(self.aside, self._discarded)
                self.engine.close()
                self.daemon.start()
                wait_for(
                    lambda: self._is_back(old_key),
                    bool,
                    attempted="reach the engine after the roll-back",
                    timeout=self.wait_timeout,
                    tolerate=(Unreachable, Unsettled),
                )
        except (SwarmError, OSError) as second:
            # The dead man's switch stays armed: it tries the same once more.
            raise DaemonFailed(
                f"put the old state back after a failed {self.what}",
                f"{second} The {self.what} had failed because of: {error}",
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
