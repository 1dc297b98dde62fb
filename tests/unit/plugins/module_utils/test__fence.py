# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.quorate.swarm.plugins.module_utils import _fence as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import MissingLibrary

KEY = ec.generate_private_key(ec.SECP256R1())
#: Seconds that no probe of a test takes; one that should end by itself fails instead of hanging.
SOON = 5.0

Conversation = Callable[[socket.socket], None]


def certificate(**attributes: str) -> bytes:
    """The PEM form of key and certificate with this subject."""
    subject = x509.Name([x509.NameAttribute(getattr(NameOID, key), value) for key, value in attributes.items()])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm-ca")]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2026, 1, 1))
        .not_valid_after(datetime.datetime(2026, 4, 1))  # as long as it says whose it is, it may be out of date
        .sign(KEY, hashes.SHA256())
    )
    key = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key + made.public_bytes(serialization.Encoding.PEM)


def node_certificate(cluster: str, *, role: str = "swarm-manager", node: str = "node1") -> bytes:
    """What an engine shows at its cluster port (moby/swarmkit ca/certificates.go)."""
    return certificate(ORGANIZATION_NAME=cluster, ORGANIZATIONAL_UNIT_NAME=role, COMMON_NAME=node)


@contextlib.contextmanager
def listening(conversation: Conversation) -> Iterator[str]:
    """Listen on the loopback, hold one conversation, and return the address."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(SOON)

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, dummy = server.accept()
                with connection:
                    conversation(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(SOON)


def speaking_tls(tmp_path: Path, pem: bytes, heard: list[Any] | None = None) -> Conversation:
    """A manager's side of the handshake: it shows a certificate, and asks for one as swarmkit does.

    Args:
        tmp_path: Place for a file.
        pem: Key and certificate.
        heard: Takes the application protocol that was agreed on.
    """
    file = tmp_path / "node.pem"
    file.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["h2"])

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
            if heard is not None:
                heard.append(secured.selected_alpn_protocol())
            secured.recv(1)

    return talk


def probe(conversation: Conversation, *, cluster_id: str = "blue", timeout: float = SOON) -> module.Peer:
    with listening(conversation) as address:
        peer = module.probe(address, cluster_id=cluster_id, timeout=timeout)
        assert peer.address == address
        return peer


# What answers


@pytest.mark.parametrize("role", ["swarm-manager", "swarm-worker"])
def test_a_node_of_the_swarm_is_alive(tmp_path: Path, role: str) -> None:
    peer = probe(speaking_tls(tmp_path, node_certificate("blue", role=role)))
    assert (peer.state, peer.detail) == ("alive", "manager node1 of this swarm answers")


def test_the_protocol_of_a_manager_is_spoken(tmp_path: Path) -> None:
    """The cluster port is gRPC, whose servers insist on HTTP/2."""
    heard: list[Any] = []
    probe(speaking_tls(tmp_path, node_certificate("blue"), heard))
    assert heard == ["h2"]


def test_a_manager_of_another_swarm_is_told_by_its_certificate(tmp_path: Path) -> None:
    peer = probe(speaking_tls(tmp_path, node_certificate("green")))
    assert (peer.state, peer.detail) == ("other", "it is a manager of swarm green")


def test_a_certificate_that_is_not_one_of_a_swarm_is_unclear(tmp_path: Path) -> None:
    peer = probe(speaking_tls(tmp_path, certificate(COMMON_NAME="www.example.org")))
    assert peer.state == "unclear"
    assert peer.detail == "its certificate is not one of a swarm (it is not the certificate of a swarm node)"


def test_a_port_that_nobody_listens_on_is_closed() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        peer = module.probe(address, cluster_id="blue", timeout=SOON)
    assert (peer.state, peer.detail) == ("closed", "the host is up and no manager listens")


def speak_plainly(connection: socket.socket) -> None:
    connection.recv(1)
    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")


def hang_up(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.mark.parametrize("conversation", [speak_plainly, hang_up])
def test_what_speaks_no_tls_is_unclear(conversation: Conversation) -> None:
    peer = probe(conversation)
    assert peer.state == "unclear"
    assert peer.detail.startswith("something listens there, but its TLS fails (")


def test_what_accepts_and_says_nothing_is_unclear_in_time() -> None:
    said = threading.Event()
    peer_states = []

    def say_nothing(dummy: socket.socket) -> None:
        said.wait(SOON)

    with listening(say_nothing) as address:
        peer_states.append(module.probe(address, cluster_id="blue", timeout=0.05).state)
        said.set()
    assert peer_states == ["unclear"]


@pytest.mark.parametrize(
    "error",
    [TimedOutOrSo("timed out") for TimedOutOrSo in (socket.timeout, OSError)] + [socket.gaierror(-2, "unknown")],
)
def test_no_answer_at_all_is_silent_and_no_proof(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def connect(address: Any, timeout: float) -> Any:
        raise error

    monkeypatch.setattr(module.socket, "create_connection", connect)
    peer = module.probe("192.0.2.1:2377", cluster_id="blue")
    assert (peer.state, peer.detail) == ("silent", f"no answer ({error})")


def test_without_a_certificate_it_is_unclear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ssl.SSLSocket, "getpeercert", lambda dummy, binary_form: None)
    peer = probe(speaking_tls(tmp_path, node_certificate("blue")))
    assert (peer.state, peer.detail) == ("unclear", "something listens there without a certificate")


def test_without_the_library_nothing_is_called_alive_or_dead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module._certificate, "HAS_CRYPTOGRAPHY", False)
    with listening(speaking_tls(tmp_path, node_certificate("blue"))) as address, pytest.raises(MissingLibrary):
        module.probe(address, cluster_id="blue", timeout=SOON)


# Several at once


def test_all_addresses_are_asked_once_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3, timeout=SOON)
    asked: list[tuple[str, str, float]] = []

    def ask(address: str, *, cluster_id: str, timeout: float) -> module.Peer:
        asked.append((address, cluster_id, timeout))
        together.wait()
        return module.Peer(address, "silent", "")

    monkeypatch.setattr(module, "probe", ask)
    peers = module.probe_all(["c:1", "a:1", "b:1", "a:1"], cluster_id="blue", timeout=7)
    assert [peer.address for peer in peers] == ["a:1", "b:1", "c:1"]
    assert sorted(asked) == [("a:1", "blue", 7), ("b:1", "blue", 7), ("c:1", "blue", 7)]


def test_a_swarm_of_one_manager_has_no_peers() -> None:
    assert module.probe_all([], cluster_id="blue") == []


# Addresses


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1:2377", ("192.0.2.1", 2377)),
        ("192.0.2.1:12377", ("192.0.2.1", 12377)),
        ("192.0.2.1", ("192.0.2.1", 2377)),
        ("[2001:db8::1]:12377", ("2001:db8::1", 12377)),
        ("[2001:db8::1]", ("2001:db8::1", 2377)),
        ("2001:db8::1", ("2001:db8::1", 2377)),
    ],
)
def test_split_address(address: str, expected: tuple[str, int]) -> None:
    assert module.split_address(address) == expected
