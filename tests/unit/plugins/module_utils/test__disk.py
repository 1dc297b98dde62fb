# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _disk as module


def test_a_file_is_replaced_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / "file.partial").touch(mode=0o600)  # what a killed run has left
    module.replace_file(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "file", tmp_path / "elsewhere"
    path.write_bytes(b"old")
    (tmp_path / "file.partial").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic"):
        module.replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert not elsewhere.exists()


def test_the_directory_is_written_after_the_file_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "file", []
    monkeypatch.setattr(module, "sync_directory", lambda directory: seen.append((directory, path.read_bytes())))
    module.replace_file(path, b"new")
    assert seen == [(tmp_path, b"new")]
