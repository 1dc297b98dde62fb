# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lifeline and the folder. What happens inside takes namespaces: the scenarios test it on real hosts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _private_engine as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import DaemonFailed, MissingLibrary, Refused

# Takes the place of the inside, and never runs it: outside of a namespace it would end every process of the host.
UNSHARE = """#!/bin/sh
while [ "$1" != inside ]; do shift; done
folder=$2
shift 2
echo "$@" >"$folder/arguments"
while read -r line; do
    echo "$line" >>"$folder/starts"
    if [ -e "$folder/fail" ]; then
        echo 'time="now" level=warning msg="all is well"'
        echo 'failed to start daemon: no luck'
        echo 'time="now" level=warning msg="good bye"'
        exit 1
    fi
done
"""
HOLDER = """
import sys, time
from pathlib import Path
from ansible_collections.quorate.swarm.plugins.module_utils import _private_engine as module
module._PATH = sys.argv[2]
with module.PrivateEngine(Path(sys.argv[1]), addresses=["192.0.2.1"], hostname="m1", limit=60) as private:
    private.start()
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PATH on which there are all programs, and an unshare that shares everything."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dockerd", "containerd", "ip", "ionice", "mount"):
        (programs / name).write_text("#!/bin/sh\n")
    (programs / "ionice").write_text('#!/bin/sh\nshift 3\nexec "$@"\n')
    (programs / "unshare").write_text(UNSHARE)
    for program in programs.iterdir():
        program.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setattr(module, "_PATH", path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "drill"
    folder.mkdir(mode=0o700)
    return folder


def engine_in(folder: Path, limit: int = 60) -> module.PrivateEngine:
    return module.PrivateEngine(folder, addresses=["192.0.2.1", "2001:db8::1"], hostname="m1", limit=limit)


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not within 20 s")
        time.sleep(0.02)


def test_engine_is_started_in_its_folder_and_all_is_gone_afterwards(path: str, folder: Path) -> None:
    with engine_in(folder) as private:
        assert private.state == folder / "data" / "swarm"
        assert private.engine.base_url == f"unix://{folder}/docker.sock"
        private.start()
        private.start()
        eventually(lambda: (folder / "starts").exists() and (folder / "starts").read_text() == "start\nstart\n")
        assert (folder / "arguments").read_text() == "m1 192.0.2.1/32 2001:db8::1/128\n"
        assert (folder / "daemon.json").read_text() == "{}"
        private.require_running()
    assert not folder.exists()


def test_it_is_gone_after_an_error(path: str, folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), engine_in(folder) as private:
        private.start()
        raise ZeroDivisionError
    assert not folder.exists()


def test_last_words_of_an_engine_that_ends(path: str, folder: Path) -> None:
    with engine_in(folder) as private:
        (folder / "fail").touch()
        private.start()
        eventually((folder / "ended").exists)
        with pytest.raises(DaemonFailed, match="it ended by itself: failed to start daemon: no luck") as caught:
            private.require_running()
        assert "all is well" not in str(caught.value)
    assert not folder.exists()


def test_it_ends_after_its_time(path: str, folder: Path) -> None:
    with engine_in(folder, limit=1) as private:
        private.start()
        eventually((folder / "ended").exists)
        with pytest.raises(DaemonFailed, match="it ended by itself"):
            private.require_running()


def test_nothing_is_left_when_its_holder_is_killed(path: str, folder: Path) -> None:
    root = next(parent for parent in Path(module.__file__).parents if parent.name == "ansible_collections").parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder), path], env=environment) as holder:
        eventually((folder / "starts").exists)
        holder.kill()
    eventually(lambda: not folder.exists())


def test_folder_that_stays_is_told(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OUTSIDE", "cat >/dev/null")
    monkeypatch.setattr(module.shutil, "rmtree", lambda *args, **more: None)
    with pytest.raises(DaemonFailed, match=f"{folder} is still there.* it holds keys"), engine_in(folder):
        pass


def test_it_takes_root(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    module.require_programs()
    monkeypatch.setattr(module.os, "geteuid", lambda: 1000)
    with pytest.raises(Refused, match="it takes root"):
        module.require_programs()


def test_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "_PATH", str(tmp_path))
    with pytest.raises(MissingLibrary, match="dockerd is missing. Install the package docker.io or docker-ce"):
        module.require_programs()
