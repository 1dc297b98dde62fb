# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _archive, _state_facts
from ansible_collections.quorate.swarm.plugins.module_utils._errors import EngineError, Refused
from ansible_collections.quorate.swarm.plugins.module_utils._manifest import archive_name
from ansible_collections.quorate.swarm.plugins.modules import swarm_backup_info as module
from ansible_collections.quorate.swarm.tests.unit import real_states
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_host import KEY, UNLOCK_KEY

FACTS: dict[str, Any] = {
    "created": "2026-01-01T00:00:00Z",
    "method": "cold",
    "collection_version": "0.1.0",
    "cluster": {"id": "blue", "root_ca_sha256": "a" * 64, "root_ca_expires": "2046-01-01T00:00:00Z"},
    "node": {
        "id": "node1",
        "hostname": "m1",
        "address": "192.0.2.1",
        "advertise_address": "192.0.2.1:2377",
        "certificate_expires": "2026-04-01T00:00:00Z",
    },
    "engine": {"version": "28.5.2"},
    "autolock": False,
    "unlock_key_fingerprint": None,
    "kek_version": 0,
    "raft": {"term": 2, "commit_index": 41, "last_index": 41, "snapshot_index": 0},
    "inventory": {"nodes": [], "services": [], "networks": [], "secrets": [], "configs": []},
}


@pytest.fixture
def archives(tmp_path: Path) -> list[Path]:
    """Three archives of one swarm, oldest first."""
    for name in (
        "docker-state.json",
        "certificates/swarm-node.crt",
        "certificates/swarm-node.key",
        "certificates/swarm-root-ca.crt",
        "raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal",
    ):
        path = tmp_path / "state" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the content of {name}")
    made = []
    for day in (1, 2, 3):
        facts = copy.deepcopy(FACTS)
        facts["created"] = f"2026-01-0{day}T00:00:00Z"
        name = archive_name(cluster="blue", node="node1", created=facts["created"])
        with _archive.new_archive(
            state_dir=tmp_path / "state", destination=tmp_path / "backups", name=name, facts=facts
        ) as written:
            made.append(written.path)
    return made


def spoil(archive: Path) -> None:
    """Cut an archive short, so that its manifest can still be read."""
    archive.write_bytes(archive.read_bytes()[:-20])


def test_archives_are_listed_newest_first(archives: list[Path], run_module: RunModule) -> None:
    directory = archives[0].parent
    (directory / "notes.txt").write_text("no archive")
    result = run_module(module.main, directory=str(directory))
    assert (result["changed"], result["directory"]) == (False, str(directory))
    assert [entry["path"] for entry in result["archives"]] == [str(path) for path in reversed(archives)]
    assert {(entry["good"], entry["problem"]) for entry in result["archives"]} == {(True, None)}
    assert result["archives"][0]["size"] == archives[2].stat().st_size


def test_the_manifest_is_shown_without_its_files(archives: list[Path], run_module: RunModule) -> None:
    (entry,) = run_module(module.main, archive=str(archives[0]))["archives"]
    assert entry["manifest"] == {"schema": 1, **FACTS}


@pytest.mark.parametrize(("level", "good"), [("files", False), ("manifest", True)])
def test_a_damaged_archive_is_found_at_the_level_that_reads_it(
    archives: list[Path], run_module: RunModule, level: str, good: bool
) -> None:
    spoil(archives[1])
    entries = run_module(module.main, directory=str(archives[0].parent), level=level)["archives"]
    assert [entry["good"] for entry in entries] == [True, good, True]
    assert (entries[1]["problem"] is None) is good
    assert entries[1]["manifest"]["created"] == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize("level", ["files", "manifest"])
@pytest.mark.parametrize("option", ["directory", "archive"])
def test_what_is_no_archive_is_listed_with_its_problem(
    archives: list[Path], run_module: RunModule, option: str, level: str
) -> None:
    archives[2].write_text("this is text")
    value = {"directory": str(archives[2].parent), "archive": str(archives[2])}[option]
    entry = run_module(module.main, level=level, **{option: value})["archives"][0]
    assert (entry["path"], entry["good"], entry["manifest"]) == (str(archives[2]), False, None)
    assert entry["problem"]


def test_one_archive_may_have_any_name(archives: list[Path], run_module: RunModule, tmp_path: Path) -> None:
    other = archives[0].rename(tmp_path / "yesterday.tgz")
    result = run_module(module.main, archive=str(other))
    assert [(entry["path"], entry["good"]) for entry in result["archives"]] == [(str(other), True)]
    assert result["directory"] is None


def test_archive_that_is_missing_is_bad(run_module: RunModule, tmp_path: Path) -> None:
    (entry,) = run_module(module.main, archive=str(tmp_path / "missing.tar.gz"))["archives"]
    assert (entry["good"], entry["manifest"]) == (False, None)
    assert "missing.tar.gz" in entry["problem"]


def test_directory_that_is_missing_has_no_archives(run_module: RunModule, tmp_path: Path) -> None:
    assert run_module(module.main, directory=str(tmp_path / "missing"))["archives"] == []


def test_directory_that_cannot_be_read_is_an_error(run_module: RunModule, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run_module(module.main, directory=str(tmp_path / "file"))
    assert (result["failed"], result["error"]) == (True, "swarm_error")
    assert "Give a readable directory" in result["msg"]


def test_check_mode_is_the_same(archives: list[Path], run_module: RunModule) -> None:
    result = run_module(module.main, directory=str(archives[0].parent), check=True)
    assert (result["changed"], len(result["archives"])) == (False, 3)


# The level raft, and archives from elsewhere


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tar file that somebody made of the state of an autolocked manager."""
    real_states.use_small_segments(monkeypatch)
    state = real_states.lay_out("20.10-locked", tmp_path / "real")
    monkeypatch.setattr(_state_facts.time, "time", lambda: state.recorded)
    with tarfile.open(tmp_path / "by-hand.tar.gz", "w:gz") as tar:
        tar.add(state.path, "swarm")
    return tmp_path / "by-hand.tar.gz"


def unlock_key() -> str:
    return str(json.loads((real_states.STATES / "20.10.json").read_text())["locked"]["unlock_key"])


def test_the_level_raft_tells_what_is_in_an_archive(locked: Path, run_module: RunModule) -> None:
    keys = [unlock_key()]
    (entry,) = run_module(module.main, archive=str(locked), level="raft", unlock_keys=keys)["archives"]
    assert (entry["good"], entry["problem"], len(entry["unknown"])) == (True, None, 4)
    assert entry["manifest"]["engine"]["version"].startswith("20.10")
    assert [secret["size"] for secret in entry["inventory"]["secrets"]] == [40] * 12
    assert entry["unlock_key_is_current"] is True
    assert keys[0] not in json.dumps(entry)


def test_an_archive_that_cannot_be_opened_is_not_good(locked: Path, run_module: RunModule) -> None:
    (entry,) = run_module(module.main, archive=str(locked), level="raft")["archives"]
    assert (entry["good"], entry["manifest"], "inventory" in entry) == (False, None, False)
    assert "no unlock key was given" in entry["problem"]


def test_what_somebody_else_made_is_accepted_by_its_path_only(
    locked: Path, archives: list[Path], run_module: RunModule
) -> None:
    locked.rename(archives[2])
    (entry,) = run_module(module.main, archive=str(archives[2]), level="files")["archives"]
    assert (entry["good"], entry["manifest"], len(entry["unknown"])) == (True, None, 4)
    (entry,) = run_module(module.main, archive=str(archives[2]), level="manifest")["archives"]
    assert (entry["good"], "unknown" in entry) == (False, False)
    entries = run_module(module.main, directory=str(archives[2].parent), level="files")["archives"]
    assert [entry["good"] for entry in entries] == [False, True, True]


def test_malformed_unlock_key_fails_without_being_told(locked: Path, run_module: RunModule) -> None:
    result = run_module(module.main, archive=str(locked), level="raft", unlock_keys=["SWMKEY-1-short"])
    assert (result["failed"], result["error"]) == (True, "wrong_key")
    assert "SWMKEY-1-short" not in json.dumps({name: result[name] for name in ("msg", "error_details")})


def test_level_boot_lets_each_archive_come_back(
    archives: list[Path], run_module: RunModule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def boot(path: Path, **how: Any) -> dict[str, Any]:
        asked.append((path, how["unlock_keys"], how["place"].path, how["wait_timeout"]))
        if path == archives[0]:
            raise EngineError("let it come back", "it does not")
        return {"manifest": FACTS, "boot": {"key": "proven"}}

    monkeypatch.setattr(module, "require_programs", lambda: None)
    monkeypatch.setattr(module._archive_check, "boot", boot)
    result = run_module(
        module.main,
        directory=str(archives[0].parent),
        level="boot",
        unlock_keys=[UNLOCK_KEY],
        state_directory=str(tmp_path / "swarm"),
        wait_timeout=7,
    )
    *good, bad = result["archives"]
    assert asked == [(path, [KEY], tmp_path / "swarm", 7) for path in reversed(archives)]
    assert [entry["boot"] for entry in good] == [{"key": "proven"}] * 2
    assert (bad["good"], bad["error"], "it does not" in bad["problem"]) == (False, "engine_error", True)
    assert UNLOCK_KEY not in str(result)


def test_host_that_cannot_drill_makes_no_archive_bad(
    archives: list[Path], run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise Refused("run a private engine on this host", "it takes root")

    monkeypatch.setattr(module, "require_programs", refuse)
    result = run_module(module.main, archive=str(archives[0]), level="boot")
    assert (result["failed"], result["error"]) == (True, "refused")
