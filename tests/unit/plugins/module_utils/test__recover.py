# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import (
    _changed_settings,
    _force_new_cluster,
    _node_key,
    _raft_store,
)
from ansible_collections.quorate.swarm.plugins.module_utils import _recover as module
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    BadArchive,
    EngineError,
    Locked,
    MissingLibrary,
    NotAManager,
    Refused,
    SwarmError,
    Unreachable,
    Unsettled,
    WrongKey,
)
from ansible_collections.quorate.swarm.plugins.module_utils._fence import Peer
from ansible_collections.quorate.swarm.plugins.module_utils._raft_snapshot import newest_snapshot_index
from ansible_collections.quorate.swarm.tests.unit.fake_engine import NO_DECISION, FakeApi, in_turn
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    KEY,
    NODE_KEY,
    OTHER_UNLOCK_KEY,
    UNLOCK_KEY,
    WAL,
    FakeHost,
    raft_contents,
    raft_newest_term,
    raft_position,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

STOPPED = ["arm", "stop", "copy", "swap"]
OUTSIDE = ["cover", "start", "uncover"]
PATIENT = ["heartbeat 30 s", "stop", "start", "heartbeat 5 s"]
UP = [*STOPPED, *OUTSIDE, "force new cluster", *PATIENT, "disarm"]
BACK = ["stop", "put back", "start"]
AUTOLOCKED_UP = [*UP[:-2], "unlock", *UP[-2:]]
DOWN = ("id-m1", "192.0.2.3")
THIRD_UNLOCK_KEY = "SWMKEY-1-" + "B" * 42 + "A"


class Killed(BaseException):
    """The process was killed with a signal that nobody can ignore."""


class World:
    """The manager m2 of a swarm of three, whose other two managers are gone."""

    def __init__(self, tmp_path: Path, api: FakeApi) -> None:
        self.host = FakeHost(tmp_path / "docker", api)
        self.host.peers_alive = False
        self.peers = [Peer("192.0.2.1:2377", "silent", "no answer"), Peer("192.0.2.3:2377", "closed", "it is up")]
        self.asked: list[tuple[list[str], str]] = []

    @property
    def effects(self) -> list[str]:
        return self.host.effects

    def probe_all(self, addresses: Any, *, cluster_id: str) -> list[Peer]:
        self.asked.append((list(addresses), cluster_id))
        return self.peers

    def recovery(self, **more: Any) -> module.Recover:
        options = {
            "unlock_keys": (),
            "down_managers": DOWN,
            "settle_timeout": 0,
            "wait_timeout": 20,
            "dead_man_timeout": 600,
        }
        return module.Recover(
            engine=Engine(),
            daemon=Daemon(self.host.run, systemd=True),
            state=self.host.state,
            options=module.RecoverOptions(**{**options, **more}),
            host_addresses=frozenset(self.host.addresses),
        )

    def make(self, **more: Any) -> dict[str, Any] | None:
        """Recover, if there is something to recover."""
        recovery = self.recovery(**more)
        killed = False
        try:
            result = recovery.run() if recovery.prepare() else None
            self.came_back = recovery.cluster.came_back
            self.warnings = recovery.cluster.warnings
            return result
        except Killed:
            killed = True
            raise
        finally:
            if not killed:
                recovery.cleanup()

    def names(self) -> list[str]:
        """What lies beside the state directory and in its place, without time stamps."""
        return sorted(path.name.partition("-20")[0] for path in self.host.state.path.parent.iterdir())


@pytest.fixture
def world(tmp_path: Path, api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path, api)
    for user in (module, _force_new_cluster):
        monkeypatch.setattr(user, "probe_all", world.probe_all)
    monkeypatch.setattr(_raft_store, "position", raft_position)
    monkeypatch.setattr(_raft_store, "newest_term", raft_newest_term)
    monkeypatch.setattr(_raft_store, "contents", raft_contents)
    monkeypatch.setattr(world.host.state, "require_room", lambda needed: None)
    world.host.join()
    return world


@pytest.fixture
def autolocked(world: World) -> World:
    world.host.join(unlock_key=UNLOCK_KEY)
    return world


# Where nothing is lost


@pytest.mark.parametrize("answers", [("alive", "silent"), ("closed", "alive"), ("unclear", "silent")])
def test_a_swarm_with_a_quorum_is_left_alone(world: World, clock: Clock, answers: tuple[str, str]) -> None:
    world.host.peers_alive = True
    world.peers = [dataclasses.replace(peer, state=state) for peer, state in zip(world.peers, answers)]
    before, began = world.host.tree(), clock.now
    assert world.make() is None
    assert world.asked == [(["192.0.2.1:2377", "192.0.2.3:2377"], "blue")]
    assert (world.effects, world.host.tree(), clock.now) == ([], before, began)


def test_a_leader_that_has_not_noticed_the_loss_is_not_believed(world: World, clock: Clock) -> None:
    world.host.peers_alive = True
    info, began = world.host.api.answers["/info"], clock.now

    def lose(request: Any) -> Any:
        world.host.peers_alive = clock.now < began + 10
        return info(request)  # type: ignore[operator]

    world.host.api.answers["/info"] = lose
    assert world.make() is not None
    assert world.effects == UP


def test_a_quorum_that_lasts_is_believed_although_nobody_can_be_reached_from_here(world: World, clock: Clock) -> None:
    world.host.peers_alive = True
    began = clock.now
    assert world.make() is None
    assert world.effects == []
    assert clock.now - began == pytest.approx(30, abs=1)


def test_without_the_library_to_tell_who_answers_the_engine_is_believed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.host.peers_alive = True

    def probe_all(addresses: Any, *, cluster_id: str) -> list[Peer]:
        raise MissingLibrary("read a certificate", "cryptography is missing", "Install it")

    monkeypatch.setattr(module, "probe_all", probe_all)
    assert world.make() is None


def test_an_election_is_waited_for(world: World) -> None:
    """While it runs, the engine hangs, or says that there is no leader."""

    info = world.host.api.answers["/info"]

    def end_election(request: Any) -> Any:
        world.host.peers_alive = True
        return info(request)  # type: ignore[operator]

    world.host.api.answers["/info"] = in_turn(info, [500, {"message": NO_DECISION}], end_election)
    assert world.make(settle_timeout=30) is None
    assert world.effects == []


def test_an_engine_that_hangs_is_asked_again(world: World, clock: Clock) -> None:
    """It does so for 20 s soon after the loss (lab fact B5.1)."""
    info, began = world.host.api.answers["/info"], clock.now

    def hang(request: Any) -> Any:
        return [500, {"message": NO_DECISION}] if clock.now < began + 20 else info(request)  # type: ignore[operator]

    world.host.api.answers["/info"] = hang
    assert world.make(settle_timeout=3) is not None
    assert world.effects == UP


def test_without_the_time_to_wait_an_election_is_no_lost_quorum(world: World) -> None:
    world.host.api.answers["/info"] = [500, {"message": NO_DECISION}]
    with pytest.raises(Unsettled) as caught:
        world.make()
    assert "An election may be running" in str(caught.value)
    assert "settle_timeout" in str(caught.value)
    assert world.effects == []


# What is done


def test_a_swarm_is_recovered_in_order(world: World) -> None:
    before = {name: content for name, content in world.host.tree().items() if not name.endswith(".tmp")}
    result = world.make()
    assert result is not None
    assert world.effects == UP
    assert world.host.condition == "manager"
    assert (result["cluster_id"], result["node_id"], result["address"]) == ("blue", "id-m2", "192.0.2.2")
    assert (result["autolock"], result["difference"]) == (False, {})
    assert world.names() == ["swarm", "swarm.quarantine"]
    quarantine = Path(result["quarantine"])
    kept = {f"swarm/{path.relative_to(quarantine)}" for path in quarantine.rglob("*") if path.is_file()}
    assert kept >= before.keys()
    assert world.asked == [(["192.0.2.1:2377", "192.0.2.3:2377"], "blue")] * 2
    assert (world.host.switch, world.host.stale) == (None, 0)


@pytest.mark.parametrize(
    ("change", "seconds"),
    [
        ({}, 0),
        ({"last": 41}, 0),  # an election has begun since, in term 2
        ({"last": 41, "term": 2}, 30),
        ({"term": 2}, 0),
    ],
)
def test_it_is_given_time_to_write_what_is_committed(
    world: World, clock: Clock, change: dict[str, int], seconds: int
) -> None:
    world.host.change(lambda store: store.update(change))
    began = clock.now
    assert world.make() is not None
    assert clock.now - began == pytest.approx(seconds, abs=1.5)


def test_what_a_power_cut_has_left_is_removed(world: World) -> None:
    left = world.host.state.path.parent / ".quorate-swarm-recovery-abc123"
    left.mkdir()
    (left / "swarm-node.key").write_text("opened")
    world.make()
    assert world.names() == ["swarm", "swarm.quarantine"]


def test_the_copy_is_made_while_the_engine_is_stopped(world: World) -> None:
    seen: list[bool] = []
    world.host.state.before["copy"] = lambda: seen.append(world.host.running)
    world.make()
    assert seen == [False]


def test_an_autolocked_swarm_is_recovered_under_its_key(autolocked: World) -> None:
    result = autolocked.make(unlock_keys=(UNLOCK_KEY,))
    assert result is not None
    assert autolocked.effects == AUTOLOCKED_UP
    assert result["autolock"] is True
    node_key = _node_key.parse_node_key((autolocked.host.state.path / NODE_KEY).read_bytes())
    assert node_key.sealed
    assert _node_key.opens(node_key, KEY)
    kept = _node_key.parse_node_key((Path(result["quarantine"]) / NODE_KEY).read_bytes())
    assert kept.sealed


@pytest.mark.parametrize("given", [(), (UNLOCK_KEY,), (OTHER_UNLOCK_KEY,)])
def test_a_key_that_a_power_cut_has_left_open_is_sealed_again(autolocked: World, given: tuple[str, ...]) -> None:
    """The copy has to have an open key when it is started. The swarm itself says that it is autolocked."""
    path = autolocked.host.state.path / NODE_KEY
    path.write_bytes(_node_key.open_node_key(_node_key.parse_node_key(path.read_bytes()), KEY))
    result = autolocked.make(unlock_keys=given)
    assert result is not None
    assert result["autolock"] is True
    assert autolocked.effects == AUTOLOCKED_UP
    node_key = _node_key.parse_node_key(path.read_bytes())
    assert node_key.sealed
    assert _node_key.opens(node_key, KEY)


def test_without_workers_nobody_is_given_time(world: World) -> None:
    world.host.change(lambda store: store["nodes"].pop())
    world.make()
    assert world.effects == [*STOPPED, *OUTSIDE, "force new cluster", "disarm"]


@pytest.mark.parametrize("seconds", [0, 30, 60])
def test_a_heartbeat_that_is_slow_enough_is_left_alone(world: World, seconds: int) -> None:
    world.host.change(lambda store: store.update(heartbeat=seconds * 10**9))
    world.make()
    assert world.effects == [*STOPPED, *OUTSIDE, "force new cluster", "disarm"]


# Before others join


@pytest.mark.parametrize("autolock", [False, True])
@pytest.mark.parametrize("engine", ["19.03.15", "20.10.24+dfsg1"])
def test_an_old_engine_shortens_its_log_for_those_who_join(world: World, engine: str, autolock: bool) -> None:
    world.host.engine_version = engine
    world.host.join(unlock_key=UNLOCK_KEY if autolock else "")
    assert world.make(unlock_keys=(UNLOCK_KEY,) if autolock else ()) is not None
    up = AUTOLOCKED_UP if autolock else UP
    assert world.effects == [*up[:-1], "raft options 1, 1", "raft options 10000, 500", up[-1]]
    assert newest_snapshot_index(world.host.state.path) == 42
    assert world.warnings == []


@pytest.mark.parametrize("engine", ["23.0.0", "26.1.5", "28.5.2"])
def test_an_engine_that_sends_its_log_at_once_leaves_it_as_it_is(world: World, engine: str) -> None:
    world.host.engine_version = engine
    assert world.make() is not None
    assert world.effects == UP


def test_without_a_snapshot_it_is_recovered_and_warned_of(world: World, clock: Clock) -> None:
    world.host.engine_version, world.host.snapshots = "20.10.24", False
    began = clock.now
    assert world.make() is not None
    assert world.effects == [*UP[:-1], "raft options 1, 1", "raft options 10000, 500", "disarm"]
    (warning,) = world.warnings
    assert "The raft log could not be shortened: " in warning
    assert "no quorum until the first one has all of it" in warning
    assert "If docker info shows a snapshot interval of 1, run this again" in warning
    assert 30 <= clock.now - began < 60


def test_an_old_snapshot_is_not_taken_for_the_new_one(world: World) -> None:
    world.host.engine_version, world.host.snapshots = "20.10.24", False
    folder = world.host.state.path / "raft/snap-v3-encrypted"
    folder.mkdir(parents=True)
    (folder / f"{2:016x}-{30:016x}.snap").write_bytes(b"")
    assert world.make() is not None
    assert len(world.warnings) == 1


def test_after_a_restart_it_is_recovered_too(world: World) -> None:
    world.host.run(["systemctl", "start", "docker.service"])
    world.effects.clear()
    assert world.make() is not None


# Settings that are changed for a moment


def note_of(world: World) -> Path:
    return world.host.state.path.with_name("swarm.settings")


def lose_power_after(world: World, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """Recover, but let the host lose its power after a change of the settings, and boot."""

    def reached(dummy: str) -> None:
        if change in world.effects[-3:]:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(_changed_settings, "reached", reached)
        with pytest.raises(Killed):
            world.make()
    world.host.switch = None
    world.effects.clear()
    for path in world.host.state.path.parent.glob("swarm.quarantine-*"):
        path.rename(path.with_name("kept"))  # no two runs are as close


@pytest.mark.parametrize(
    ("engine", "changed", "put_back"),
    [
        ("28.5.2", "heartbeat 30 s", "heartbeat 5 s"),
        ("20.10.24", "raft options 1, 1", "raft options 10000, 500"),
    ],
)
def test_settings_that_a_power_cut_has_left_changed_are_put_back(
    world: World, monkeypatch: pytest.MonkeyPatch, engine: str, changed: str, put_back: str
) -> None:
    world.host.engine_version = engine
    lose_power_after(world, monkeypatch, changed)
    assert note_of(world).exists()
    recovery = world.recovery()
    assert recovery.prepare() is False
    assert recovery.tidy() is True
    assert world.effects == [put_back]
    assert world.recovery().tidy() is False
    assert world.effects == [put_back]
    assert not note_of(world).exists()


def test_settings_are_put_back_where_the_quorum_is_lost_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = world.host.store["nodes"]
    lose_power_after(world, monkeypatch, "heartbeat 30 s")
    world.host.change(lambda store: store.update(nodes=nodes))
    world.make()
    assert world.effects == [*STOPPED, *OUTSIDE, "force new cluster", "heartbeat 5 s", *PATIENT, "disarm"]


def test_settings_of_another_swarm_are_forgotten(world: World) -> None:
    note_of(world).write_text(json.dumps({"cluster_id": "green", "section": "Raft", "usual": {"SnapshotInterval": 5}}))
    world.host.peers_alive = True
    assert world.recovery().tidy() is False
    assert (world.effects, world.names()) == ([], ["swarm"])


def test_a_note_of_settings_that_cannot_be_read_is_told_and_keeps_nobody_from_recovering(world: World) -> None:
    note_of(world).write_text("{")
    assert world.make() is not None
    (warning,) = world.warnings
    assert warning.startswith(f"Could not read which settings of the swarm are to be put back ({note_of(world)})")


def test_a_recovery_that_is_put_back_leaves_no_note(world: World) -> None:
    before, update = world.host.tree(), world.host.api.answers["POST /swarm/update"]
    world.host.api.answers["POST /swarm/update"] = in_turn(update, [500, {"message": "no"}])
    with pytest.raises(EngineError, match="Could not set Dispatcher of the swarm's settings"):
        world.make()
    assert world.effects == [*UP[:-2], *BACK, "disarm"]
    assert (world.host.tree(), world.names()) == (before, ["swarm"])


# The lost managers come back while it runs


def come_back(world: World, *, alive: str = "alive", quorum: bool = True) -> None:
    """Let another manager answer, and the swarm have a quorum, as soon as this engine is started again."""

    def appear() -> None:
        world.host.peers_alive = quorum
        world.peers = [Peer("192.0.2.1:2377", alive, "manager id-m1 of this swarm answers")]

    world.host.state.before["swap"] = appear


@pytest.mark.parametrize("mounts", [True, False])
def test_a_quorum_that_comes_back_is_left_alone(world: World, mounts: bool) -> None:
    world.host.mounts = mounts
    come_back(world)
    result = world.make()
    assert result == {"cluster_id": "blue", "node_id": "id-m2", "quarantine": None}
    assert world.came_back
    assert world.effects == [*STOPPED, *([*OUTSIDE, "stop"] if mounts else []), "start", "disarm"]
    assert world.host.condition == "manager"
    assert world.names() == ["swarm"]


def test_a_quorum_that_comes_back_seals_the_key_again(autolocked: World) -> None:
    come_back(autolocked)
    autolocked.make(unlock_keys=(UNLOCK_KEY,))
    assert autolocked.effects == [*STOPPED, *OUTSIDE, "stop", "start", "disarm"]
    assert _node_key.parse_node_key((autolocked.host.state.path / NODE_KEY).read_bytes()).sealed


def test_a_quorum_that_the_fence_does_not_see_is_left_alone_where_the_engine_sees_it(world: World) -> None:
    world.host.mounts = False
    come_back(world, alive="silent")
    assert world.make() == {"cluster_id": "blue", "node_id": "id-m2", "quarantine": None}


def test_a_manager_that_comes_up_without_a_quorum_is_refused(world: World) -> None:
    come_back(world, quorum=False)
    before = world.host.tree()
    with pytest.raises(Refused, match="manager id-m1 of this swarm answers"):
        world.make()
    assert world.effects == [*STOPPED, *OUTSIDE, "stop", "start", *BACK, "disarm"]
    assert (world.host.tree(), world.names()) == (before, ["swarm"])


# What is refused before anything is changed


def refused(world: World, error: type[SwarmError], **more: Any) -> SwarmError:
    before = world.host.tree()
    with pytest.raises(error) as caught:
        world.make(**more)
    assert (world.effects, world.host.tree(), world.names()) == ([], before, ["swarm"])
    assert world.host.api.asked("POST") == []
    for key in (UNLOCK_KEY, OTHER_UNLOCK_KEY, THIRD_UNLOCK_KEY, "a slip"):
        assert key not in f"{caught.value} {caught.value.details}"
    return caught.value


def be_worker(world: World) -> None:
    info = world.host.api.answers["/info"]

    def answer(request: Any) -> Any:
        status, body = info(request)  # type: ignore[operator]
        body["Swarm"].update(ControlAvailable=False, Error="", LocalNodeState="active")
        return [status, body]

    world.host.api.answers["/info"] = answer


@pytest.mark.parametrize(
    ("put", "error", "remedy"),
    [
        (lambda world: setattr(world.host, "running", False), Unreachable, "Start the engine first"),
        (lambda world: (world.host.state.path / "docker-state.json").unlink(), NotAManager, "on a manager"),
        (be_worker, NotAManager, "on a manager"),
    ],
    ids=["down", "inactive", "worker"],
)
def test_a_host_that_is_no_manager_is_refused(
    world: World, put: Callable[[World], None], error: type[SwarmError], remedy: str
) -> None:
    put(world)
    assert remedy in str(refused(world, error))


def test_a_locked_manager_is_refused(autolocked: World) -> None:
    autolocked.host.unlocked = False
    assert "Unlock it first (swarm_unlock)" in str(refused(autolocked, Locked, unlock_keys=(UNLOCK_KEY,)))


@pytest.mark.parametrize("state", ["alive", "unclear"])
def test_a_manager_that_answers_is_refused_even_when_it_is_named(world: World, state: str) -> None:
    world.peers[1] = Peer("192.0.2.3:2377", state, "manager id-m3 of this swarm answers")
    assert "192.0.2.3:2377: manager id-m3 of this swarm answers" in str(refused(world, Refused))


@pytest.mark.parametrize("state", ["silent", "closed"])
@pytest.mark.parametrize("down", [(), ("id-m1",), ("id-m1", "192.0.2.33", "m3")])
def test_a_manager_that_is_not_known_to_be_down_is_refused(world: World, state: str, down: tuple[str, ...]) -> None:
    world.peers[1] = Peer("192.0.2.3:2377", state, "the cause")
    error = refused(world, Refused, down_managers=down)
    assert "not every other manager is known to be down" in str(error)
    assert "id-m3 at 192.0.2.3:2377: the cause" in str(error)
    assert "down_managers" in str(error)
    assert error.details["managers"] == ["id-m3"] if down else ["id-m1", "id-m3"]


@pytest.mark.parametrize("name", ["id-m3", "192.0.2.3", "192.0.2.3:2377"])
def test_a_manager_is_named_by_its_id_or_its_address(world: World, name: str) -> None:
    assert world.make(down_managers=("192.0.2.1", name)) is not None


def test_a_manager_that_is_in_another_swarm_by_now_needs_no_name(world: World) -> None:
    world.peers[1] = Peer("192.0.2.3:2377", "other", "it is a manager of swarm green")
    assert world.make(down_managers=("id-m1",)) is not None


@pytest.mark.parametrize(
    ("keys", "cause"),
    [
        ((), "the swarm is autolocked, and no unlock key was given (kek-version 18)"),
        ((OTHER_UNLOCK_KEY,), "does not fit"),
        ((OTHER_UNLOCK_KEY, THIRD_UNLOCK_KEY), "none of the 2 unlock keys fits"),
        ((UNLOCK_KEY, "a slip"), "read unlock key 2 of 2"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(autolocked: World, keys: tuple[str, ...], cause: str) -> None:
    assert cause in str(refused(autolocked, WrongKey, unlock_keys=keys))


def test_the_first_key_that_fits_is_taken(autolocked: World) -> None:
    """Also where the engine has to be unlocked again."""
    result = autolocked.make(unlock_keys=(OTHER_UNLOCK_KEY, UNLOCK_KEY, THIRD_UNLOCK_KEY))
    assert result is not None
    assert autolocked.host.condition == "manager"
    assert autolocked.effects == AUTOLOCKED_UP


def test_a_host_without_its_raft_address_is_refused(world: World) -> None:
    world.host.addresses = ["192.0.2.9"]
    error = refused(world, Refused)
    assert "its raft address is 192.0.2.2, which is no address of this host" in str(error)


def test_a_state_directory_of_another_node_is_refused(world: World) -> None:
    info = world.host.api.answers["/info"]

    def answer(request: Any) -> Any:
        status, body = info(request)  # type: ignore[operator]
        body["Swarm"]["NodeID"] = "id-other"
        return [status, body]

    world.host.api.answers["/info"] = answer
    assert "is that of node id-m2, and the engine is node id-other" in str(refused(world, Refused))


def test_a_damaged_state_directory_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(directory: Path, *dummy: Any) -> Any:
        raise BadArchive(f"use {directory / WAL}", "the checksum does not match")

    monkeypatch.setattr(_raft_store, "position", damaged)
    monkeypatch.setattr(_raft_store, "contents", damaged)
    assert "the checksum does not match" in str(refused(world, BadArchive))


def test_a_state_directory_that_cannot_be_renamed_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.ismount", lambda path: path == world.host.state.path)
    assert "it is a mount point" in str(refused(world, Refused))


def test_a_state_directory_of_no_engine(world: World) -> None:
    world.host.root_dir = Path("/somewhere/else")
    assert "the engine keeps its state in /somewhere/else/swarm" in str(refused(world, Refused))


def test_room_is_needed_for_the_copy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(world.host.state, "require_room", asked.append)
    size = world.host.state.size()
    world.make()
    assert asked == [size]


def test_another_operation_on_this_host_is_refused(world: World) -> None:
    world.host.switch = (180, "of a backup")
    refused(world, Refused)
    assert world.host.switch == (180, "of a backup")


def test_the_key_is_not_shown_by_the_options(world: World) -> None:
    assert UNLOCK_KEY not in repr(world.recovery(unlock_keys=(UNLOCK_KEY,)).options)


# Rolling back


def moved(world: World) -> None:
    world.host.on_force = lambda store: world.host.me(store)["ManagerStatus"].update(Addr="192.0.2.99:2377")


def no_force(world: World) -> None:
    def fail(dummy: Any) -> Any:
        world.effects.append("force new cluster")
        return [500, {"message": "manager stopped"}]

    world.host.api.answers["POST /swarm/init"] = fail


def no_service(world: World) -> None:
    world.host.on_force = lambda store: store["services"].clear()


def no_copy(world: World) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    world.host.state.before["copy"] = fail


@pytest.mark.parametrize(
    ("break_it", "effects", "cause"),
    [
        (no_copy, ["arm", "stop", "copy"], "No space left on device"),
        (no_force, [*STOPPED, *OUTSIDE, "force new cluster"], "manager stopped"),
        (no_service, [*STOPPED, *OUTSIDE, "force new cluster"], "1 services are missing: web"),
        (moved, [*STOPPED, *OUTSIDE, "force new cluster"], "which is no address of this host"),
    ],
)
def test_every_failure_puts_everything_back(
    world: World, break_it: Callable[[World], None], effects: list[str], cause: str
) -> None:
    before = world.host.tree()
    break_it(world)
    with pytest.raises(SwarmError, match=cause) as caught:
        world.make()
    assert world.effects == [*effects, *BACK, "disarm"]
    assert (world.host.tree(), world.names(), world.host.condition) == (before, ["swarm"], "leaderless")
    assert caught.value.details["rolled_back"] is True


def test_an_autolocked_manager_is_unlocked_again_when_it_is_put_back(autolocked: World) -> None:
    no_force(autolocked)
    with pytest.raises(EngineError):
        autolocked.make(unlock_keys=(UNLOCK_KEY,))
    assert autolocked.effects == [*STOPPED, *OUTSIDE, "force new cluster", *BACK, "unlock", "disarm"]
    assert autolocked.host.condition == "leaderless"


@pytest.mark.parametrize("when", ["copy", "swap"])
def test_the_host_puts_everything_back_by_itself_when_it_is_killed(autolocked: World, when: str) -> None:
    def kill() -> None:
        raise Killed

    before = autolocked.host.tree()
    autolocked.host.state.before[when] = kill
    with pytest.raises(Killed):
        autolocked.make(unlock_keys=(UNLOCK_KEY,))
    autolocked.host.go_off()
    assert (autolocked.host.tree(), autolocked.names()) == (before, ["swarm"])


def test_no_secret_is_in_the_result(autolocked: World) -> None:
    assert "SWM" not in json.dumps(autolocked.make(unlock_keys=(UNLOCK_KEY,)))
