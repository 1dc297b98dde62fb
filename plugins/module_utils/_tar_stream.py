# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to read a tar file that nobody vouches for: forward only, constant memory, plain files and directories.

Python's tarfile takes a damaged header in the middle for the end of the archive, follows sparse maps and links, and
what its extraction filters refuse differs by version. A backup has to be refused for the smallest doubt instead, so the
members are walked here; only the decoding of one header block is tarfile's.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import gzip
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import threading
import typing as t
import zlib
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, MissingLibrary

try:
    import lzma

    HAS_LZMA = True
except ImportError:
    HAS_LZMA = False

try:
    from compression import zstd  # Python 3.14

    HAS_ZSTD = True
except ImportError:
    HAS_ZSTD = False

try:
    import zstandard

    HAS_ZSTANDARD = True
except ImportError:
    HAS_ZSTANDARD = False

BLOCK = 512
CHUNK = 1 << 20
_ZEROS = bytes(BLOCK)
_LONGEST_EXTENSION = 1 << 20
_DAMAGED = "The archive is damaged or was cut short; use another one, or copy it again"
_MAGIC = {"gzip": b"\x1f\x8b", "xz": b"\xfd7zXZ\0", "bzip2": b"BZh", "zstd": b"\x28\xb5\x2f\xfd"}
_REFUSED_TYPES = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_REMEDY_TYPES = {
    tarfile.GNUTYPE_SPARSE: "Make the archive without --sparse: compression takes care of the zeros",
}
_NO_SPECIAL_FILES = "A swarm state directory holds plain files and directories only; do not trust this archive"


@dataclasses.dataclass(frozen=True)
class Member:
    """One file or directory of the archive.

    Attributes:
        name: Path inside the archive, without a leading C(./) and without a trailing slash; empty for C(./) itself.
        is_directory: Whether it is a directory; else it is a regular file.
        size: Bytes of content; 0 for a directory.
        mode: Permission bits.
    """

    name: str
    is_directory: bool
    size: int
    mode: int


def is_normal(name: str) -> bool:
    """Whether a path stays below the place it is put: relative, no C(..), no empty or C(.) part, nothing unprintable."""
    return name.isprintable() and "\\" not in name and not {"", ".", ".."}.intersection(name.split("/"))


class TarStream:
    """The members of one archive, in order. Use it as a context manager, and its members() once.

    Args:
        path: The archive: plain tar, or compressed with gzip, xz, bzip2 or zstd.

    Raises:
        BadArchive: It is not a readable file, or compressed with something unknown.
        MissingLibrary: This Python cannot decompress it.
    """

    def __init__(self, path: Path) -> None:
        self._attempted = f"read the archive {path}"
        self._path = str(path)
        self._file = self._open(path)
        self.size = os.fstat(self._file.fileno()).st_size
        self._remaining = 0
        self._padding = 0
        self._raw = _Hashed(self._file)
        self._program: _Program | None = None
        try:
            self._stream, self._damage = self._decompress()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TarStream:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._program is not None:
            self._program.close()
        self._file.close()

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the archive file itself, once members() has come to its end."""
        return self._raw.digest.hexdigest()

    def members(self) -> t.Iterator[Member]:
        """Walk over the archive to its very end.

        What the caller does not read of a member with chunks() is skipped.

        Raises:
            BadArchive: The archive is damaged, cut short, or has a member that is not a plain file or directory, has
                a path that is not normal, or setuid, setgid or sticky bits.
        """
        extension: dict[str, str] = {}
        empty = True
        while True:
            block = self._read(BLOCK)
            if block == _ZEROS:
                break
            empty = False
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise self.bad(f"a member's header is damaged ({error})") from None
            if info.size < 0:
                raise self.bad("a member has a negative size")
            self._remaining, self._padding = info.size, -info.size % BLOCK
            if info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
                extension.update(self._extension(info.type))
                continue
            yield self._member(info, extension)
            extension = {}
            for dummy in self.chunks():
                pass
            self._read(self._padding)
        if empty:
            raise self.bad("it is empty")
        self._read_to_the_end()

    def chunks(self) -> t.Iterator[bytes]:
        """The content of the current member, in pieces of at most CHUNK bytes."""
        while self._remaining:
            chunk = self._read(min(self._remaining, CHUNK))
            self._remaining -= len(chunk)
            yield chunk

    def bad(self, cause: str, remedy: str = _DAMAGED, **details: t.Any) -> BadArchive:
        """The error that says what is wrong with this archive."""
        return BadArchive(self._attempted, cause, remedy, path=self._path, **details)

    def _open(self, path: Path) -> io.FileIO:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise self.bad("it is not a regular file", "Give the path of the archive file")
            return io.FileIO(path, "rb")
        except OSError as error:
            raise self.bad(error.strerror or str(error), "Give the path of a readable archive file") from None

    def _decompress(self) -> tuple[t.IO[bytes], tuple[type[Exception], ...]]:
        """The stream of uncompressed bytes, and what it raises when the compressed data is damaged."""
        head = os.pread(self._file.fileno(), BLOCK, 0)
        raw = t.cast("t.IO[bytes]", self._raw)
        if head.startswith(_MAGIC["gzip"]):
            return t.cast("t.IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb")), (EOFError, OSError, zlib.error)
        if head.startswith(_MAGIC["bzip2"]):
            return t.cast("t.IO[bytes]", bz2.BZ2File(raw)), (EOFError, OSError, ValueError)
        if head.startswith(_MAGIC["xz"]):
            if not HAS_LZMA:
                raise MissingLibrary(self._attempted, "this Python has no lzma module", "Recompress it with gzip")
            return t.cast("t.IO[bytes]", lzma.LZMAFile(raw)), (EOFError, OSError, lzma.LZMAError)
        if head.startswith(_MAGIC["zstd"]):
            return self._decompress_zstd(raw)
        if head[257:262] != b"ustar":
            raise self.bad(
                "it is not a tar file, plain or compressed with gzip, xz, bzip2 or zstd", "Give a backup archive"
            )
        return raw, (OSError,)

    def _decompress_zstd(self, raw: t.IO[bytes]) -> tuple[t.IO[bytes], tuple[type[Exception], ...]]:
        if HAS_ZSTD:
            return t.cast("t.IO[bytes]", zstd.ZstdFile(raw)), (EOFError, OSError, zstd.ZstdError)
        if HAS_ZSTANDARD:
            stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
            return t.cast("t.IO[bytes]", stream), (OSError, zstandard.ZstdError)
        program = shutil.which("zstd")
        if program is None:
            raise MissingLibrary(
                self._attempted,
                "it is compressed with zstd, and neither the program zstd nor the Python package zstandard is installed",
                "Install zstd, or recompress the archive with gzip",
            )
        self._program = _Program([program, "-dcq"], raw)
        return t.cast("t.IO[bytes]", io.BufferedReader(self._program)), (OSError,)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                piece = self._stream.read(size - len(data))
            except self._damage as error:
                raise self.bad(f"its data is damaged or cut short ({error})") from None
            if not piece:
                raise self.bad("it is cut short")
            data += piece
        return data

    def _read_to_the_end(self) -> None:
        """Nothing but zeros may follow the end mark; reading on also proves the checksum of the compressed data."""
        while True:
            try:
                rest = self._stream.read(CHUNK)
            except self._damage as error:
                raise self.bad(f"its data is damaged or cut short ({error})") from None
            if not rest:
                return
            if rest.count(0) != len(rest):
                raise self.bad("data follows the end of the archive")

    def _extension(self, kind: bytes) -> dict[str, str]:
        """What an extended header says about the next member: its path and size."""
        if self._remaining > _LONGEST_EXTENSION:
            raise self.bad("an extended header is too long")
        data = b"".join(self.chunks())
        self._read(self._padding)
        if kind == tarfile.GNUTYPE_LONGNAME:
            return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
        records = self._pax_records(data)
        if any(key.startswith("GNU.sparse.") for key in records):
            raise self.bad(
                "it holds a sparse file", _REMEDY_TYPES[tarfile.GNUTYPE_SPARSE], member=records.get("GNU.sparse.name")
            )
        wanted = {key: value for key, value in records.items() if key in ("path", "size")}
        if wanted and kind == tarfile.XGLTYPE:
            raise self.bad("a global header names a path or a size", _NO_SPECIAL_FILES)
        return wanted

    def _pax_records(self, data: bytes) -> dict[str, str]:
        """Records C(LENGTH KEY=VALUE\\n), LENGTH counting the whole record (POSIX pax)."""
        records = {}
        while data:
            length, space, dummy = data.partition(b" ")
            end = int(length) if length.isdigit() and len(length) < 8 else 0
            record = data[len(length) + 1 : end]
            key, equals, value = record[:-1].partition(b"=")
            if not (space and equals and record.endswith(b"\n") and end <= len(data)):
                raise self.bad("an extended header is damaged")
            records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
            data = data[end:]
        return records

    def _member(self, info: tarfile.TarInfo, extension: t.Mapping[str, str]) -> Member:
        full_name = extension.get("path", info.name)
        shown = full_name.encode("unicode_escape").decode("ascii")
        if info.type in _REFUSED_TYPES:
            raise self.bad(
                f"its member {shown} is {_REFUSED_TYPES[info.type]}",
                _REMEDY_TYPES.get(info.type, _NO_SPECIAL_FILES),
                member=shown,
            )
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
            raise self.bad(f"its member {shown} is of the unknown type {info.type!r}", _NO_SPECIAL_FILES, member=shown)
        is_directory = info.type == tarfile.DIRTYPE
        if "size" in extension:
            if not extension["size"].isdigit():
                raise self.bad("an extended header is damaged")
            self._remaining = int(extension["size"])
            self._padding = -self._remaining % BLOCK
        if is_directory and self._remaining:
            raise self.bad(f"its member {shown} is a directory with content", _NO_SPECIAL_FILES, member=shown)
        name = full_name[2:] if full_name.startswith("./") else full_name
        if is_directory:
            name = name[:-1] if name.endswith("/") else name
            name = "" if name == "." else name
        if not is_normal(name) and not (is_directory and not name):
            raise self.bad(
                f"its member {shown} has a path that may lead elsewhere",
                "Paths are relative, without ..; do not trust this archive",
                member=shown,
            )
        if info.mode & 0o7000:
            raise self.bad(f"its member {shown} carries setuid, setgid or sticky bits", _NO_SPECIAL_FILES, member=shown)
        return Member(name=name, is_directory=is_directory, size=self._remaining, mode=info.mode)


class _Program(io.RawIOBase):
    """What a program that decompresses makes of a file; OSError where it fails."""

    def __init__(self, argv: list[str], file: t.IO[bytes]) -> None:
        super().__init__()
        # run_command() waits for the end.
        self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._feeder = threading.Thread(target=self._feed, args=(file,), daemon=True)
        self._feeder.start()

    def _feed(self, file: t.IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), t.cast("t.IO[bytes]", self._process.stdin) as pipe:
            while chunk := file.read(CHUNK):
                pipe.write(chunk)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        data = t.cast("t.IO[bytes]", self._process.stdout).read(len(buffer))
        if not data:
            self._feeder.join()
            if self._process.wait() != 0:
                raise OSError("zstd does not decompress it")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._feeder.join()
        t.cast("t.IO[bytes]", self._process.stdout).close()
        super().close()


class _Hashed(io.RawIOBase):
    """The raw file, forward only, its SHA-256 growing with what is read."""

    def __init__(self, file: io.FileIO) -> None:
        super().__init__()
        self._file = file
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        data = self._file.read(len(buffer))
        self.digest.update(data)
        buffer[: len(data)] = data
        return len(data)
