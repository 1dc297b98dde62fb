# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import errno
import json
import stat
import tarfile
from pathlib import Path
from typing import Any, Callable

import pytest
import requests.exceptions

from ansible_collections.quorate.swarm.plugins.module_utils import _archive, _certificate, _raft_seal, _raft_store
from ansible_collections.quorate.swarm.plugins.module_utils import _backup as module
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    BadArchive,
    DaemonFailed,
    Locked,
    MissingLibrary,
    NotAManager,
    QuorumLost,
    Refused,
    SwarmError,
    TimedOut,
    Unreachable,
    Unsettled,
    WrongKey,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node
from ansible_collections.quorate.swarm.plugins.module_utils._node_key import fingerprint
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi, managers
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    KEY,
    NODE_KEY,
    OTHER_UNLOCK_KEY,
    UNLOCK_KEY,
    FakeHost,
    item,
    node_key_pem,
    raft_contents,
    raft_newest_index,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

OPTIONS = {
    "method": "cold",
    "leader": "refuse",
    "allow_control_plane_outage": False,
    "keep": None,
    "escrowed_fingerprints": None,
    "settle_timeout": 10,
    "wait_timeout": 20,
    "dead_man_timeout": 180,
}
COLD = ["settle", "arm", "stop", "copy", "start", "disarm", "archive"]
#: What an operator calls a manager whose backup is made, in messages.
M2 = "m2 (id-m2)"


def nodes_of(*entries: Any) -> list[Node]:
    return [Node.from_api(entry) for entry in entries]


# Whether a manager may be stopped


@pytest.mark.parametrize("count", [3, 5, 7])
def test_a_manager_may_be_stopped_when_the_others_are_a_majority(count: int) -> None:
    nodes = nodes_of(*managers(count))
    module.outage_decision(nodes, nodes[-1], allow_control_plane_outage=False)


def test_a_manager_may_be_stopped_while_as_many_others_are_down_as_five_stand() -> None:
    nodes = nodes_of(*managers(5, reachability="unreachable", state="down"))
    module.outage_decision(nodes, nodes[1], allow_control_plane_outage=False)


@pytest.mark.parametrize(("count", "staying"), [(1, "0 of 1"), (2, "1 of 2")])
def test_a_small_swarm_is_refused_with_numbers_and_the_option(count: int, staying: str) -> None:
    nodes = nodes_of(*managers(count))
    with pytest.raises(Refused) as caught:
        module.outage_decision(nodes, nodes[-1], allow_control_plane_outage=False)
    name = f"m{count} (id-m{count})"
    assert str(caught.value) == (
        f"Could not stop the manager {name} for a backup: with {name} down, {staying} managers are reachable, "
        f"{count} are needed. Set allow_control_plane_outage to accept that the swarm cannot be managed for some seconds."
    )
    assert [reason["code"] for reason in caught.value.details["reasons"]] == ["stop_loses_quorum"]
    module.outage_decision(nodes, nodes[-1], allow_control_plane_outage=True)


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_an_unreachable_fellow_is_not_excused_by_the_option(count: int, allow: bool) -> None:
    nodes = nodes_of(*managers(count, reachability="unreachable", state="down"))
    with pytest.raises(Refused) as caught:
        module.outage_decision(nodes, nodes[0], allow_control_plane_outage=allow)
    assert f"{count - 2} of {count} managers are reachable, {count // 2 + 1} are needed" in str(caught.value)
    assert "Bring unreachable managers back first" in str(caught.value)
    assert "allow_control_plane_outage" not in str(caught.value)


# The leader


@pytest.mark.parametrize(
    ("is_leader", "count", "leader", "expected"),
    [
        (False, 3, "refuse", False),
        (False, 3, "step_down", False),
        (True, 1, "refuse", False),
        (True, 1, "step_down", False),
        (True, 3, "stop", False),
        (True, 3, "step_down", True),
        (True, 2, "step_down", True),
    ],
)
def test_what_is_done_about_a_leader(is_leader: bool, count: int, leader: str, expected: bool) -> None:
    assert module.leader_decision(is_leader=is_leader, managers=count, leader=leader) is expected


@pytest.mark.parametrize("count", [2, 3])
def test_the_leader_is_refused_by_default(count: int) -> None:
    with pytest.raises(Refused) as caught:
        module.leader_decision(is_leader=True, managers=count, leader="refuse")
    assert "it is the leader" in str(caught.value)
    assert "set leader to step_down or stop" in str(caught.value)


# The directory for archives


@pytest.mark.parametrize("mode", [0o700, 0o500])
def test_private_directory_is_accepted(tmp_path: Path, mode: int) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups").chmod(mode)
    module.require_private_directory(tmp_path / "backups")
    module.require_private_directory(tmp_path / "missing")


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o755, 0o777, 0o702, 0o704, 0o720, 0o740])
def test_directory_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups").chmod(mode)
    with pytest.raises(Refused) as caught:
        module.require_private_directory(tmp_path / "backups")
    assert f"its mode is {mode:04o}" in str(caught.value)
    assert f"chmod 0700 {tmp_path / 'backups'}" in str(caught.value)


def test_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "backups").touch(mode=0o600)
    with pytest.raises(Refused, match="it is not a directory"):
        module.require_private_directory(tmp_path / "backups")


# The whole sequence, on a host that behaves as a real one


class World:
    """One manager's host and a backup of it."""

    def __init__(self, tmp_path: Path, api: FakeApi) -> None:
        self.host = FakeHost(tmp_path / "docker", api)
        self.directory = tmp_path / "backups"
        self.hidden: list[str] = []
        self.peer: Any = None

    @property
    def effects(self) -> list[str]:
        return self.host.effects

    def backup(self, **options: Any) -> module.Backup:
        return module.Backup(
            engine=Engine(),
            daemon=Daemon(self.host.run, systemd=True),
            state=self.host.state,
            options=module.BackupOptions(directory=self.directory, **{**OPTIONS, **options}),
            peer=self.peer,
            hide=self.hidden.append,
        )

    def make(self, **options: Any) -> dict[str, Any]:
        backup = self.backup(**options)
        return backup.run(backup.plan())

    def archives(self) -> list[str]:
        return sorted(path.name for path in self.directory.glob("*")) if self.directory.exists() else []

    def leftovers(self) -> list[str]:
        return [path.name for path in self.host.state.path.parent.iterdir() if path.name != "swarm"]


@pytest.fixture
def world(tmp_path: Path, api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> World:
    """m2, a follower of a healthy swarm of three managers."""
    world = World(tmp_path, api)
    world.host.join()
    new_archive = _archive.new_archive

    def noted(**arguments: Any) -> Any:
        world.effects.append("archive")
        return new_archive(**arguments)

    monkeypatch.setattr(_archive, "new_archive", noted)
    monkeypatch.setattr(_raft_store, "newest_index", raft_newest_index)
    monkeypatch.setattr(_raft_store, "contents", raft_contents)
    monkeypatch.setattr(module.time, "sleep", clock.pause)
    return world


def test_a_follower_is_backed_up_in_order(world: World) -> None:
    result = world.make()
    assert world.effects == COLD
    assert [entry["step"] for entry in result["steps"]] == [
        "write a settling entry",
        "copy the snapshots",
        "stop",
        "copy",
        "start",
        "check the copy",
        "write and verify the archive",
        "wait until reachable",
    ]
    assert world.archives() == [Path(result["archive"]).name]
    assert world.leftovers() == []
    assert world.host.stale == 0
    assert result["removed"] == []
    assert result["downtime"] > 0
    assert world.hidden == []


def test_the_archive_is_what_the_result_says(world: World) -> None:
    result = world.make()
    path = Path(result["archive"])
    verified = _archive.verify(path)
    assert (verified.sha256, verified.size, verified.manifest) == (
        result["checksum"],
        result["size"],
        result["manifest"],
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.name.startswith("swarm_blue_id-m2_")
    assert sorted(verified.files) == sorted(
        path.relative_to(world.host.state.path).as_posix()
        for path in world.host.state.path.rglob("*")
        if path.is_file() and path.suffix != ".tmp"
    )


def test_the_manifest_says_what_is_in_the_archive(world: World) -> None:
    manifest = world.make()["manifest"]
    root_ca = (world.host.state.path / "certificates/swarm-root-ca.crt").read_bytes()
    expected = {
        "method": "cold",
        "cluster": {
            "id": "blue",
            "root_ca_sha256": _certificate.digest(root_ca),
            "root_ca_expires": _certificate.expires(root_ca),
        },
        "engine": {"version": "28.5.2"},
        "autolock": False,
        "unlock_key_fingerprint": None,
        "kek_version": 18,
        "raft": {"term": 2, "commit_index": 41, "last_index": 41, "snapshot_index": 12},
    }
    assert {name: manifest[name] for name in expected} == expected
    node = manifest["node"]
    assert (node["id"], node["hostname"], node["address"]) == ("id-m2", "m2", "192.0.2.2")
    assert node["advertise_address"] == "192.0.2.2:2377"
    assert [entry["id"] for entry in manifest["inventory"]["nodes"]] == ["id-m1", "id-m2", "id-m3", "id-w1"]
    assert [entry["version"] for entry in manifest["inventory"]["nodes"]] == [10, 40, 10, 10]
    assert manifest["inventory"]["services"] == [{"id": "id-web", "name": "web", "version": 7}]
    assert manifest["inventory"]["networks"] == [{"id": "id-backend", "name": "backend", "version": 7}]


def test_what_is_created_while_the_copy_is_made_is_in_the_manifest_when_it_is_in_the_copy(world: World) -> None:
    """A service that is created on another manager while the engine is stopped may be in the copy or not."""
    world.host.state.before["copy"] = lambda: world.host.change(lambda store: store["services"].append(item("new")))
    manifest = world.make()["manifest"]
    assert [entry["name"] for entry in manifest["inventory"]["services"]] == ["web", "new"]


@pytest.mark.parametrize("method", ["cold", "hot"])
def test_a_copy_without_an_object_of_the_swarm_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def contents(path: Path, keys: Any) -> Any:
        found = raft_contents(path, keys)
        return dataclasses.replace(found, objects=tuple(each for each in found.objects if each.name != "password"))

    monkeypatch.setattr(_raft_store, "contents", contents)
    with pytest.raises(BadArchive) as caught:
        world.make(method=method)
    assert "the secret password (id-password) is not in it" in str(caught.value)
    assert (world.archives(), world.leftovers(), world.host.condition) == ([], [], "manager")


def test_a_list_that_is_late_is_asked_for_again(world: World) -> None:
    listed = world.host.api.answers["/configs"]
    late = [[500, {"message": "rpc error: code = DeadlineExceeded desc = context deadline exceeded"}]] * 2
    world.host.api.answers["/configs"] = lambda request: late.pop() if late else listed(request)  # type: ignore[operator]
    assert [entry["name"] for entry in world.make()["manifest"]["inventory"]["configs"]] == ["settings"]
    assert late == []


def test_a_library_that_is_missing_is_told_before_the_engine_stops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_raft_seal, "HAS_NACL", False)
    with pytest.raises(MissingLibrary, match="Install python3-nacl"):
        world.make()
    assert world.effects == []


def test_an_autolocked_manager_is_unlocked_again_with_the_key_fetched_before(world: World) -> None:
    world.host.join(unlock_key=UNLOCK_KEY)
    result = world.make()
    assert world.effects == ["settle", "arm", "stop", "copy", "start", "unlock", "disarm", "archive"]
    assert [entry["step"] for entry in result["steps"]][4:7] == ["start", "unlock", "check the copy"]
    assert world.host.condition == "manager"
    assert world.hidden == [UNLOCK_KEY]
    assert result["manifest"]["autolock"] is True
    assert result["manifest"]["unlock_key_fingerprint"] == fingerprint(KEY)
    assert "SWM" not in json.dumps(result)
    with tarfile.open(result["archive"]) as tar:
        member = tar.extractfile("manifest.json")
        assert member is not None
        assert b"SWM" not in member.read()


@pytest.mark.parametrize("method", ["cold", "hot"])
def test_a_key_that_the_escrow_does_not_hold_is_refused(world: World, method: str) -> None:
    world.host.join(unlock_key=UNLOCK_KEY)
    with pytest.raises(Refused, match=f"the escrow does not hold the current unlock key {fingerprint(KEY)}"):
        world.make(method=method, escrowed_fingerprints=["uk1:of another key"])
    assert world.host.effects == []
    assert world.make(method=method, escrowed_fingerprints=["uk1:older", fingerprint(KEY)])["archive"]


def test_a_swarm_without_autolock_needs_no_escrow(world: World) -> None:
    assert world.make(escrowed_fingerprints=[])["archive"]


def test_the_key_is_not_shown_by_the_plan(world: World) -> None:
    world.host.join(unlock_key=UNLOCK_KEY)
    plan = world.backup().plan()
    assert plan.unlock_key == UNLOCK_KEY
    assert UNLOCK_KEY not in repr(plan)


def test_nothing_is_changed_while_it_is_planned(world: World) -> None:
    before = world.host.tree()
    plan = world.backup().plan()
    assert plan.name.startswith("swarm_blue_id-m2_")
    assert (world.effects, world.host.tree(), world.archives()) == ([], before, [])
    assert {request.method for request in world.host.api.requests} == {"GET"}


def test_the_switch_is_armed_for_the_time_that_was_asked_for_and_starts_the_engine(world: World) -> None:
    seen: list[Any] = []
    world.host.state.before["copy"] = lambda: seen.append(world.host.switch)
    world.make(dead_man_timeout=77)
    assert seen == [
        (77, "systemctl reset-failed docker.socket docker.service; systemctl start docker.service"),
    ]
    assert world.host.switch is None


def test_the_engine_and_its_socket_are_down_during_the_copy(world: World) -> None:
    seen: list[bool] = []
    world.host.state.before["copy"] = lambda: seen.append(world.host.running)
    world.make()
    assert seen == [False]


def test_the_archive_is_written_only_when_the_manager_is_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.host.unknown = 0
    world.host.state.before["copy"] = lambda: setattr(world.host, "unknown", 3)
    world.make()
    assert world.effects == COLD
    assert world.host.unknown == 0


def test_downtime_is_from_the_stop_until_the_engine_answers(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.time, "monotonic", clock.time)
    run = world.host.run

    def slow(argv: list[str]) -> tuple[int, str, str]:
        clock.now += {"stop": 1.5, "start": 2.25}.get(argv[1], 0) if argv[-1] == "docker.service" else 0
        return run(argv)

    world.host.run = slow  # type: ignore[method-assign]
    world.host.state.before["copy"] = lambda: clock.pause(0.125)

    def prune(*dummy: Any, **dummy2: Any) -> list[Path]:
        clock.pause(100)
        return []

    monkeypatch.setattr(_archive, "prune", prune)
    assert world.make(keep=1)["downtime"] == 3.875


def test_older_archives_are_retired_after_the_new_one_was_verified(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def prune(directory: Path, **facts: Any) -> list[Path]:
        asked.append((directory, facts, list(world.effects)))
        return [Path("/old/one")]

    monkeypatch.setattr(_archive, "prune", prune)
    assert world.make(keep=3)["removed"] == ["/old/one"]
    assert asked == [(world.directory, {"cluster": "blue", "node": "id-m2", "keep": 3}, COLD)]


def test_all_archives_are_kept_by_default(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "prune", lambda *dummy, **dummy2: pytest.fail("an archive was removed"))
    assert world.make()["removed"] == []


def test_leftovers_of_killed_backups_are_removed_while_this_host_is_locked(world: World) -> None:
    (world.host.state.path.parent / ".quorate-swarm-copy-killed").mkdir()
    world.make()
    assert world.leftovers() == []


# What is refused before anything is changed


def refused(world: World, error: type[SwarmError], **options: Any) -> SwarmError:
    before = world.host.tree()
    with pytest.raises(error) as caught:
        world.make(**options)
    assert world.effects == []
    assert world.host.tree() == before
    assert world.archives() == []
    assert "SWMKEY" not in f"{caught.value} {caught.value.details}"
    return caught.value


def be_leader(world: World, count: int = 3) -> None:
    world.host.join(leader="m2", managers=count)


def test_the_leader_is_not_stopped(world: World) -> None:
    be_leader(world)
    assert "set leader to step_down or stop" in str(refused(world, Refused))


def test_the_leader_is_stopped_when_told(world: World) -> None:
    be_leader(world)
    world.make(leader="stop")
    assert world.effects == COLD


def test_a_swarm_of_two_needs_the_option(world: World) -> None:
    world.host.join(managers=2)
    assert "allow_control_plane_outage" in str(refused(world, Refused))
    world.make(allow_control_plane_outage=True)
    assert world.effects == COLD


def test_a_manager_that_the_quorum_needs_is_not_stopped(world: World) -> None:
    world.host.change(lambda store: store["nodes"][2]["ManagerStatus"].update(Reachability="unreachable"))
    error = refused(world, Refused, allow_control_plane_outage=True)
    assert "1 of 3 managers are reachable, 2 are needed" in str(error)


@pytest.mark.parametrize("method", ["cold", "hot"])
def test_a_swarm_that_does_not_settle_is_not_touched(world: World, clock: Clock, method: str) -> None:
    world.host.change(lambda store: store["nodes"][3]["Status"].update(State="unknown"))
    error = refused(world, Unsettled, method=method)
    assert "not within 10 s: 1 node(s) are in state unknown: w1 (id-w1)" in str(error)
    assert "settle_timeout" in str(error)
    assert sum(clock.pauses) >= 10


def test_it_waits_until_the_swarm_has_settled(world: World) -> None:
    world.host.unknown = 4
    world.make()
    assert world.effects == COLD


def leave(world: World) -> None:
    (world.host.state.path / "docker-state.json").unlink()


def lock(world: World) -> None:
    world.host.write(NODE_KEY, node_key_pem(UNLOCK_KEY))
    world.host.unlocked = False


def lose_quorum(world: World) -> None:
    world.host.peers_alive = False


def stop(world: World) -> None:
    world.host.running = False


@pytest.mark.parametrize(
    ("prepare", "error"), [(leave, NotAManager), (lock, Locked), (lose_quorum, QuorumLost), (stop, Unreachable)]
)
def test_what_is_no_manager_with_a_leader_is_refused_by_its_own_name(
    world: World, prepare: Callable[[World], None], error: type[SwarmError]
) -> None:
    prepare(world)
    refused(world, error)


def test_a_manager_that_the_node_list_does_not_show_is_refused(world: World) -> None:
    world.host.change(lambda store: world.host.me(store).pop("ManagerStatus"))
    assert "the node list does not show it as a manager" in str(refused(world, NotAManager))


def test_a_directory_that_others_can_enter_is_refused(world: World) -> None:
    world.directory.mkdir()
    world.directory.chmod(0o755)
    assert "its mode is 0755" in str(refused(world, Refused))


def test_a_state_directory_that_is_not_the_engines_is_refused(world: World, tmp_path: Path) -> None:
    backup = world.backup()
    backup.state = StateDir(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="Give the state directory of this engine as state_directory"):
        backup.plan()
    assert world.effects == []


@pytest.mark.parametrize(("node", "cluster"), [("m3", "blue"), ("m2", "green")])
def test_a_state_directory_of_another_engine_is_refused(world: World, tmp_path: Path, node: str, cluster: str) -> None:
    other = FakeHost(tmp_path / "other", FakeApi(), node=node).join(cluster=cluster)
    backup = world.backup()
    backup.state = other.state
    with pytest.raises(Refused) as caught:
        backup.plan()
    assert f"it is of node id-{node} of swarm {cluster}, not of this engine" in str(caught.value)
    assert "Give the state directory of this engine as state_directory" in str(caught.value)


def test_a_file_system_that_is_full_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def require_room(needed: int) -> None:
        asked.append(needed)
        raise Refused("copy", "the disk is full")

    monkeypatch.setattr(world.host.state, "require_room", require_room)
    refused(world, Refused)
    assert asked == [world.host.state.size()]


def test_a_key_that_does_not_open_this_manager_again_is_refused(world: World) -> None:
    """A rotation has not arrived here: the swarm's key would not open what is on this disk."""
    world.host.join(unlock_key=UNLOCK_KEY)
    world.host.write(NODE_KEY, node_key_pem(OTHER_UNLOCK_KEY))
    error = refused(world, Refused)
    assert "the swarm's unlock key does not open this manager's own key file" in str(error)
    assert world.hidden == [UNLOCK_KEY]


def test_autolock_that_was_just_switched_on_needs_no_unlock(world: World) -> None:
    """The swarm says autolock, this manager's key is still open: it will not be locked after its start."""
    world.host.join(unlock_key=UNLOCK_KEY)
    world.host.write(NODE_KEY, node_key_pem())
    world.make()
    assert world.effects == COLD


def test_a_missing_library_is_found_before_the_stop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_certificate, "HAS_CRYPTOGRAPHY", False)
    with pytest.raises(MissingLibrary):
        world.make()
    assert "stop" not in world.effects


def test_a_second_operation_on_this_host_is_refused(world: World) -> None:
    world.host.switch = (600, "of a restore")
    with pytest.raises(Refused, match="another operation that stops the engine is under way here"):
        world.make()
    assert world.effects == ["settle"]
    assert world.host.switch == (600, "of a restore")


def test_a_disk_that_is_full_before_the_stop_stops_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(world.host.state, "copy_ahead", fill)
    with pytest.raises(SwarmError, match="No space left on device. Nothing was stopped"):
        world.make()
    assert world.effects == ["settle", "arm", "disarm"]
    assert world.leftovers() == []


def test_a_follower_that_does_not_follow_is_not_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_raft_store, "newest_index", lambda path: 40)
    with pytest.raises(TimedOut) as caught:
        world.make()
    assert f"see raft entry 41 arrive on the manager {M2}" in str(caught.value)
    assert "back up another one" in str(caught.value)
    assert world.effects == ["settle"]


def test_the_settling_entry_is_awaited_on_a_follower_that_lags(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [40, 40, 0]

    def newest_index(path: Path) -> int:
        if not left:
            return raft_newest_index(path)
        last = left.pop()
        if not last:
            raise BadArchive("read", "it is being written")
        return last

    monkeypatch.setattr(_raft_store, "newest_index", newest_index)
    world.make()
    assert world.effects == COLD
    assert left == []


# Without the switch


def test_without_the_switch_nothing_is_armed(world: World) -> None:
    world.make(dead_man_timeout=0)
    assert world.effects == ["settle", "stop", "copy", "start", "archive"]


def test_without_a_switch_too_a_second_operation_is_refused(world: World) -> None:
    world.host.switch = (600, "of a restore")
    with pytest.raises(Refused, match="another operation that stops the engine is under way here"):
        world.make(dead_man_timeout=0)
    assert "stop" not in world.host.effects
    assert world.host.switch == (600, "of a restore")


# When something fails in between


def test_the_engine_is_started_when_the_copy_fails(world: World) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    world.host.state.before["copy"] = fail
    with pytest.raises(SwarmError, match="Could not copy .*No space left on device"):
        world.make()
    assert world.effects == ["settle", "arm", "stop", "copy", "start", "disarm"]
    assert world.host.condition == "manager"
    assert (world.leftovers(), world.archives()) == ([], [])


def test_an_autolocked_manager_is_unlocked_again_when_the_copy_fails(world: World) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    world.host.join(unlock_key=UNLOCK_KEY)
    world.host.state.before["copy"] = fail
    with pytest.raises(SwarmError, match="Could not copy .*No space left on device"):
        world.make()
    assert world.effects == ["settle", "arm", "stop", "copy", "start", "unlock", "disarm"]
    assert world.host.condition == "manager"


def test_a_copy_that_has_filled_the_disk_is_gone_before_the_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        assert world.leftovers() != []
        raise OSError(28, "No space left on device")

    def look(daemon: Daemon) -> None:
        seen.append(world.leftovers())
        start(daemon)

    seen: list[list[str]] = []
    start = Daemon.start
    monkeypatch.setattr(Daemon, "start", look)
    world.host.state.before["copy"] = fail
    with pytest.raises(SwarmError, match="No space left on device"):
        world.make()
    assert seen == [[]]


def test_the_engine_is_started_when_it_did_not_stop(world: World) -> None:
    world.host.refuse["stop"] = 1
    with pytest.raises(DaemonFailed, match="Could not stop docker and its socket"):
        world.make()
    assert world.effects == ["settle", "arm", "stop", "start", "disarm"]
    assert world.leftovers() == []


def test_the_engine_is_started_when_the_run_is_interrupted(world: World) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    world.host.state.before["copy"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        world.make()
    assert world.effects == ["settle", "arm", "stop", "copy", "start", "disarm"]
    assert world.leftovers() == []


def test_a_copy_during_which_the_engine_was_started_is_no_backup(world: World) -> None:
    """The copy took so long that the switch went off."""
    world.host.state.before["copy"] = world.host.go_off
    with pytest.raises(DaemonFailed) as caught:
        world.make()
    assert "docker.socket, docker.service was started before the copy was complete" in str(caught.value)
    assert "give dead_man_timeout more seconds" in str(caught.value)
    assert (world.archives(), world.leftovers(), world.host.condition) == ([], [], "manager")


def test_the_switch_stays_armed_when_the_engine_does_not_start(world: World) -> None:
    world.host.refuse["start"] = 1
    with pytest.raises(DaemonFailed, match="Could not start docker"):
        world.make()
    assert world.effects == ["settle", "arm", "stop", "copy", "start"]
    assert world.host.switch is not None
    assert (world.leftovers(), world.archives()) == ([], [])


def test_the_switch_stays_armed_when_the_engine_does_not_answer(world: World) -> None:
    def be_deaf() -> None:
        world.host.api.answers["/version"] = requests.exceptions.ConnectionError("connection refused")

    world.host.state.before["copy"] = be_deaf
    with pytest.raises(TimedOut, match="reach the engine after its start"):
        world.make()
    assert world.effects[-1] == "start"
    assert world.host.switch is not None


def test_the_archive_is_kept_when_the_manager_does_not_come_back(world: World) -> None:
    world.host.state.before["copy"] = lambda: setattr(world.host, "unknown", 10_000)
    with pytest.raises(SwarmError) as caught:
        world.make()
    assert world.effects == COLD
    (archive,) = world.archives()
    error = caught.value
    assert f"see the manager {M2} healthy again after its backup" in str(error)
    assert f"The archive {world.directory / archive} is good" in str(error)
    assert error.details["archive"] == str(world.directory / archive)
    assert error.details["downtime"] > 0
    assert _archive.verify(world.directory / archive).manifest is not None


@pytest.mark.parametrize(
    ("change", "waiting"),
    [
        (lambda me: me["Status"].update(State="down"), "this manager (down)"),
        (lambda me: me["ManagerStatus"].update(Reachability="unreachable"), "this manager (ready)"),
        (lambda me: me.pop("ManagerStatus"), "this manager (ready)"),
    ],
)
def test_back_means_ready_and_reachable(world: World, change: Callable[[Any], Any], waiting: str) -> None:
    world.host.state.before["copy"] = lambda: world.host.change(lambda store: change(world.host.me(store)))
    with pytest.raises(SwarmError) as caught:
        world.make()
    assert waiting in str(caught.value)


def test_older_archives_are_kept_when_the_manager_does_not_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_archive, "prune", lambda *dummy, **dummy2: pytest.fail("an archive was removed"))
    world.host.state.before["copy"] = lambda: setattr(world.host, "unknown", 10_000)
    with pytest.raises(SwarmError):
        world.make(keep=1)


def test_a_key_that_was_rotated_meanwhile_is_told_and_the_copy_cannot_be_opened(world: World) -> None:
    world.host.join(unlock_key=UNLOCK_KEY)
    world.host.state.before["copy"] = lambda: world.host.write(NODE_KEY, node_key_pem(OTHER_UNLOCK_KEY))
    with pytest.raises(SwarmError) as caught:
        world.make()
    assert isinstance(caught.value.__cause__, WrongKey)
    assert "There is no archive either" in str(caught.value)
    assert (world.effects[-2:], world.archives(), world.leftovers()) == (["disarm", "unlock"], [], [])
    assert "SWMKEY" not in f"{caught.value} {caught.value.details}"


def test_autolock_that_was_switched_on_meanwhile_is_told(world: World) -> None:
    world.host.state.before["copy"] = lambda: world.host.write(NODE_KEY, node_key_pem(UNLOCK_KEY))
    with pytest.raises(SwarmError, match="autolock was switched on meanwhile"):
        world.make()
    assert "unlock" not in world.effects


def test_an_unlock_that_hangs_is_judged_by_the_state(world: World) -> None:
    """Without quorum the request never returns, although the node is unlocked at once (lab fact B2.4)."""
    world.host.join(unlock_key=UNLOCK_KEY)
    unlock = world.host.api.answers["POST /swarm/unlock"]

    def hang(request: Any) -> Any:
        assert request.timeout == 5
        unlock(request)  # type: ignore[operator]
        raise requests.exceptions.ReadTimeout("Read timed out. (read timeout=5)")

    world.host.api.answers["POST /swarm/unlock"] = hang
    world.make()
    assert world.host.condition == "manager"


@pytest.mark.parametrize("method", ["cold", "hot"])
def test_a_copy_of_another_swarm_is_no_backup(world: World, method: str) -> None:
    other = FakeHost(world.directory.parent / "other", FakeApi()).join(cluster="green")
    certificate = (other.state.path / "certificates/swarm-node.crt").read_bytes()
    backup = world.backup(method=method)
    plan = backup.plan()
    world.host.state.before["copy"] = lambda: world.host.write("certificates/swarm-node.crt", certificate)
    with pytest.raises(BadArchive, match="it belongs to node id-m2 of swarm green, not to id-m2 of blue"):
        backup.run(plan)
    assert (world.archives(), world.leftovers()) == ([], [])


def test_a_copy_without_the_settling_entry_is_no_backup(world: World) -> None:
    def forget() -> None:
        world.host.change(lambda store: store.update(commit=39, last=39))

    world.host.state.before["copy"] = forget
    with pytest.raises(BadArchive) as caught:
        world.make()
    assert "its raft store is committed up to entry 39, and the swarm was at 40 before the copy" in str(caught.value)
    assert world.effects[-1] == "disarm"
    assert (world.archives(), world.leftovers(), world.host.condition) == ([], [], "manager")


def test_an_archive_gets_its_name_when_the_manager_is_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(backup: module.Backup, plan: Any) -> None:
        seen.append(world.archives())
        wait(backup, plan)

    seen: list[list[str]] = []
    wait = module.Backup._wait_back
    monkeypatch.setattr(module.Backup, "_wait_back", look)
    archive = Path(world.make()["archive"]).name
    ((partial,),) = seen
    assert partial.startswith(f".{archive}.")
    assert world.archives() == [archive]


def test_both_are_told_when_neither_the_manager_comes_back_nor_an_archive_is_made(world: World) -> None:
    def forget() -> None:
        world.host.unknown = 10_000
        world.host.change(lambda store: store.update(commit=39, last=39))

    world.host.state.before["copy"] = forget
    with pytest.raises(SwarmError) as caught:
        world.make()
    error = str(caught.value)
    assert f"see the manager {M2} healthy again after its backup" in error
    assert "There is no archive either: Could not check the copy" in error
    assert error.count("not within") == 1
    assert (world.archives(), world.leftovers()) == ([], [])


def test_the_copy_is_removed_when_the_archive_cannot_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**dummy: Any) -> Any:
        raise SwarmError("write the archive", "No space left on device")

    monkeypatch.setattr(_archive, "new_archive", full)
    with pytest.raises(SwarmError, match="No space left"):
        world.make()
    assert (world.leftovers(), world.host.condition, world.host.switch) == ([], "manager", None)


# Handing the leadership over first


@pytest.fixture
def stepping_down(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """m2 leads, and its fellow m1 makes it step down."""
    be_leader(world)
    world.peer = Engine("tcp://192.0.2.1:2376")

    def hand_over(engine: Any, node_id: str, *, timeout: float) -> None:
        world.effects.append("hand over")
        assert (engine, node_id, timeout) == (world.peer, "id-m2", 20)

        def lead(store: dict[str, Any]) -> None:
            del world.host.me(store)["ManagerStatus"]["Leader"]
            store["nodes"][0]["ManagerStatus"]["Leader"] = True

        world.host.change(lead)

    monkeypatch.setattr(module, "hand_over", hand_over)
    return world


def test_the_leadership_is_handed_over_before_anything_else(stepping_down: World) -> None:
    result = stepping_down.make(leader="step_down")
    assert stepping_down.effects == ["hand over", *COLD]
    assert result["steps"][0]["step"] == "hand over the leadership"


def test_a_follower_does_not_hand_anything_over(stepping_down: World) -> None:
    stepping_down.host.join(leader="m1")
    stepping_down.make(leader="step_down")
    assert stepping_down.effects == COLD


def test_the_leadership_is_not_handed_over_while_it_is_planned(stepping_down: World) -> None:
    assert stepping_down.backup(leader="step_down").plan().hand_over_leadership
    assert stepping_down.effects == []


def test_without_a_fellow_the_leadership_cannot_be_handed_over(stepping_down: World) -> None:
    stepping_down.peer = None
    with pytest.raises(Refused, match="Set peer_docker_host to the address of another manager's engine"):
        stepping_down.make(leader="step_down")
    assert stepping_down.effects == []


def test_a_leader_that_stays_leader_is_not_stopped(stepping_down: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "hand_over", lambda *dummy, **dummy2: None)
    with pytest.raises(TimedOut, match=r"see m2 \(id-m2\) as a reachable follower"):
        stepping_down.make(leader="step_down")
    assert stepping_down.effects == []


def test_the_quorum_is_judged_again_after_the_leadership_was_handed_over(
    stepping_down: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over = module.hand_over

    def lose_one(*arguments: Any, **options: Any) -> None:
        hand_over(*arguments, **options)
        stepping_down.host.change(lambda store: store["nodes"][2]["ManagerStatus"].update(Reachability="unreachable"))

    monkeypatch.setattr(module, "hand_over", lose_one)
    with pytest.raises(Refused, match="1 of 3 managers are reachable, 2 are needed"):
        stepping_down.make(leader="step_down")
    assert stepping_down.effects == ["hand over"]


def test_the_leader_of_two_hands_over_when_the_outage_is_allowed(stepping_down: World) -> None:
    be_leader(stepping_down, 2)
    stepping_down.make(leader="step_down", allow_control_plane_outage=True)
    assert stepping_down.effects == ["hand over", *COLD]


# Hot


def test_a_hot_backup_stops_nothing(world: World) -> None:
    result = world.make(method="hot")
    assert world.effects == ["settle", "copy", "archive"]
    assert (result["downtime"], result["manifest"]["method"]) == (0.0, "hot")
    assert [entry["step"] for entry in result["steps"]] == [
        "write a settling entry",
        "copy while running",
        "write and verify the archive",
    ]
    assert world.leftovers() == []


@pytest.mark.parametrize("count", [1, 3])
def test_a_hot_backup_may_be_one_of_the_leader(world: World, count: int) -> None:
    world.host = FakeHost(world.directory.parent / "m1", world.host.api, node="m1", address="192.0.2.1")
    world.host.join(managers=count)
    world.make(method="hot")
    assert world.effects == ["settle", "copy", "archive"]


def test_the_raft_store_of_a_hot_backup_holds_the_last_real_change(world: World) -> None:
    raft = world.make(method="hot")["manifest"]["raft"]
    assert (raft["commit_index"], raft["last_index"]) == (40, 41)


@pytest.mark.parametrize(
    "problem", [BadArchive("read", "the chain of checksums is broken"), FileNotFoundError(2, "No such file", "0.tmp")]
)
def test_a_hot_copy_that_was_caught_between_two_files_is_made_again(
    world: World, clock: Clock, problem: Exception
) -> None:
    problems = [problem, problem]

    def catch() -> None:
        if problems:
            raise problems.pop()

    world.host.state.before["copy"] = catch
    world.make(method="hot")
    assert world.effects == ["settle", "copy", "copy", "copy", "archive"]
    assert clock.pauses == [1, 1]
    assert world.leftovers() == []


def test_a_hot_copy_is_given_up_after_three_attempts(world: World) -> None:
    def catch() -> None:
        raise BadArchive("read", "the chain of checksums is broken")

    world.host.state.before["copy"] = catch
    with pytest.raises(BadArchive, match="the chain of checksums is broken"):
        world.make(method="hot")
    assert world.effects == ["settle", "copy", "copy", "copy"]
    assert (world.leftovers(), world.archives()) == ([], [])


def test_a_hot_copy_is_removed_whatever_fails(world: World) -> None:
    def fill_the_disk() -> None:
        raise OSError(28, "No space left on device")

    world.host.state.before["copy"] = fill_the_disk
    with pytest.raises(OSError, match="No space left on device"):
        world.make(method="hot")
    assert world.leftovers() == []


def test_a_hot_backup_does_not_remove_what_another_run_may_need(world: World) -> None:
    folder = world.host.state.new_work_folder("restore")
    world.make(method="hot")
    assert folder.is_dir()
