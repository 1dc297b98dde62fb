# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.quorate.swarm.plugins.modules import swarm_restic_archive, swarm_restic_fetch
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_restic import FakeRestic

NAMES = [
    f"swarm_{cluster}_m1_202601{day:02}T000000Z.tar.gz" for cluster, day in (("blue", 1), ("blue", 2), ("green", 3))
]
Fetch = Callable[..., dict]


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_module: RunModule) -> Fetch:
    """Run the module on a repository with archives of two swarms."""
    restic = FakeRestic(tmp_path, monkeypatch)
    where = {"repository": str(restic.repository), "password": "right"}
    for name in NAMES:
        (tmp_path / name).write_text(name)
        stored = run_module(swarm_restic_archive.main, archive=str(tmp_path / name), initialize=True, **where)
        assert stored["changed"], stored
    (tmp_path / "dest").mkdir()

    def run(**more: Any) -> dict[str, Any]:
        return run_module(swarm_restic_fetch.main, **{**where, **more})

    return run


def test_archives_are_listed_newest_first(fetch: Fetch) -> None:
    listed = fetch()
    assert not listed["changed"] and listed["path"] is None
    assert [entry["name"] for entry in listed["archives"]] == NAMES[::-1]
    assert listed["archives"][0]["created"] == "2026-01-03T00:00:00Z"
    assert [entry["name"] for entry in fetch(cluster_id="blue")["archives"]] == [NAMES[1], NAMES[0]]


@pytest.mark.parametrize(
    ("options", "name"), [({}, NAMES[2]), ({"cluster_id": "blue"}, NAMES[1]), ({"archive": NAMES[0]}, NAMES[0])]
)
def test_an_archive_is_written_once(fetch: Fetch, tmp_path: Path, options: dict[str, Any], name: str) -> None:
    dest = tmp_path / "dest"
    checksum = hashlib.sha256(name.encode()).hexdigest()
    predicted = fetch(dest=str(dest), check=True, **options)
    assert (predicted["changed"], predicted["path"], list(dest.iterdir())) == (True, str(dest / name), [])
    first = fetch(dest=str(dest), diff=True, **options)
    assert (first["changed"], first["checksum"], first["path"]) == (True, checksum, str(dest / name))
    assert first["diff"] == {"before": "", "after": checksum}
    assert (dest / name).read_text() == name and (dest / name).stat().st_mode & 0o777 == 0o600
    assert not fetch(dest=str(dest), **options)["changed"]
    (dest / name).write_text("changed")
    assert fetch(dest=str(dest), **options)["changed"]
    assert [path.name for path in dest.iterdir()] == [name]
    assert (dest / name).read_text() == name


def test_failures_say_what_to_do_and_leave_nothing(fetch: Fetch, tmp_path: Path) -> None:
    unknown = fetch(dest=str(tmp_path / "dest"), archive="swarm_red_m1_20260101T000000Z.tar.gz")
    assert unknown["failed"] and NAMES[2] in unknown["msg"] and "Give the name of one that is there" in unknown["msg"]
    assert "No such file or directory" in fetch(dest=str(tmp_path / "gone"))["msg"]
    (tmp_path / "repository" / fetch()["archives"][0]["snapshot"]).unlink()
    broken = fetch(dest=str(tmp_path / "dest"))
    assert broken["failed"] and "Could not run restic dump" in broken["msg"], broken
    assert list((tmp_path / "dest").iterdir()) == []
    assert fetch(password="wrong")["error"] == "copy_failed"
