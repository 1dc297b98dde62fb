# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import calendar
import datetime
import time
from pathlib import Path
from typing import Any, Callable, Mapping

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nacl.secret import SecretBox

from ansible_collections.quorate.swarm.plugins.module_utils import _certificate, _raft_store
from ansible_collections.quorate.swarm.plugins.module_utils import _state_facts as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, MissingLibrary, WrongKey
from ansible_collections.quorate.swarm.plugins.module_utils._raft_store import RaftPosition

UNLOCK_KEY = bytes(range(32))
CA_KEY = ec.generate_private_key(ec.SECP256R1())
NODE_KEY = ec.generate_private_key(ec.SECP256R1())
BEGIN, END = datetime.datetime(2026, 11, 1), datetime.datetime(2027, 2, 1)
NOW = calendar.timegm((2026, 11, 23, 0, 0, 0))
POSITION = RaftPosition(
    term=2, commit_index=9, last_index=10, snapshot_term=0, snapshot_index=0, node_id="nodeid", raft_id=1
)


def name(**attributes: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(getattr(NameOID, key), value) for key, value in attributes.items()])


def certificate(
    *,
    role: str = "swarm-manager",
    node_id: str = "nodeid",
    ca_key: ec.EllipticCurvePrivateKey = CA_KEY,
    end: datetime.datetime = END,
    root: bool = False,
) -> bytes:
    ca_name = name(COMMON_NAME="swarm-ca")
    subject = name(ORGANIZATION_NAME="clusterid", ORGANIZATIONAL_UNIT_NAME=role, COMMON_NAME=node_id)
    return (
        x509.CertificateBuilder()
        .subject_name(ca_name if root else subject)
        .issuer_name(ca_name)
        .public_key((ca_key if root else NODE_KEY).public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(end)
        .sign(ca_key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def node_key(*, sealed: bool = False, raft_dek: bool = True, key: ec.EllipticCurvePrivateKey = NODE_KEY) -> bytes:
    encryption: Any = serialization.BestAvailableEncryption(UNLOCK_KEY) if sealed else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    dek = b"D" * 32
    record = b"\x12\x20" + dek
    if sealed:
        box = SecretBox(UNLOCK_KEY).encrypt(dek, bytes(24))
        record = b"\x08\x01\x12\x30" + box.ciphertext + b"\x1a\x18" + box.nonce
    headers = b"kek-version: 18\n"
    if raft_dek:
        headers += b"raft-dek: " + base64.b64encode(record) + b"\n"
    return pem.replace(b"KEY-----\n", b"KEY-----\n" + headers + b"\n", 1)


ROOT = certificate(root=True)
MANAGER = {
    "docker-state.json": b'{"LocalAddr": "192.0.2.11", "AdvertiseAddr": "192.0.2.99:2377"}',
    "state.json": b'[{"node_id": "other", "addr": "192.0.2.12:2377"}, {"node_id": "nodeid", "addr": "192.0.2.11:2377"}]',
    "certificates/swarm-node.crt": certificate(),
    "certificates/swarm-node.key": node_key(),
    "certificates/swarm-root-ca.crt": ROOT,
}
WORKER = {
    **MANAGER,
    "certificates/swarm-node.crt": certificate(role="swarm-worker"),
    "certificates/swarm-node.key": node_key(raft_dek=False),
}

State = Callable[..., Path]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """Return a function that makes a state directory; its raft store, tested elsewhere, is read as POSITION."""
    monkeypatch.setattr(_raft_store, "position", lambda directory: POSITION)

    def make(files: Mapping[str, bytes | None] | None = None) -> Path:
        for path, content in (files or MANAGER).items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            if content is not None:
                (tmp_path / path).write_bytes(content)
        return tmp_path

    return make


def changed(path: str, content: bytes | None) -> dict[str, bytes | None]:
    return {**MANAGER, path: content}


def test_manager(state: State) -> None:
    facts = module.check_state(state(), now=NOW)
    assert facts == module.StateFacts(
        docker_state={"LocalAddr": "192.0.2.11", "AdvertiseAddr": "192.0.2.99:2377"},
        known_managers=(("other", "192.0.2.12:2377"), ("nodeid", "192.0.2.11:2377")),
        certificate=_certificate.describe(MANAGER["certificates/swarm-node.crt"]),
        root_ca_sha256=_certificate.digest(ROOT),
        root_ca_expires="2027-02-01T00:00:00Z",
        sealed=False,
        kek_version=18,
        raft=POSITION,
    )
    assert (facts.node_id, facts.cluster_id, facts.role) == ("nodeid", "clusterid", "manager")
    assert facts.certificate_expires == "2027-02-01T00:00:00Z"


def test_worker_has_no_raft_store(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def position(directory: Path) -> RaftPosition:
        raise BadArchive("read", "there is no .wal file")

    monkeypatch.setattr(_raft_store, "position", position)
    facts = module.check_state(state(WORKER), now=NOW)
    assert (facts.role, facts.raft, facts.sealed) == ("worker", None, False)


def test_address_is_that_of_the_raft_member(state: State) -> None:
    assert module.read_state(state()).address == "192.0.2.11:2377"


@pytest.mark.parametrize(
    ("docker_state", "address"),
    [
        (b'{"AdvertiseAddr": "192.0.2.99:2377", "LocalAddr": "192.0.2.11"}', "192.0.2.99:2377"),
        (b'{"AdvertiseAddr": "", "LocalAddr": "192.0.2.11"}', "192.0.2.11"),
        (b"{}", None),
    ],
)
def test_address_without_list_of_managers(docker_state: bytes, address: str | None, state: State) -> None:
    directory = state({**changed("state.json", None), "docker-state.json": docker_state})
    assert module.check_state(directory, now=NOW).address == address


def test_sealed_key(state: State) -> None:
    directory = state(changed("certificates/swarm-node.key", node_key(sealed=True)))
    assert module.check_state(directory, now=NOW).sealed
    assert module.check_state(directory, unlock_key=UNLOCK_KEY, now=NOW).sealed
    with pytest.raises(WrongKey, match="does not fit"):
        module.check_state(directory, unlock_key=bytes(32), now=NOW)


@pytest.mark.parametrize(
    ("path", "content", "cause"),
    [
        ("docker-state.json", None, "would not find a swarm"),
        ("docker-state.json", b'{"LocalAddr"', "not a JSON object: an engine would not start"),
        ("docker-state.json", b"[]", "not a JSON object"),
        ("docker-state.json", b"\xff", "not a JSON object"),
        ("docker-state.json", b"[" * 200_000, "not a JSON object"),
        ("state.json", b"[{", "no list of managers: an engine would not start"),
        ("state.json", b'[{"addr": "x"}]', "no list of managers"),
        ("state.json", b"1", "no list of managers"),
        ("state.json", b"[" * 200_000, "no list of managers"),
        ("certificates/swarm-node.crt", None, "delete the whole state directory"),
        ("certificates/swarm-node.crt", b"x", "no PEM certificate"),
        ("certificates/swarm-node.crt", ROOT, "not the certificate of a swarm node"),
        ("certificates/swarm-node.crt", certificate(node_id="other"), "its WAL belongs to node nodeid"),
        ("certificates/swarm-node.crt", certificate(ca_key=NODE_KEY), "not issued by certificates/swarm-root-ca.crt"),
        ("certificates/swarm-node.crt", certificate(end=datetime.datetime(2026, 11, 22)), "expired at 2026-11-22T00"),
        ("certificates/swarm-node.key", None, "could not open the raft store"),
        ("certificates/swarm-node.key", b"x", "not one single PEM block"),
        ("certificates/swarm-node.key", node_key(raft_dek=False), "has no raft-dek"),
        ("certificates/swarm-node.key", node_key(key=CA_KEY), "not the key of certificates/swarm-node.crt"),
        ("certificates/swarm-root-ca.crt", None, "would crash at its start"),
        ("certificates/swarm-root-ca.crt", b"x", "no PEM certificate"),
        (
            "certificates/swarm-root-ca.crt",
            certificate(root=True, end=datetime.datetime(2026, 11, 22)),
            "expired at 2026-11-22T00",
        ),
        ("worker/tasks.db", b"x" * 8192, "neither of its two meta pages is valid"),
    ],
)
def test_problem_is_named_with_its_file(path: str, content: bytes | None, cause: str, state: State) -> None:
    directory = state(changed(path, content))
    with pytest.raises(BadArchive) as caught:
        module.check_state(directory, now=NOW)
    assert cause in str(caught.value)
    assert str(directory) in str(caught.value)
    facts = module.read_state(directory, now=NOW)
    assert [str(problem) for problem in facts.problems] == [str(caught.value)]


def test_certificate_that_is_not_valid_yet(state: State) -> None:
    with pytest.raises(BadArchive, match="Set the clock"):
        module.check_state(state(), now=calendar.timegm((2026, 10, 31, 0, 0, 0)))


def test_the_current_time_counts(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    module.check_state(state())


def test_damaged_raft_store(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    damage = BadArchive("read a segment", "the checksum does not match")

    def position(directory: Path) -> RaftPosition:
        raise damage

    monkeypatch.setattr(_raft_store, "position", position)
    with pytest.raises(BadArchive, match="checksum"):
        module.check_state(state(), now=NOW)
    facts = module.read_state(state(), now=NOW)
    assert (facts.raft, facts.problems, facts.node_id) == (None, (damage,), "nodeid")


def test_the_raft_store_is_left_out_where_that_is_asked(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def position(directory: Path) -> RaftPosition:
        raise AssertionError("it was read")

    monkeypatch.setattr(_raft_store, "position", position)
    facts = module.read_state(state(), now=NOW, with_raft=False)
    assert (facts.raft, facts.problems, facts.node_id, facts.cluster_id) == (None, (), "nodeid", "clusterid")


def test_raft_store_of_a_running_engine_is_read_again(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def position(directory: Path) -> RaftPosition:
        attempts.append(directory)
        if len(attempts) == 1:
            raise BadArchive("read a segment", "the last frame is half written")
        return POSITION

    monkeypatch.setattr(_raft_store, "position", position)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    facts = module.read_state(state(), now=NOW, live=True)
    assert (facts.raft, facts.problems, len(attempts)) == (POSITION, (), 2)


def test_tasks_of_a_running_engine_are_read_again(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = state(changed("worker/tasks.db", b"half written"))
    monkeypatch.setattr(time, "sleep", lambda seconds: (directory / "worker/tasks.db").write_bytes(b""))
    assert module.read_state(directory, now=NOW, live=True).problems == ()


def test_tasks_that_cannot_be_read(state: State) -> None:
    directory = state()
    (directory / "worker/tasks.db").mkdir(parents=True)
    with pytest.raises(BadArchive, match="Is a directory"):
        module.check_state(directory, now=NOW)


def test_warnings_of_the_raft_store(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    warned = RaftPosition(1, 1, 1, 0, 0, "nodeid", 1, ("it was repaired",))
    monkeypatch.setattr(_raft_store, "position", lambda directory: warned)
    assert module.check_state(state(), now=NOW).warnings == ("it was repaired",)


def test_nothing_there(tmp_path: Path) -> None:
    facts = module.read_state(tmp_path / "missing")
    assert (facts.node_id, facts.cluster_id, facts.role, facts.address, facts.raft) == (None,) * 5
    assert [problem.details["path"].split("missing/")[1] for problem in facts.problems] == [
        "docker-state.json",
        "certificates/swarm-node.crt",
        "certificates/swarm-node.key",
        "certificates/swarm-root-ca.crt",
        "raft/wal-v3-encrypted",
    ]


def test_missing_library(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_certificate, "HAS_CRYPTOGRAPHY", False)
    with pytest.raises(MissingLibrary, match="python3-cryptography"):
        module.check_state(state(), now=NOW)
    facts = module.read_state(state(), now=NOW)
    assert (facts.node_id, facts.sealed, facts.raft) == (None, False, POSITION)
    assert facts.root_ca_sha256


def test_cluster_id(state: State, tmp_path: Path) -> None:
    assert module.read_cluster_id(state()) == "clusterid"
    assert module.read_cluster_id(tmp_path / "missing") is None
    assert module.read_cluster_id(state(changed("certificates/swarm-node.crt", b"x"))) is None
