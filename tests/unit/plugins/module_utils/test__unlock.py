# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import requests.exceptions

from ansible_collections.quorate.swarm.plugins.module_utils import _critical, _kept_key, _node_key, _raft_store
from ansible_collections.quorate.swarm.plugins.module_utils import _unlock as module
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    BadArchive,
    DaemonFailed,
    EngineError,
    Locked,
    MissingLibrary,
    NotAManager,
    PermissionDenied,
    Refused,
    TimedOut,
    Unreachable,
    WrongKey,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import STATES, Node
from ansible_collections.quorate.swarm.plugins.module_utils._node_key import fingerprint, parse_node_key
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import quorum_health
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi, Request, api_info, in_turn, managers
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    KEY,
    OTHER_UNLOCK_KEY,
    UNLOCK_KEY,
    WAL,
    FakeHost,
    node_key_pem,
    raft_position,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

FITTING = fingerprint(KEY)
OTHER = fingerprint(bytes(32))
PATH = Path("/var/lib/docker/swarm/certificates/swarm-node.key")
HANGS = requests.exceptions.ReadTimeout("Read timed out.")
#: What an engine says to an unlock without a key while its control lock is free.
NOT_LOCKED = [409, {"message": "swarm is not locked"}]


# -- decisions ---------------------------------------------------------------------------------------------------------


def test_keys_are_read_in_their_order_and_once() -> None:
    keys = module.parse_unlock_keys([f" {OTHER_UNLOCK_KEY}\n", UNLOCK_KEY, OTHER_UNLOCK_KEY])
    assert list(keys.items()) == [(bytes(32), OTHER_UNLOCK_KEY), (KEY, UNLOCK_KEY)]
    assert module.parse_unlock_keys([]) == {}


@pytest.mark.parametrize(
    "malformed", ["", "SWMKEY-1-", UNLOCK_KEY + "x", UNLOCK_KEY[:-1], UNLOCK_KEY.lower(), f"{UNLOCK_KEY} {UNLOCK_KEY}"]
)
def test_a_malformed_key_is_told_by_its_place(malformed: str) -> None:
    with pytest.raises(WrongKey, match="Could not read unlock key 2 of 2: it has not the form") as caught:
        module.parse_unlock_keys([UNLOCK_KEY, malformed])
    assert caught.value.details == {"place": 2}
    assert UNLOCK_KEY[9:] not in str(caught.value)


def test_the_first_key_that_fits_is_taken() -> None:
    sealed = parse_node_key(node_key_pem(UNLOCK_KEY))
    assert module.fitting_key(sealed, [bytes(32), KEY, bytes(31) + b"1"], path=PATH) == KEY


def test_no_key_fits() -> None:
    sealed = parse_node_key(node_key_pem(UNLOCK_KEY))
    newest = bytes(31) + b"1"
    with pytest.raises(WrongKey) as caught:
        module.fitting_key(sealed, [newest, bytes(32)], path=PATH)
    assert f"none of the keys fits that were tried: {fingerprint(newest)}, {OTHER}" in str(caught.value)
    assert f"{PATH} is sealed with the key of kek-version 18" in str(caught.value)
    assert caught.value.details == {"fingerprints": [fingerprint(newest), OTHER], "kek_version": 18}


def test_no_key_was_given() -> None:
    with pytest.raises(WrongKey, match="no unlock key was given") as caught:
        module.fitting_key(parse_node_key(node_key_pem(UNLOCK_KEY)), [], path=PATH)
    assert caught.value.details == {"fingerprints": [], "kek_version": 18}


def test_an_open_key_file_is_not_that_of_a_locked_manager() -> None:
    with pytest.raises(Refused, match="is not sealed, so it is not the key file of this engine"):
        module.fitting_key(parse_node_key(node_key_pem()), [KEY], path=PATH)


def test_a_seal_that_cannot_be_opened_is_left_to_docker() -> None:
    record = base64.b64encode(b"\x08\x02\x12\x30" + bytes(48) + b"\x1a\x18" + bytes(24))
    pem = node_key_pem(UNLOCK_KEY).splitlines(keepends=True)
    fernet = b"".join(b"raft-dek: " + record + b"\n" if line.startswith(b"raft-dek") else line for line in pem)
    with pytest.raises(BadArchive, match="Fernet.*Unlock this manager with docker swarm unlock"):
        module.fitting_key(parse_node_key(fernet), [KEY], path=PATH)


@pytest.mark.parametrize("state", STATES)
def test_outcome(state: str) -> None:
    waits = state in ("pending", "quorum_lost", "unsettled")
    assert module.unlock_outcome(was_locked=True, state=state) == ("unlocked_without_quorum" if waits else "unlocked")
    assert module.unlock_outcome(was_locked=False, state=state) == "already_unlocked"
    for was_locked in (False, True):
        assert module.unlock_outcome(was_locked=was_locked, state=state, restarted=True) == "locked_again"


def test_numbers_of_the_quorum() -> None:
    health = quorum_health([Node.from_api(node) for node in managers(3, reachability="unreachable")])
    assert module.quorum_numbers(health, 5) == {"managers": 3, "majority": 2, "reachable": 2}
    assert module.quorum_numbers(None, 5) == {"managers": 5, "majority": 3, "reachable": None}
    assert module.quorum_numbers(None, 0) == {"managers": None, "majority": None, "reachable": None}


def position(directory: Path) -> _raft_store.RaftPosition:
    """Take the place of _raft_store.position, also where there is no state."""
    if not (directory / WAL).exists():
        raise BadArchive("read the raft store", "there is none")
    return raft_position(directory)


# -- the sequence ------------------------------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path, api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """m2, which is locked; the other two managers of its swarm are up."""
    monkeypatch.setattr(_raft_store, "position", position)
    host = FakeHost(tmp_path / "docker", api).join(unlock_key=UNLOCK_KEY)
    host.unlocked = False
    return host


class Machine:
    """An engine without quorum, which holds its control lock from an unlock on until the quorum is there."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.unlock = host.api.answers["POST /swarm/unlock"]
        self.held = False
        host.peers_alive = False
        host.api.answers["POST /swarm/unlock"] = self.answer

    def answer(self, request: Request) -> list[Any]:
        assert callable(self.unlock)
        if self.host.condition == "locked":
            self.held = False  # of an engine before its restart
        if self.held and not self.host.peers_alive:
            raise HANGS
        if not request.body["UnlockKey"]:
            return [400, {"message": "invalid key string"}] if self.host.condition == "locked" else NOT_LOCKED
        answer: list[Any] = self.unlock(request)
        if self.host.condition == "leaderless":
            self.held = True
            raise HANGS
        return answer


def unlock_of(host: FakeHost, **options: Any) -> module.Unlock:
    chosen = {"restart_if_stuck": False, "wait_timeout": 30, "dead_man_timeout": 300, **options}
    return module.Unlock(
        engine=Engine(),
        hide=lambda secret: None,
        daemon=Daemon(host.run, systemd=True),
        state_directory=lambda root_dir: Path(root_dir) / "swarm",
        options=module.UnlockOptions(**chosen),
    )


def run(host: FakeHost, *keys: str, check: bool = False, **options: Any) -> dict[str, Any]:
    unlock = unlock_of(host, **options)
    return unlock.run(unlock.plan(keys), check=check)


def asked(host: FakeHost) -> list[str]:
    """The keys that were sent to the engine."""
    return [request.body["UnlockKey"] for request in host.api.asked("POST")]


def expected(**more: Any) -> dict[str, Any]:
    return {
        "changed": True,
        "outcome": "unlocked",
        "state": "manager",
        "stuck": False,
        "quorum": {"managers": 3, "majority": 2, "reachable": 3},
        "unlock_key_fingerprint": FITTING,
        "kek_version": 18,
        "cluster_id": "blue",
        "recovered": False,
        **more,
    }


def without_steps(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "steps"}


def test_unlock_with_a_quorum(host: FakeHost) -> None:
    result = run(host, OTHER_UNLOCK_KEY, UNLOCK_KEY)
    assert without_steps(result) == expected()
    assert [entry["step"] for entry in result["steps"]] == ["unlock", "wait for a quorum"]
    assert asked(host) == [UNLOCK_KEY]
    assert [request.timeout for request in host.api.asked("POST")] == [5.0]


def test_a_second_run_changes_nothing(host: FakeHost) -> None:
    run(host, UNLOCK_KEY)
    done = len(host.api.asked("POST"))
    result = run(host, UNLOCK_KEY)
    assert without_steps(result) == expected(changed=False, outcome="already_unlocked", unlock_key_fingerprint=None)
    assert len(host.api.asked("POST")) == done


def test_a_manager_without_autolock_needs_no_key(host: FakeHost) -> None:
    host.join()
    assert run(host)["outcome"] == "already_unlocked"
    assert asked(host) == []


def test_the_unlock_brings_the_quorum(host: FakeHost) -> None:
    machine = Machine(host)
    looks = []

    def info(dummy: Request) -> list[Any]:
        looks.append(host.condition)
        host.peers_alive = len(looks) > 4  # the others are unlocked meanwhile
        return [200, host._info()]

    host.api.answers["/info"] = info
    assert without_steps(run(host, UNLOCK_KEY)) == expected()
    assert "leaderless" in looks
    assert machine.held


def test_no_quorum_in_time(host: FakeHost, clock: Clock) -> None:
    Machine(host)
    began = clock.now
    result = run(host, UNLOCK_KEY, wait_timeout=20)
    assert without_steps(result) == expected(
        outcome="unlocked_without_quorum",
        state="quorum_lost",
        stuck=True,
        quorum={"managers": 3, "majority": 2, "reachable": None},
    )
    assert 19 <= clock.now - began < 25
    assert asked(host) == [UNLOCK_KEY, ""]
    assert (host.effects, host.unlocked) == (["unlock"], True)

    again = run(host, UNLOCK_KEY, wait_timeout=0)
    assert (again["changed"], again["outcome"], again["state"]) == (False, "already_unlocked", "quorum_lost")
    assert again["stuck"]


def test_a_lost_quorum_is_not_stuck_by_itself(host: FakeHost) -> None:
    Machine(host)
    host.unlocked = True
    result = run(host, UNLOCK_KEY, restart_if_stuck=True)
    assert (result["outcome"], result["state"], result["stuck"]) == ("already_unlocked", "quorum_lost", False)
    assert host.effects == []


def test_restart_if_stuck(host: FakeHost) -> None:
    Machine(host)
    result = run(host, UNLOCK_KEY, restart_if_stuck=True)
    assert without_steps(result) == expected(
        outcome="locked_again", state="locked", quorum={"managers": 3, "majority": 2, "reachable": None}
    )
    assert host.effects == ["unlock", "arm", "stop", "start", "disarm"]
    assert [entry["step"] for entry in result["steps"]] == ["unlock", "wait for a quorum", "stop", "start"]


def test_a_manager_that_an_earlier_run_left_stuck_is_restarted(host: FakeHost) -> None:
    Machine(host)
    run(host, UNLOCK_KEY)
    result = run(host, UNLOCK_KEY, restart_if_stuck=True, dead_man_timeout=0)
    assert (result["changed"], result["outcome"], result["state"]) == (True, "locked_again", "locked")
    assert host.effects == ["unlock", "stop", "start"]


def test_a_quorum_in_time_needs_no_restart(host: FakeHost) -> None:
    assert run(host, UNLOCK_KEY, restart_if_stuck=True)["outcome"] == "unlocked"
    assert host.effects == ["unlock"]


def test_an_engine_that_does_not_stop_is_started(host: FakeHost) -> None:
    Machine(host)
    host.refuse["stop"] = 1
    with pytest.raises(DaemonFailed):
        run(host, UNLOCK_KEY, restart_if_stuck=True)
    assert (host.effects, host.running) == (["unlock", "arm", "stop", "start", "disarm"], True)


def test_the_switch_stays_armed_where_the_engine_does_not_start(host: FakeHost) -> None:
    Machine(host)
    host.refuse["start"] = 1
    with pytest.raises(DaemonFailed):
        run(host, UNLOCK_KEY, restart_if_stuck=True)
    assert host.effects == ["unlock", "arm", "stop", "start"]
    assert host.switch is not None
    host.go_off()
    assert host.condition == "locked"


def test_a_restart_is_not_interrupted(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(host)
    held: list[list[str]] = []
    uninterrupted = _critical.uninterrupted

    def noted() -> Any:
        held.append(list(host.effects))
        return uninterrupted()

    monkeypatch.setattr(module, "uninterrupted", noted)
    run(host, UNLOCK_KEY, restart_if_stuck=True)
    assert held == [["unlock", "arm"]]


@pytest.mark.parametrize("check", [False, True])
def test_a_wrong_key_never_reaches_the_engine(host: FakeHost, check: bool) -> None:
    before = host.tree()
    unlock = unlock_of(host)
    with pytest.raises(WrongKey, match=f"none of the keys fits that were tried: {OTHER}"):
        unlock.run(unlock.plan([OTHER_UNLOCK_KEY]), check=check)
    assert (asked(host), host.effects, host.tree()) == ([], [], before)
    numbers = {"managers": 3, "majority": 2, "reachable": None}
    assert unlock.known == {
        "state": "locked",
        "cluster_id": "blue",
        "kek_version": 18,
        "quorum": numbers,
        "unlock_key_fingerprint": None,
        "recovered": False,
    }


def test_a_malformed_key_is_told_before_anything_is_asked(host: FakeHost) -> None:
    with pytest.raises(WrongKey, match="read unlock key 1 of 1"):
        run(host, "SWMKEY-1-nonsense")
    assert host.api.requests == []


def test_somebody_else_was_faster(host: FakeHost) -> None:
    def faster(dummy: Request) -> list[Any]:
        host.unlocked = True
        return NOT_LOCKED

    host.api.answers["POST /swarm/unlock"] = faster
    assert without_steps(run(host, UNLOCK_KEY)) == expected()


def test_what_the_engine_refuses_is_an_error(host: FakeHost) -> None:
    host.api.answers["POST /swarm/unlock"] = [500, {"message": "swarm component could not be started: no space"}]
    with pytest.raises(EngineError, match="no space"):
        run(host, UNLOCK_KEY)


def test_an_engine_that_does_not_take_the_key_is_an_error(host: FakeHost) -> None:
    host.api.answers["POST /swarm/unlock"] = HANGS
    with pytest.raises(TimedOut, match="The key fits, and the engine does not take it"):
        run(host, UNLOCK_KEY)


def test_an_engine_that_hangs_after_the_request_is_unlocked(host: FakeHost) -> None:
    Machine(host)
    looks = []

    def info(dummy: Request) -> list[Any]:
        looks.append(host.condition)
        if host.condition == "leaderless" and len(looks) < 4:
            raise HANGS
        return [200, host._info()]

    host.api.answers["/info"] = info
    assert run(host, UNLOCK_KEY)["outcome"] == "unlocked_without_quorum"


def test_an_engine_that_is_being_started_is_waited_for(host: FakeHost) -> None:
    started = host.api.answers["/info"]
    host.api.answers["/info"] = in_turn(HANGS, HANGS, started)
    assert run(host, UNLOCK_KEY)["outcome"] == "unlocked"


def test_an_engine_that_hangs_for_ever_is_told(host: FakeHost) -> None:
    host.api.answers["/info"] = HANGS
    with pytest.raises(TimedOut, match="find out whether this manager is locked: not within 30 s"):
        run(host, UNLOCK_KEY)
    assert asked(host) == []


def test_a_manager_that_is_locked_again_meanwhile_is_an_error(host: FakeHost) -> None:
    unlocked = api_info(node_id="id-m2", state="active", control=True, cluster_id="blue")
    root = {"DockerRootDir": str(host.state.path.parent)}
    locked = {**api_info(state="locked"), **root}
    host.api.answers["/info"] = in_turn([200, {**unlocked, **root}], [200, locked])
    with pytest.raises(Locked):
        run(host, UNLOCK_KEY)


def test_an_engine_that_dies_while_it_is_probed_is_an_error(host: FakeHost) -> None:
    Machine(host)
    host.unlocked = True
    host.api.answers["POST /swarm/unlock"] = requests.exceptions.ConnectionError("Connection refused")
    with pytest.raises(Unreachable):
        run(host)


@pytest.mark.parametrize(
    ("info", "cause"),
    [
        (api_info(), "its engine is in no swarm"),
        (api_info(node_id="id-w1", state="active"), "it is a worker, and workers are never locked"),
        (api_info(state="error", error="cannot open the raft store"), "in state error: cannot open the raft store"),
    ],
)
def test_what_has_nothing_to_unlock(host: FakeHost, info: dict[str, Any], cause: str) -> None:
    host.api.answers["/info"] = [200, info]
    unlock = unlock_of(host)
    with pytest.raises(NotAManager, match=cause):
        unlock.plan([UNLOCK_KEY])
    assert unlock.known["state"] in ("inactive", "worker", "error")


def test_an_engine_that_is_down(host: FakeHost) -> None:
    host.running = False
    with pytest.raises(Unreachable):
        run(host, UNLOCK_KEY)


def test_a_key_file_that_may_not_be_read() -> None:
    class Forbidden:
        def read_bytes(self) -> bytes:
            raise PermissionError(13, "Permission denied")

        def __str__(self) -> str:
            return "/var/lib/docker/swarm/certificates/swarm-node.key"

    path: Any = Forbidden()
    with pytest.raises(PermissionDenied, match="read /var/lib/docker/swarm/cert.*Run the task with become"):
        _kept_key.read_key_file(path)


def test_a_key_file_that_is_not_there(host: FakeHost, tmp_path: Path) -> None:
    unlock = unlock_of(host)
    unlock.state_directory = lambda root_dir: tmp_path / "elsewhere"
    with pytest.raises(Refused, match="elsewhere/certificates/swarm-node.key: No such file.*Give the state directory"):
        unlock.plan([UNLOCK_KEY])
    assert asked(host) == []


def test_keys_cannot_be_tried_without_the_library(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_node_key, "HAS_NACL", False)
    with pytest.raises(MissingLibrary, match="PyNaCl"):
        run(host, UNLOCK_KEY)
    assert asked(host) == []


def test_check_mode_says_which_key_fits(host: FakeHost) -> None:
    before = host.tree()
    result = run(host, OTHER_UNLOCK_KEY, UNLOCK_KEY, check=True)
    numbers = {"managers": 3, "majority": 2, "reachable": None}
    assert result == expected(state="locked", quorum=numbers, steps=[])
    assert (asked(host), host.effects, host.tree()) == ([], [], before)


def test_check_mode_says_that_it_would_restart(host: FakeHost) -> None:
    Machine(host)
    run(host, UNLOCK_KEY)
    result = run(host, restart_if_stuck=True, check=True)
    assert (result["changed"], result["outcome"], result["stuck"]) == (True, "locked_again", True)
    assert (host.effects, host.condition) == (["unlock"], "leaderless")


def test_the_key_is_not_in_a_plan_that_is_printed(host: FakeHost) -> None:
    plan = unlock_of(host).plan([UNLOCK_KEY])
    assert plan.key == UNLOCK_KEY
    assert "SWMKEY" not in repr(plan)
