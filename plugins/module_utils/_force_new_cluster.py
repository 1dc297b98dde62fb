# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a manager is made the only one of its swarm from a copy of a state directory, and how everything is put back
when that fails.

How it comes to lead, _lone_manager.py knows. The copy lies beside the state directory. While the engine is stopped its key
is opened, and it is swapped in by two renames. From before the stop until the swarm is proven, the dead man's switch would
put the old state back, remove the copy, and start the engine.

The engine does not look for the other managers of the copy: it is started outside its swarm (_daemon.py), because it would
wait for them in vain. Only where one of them may be alive, and the copy is one of this engine's own state, it is let in.
A manager without others is let in too: it leads by itself, and has then lost nothing (lab fact B4.5).

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._changed_settings import ChangedSettings
from ansible_collections.quorate.swarm.plugins.module_utils._critical import Steps, uninterrupted
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._data_root import require_of_engine
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    DaemonFailed,
    Refused,
    SwarmError,
    Unreachable,
    Unsettled,
)
from ansible_collections.quorate.swarm.plugins.module_utils._fence import Peer, probe_all
from ansible_collections.quorate.swarm.plugins.module_utils._lone_manager import Copy, LoneManager, other_managers
from ansible_collections.quorate.swarm.plugins.module_utils._model import version_tuple
from ansible_collections.quorate.swarm.plugins.module_utils._node_key import unlock_key_text
from ansible_collections.quorate.swarm.plugins.module_utils._raft_snapshot import newest_snapshot_index
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir, utc_stamp
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import StateFacts
from ansible_collections.quorate.swarm.plugins.module_utils._survey import DECISIVE
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

#: Heartbeat period of a swarm, in nanoseconds, whose leader waits three minutes for its workers: a leader takes a node for
#: down that is silent for six periods from when it begins to lead. Measured: 28 s with the usual 5 s, 122 s with 20 s.
_SLOW_HEARTBEAT = 30 * 10**9
#: The first engine that brings a manager that joins up to date at once. Older ones send it 64 KB of their raft log with
#: each heartbeat of raft, one a second; measured on 20.10: 19 s for a log of 1.2 MB, 97 s for 4.8 MB. Until then the second
#: manager of a swarm is joining, and the swarm, of which it is a half, has no quorum.
_SENDS_LOG_AT_ONCE = (23,)
#: What lets a leader write a snapshot with the next entry, and keep nothing of the log beside it.
_SHORTEST_LOG = {"SnapshotInterval": 1, "LogEntriesForSlowFollowers": 1}
#: Seconds until a snapshot is written.
_SNAPSHOT_TIMEOUT = 30

# -- decisions -------------------------------------------------------------------------------------------------------


def living(peers: t.Iterable[Peer]) -> list[Peer]:
    """Those of the other managers' addresses where a manager of this swarm answers, or may be answering."""
    return [peer for peer in peers if peer.state in ("alive", "unclear")]


def fence_decision(peers: t.Sequence[Peer]) -> None:
    """Decide by what answered at the other managers' addresses whether a new cluster may be forced.

    A second cluster beside a living one takes it over, and writes are lost (lab facts B5.8, B5.9).

    Raises:
        Refused: A manager of this swarm lives, or something listens and does not say what it is.
    """
    alive = living(peers)
    if alive:
        raise Refused(
            "force a new cluster",
            "another manager of this swarm may be alive: "
            + "; ".join(f"{peer.address}: {peer.detail}" for peer in alive),
            "If the swarm still has its quorum, leave it alone, and rejoin the broken manager. If not, stop "
            "docker.socket and docker.service on these hosts first",
            peers=[dataclasses.asdict(peer) for peer in alive],
        )


# -- the sequence ----------------------------------------------------------------------------------------------------


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
        of_itself: Whether the copy is one of the state that it replaces. Then a quorum that is found after the start is
            the swarm that has come back by itself, and this manager belongs to it; else it is one that nobody saw.

    Attributes:
        steps: The steps that were taken.
        settings: The settings of the swarm that are changed for a moment.
        aside: Where the old state is kept.
        came_back: Whether the swarm came back by itself, so that no new cluster was forced.
        keeps_old: Whether the old state is kept; there is no reason to where the copy has all that is in it.
        warnings: What the operator should know, although it is no failure.
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
        of_itself: bool = False,
    ) -> None:
        self.engine = engine
        self.daemon = daemon
        self.state = state
        self.wait_timeout = wait_timeout
        self.dead_man_timeout = dead_man_timeout
        self.what = what
        self.of_itself = of_itself
        self.came_back = False
        self.keeps_old = True
        self.warnings: list[str] = []
        self.steps = Steps()
        self.settings = ChangedSettings(engine, state.path)
        self._lone = LoneManager(
            engine=engine,
            directory=state.path,
            addresses=host_addresses,
            unlock_key=unlock_key,
            wait_timeout=wait_timeout,
            steps=self.steps,
        )
        self._work: Path | None = None
        stamp = utc_stamp()
        self.aside = state.path.with_name(f"{state.path.name}.quarantine-{stamp}")
        self._discarded = state.path.with_name(f"{state.path.name}.discarded-{stamp}")

    def key_bytes(self) -> bytes | None:
        """The unlock key, or None without one. Raises WrongKey when it is malformed."""
        return self._lone.key_bytes()

    def use_key(self, unlock_key: str) -> None:
        """Take another unlock key than the one that was given at first."""
        self._lone.unlock_key = unlock_key

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

    def count_as_own(self, address: str) -> None:
        """Take an address for one of this host, which is lent it only for this."""
        self._lone.addresses = {*self._lone.addresses, address}

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
        self.state.remove_leftovers()  # a power cut takes the switch with it, and leaves a copy that may hold an opened key
        self.daemon.arm(
            seconds=self.dead_man_timeout,
            before_start=[
                *self.daemon.stop_commands(),
                *self.daemon.uncover_commands(self.state.path),
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
                    self._use_key_of_store(before.facts)
                    self._lone.open_key(self.copy, before.facts)
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
        keep = had_state and self.keeps_old and not self.came_back
        if not keep:
            shutil.rmtree(self.aside)
        return {**result, "quarantine": str(self.aside) if keep else None}

    def _use_key_of_store(self, facts: StateFacts) -> None:
        """Take the swarm's own unlock key for a node key that is open on disk although the swarm is autolocked: with that
        the engine will seal it."""
        if facts.contents and facts.autolock and not facts.sealed:
            self.use_key(unlock_key_text(facts.contents.cluster.unlock_keys[0]))

    def _bring_up(self, before: Copy) -> dict[str, t.Any]:
        others = other_managers(before.facts)
        is_outside = bool(others) and self._start_outside()
        if not is_outside:
            self._start_inside()
        with self.steps.step("look for other managers once more"):
            peers = probe_all(others, cluster_id=before.facts.cluster_id or "")
            if living(peers) and is_outside and self.of_itself:
                self.daemon.stop()
                self._start_inside()
                is_outside = False
            if self.of_itself and not is_outside and self._lone.members(timeout=DECISIVE if living(peers) else 0):
                return self._note_return(before.facts)
            fence_decision(peers)
        result = self._lone.take_over(before)
        self._settle_settings()
        if any(node.role == "worker" for node in self.engine.nodes()):
            with self.steps.step("give the workers time"):
                self._give_workers_time(before.facts)
        if version_tuple(self.engine.version()["Version"]) < _SENDS_LOG_AT_ONCE:
            with self.steps.step("shorten the raft log"):
                self._shorten_log()
        return result

    def _start_outside(self) -> bool:
        """Start the engine outside the swarm of its state directory. Returns whether that is where it is."""
        with self.steps.step("start outside the swarm"):
            self.engine.close()
            if not self.daemon.cover(self.state.path):
                return False
            self.daemon.start()
            is_outside = self._lone.wait_until_up()
        with self.steps.step("uncover the state"):
            self.daemon.uncover()
            require_of_engine(self.state.path, self.engine.root_dir())
        return is_outside

    def _start_inside(self) -> None:
        """Start the engine, if it does not run, and wait until it has loaded the state."""
        with self.steps.step("start"):
            self.engine.close()
            self.daemon.start()
            self._lone.wait_until_loaded(remedy="See journalctl -u docker")
            require_of_engine(self.state.path, self.engine.root_dir())

    def _settle_settings(self) -> None:
        """Put back what an earlier run has changed in this state; another state has settings of its own."""
        try:
            if self.of_itself:
                self.settings.put_back()
            else:
                self.settings.forget()
        except SwarmError as error:
            self.warnings.append(str(error))

    def _give_workers_time(self, facts: StateFacts) -> None:
        """Lead once more, with more patience for the workers: the tasks of one that is taken for down are started anew.

        How long a leader waits for them is settled when it begins to lead, by the heartbeat period of the swarm.
        """
        period = (self.engine.swarm()["Spec"].get("Dispatcher") or {}).get("HeartbeatPeriod") or 0
        if not 0 < period < _SLOW_HEARTBEAT:
            return
        with self.settings.changed("Dispatcher", {"HeartbeatPeriod": _SLOW_HEARTBEAT}):
            self.daemon.stop()
            self._start(self._lone.unlock_key if facts.autolock else "")
            self._lone.wait_until_leading(facts.node_id)

    def _shorten_log(self) -> None:
        """Let the leader write a snapshot, which is what a manager that joins is sent in place of the log.

        It does so when the log has grown by the snapshot interval, which it reads before it takes an entry: the one that
        puts the interval back is the one that makes the snapshot. The recovery does not fail by that.
        """
        try:
            with self.settings.changed("Raft", _SHORTEST_LOG) as asked_at:
                pass
            wait_for(
                lambda: newest_snapshot_index(self.state.path),
                lambda index: index > asked_at,
                attempted="see a snapshot of the raft log",
                timeout=_SNAPSHOT_TIMEOUT,
                sleep=0.1,
            )
        except SwarmError as error:
            self.warnings.append(
                f"The raft log could not be shortened: {error} A manager that joins now is sent 64 KB of it a second, and "
                "the swarm has no quorum until the first one has all of it. If docker info shows a snapshot interval of 1, run "
                "this again, which puts the usual one back"
            )

    def _note_return(self, facts: StateFacts) -> dict[str, t.Any]:
        """The result when the swarm has a quorum again by itself. Nothing of it may fail any more: a manager that has
        served in a quorum must never be put back to what it was before."""
        self.came_back = True
        self.warnings = self._lone.key_problems() if facts.autolock else []
        return {"cluster_id": facts.cluster_id, "node_id": facts.node_id}

    def _start(self, unlock_key: str) -> None:
        """Start the engine, and unlock it when there is a key."""
        self.engine.close()
        self.daemon.start()
        wait_for(
            lambda: self._is_up(unlock_key),
            bool,
            attempted="reach the engine after its start",
            timeout=self.wait_timeout,
            tolerate=(Unreachable, Unsettled),
        )

    def _is_up(self, unlock_key: str) -> bool:
        """Whether the engine answers, and is unlocked where there is a key."""
        if not unlock_key:
            return bool(self.engine.version())
        if self.engine.local_state().state == "locked":
            self.engine.unlock(unlock_key, timeout=5)
        return self.engine.local_state().state != "locked"

    def _roll_back(self, error: Exception, old_key: str) -> None:
        """Put the old state back and start the engine on it; say so in the error."""
        try:
            with self.steps.step("roll back"):
                self.daemon.stop()
                self.daemon.uncover()
                self.state.put_back(self.aside, self._discarded)
                self.settings.forget()
                self._start(old_key)
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
