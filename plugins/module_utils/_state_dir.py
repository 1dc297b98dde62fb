# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the swarm state directory as a place on disk: copy it, put another in its place, put the old one back.

What is in it, _state_facts.py knows.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import stat
import tempfile
import time
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._disk import sync_directory
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, Refused
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import SNAPSHOTS

_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)
#: Room that must stay free beside a copy of the state directory, in bytes.
_MARGIN = 256 << 20
#: Folders of ours beside the state directory. Whatever has this prefix and is not in use was left by a killed run.
_WORK_PREFIX = ".quorate-swarm-"


def utc_stamp(now: float | None = None) -> str:
    """Time as it stands in names of archives and quarantined directories: 20260131T235959Z."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


class StateDir:
    """The state directory of one engine, and the folders that we make beside it.

    They lie beside it because only a rename within one file system cannot be left half done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._in_use: list[int] = []
        self._ahead: dict[Path, tuple[int, ...]] = {}

    @property
    def exists(self) -> bool:
        """Whether it holds anything, be it damaged. An engine that is in no swarm keeps an empty directory."""
        return next(self.path.rglob("*"), None) is not None

    def size(self) -> int:
        """Bytes of all files, without the preallocated *.tmp files that a copy leaves out."""
        total = 0
        for path in self.path.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a running engine may remove a file meanwhile
                facts = path.lstat()
                total += facts.st_size if stat.S_ISREG(facts.st_mode) and path.suffix != ".tmp" else 0
        return total

    def snapshot_size(self) -> int:
        """Bytes of the newest raft snapshot, which a manager that joins is sent as a whole; 0 without one."""
        for path in sorted((self.path / SNAPSHOTS).glob("*.snap"), reverse=True):
            with contextlib.suppress(FileNotFoundError):  # a running engine may remove an old one meanwhile
                return path.stat().st_size
        return 0

    def free(self) -> int:
        """Bytes that are free on its file system."""
        return shutil.disk_usage(self.path).free

    def new_work_folder(self, purpose: str) -> Path:
        """Make an empty folder of mode 0700 beside the state directory. The caller removes it.

        It is in use until this process ends: the next backup of this host may begin while this one, its engine running
        again, is still writing its archive.
        """
        folder = Path(tempfile.mkdtemp(prefix=f"{_WORK_PREFIX}{purpose}-", dir=self.path.parent))
        self._in_use.append(_lock(folder))
        return folder

    def remove_leftovers(self) -> list[Path]:
        """Remove the work folders of killed runs, and return them. Those in use, by this process or another, stay."""
        removed = []
        for path in self.path.parent.glob(f"{_WORK_PREFIX}*"):
            with contextlib.suppress(BlockingIOError, FileNotFoundError):  # in use, or just being removed by its owner
                handle = _lock(path)
                try:
                    shutil.rmtree(path)
                    removed.append(path)
                finally:
                    os.close(handle)
        return removed

    def room(self) -> int:
        """Bytes that a copy beside the state directory may take."""
        try:
            return max(0, shutil.disk_usage(self.path.parent).free - _MARGIN)
        except OSError as error:
            raise Refused(
                f"copy the swarm state beside {self.path}",
                str(error),
                "Give the state directory of this engine as state_directory",
            ) from error

    def require_room(self, needed: int) -> None:
        """Refuse when the file system of the state directory cannot hold so many more bytes."""
        room = self.room()
        if room < needed:
            raise Refused(
                f"copy the swarm state beside {self.path}",
                f"there is room for {room >> 20} MiB, {needed >> 20} MiB are needed ({_MARGIN >> 20} MiB stay free)",
                "Free space on that file system",
                room=room,
                needed=needed,
            )

    def require_renamable(self) -> None:
        """Refuse when the directory cannot be renamed because it is a mount point or a symbolic link."""
        if self.path.is_symlink() or os.path.ismount(self.path):
            kind = "a symbolic link" if self.path.is_symlink() else "a mount point"
            raise Refused(
                f"replace the swarm state in {self.path}",
                f"it is {kind}, so it cannot be put aside by a rename",
                "Give the real directory as state_directory, or mount its parent instead",
            )

    def copy_ahead(self, target: Path) -> None:
        """Copy the raft snapshots while the engine runs, so that copy_to has less to do while it is stopped.

        An engine writes a snapshot, the largest file of a large swarm, once and never changes it. What it does with one
        meanwhile, copy_to makes good: it copies those again that are no longer what they were here.
        """
        for source in sorted((self.path / SNAPSHOTS).glob("*.snap")):
            copy = target / source.relative_to(self.path)
            for directory in (copy.parent.parent, copy.parent):
                directory.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # a running engine may remove an old one
                facts = source.lstat()
                if stat.S_ISREG(facts.st_mode):
                    _copy_file(str(source), copy, stat.S_IMODE(facts.st_mode))
                    self._ahead[copy] = _version(facts)

    def copy_to(self, target: Path) -> None:
        """Copy everything but *.tmp files, with modes, leaving holes where there are only zeros.

        The active WAL segment is 64 MB of mostly zeros (lab fact B4.2). Nothing is compressed or hashed here, because
        this runs while the manager is stopped. What copy_ahead has copied, and nobody has changed since, is not copied
        again.

        Raises:
            BadArchive: There is something else than files and directories.
        """
        target.mkdir(mode=0o700, exist_ok=True)
        for entry in os.scandir(self.path):
            self._copy_entry(entry, target)
        for copy in self._ahead:
            if target in copy.parents and not (self.path / copy.relative_to(target)).exists():
                copy.unlink()

    def _copy_entry(self, entry: os.DirEntry[str], target: Path) -> None:
        facts = entry.stat(follow_symlinks=False)
        copy = target / entry.name
        if stat.S_ISDIR(facts.st_mode):
            copy.mkdir(mode=0o700, exist_ok=True)
            for child in os.scandir(entry.path):
                self._copy_entry(child, copy)
        elif stat.S_ISREG(facts.st_mode):
            if not entry.name.endswith(".tmp") and self._ahead.get(copy) != _version(facts):
                _copy_file(entry.path, copy, stat.S_IMODE(facts.st_mode))
        else:
            raise BadArchive(
                "copy the swarm state directory",
                f"{entry.path} is neither a file nor a directory",
                "Docker never makes such an entry: find out who did, and remove it",
            )

    def replace_with(self, new: Path, aside: Path) -> None:
        """Put the state aside by a rename, and the new one in its place. The engine is stopped."""
        if self.path.exists():
            os.rename(self.path, aside)
        else:
            aside.mkdir(mode=0o700)
        os.rename(new, self.path)
        sync_directory(self.path.parent)

    def put_aside(self) -> Path:
        """Put the state aside by a rename, and leave none in its place. The engine is stopped.

        Raises:
            Refused: It cannot be renamed.
        """
        self.require_renamable()
        aside = self.path.with_name(f"{self.path.name}.quarantine-{utc_stamp()}")
        os.rename(self.path, aside)
        sync_directory(self.path.parent)
        return aside

    def put_back(self, aside: Path, discarded: Path) -> None:
        """Undo replace_with, as far as it has come, and also what an earlier put_back had begun. The engine is stopped.

        The state that is taken away comes from an archive and may hold an opened key, so it is removed.
        """
        if aside.exists():
            if self.path.exists():
                if discarded.exists():  # an engine was started between the two renames, and made an empty state
                    shutil.rmtree(discarded)
                os.rename(self.path, discarded)
            os.rename(aside, self.path)
            sync_directory(self.path.parent)
        if discarded.exists():
            shutil.rmtree(discarded)

    def put_back_commands(self, aside: Path, discarded: Path) -> list[str]:
        """put_back as shell commands, for the dead man's switch."""
        here, old, gone = (shlex.quote(str(path)) for path in (self.path, aside, discarded))
        return [
            f"if [ -d {old} ]; then if [ -e {here} ]; then rm -rf {gone}; mv -T {here} {gone}; fi; mv -T {old} {here}; fi",
            f"rm -rf {gone}",
        ]


def _version(facts: os.stat_result) -> tuple[int, ...]:
    """What is another number when a file was changed, or another one has taken its place."""
    return facts.st_dev, facts.st_ino, facts.st_mode, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _copy_file(source: str, target: Path, mode: int) -> None:
    # The writer is buffered, because a plain one may write less than it was given when the disk is full.
    with open(source, "rb", buffering=0) as reader, open(target, "wb") as writer:
        os.fchmod(writer.fileno(), mode)
        size = 0
        while block := reader.read(_BLOCK):
            if block == _ZEROS[: len(block)]:
                writer.seek(len(block), os.SEEK_CUR)
            else:
                writer.write(block)
            size += len(block)
        writer.truncate(size)


def _lock(folder: Path) -> int:
    """Lock a folder for as long as the returned handle is open; a killed process has none open.

    Raises:
        BlockingIOError: It is in use.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle
