# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _archive, _state_facts
from ansible_collections.quorate.swarm.plugins.module_utils import _archive_check as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, WrongKey
from ansible_collections.quorate.swarm.plugins.module_utils._manifest import archive_name
from ansible_collections.quorate.swarm.plugins.module_utils._node_key import fingerprint
from ansible_collections.quorate.swarm.tests.unit import real_states
from ansible_collections.quorate.swarm.tests.unit.real_states import RealState


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    real_states.use_small_segments(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for what is extracted."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def at_its_time(state: RealState, monkeypatch: pytest.MonkeyPatch) -> RealState:
    """Let it be the day on which the state was recorded."""
    monkeypatch.setattr(_state_facts.time, "time", lambda: state.recorded)
    return state


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealState:
    return at_its_time(real_states.lay_out("28.5-locked", tmp_path / "state"), monkeypatch)


def keys(state: RealState) -> list[bytes]:
    return [bytes(32), state.unlock_key or b""]


def archive(state: RealState, directory: Path, **changes: Any) -> Path:
    """Write an archive of the state as a backup does, and with changes of its manifest."""
    facts = _state_facts.check_state(state.path, unlock_key=state.unlock_key, decode=True)
    manifest = {
        "created": "2026-01-01T00:00:00Z",
        "method": "cold",
        "collection_version": "0.1.0",
        **_state_facts.manifest_of(facts, unlock_key=state.unlock_key),
    }
    for name, value in changes.items():
        manifest["raft"][name] = value
    name = archive_name(cluster="blue", node="m1", created="2026-01-01T00:00:00Z")
    with _archive.new_archive(state_dir=state.path, destination=directory, name=name, facts=manifest) as written:
        return written.path


def tar(state: RealState, path: Path, mode: str, name: str) -> Path:
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        made.add(state.path, name)
    return path


def verified(path: Path, folder: Path, unlock_keys: list[bytes], level: str = "raft") -> dict[str, Any]:
    found = module.contents_of(path, level=level, unlock_keys=unlock_keys, folder=folder)
    assert list(folder.iterdir()) == []
    return found


def refused(path: Path, folder: Path, unlock_keys: list[bytes]) -> Exception:
    with pytest.raises((BadArchive, WrongKey)) as caught:
        module.contents_of(path, level="raft", unlock_keys=unlock_keys, folder=folder)
    assert list(folder.iterdir()) == []
    return caught.value


def test_archive_of_a_backup(state: RealState, folder: Path, tmp_path: Path) -> None:
    found = verified(archive(state, tmp_path / "archives"), folder, keys(state))
    assert found["manifest"]["schema"] == 1
    assert (found["unknown"], found["uncommitted"], found["warnings"]) == ([], [], [])
    assert found["unlock_key_is_current"] is True
    assert [entry["name"] for entry in found["inventory"]["services"]] == ["web"]
    assert {entry["size"] for entry in found["inventory"]["secrets"]} == {40}
    assert [manager["id"] for manager in found["managers"]] == [found["manifest"]["node"]["id"]]
    assert found["restorable_until"] == found["manifest"]["cluster"]["root_ca_expires"]
    told = json.dumps(found)
    assert "PRIVATE" not in told
    assert "SWMKEY" not in told


def test_manifest_of_a_longer_log(state: RealState, folder: Path, tmp_path: Path) -> None:
    path = archive(state, tmp_path / "archives", last_index=1000, commit_index=1000)
    error = refused(path, folder, keys(state))
    assert "its raft store is not what its manifest says" in str(error)
    assert ", and 1000 by the manifest" in str(error)
    assert module.contents_of(path, level="files", unlock_keys=[], folder=folder)["manifest"]


def test_sealed_archive_and_its_keys(state: RealState, folder: Path, tmp_path: Path) -> None:
    path = archive(state, tmp_path / "archives")
    assert "no unlock key was given" in str(refused(path, folder, []))
    error = refused(path, folder, [bytes(32)])
    assert "none of the given unlock keys opens it" in str(error)
    assert fingerprint(state.unlock_key or b"") in str(error)


@pytest.mark.parametrize(
    ("suffix", "mode", "place"),
    [
        (".tar", "w", "swarm"),
        (".tgz", "w:gz", "."),
        (".tar.xz", "w:xz", "var/lib/docker/swarm"),
        (".tar.bz2", "w:bz2", "backup/swarm"),
    ],
)
def test_archive_from_elsewhere(
    state: RealState, folder: Path, tmp_path: Path, suffix: str, mode: str, place: str
) -> None:
    own = verified(archive(state, tmp_path / "archives"), folder, keys(state))
    found = verified(tar(state, tmp_path / f"backup{suffix}", mode, place), folder, keys(state))
    assert len(found["unknown"]) == 4
    assert "when it was made" in found["unknown"]
    missing = ("schema", "created", "method", "collection_version", "files")
    expected = {name: value for name, value in own["manifest"].items() if name not in missing}
    assert found["manifest"] == expected
    assert {name: found[name] for name in ("inventory", "managers", "uncommitted")} == {
        name: own[name] for name in ("inventory", "managers", "uncommitted")
    }
    at_files = verified(tmp_path / f"backup{suffix}", folder, [], level="files")
    assert (at_files["manifest"], len(at_files["unknown"])) == (None, 4)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
def test_archive_from_elsewhere_by_zstd(state: RealState, folder: Path, tmp_path: Path) -> None:
    path = tar(state, tmp_path / "backup.tar", "w", "swarm")
    subprocess.run(["zstd", "-q", str(path)], check=True)
    assert verified(tmp_path / "backup.tar.zst", folder, keys(state))["manifest"]["node"]["hostname"] == "m1"


def test_hot_copy_by_hand_tells_what_would_be_lost(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = at_its_time(real_states.lay_out("20.10-follower", tmp_path / "state"), monkeypatch)
    found = verified(tar(state, tmp_path / "backup.tar", "w", "swarm"), folder, [])
    assert [(each["action"], each["name"]) for each in found["uncommitted"]] == [("create", "last")]
    assert (found["unlock_key_is_current"], len(found["managers"])) == (None, 3)


def test_expired_certificate_is_a_warning(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = real_states.lay_out("28.5-young", tmp_path / "state")
    monkeypatch.setattr(_state_facts.time, "time", lambda: state.recorded + 100 * 24 * 3600)
    found = verified(tar(state, tmp_path / "backup.tar", "w", "swarm"), folder, [])
    (warning,) = found["warnings"]
    assert "a restore has to issue it again" in warning
    assert found["restorable_until"] > "2046"


def test_no_room(state: RealState, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tar(state, tmp_path / "backup.tar", "w", "swarm")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda dummy: SimpleNamespace(free=1000))
    assert "there is room for 1000" in str(refused(path, folder, keys(state)))
