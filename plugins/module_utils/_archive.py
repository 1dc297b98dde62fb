# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to write, read, verify, extract and retire a backup archive (docs/archive_format.md).

All of it streams: no file of the state directory is ever in memory as a whole.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tarfile
import tempfile
import time
import typing as t
import zlib
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._disk import sync_directory
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, Refused, SwarmError
from ansible_collections.quorate.swarm.plugins.module_utils._manifest import (
    LARGEST,
    MEMBER,
    SCHEMA,
    STATE,
    check_manifest,
    parse_manifest,
    time_of_name,
)
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import DOCKER_STATE, NO_WAL, REQUIRED, WAL
from ansible_collections.quorate.swarm.plugins.module_utils._tar_stream import CHUNK, Member, TarStream, is_normal

_INCOMPLETE = "Do not start an engine on it; use another archive"
_MOST_MEMBERS = 1_000
_PREALLOCATED = re.compile(re.escape(WAL) + r"/[^/]+\.tmp")
_PARTIAL = re.compile(r"\.(swarm_.*\.tar\.gz)\..*\.partial")
_PARTIAL_IS_DEAD = 24 * 60 * 60
_GZIP = 16 + zlib.MAX_WBITS


@dataclasses.dataclass(frozen=True)
class FileFacts:
    """One file of the state directory in the archive: bytes, hexadecimal SHA-256, permission bits."""

    size: int
    sha256: str
    mode: int


@dataclasses.dataclass(frozen=True)
class ArchiveFacts:
    """An archive that was read to its end and found sound.

    Attributes:
        path: The archive.
        size: Bytes of the archive.
        sha256: Hexadecimal SHA-256 of the archive.
        manifest: Its manifest; None for one that somebody made with tar.
        prefix: Where the state directory lies inside the archive: C(swarm/), or empty.
        files: The files by path below the state directory.
        directories: The directories below the state directory.
    """

    path: Path
    size: int
    sha256: str
    manifest: dict[str, t.Any] | None
    prefix: str
    files: t.Mapping[str, FileFacts]
    directories: tuple[str, ...]

    @property
    def state_size(self) -> int:
        """Bytes the state directory takes when it is extracted."""
        return sum(facts.size for facts in self.files.values())


@dataclasses.dataclass(frozen=True)
class Listed:
    """An archive of a directory: its manifest, or what is wrong with it.

    One that is foreign is a tar file whose first member is no manifest; something else may be wrong with it as well.
    """

    path: Path
    size: int
    manifest: dict[str, t.Any] | None
    problem: SwarmError | None = None
    is_foreign: bool = False

    @property
    def created(self) -> str:
        """When the backup was made, ISO 8601; by the file name when the manifest cannot be read."""
        return self.manifest["created"] if self.manifest else time_of_name(self.path.name) or ""


@contextlib.contextmanager
def new_archive(
    *, state_dir: Path, destination: Path, name: str, facts: t.Mapping[str, t.Any]
) -> t.Iterator[ArchiveFacts]:
    """Write a copy of a state directory as an archive, read it back, and give it its name when the block has ended.

    Args:
        state_dir: The copy. Nothing may change it until the block begins: an archive that does not match its own
            checksums is refused.
        destination: Directory of the archive; created with mode 0700 when missing.
        name: File name, of archive_name().
        facts: The manifest without C(schema) and C(files).

    Yields:
        What verify() found in the finished archive (mode 0600). Its path is the one that it gets after the block; where
        the block fails, there is no archive.

    Raises:
        BadArchive: The state directory is not one that could be restored, or changed while it was read.
        Refused: An archive of that name is there already.
        SwarmError: The file system said no; nothing is left behind.
    """
    final = destination / name
    attempted = f"write the archive {final}"
    with contextlib.ExitStack() as unfinished:
        with _told_as(attempted):
            destination.mkdir(mode=0o700, parents=True, exist_ok=True)
            if final.exists():
                raise Refused(attempted, "there is an archive of that name already", "Give it another name")
            paths = list(_walk(state_dir))
            manifest = check_manifest({"schema": SCHEMA, **facts, "files": _describe(state_dir, paths)})
            partial, raw = unfinished.enter_context(_new_partial(destination, name))
            _write(raw, state_dir, paths, manifest)
            verified = verify(partial)
        yield dataclasses.replace(verified, path=final)
        with _told_as(attempted):
            os.replace(partial, final)
    with _told_as(attempted):
        sync_directory(destination)


@contextlib.contextmanager
def _told_as(attempted: str) -> t.Iterator[None]:
    """Tell what the file system says as an error of what was attempted."""
    try:
        yield
    except OSError as error:
        raise SwarmError(attempted, str(error), "Make room or correct the path, and run again") from error


def describe(path: Path) -> Listed:
    """Read the manifest of an archive and nothing else of it. What is wrong with it is not raised, but told."""
    size = 0
    try:
        with TarStream(path) as tar:
            size = tar.size
            for member in tar.members():
                if member.name != MEMBER:
                    return Listed(path=path, size=size, manifest=None, problem=_no_manifest(tar), is_foreign=True)
                return Listed(path=path, size=size, manifest=_read_manifest(tar, member))
            raise _no_manifest(tar)
    except SwarmError as problem:
        return Listed(path=path, size=size, manifest=None, problem=problem)


def verify(path: Path, *, allow_missing_manifest: bool = False, room: int | None = None) -> ArchiveFacts:
    """Read an archive to its end and prove everything that can be proven without extracting it.

    Args:
        path: The archive.
        allow_missing_manifest: Accept a tar file of a state directory that somebody made by hand. The state directory
            is found by its docker-state.json.
        room: Bytes that the extracted state may take, the free space of the target's file system.

    Raises:
        BadArchive: Damaged, cut short, a special file, a path that leads elsewhere, a file twice, without manifest, not
            what the manifest says, incomplete, or larger than the room; each with its own cause.
        MissingLibrary: This Python cannot decompress it.
    """
    with TarStream(path) as tar:
        contents = _Contents(tar, room=room, allow_missing_manifest=allow_missing_manifest)
        for member in tar.members():
            contents.add(member)
        return contents.facts(path)


def extract(archive: ArchiveFacts, target: Path) -> None:
    """Extract the state directory of a verified archive, proving every file once more while it is written.

    Directories get mode 0700, files 0600 or 0644, and all of it the owner root. Preallocated WAL files (C(*.tmp)) are
    left out.

    Args:
        archive: What verify() returned. The archive is read again, and refused when it is another one by now.
        target: The state directory to make. It must not exist; its parent must.

    Raises:
        BadArchive: The archive changed since it was verified.
        SwarmError: The file system said no. Nothing is left behind.
    """
    attempted = f"extract {archive.path} to {target}"
    try:
        os.mkdir(target, 0o700)
    except OSError as error:
        raise SwarmError(attempted, str(error), "Give a path that does not exist yet") from error
    try:
        for name in sorted(_parents([*archive.files, *(directory + "/" for directory in archive.directories)])):
            os.mkdir(target / name, 0o700)
        with TarStream(archive.path) as tar:
            missing = {name for name in archive.files if not _PREALLOCATED.fullmatch(name)}
            for member in tar.members():
                name = member.name[len(archive.prefix) :]
                if name not in missing or not member.name.startswith(archive.prefix):
                    continue
                if member.size != archive.files[name].size:
                    raise _changed(tar)
                _extract_file(tar, target / name, archive.files[name])
                missing.remove(name)
            if tar.sha256 != archive.sha256:
                raise _changed(tar)
        for directory, dummy, dummy in os.walk(target):
            _own_by_root(Path(directory))
            sync_directory(Path(directory))
        sync_directory(target.parent)
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, OSError):
            raise SwarmError(attempted, str(error), "Make room, and run again") from error
        raise


def list_archives(directory: Path) -> list[Listed]:
    """The archives of a directory by their manifests, newest first. One that cannot be read is listed with its problem.

    Only files with the name of an archive are looked at. A directory that does not exist has none.

    Raises:
        SwarmError: The directory cannot be read.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SwarmError(f"list the archives of {directory}", str(error), "Give a readable directory") from error
    return sorted((describe(directory / name) for name in names if time_of_name(name)), key=_age, reverse=True)


def superseded(
    archives: t.Iterable[Listed], *, cluster: str, node: str, keep: int, is_sound: t.Callable[[Listed], bool]
) -> list[Listed]:
    """Choose what retention removes: the archives of one node beyond its newest C(keep), newest first.

    When none of those that stay is sound, the newest sound one of the others stays as well.

    Args:
        archives: What list_archives() returned. Those of other nodes, and those with a problem, are never chosen.
        cluster: Cluster ID.
        node: Node ID.
        keep: How many to keep; less than 1 counts as 1.
        is_sound: Whether an archive verifies. Asked only as long as it can make a difference.
    """
    own = [
        listed
        for listed in sorted(archives, key=_age, reverse=True)
        if listed.manifest and (listed.manifest["cluster"]["id"], listed.manifest["node"]["id"]) == (cluster, node)
    ]
    kept, doomed = own[: max(keep, 1)], own[max(keep, 1) :]
    if doomed and not any(is_sound(listed) for listed in kept):
        spared = next((listed for listed in doomed if is_sound(listed)), None)
        doomed = [listed for listed in doomed if listed is not spared]
    return doomed


def prune(directory: Path, *, cluster: str, node: str, keep: int) -> list[Path]:
    """Remove the archives of one node beyond the newest C(keep), and partial files that a killed backup left behind.

    Files of another name, archives of other nodes and archives that cannot be read are never removed, nor is the newest
    archive that verifies.

    Args:
        directory: Directory of the archives.
        cluster: Cluster ID.
        node: Node ID.
        keep: How many to keep; less than 1 counts as 1.

    Returns:
        The archives that were removed, newest first.

    Raises:
        SwarmError: The directory cannot be read, or a file cannot be removed.
    """
    doomed = superseded(list_archives(directory), cluster=cluster, node=node, keep=keep, is_sound=_verifies)
    try:
        for listed in doomed:
            listed.path.unlink()
        _remove_dead_partials(directory)
    except OSError as error:
        raise SwarmError(f"remove old archives of {directory}", str(error), "Check the permissions") from error
    return [listed.path for listed in doomed]


class _Contents:
    """What was found in an archive so far, held against its manifest or, without one, collected."""

    def __init__(self, tar: TarStream, *, room: int | None, allow_missing_manifest: bool) -> None:
        self._tar = tar
        self._room = room
        self._allow_missing_manifest = allow_missing_manifest
        self._manifest: dict[str, t.Any] | None = None
        self._seen: set[str] = set()
        self._files: dict[str, FileFacts] = {}
        self._directories: list[str] = []
        self._total = 0

    def add(self, member: Member) -> None:
        if not self._seen:
            self._begin(member)
        if member.name in self._seen:
            raise self._tar.bad(f"its member {member.name} is there twice", member=member.name)
        if len(self._seen) == _MOST_MEMBERS:
            raise self._tar.bad(f"it has more than {_MOST_MEMBERS} members", "A swarm state directory has a few dozen")
        self._seen.add(member.name)
        if self._manifest is not None and member.name == MEMBER:
            return
        if member.is_directory:
            self._directories.append(member.name)
        else:
            self._files[member.name] = self._read(member)

    def facts(self, path: Path) -> ArchiveFacts:
        """All that was found, once the archive was read to its end."""
        expected = self._manifest["files"] if self._manifest else {}
        prefix = STATE if self._manifest else self._find_prefix()
        files = {name[len(prefix) :]: facts for name, facts in self._files.items() if name.startswith(prefix)}
        self._check_places(prefix)
        self._check_required(files)
        for name in expected:
            if name not in self._files:
                raise self._tar.bad(f"{name} is in its manifest, but missing", _INCOMPLETE, member=name)
        return ArchiveFacts(
            path=path,
            size=self._tar.size,
            sha256=self._tar.sha256,
            manifest=self._manifest,
            prefix=prefix,
            files=files,
            directories=tuple(name[len(prefix) :] for name in self._directories if name and name.startswith(prefix)),
        )

    def _begin(self, first: Member) -> None:
        if first.name == MEMBER and not first.is_directory:
            self._manifest = _read_manifest(self._tar, first)
            self._check_room(sum(facts["size"] for facts in self._manifest["files"].values()))
        elif not self._allow_missing_manifest:
            raise _no_manifest(self._tar)

    def _read(self, member: Member) -> FileFacts:
        expected = self._expected(member)
        if self._manifest is None:
            self._total += member.size
            self._check_room(self._total)
        digest = hashlib.sha256()
        for chunk in self._tar.chunks():
            digest.update(chunk)
        if expected is not None and digest.hexdigest() != expected["sha256"]:
            raise self._tar.bad(f"{member.name} does not have the SHA-256 of its manifest", member=member.name)
        return FileFacts(
            size=member.size,
            sha256=digest.hexdigest(),
            mode=int(expected["mode"], 8) if expected is not None else member.mode,
        )

    def _expected(self, member: Member) -> dict[str, t.Any] | None:
        """What the manifest says about a file; None without a manifest. The size is held against it before reading."""
        if self._manifest is None:
            return None
        expected: dict[str, t.Any] | None = self._manifest["files"].get(member.name)
        if expected is None:
            raise self._tar.bad(f"its member {member.name} is not in its manifest", member=member.name)
        if expected["size"] != member.size:
            raise self._tar.bad(
                f"{member.name} has {member.size} bytes, and {expected['size']} by its manifest", member=member.name
            )
        return expected

    def _check_room(self, needed: int) -> None:
        if self._room is not None and needed > self._room:
            raise self._tar.bad(
                f"its state takes {needed} bytes, and there is room for {self._room}",
                "Make room on the file system of the state directory",
                needed=needed,
                room=self._room,
            )

    def _find_prefix(self) -> str:
        """Where somebody's tar file has the state directory: there is exactly one docker-state.json."""
        found = [name for name in self._files if name.split("/")[-1] == DOCKER_STATE]
        if len(found) != 1:
            raise self._tar.bad(
                f"it holds {len(found)} files {DOCKER_STATE}, so no state directory can be told",
                "Give an archive of one swarm state directory (/var/lib/docker/swarm)",
            )
        return found[0][: -len(DOCKER_STATE)]

    def _check_places(self, prefix: str) -> None:
        parents = {"", *_parents([prefix])}
        for name in _parents(self._files).intersection(self._files):
            raise self._tar.bad(f"its member {name} is both a file and a directory", member=name)
        for name in (*self._directories, *self._files):
            if not name.startswith(prefix) and name not in parents:
                raise self._tar.bad(
                    f"its member {name} is outside the state directory", "Do not trust this archive", member=name
                )

    def _check_required(self, files: t.Mapping[str, FileFacts]) -> None:
        for name, consequence in REQUIRED.items():
            if name not in files:
                raise self._tar.bad(f"{name} is missing: {consequence}", _INCOMPLETE, member=name)
        if not any(name.startswith(f"{WAL}/") and name.endswith(".wal") for name in files):
            raise self._tar.bad(f"{WAL} has no .wal file: {NO_WAL}", _INCOMPLETE, member=WAL)


def _age(listed: Listed) -> tuple[str, str]:
    return listed.created, listed.path.name


def _verifies(listed: Listed) -> bool:
    try:
        verify(listed.path)
    except SwarmError:
        return False
    return True


def _remove_dead_partials(directory: Path) -> None:
    """Remove partial files that nobody writes any more: not locked or, where there are no locks, a day old."""
    for path in directory.glob(".swarm_*.partial"):
        match = _PARTIAL.fullmatch(path.name)
        if not match or not time_of_name(match.group(1)):
            continue
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            except OSError:
                if time.time() - path.lstat().st_mtime < _PARTIAL_IS_DEAD:
                    continue
            path.unlink()


def _no_manifest(tar: TarStream) -> BadArchive:
    return tar.bad(
        f"its first member is not {MEMBER}: this collection did not write it",
        "For a tar file of a state directory made by hand, set allow_missing_manifest",
    )


def _read_manifest(tar: TarStream, member: Member) -> dict[str, t.Any]:
    if member.size > LARGEST:
        raise tar.bad(f"its {MEMBER} has {member.size} bytes")
    data = b"".join(tar.chunks())
    try:
        return parse_manifest(data)
    except BadArchive as problem:
        raise tar.bad(problem.cause, problem.remedy, **problem.details) from None


def _walk(state_dir: Path) -> t.Iterator[str]:
    """Directories and files of a state directory, sorted, by path below it. Directories end in a slash."""
    attempted = f"read the state directory {state_dir}"
    for directory, directories, files in os.walk(state_dir, onerror=_raise):
        directories.sort()
        below = Path(directory).relative_to(state_dir).as_posix()
        below = "" if below == "." else below + "/"
        for name in sorted(directories + files):
            path = below + name
            kind = os.lstat(state_dir / path).st_mode
            if not is_normal(path) or not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
                raise BadArchive(attempted, f"{path!r} is not a plain file or directory", "Remove it from the copy")
            if not _PREALLOCATED.fullmatch(path):
                yield path + "/" if stat.S_ISDIR(kind) else path


def _raise(error: OSError) -> None:
    raise error


def _describe(state_dir: Path, paths: t.Iterable[str]) -> dict[str, dict[str, t.Any]]:
    """The C(files) of the manifest."""
    described = {}
    for path in paths:
        if path.endswith("/"):
            continue
        digest = hashlib.sha256()
        with open(state_dir / path, "rb", buffering=0) as file:
            facts = os.fstat(file.fileno())
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        described[STATE + path] = {
            "size": facts.st_size,
            "sha256": digest.hexdigest(),
            "mode": f"{stat.S_IMODE(facts.st_mode) & 0o777:04o}",
        }
    return described


@contextlib.contextmanager
def _new_partial(destination: Path, name: str) -> t.Iterator[tuple[Path, t.BinaryIO]]:
    """An empty file of mode 0600 under a name that nobody takes for an archive; removed when what is done with it fails.

    It is locked until then, which tells it from one that a killed backup has left.
    """
    while True:
        descriptor, path = tempfile.mkstemp(prefix=f".{name}.", suffix=".partial", dir=destination)
        raw = os.fdopen(descriptor, "wb")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(raw, fcntl.LOCK_EX)
        if os.path.exists(path):
            break
        raw.close()  # a retention run was faster than the lock
    try:
        with raw:
            yield Path(path), raw
    except BaseException:
        os.unlink(path)
        raise


class _Packed(io.RawIOBase):
    """A file that is compressed with gzip, without a name or a time, as it is written. It leaves its own file open.

    Only runs of the same byte are looked for. Most of a raft store is encrypted, which nothing makes smaller, and most of
    a WAL segment is zeros: the archive is as small as with all the effort of gzip, in a third of the time.
    """

    def __init__(self, raw: t.BinaryIO) -> None:
        super().__init__()
        self._raw = raw
        self._packer = zlib.compressobj(wbits=_GZIP, strategy=zlib.Z_RLE)

    def writable(self) -> bool:
        return True

    def write(self, data: t.Any) -> int:
        self._raw.write(self._packer.compress(data))
        return len(data)

    def tell(self) -> int:
        return 0  # tarfile asks where the archive begins, and for nothing else

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.write(self._packer.flush())


def _write(raw: t.BinaryIO, state_dir: Path, paths: t.Iterable[str], manifest: t.Mapping[str, t.Any]) -> None:
    """Write the archive into a file, and push it to the disk."""
    with _Packed(raw) as packed, tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        data = (json.dumps(manifest, indent=2) + "\n").encode("utf-8")
        tar.addfile(_header(MEMBER, mode=0o600, size=len(data)), io.BytesIO(data))
        tar.addfile(_header(STATE, mode=0o700))
        for path in paths:
            _add(tar, state_dir, path, manifest)
    raw.flush()
    os.fsync(raw.fileno())


def _add(tar: tarfile.TarFile, state_dir: Path, path: str, manifest: t.Mapping[str, t.Any]) -> None:
    if path.endswith("/"):
        tar.addfile(_header(STATE + path, mode=0o700))
        return
    facts = manifest["files"][STATE + path]
    with open(state_dir / path, "rb") as file:
        tar.addfile(_header(STATE + path, mode=int(facts["mode"], 8), size=facts["size"]), file)


def _header(name: str, *, mode: int, size: int = 0) -> tarfile.TarInfo:
    """A header that says nothing about this host: owner 0, no names."""
    info = tarfile.TarInfo(name.rstrip("/"))
    info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
    info.mode, info.size, info.mtime = mode, size, int(time.time())
    return info


def _extract_file(tar: TarStream, path: Path, facts: FileFacts) -> None:
    digest = hashlib.sha256()
    mode = 0o600 if path.suffix == ".key" or not facts.mode & 0o044 else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        for chunk in tar.chunks():
            digest.update(chunk)
            if chunk.count(0) == len(chunk):  # most of a WAL segment: leave a hole
                file.seek(len(chunk), os.SEEK_CUR)
            else:
                _write_all(file, chunk)
        file.truncate()
        os.fchmod(descriptor, mode)
        _own_by_root(path)
        os.fsync(descriptor)
    if digest.hexdigest() != facts.sha256:
        raise _changed(tar)


def _changed(tar: TarStream) -> BadArchive:
    return tar.bad("it was changed after it had been verified", "Run again with an archive that is at rest")


def _write_all(file: io.RawIOBase, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]


def _own_by_root(path: Path) -> None:
    """A setgid parent directory would have given its group; only root can change that, and only root restores."""
    if os.geteuid() == 0:
        os.chown(path, 0, 0)


def _parents(paths: t.Iterable[str]) -> set[str]:
    """Every directory that leads to the paths."""
    found: set[str] = set()
    for path in paths:
        parts = path.split("/")[:-1]
        found.update("/".join(parts[: count + 1]) for count in range(len(parts)))
    return found
