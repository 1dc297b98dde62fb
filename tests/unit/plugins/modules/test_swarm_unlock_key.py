# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.quorate.swarm.plugins.module_utils import _node_key
from ansible_collections.quorate.swarm.plugins.modules import swarm_unlock_key as module
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import NO_LEADER, FakeApi, in_turn
from ansible_collections.quorate.swarm.tests.unit.fake_host import (
    NODE_KEY,
    OTHER_UNLOCK_KEY,
    UNLOCK_KEY,
    FakeHost,
    node_key_pem,
)
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

FINGERPRINT, OTHER = (_node_key.fingerprint(_node_key.parse_unlock_key(key)) for key in (UNLOCK_KEY, OTHER_UNLOCK_KEY))


@pytest.fixture
def host(tmp_path: Path, api: FakeApi, clock: Clock) -> FakeHost:
    """m2, a manager of a swarm with autolock. Modules run on it."""
    return FakeHost(tmp_path / "docker", api).join(unlock_key=UNLOCK_KEY)


@pytest.fixture
def open_host(tmp_path: Path, api: FakeApi, clock: Clock) -> FakeHost:
    """m2 of a swarm without autolock."""
    return FakeHost(tmp_path / "docker", api).join()


def lose(host: FakeHost, name: str = "m3") -> None:
    def change(store: dict[str, Any]) -> None:
        node = next(node for node in store["nodes"] if node["ID"] == f"id-{name}")
        node["ManagerStatus"]["Reachability"] = "unreachable"

    host.change(change)


def run_quietly(run_module: RunModule, **options: Any) -> dict[str, Any]:
    """Run the module as a task with no_log."""
    return run_module(module.main, _ansible_no_log=True, **options)


def test_without_options_it_only_looks(host: FakeHost, run_module: RunModule) -> None:
    result = run_module(module.main, known_keys=[OTHER_UNLOCK_KEY])
    assert (result["changed"], result["change"], result["autolock"]) == (False, "none", True)
    assert result["unlock_key_fingerprint"] == result["previous_fingerprint"] == FINGERPRINT
    assert result["key_file"] == {"sealed": True, "kek_version": 18, "opened_by": [FINGERPRINT], "proven": True}
    assert (result["cluster_id"], result["node_id"]) == ("blue", "id-m2")
    assert "unlock_key" not in result
    assert "SWMKEY" not in json.dumps(result)
    documented = yaml.safe_load(module.RETURN)
    on_success = {name for name, value in documented.items() if value["returned"] != "failure"} - {"unlock_key"}
    assert set(result) - {"invocation", "changed"} == on_success
    assert host.effects == []


def test_a_manager_that_has_not_followed_says_so(host: FakeHost, run_module: RunModule, clock: Clock) -> None:
    host.change(lambda store: store.update(unlock_key=OTHER_UNLOCK_KEY))
    result = run_module(module.main, known_keys=[UNLOCK_KEY], wait_timeout=7)
    assert result["unlock_key_fingerprint"] == OTHER
    assert (result["key_file"]["opened_by"], result["key_file"]["proven"]) == ([FINGERPRINT], False)
    assert sum(clock.pauses) == pytest.approx(7)


def test_rotate(host: FakeHost, run_module: RunModule) -> None:
    result = run_quietly(
        run_module, rotate="always", current_fingerprint=FINGERPRINT, known_keys=[UNLOCK_KEY], return_key=True
    )
    assert (result["changed"], result["change"], result["autolock"]) == (True, "rotate", True)
    assert (result["previous_fingerprint"], result["unlock_key_fingerprint"]) == (FINGERPRINT, OTHER)
    assert result["unlock_key"] == OTHER_UNLOCK_KEY
    assert (result["key_file"]["opened_by"], result["key_file"]["proven"]) == ([OTHER], True)
    assert host.effects == ["update swarm"]


def test_the_key_file_is_kept_until_the_key_is(host: FakeHost, run_module: RunModule) -> None:
    copy, sealed = host.state.path.parent / "quorate-swarm-node.key", (host.state.path / NODE_KEY).read_bytes()
    assert not run_module(module.main, keep_key_file=True, check=True)["changed"]
    assert not copy.exists()
    assert run_module(module.main, keep_key_file=True)["changed"]
    assert not run_module(module.main, keep_key_file=True)["changed"]
    host.follows = False
    run_quietly(run_module, rotate="always", return_key=True)
    assert not run_module(module.main, keep_key_file=False, wait_timeout=0)["changed"], "it has not followed"
    assert copy.read_bytes() == sealed
    host.write(NODE_KEY, node_key_pem(OTHER_UNLOCK_KEY))
    assert run_module(module.main, keep_key_file=False)["changed"]
    assert not copy.exists()
    assert not run_module(module.main, keep_key_file=False)["changed"]


def test_a_rotation_ends_well_also_when_the_own_disk_is_late(host: FakeHost, run_module: RunModule) -> None:
    """The key has to get out, whatever comes after it was made."""
    host.follows = False
    result = run_quietly(run_module, rotate="always", return_key=True)
    assert not result.get("failed")
    assert result["unlock_key"] == OTHER_UNLOCK_KEY
    assert result["key_file"]["proven"] is False


def test_a_new_key_that_is_told_late_is_waited_for(host: FakeHost, run_module: RunModule) -> None:
    later = host.api.answers["/swarm/unlockkey"]
    lost = [500, {"message": NO_LEADER}]
    host.api.answers["/swarm/unlockkey"] = in_turn(later, lost, [200, {"UnlockKey": UNLOCK_KEY}], later)
    assert run_quietly(run_module, rotate="always", return_key=True)["unlock_key"] == OTHER_UNLOCK_KEY


def test_a_new_key_that_is_not_told_is_an_error_without_a_key(host: FakeHost, run_module: RunModule) -> None:
    host.api.answers["/swarm/unlockkey"] = [200, {"UnlockKey": UNLOCK_KEY}]
    result = run_quietly(run_module, rotate="always", return_key=True)
    assert (result["failed"], result["error"]) == (True, "timed_out")
    assert "run again with rotate set to never" in result["msg"]
    assert "SWMKEY" not in json.dumps(result)


@pytest.mark.parametrize(
    ("created", "changed"), [("2020-01-01T00:00:00Z", True), ("2999-01-01T00:00:00Z", False), (None, True)]
)
def test_rotate_by_age(host: FakeHost, run_module: RunModule, created: str | None, changed: bool) -> None:
    result = run_module(module.main, rotate="older_than", older_than=90, created=created)
    assert result["changed"] is changed


def test_enable_and_disable(open_host: FakeHost, run_module: RunModule) -> None:
    assert run_module(module.main)["key_file"] == {
        "sealed": False,
        "kek_version": 18,
        "opened_by": [],
        "proven": True,
    }
    on = run_quietly(run_module, autolock=True, rotate="always", return_key=True)
    assert (on["change"], on["autolock"], on["previous_fingerprint"]) == ("enable", True, None)
    assert (on["unlock_key"], on["unlock_key_fingerprint"]) == (UNLOCK_KEY, FINGERPRINT)
    assert on["key_file"]["proven"]
    assert not run_module(module.main, autolock=True)["changed"]

    off = run_quietly(run_module, autolock=False, return_key=True)
    assert (off["change"], off["autolock"], off["previous_fingerprint"]) == ("disable", False, FINGERPRINT)
    assert (off["unlock_key"], off["unlock_key_fingerprint"]) == (UNLOCK_KEY, None)
    assert off["key_file"]["proven"]
    assert not run_module(module.main, autolock=False)["changed"]
    assert open_host.effects == ["update swarm"] * 2


@pytest.mark.parametrize("options", [{"rotate": "always"}, {"autolock": False}])
def test_check_mode_changes_nothing(host: FakeHost, run_module: RunModule, options: dict[str, Any]) -> None:
    before = host.tree()
    result = run_module(module.main, check=True, **options)
    assert result["changed"]
    assert result["unlock_key_fingerprint"] == FINGERPRINT
    assert result["autolock"] is True
    assert host.tree() == before
    assert host.effects == []


@pytest.mark.parametrize("options", [{"rotate": "always"}, {"rotate": "always", "autolock": False}])
def test_nothing_to_rotate(open_host: FakeHost, run_module: RunModule, options: dict[str, Any]) -> None:
    result = run_module(module.main, **options)
    assert (result["failed"], result["error"]) == (True, "refused")
    assert "autolock is off" in result["msg"]
    assert open_host.effects == []


@pytest.mark.parametrize("options", [{"rotate": "always"}, {"autolock": False}])
@pytest.mark.parametrize("check", [False, True])
def test_a_manager_that_is_not_there_needs_the_current_key(
    host: FakeHost, run_module: RunModule, options: dict[str, Any], check: bool
) -> None:
    lose(host)
    result = run_module(module.main, check=check, **options)
    assert (result["failed"], result["error"]) == (True, "refused")
    assert f"m3 (id-m3) cannot be reached, and will need the current key {FINGERPRINT}" in result["msg"]
    assert result["unreachable_managers"] == ["m3 (id-m3)"]
    assert host.effects == []
    result = run_module(module.main, check=check, current_fingerprint=FINGERPRINT, **options)
    assert result["changed"]
    assert not run_module(module.main, check=check)["changed"], "looking is allowed"


def test_another_key_is_current_than_the_one_that_is_kept(host: FakeHost, run_module: RunModule) -> None:
    result = run_module(module.main, rotate="always", current_fingerprint=OTHER)
    assert (result["failed"], result["error"]) == (True, "refused")
    assert f"the current key is {FINGERPRINT}, not {OTHER}" in result["msg"]
    assert host.effects == []


def test_the_key_is_returned_only_to_a_task_that_does_not_log(host: FakeHost, run_module: RunModule) -> None:
    result = run_module(module.main, return_key=True)
    assert "set no_log to true" in result["msg"]
    assert "SWMKEY" not in json.dumps(result)


def test_a_key_that_slips_into_an_error_is_masked(host: FakeHost, run_module: RunModule) -> None:
    host.api.answers["POST /swarm/update"] = [500, {"message": f"something about {UNLOCK_KEY}"}]
    result = run_quietly(run_module, rotate="always", return_key=True)
    assert "something about" in result["msg"]
    assert "SWMKEY" not in json.dumps(result)


def test_a_lost_quorum_is_told(host: FakeHost, run_module: RunModule) -> None:
    host.peers_alive = False
    result = run_module(module.main, rotate="always")
    assert (result["failed"], result["error"]) == (True, "quorum_lost")


def test_what_cannot_be_looked_at_afterwards_is_not_changed(
    host: FakeHost, run_module: RunModule, tmp_path: Path
) -> None:
    result = run_module(module.main, rotate="always", state_directory=str(tmp_path / "elsewhere"))
    assert (result["failed"], result["error"]) == (True, "refused")
    assert host.effects == []
    assert run_module(module.main, created="yesterday", rotate="older_than", older_than=1)["error"] == "refused"
