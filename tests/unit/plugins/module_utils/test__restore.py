# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import tarfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
import requests.exceptions

from ansible_collections.quorate.swarm.plugins.module_utils import _archive, _force_new_cluster, _node_key, _raft_store
from ansible_collections.quorate.swarm.plugins.module_utils import _restore as module
from ansible_collections.quorate.swarm.plugins.module_utils._backup import Backup, BackupOptions
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    BadArchive,
    DaemonFailed,
    EngineError,
    Refused,
    SwarmError,
    TimedOut,
    WrongKey,
)
from ansible_collections.quorate.swarm.plugins.module_utils._fence import Peer
from ansible_collections.quorate.swarm.plugins.module_utils._model import LocalState
from ansible_collections.quorate.swarm.plugins.module_utils._survey import Survey
from ansible_collections.quorate.swarm.plugins.module_utils._temporary_address import Loan
from ansible_collections.quorate.swarm.tests.unit.fake_engine import NO_DECISION, FakeApi, api_info, in_turn
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    KEY,
    NODE_KEY,
    OTHER_UNLOCK_KEY,
    UNLOCK_KEY,
    WAL,
    FakeHost,
    node_key_pem,
    raft_contents,
    raft_newest_index,
    raft_position,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

OPTIONS: dict[str, Any] = {
    "archive": Path("/root/archive.tar.gz"),
    "unlock_key": "",
    "allow_missing_manifest": False,
    "allow_engine_downgrade": False,
    "replace_state": False,
    "allow_other_cluster": False,
    "reissue_certificate": "auto",
    "wait_timeout": 20,
    "dead_man_timeout": 600,
}
STARTED = ["arm", "stop", "swap", "cover", "start", "uncover"]
UP = [*STARTED, "force new cluster"]
DONE = [*UP, "heartbeat 30 s", "stop", "start", "heartbeat 5 s", "disarm"]
AUTOLOCKED_DONE = [*DONE[:-2], "unlock", *DONE[-2:]]
BACK = ["stop", "put back", "start", "disarm"]
BACK_FROM_UNDER = ["stop", "uncover", "put back", "start", "disarm"]


def options(**more: Any) -> module.RestoreOptions:
    return module.RestoreOptions(**{**OPTIONS, **more})


# Whether this host may become the restored manager


def survey_of(state: str) -> Survey:
    """What a survey finds on a host in this state."""
    if state == "daemon_down":
        return Survey(state)
    cluster = "blue" if state in ("manager", "worker") else ""
    return Survey(state, LocalState.from_info(api_info(node_id="id-x", state="active", cluster_id=cluster)))


def decide(state: str = "inactive", **more: Any) -> None:
    facts: dict[str, Any] = {
        "found": survey_of(state),
        "engine_version": "28.5.2",
        "addresses": frozenset(["192.0.2.2", "127.0.0.1"]),
        "has_state": False,
        "cluster_id": None,
        "is_archived": False,
    }
    host = module.Host(**{**facts, **{name: more.pop(name) for name in list(more) if name in facts}})
    archived: dict[str, Any] = {
        "archived_cluster": "blue",
        "archived_address": "192.0.2.2",
        "archived_engine": "28.5.2",
        "may_borrow": False,
    }
    archived.update({name: more.pop(name) for name in list(more) if name in archived})
    module.host_decision(host, options=options(**more), **archived)


@pytest.mark.parametrize("state", ["inactive", "daemon_down"])
def test_fresh_host_is_accepted(state: str) -> None:
    decide(state)


def test_host_without_the_archived_address_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        decide(archived_address="192.0.2.7", replace_state=True, allow_other_cluster=True, allow_engine_downgrade=True)
    assert "the archived manager has the address 192.0.2.7, this host has 127.0.0.1, 192.0.2.2" in str(caught.value)
    assert "set lend_address" in str(caught.value)
    decide(archived_address="192.0.2.7", replace_state=True, may_borrow=True)
    assert caught.value.details == {"archived_address": "192.0.2.7"}


@pytest.mark.parametrize(
    ("here", "archived", "older"),
    [
        ("28.5.2", "28.5.2", False),
        ("28.5.2", "20.10.24+dfsg1", False),
        ("20.10.24+dfsg1", "20.10.24", False),
        ("9.0.1", "20.10.24", True),
        ("20.10.24+dfsg1", "28.5.2", True),
        ("28.5.1", "28.5.2", True),
        ("20.10.24", "", False),
    ],
)
def test_engine_must_not_be_older_than_the_archive(here: str, archived: str, older: bool) -> None:
    decide(engine_version=here, archived_engine=archived, allow_engine_downgrade=True)
    if not older:
        decide(engine_version=here, archived_engine=archived)
        return
    with pytest.raises(Refused) as caught:
        decide(engine_version=here, archived_engine=archived)
    assert f"the archive was made by engine {archived}, and this host has the older {here}" in str(caught.value)
    assert "set allow_engine_downgrade" in str(caught.value)


@pytest.mark.parametrize("state", ["manager", "worker", "pending", "locked", "quorum_lost", "unsettled", "error"])
def test_host_that_is_in_a_swarm_is_refused(state: str) -> None:
    decide(state, has_state=True, cluster_id="blue", replace_state=True)
    with pytest.raises(Refused) as caught:
        decide(state, has_state=True, cluster_id="blue")
    known = ", cluster blue" if state in ("manager", "worker") else ""
    assert f"its engine is in a swarm already (state {state}{known})" in str(caught.value)
    assert "Set replace_state" in str(caught.value)
    assert caught.value.details == {"state": state}


@pytest.mark.parametrize(
    ("state", "why"), [("daemon_down", "the engine is down"), ("inactive", "the engine is in none")]
)
def test_host_with_state_on_disk_is_refused(state: str, why: str) -> None:
    decide(state, has_state=True, cluster_id="blue", replace_state=True)
    with pytest.raises(Refused) as caught:
        decide(state, has_state=True, cluster_id="blue")
    assert f"although {why}" in str(caught.value)
    assert "Set replace_state" in str(caught.value)


@pytest.mark.parametrize("state", ["daemon_down", "inactive", "pending", "locked", "quorum_lost", "unsettled", "error"])
def test_what_a_restore_has_left_that_lost_its_power_is_replaced(state: str) -> None:
    decide(state, has_state=True, cluster_id="blue", is_archived=True)


def test_a_manager_that_serves_is_not_taken_for_an_interrupted_restore() -> None:
    with pytest.raises(Refused, match="in a swarm already"):
        decide("manager", has_state=True, cluster_id="blue", is_archived=True)


def test_host_of_another_swarm_needs_a_second_word() -> None:
    with pytest.raises(Refused) as caught:
        decide("manager", has_state=True, cluster_id="green", replace_state=True)
    assert "the archive is of swarm blue, and this host has the state of another one, green" in str(caught.value)
    assert "set allow_other_cluster" in str(caught.value)
    assert caught.value.details == {"cluster_id": "green", "archived_cluster_id": "blue"}
    with pytest.raises(Refused, match="Set replace_state"):
        decide("manager", has_state=True, cluster_id="green", allow_other_cluster=True)
    decide("manager", has_state=True, cluster_id="green", allow_other_cluster=True, replace_state=True)


# The whole sequence, on a host that behaves as a real one


class Killed(BaseException):
    """The process was killed with a signal that nobody can ignore."""


class World:
    """A host on which an archive of m2 is restored."""

    def __init__(self, tmp_path: Path, api: FakeApi) -> None:
        self.folder = tmp_path
        self.host = FakeHost(tmp_path / "docker", api, node="fresh")
        self.host.peers_alive = False
        self.hidden: list[str] = []
        self.asked: list[tuple[list[str], str]] = []
        self.peers = [Peer("192.0.2.1:2377", "silent", ""), Peer("192.0.2.3:2377", "closed", "")]
        self.archive = Path()
        self.prepared: module.Restore | None = None
        self.loan: FakeLoan | None = None

    @property
    def effects(self) -> list[str]:
        return self.host.effects

    def back_up(self, node: str = "m2", **swarm: Any) -> Path:
        """Make the archive, a backup of m2 of a swarm of three managers unless told otherwise."""
        source = FakeHost(self.folder / "source", FakeApi(), node=node).join(**swarm)
        engine = Engine()
        engine._client = source.api
        backup = Backup(
            engine=engine,
            daemon=Daemon(source.run, systemd=True),
            state=source.state,
            options=BackupOptions(
                directory=self.folder / "backups",
                method="cold",
                leader="refuse",
                allow_control_plane_outage=True,
                keep=None,
                escrowed_fingerprints=None,
                settle_timeout=0,
                wait_timeout=0,
                dead_man_timeout=0,
            ),
            peer=None,
            hide=lambda secret: None,
        )
        engine.close = lambda: setattr(source.api, "closed", source.api.closed + 1)  # type: ignore[method-assign]
        self.archive = Path(backup.run(backup.plan())["archive"])
        return self.archive

    def restore(self, **more: Any) -> module.Restore:
        return module.Restore(
            engine=Engine(),
            daemon=Daemon(self.host.run, systemd=True),
            state=self.host.state,
            options=options(archive=self.archive, **more),
            host_addresses=frozenset(self.host.addresses),
            engine_version=Daemon(self.host.run, systemd=True).engine_version,
            hide=self.hidden.append,
            loan=self.loan,
        )

    def make(self, **more: Any) -> dict[str, Any]:
        self.prepared = restore = self.restore(**more)
        killed = False
        try:
            return restore.run(restore.prepare())
        except Killed:
            killed = True
            raise
        finally:
            if not killed:
                restore.cleanup()

    def put_into_old_swarm(self, **swarm: Any) -> None:
        """Let the host be the only manager of a swarm, so that it serves again when it is put back."""
        self.host.hostname = "m1"
        self.host.join(**{"cluster": "blue", "managers": 1, **swarm})

    def names(self) -> list[str]:
        """What lies beside the state directory and in its place, without time stamps."""
        return sorted(path.name.partition("-20")[0] for path in self.host.state.path.parent.iterdir())


@pytest.fixture
def world(tmp_path: Path, api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> World:
    """A fresh host with the address of m2, and an archive of m2, of a swarm whose managers are all gone."""
    world = World(tmp_path, api)

    def probe_all(addresses: Any, *, cluster_id: str) -> list[Peer]:
        world.asked.append((list(addresses), cluster_id))
        return world.peers

    for user in (module, _force_new_cluster):
        monkeypatch.setattr(user, "probe_all", probe_all)
    monkeypatch.setattr(_raft_store, "position", raft_position)
    monkeypatch.setattr(_raft_store, "newest_index", raft_newest_index)
    monkeypatch.setattr(_raft_store, "contents", raft_contents)
    world.back_up()
    return world


@pytest.fixture
def autolocked(world: World) -> World:
    world.archive.unlink()
    world.back_up(unlock_key=UNLOCK_KEY)
    return world


def test_a_swarm_is_restored_in_order(world: World, clock: Clock) -> None:
    clock.pauses.clear()
    world.make()
    assert world.prepared is not None
    assert sum(clock.pauses) < 1
    assert world.effects == DONE
    assert world.host.condition == "manager"
    assert [entry["step"] for entry in world.prepared.steps.taken] == [
        "verify the archive",
        "extract and check a copy",
        "check this host",
        "fence the other managers",
        "stop",
        "swap the state directories",
        "start outside the swarm",
        "uncover the state",
        "look for other managers once more",
        "force a new cluster",
        "wait for the leader",
        "compare",
        "give the workers time",
    ]
    assert world.names() == ["swarm"]
    assert (world.host.switch, world.host.stale) == (None, 0)


def test_the_result_says_what_came_back(world: World) -> None:
    result = world.make()
    assert (result["cluster_id"], result["node_id"], result["address"]) == ("blue", "id-m2", "192.0.2.2")
    assert (result["autolock"], result["difference"], result["quarantine"]) == (False, {}, None)
    assert [entry["name"] for entry in result["inventory"]["services"]] == ["web"]


def test_the_new_cluster_is_forced_with_the_archived_addresses(world: World) -> None:
    world.make()
    (init,) = [request for request in world.host.api.asked("POST") if request.path == "/swarm/init"]
    assert init.body == {
        "ForceNewCluster": True,
        "ListenAddr": "[::]:2377",
        "AdvertiseAddr": "192.0.2.2:2377",
        "DataPathAddr": "eth7",
        "Spec": {"EncryptionConfig": {"AutoLockManagers": False}},
    }


def test_files_are_root_only_and_preallocated_files_are_gone(world: World) -> None:
    world.make()
    assert oct(world.host.state.path.stat().st_mode)[-3:] == "700"
    assert oct((world.host.state.path / NODE_KEY).stat().st_mode)[-3:] == "600"
    assert not list(world.host.state.path.rglob("*.tmp"))


def test_nothing_is_changed_while_it_is_prepared(world: World) -> None:
    before = world.host.tree()
    restore = world.restore()
    facts = restore.prepare()
    assert world.effects == []
    assert world.names() == [".quorate-swarm-restore-" + restore.cluster.copy.parent.name.rpartition("-")[2], "swarm"]
    restore.cleanup()
    assert world.host.tree() == before
    assert restore.managers(facts) == [
        {"id": f"id-m{number}", "hostname": f"m{number}", "address": f"192.0.2.{number}"} for number in (1, 2, 3)
    ]


def test_all_other_managers_of_the_archive_are_asked_at_first_and_at_last(world: World) -> None:
    world.make()
    assert world.asked == [(["192.0.2.1:2377", "192.0.2.3:2377"], "blue")] * 2


def test_a_manager_that_comes_up_meanwhile_is_refused_and_everything_put_back(world: World) -> None:
    world.put_into_old_swarm()
    before = world.host.tree()
    late = [Peer("192.0.2.1:2377", "alive", "it answers")]
    world.host.state.before["swap"] = lambda: setattr(world, "peers", late)
    with pytest.raises(Refused, match="192.0.2.1:2377: it answers"):
        world.make(replace_state=True)
    assert world.effects == [*STARTED, *BACK]
    assert world.host.tree() == before


def lose_power_after_the_swap(world: World) -> None:
    """Let the host boot with the archived state, and find that the other managers are gone."""
    archived = json.loads((world.folder / "source/swarm" / WAL).read_text())
    world.host.hostname = "m2"
    world.host.join()
    world.host.change(lambda store: store.update(archived))


def test_a_restore_that_lost_its_power_after_the_swap_is_done_again(world: World) -> None:
    lose_power_after_the_swap(world)
    assert world.host.condition == "leaderless"
    result = world.make()
    assert world.host.condition == "manager"
    assert (result["node_id"], result["quarantine"]) == ("id-m2", None)
    assert world.names() == ["swarm"]


@pytest.mark.parametrize(
    "change",
    [
        {"hostname": "m1"},
        {"cluster": "green"},
        {"last": 1},
    ],
)
def test_what_is_not_the_archived_state_is_not_replaced_unasked(world: World, change: dict[str, Any]) -> None:
    lose_power_after_the_swap(world)
    if "last" in change:
        world.host.change(lambda store: store.update(last=store["last"] + change["last"]))
    else:
        store = world.host.store
        world.host.hostname = change.get("hostname", "m2")
        world.host.join(cluster=change.get("cluster", "blue"))
        world.host.change(lambda dummy: dummy.update(last=store["last"], commit=store["commit"]))
    before = world.host.tree()
    with pytest.raises(Refused, match="replace_state"):
        world.make(allow_other_cluster=True)
    assert world.host.tree() == before
    assert world.effects == []


def test_a_state_directory_of_no_engine_is_refused_before_anything_is_done(world: World) -> None:
    world.put_into_old_swarm()
    world.host.root_dir = Path("/somewhere/else")
    with pytest.raises(Refused, match="the engine keeps its state in /somewhere/else/swarm"):
        world.make(replace_state=True)
    assert world.effects == []


def test_an_engine_that_starts_from_another_directory_forms_no_new_swarm(world: World) -> None:
    """Nobody knows where it keeps its state while it is down."""
    world.put_into_old_swarm()
    before = world.host.tree()
    world.host.state.before["swap"] = lambda: setattr(world.host, "root_dir", Path("/somewhere/else"))
    with pytest.raises(Refused, match="the engine keeps its state in /somewhere/else/swarm"):
        world.make(replace_state=True)
    assert world.effects == [*STARTED, *BACK]
    assert world.host.tree() == before


def test_the_switch_would_put_everything_back(world: World) -> None:
    seen: list[Any] = []
    world.host.state.before["swap"] = lambda: seen.append(world.host.switch)
    world.make(dead_man_timeout=77)
    (seconds, script) = seen[0]
    assert seconds == 77
    commands = script.split("; ")
    assert commands[0] == "systemctl stop docker.socket docker.service"
    assert commands[-2:] == ["systemctl reset-failed docker.socket docker.service", "systemctl start docker.service"]


def test_without_the_switch_nothing_is_armed(world: World) -> None:
    world.make(dead_man_timeout=0)
    assert "arm" not in world.effects


def test_without_a_switch_too_a_second_operation_is_refused(world: World) -> None:
    world.host.switch = (180, "of a backup")
    refused(world, Refused, dead_man_timeout=0)
    assert world.host.switch == (180, "of a backup")


def test_a_host_whose_engine_is_down_is_restored_too(world: World) -> None:
    world.host.running = False
    world.make()
    assert world.effects == DONE


def test_a_leader_that_is_slow_to_come_is_awaited(world: World) -> None:
    world.host.on_force = lambda store: setattr(world.host, "unknown", 5)
    world.host.api.answers["/info"] = in_turn(
        world.host.api.answers["/info"],
        requests.exceptions.ReadTimeout("Read timed out."),
        world.host.api.answers["/info"],
    )
    world.make()
    assert world.effects == DONE


# Autolock


def test_an_autolocked_swarm_comes_back_under_its_key(autolocked: World) -> None:
    result = autolocked.make(unlock_key=UNLOCK_KEY)
    assert autolocked.effects == AUTOLOCKED_DONE
    assert result["autolock"] is True
    pem = (autolocked.host.state.path / NODE_KEY).read_bytes()
    assert _node_key.parse_node_key(pem).sealed
    assert _node_key.opens(_node_key.parse_node_key(pem), KEY)
    assert "SWM" not in json.dumps(result)


def test_the_key_is_opened_in_the_copy_only(autolocked: World) -> None:
    """Also in check mode a sealed key stays sealed; it is opened when the restore is really made."""
    restore = autolocked.restore(unlock_key=UNLOCK_KEY)
    facts = restore.prepare()
    assert _node_key.parse_node_key((restore.cluster.copy / NODE_KEY).read_bytes()).sealed
    seen: list[bytes] = []
    autolocked.host.state.before["swap"] = lambda: seen.append((restore.cluster.copy / NODE_KEY).read_bytes())
    restore.run(facts)
    assert not _node_key.parse_node_key(seen[0]).sealed
    assert _node_key.parse_node_key(seen[0]).kek_version == 0


def test_autolock_is_asked_for_when_the_new_cluster_is_forced(autolocked: World) -> None:
    autolocked.make(unlock_key=UNLOCK_KEY)
    (init,) = [request for request in autolocked.host.api.asked("POST") if request.path == "/swarm/init"]
    assert init.body["Spec"] == {"EncryptionConfig": {"AutoLockManagers": True}}


def test_a_key_for_an_archive_without_autolock_is_not_used(world: World) -> None:
    assert world.make(unlock_key=UNLOCK_KEY)["autolock"] is False
    node_key = _node_key.parse_node_key((world.host.state.path / NODE_KEY).read_bytes())
    assert (node_key.sealed, node_key.kek_version) == (False, 18)


def test_the_key_is_not_shown_by_the_options() -> None:
    assert UNLOCK_KEY not in repr(options(unlock_key=UNLOCK_KEY))


# Where nothing needs to be forced


@pytest.mark.parametrize("key", ["", UNLOCK_KEY])
def test_the_only_manager_of_a_swarm_leads_by_itself(world: World, key: str) -> None:
    """It has sealed its key again by then, and with a sealed key no engine can force a new cluster (lab fact B4.10)."""
    world.archive.unlink()
    world.back_up("m1", managers=1, unlock_key=key)
    world.host.addresses = ["192.0.2.1"]
    result = world.make(unlock_key=key)
    forced = ("cover", "uncover", "force new cluster")
    assert world.effects == [effect for effect in (AUTOLOCKED_DONE if key else DONE) if effect not in forced]
    assert (result["autolock"], world.host.condition) == (bool(key), "manager")
    assert world.asked == [([], "blue")] * 2


def test_where_nothing_can_be_mounted_the_engine_is_awaited(world: World) -> None:
    world.host.mounts = False
    world.make()
    assert world.effects == [effect for effect in DONE if effect not in ("cover", "uncover")]


def test_an_engine_that_finds_its_swarm_all_the_same_is_awaited(world: World) -> None:
    """It has mounts of its own, say."""
    world.host.sees_mounts = False
    world.make()
    assert world.effects == [*STARTED, "start", *DONE[len(STARTED) :]]


def test_a_living_quorum_that_the_fence_did_not_see_is_left_alone(world: World) -> None:
    """The engine found its fellows when it was started: to force a new cluster now would take them over (lab fact B5.8)."""
    world.host.mounts = False
    world.put_into_old_swarm()
    before = world.host.tree()
    world.host.peers_alive = True
    with pytest.raises(Refused) as caught:
        world.make(replace_state=True)
    assert "it has found a living quorum of its swarm, with m1 (id-m1), m3 (id-m3)" in str(caught.value)
    assert world.effects == ["arm", "stop", "swap", "start", *BACK]
    assert world.host.tree() == before


# What is refused before anything is changed


def refused(world: World, error: type[SwarmError], **more: Any) -> SwarmError:
    before, names = world.host.tree(), world.names()
    condition = world.host.condition
    with pytest.raises(error) as caught:
        world.make(**more)
    assert world.effects == []
    assert (world.host.tree(), world.names(), world.host.condition) == (before, names, condition)
    assert world.host.api.asked("POST") == []
    for key in (UNLOCK_KEY, OTHER_UNLOCK_KEY, "a slip"):
        assert key not in f"{caught.value} {caught.value.details}"
    return caught.value


@pytest.mark.parametrize(
    ("key", "cause"),
    [
        ("", "its swarm is autolocked, and no unlock key was given"),
        (OTHER_UNLOCK_KEY, "does not fit"),
        ("a slip", "it is not"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(autolocked: World, key: str, cause: str) -> None:
    assert cause in str(refused(autolocked, WrongKey, unlock_key=key))


def test_the_fingerprint_of_the_missing_key_is_told(autolocked: World) -> None:
    error = refused(autolocked, WrongKey)
    print_of_key = _node_key.fingerprint(KEY)
    assert f"Give the key with fingerprint {print_of_key} as unlock_key" in str(error)
    assert error.details == {"fingerprint": print_of_key}


def repack(world: World, change: Callable[[Path], None], *, manifest: bool = True) -> None:
    """Make the archive anew from its changed contents."""
    contents = world.folder / "contents"
    with tarfile.open(world.archive) as tar:
        tar.extractall(contents)
    change(contents)
    with tarfile.open(world.archive, "w:gz") as tar:
        for name in ("manifest.json", "swarm") if manifest else ("swarm",):
            tar.add(contents / name, name)


def flip(contents: Path) -> None:
    path = contents / "swarm" / WAL
    path.write_bytes(path.read_bytes().replace(b"web", b"wab"))


def strip(contents: Path) -> None:
    (contents / "swarm/certificates/swarm-node.crt").unlink()


def link(contents: Path) -> None:
    (contents / "swarm/worker/tasks.db").unlink()
    (contents / "swarm/worker/tasks.db").symlink_to("/etc/shadow")


@pytest.mark.parametrize("change", [flip, strip, link])
def test_a_damaged_archive_is_refused(world: World, change: Callable[[Path], None]) -> None:
    repack(world, change)
    refused(world, BadArchive)


def test_an_archive_that_was_cut_short_is_refused(world: World) -> None:
    world.archive.write_bytes(world.archive.read_bytes()[:-100])
    refused(world, BadArchive)


@pytest.mark.parametrize(("part", "what"), [("cluster", "cluster green"), ("node", "node green")])
def test_an_archive_put_together_from_two_is_refused(world: World, part: str, what: str) -> None:
    def change(contents: Path) -> None:
        manifest = json.loads((contents / "manifest.json").read_text())
        manifest[part]["id"] = "green"
        (contents / "manifest.json").write_text(json.dumps(manifest))

    repack(world, change)
    assert f"its manifest is of {what}, its certificate of" in str(refused(world, BadArchive))


def test_an_archive_of_a_worker_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read = module._state_facts.read_state
    monkeypatch.setattr(
        module._state_facts,
        "read_state",
        lambda *args, **more: dataclasses.replace(read(*args, **more), raft=None, contents=None),
    )
    assert "it holds the state of a worker" in str(refused(world, BadArchive))


def test_an_archive_without_manifest_needs_the_option(world: World) -> None:
    repack(world, lambda contents: None, manifest=False)
    assert "allow_missing_manifest" in str(refused(world, BadArchive))
    result = world.make(allow_missing_manifest=True)
    assert (result["cluster_id"], result["difference"]) == ("blue", {})


def test_a_raft_store_that_is_not_that_of_the_manifest_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the tail of the log was lost: nothing else tells that it had been longer."""

    def contents(path: Path, keys: Any) -> Any:
        found = raft_contents(path, keys)
        objects = tuple(each for each in found.objects if each.name != "web")
        return dataclasses.replace(
            found, position=dataclasses.replace(found.position, commit_index=3, last_index=3), objects=objects
        )

    monkeypatch.setattr(_raft_store, "contents", contents)
    error = refused(world, BadArchive)
    assert "the last entry is 3, and 41 by the manifest" in str(error)
    assert "the service web (id-web) of the manifest is not in it" in str(error)


def test_an_archive_without_manifest_knows_its_managers_by_its_raft_store(world: World) -> None:
    repack(world, lambda contents: None, manifest=False)
    restore = world.restore(allow_missing_manifest=True)
    managers = restore.managers(restore.prepare())
    restore.cleanup()
    assert managers[0] == {"id": "id-m1", "hostname": "m1", "address": "192.0.2.1"}


def test_a_host_without_the_address_is_refused(world: World) -> None:
    world.host.addresses = ["192.0.2.9"]
    assert "the archived manager has the address 192.0.2.2, this host has 192.0.2.9" in str(refused(world, Refused))


class FakeLoan(Loan):
    """Notes what becomes of the address."""

    def __init__(self, effects: list[str]) -> None:
        self.effects = effects
        self.refuse = False

    def prepare(self, address: str) -> None:
        if self.refuse:
            raise Refused(f"give this host the address {address}", "another host has it")

    @contextlib.contextmanager
    def given(self) -> Iterator[None]:
        self.effects.append("lend")
        try:
            yield
        except BaseException:
            self.effects.append("take back")
            raise


def test_a_host_is_lent_the_address_before_the_engine_stops(world: World) -> None:
    world.host.addresses = ["192.0.2.9"]
    world.loan = FakeLoan(world.host.effects)
    assert world.make()["address"] == "192.0.2.2"
    assert world.host.effects[0] == "lend"
    assert "take back" not in world.host.effects


def test_a_loan_ends_with_a_roll_back(world: World) -> None:
    world.host.addresses = ["192.0.2.9"]
    world.loan = FakeLoan(world.host.effects)
    world.host.refuse["start"] = 1
    with pytest.raises(SwarmError):
        world.make()
    assert (world.host.effects[0], world.host.effects[-1]) == ("lend", "take back")


def test_an_address_of_another_host_is_not_lent(world: World) -> None:
    world.host.addresses = ["192.0.2.9"]
    world.loan = FakeLoan(world.host.effects)
    world.loan.refuse = True
    assert "another host has it" in str(refused(world, Refused))


@pytest.mark.parametrize("running", [True, False])
def test_an_older_engine_is_refused_also_when_it_is_down(world: World, running: bool) -> None:
    world.host.engine_version, world.host.running = "20.10.24", running
    assert "engine 28.5.2, and this host has the older 20.10.24" in str(refused(world, Refused))
    world.make(allow_engine_downgrade=True)


def test_a_member_of_a_swarm_is_refused(world: World) -> None:
    world.put_into_old_swarm()
    assert "its engine is in a swarm already (state manager, cluster blue)" in str(refused(world, Refused))


def test_a_state_that_no_engine_runs_on_is_refused(world: World) -> None:
    world.put_into_old_swarm()
    world.host.running = False
    assert "although the engine is down" in str(refused(world, Refused))


def test_a_member_of_another_swarm_is_refused(world: World) -> None:
    world.put_into_old_swarm(cluster="green")
    assert "allow_other_cluster" in str(refused(world, Refused, replace_state=True))


@pytest.mark.parametrize("state", ["alive", "unclear"])
def test_a_live_manager_elsewhere_is_refused(world: World, state: str) -> None:
    world.peers = [Peer("192.0.2.3:2377", state, "it answers")]
    assert "192.0.2.3:2377: it answers" in str(refused(world, Refused, replace_state=True, allow_other_cluster=True))


def test_a_state_directory_that_cannot_be_renamed_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.ismount", lambda path: path == world.host.state.path)
    assert "it is a mount point" in str(refused(world, Refused))


def test_room_is_needed_for_the_extracted_state(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = _archive.verify(world.archive).state_size
    monkeypatch.setattr(world.host.state, "room", lambda: needed - 1)
    refused(world, BadArchive)
    monkeypatch.setattr(world.host.state, "room", lambda: needed)
    world.make()


def test_a_second_operation_on_this_host_is_refused(world: World) -> None:
    world.host.switch = (180, "of a backup")
    refused(world, Refused)
    assert world.host.switch == (180, "of a backup")


# Over a state that is there


def test_the_old_state_is_kept_in_quarantine(world: World) -> None:
    world.put_into_old_swarm(cluster="green")
    before = {name[len("swarm/") :]: content for name, content in world.host.tree().items()}
    result = world.make(replace_state=True, allow_other_cluster=True)
    assert world.effects == DONE
    quarantine = Path(result["quarantine"])
    assert quarantine.parent == world.host.state.path.parent
    kept = {
        path.relative_to(quarantine).as_posix(): path.read_bytes() for path in quarantine.rglob("*") if path.is_file()
    }
    assert kept == before
    assert world.names() == ["swarm", "swarm.quarantine"]


def test_a_damaged_state_is_kept_too(world: World) -> None:
    world.put_into_old_swarm()
    (world.host.state.path / "docker-state.json").unlink()
    world.make(replace_state=True)
    assert world.names() == ["swarm", "swarm.quarantine"]


# Rolling back


def no_stop(world: World) -> None:
    world.host.refuse["stop"] = 1


def no_swap(world: World) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    world.host.state.before["swap"] = fail


def no_start(world: World) -> None:
    world.host.refuse["start"] = 1


def no_uncover(world: World) -> None:
    world.host.refuse["uncover"] = 1


def no_load(world: World) -> None:
    """The engine starts, and its swarm is in state error."""
    world.host.mounts = False
    info = world.host.api.answers["/info"]

    def broken(request: Any) -> Any:
        answer = info(request)  # type: ignore[operator]
        if world.effects.count("start") == 1:
            answer[1]["Swarm"].update(LocalNodeState="error", ControlAvailable=False, Error="manager stopped")
        return answer

    world.host.api.answers["/info"] = broken


def no_force(world: World) -> None:
    def fail(dummy: Any) -> Any:
        world.effects.append("force new cluster")
        return [500, {"message": "manager stopped: candidate KEK"}]

    world.host.api.answers["POST /swarm/init"] = fail


def no_decision(world: World) -> None:
    def fail(dummy: Any) -> Any:
        world.effects.append("force new cluster")
        return [500, {"message": NO_DECISION}]

    world.host.api.answers["POST /swarm/init"] = fail


def no_leader(world: World) -> None:
    world.host.on_force = lambda store: world.host.me(store)["ManagerStatus"].pop("Leader")


def never_ready(world: World) -> None:
    world.host.on_force = lambda store: world.host.me(store)["Status"].update(State="down")


def no_service(world: World) -> None:
    world.host.on_force = lambda store: store["services"].clear()


def moved(world: World) -> None:
    world.host.on_force = lambda store: world.host.me(store)["ManagerStatus"].update(Addr="192.0.2.99:2377")


def another_cluster(world: World) -> None:
    swarm = world.host.api.answers["/swarm"]

    def other(request: Any) -> Any:
        status, body = swarm(request)  # type: ignore[operator]
        return [status, {**body, "ID": "new-and-empty"}]

    world.host.api.answers["/swarm"] = other


def another_ca(world: World) -> None:
    swarm = world.host.api.answers["/swarm"]

    def other(request: Any) -> Any:
        status, body = swarm(request)  # type: ignore[operator]
        node_certificate = (world.host.state.path / "certificates/swarm-node.crt").read_text()
        return [status, {**body, "TLSInfo": {"TrustRoot": node_certificate}}]

    world.host.api.answers["/swarm"] = other


FAILURES: list[tuple[Callable[[World], None], list[str], type[Exception], str]] = [
    (no_stop, ["arm", "stop"], DaemonFailed, "Could not stop docker and its socket"),
    (no_start, STARTED[:5], DaemonFailed, "Could not start docker"),
    (no_uncover, STARTED, DaemonFailed, "Could not take away what lies over"),
    (no_load, ["arm", "stop", "swap", "start"], TimedOut, "see the state loaded by the engine"),
    (no_force, UP, EngineError, "candidate KEK"),
    (no_decision, UP, SwarmError, "did not decide in time"),
    (no_leader, UP, TimedOut, "see this manager lead its swarm"),
    (never_ready, UP, TimedOut, "see this manager lead its swarm"),
    (no_service, UP, EngineError, "1 services are missing: web"),
    (moved, UP, EngineError, "its raft address is 192.0.2.99, which is no address of this host"),
    (another_cluster, UP, EngineError, "the cluster ID is new-and-empty, and was blue"),
    (another_ca, UP, EngineError, "the root CA digest is"),
]


@pytest.mark.parametrize(("break_it", "effects", "error", "cause"), FAILURES)
@pytest.mark.parametrize("old", ["a swarm", "nothing"])
def test_every_failure_puts_everything_back(
    world: World, break_it: Callable[[World], None], effects: list[str], error: type[Exception], cause: str, old: str
) -> None:
    if old == "a swarm":
        world.put_into_old_swarm()
    before, condition = world.host.tree(), world.host.condition
    break_it(world)
    with pytest.raises(error) as caught:
        world.make(replace_state=True)
    assert world.effects == [*effects, *(BACK_FROM_UNDER if break_it in (no_start, no_uncover) else BACK)]
    assert (world.host.tree(), world.host.condition) == (before, condition)
    assert world.names() == ["swarm"]
    assert (world.host.switch, world.host.stale) == (None, 0)
    assert cause in str(caught.value)
    assert str(caught.value).endswith("Everything was put back as it was, and the engine runs on the old state.")
    assert isinstance(caught.value, SwarmError)
    assert caught.value.details["rolled_back"] is True


def test_a_failed_rename_is_rolled_back(world: World) -> None:
    world.put_into_old_swarm()
    before = world.host.tree()
    no_swap(world)
    with pytest.raises(SwarmError, match="No space left on device"):
        world.make(replace_state=True)
    assert world.effects == ["arm", "stop", "swap", *BACK]
    assert (world.host.tree(), world.host.condition) == (before, "manager")


def test_a_failed_rename_is_told_like_every_other_failure(world: World) -> None:
    no_swap(world)
    with pytest.raises(SwarmError):
        world.make()


@pytest.mark.parametrize(
    ("break_it", "cause"),
    [
        (lambda world: setattr(world.host, "on_force", lambda store: store.update(unlock_key="")), "autolock is off"),
        (lambda world: seal_with(world, b""), "the engine did not seal its key again"),
        (
            lambda world: seal_with(world, node_key_pem(OTHER_UNLOCK_KEY)),
            "the unlock key does not open this manager any more",
        ),
    ],
)
def test_an_autolock_that_did_not_come_back_is_rolled_back(
    autolocked: World, break_it: Callable[[World], None], cause: str
) -> None:
    break_it(autolocked)
    with pytest.raises(EngineError) as caught:
        autolocked.make(unlock_key=UNLOCK_KEY)
    assert cause in str(caught.value)
    assert autolocked.effects == [*UP, *BACK]
    assert autolocked.host.tree() == {}


def seal_with(world: World, pem: bytes) -> None:
    """Let the engine leave its key as it is, or seal it under another unlock key."""
    init = world.host.api.answers["POST /swarm/init"]

    def answer(request: Any) -> Any:
        path = world.host.state.path / NODE_KEY
        opened = path.read_bytes()
        result = init(request)  # type: ignore[operator]
        path.write_bytes(pem or opened)
        return result

    world.host.api.answers["POST /swarm/init"] = answer


def test_an_autolocked_manager_that_is_put_back_is_unlocked_again(world: World) -> None:
    world.put_into_old_swarm(unlock_key=OTHER_UNLOCK_KEY)
    no_force(world)
    with pytest.raises(EngineError):
        world.make(replace_state=True)
    assert world.effects == [*UP, "stop", "put back", "start", "unlock", "disarm"]
    assert world.host.condition == "manager"
    assert world.hidden == [OTHER_UNLOCK_KEY]


def test_a_manager_that_was_locked_before_is_locked_again(world: World) -> None:
    world.put_into_old_swarm(unlock_key=OTHER_UNLOCK_KEY)
    world.host.unlocked = False
    no_force(world)
    with pytest.raises(EngineError):
        world.make(replace_state=True)
    assert world.effects == [*UP, *BACK]
    assert world.host.condition == "locked"


def on_force_failure(world: World, then: Callable[[], None]) -> None:
    """Let force-new-cluster fail, and something else from then on."""

    def fail(dummy: Any) -> Any:
        world.effects.append("force new cluster")
        then()
        return [500, {"message": "manager stopped"}]

    world.host.api.answers["POST /swarm/init"] = fail


def raise_error() -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("break_it", "effects"),
    [
        (lambda world: world.host.refuse.update(stop=1), ["stop"]),
        (lambda world: world.host.state.before.update({"put back": raise_error}), ["stop", "put back"]),
        (lambda world: world.host.refuse.update(start=1), ["stop", "put back", "start"]),
    ],
)
def test_a_roll_back_that_fails_leaves_the_switch_armed_and_says_where_the_old_state_is(
    world: World, break_it: Callable[[World], None], effects: list[str]
) -> None:
    world.put_into_old_swarm()
    before = world.host.tree()
    on_force_failure(world, lambda: break_it(world))
    with pytest.raises(DaemonFailed) as caught:
        world.make(replace_state=True)
    assert world.effects == [*UP, *effects]
    assert world.prepared is not None
    assert f"The old state is in {world.prepared.cluster.aside} unless it is in {world.host.state.path} again" in str(
        caught.value
    )
    assert "The restore had failed because of: Could not force a new cluster" in str(caught.value)
    assert caught.value.details == {"quarantine": str(world.prepared.cluster.aside)}
    assert isinstance(caught.value.__cause__, EngineError)

    world.host.state.before.clear()
    world.host.go_off()
    assert (world.host.tree(), world.host.condition) == (before, "manager")


def test_an_engine_that_does_not_answer_after_the_roll_back_leaves_the_switch_armed(world: World) -> None:
    def be_deaf() -> None:
        world.host.api.answers["/version"] = requests.exceptions.ConnectionError("connection refused")

    on_force_failure(world, be_deaf)
    with pytest.raises(DaemonFailed, match="reach the engine after its start"):
        world.make()
    assert world.host.switch is not None


def kill() -> None:
    raise Killed


def kill_at_start(world: World) -> None:
    run = world.host.run

    def killed(argv: list[str]) -> tuple[int, str, str]:
        if argv[:2] == ["systemctl", "start"]:
            world.host.run = run  # type: ignore[method-assign]
            raise Killed
        return run(argv)

    world.host.run = killed  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("when", "effects"),
    [
        (lambda world: world.host.state.before.update(swap=kill), ["arm", "stop", "swap"]),
        (kill_at_start, STARTED[:4]),
        (lambda world: on_force_failure(world, kill), UP),
    ],
)
@pytest.mark.parametrize("old", ["a swarm", "nothing"])
def test_the_host_puts_everything_back_by_itself_when_the_restore_is_killed(
    autolocked: World, when: Callable[[World], None], effects: list[str], old: str
) -> None:
    if old == "a swarm":
        autolocked.put_into_old_swarm()
    before, condition = autolocked.host.tree(), autolocked.host.condition
    when(autolocked)
    with pytest.raises(Killed):
        autolocked.make(replace_state=True, unlock_key=UNLOCK_KEY)
    assert autolocked.effects == effects
    autolocked.host.go_off()
    assert (autolocked.host.tree(), autolocked.host.condition) == (before, condition)
    assert autolocked.names() == ["swarm"]


def test_signals_do_not_interrupt_between_stop_and_proof(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    held = signal.signal(signal.SIGTERM, lambda *dummy: pytest.fail("the restore was interrupted"))
    try:
        world.host.state.before["swap"] = lambda: os.kill(os.getpid(), signal.SIGTERM)
        world.make()
    finally:
        signal.signal(signal.SIGTERM, held)
    assert world.effects == DONE
