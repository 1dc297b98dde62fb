# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.modules import swarm_restic_archive
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_restic import FakeRestic
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock


class Scene:
    """An archive, and a repository that does not exist yet."""

    def __init__(self, directory: Path, restic: FakeRestic, run_module: RunModule) -> None:
        self.restic = restic
        self._directory = directory
        self._run_module = run_module

    def archive(self, day: int, cluster: str = "blue") -> Path:
        path = self._directory / f"swarm_{cluster}_m1_202601{day:02}T000000Z.tar.gz"
        path.write_text(f"archive {day}")
        return path

    def run(self, archive: Path, **more: Any) -> dict[str, Any]:
        given = {"repository": str(self.restic.repository), "password": "right", "initialize": True, **more}
        return self._run_module(swarm_restic_archive.main, archive=str(archive), **given)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_module: RunModule) -> Scene:
    return Scene(tmp_path, FakeRestic(tmp_path, monkeypatch), run_module)


def test_stored_once_and_proven_each_time(scene: Scene) -> None:
    archive = scene.archive(1)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    first = scene.run(archive, checksum=checksum.upper(), diff=True)
    assert (first["changed"], first["checksum"], first["size"]) == (True, checksum, 9), first
    assert first["diff"] == {"before": "", "after": archive.name}
    assert scene.restic.verbs == ["cat", "init", "snapshots", "backup", "snapshots", "dump"]
    (backup,) = [arguments for arguments in scene.restic.asked if arguments[0] == "backup"]
    assert backup[1:] == ["--quiet", "--time", "2026-01-01 00:00:00", "--tag", "quorate-swarm,swarm=blue", archive.name]
    again = scene.run(archive)
    assert (again["changed"], again["snapshot"], again["checksum"]) == (False, first["snapshot"], checksum)
    assert scene.restic.verbs[6:] == ["cat", "snapshots", "dump"]


def test_older_archives_of_the_swarm_are_forgotten(scene: Scene) -> None:
    scene.run(scene.archive(1, "green"))
    old = scene.run(scene.archive(1))["snapshot"]
    result = scene.run(scene.archive(2), keep_last=1, keep_daily=0, keep_monthly=12)
    assert result["forgotten"] == [old]
    rules = ["--keep-last", "1", "--keep-monthly", "12"]
    tags = ["--json", "--tag", "quorate-swarm,swarm=blue", "--group-by", ""]
    assert scene.restic.asked[-1] == ["forget", *tags, *rules, "--prune"]
    again = scene.run(scene.archive(2), keep_last=1, prune=False)
    assert (again["changed"], again["forgotten"]) == (False, [])
    assert "--prune" not in scene.restic.asked[-1]


def test_a_lock_is_waited_for(scene: Scene, clock: Clock) -> None:
    scene.run(scene.archive(1))
    (scene.restic.repository / "locked").touch()
    assert scene.run(scene.archive(2), keep_last=1)["forgotten"]
    assert clock.pauses == [5]
    (scene.restic.repository / "locked").write_text("for good")
    late = scene.run(scene.archive(3), keep_last=1)
    assert late["failed"] and "not within 300 s" in late["msg"] and "restic unlock" in late["msg"], late


def test_an_archive_that_comes_back_as_another_one_is_a_failure_and_nothing_is_forgotten(scene: Scene) -> None:
    scene.run(scene.archive(1))
    scene.run(scene.archive(2))
    scene.restic.damage()
    result = scene.run(scene.archive(2), keep_last=1)
    assert (result["failed"], result["error"]) == (True, "copy_failed")
    assert "what was read back has SHA-256" in result["msg"]
    assert "forget" not in scene.restic.verbs


@pytest.mark.parametrize("exists", [True, False])
def test_check_mode_stores_nothing(scene: Scene, exists: bool) -> None:
    archive = scene.archive(1)
    if exists:
        scene.run(archive)
    gone = archive.with_name("swarm_blue_m1_20260102T000000Z.tar.gz")
    result = scene.run(gone, check=True, keep_last=1)
    assert (result["changed"], result["snapshot"]) == (True, "")
    assert scene.restic.repository.exists() is exists
    assert not {"init", "backup", "forget", "dump"}.intersection(
        scene.restic.verbs[6:] if exists else scene.restic.verbs
    )
    if exists:
        assert not scene.run(archive, check=True)["changed"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"password": "amiss"},
            "Could not run restic cat: it ended with 1: Fatal: wrong password or no key found. Give",
        ),
        ({"initialize": False}, "set initialize to true"),
        ({"checksum": "0" * 64}, f"not {'0' * 64}. Make a new backup"),
        ({"keep_last": -1}, "keep_last is -1"),
        ({"repository": "rest:https://me:hush@store/"}, "a password in it"),
    ],
)
def test_refusals_and_failures(scene: Scene, options: dict[str, Any], words: str) -> None:
    result = scene.run(scene.archive(1), **options)
    assert result["failed"] and words in result["msg"], result
    assert "hush" not in result["msg"] and "amiss" not in str(result["invocation"])


def test_only_archives_that_are_there_are_taken(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert "its name is not that of an archive" in scene.run(tmp_path / "notes.txt")["msg"]
    missing = scene.archive(1)
    missing.unlink()
    assert "there is no such file on this host" in scene.run(missing)["msg"]


def test_without_restic(scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert scene.run(scene.archive(1))["msg"].endswith("Install restic on this host.")


def test_secrets_reach_restic_by_its_environment_and_are_not_shown(scene: Scene) -> None:
    given = {"password": None, "environment": {"RESTIC_PASSWORD": "right", "B2_ACCOUNT_KEY": "hush"}}
    result = scene.run(scene.archive(1), **given)
    assert result["changed"], result
    assert "hush" not in str(result) and "right" not in str(result["invocation"])
    assert not [arguments for arguments in scene.restic.asked if "right" in arguments or "hush" in arguments]
