# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore that must not be is refused with its own reason, and the host is afterwards what it was, to the byte.

Everything is allowed to each restore but what it is refused for, so that without its guard it would go through.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import ask, node_id
from helpers.restore import (
    MANIFEST,
    Member,
    engine_off,
    engine_on,
    fetch,
    file_member,
    give,
    leftovers,
    local,
    managers,
    pack,
    read_manifest,
    snapshot,
    special_member,
    unpack,
    with_manifest,
    without_manifest,
)
from helpers.runner import RunModule, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

ANOTHER_KEY = "SWMKEY-1-" + "A" * 43


@dataclass(frozen=True)
class Scene:
    """A host whose engine is stopped, with the state of a swarm, and archives that could be restored there.

    Attributes:
        key: The unlock key of *sealed*.
        sealed: Archive of an autolocked swarm that was on this host before.
        plain: Archive of the swarm whose state is on the host.
    """

    lab: Lab
    host: Host
    key: str = field(repr=False)
    sealed: Path
    plain: Path


def back_up(lab: Lab, host: Host, module: RunModule, directory: Path) -> Path:
    result = module(lab, host.name, "swarm_backup", allow_control_plane_outage=True)
    return fetch(host, result["archive"], directory)


def new_swarm(host: Host, *, autolock: bool = False) -> None:
    body = {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": host.address,
        "Spec": {"EncryptionConfig": {"AutoLockManagers": autolock}},
    }
    ask(host, "POST", "/swarm/init", body)


@pytest.fixture(scope="module")
def scene(lab_factory: LabFactory, module: RunModule, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    directory = tmp_path_factory.mktemp("archives")
    lab = lab_factory(1, 0, autolock=True)
    m1, key = lab.host("m1"), lab.unlock_key
    assert key
    sealed = back_up(lab, m1, module, directory)
    m1.docker("swarm", "leave", "--force")
    new_swarm(m1)
    plain = back_up(lab, m1, module, directory)
    engine_off(m1)
    return Scene(lab, m1, key, sealed, plain)


@pytest.fixture
def stopped(scene: Scene) -> Scene:
    if scene.host.run("systemctl is-active docker.service", check=False).stdout.strip() != "inactive":
        engine_off(scene.host)
    return scene


@pytest.fixture
def running(scene: Scene) -> Scene:
    engine_on(scene.host)
    wait_until(lambda: local(scene.host)["ControlAvailable"], timeout=90, what="the manager")
    return scene


@pytest.fixture
def refused(scene: Scene, module: RunModule) -> Callable[..., str]:
    """Restore on the host of the scene, see it refused and the host unchanged, and return the message."""

    def run(archive: str, *, error: str, live: bool = False, **options: Any) -> str:
        options = {"replace_state": True, "allow_other_cluster": True, "archive": archive, **options}
        before = snapshot(scene.host, live=live)
        result = module(scene.lab, scene.host.name, "swarm_restore", **options)
        assert result["failed"] and not result.get("changed"), result
        assert snapshot(scene.host, live=live) == before
        assert result["error"] == error, result
        assert leftovers(scene.host) == []
        message: str = result["msg"]
        return message

    return run


# -- archives that no engine should start from -----------------------------------------------------------------------


Change = Callable[[list[Member]], list[Member]]


def leave_out(*names: str) -> Change:
    """A change of an archive: without what is below *names*."""
    return lambda members: [member for member in members if not member[0].name.startswith(names)]


def add(*extra: Member) -> Change:
    """A change of an archive: with more members at its end."""
    return lambda members: [*members, *extra]


def cut_short(data: bytearray) -> bytearray:
    return data[: len(data) * 2 // 3]


def flip_in_the_middle(data: bytearray) -> bytearray:
    """One bit among the encrypted entries of the WAL. In the zeros after them, it may well stand for the same zeros."""
    data[8192] ^= 0x10
    return data


def flip_in_the_trailer(data: bytearray) -> bytearray:
    """One bit of the CRC-32 with which gzip ends: all files are as they were."""
    data[-8] ^= 0x01
    return data


CRT = "swarm/certificates/swarm-node.crt"
NO_CRT = ("certificates/swarm-node.crt is missing", "would delete the whole state directory", "use another archive")
NO_RAFT = ("raft/wal-v3-encrypted has no .wal file", "with an empty swarm", "use another archive")
LEADS_ELSEWHERE = ("may lead elsewhere", "do not trust this archive")
NO_PLAIN_FILE = ("plain files and directories only", "do not trust this archive")
USE_ANOTHER = "use another one, or copy it again"

#: Archives with other members than a backup has, and the words that say so.
CHANGED: dict[str, tuple[Change, tuple[str, ...]]] = {
    "certificate-missing": (leave_out(CRT), NO_CRT),
    "raft-missing": (leave_out("swarm/raft"), NO_RAFT),
    "parent-path": (add(file_member("../evil", b"evil")), ("member ../evil", *LEADS_ELSEWHERE)),
    "absolute-path": (add(file_member("/etc/evil", b"evil")), ("member /etc/evil", *LEADS_ELSEWHERE)),
    "symbolic-link": (
        add(special_member("swarm/link", tarfile.SYMTYPE, "/etc/shadow")),
        ("member swarm/link is a symbolic link", *NO_PLAIN_FILE),
    ),
    "hard-link": (
        add(special_member("swarm/link", tarfile.LNKTYPE, CRT)),
        ("member swarm/link is a hard link", *NO_PLAIN_FILE),
    ),
    "fifo": (add(special_member("swarm/pipe", tarfile.FIFOTYPE)), ("member swarm/pipe is a FIFO", *NO_PLAIN_FILE)),
    "device": (
        add(special_member("swarm/disk", tarfile.BLKTYPE)),
        ("member swarm/disk is a block device", *NO_PLAIN_FILE),
    ),
    "duplicate": (add(file_member(CRT, b"")), (f"member {CRT} is there twice", USE_ANOTHER)),
    "not-in-manifest": (
        add(file_member("swarm/more", b"")),
        ("member swarm/more is not in its manifest", USE_ANOTHER),
    ),
    "manifest-missing": (without_manifest, (f"its first member is not {MANIFEST}", "set allow_missing_manifest")),
    "by-hand-certificate-missing": (lambda members: without_manifest(leave_out(CRT)(members)), NO_CRT),
    "by-hand-raft-missing": (lambda members: without_manifest(leave_out("swarm/raft")(members)), NO_RAFT),
    "by-hand-parent-path": (
        lambda members: without_manifest([*members, file_member("../evil", b"evil")]),
        ("member ../evil", *LEADS_ELSEWHERE),
    ),
}
#: Archives that were damaged on their way.
DAMAGED: dict[str, tuple[Callable[[bytearray], bytearray], tuple[str, ...]]] = {
    "cut-short": (cut_short, ("damaged or cut short (Compressed file ended", USE_ANOTHER)),
    # it depends on what the bit is whether the compressed data makes no sense, or makes another file
    "flipped-in-the-middle": (flip_in_the_middle, (USE_ANOTHER,)),
    "flipped-in-the-trailer": (flip_in_the_trailer, ("damaged or cut short (CRC check failed", USE_ANOTHER)),
}
#: Archives whose manifest is of another cluster, or of another node, than the state that is with it.
MIXED = ("cluster", "node")


@dataclass(frozen=True)
class Verdicts:
    """What became of the restores of bad archives, and what the host looked like before and after all of them."""

    results: dict[str, dict[str, Any]]
    before: dict[str, Any]
    after: dict[str, Any]
    left: list[str]


@pytest.fixture(scope="module")
def verdicts(scene: Scene, playbook: RunPlaybook, tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """All bad archives, one after the other in one run of Ansible."""
    directory = tmp_path_factory.mktemp("bad")
    members, data = unpack(scene.plain), scene.plain.read_bytes()
    for name, (change, dummy) in CHANGED.items():
        pack(change(members), directory / name)
    for name, (damage, dummy) in DAMAGED.items():
        (directory / name).write_bytes(damage(bytearray(data)))
    for what in MIXED:
        said = read_manifest(scene.sealed)[what]["id"]
        pack(with_manifest(members, lambda manifest: manifest[what].update(id=said)), directory / f"mixed-{what}")  # noqa: B023
    names = sorted(path.name for path in directory.iterdir())
    for name in names:
        give(directory / name, scene.host, name)
    restore = {
        "archive": "/root/{{ item }}",
        "allow_missing_manifest": "{{ item.startswith('by-hand-') }}",
        "replace_state": True,
    }
    keep = {"content": "{{ hostvars['m1'].verdicts.results | to_json }}", "dest": str(directory / "verdicts.json")}
    plays = [
        {
            "hosts": "m1",
            "gather_facts": False,
            "tasks": [
                {
                    "quorate.swarm.swarm_restore": restore,
                    "loop": names,
                    "register": "verdicts",
                    "ignore_errors": True,
                },
                {"ansible.builtin.copy": {**keep, "mode": "0600"}, "delegate_to": "localhost"},
            ],
        }
    ]
    before = snapshot(scene.host)
    playbook(scene.lab, plays)
    results = json.loads((directory / "verdicts.json").read_text())
    return Verdicts({result["item"]: result for result in results}, before, snapshot(scene.host), leftovers(scene.host))


def check(verdicts: Verdicts, name: str, words: Sequence[str]) -> None:
    result = verdicts.results[name]
    assert result["failed"] and not result.get("changed"), result
    assert result["error"] == "bad_archive"
    assert [word for word in words if word not in result["msg"]] == [], result["msg"]


@pytest.mark.parametrize("name", CHANGED)
def test_changed_archive(verdicts: Verdicts, name: str) -> None:
    check(verdicts, name, CHANGED[name][1])


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_archive(verdicts: Verdicts, name: str) -> None:
    check(verdicts, name, DAMAGED[name][1])


@pytest.mark.parametrize("what", MIXED)
def test_archive_put_together_from_two(scene: Scene, verdicts: Verdicts, what: str) -> None:
    said, found = (read_manifest(path)[what]["id"] for path in (scene.sealed, scene.plain))
    words = (f"its manifest is of {what} {said}, its certificate of {what} {found}", "put together from two")
    check(verdicts, f"mixed-{what}", words)


def test_no_bad_archive_changes_the_host(verdicts: Verdicts) -> None:
    assert verdicts.after == verdicts.before
    assert verdicts.left == []


def test_archive_not_there(stopped: Scene, refused: Callable[..., str]) -> None:
    message = refused("/root/nowhere.tar.gz", error="bad_archive")
    assert "/root/nowhere.tar.gz: No such file or directory" in message
    assert "Give the path of a readable archive file" in message


# -- unlock keys -----------------------------------------------------------------------------------------------------


def test_unlock_key_missing(stopped: Scene, refused: Callable[..., str]) -> None:
    message = refused(give(stopped.sealed, stopped.host), error="wrong_key")
    assert "its swarm is autolocked, and no unlock key was given" in message
    assert f"fingerprint {read_manifest(stopped.sealed)['unlock_key_fingerprint']} as unlock_key" in message


def test_unlock_key_malformed(stopped: Scene, refused: Callable[..., str]) -> None:
    message = refused(give(stopped.sealed, stopped.host), error="wrong_key", unlock_key=f"{stopped.key}=")
    assert "52 characters in all" in message
    assert "Give the key as docker swarm unlock-key printed it" in message
    assert stopped.key.removeprefix("SWMKEY-1-") not in message


def test_unlock_key_of_another_swarm(running: Scene, refused: Callable[..., str]) -> None:
    """The engine runs and goes on running: the key is tried on the archive."""
    message = refused(give(running.sealed, running.host), error="wrong_key", live=True, unlock_key=ANOTHER_KEY)
    assert "does not" in message and "swarm-node.key" in message


# -- hosts -----------------------------------------------------------------------------------------------------------


def test_state_of_another_swarm(stopped: Scene, refused: Callable[..., str], module: RunModule) -> None:
    archive = give(stopped.sealed, stopped.host)
    message = refused(archive, error="refused", unlock_key=stopped.key, allow_other_cluster=False)
    archived, found = (read_manifest(path)["cluster"]["id"] for path in (stopped.sealed, stopped.plain))
    assert f"the archive is of swarm {archived}, and this host has the state of another one, {found}" in message
    assert "set allow_other_cluster" in message
    options: dict[str, Any] = {"archive": archive, "unlock_key": stopped.key, "replace_state": True}
    allowed = module(
        stopped.lab, stopped.host.name, "swarm_restore", check_mode=True, allow_other_cluster=True, **options
    )
    assert not allowed.get("failed"), allowed


def test_state_of_a_stopped_engine(stopped: Scene, refused: Callable[..., str]) -> None:
    message = refused(give(stopped.plain, stopped.host), error="refused", replace_state=False)
    assert "its state directory holds the state of a swarm, although the engine is down" in message
    assert "Set replace_state" in message


def test_member_of_a_living_swarm(running: Scene, refused: Callable[..., str]) -> None:
    message = refused(give(running.plain, running.host), error="refused", live=True, replace_state=False)
    assert "its engine is in a swarm already (state manager" in message
    assert "Set replace_state" in message


def test_another_address_and_an_older_engine(stopped: Scene, module: RunModule, tmp_path: Path) -> None:
    """An archive of engine 28.5 on an engine 20.10, first on a host with another address, then with the same."""
    lab = stopped.lab
    newer = lab.add("newer", engine="28.5")
    new_swarm(newer)
    archive = back_up(lab, newer, module, tmp_path)
    version = read_manifest(archive)["engine"]["version"]
    address = newer.address
    lab.rm("newer")

    taken = {address, *(host.address for host in lab.hosts.values())}
    free = next(each for each in lab.network.addresses() if each not in taken)
    other = lab.add("other", address=free, engine="20.10")
    before = snapshot(other)
    result = module(lab, "other", "swarm_restore", archive=give(archive, other))
    assert result["error"] == "refused"
    assert f"the archived manager has the address {address}, this host has" in result["msg"]
    assert other.address in result["msg"] and "restore_move_address" in result["msg"]
    assert snapshot(other) == before

    older = lab.add("older", address=address, engine="20.10")
    before = snapshot(older)
    options: dict[str, Any] = {"archive": give(archive, older)}
    result = module(lab, "older", "swarm_restore", **options)
    assert result["error"] == "refused"
    assert f"the archive was made by engine {version}, and this host has the older 20.10" in result["msg"]
    assert "set allow_engine_downgrade" in result["msg"]
    allowed = module(lab, "older", "swarm_restore", check_mode=True, allow_engine_downgrade=True, **options)
    assert not allowed.get("failed"), allowed
    assert snapshot(older) == before


# -- a quorum that lives ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quorum:
    """Three managers, and one of them, whose engine is stopped, with an archive of it. The other two live."""

    lab: Lab
    stopped: Host
    others: tuple[Host, Host]
    archive: Path

    def lives(self) -> bool:
        return managers(self.others[0]) == {other.name for other in self.others}


@pytest.fixture(scope="module")
def quorum(lab_factory: LabFactory, module: RunModule, tmp_path_factory: pytest.TempPathFactory) -> Quorum:
    lab = lab_factory(3, 0)
    m2 = lab.host("m2")
    archive = back_up(lab, m2, module, tmp_path_factory.mktemp("archives"))
    give(archive, m2)
    engine_off(m2)
    return Quorum(lab, m2, (lab.host("m1"), lab.host("m3")), archive)


def test_living_quorum(quorum: Quorum, module: RunModule) -> None:
    before = snapshot(quorum.stopped)
    result = module(quorum.lab, "m2", "swarm_restore", archive="/root/archive.tar.gz", replace_state=True)
    assert result["error"] == "refused", result
    assert "another manager of this swarm may be alive" in result["msg"]
    for other in quorum.others:
        assert f"{other.address}:2377: manager {node_id(other)} of this swarm answers" in result["msg"]
    assert "rejoin the broken manager" in result["msg"]
    assert {peer["state"] for peer in result["error_details"]["peers"]} == {"alive"}
    assert snapshot(quorum.stopped) == before
    assert quorum.lives()


def test_living_quorum_that_the_host_does_not_see(quorum: Quorum, playbook: RunPlaybook) -> None:
    """The host is cut off from the others, which live. The controller sees them; to name them as lost is no way out."""
    before = snapshot(quorum.stopped)
    variables = {
        "restore_host": "m2",
        "restore_archive": str(quorum.archive),
        "restore_replace_state": True,
        "restore_confirmed": True,
        "restore_lost_managers": ["m1", "m3"],
    }
    quorum.lab.partition(["m2"])
    try:
        run = playbook(quorum.lab, "restore", variables, check_rc=False)
    finally:
        quorum.lab.heal()
    assert run.rc != 0
    text = run.readable()
    for name in ("m1", "m3"):
        assert f"{name}: its engine runs as a member of swarm {read_manifest(quorum.archive)['cluster']['id']}" in text
    assert "stop docker.socket and docker.service there" in text
    assert snapshot(quorum.stopped) == before
    assert quorum.lives()
