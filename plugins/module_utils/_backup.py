# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the order of a backup of one manager, and that the engine is running again whatever happens in between.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import stat
import time
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import (
    _archive,
    _certificate,
    _node_key,
    _raft_store,
    _state_facts,
)
from ansible_collections.quorate.swarm.plugins.module_utils._critical import Steps, uninterrupted
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    BadArchive,
    DaemonFailed,
    Locked,
    NotAManager,
    QuorumLost,
    Refused,
    SwarmError,
    Unreachable,
    Unsettled,
    WrongKey,
)
from ansible_collections.quorate.swarm.plugins.module_utils._manifest import archive_name
from ansible_collections.quorate.swarm.plugins.module_utils._model import Cluster, Node
from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment_text
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import quorum_health, stop_reasons
from ansible_collections.quorate.swarm.plugins.module_utils._raft_inventory import (
    Told,
    live_problems,
)
from ansible_collections.quorate.swarm.plugins.module_utils._raft_seal import require_library
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NODE_CERTIFICATE, NODE_KEY
from ansible_collections.quorate.swarm.plugins.module_utils._step_down import hand_over
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey, survey, wait_until_settled
from ansible_collections.quorate.swarm.plugins.module_utils._version import COLLECTION_VERSION
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

#: A copy of a running manager can catch the raft store between two files; it is made again so many times.
_HOT_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class BackupOptions:
    """What the operator asked for; times in seconds. See the documentation of swarm_backup."""

    directory: Path
    method: str
    leader: str
    allow_control_plane_outage: bool
    keep: int | None
    escrowed_fingerprints: t.Sequence[str] | None
    settle_timeout: float
    wait_timeout: float
    dead_man_timeout: int


@dataclasses.dataclass(frozen=True)
class BackupPlan:
    """What the guards found while nothing was changed yet. The unlock key lives here, in memory only."""

    node: Node
    engine_version: str
    cluster: Cluster
    unlock_key: str = dataclasses.field(repr=False)
    hand_over_leadership: bool
    created: str

    @property
    def name(self) -> str:
        return archive_name(cluster=self.cluster.id, node=self.node.id, created=self.created)


def require_private_directory(directory: Path) -> None:
    """Refuse a directory for archives that others can enter. One that is missing is made later, and private.

    Raises:
        Refused: It is no directory, or others than its owner may do something in it.
    """
    attempted = f"write an archive to {directory}"
    try:
        mode = directory.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        raise Refused(attempted, "it is not a directory", "Give a directory")
    if stat.S_IMODE(mode) & 0o077:
        raise Refused(
            attempted,
            f"its mode is {stat.S_IMODE(mode):04o}, and an archive holds the keys of the swarm",
            f"chmod 0700 {directory}, or give another directory",
        )


def leader_decision(*, is_leader: bool, managers: int, leader: str) -> bool:
    """Decide what to do about a manager that leads the swarm.

    Stopping the leader blocks the others for 10 to 20 s, handing the leadership over costs them nothing
    (lab fact B1.7). The only manager of a swarm always leads it, and blocks nobody else.

    Returns: whether the leadership is to be handed over first.

    Raises:
        Refused: It leads, and the operator has not chosen what to do.
    """
    if not is_leader or managers == 1 or leader == "stop":
        return False
    if leader == "step_down":
        return True
    raise Refused(
        "back up this manager",
        "it is the leader, and stopping the leader blocks the other managers for 10 to 20 s",
        "Back up another manager, or set leader to step_down or stop",
    )


def outage_decision(nodes: t.Sequence[Node], node: Node, *, allow_control_plane_outage: bool) -> None:
    """Decide whether this manager may be stopped.

    Raises:
        Refused: The quorum would not hold, with the numbers. With one or two managers, all of them reachable, the
            operator may accept that nobody can manage the swarm meanwhile; its tasks on other nodes go on.
    """
    reasons = stop_reasons(nodes, [node.id])
    if not reasons:
        return
    health = quorum_health(nodes)
    small = health.managers <= 2 and health.reachable == health.managers
    if small and allow_control_plane_outage:
        return
    raise Refused(
        f"stop the manager {node.name} for a backup",
        "; ".join(reason.message for reason in reasons),
        "Set allow_control_plane_outage to accept that the swarm cannot be managed for some seconds"
        if small
        else " ".join(f"{reason.remedy}." for reason in reasons),
        reasons=[reason.as_dict() for reason in reasons],
    )


def require_escrowed(unlock_key: str, escrowed: t.Sequence[str] | None) -> None:
    """Refuse a backup that only a key would open which nobody keeps.

    Args:
        unlock_key: The current unlock key.
        escrowed: Fingerprints of the keys that are kept; None when nothing is known of that.

    Raises:
        Refused: The current key is none of them.
    """
    fingerprint = _node_key.fingerprint(_node_key.parse_unlock_key(unlock_key))
    if escrowed is not None and fingerprint not in escrowed:
        raise Refused(
            "back up this manager",
            f"the escrow does not hold the current unlock key {fingerprint}, without which neither this manager nor the "
            "archive can be opened",
            "Put it there: run quorate.swarm.rotate_unlock_key, with rotate_unlock_key_policy set to never to keep the key",
            unlock_key_fingerprint=fingerprint,
        )


class Backup:
    """One backup of the manager on this host.

    Args:
        engine: This host's engine.
        daemon: Its service.
        state: Its state directory.
        options: What the operator asked for.
        peer: Another manager's engine, for handing over the leadership.
        hide: Told every secret that is fetched, so that no output shows it.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        daemon: Daemon,
        state: StateDir,
        options: BackupOptions,
        peer: Engine | None,
        hide: t.Callable[[str], None],
    ) -> None:
        self.engine = engine
        self.daemon = daemon
        self.state = state
        self.options = options
        self.peer = peer
        self.hide = hide
        self.steps = Steps()

    # -- guards: nothing is changed ------------------------------------------------------------------------------

    def plan(self) -> BackupPlan:
        """Pass every guard, or raise the reason. Changes nothing."""
        options = self.options
        found = survey(self.engine)
        found.require_manager()
        nodes = wait_until_settled(self.engine, timeout=options.settle_timeout)
        node = self._this_node(found, nodes)
        hand_over_leadership = False
        if options.method == "cold":
            outage_decision(nodes, node, allow_control_plane_outage=options.allow_control_plane_outage)
            hand_over_leadership = leader_decision(
                is_leader=bool(node.manager and node.manager.leader),
                managers=quorum_health(nodes).managers,
                leader=options.leader,
            )
        cluster = self.engine.cluster()
        self._require_own_state(cluster, node)
        unlock_key = self._unlock_key(cluster)
        require_private_directory(options.directory)
        self.state.require_room(self.state.size())
        local = found.local
        return BackupPlan(
            node=node,
            engine_version=local.engine_version if local else "",
            cluster=cluster,
            unlock_key=unlock_key,
            hand_over_leadership=hand_over_leadership,
            created=moment_text(),
        )

    @staticmethod
    def _this_node(found: Survey, nodes: t.Sequence[Node]) -> Node:
        node_id = found.local.node_id if found.local else ""
        for node in nodes:
            if node.id == node_id and node.manager is not None:
                return node
        raise NotAManager(
            "back up this manager", "the node list does not show it as a manager", "Run it on another manager"
        )

    def _require_own_state(self, cluster: Cluster, node: Node) -> None:
        """See that the state directory is this manager's, with the library that will check its copy."""
        attempted = f"back up {self.state.path}"
        remedy = "Give the state directory of this engine as state_directory"
        try:
            certificate = _certificate.describe((self.state.path / NODE_CERTIFICATE).read_bytes())
        except OSError as error:
            raise Refused(attempted, f"there is no swarm state in it that can be read ({error})", remedy) from error
        if (certificate.node_id, certificate.cluster_id) != (node.id, cluster.id):
            raise Refused(
                attempted,
                f"it is of node {certificate.node_id} of swarm {certificate.cluster_id}, not of this engine",
                remedy,
            )

    def _unlock_key(self, cluster: Cluster) -> str:
        """Fetch the unlock key when autolock is on, and prove on this disk that it will open this manager again.

        What opens the raft store of the copy afterwards, the libraries included, is tried here, before the stop.
        """
        unlock_key = ""
        if cluster.autolock:
            unlock_key = self.engine.unlock_key()
            self.hide(unlock_key)
            require_escrowed(unlock_key, self.options.escrowed_fingerprints)
        node_key = _node_key.parse_node_key((self.state.path / NODE_KEY).read_bytes())
        try:
            _node_key.raft_keys(node_key, self._key_bytes(unlock_key))
            require_library()
        except WrongKey:
            raise Refused(
                "stop this manager",
                "the swarm's unlock key does not open this manager's own key file, so it could not be unlocked again; "
                "the last rotation has not arrived here yet",
                "Wait a minute and run again, or back up another manager",
            ) from None
        return unlock_key

    @staticmethod
    def _key_bytes(unlock_key: str) -> bytes | None:
        return _node_key.parse_unlock_key(unlock_key) if unlock_key else None

    # -- actions -------------------------------------------------------------------------------------------------

    def run(self, plan: BackupPlan) -> dict[str, t.Any]:
        """Make the backup that was planned.

        Returns: C(archive), C(checksum), C(size), C(manifest), C(downtime), C(removed) and C(steps).

        Raises:
            SwarmError: What went wrong. The engine was started again before.
        """
        if plan.hand_over_leadership:
            with self.steps.step("hand over the leadership"):
                self._hand_over(plan)
        # The dead man's switch is the lock of this host, so a hot backup has none and clears no leftovers.
        before = self._inventory()
        with self.steps.step("write a settling entry"):
            marker = self._settle(plan)
        if self.options.method == "hot":
            copy, facts = self._copy_hot(plan, marker)
            downtime = 0.0
        else:
            copy, downtime = self._copy_cold(plan)
        trouble = functools.lru_cache(maxsize=None)(lambda: self._trouble(plan))  # waited for once, however this ends
        attempted = f"see the manager {plan.node.name} healthy again after its backup"
        try:
            # A manager that has just started needs a second or more to be reachable, which the archive is made in.
            if self.options.method == "cold":
                with self.steps.step("check the copy"):
                    facts = self._check(copy, plan, marker)
            with contextlib.ExitStack() as unnamed:
                with self.steps.step("write and verify the archive"):
                    written = unnamed.enter_context(
                        _archive.new_archive(
                            state_dir=copy,
                            destination=self.options.directory,
                            name=plan.name,
                            facts=self._manifest(plan, facts),
                        )
                    )
                after = self._inventory() if trouble() is None else None
                self._require_same(facts, before, after)
        except SwarmError as error:
            if trouble() is None:
                raise
            raise SwarmError(
                attempted,
                str(trouble()),
                f"Look after the manager now. There is no archive either: {error}",
                downtime=downtime,
            ) from trouble()
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        if trouble() is not None:
            raise SwarmError(
                attempted,
                str(trouble()),
                f"The archive {written.path} is good; look after the manager now",
                archive=str(written.path),
                downtime=downtime,
            ) from trouble()
        removed: list[Path] = []
        if self.options.keep is not None:
            removed = _archive.prune(
                self.options.directory, cluster=plan.cluster.id, node=plan.node.id, keep=self.options.keep
            )
        return {
            "archive": str(written.path),
            "checksum": written.sha256,
            "size": written.size,
            "manifest": written.manifest,
            "downtime": downtime,
            "removed": [str(path) for path in removed],
            "steps": self.steps.taken,
        }

    def _inventory(self) -> Told:
        """What the swarm consists of. An engine whose configs take hundreds of megabytes may need more than one request."""
        return wait_for(
            lambda: self.engine.inventory().as_dict(),
            bool,
            attempted="list the objects of the swarm",
            timeout=self.options.settle_timeout,
            tolerate=(Unsettled,),
        )

    def _hand_over(self, plan: BackupPlan) -> None:
        if self.peer is None:
            raise Refused(
                "hand over the leadership",
                "a demoted manager cannot promote itself again, so another manager's engine is needed",
                "Set peer_docker_host to the address of another manager's engine",
            )
        hand_over(self.peer, plan.node.id, timeout=self.options.wait_timeout)
        wait_for(
            lambda: self._is_follower(plan.node.id),
            bool,
            attempted=f"see {plan.node.name} as a reachable follower",
            timeout=self.options.wait_timeout,
            tolerate=(Unsettled, QuorumLost, NotAManager, Unreachable),
        )
        nodes = wait_until_settled(self.engine, timeout=self.options.settle_timeout)
        outage_decision(nodes, plan.node, allow_control_plane_outage=self.options.allow_control_plane_outage)

    def _is_follower(self, node_id: str) -> bool:
        managers = {node.id: node.manager for node in self.engine.nodes()}
        manager = managers.get(node_id)
        return manager is not None and manager.reachable and not manager.leader

    def _settle(self, plan: BackupPlan) -> int:
        """Write the settling entry, and see it arrive on this manager's own disk: a follower may lag behind.

        Returns: the raft index up to which the copy must be committed. The settling entry comes right after it.
        """
        marker = self.engine.touch_node(plan.node.id)
        wait_for(
            lambda: _raft_store.newest_index(self.state.path),
            lambda last: last > marker,
            attempted=f"see raft entry {marker + 1} arrive on the manager {plan.node.name}",
            timeout=self.options.settle_timeout,
            tolerate=(BadArchive,),
            remedy="This manager does not follow the leader: back up another one",
        )
        return marker

    def _copy_hot(self, plan: BackupPlan, marker: int) -> tuple[Path, _state_facts.StateFacts]:
        with self.steps.step("copy while running"):
            for left in reversed(range(_HOT_ATTEMPTS)):
                copy = self.state.new_work_folder("hot")
                try:
                    self.state.copy_to(copy)
                    facts = self._check(copy, plan, marker)
                    break
                except BaseException as error:
                    shutil.rmtree(copy, ignore_errors=True)
                    if not left or not isinstance(error, (BadArchive, FileNotFoundError)):
                        raise
                    time.sleep(1)
            return copy, facts

    def _copy_cold(self, plan: BackupPlan) -> tuple[Path, float]:
        """Stop, copy, start, unlock. Returns the copy, and the seconds of downtime."""
        self.daemon.arm(seconds=self.options.dead_man_timeout)
        copy: Path | None = None
        try:
            with uninterrupted():
                self.state.remove_leftovers()
                copy = self.state.new_work_folder("copy")
                with self.steps.step("copy the snapshots"):
                    try:
                        self.state.copy_ahead(copy)
                    except OSError as error:
                        raise SwarmError(
                            f"copy {self.state.path}", str(error), "Nothing was stopped. See to that, and run again"
                        ) from error
                began = time.monotonic()
                try:
                    with self.steps.step("stop"):
                        self.daemon.stop(looked_at_later=True)
                    with self.steps.step("copy"):
                        self.state.copy_to(copy)
                        self._require_still_stopped()
                except BaseException as error:
                    # An engine does not start on a full disk, and it may be the copy that has filled it.
                    shutil.rmtree(copy, ignore_errors=True)
                    if isinstance(error, OSError):
                        raise SwarmError(f"copy {self.state.path}", str(error), "See to that, and run again") from error
                    raise
                finally:
                    with self.steps.step("start"):
                        self.daemon.start()
                        self.engine.close()
                        wait_for(
                            self.engine.version,
                            bool,
                            attempted="reach the engine after its start",
                            timeout=self.options.wait_timeout,
                            sleep=0.1,
                            tolerate=(Unreachable, Unsettled),
                            remedy="See journalctl -u docker",
                        )
                downtime = round(time.monotonic() - began, 3)
                if plan.unlock_key:
                    with self.steps.step("unlock"):
                        self._unlock_again(plan)
                self.daemon.disarm()
            return copy, downtime
        except BaseException:
            # Where the engine runs again the switch has nothing to do; where it does not, the switch is the last hope.
            if not self._engine_is_down():
                self._unlock_again(plan)
                self.daemon.disarm()
            if copy is not None:
                shutil.rmtree(copy, ignore_errors=True)
            raise

    def _require_still_stopped(self) -> None:
        """Refuse a copy during which the engine was started: by the switch, when the copy took too long, or by hand."""
        active = self.daemon.active_units()
        if active:
            raise DaemonFailed(
                f"copy {self.state.path} while the engine is stopped",
                f"{', '.join(active)} was started before the copy was complete",
                "Run again; if nobody started it, give dead_man_timeout more seconds than the stop and the copy take",
            )

    def _unlock_again(self, plan: BackupPlan) -> None:
        """Unlock this manager after its start. One that does not take its key is told by whatever is waited for next."""
        with contextlib.suppress(SwarmError):
            if plan.unlock_key and self.engine.local_state().state == "locked":
                self.engine.unlock(plan.unlock_key, timeout=5)

    def _engine_is_down(self) -> bool:
        try:
            self.engine.version()
        except SwarmError:
            return True
        return False

    def _trouble(self, plan: BackupPlan) -> SwarmError | None:
        """Wait until this manager is healthy again, and return why it is not."""
        if self.options.method == "hot":
            return None
        try:
            with self.steps.step("wait until reachable"):
                self._wait_back(plan)
        except SwarmError as error:
            return error
        return None

    def _wait_back(self, plan: BackupPlan) -> None:
        def probe() -> list[str]:
            local = self.engine.local_state()
            if local.state == "locked":
                if not plan.unlock_key:
                    raise Locked("unlock this manager", "autolock was switched on meanwhile", "Unlock it by hand")
                with contextlib.suppress(Unsettled):
                    self.engine.unlock(plan.unlock_key, timeout=5)
            nodes = self.engine.nodes()
            waiting = [node.name for node in nodes if node.state == "unknown"]
            me = next((node for node in nodes if node.id == plan.node.id), None)
            if me is None or me.state != "ready" or me.manager is None or not me.manager.reachable:
                waiting.append(f"this manager ({me.state if me else 'not listed'})")
            return waiting

        wait_for(
            probe,
            lambda waiting: not waiting,
            attempted=f"see the manager {plan.node.name} ready and reachable after its start",
            timeout=self.options.wait_timeout,
            sleep=0.2,
            tolerate=(Unsettled, QuorumLost, Unreachable, NotAManager, Locked),
            remedy="The engine runs; run quorate.swarm.swarm_info here to see what it waits for",
        )

    def _check(self, copy: Path, plan: BackupPlan, marker: int) -> _state_facts.StateFacts:
        """Prove that the copy is this manager's state and holds the settling entry, and open every record of it."""
        facts = _state_facts.check_state(copy, unlock_key=self._key_bytes(plan.unlock_key), decode=True)
        attempted = f"check the copy of {self.state.path}"
        if facts.node_id != plan.node.id or facts.cluster_id != plan.cluster.id:
            raise BadArchive(
                attempted,
                f"it belongs to node {facts.node_id} of swarm {facts.cluster_id}, not to {plan.node.id} of "
                f"{plan.cluster.id}",
                "Give the state directory of this engine as state_directory",
            )
        if facts.raft is None or facts.raft.commit_index < marker:
            raise BadArchive(
                attempted,
                f"its raft store is committed up to entry {facts.raft.commit_index if facts.raft else 0}, and the swarm was "
                f"at {marker} before the copy",
                "Run again; if it stays, this manager does not follow the leader: back up another one",
            )
        return facts

    def _require_same(self, facts: _state_facts.StateFacts, before: Told, after: Told | None) -> None:
        """See that the copy holds what the swarm says it consists of, object by object."""
        problems = live_problems(facts.contents, before, after) if facts.contents else []
        if problems:
            raise BadArchive(
                f"find the swarm in the copy of {self.state.path}",
                "; ".join(problems),
                "Run again; if it stays, back up another manager",
                problems=problems,
            )

    def _manifest(self, plan: BackupPlan, facts: _state_facts.StateFacts) -> dict[str, t.Any]:
        key = self._key_bytes(plan.unlock_key)
        return {
            "created": plan.created,
            "method": self.options.method,
            "collection_version": COLLECTION_VERSION,
            **_state_facts.manifest_of(facts, unlock_key=key),
            "engine": {"version": plan.engine_version},
            "autolock": plan.cluster.autolock,
        }
