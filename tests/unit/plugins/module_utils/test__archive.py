# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import errno
import fcntl
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import tarfile
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _archive as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, Refused, SwarmError
from ansible_collections.quorate.swarm.plugins.module_utils._manifest import archive_name

WAL = "raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal"
STATE = {
    "docker-state.json": b'{"LocalAddr": "192.0.2.11"}',
    "state.json": b"[]",
    "certificates/swarm-node.crt": b"certificate",
    "certificates/swarm-node.key": b"key",
    "certificates/swarm-root-ca.crt": b"root",
    WAL: b"wal" * 1000 + bytes(50_000),
    "worker/tasks.db": b"tasks",
}
FACTS: dict[str, Any] = {
    "created": "2026-11-23T14:05:06Z",
    "method": "cold",
    "collection_version": "0.1.0",
    "cluster": {"id": "clusterid", "root_ca_sha256": "a" * 64, "root_ca_expires": "2046-11-18T14:00:00Z"},
    "node": {
        "id": "nodeid",
        "hostname": "m1",
        "address": "192.0.2.11",
        "advertise_address": "192.0.2.11:2377",
        "certificate_expires": "2027-02-21T14:00:00Z",
    },
    "engine": {"version": "28.5.2"},
    "autolock": False,
    "unlock_key_fingerprint": None,
    "kek_version": 0,
    "raft": {"term": 2, "commit_index": 190, "last_index": 190, "snapshot_index": 0},
    "inventory": {"nodes": [], "services": [], "networks": [], "secrets": [], "configs": []},
}

Members = "list[tuple[tarfile.TarInfo, bytes]]"
# Changes the members of an archive in place.
Tamper = Callable[[Any], None]


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    for name, content in STATE.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644 if name.endswith(".crt") else 0o600)
    (directory / "raft/snap-v3-encrypted").mkdir()
    (directory / "raft/wal-v3-encrypted/0.tmp").write_bytes(bytes(1000))
    return directory


def write(state_dir: Path, destination: Path, *, created: str = FACTS["created"], node: str = "nodeid") -> Path:
    facts = copy.deepcopy(FACTS)
    facts["created"], facts["node"]["id"] = created, node
    name = archive_name(cluster="blue", node=node, created=created)
    with module.new_archive(state_dir=state_dir, destination=destination, name=name, facts=facts) as written:
        return written.path


@pytest.fixture
def archive(state_dir: Path, tmp_path: Path) -> Path:
    return write(state_dir, tmp_path / "backups")


def members_of(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    found = []
    with tarfile.open(path) as tar:
        for info in tar:
            file = tar.extractfile(info)
            found.append((info, file.read() if file else b""))
    return found


def pack(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def tampered(archive: Path, change: Tamper) -> Path:
    members = members_of(archive)
    change(members)
    return pack(archive.with_name("tampered.tar.gz"), members)


def entry(name: str, content: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def tree(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


# Writing


def test_archive_holds_the_state_behind_its_manifest(archive: Path) -> None:
    members = members_of(archive)
    manifest = json.loads(members[0][1])
    assert members[0][0].name == "manifest.json"
    assert {info.name for info, dummy in members[1:] if info.isdir()} == {
        "swarm",
        "swarm/certificates",
        "swarm/raft",
        "swarm/raft/snap-v3-encrypted",
        "swarm/raft/wal-v3-encrypted",
        "swarm/worker",
    }
    assert {info.name: content for info, content in members[1:] if info.isfile()} == {
        "swarm/" + name: content for name, content in STATE.items()
    }
    assert set(manifest["files"]) == {"swarm/" + name for name in STATE}
    assert manifest["files"]["swarm/state.json"] == {
        "size": 2,
        "sha256": hashlib.sha256(b"[]").hexdigest(),
        "mode": "0600",
    }
    assert {**FACTS, "schema": 1, "files": manifest["files"]} == manifest


def test_archive_says_nothing_about_users_of_this_host(archive: Path) -> None:
    assert {(info.uid, info.gid, info.uname, info.gname) for info, dummy in members_of(archive)} == {(0, 0, "", "")}
    assert {info.mode for info, dummy in members_of(archive) if info.isdir()} == {0o700}


def test_modes_of_archive_and_directory(archive: Path) -> None:
    assert archive.stat().st_mode & 0o777 == 0o600
    assert archive.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(archive.parent) == ["swarm_blue_nodeid_20261123T140506Z.tar.gz"]


def test_written_facts_are_those_of_the_finished_file(state_dir: Path, tmp_path: Path) -> None:
    with module.new_archive(state_dir=state_dir, destination=tmp_path, name="swarm_a_b.tar.gz", facts=FACTS) as facts:
        assert not facts.path.exists()
    content = (tmp_path / "swarm_a_b.tar.gz").read_bytes()
    assert facts.path == tmp_path / "swarm_a_b.tar.gz"
    assert (facts.size, facts.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert facts == module.verify(facts.path)


def test_there_is_no_archive_when_what_is_done_before_it_gets_its_name_fails(state_dir: Path, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    with pytest.raises(ConnectionError, match="as it was raised"), module.new_archive(
        state_dir=state_dir, destination=backups, name="swarm_a_b.tar.gz", facts=FACTS
    ):
        raise ConnectionError("as it was raised")
    assert list(backups.iterdir()) == []


def test_plain_tar_opens_it(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "by-hand"
    target.mkdir()
    subprocess.run(["tar", "xzf", str(archive), "-C", str(target)], check=True)
    assert tree(target / "swarm") == STATE


def test_archive_is_one_member_of_gzip_without_name_and_time(archive: Path) -> None:
    content = archive.read_bytes()
    assert content[:8] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0])  # RFC 1952: no flags, no time
    unpacked = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    unpacked.decompress(content)
    assert (unpacked.eof, unpacked.unused_data) == (True, b"")


def test_what_is_encrypted_takes_its_size_and_what_is_empty_next_to_nothing(state_dir: Path, tmp_path: Path) -> None:
    encrypted = random.Random(1).getrandbits(8 * 200_000).to_bytes(200_000, "big")
    (state_dir / WAL).write_bytes(encrypted + bytes(20_000_000))
    archive = write(state_dir, tmp_path / "backups")
    with_all_effort = len(gzip.compress(gzip.decompress(archive.read_bytes()), 9))
    assert len(encrypted) < archive.stat().st_size < 1.01 * with_all_effort


def test_an_archive_is_never_overwritten(archive: Path, state_dir: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(Refused, match="already"):
        write(state_dir, archive.parent)
    assert archive.read_bytes() == before


@pytest.mark.parametrize("name", ["docker-state.json", "certificates/swarm-node.crt", WAL])
def test_incomplete_state_is_not_archived(name: str, state_dir: Path, tmp_path: Path) -> None:
    (state_dir / name).unlink()
    with pytest.raises(BadArchive, match=r"missing|no \.wal file"):
        write(state_dir, tmp_path / "backups")
    assert os.listdir(tmp_path / "backups") == []


def test_links_in_the_state_are_not_followed(state_dir: Path, tmp_path: Path) -> None:
    (state_dir / "link").symlink_to("/etc/passwd")
    with pytest.raises(BadArchive, match="link"):
        write(state_dir, tmp_path / "backups")


def test_state_that_changes_while_it_is_read_is_not_archived(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = module._describe

    def describe_then_change(directory: Path, paths: Any) -> dict[str, dict[str, Any]]:
        described = describe(directory, paths)
        (directory / WAL).write_bytes(b"WAL" * 1000 + bytes(50_000))
        return described

    monkeypatch.setattr(module, "_describe", describe_then_change)
    with pytest.raises(BadArchive, match="SHA-256"):
        write(state_dir, tmp_path / "backups")
    assert os.listdir(tmp_path / "backups") == []


def test_full_disk_leaves_nothing_behind(state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*dummy: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SwarmError, match="No space left"):
        write(state_dir, tmp_path / "backups")
    assert os.listdir(tmp_path / "backups") == []


def test_destination_that_is_no_directory(state_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SwarmError, match="write the archive"):
        write(state_dir, tmp_path / "file")


# Verifying


def test_verified_facts(archive: Path) -> None:
    facts = module.verify(archive, room=1 << 20)
    assert facts.manifest is not None
    assert facts.prefix == "swarm/"
    assert {name: found.size for name, found in facts.files.items()} == {k: len(v) for k, v in STATE.items()}
    assert sorted(facts.directories) == [
        "certificates",
        "raft",
        "raft/snap-v3-encrypted",
        "raft/wal-v3-encrypted",
        "worker",
    ]
    assert facts.state_size == sum(map(len, STATE.values()))


def drop(name: str) -> Tamper:
    def change(members: Any) -> None:
        members[:] = [member for member in members if not member[0].name.startswith(name)]

    return change


def append(*more: tuple[tarfile.TarInfo, bytes]) -> Tamper:
    return lambda members: members.extend(more)


def replace(name: str, content: bytes) -> Tamper:
    def change(members: Any) -> None:
        for position, (info, dummy) in enumerate(members):
            if info.name == name:
                info.size = len(content)
                members[position] = (info, content)

    return change


def edit_manifest(edit: Callable[[Any], None]) -> Tamper:
    def change(members: Any) -> None:
        manifest = json.loads(members[0][1])
        edit(manifest)
        replace("manifest.json", json.dumps(manifest).encode())(members)

    return change


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (drop("swarm/docker-state.json"), "docker-state.json is missing"),
        (drop("swarm/certificates/swarm-node.crt"), "swarm-node.crt is missing: an engine would delete"),
        (drop("swarm/certificates/swarm-node.key"), "swarm-node.key is missing"),
        (drop("swarm/certificates/swarm-root-ca.crt"), "swarm-root-ca.crt is missing"),
        (drop("swarm/raft"), "no .wal file: an engine would come up active with an empty swarm"),
        (drop("swarm/worker"), "swarm/worker/tasks.db is in its manifest, but missing"),
        (drop("manifest.json"), "first member is not manifest.json"),
        (lambda members: members.append(members.pop(0)), "first member is not manifest.json"),
        (append(entry("swarm/more", b"x")), "swarm/more is not in its manifest"),
        (append(entry("more", b"x")), "more is not in its manifest"),
        (append(entry("more", type=tarfile.DIRTYPE)), "more is outside the state directory"),
        (append(entry("manifest.json", b"{}")), "manifest.json is there twice"),
        (append(entry("swarm/state.json", b"[]")), "swarm/state.json is there twice"),
        (append(entry("../x", b"x")), "path that may lead elsewhere"),
        (append(entry("/etc/cron.d/x", b"x")), "path that may lead elsewhere"),
        (append(entry("swarm/x", type=tarfile.SYMTYPE, linkname="/etc")), "symbolic link"),
        (append(entry("swarm/x", type=tarfile.LNKTYPE, linkname="swarm/state.json")), "hard link"),
        (append(entry("swarm/x", type=tarfile.CHRTYPE)), "character device"),
        (append(entry("swarm/x", type=tarfile.FIFOTYPE)), "FIFO"),
        (append(entry("swarm/x", b"", mode=0o4755)), "setuid"),
        (replace("swarm/state.json", b"{}"), "swarm/state.json does not have the SHA-256 of its manifest"),
        (replace("swarm/state.json", b"[ ]"), "swarm/state.json has 3 bytes, and 2 by its manifest"),
        (replace("manifest.json", b"{"), "manifest.json is not JSON"),
        (edit_manifest(lambda manifest: manifest.pop("node")), "manifest.json has no node.id"),
        (edit_manifest(lambda manifest: manifest.update(schema=2)), "it has schema 2"),
        (
            edit_manifest(
                lambda manifest: manifest["files"].update({"swarm/x": {"size": 0, "sha256": "0" * 64, "mode": "0600"}})
            ),
            "swarm/x is in its manifest, but missing",
        ),
    ],
)
def test_tampered_archive_is_refused_with_its_own_message(change: Tamper, cause: str, archive: Path) -> None:
    with pytest.raises(BadArchive, match=cause) as caught:
        module.verify(tampered(archive, change))
    assert "tampered.tar.gz" in str(caught.value)
    assert caught.value.remedy


def test_repacked_archive_is_still_sound(archive: Path) -> None:
    assert module.verify(tampered(archive, lambda members: None)).manifest


def test_truncated_and_flipped_archives_are_refused(archive: Path) -> None:
    sound = archive.read_bytes()
    broken = archive.with_name("broken.tar.gz")
    for length in range(0, len(sound), 41):
        broken.write_bytes(sound[:length])
        with pytest.raises(BadArchive):
            module.verify(broken)
    for position in range(10, len(sound), 41):
        flipped = bytearray(sound)
        flipped[position] ^= 0x04
        broken.write_bytes(flipped)
        try:
            facts = module.verify(broken)
        except BadArchive:
            continue
        assert facts.files == module.verify(archive).files


def test_room_is_known_before_anything_is_read(archive: Path) -> None:
    needed = sum(map(len, STATE.values()))
    module.verify(archive, room=needed)
    with pytest.raises(BadArchive, match=f"takes {needed} bytes, and there is room for {needed - 1}"):
        module.verify(archive, room=needed - 1)


def test_archive_with_members_without_end(archive: Path) -> None:
    more = [entry(f"swarm/{number}", type=tarfile.DIRTYPE) for number in range(1000)]
    with pytest.raises(BadArchive, match="more than 1000 members"):
        module.verify(tampered(archive, append(*more)))


def test_huge_manifest_is_not_read(archive: Path) -> None:
    with pytest.raises(BadArchive, match="has 16777217 bytes"):
        module.verify(tampered(archive, replace("manifest.json", b" " * ((16 << 20) + 1))))


def test_describe_reads_the_manifest_only(archive: Path) -> None:
    listed = module.describe(tampered(archive, drop("swarm/")))
    assert listed.manifest is not None
    assert (listed.created, listed.problem) == (FACTS["created"], None)


def test_describe_tells_the_problem(archive: Path) -> None:
    listed = module.describe(tampered(archive, drop("manifest.json")))
    assert listed.manifest is None
    assert listed.size == listed.path.stat().st_size
    assert "first member is not manifest.json" in str(listed.problem)
    missing = module.describe(archive.with_name("missing"))
    assert (missing.size, missing.created) == (0, "")
    assert "No such file" in str(missing.problem)


# Archives made by hand


@pytest.mark.parametrize(
    ("directory", "arguments", "prefix"),
    [
        ("var/lib/docker/swarm", ["czf", "-C", "var/lib/docker", "swarm"], "swarm/"),
        ("var/lib/docker/swarm", ["cJf", "-C", "var/lib/docker/swarm", "."], ""),
        ("var/lib/docker/swarm", ["cf", "-C", ".", "var"], "var/lib/docker/swarm/"),
        ("swarm", ["czf", "--format=posix", "-C", ".", "./swarm"], "swarm/"),
    ],
)
def test_tar_files_made_by_hand(
    directory: str, arguments: list[str], prefix: str, state_dir: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (root / directory).parent.mkdir(parents=True)
    state_dir.rename(root / directory)
    path = tmp_path / "by-hand"
    mode, *rest = arguments
    subprocess.run(["tar", mode, str(path), *rest], check=True, cwd=root)
    with pytest.raises(BadArchive, match="set allow_missing_manifest"):
        module.verify(path)
    facts = module.verify(path, allow_missing_manifest=True)
    assert facts.manifest is None
    assert facts.prefix == prefix
    assert set(facts.files) == {*STATE, "raft/wal-v3-encrypted/0.tmp"}
    module.extract(facts, tmp_path / "target")
    assert tree(tmp_path / "target") == STATE


def by_hand(tmp_path: Path, *more: tuple[tarfile.TarInfo, bytes], without: str = "-") -> Path:
    members = [entry("./" + name, content) for name, content in STATE.items() if not name.startswith(without)]
    return pack(tmp_path / "by-hand.tar.gz", [*members, *more])


@pytest.mark.parametrize(
    ("without", "more", "cause"),
    [
        ("raft", [], "no .wal file"),
        ("docker-state.json", [], "0 files docker-state.json"),
        ("-", [entry("old/docker-state.json", b"{}")], "2 files docker-state.json"),
        ("certificates/swarm-node.crt", [], "swarm-node.crt is missing"),
        ("-", [entry("x", type=tarfile.SYMTYPE, linkname="y")], "symbolic link"),
        ("-", [entry("../x", b"x")], "may lead elsewhere"),
        ("-", [entry("state.json", b"x")], "twice"),
        ("-", [entry("state.json/x", b"x")], "both a file and a directory"),
    ],
)
def test_tar_files_made_by_hand_obey_the_same_rules(
    without: str, more: list[tuple[tarfile.TarInfo, bytes]], cause: str, tmp_path: Path
) -> None:
    with pytest.raises(BadArchive, match=cause):
        module.verify(by_hand(tmp_path, *more, without=without), allow_missing_manifest=True)


def test_tar_file_with_more_than_the_state_directory(tmp_path: Path) -> None:
    members = [entry("swarm/" + name, content) for name, content in STATE.items()]
    path = pack(tmp_path / "x.tar.gz", [*members, entry("etc/passwd", b"x")])
    with pytest.raises(BadArchive, match="etc/passwd is outside the state directory"):
        module.verify(path, allow_missing_manifest=True)


def test_room_for_a_tar_file_made_by_hand(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="there is room for 1000"):
        module.verify(by_hand(tmp_path), allow_missing_manifest=True, room=1000)


# Extracting


def test_extracted_state_is_the_archived_one(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    old = os.umask(0o077)
    try:
        module.extract(module.verify(archive), target)
    finally:
        os.umask(old)
    assert tree(target) == STATE
    assert (target / "raft/snap-v3-encrypted").is_dir()
    assert {path.stat().st_mode & 0o7777 for path in [target, *target.rglob("*")] if path.is_dir()} == {0o700}
    modes = {path.name: path.stat().st_mode & 0o7777 for path in target.rglob("*") if path.is_file()}
    assert {name for name, mode in modes.items() if mode == 0o644} == {"swarm-node.crt", "swarm-root-ca.crt"}
    assert {mode for mode in modes.values() if mode != 0o644} == {0o600}
    if os.geteuid() == 0:
        assert {(path.stat().st_uid, path.stat().st_gid) for path in [target, *target.rglob("*")]} == {(0, 0)}


def test_modes_of_a_careless_tar_file_are_tightened(tmp_path: Path) -> None:
    members = [entry(name, content, mode=0o777) for name, content in STATE.items()]
    path = pack(tmp_path / "x.tar.gz", members)
    module.extract(module.verify(path, allow_missing_manifest=True), tmp_path / "target")
    assert (tmp_path / "target/certificates/swarm-node.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "target/certificates/swarm-node.crt").stat().st_mode & 0o777 == 0o644


def test_extracting_over_something_is_refused(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target/precious").touch()
    with pytest.raises(SwarmError, match="File exists"):
        module.extract(module.verify(archive), tmp_path / "target")
    assert (tmp_path / "target/precious").exists()


@pytest.mark.parametrize(
    "change",
    [
        replace("swarm/state.json", b"{}"),
        replace("swarm/state.json", b"{} "),
        append(entry("swarm/more", b"x")),
        lambda members: members.append(members.pop()),
    ],
)
def test_archive_exchanged_after_its_verification(change: Tamper, archive: Path, tmp_path: Path) -> None:
    facts = module.verify(archive)
    tampered(archive, change).rename(archive)
    with pytest.raises(BadArchive, match="changed after it had been verified"):
        module.extract(facts, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_full_disk_leaves_no_half_extracted_state(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = module.verify(archive)

    def full(*dummy: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write_all", full)
    with pytest.raises(SwarmError, match="No space left"):
        module.extract(facts, tmp_path / "target")
    assert not (tmp_path / "target").exists()


# Listing and retention

TIMES = [f"2026-11-{day:02}T00:00:00Z" for day in (3, 1, 5, 2, 4)]


@pytest.fixture
def backups(state_dir: Path, tmp_path: Path) -> Path:
    for created in TIMES:
        write(state_dir, tmp_path / "backups", created=created)
    return tmp_path / "backups"


def test_archives_are_listed_newest_first_and_bad_ones_with_their_problem(backups: Path, state_dir: Path) -> None:
    bad = backups / "swarm_blue_nodeid_20261103T120000Z.tar.gz"
    bad.write_bytes(b"x")
    (backups / "notes.txt").touch()
    (backups / "swarm_blue_nodeid_20261106T000000Z.tar.gz").symlink_to("nowhere")
    listed = module.list_archives(backups)
    assert [found.created[8:13] for found in listed] == ["06T00", "05T00", "04T00", "03T12", "03T00", "02T00", "01T00"]
    assert [found.problem is None for found in listed] == [False, True, True, False, True, True, True]
    assert "not a tar file" in str(listed[3].problem)


def test_no_directory_has_no_archives(tmp_path: Path) -> None:
    assert module.list_archives(tmp_path / "missing") == []
    (tmp_path / "file").touch()
    with pytest.raises(SwarmError, match="Not a directory"):
        module.list_archives(tmp_path / "file")


def days(paths: list[Path]) -> list[str]:
    return [path.name.split("_")[3][6:8] for path in paths]


def test_prune_keeps_the_newest(backups: Path) -> None:
    assert days(module.prune(backups, cluster="clusterid", node="nodeid", keep=3)) == ["02", "01"]
    assert sorted(days(list(backups.iterdir()))) == ["03", "04", "05"]
    assert module.prune(backups, cluster="clusterid", node="nodeid", keep=3) == []


def test_prune_always_keeps_one(backups: Path) -> None:
    assert days(module.prune(backups, cluster="clusterid", node="nodeid", keep=0)) == ["04", "03", "02", "01"]


def test_prune_leaves_what_is_not_its_own(backups: Path, state_dir: Path) -> None:
    other = write(state_dir, backups, created="2026-10-01T00:00:00Z", node="other")
    bad = backups / "swarm_blue_nodeid_20261001T000000Z.tar.gz"
    bad.write_bytes(b"x")
    notes = backups / "notes.txt"
    notes.touch()
    assert len(module.prune(backups, cluster="clusterid", node="nodeid", keep=1)) == 4
    assert module.prune(backups, cluster="another", node="nodeid", keep=1) == []
    assert other.exists() and bad.exists() and notes.exists()


def test_prune_spares_the_newest_sound_archive(backups: Path) -> None:
    for day in ("05", "04"):
        path = backups / f"swarm_blue_nodeid_202611{day}T000000Z.tar.gz"
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[-20_000] ^= 0xFF
        path.write_bytes(gzip.compress(bytes(content)))
    assert days(module.prune(backups, cluster="clusterid", node="nodeid", keep=1)) == ["04", "02", "01"]
    assert sorted(days(list(backups.iterdir()))) == ["03", "05"]


def test_prune_removes_what_a_killed_backup_left(backups: Path) -> None:
    dead = backups / ".swarm_blue_nodeid_20261001T000000Z.tar.gz.abc123.partial"
    written = backups / ".swarm_blue_nodeid_20261001T000000Z.tar.gz.abc124.partial"
    foreign = backups / ".swarm_notes.partial"
    for path in (dead, written, foreign):
        path.touch()
        os.utime(path, (time.time() - 90_000,) * 2)
    with open(written, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert module.prune(backups, cluster="clusterid", node="nodeid", keep=5) == []
    assert (dead.exists(), written.exists(), foreign.exists()) == (False, True, True)


def test_prune_goes_by_the_age_where_files_cannot_be_locked(backups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*dummy: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    dead = backups / ".swarm_blue_nodeid_20261001T000000Z.tar.gz.abc123.partial"
    fresh = backups / ".swarm_blue_nodeid_20261123T000000Z.tar.gz.abc123.partial"
    for path in (dead, fresh):
        path.touch()
    os.utime(dead, (time.time() - 90_000,) * 2)
    assert module.prune(backups, cluster="clusterid", node="nodeid", keep=5) == []
    assert (dead.exists(), fresh.exists()) == (False, True)


def test_a_partial_file_is_locked_until_it_has_its_name(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it is verified; and one that a retention run took before it was locked is made anew."""
    made = tempfile.mkstemp
    locks: list[str] = []

    def taken_once(**options: Any) -> Any:
        descriptor, path = made(**options)
        if not locks:
            os.unlink(path)
        locks.append(path)
        return descriptor, path

    def verify(path: Path, **options: Any) -> module.ArchiveFacts:
        with open(path, "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return verified(path, **options)

    verified = module.verify
    monkeypatch.setattr("tempfile.mkstemp", taken_once)
    monkeypatch.setattr(module, "verify", verify)
    assert write(state_dir, tmp_path / "backups").exists()
    assert len(locks) == 2
