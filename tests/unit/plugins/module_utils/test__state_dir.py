# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import builtins
import collections
import io
import multiprocessing
import os
import shutil
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _state_dir as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, Refused
from ansible_collections.quorate.swarm.plugins.module_utils._raft_snapshot import newest_snapshot_index
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir

MIB = 1 << 20
WAL = "raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal"
#: The active WAL segment is mostly zeros: data, a hole of whole blocks, data that crosses a block, zeros to the end.
WAL_CONTENT = b"record" + bytes(3 * MIB) + os.urandom(MIB) + bytes(2 * MIB) + b"end" + bytes(MIB // 2)
FILES = {
    "docker-state.json": (0o600, b"{}"),
    "state.json": (0o600, b"[]"),
    "certificates/swarm-node.crt": (0o644, b"certificate"),
    "certificates/swarm-node.key": (0o600, b"key"),
    WAL: (0o600, WAL_CONTENT),
    "raft/wal-v3-encrypted/0.tmp": (0o600, bytes(1000)),
    "worker/tasks.db": (0o640, b"\0" * 5000),
    "worker/empty": (0o600, b""),
}
#: Names that a shell would stumble over.
NAMES = ["swarm", "the swarm", 'swarm\'s "state"', "swarm;touch $HOME `id`", "-swarm"]


def fill(directory: Path) -> None:
    for name, (mode, content) in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    (directory / "raft/snap-v3-encrypted").mkdir()


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    fill(tmp_path / "swarm")
    return StateDir(tmp_path / "swarm")


def tree(directory: Path) -> dict[str, Any]:
    """Everything below a directory: content and mode of the files, None for a directory."""
    return {
        path.relative_to(directory).as_posix(): None
        if path.is_dir()
        else (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in directory.rglob("*")
    }


# What is there


def test_an_engine_without_a_swarm_has_no_state(tmp_path: Path, state: StateDir) -> None:
    (tmp_path / "empty").mkdir()
    assert state.exists
    assert not StateDir(tmp_path / "empty").exists
    assert not StateDir(tmp_path / "missing").exists


def test_damaged_state_is_state(state: StateDir) -> None:
    for name in ("docker-state.json", "state.json"):
        (state.path / name).unlink()
    assert state.exists


def test_size_is_what_a_copy_takes(state: StateDir) -> None:
    assert state.size() == sum(len(content) for name, (dummy, content) in FILES.items() if not name.endswith(".tmp"))


def test_a_file_that_a_running_engine_removes_is_not_counted(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    before, removed, lstat = state.size(), state.path / "worker/tasks.db", Path.lstat

    def lstat_late(path: Path) -> os.stat_result:
        if path == removed:
            raise FileNotFoundError(2, "No such file or directory")
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", lstat_late)
    assert state.size() == before - 5000


def test_the_newest_snapshot_is_what_a_joining_manager_is_sent(state: StateDir) -> None:
    for path in (state.path / "raft/snap-v3-encrypted").glob("*"):
        path.unlink()
    assert state.snapshot_size() == 0
    folder = state.path / "raft/snap-v3-encrypted"
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in (("0000000000000001-0000000000000009.snap", 7), ("0000000000000002-000000000000000a.snap", 5)):
        (folder / name).write_bytes(bytes(size))
    assert state.snapshot_size() == 5


def test_the_newest_snapshot_is_the_one_of_the_highest_index(state: StateDir) -> None:
    folder = state.path / "raft/snap-v3-encrypted"
    for path in folder.glob("*"):
        path.unlink()
    assert newest_snapshot_index(state.path) == 0
    folder.mkdir(parents=True, exist_ok=True)
    for name in (
        "0000000000000002-000000000000000a.snap",
        "0000000000000001-0000000000000009.snap",
        "x-y.snap.broken",
        "x-y.snap",
        "db",
    ):
        (folder / name).write_bytes(b"")
    assert newest_snapshot_index(state.path) == 10


def test_free_is_what_the_file_system_has(state: StateDir) -> None:
    assert 0 < state.free() <= shutil.disk_usage(state.path).total


def test_stamp_is_utc_and_sorts_by_time() -> None:
    assert module.utc_stamp(1769904000.9) == "20260201T000000Z"
    assert module.utc_stamp()[:8] == time.strftime("%Y%m%d", time.gmtime())


# Work folders


def test_work_folder_is_private_empty_and_on_the_same_file_system(state: StateDir) -> None:
    first, second = state.new_work_folder("copy"), state.new_work_folder("copy")
    assert first != second
    assert first.parent == state.path.parent
    assert stat.S_IMODE(first.stat().st_mode) == 0o700
    assert list(first.iterdir()) == []


def test_leftovers_of_killed_runs_are_removed_and_nothing_else(state: StateDir, tmp_path: Path) -> None:
    before = tree(tmp_path)
    for name in (".quorate-swarm-copy-1/swarm", ".quorate-swarm-restore-2"):
        (tmp_path / name).mkdir(parents=True)
    quarantine = tmp_path / "swarm.quarantine-20260131T235959Z"
    quarantine.mkdir()
    state.remove_leftovers()
    quarantine.rmdir()
    assert tree(tmp_path) == before


def test_work_folder_in_use_is_no_leftover(state: StateDir) -> None:
    used = state.new_work_folder("copy")
    for other in (StateDir(state.path), state):
        other.remove_leftovers()
        assert used.is_dir()


def test_work_folder_of_a_process_that_ended_is_a_leftover(state: StateDir) -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        folder = pool.apply(state.new_work_folder, ("copy",))
        state.remove_leftovers()
        assert folder.is_dir()
    pool.join()
    state.remove_leftovers()
    assert not folder.exists()


# Guards


def disk_with(monkeypatch: pytest.MonkeyPatch, free: int) -> list[Path]:
    asked: list[Path] = []
    usage = collections.namedtuple("usage", "total used free")

    def disk_usage(path: Path) -> Any:
        asked.append(path)
        return usage(0, 0, free)

    monkeypatch.setattr(module.shutil, "disk_usage", disk_usage)
    return asked


def test_room_is_needed_where_the_state_is_with_a_margin(monkeypatch: pytest.MonkeyPatch, state: StateDir) -> None:
    asked = disk_with(monkeypatch, 300 * MIB)
    state.require_room(44 * MIB)
    with pytest.raises(Refused) as caught:
        state.require_room(44 * MIB + 1)
    assert asked == [state.path.parent] * 2
    assert "there is room for 44 MiB, 44 MiB are needed (256 MiB stay free)" in str(caught.value)
    assert caught.value.details == {"room": 44 * MIB, "needed": 44 * MIB + 1}


@pytest.mark.parametrize(("free", "room"), [(300, 44), (256, 0), (100, 0)])
def test_room_is_what_is_free_but_for_the_margin(
    monkeypatch: pytest.MonkeyPatch, state: StateDir, free: int, room: int
) -> None:
    disk_with(monkeypatch, free * MIB)
    assert state.room() == room * MIB


def test_room_of_a_place_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No such file or directory.*Give the state directory of this engine"):
        StateDir(tmp_path / "missing/swarm").room()


def test_plain_directory_can_be_renamed(state: StateDir, tmp_path: Path) -> None:
    state.require_renamable()
    StateDir(tmp_path / "missing").require_renamable()


def test_symbolic_link_is_refused(state: StateDir, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(state.path)
    with pytest.raises(Refused, match="it is a symbolic link.*Give the real directory as state_directory"):
        StateDir(tmp_path / "link").require_renamable()


def test_mount_point_is_refused(monkeypatch: pytest.MonkeyPatch, state: StateDir) -> None:
    monkeypatch.setattr(module.os.path, "ismount", lambda path: path == state.path)
    with pytest.raises(Refused, match="it is a mount point.*mount its parent instead"):
        state.require_renamable()


# Copying


def test_copy_is_the_state_without_preallocated_files(state: StateDir, tmp_path: Path) -> None:
    state.copy_to(tmp_path / "copy")
    expected = tree(state.path)
    del expected["raft/wal-v3-encrypted/0.tmp"]
    assert tree(tmp_path / "copy") == expected


def test_copied_directories_are_private(state: StateDir, tmp_path: Path) -> None:
    (state.path / "worker").chmod(0o755)
    state.copy_to(tmp_path / "copy")
    directories = [tmp_path / "copy", *(path for path in (tmp_path / "copy").rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in directories} == {0o700}


def test_copy_into_a_work_folder(state: StateDir) -> None:
    folder = state.new_work_folder("copy")
    state.copy_to(folder)
    assert (folder / WAL).read_bytes() == WAL_CONTENT


def test_zeros_take_no_room_in_the_copy(state: StateDir, tmp_path: Path) -> None:
    state.copy_to(tmp_path / "copy")
    facts = (tmp_path / "copy" / WAL).stat()
    assert facts.st_size == len(WAL_CONTENT)
    if facts.st_blocks * 512 >= facts.st_size:
        pytest.skip("this file system has no holes")
    assert facts.st_blocks * 512 < 4 * MIB


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1])
@pytest.mark.parametrize("fill_byte", [b"\0", b"x"])
def test_copy_of_any_size_is_equal(tmp_path: Path, size: int, fill_byte: bytes) -> None:
    (tmp_path / "swarm").mkdir()
    (tmp_path / "swarm/file").write_bytes(fill_byte * size)
    StateDir(tmp_path / "swarm").copy_to(tmp_path / "copy")
    assert (tmp_path / "copy/file").read_bytes() == fill_byte * size


SNAPSHOT = "raft/snap-v3-encrypted/0000000000000002-0000000000000010.snap"


@pytest.fixture
def copied_ahead(state: StateDir, tmp_path: Path) -> Path:
    """Where the snapshot of a state was copied while its engine was running."""
    (state.path / SNAPSHOT).write_bytes(b"snapshot")
    (tmp_path / "copy").mkdir()
    state.copy_ahead(tmp_path / "copy")
    assert [path.read_bytes() for path in (tmp_path / "copy").rglob("*") if path.is_file()] == [b"snapshot"]
    return tmp_path / "copy"


def assert_equal(state: StateDir, copy: Path) -> None:
    expected = tree(state.path)
    del expected["raft/wal-v3-encrypted/0.tmp"]
    assert tree(copy) == expected
    assert {stat.S_IMODE(path.stat().st_mode) for path in copy.rglob("*") if path.is_dir()} == {0o700}


def test_a_snapshot_is_copied_once(state: StateDir, copied_ahead: Path) -> None:
    inode = (copied_ahead / SNAPSHOT).stat()
    state.copy_to(copied_ahead)
    assert_equal(state, copied_ahead)
    after = (copied_ahead / SNAPSHOT).stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (inode.st_mtime_ns, inode.st_ctime_ns)


def finish(path: Path) -> None:
    """The engine was still writing it."""
    with path.open("ab") as file:
        file.write(b", the rest of it")


def replace(path: Path) -> None:
    """Another file with the same size and time is in its place."""
    facts = path.stat()
    path.unlink()
    path.write_bytes(b"shotsnap")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def rewrite(path: Path) -> None:
    """It was changed without another size or time."""
    facts = path.stat()
    time.sleep(0.02)  # the clock of a file system is coarse
    path.write_bytes(b"shotsnap")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def add(path: Path) -> None:
    path.with_name("0000000000000002-0000000000000020.snap").write_bytes(b"newer")


@pytest.mark.parametrize("change", [finish, replace, rewrite, add, Path.unlink, lambda path: path.chmod(0o640)])
def test_what_an_engine_does_after_the_copy_ahead_is_made_good(
    state: StateDir, copied_ahead: Path, change: Callable[[Path], object]
) -> None:
    change(state.path / SNAPSHOT)
    state.copy_to(copied_ahead)
    assert_equal(state, copied_ahead)


def test_a_young_swarm_has_no_snapshot_to_copy_ahead(state: StateDir, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    state.copy_ahead(tmp_path / "copy")
    assert tree(tmp_path / "copy") == {}


def test_a_copy_elsewhere_is_complete(state: StateDir, copied_ahead: Path, tmp_path: Path) -> None:
    state.copy_to(tmp_path / "another")
    assert_equal(state, tmp_path / "another")


class ShortWriter(io.FileIO):
    """A file on a disk that is all but full: it takes a part of what it is given."""

    def write(self, data: Any) -> int:
        return super().write(bytes(data)[:100_000])


def test_copy_is_complete_when_the_kernel_takes_a_part_of_a_block(
    monkeypatch: pytest.MonkeyPatch, state: StateDir, tmp_path: Path
) -> None:
    def open_short(path: Any, mode: str = "r", buffering: int = -1) -> Any:
        if mode != "wb":
            return builtins.open(path, mode, buffering)
        return ShortWriter(path, mode) if buffering == 0 else io.BufferedWriter(ShortWriter(path, mode))

    monkeypatch.setattr(module, "open", open_short, raising=False)
    state.copy_to(tmp_path / "copy")
    assert (tmp_path / "copy" / WAL).read_bytes() == WAL_CONTENT


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make", [link, os.mkfifo, listen])
def test_what_docker_never_makes_is_refused(
    state: StateDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(state.path / "worker")  # the path of a socket may not be long
    make(Path("odd"))
    with pytest.raises(BadArchive) as caught:
        state.copy_to(tmp_path / "copy")
    assert f"{state.path / 'worker/odd'} is neither a file nor a directory" in str(caught.value)


# Replacing and putting back


class Swap:
    """The old state in its place, a new one beside it."""

    def __init__(self, folder: Path, name: str = "swarm", *, had_state: bool = True) -> None:
        self.folder = folder
        self.state = StateDir(folder / name)
        self.new = folder / "work" / "swarm"
        self.aside = folder / f"{name}.quarantine"
        self.discarded = folder / f"{name}.discarded"
        self.new.mkdir(parents=True)
        (self.new / "docker-state.json").write_text("new")
        if had_state:
            self.state.path.mkdir()
            (self.state.path / "docker-state.json").write_text("old")

    def put_back(self) -> None:
        self.state.put_back(self.aside, self.discarded)

    def put_back_by_shell(self) -> None:
        """As the dead man's switch does it: the commands of a unit, joined, by /bin/sh."""
        script = "; ".join(self.state.put_back_commands(self.aside, self.discarded))
        ended = subprocess.run(["/bin/sh", "-c", script], cwd="/", check=False, capture_output=True, text=True)
        assert (ended.returncode, ended.stderr) == (0, "")

    def forward(self, renames: int) -> None:
        """Do the first renames of replace_with, and no more."""
        if renames > 0:
            os.rename(self.state.path, self.aside)
        if renames > 1:
            os.rename(self.new, self.state.path)

    def there(self) -> dict[str, Any]:
        return {name: content for name, content in tree(self.folder).items() if not name.startswith("work")}


def untouched(swap: Swap) -> None:
    """The engine was stopped, and nothing else."""


def put_aside(swap: Swap) -> None:
    swap.forward(1)


def replaced(swap: Swap) -> None:
    swap.forward(2)


def taken_away(swap: Swap) -> None:
    """A put_back ended after its first rename."""
    swap.forward(2)
    os.rename(swap.state.path, swap.discarded)


def taken_away_and_started(swap: Swap) -> None:
    """Likewise, and an engine was started that made a new empty state."""
    taken_away(swap)
    (swap.state.path / "certificates").mkdir(parents=True)


def nearly_back(swap: Swap) -> None:
    """A put_back ended before it removed what it had taken away."""
    taken_away(swap)
    os.rename(swap.aside, swap.state.path)


def half_removed(swap: Swap) -> None:
    nearly_back(swap)
    (swap.discarded / "docker-state.json").unlink()


STAGES = [untouched, put_aside, replaced, taken_away, taken_away_and_started, nearly_back, half_removed]
WAYS = [Swap.put_back, Swap.put_back_by_shell]


def test_replace_with_keeps_the_old_state_aside(tmp_path: Path) -> None:
    swap = Swap(tmp_path)
    swap.state.replace_with(swap.new, swap.aside)
    assert (swap.state.path / "docker-state.json").read_text() == "new"
    assert (swap.aside / "docker-state.json").read_text() == "old"
    assert not swap.new.exists()


def test_replace_with_marks_that_there_was_no_state(tmp_path: Path) -> None:
    swap = Swap(tmp_path, had_state=False)
    swap.state.replace_with(swap.new, swap.aside)
    assert (swap.state.path / "docker-state.json").read_text() == "new"
    assert list(swap.aside.iterdir()) == []
    assert stat.S_IMODE(swap.aside.stat().st_mode) == 0o700


@pytest.mark.parametrize("sync", [0, 1])
def test_renames_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: int) -> None:
    swap = Swap(tmp_path)
    done: list[str] = []
    handles: list[int] = []
    rename = os.rename

    def noted(old: Path, new: Path) -> None:
        done.append("rename")
        rename(old, new)

    monkeypatch.setattr(module.os, "rename", noted)

    def fsync(handle: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{handle}"))
        handles.append(handle)

    monkeypatch.setattr(module.os, "fsync", fsync)
    if sync == 0:
        swap.state.replace_with(swap.new, swap.aside)
    else:
        swap.forward(2)
        done.clear()
        swap.put_back()
    assert done == ["rename", "rename", str(tmp_path)]
    assert not os.path.exists(f"/proc/self/fd/{handles[0]}")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", STAGES)
def test_the_old_state_is_back_from_every_stage(
    tmp_path: Path, stage: Callable[[Swap], None], way: Callable[[Swap], None]
) -> None:
    swap = Swap(tmp_path)
    before = swap.there()
    stage(swap)
    way(swap)
    assert swap.there() == before


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", [replaced, taken_away, nearly_back])
@pytest.mark.parametrize("name", NAMES)
def test_names_that_a_shell_would_read_otherwise(
    tmp_path: Path, stage: Callable[[Swap], None], way: Callable[[Swap], None], name: str
) -> None:
    swap = Swap(tmp_path / name, name)
    before = swap.there()
    stage(swap)
    way(swap)
    assert swap.there() == before


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("renames", [1, 2])
def test_where_there_was_no_state_an_empty_directory_is_left(
    tmp_path: Path, way: Callable[[Swap], None], renames: int
) -> None:
    swap = Swap(tmp_path, had_state=False)
    if renames == 1:
        swap.aside.mkdir()
    else:
        swap.state.replace_with(swap.new, swap.aside)
    way(swap)
    assert swap.there() == {"swarm": None}
    assert not swap.state.exists


@pytest.mark.parametrize("way", WAYS)
def test_putting_back_twice_changes_nothing(tmp_path: Path, way: Callable[[Swap], None]) -> None:
    swap = Swap(tmp_path)
    before = swap.there()
    replaced(swap)
    way(swap)
    way(swap)
    assert swap.there() == before


def test_put_back_without_a_swap_keeps_the_state(tmp_path: Path) -> None:
    swap = Swap(tmp_path)
    swap.put_back()
    assert (swap.state.path / "docker-state.json").read_text() == "old"
    assert (swap.new / "docker-state.json").read_text() == "new"


def test_commands_need_no_shell_but_sh(tmp_path: Path) -> None:
    """They become one line of a unit: no line breaks, and nothing of the archive in them."""
    commands = StateDir(tmp_path / "a b").put_back_commands(tmp_path / "c", tmp_path / "d")
    assert all("\n" not in command for command in commands)
