# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.secret import SecretBox

from ansible_collections.quorate.swarm.plugins.module_utils import _node_key as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, MissingLibrary, WrongKey
from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import message

# Made by SwarmKit's own code: key 00..1f and the plaintext "hello swarm" sealed under it.
KEY = bytes(range(32))
KEY_TEXT = "SWMKEY-1-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
SWARMKIT_RECORD = (
    "0801121b5f1567c2926a05a6f59f2adddc25a98eef820c5660e97eec9982211a1819edd3b008e7cb91ce3430e974f36e7f4df6d32f98817f0d"
)
OTHER_KEY = bytes(range(1, 33))
DEK = b"D" * 32
PENDING_DEK = b"P" * 32
PRIVATE_KEY = ec.derive_private_key(0xA5A5, ec.SECP256R1())


def clear_record(dek: bytes) -> bytes:
    return b"\x12\x20" + dek


def sealed_record(dek: bytes, key: bytes = KEY) -> bytes:
    box = SecretBox(key).encrypt(dek, bytes(24))
    return b"\x08\x01\x12\x30" + box.ciphertext + b"\x1a\x18" + box.nonce


def block(label: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\n".join(
        [
            f"-----BEGIN {label}-----",
            *lines,
            "",
            base64.encodebytes(body).decode().strip(),
            f"-----END {label}-----",
            "",
        ]
    ).encode()


def pkcs8(key: bytes | None = None) -> bytes:
    encryption: Any = serialization.BestAvailableEncryption(key) if key else serialization.NoEncryption()
    return PRIVATE_KEY.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, encryption)


def sealed_pem(key: bytes = KEY, *, pending: bool = False, needs_rotation: bool = False) -> bytes:
    headers: dict[str, str] = {"kek-version": "18", "raft-dek": base64.b64encode(sealed_record(DEK, key)).decode()}
    if pending:
        headers["raft-dek-pending"] = base64.b64encode(sealed_record(PENDING_DEK, key)).decode()
    if needs_rotation:
        headers["raft-dek-needs-rotation"] = "true"
    return block("ENCRYPTED PRIVATE KEY", headers, pkcs8(key))


def open_pem() -> bytes:
    headers = {"kek-version": "19", "raft-dek": base64.b64encode(clear_record(DEK)).decode()}
    return block("PRIVATE KEY", headers, pkcs8())


def header_bytes(node_key: module.NodeKey, name: str) -> bytes:
    return base64.b64decode(node_key.headers[name])


def test_unlock_key_of_swarmkit() -> None:
    assert module.parse_unlock_key(f" {KEY_TEXT}\n") == KEY


def test_unlock_key_spellings_of_the_last_character_are_the_same_key() -> None:
    assert {module.parse_unlock_key(KEY_TEXT[:-1] + last) for last in "89+/"} == {KEY}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SWMKEY-1-",
        KEY_TEXT[:-1],
        KEY_TEXT + "A",
        KEY_TEXT + "=",
        KEY_TEXT.lower(),
        KEY_TEXT.replace("SWMKEY-1-", "SWMKEY-2-"),
        KEY_TEXT.replace("SWMKEY-1-", "SWMTKN-1-"),
        KEY_TEXT[:20] + "-" + KEY_TEXT[21:],
        f"{KEY_TEXT} {KEY_TEXT}",
        f"{KEY_TEXT}\n#",
        KEY_TEXT[:30] + "\u00e9" + KEY_TEXT[31:],
    ],
)
def test_unlock_key_of_another_form_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(WrongKey) as caught:
        module.parse_unlock_key(text)
    assert KEY_TEXT[9:30] not in str(caught.value)


def test_fingerprint_is_stable_and_tells_keys_apart() -> None:
    assert module.fingerprint(KEY) == "uk1:733737a62c3c264e16bcf88f8f9793a6"
    assert re.fullmatch(r"uk1:[0-9a-f]{32}", module.fingerprint(OTHER_KEY))
    assert module.fingerprint(KEY) != module.fingerprint(OTHER_KEY)


def test_sealed_key() -> None:
    node_key = module.parse_node_key(sealed_pem())
    assert (node_key.sealed, node_key.kek_version, node_key.form) == (True, 18, "pkcs8")
    assert node_key.has_raft_dek
    assert not node_key.rotation_pending


def test_open_key() -> None:
    node_key = module.parse_node_key(open_pem())
    assert (node_key.sealed, node_key.kek_version, node_key.form) == (False, 19, "pkcs8")
    assert node_key.body == pkcs8()


def test_key_with_windows_line_ends() -> None:
    assert module.parse_node_key(open_pem().replace(b"\n", b"\r\n")).body == pkcs8()


def test_worker_key_without_raft_dek() -> None:
    node_key = module.parse_node_key(block("PRIVATE KEY", {}, pkcs8()))
    assert (node_key.sealed, node_key.kek_version, node_key.has_raft_dek) == (False, 0, False)


@pytest.mark.parametrize("pem", [sealed_pem(pending=True), sealed_pem(needs_rotation=True)], ids=["pending", "needs"])
def test_rotation_of_the_raft_key_is_seen(pem: bytes) -> None:
    assert module.parse_node_key(pem).rotation_pending


def test_nothing_secret_in_the_representation() -> None:
    shown = repr(module.parse_node_key(open_pem()))
    assert "raft-dek" not in shown
    assert "body" not in shown


def test_record_of_swarmkit_opens() -> None:
    record = message(bytes.fromhex(SWARMKIT_RECORD))
    data, nonce = record[2], record[3]
    assert isinstance(data, bytes) and isinstance(nonce, bytes)
    assert SecretBox(KEY).decrypt(data, nonce) == b"hello swarm"


def test_right_and_wrong_unlock_key() -> None:
    node_key = module.parse_node_key(sealed_pem(pending=True))
    assert module.opens(node_key, KEY)
    assert not module.opens(node_key, OTHER_KEY)
    assert not module.opens(node_key, KEY[:31])


def test_an_open_key_needs_no_unlock_key() -> None:
    assert module.opens(module.parse_node_key(open_pem()), OTHER_KEY)


@pytest.mark.parametrize("pending", [False, True])
def test_opened_key_is_one_that_an_engine_starts_from(pending: bool) -> None:
    pem = module.open_node_key(module.parse_node_key(sealed_pem(pending=pending)), KEY)
    node_key = module.parse_node_key(pem)
    assert (node_key.sealed, node_key.kek_version) == (False, 0)
    assert header_bytes(node_key, "raft-dek") == clear_record(DEK)
    assert ("raft-dek-pending" in node_key.headers) == pending
    if pending:
        assert header_bytes(node_key, "raft-dek-pending") == clear_record(PENDING_DEK)
    opened: Any = serialization.load_der_private_key(node_key.body, None)
    assert opened.private_numbers() == PRIVATE_KEY.private_numbers()


def test_opened_key_keeps_the_other_headers_and_the_shape_of_the_file() -> None:
    pem = module.open_node_key(module.parse_node_key(sealed_pem(needs_rotation=True)), KEY)
    lines = pem.decode().split("\n")
    assert lines[0] == "-----BEGIN PRIVATE KEY-----"
    assert lines[1] == "kek-version: 0"
    assert lines[2].startswith("raft-dek: EiBE")
    assert lines[3:5] == ["raft-dek-needs-rotation: true", ""]
    assert len(lines[5]) == 64
    assert lines[-2:] == ["-----END PRIVATE KEY-----", ""]


def test_opening_what_is_open_changes_nothing() -> None:
    opened = module.open_node_key(module.parse_node_key(sealed_pem()), KEY)
    assert module.open_node_key(module.parse_node_key(opened), OTHER_KEY) == opened


def test_wrong_key_is_named_by_its_fingerprint_only() -> None:
    with pytest.raises(WrongKey) as caught:
        module.open_node_key(module.parse_node_key(sealed_pem()), OTHER_KEY)
    assert module.fingerprint(OTHER_KEY) in str(caught.value)
    assert base64.b64encode(OTHER_KEY).decode()[:20] not in str(caught.value)


def test_public_key_of_sealed_and_open_key_is_the_same() -> None:
    sealed = module.public_key(module.parse_node_key(sealed_pem()), KEY)
    assert sealed == module.public_key(module.parse_node_key(open_pem()))
    with pytest.raises(WrongKey):
        module.public_key(module.parse_node_key(sealed_pem()), OTHER_KEY)
    with pytest.raises(WrongKey):
        module.public_key(module.parse_node_key(sealed_pem()))


@pytest.mark.parametrize(
    ("pem", "form"),
    [
        (block("EC PRIVATE KEY", {"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, b"x"), "legacy"),
        (
            block("ENCRYPTED PRIVATE KEY", {"raft-dek": base64.b64encode(b"\x08\x02\x12\x05gAAAA").decode()}, b"der"),
            "fips",
        ),
    ],
    ids=["before 18.09", "FIPS"],
)
def test_unsupported_seals_are_recognised_and_named(pem: bytes, form: str) -> None:
    node_key = module.parse_node_key(pem)
    assert (node_key.form, node_key.sealed) == (form, True)
    with pytest.raises(BadArchive, match=r"FIPS|18\.09"):
        module.open_node_key(node_key, KEY)
    with pytest.raises(BadArchive, match=r"FIPS|18\.09"):
        module.public_key(node_key)


def test_open_key_of_an_engine_before_18_09() -> None:
    der = PRIVATE_KEY.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    node_key = module.parse_node_key(block("EC PRIVATE KEY", {"kek-version": "1"}, der))
    assert (node_key.form, node_key.sealed) == ("legacy", False)
    assert module.public_key(node_key) == module.public_key(module.parse_node_key(open_pem()))


RAFT_DEK_TEXT = base64.b64encode(sealed_record(DEK)).decode()


@pytest.mark.parametrize(
    ("pem", "cause"),
    [
        (b"", "not one single PEM block"),
        (b"\xff\xfe", "byte 0 is not ASCII"),
        (sealed_pem() + sealed_pem(), "not one single PEM block"),
        (b"text\n" + open_pem(), "not one single PEM block"),
        (sealed_pem()[:-20], "not one single PEM block"),
        (open_pem().replace(b"END PRIVATE", b"END PUBLIC"), "not one single PEM block"),
        (block("CERTIFICATE", {}, b"der"), "is a CERTIFICATE"),
        (block("PRIVATE KEY", {"kek-version": "x"}, b"der"), "kek-version is not a number"),
        (block("PRIVATE KEY", {"kek-version": "-1"}, b"der"), "kek-version is not a number"),
        (b"-----BEGIN PRIVATE KEY-----\na: 1\na: 2\n\nAAAA\n-----END PRIVATE KEY-----\n", "header a is there twice"),
        (b"-----BEGIN PRIVATE KEY-----\n\nAA*A\n-----END PRIVATE KEY-----\n", "not base64"),
        (b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "block is empty"),
        (block("ENCRYPTED PRIVATE KEY", {"raft-dek": "***"}, b"der"), "raft-dek does not parse"),
        (block("ENCRYPTED PRIVATE KEY", {"raft-dek": RAFT_DEK_TEXT[:-8]}, b"der"), "raft-dek does not parse"),
        (block("ENCRYPTED PRIVATE KEY", {"raft-dek": "CAESAUE="}, b"der"), "wrong length"),
        (block("ENCRYPTED PRIVATE KEY", {"raft-dek": "CAMSAUE="}, b"der"), "unknown algorithm 3"),
        (block("PRIVATE KEY", {"raft-dek": RAFT_DEK_TEXT}, b"der"), "open but its raft-dek is sealed"),
        (
            block("ENCRYPTED PRIVATE KEY", {"raft-dek": base64.b64encode(clear_record(DEK)).decode()}, b"der"),
            "sealed but its raft-dek is in clear",
        ),
        (
            block("ENCRYPTED PRIVATE KEY", {"raft-dek": RAFT_DEK_TEXT, "raft-dek-pending": "AA=="}, b"der"),
            "raft-dek-pending does not parse",
        ),
    ],
)
def test_malformed_key_file_is_refused_with_its_cause(pem: bytes, cause: str) -> None:
    with pytest.raises(BadArchive, match=cause):
        module.parse_node_key(pem)


def test_sealed_key_without_raft_dek_cannot_be_proven() -> None:
    node_key = module.parse_node_key(block("ENCRYPTED PRIVATE KEY", {"kek-version": "1"}, pkcs8(KEY)))
    with pytest.raises(BadArchive, match="no raft-dek"):
        module.opens(node_key, KEY)


@pytest.mark.parametrize("position", [0, 40, -1])
def test_damaged_body_under_a_sound_seal(position: int) -> None:
    node_key = module.parse_node_key(sealed_pem())
    body = bytearray(node_key.body)
    body[position] ^= 0xFF
    damaged = module.NodeKey(sealed=True, kek_version=0, headers=node_key.headers, body=bytes(body))
    assert module.opens(damaged, KEY)
    with pytest.raises(BadArchive, match="body is damaged"):
        module.open_node_key(damaged, KEY)


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    node_key = module.parse_node_key(sealed_pem())
    monkeypatch.setattr(module, "HAS_CRYPTOGRAPHY", False)
    assert module.opens(node_key, KEY)
    with pytest.raises(MissingLibrary, match="python3-cryptography"):
        module.open_node_key(node_key, KEY)
    monkeypatch.setattr(module, "HAS_NACL", False)
    with pytest.raises(MissingLibrary, match="python3-nacl"):
        module.opens(node_key, KEY)
