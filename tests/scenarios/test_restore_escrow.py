# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup and restore with an escrow: no backup whose key nobody keeps, and a restore with a key of two rotations ago."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import ask, engine_started
from helpers.escrow import Escrow
from helpers.runner import RunPlaybook

pytestmark = pytest.mark.long


def test_an_archive_that_is_two_rotations_old(lab_factory: LabFactory, playbook: RunPlaybook, tmp_path: Path) -> None:
    escrow = Escrow(tmp_path)
    lab = lab_factory(managers=1, workers=0, autolock=True)
    host = lab.hosts["m1"]

    def run(name: str, check_rc: bool = True, **variables: Any) -> str:
        done = playbook(lab, name, {**escrow.configuration, **variables}, escrow.args, check_rc)
        assert check_rc or done.rc == 2
        return " ".join(done.stdout.split())

    collected = tmp_path / "archives"
    backup: dict[str, Any] = {"backup_collect_to": str(collected), "backup_allow_control_plane_outage": True}
    before = engine_started(host)
    assert "the escrow does not hold the current unlock key" in run("backup", False, **backup)
    assert engine_started(host) == before
    run("rotate_unlock_key", rotate_unlock_key_policy="never")
    (archived,) = [entry["fingerprint"] for entry in escrow.entries()]
    host.run(["docker", "config", "create", "kept", "-"], input="in the archive")
    run("backup", **backup)
    (archive,) = collected.iterdir()
    run("rotate_unlock_key")
    run("rotate_unlock_key")
    newest, middle, oldest = escrow.entries()
    assert oldest["fingerprint"] == archived
    assert middle["retired"]
    assert oldest["retired"]
    assert "1 of 1 archives good at level raft" in run("verify_backup", verify_backup_host="m1")
    on_controller: dict[str, Any] = {
        "verify_backup_archives_on": "controller",
        "verify_backup_directory": str(collected),
    }
    assert "1 of 1 archives good at level raft" in run("verify_backup", verify_backup_host="m1", **on_controller)
    run("report", report_directory=str(tmp_path))
    page = (tmp_path / "quorate-swarm.html").read_text()
    assert all(f">{entry['fingerprint']}<" in page for entry in (newest, middle, oldest))
    assert "SWMKEY" not in page

    address = host.address
    lab.rm("m1")
    host = lab.add("m1", address=address)
    restore: dict[str, Any] = {"restore_host": "m1", "restore_archive": str(archive), "restore_confirmed": True}
    run("restore", **restore)
    assert [config["Spec"]["Name"] for config in ask(host, "GET", "/configs")] == ["kept"]
    now, *others = escrow.entries()
    assert now["key"] == ask(host, "GET", "/swarm/unlockkey")["UnlockKey"]
    assert now["fingerprint"] not in {newest["fingerprint"], archived}
    assert escrow.opened_by(host) == [now["fingerprint"]]
    assert len(others) == 3
    assert all(entry["retired"] for entry in others)

    # without the rotation, the key of the archive is current again, and the escrow is not touched
    content = escrow.path.read_bytes()
    run("restore", **restore, restore_replace_state=True, restore_rotate_unlock_key="false")
    assert ask(host, "GET", "/swarm/unlockkey")["UnlockKey"] == oldest["key"]
    assert escrow.opened_by(host) == [archived]
    assert escrow.path.read_bytes() == content
    # a second run has nothing to do but that: the first may have been cut off before it
    run("restore", **restore)
    assert escrow.entries()[0]["key"] == ask(host, "GET", "/swarm/unlockkey")["UnlockKey"]
    assert [entry["retired"] for entry in escrow.entries()].count(None) == 1

    # what the escrow does not hold is told by its name, before anything is touched
    empty = Escrow(tmp_path, name="empty.json")
    done = playbook(
        lab,
        "restore",
        {**empty.configuration, "restore_host": "m1", "restore_archive": str(archive), "restore_replace_state": True},
        empty.args,
        False,
    )
    assert f"it holds no key {archived} of swarm" in " ".join(done.stdout.split())
