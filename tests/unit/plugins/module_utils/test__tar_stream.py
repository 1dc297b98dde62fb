# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _tar_stream
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, MissingLibrary
from ansible_collections.quorate.swarm.plugins.module_utils._tar_stream import Member, TarStream, is_normal

LONG_NAME = "d/" * 60 + "f"


def tar_of(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def info(name: str, size: int = 0, **more: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = size
    for key, value in more.items():
        setattr(made, key, value)
    return made


def plain(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return info(name, len(content)), content


def read(data: bytes, directory: Path) -> list[tuple[Member, bytes]]:
    path = directory / "archive"
    path.write_bytes(data)
    with TarStream(path) as tar:
        found = [(member, b"".join(tar.chunks())) for member in tar.members()]
        assert tar.sha256 == hashlib.sha256(data).hexdigest()
        assert tar.size == len(data)
    return found


PLAIN = tar_of(
    (info("./d", type=tarfile.DIRTYPE, mode=0o700), b""),
    (info("./d/empty", mode=0o600), b""),
    (info("./d/a", 5, mode=0o640), b"aaaaa"),
    (info("d/block", 512), b"b" * 512),
)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress], ids=["tar", "gz", "xz", "bz2"])
def test_members_of_every_compression(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    found = read(pack(PLAIN), tmp_path)
    assert found == [
        (Member("d", is_directory=True, size=0, mode=0o700), b""),
        (Member("d/empty", is_directory=False, size=0, mode=0o600), b""),
        (Member("d/a", is_directory=False, size=5, mode=0o640), b"aaaaa"),
        (Member("d/block", is_directory=False, size=512, mode=0o644), b"b" * 512),
    ]


def test_content_that_is_not_asked_for_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(PLAIN)
    with TarStream(tmp_path / "archive") as tar:
        assert [member.name for member in tar.members()] == ["d", "d/empty", "d/a", "d/block"]


def test_large_content_comes_in_pieces(tmp_path: Path) -> None:
    content = os.urandom(2 * _tar_stream.CHUNK + 3)
    (tmp_path / "archive").write_bytes(gzip.compress(tar_of(plain("a", content)), 1))
    with TarStream(tmp_path / "archive") as tar:
        for dummy in tar.members():
            pieces = list(tar.chunks())
    assert [len(piece) for piece in pieces] == [_tar_stream.CHUNK, _tar_stream.CHUNK, 3]
    assert b"".join(pieces) == content


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_of_every_format(format: int, tmp_path: Path) -> None:
    found = read(tar_of(plain(LONG_NAME, b"x"), plain("after", b"y"), format=format), tmp_path)
    assert [(member.name, content) for member, content in found] == [(LONG_NAME, b"x"), ("after", b"y")]


def test_extended_headers_give_path_and_size_and_are_otherwise_ignored(tmp_path: Path) -> None:
    headers = {"mtime": "1.5", "SCHILY.xattr.user.x": "y", "path": "d/\u00e9"}
    found = read(tar_of((info("x", 1, pax_headers=headers), b"z"), format=tarfile.PAX_FORMAT), tmp_path)
    assert [member.name for member, dummy in found] == ["d/\u00e9"]


def test_root_directory_has_the_empty_name(tmp_path: Path) -> None:
    found = read(tar_of((info("./", type=tarfile.DIRTYPE), b""), plain("./a", b"")), tmp_path)
    assert [member.name for member, dummy in found] == ["", "a"]


def refused(data: bytes, directory: Path) -> str:
    with pytest.raises(BadArchive) as caught:
        read(data, directory)
    assert str(directory / "archive") in str(caught.value)
    assert caught.value.remedy
    return caught.value.cause


@pytest.mark.parametrize(
    ("type", "word"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "character device"),
        (tarfile.BLKTYPE, "block device"),
        (tarfile.FIFOTYPE, "FIFO"),
        (tarfile.GNUTYPE_SPARSE, "sparse file"),
        (tarfile.CONTTYPE, "unknown type"),
        (b"V", "unknown type"),
    ],
)
def test_special_members(type: bytes, word: str, tmp_path: Path) -> None:
    cause = refused(tar_of((info("swarm/x", type=type, linkname="y"), b"")), tmp_path)
    assert word in cause
    assert "swarm/x" in cause


@pytest.mark.parametrize("headers", [{"GNU.sparse.major": "1", "GNU.sparse.name": "x"}, {"GNU.sparse.map": "0,1"}])
def test_sparse_files_of_the_pax_kind(headers: dict[str, str], tmp_path: Path) -> None:
    data = tar_of((info("x", 1, pax_headers=headers), b"z"), format=tarfile.PAX_FORMAT)
    assert "sparse" in refused(data, tmp_path)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "swarm/../../x", "swarm//x", "swarm/./x", "a\\b", "a\nb", ".", "..", "a\udcff"]
)
def test_paths_that_may_lead_elsewhere(name: str, tmp_path: Path) -> None:
    assert "may lead elsewhere" in refused(tar_of(plain(name, b"x")), tmp_path)


def test_path_of_an_extended_header_that_leads_elsewhere(tmp_path: Path) -> None:
    data = tar_of((info("x", 1, pax_headers={"path": "../x"}), b"z"), format=tarfile.PAX_FORMAT)
    assert "may lead elsewhere" in refused(data, tmp_path)


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1777])
def test_setuid_setgid_and_sticky_bits(mode: int, tmp_path: Path) -> None:
    assert "setuid" in refused(tar_of((info("x", mode=mode), b"")), tmp_path)


def test_directory_with_content(tmp_path: Path) -> None:
    data = bytearray(tar_of((info("d", type=tarfile.REGTYPE, size=1), b"x")))
    header = tarfile.TarInfo("d")
    header.type, header.size = tarfile.DIRTYPE, 1
    data[:512] = header.tobuf(tarfile.GNU_FORMAT)
    assert "directory with content" in refused(bytes(data), tmp_path)


@pytest.mark.parametrize(
    "damaged",
    [
        gzip.compress(PLAIN)[:-1],
        gzip.compress(PLAIN)[: len(gzip.compress(PLAIN)) // 2],
        gzip.compress(PLAIN) + b"garbage",
        gzip.compress(PLAIN)[:-8] + bytes(8),
        lzma.compress(PLAIN)[:-1],
        bz2.compress(PLAIN)[:-1],
        bz2.compress(PLAIN)[:20] + b"x" * 20,
        PLAIN[:700],
        PLAIN[: 3 * 512],
    ],
)
def test_damaged_and_cut_short(damaged: bytes, tmp_path: Path) -> None:
    cause = refused(damaged, tmp_path)
    assert "damaged" in cause or "cut short" in cause


def test_a_flipped_bit_of_the_compressed_data_is_seen_or_changes_nothing(tmp_path: Path) -> None:
    sound = gzip.compress(PLAIN)
    members = read(sound, tmp_path)
    refusals = 0
    for position in range(10, len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 0x10
        try:
            assert read(bytes(damaged), tmp_path) == members
        except BadArchive:
            refusals += 1
    assert refusals > len(sound) // 2


def test_damaged_header_in_the_middle_is_not_the_end(tmp_path: Path) -> None:
    damaged = bytearray(PLAIN)
    damaged[512] ^= 1
    assert "header is damaged" in refused(bytes(damaged), tmp_path)


def test_data_after_the_end_mark(tmp_path: Path) -> None:
    assert "data follows the end" in refused(PLAIN + b"x", tmp_path)
    assert "data follows the end" in refused(gzip.compress(PLAIN + PLAIN), tmp_path)


def test_end_mark_is_missing(tmp_path: Path) -> None:
    assert "cut short" in refused(PLAIN[: len(PLAIN.rstrip(b"\0"))], tmp_path)


@pytest.mark.parametrize("record", [b"8 path=x\n", b"x path=x\n", b"8 path x\n", b"99 path=x\n", b"0 path=x\n"])
def test_damaged_extended_header(record: bytes, tmp_path: Path) -> None:
    data = tar_of((info("x", len(record), type=tarfile.XHDTYPE), record), plain("a", b""))
    assert "extended header is damaged" in refused(data, tmp_path)


def test_extended_header_with_a_size_that_is_none(tmp_path: Path) -> None:
    record = b"11 size=-1\n"
    data = tar_of((info("x", len(record), type=tarfile.XHDTYPE), record), plain("a", b""))
    assert "extended header is damaged" in refused(data, tmp_path)


def test_extended_header_that_is_too_long(tmp_path: Path) -> None:
    data = tar_of((info("x", 1 << 21, type=tarfile.XHDTYPE), bytes(1 << 21)))
    assert "too long" in refused(data, tmp_path)


def test_global_header_that_renames_everything(tmp_path: Path) -> None:
    record = b"14 path=swarm\n"
    data = tar_of((info("x", len(record), type=tarfile.XGLTYPE), record), plain("a", b""))
    assert "global header" in refused(data, tmp_path)


def test_negative_size(tmp_path: Path) -> None:
    header = bytearray(info("x", 1).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 8 * 32)
    assert "negative size" in refused(bytes(header) + bytes(1024), tmp_path)


def test_no_tar_file(tmp_path: Path) -> None:
    assert "not a tar file" in refused(b"", tmp_path)
    assert "not a tar file" in refused(b"hello" * 1000, tmp_path)
    assert "empty" in refused(gzip.compress(bytes(10240)), tmp_path)
    assert "cut short" in refused(gzip.compress(b""), tmp_path)


# zstd


ZSTD = shutil.which("zstd")
needs_zstd = pytest.mark.skipif(ZSTD is None, reason="zstd is not installed")


def zstd(data: bytes) -> bytes:
    return subprocess.run([str(ZSTD), "-q"], input=data, check=True, stdout=subprocess.PIPE).stdout


@needs_zstd
def test_zstd_is_decompressed_by_the_program(tmp_path: Path) -> None:
    large = tar_of(plain("a", os.urandom(3_000_000)), plain("b", bytes(5_000_000)))
    assert read(zstd(large), tmp_path) == read(large, tmp_path)


@needs_zstd
@pytest.mark.parametrize("damage", [lambda data: data[:-50], lambda data: data[:5000] + b"?" + data[5001:]])
def test_damaged_zstd_is_seen(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    data = damage(zstd(tar_of(plain("a", os.urandom(300_000)))))
    assert "damaged or cut short" in refused(data, tmp_path)


@needs_zstd
def test_an_archive_may_be_left_in_the_middle(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(zstd(tar_of(plain("a", os.urandom(3_000_000)), plain("b", b""))))
    with TarStream(tmp_path / "archive") as tar:
        assert next(tar.members()).name == "a"


def test_zstd_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "archive").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(600))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_tar_stream, "HAS_ZSTD", False)
    monkeypatch.setattr(_tar_stream, "HAS_ZSTANDARD", False)
    with pytest.raises(MissingLibrary, match="Install zstd"):
        TarStream(tmp_path / "archive")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="No such file"):
        TarStream(tmp_path / "missing")
    with pytest.raises(BadArchive, match="not a regular file"):
        TarStream(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BadArchive, match="not a regular file"):
        TarStream(tmp_path / "fifo")


def test_python_without_lzma(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_tar_stream, "HAS_LZMA", False)
    with pytest.raises(MissingLibrary, match="lzma"):
        read(lzma.compress(PLAIN), tmp_path)


@pytest.mark.parametrize(("name", "normal"), [("a/b.c", True), ("..a", True), ("", False), ("a/", False)])
def test_is_normal(name: str, normal: bool) -> None:
    assert is_normal(name) is normal
