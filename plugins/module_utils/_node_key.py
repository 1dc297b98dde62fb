# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows certificates/swarm-node.key: sealed or open, does this unlock key fit, and how a sealed key is opened.

Pure: bytes in, bytes out; no file is touched. The format is SwarmKit's (moby/swarmkit ca/keyreadwriter.go,
manager/deks.go, manager/encryption): a PEM block whose headers carry C(kek-version) and, on a manager, C(raft-dek), the
key of the raft store. Autolock seals the PKCS#8 body and the raft-dek under the unlock key.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import re
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, MissingLibrary, WrongKey
from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import ProtobufError, integer, message, octets
from ansible_collections.quorate.swarm.plugins.module_utils._raft_seal import RaftKeys

try:
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    HAS_NACL = True
except ImportError:
    HAS_NACL = False

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

KEK_VERSION = "kek-version"
RAFT_DEK = "raft-dek"
RAFT_DEK_PENDING = "raft-dek-pending"
RAFT_DEK_NEEDS_ROTATION = "raft-dek-needs-rotation"

_READ = "read swarm-node.key"
_OPEN = "open swarm-node.key"
_DAMAGED = "The file is damaged; use another backup, or copy it again"
_UNLOCK_KEY = re.compile(r"SWMKEY-1-([A-Za-z0-9+/]{43})")
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\n(.*?)-----END \1-----", re.DOTALL)
_LABELS = {"PRIVATE KEY": "pkcs8", "ENCRYPTED PRIVATE KEY": "pkcs8", "EC PRIVATE KEY": "legacy"}
_CLEAR, _SECRETBOX, _FERNET = 0, 1, 2
_DEK_BYTES = 32
_BASE64_LINE = 64
_FINGERPRINT_DOMAIN = b"quorate.swarm unlock key\0"


@dataclasses.dataclass(frozen=True)
class NodeKey:
    """The content of swarm-node.key, not opened.

    Attributes:
        sealed: The key is encrypted under an unlock key (autolock was on).
        kek_version: Version index of the cluster object when this unlock key was adopted; 0 on the manager that created
            an autolocked swarm, and when the file does not say (lab fact B3.1).
        headers: The PEM headers as they are written. They hold the key of the raft store in clear when not sealed.
        body: The DER bytes of the block.
        form: C(pkcs8), what every engine since 18.09 writes; C(legacy), the EC PRIVATE KEY block of older ones;
            C(fips), a raft-dek sealed with Fernet, which only FIPS builds write.
    """

    sealed: bool
    kek_version: int
    headers: t.Mapping[str, str] = dataclasses.field(repr=False)
    body: bytes = dataclasses.field(repr=False)
    form: str = "pkcs8"

    @property
    def has_raft_dek(self) -> bool:
        """Whether the file carries the key of a raft store: a manager's does, a worker's does not."""
        return RAFT_DEK in self.headers

    @property
    def rotation_pending(self) -> bool:
        """Whether the key of the raft store is being exchanged, or is about to be (autolock was just switched on)."""
        return RAFT_DEK_PENDING in self.headers or RAFT_DEK_NEEDS_ROTATION in self.headers


@dataclasses.dataclass(frozen=True)
class _Record:
    """SwarmKit's MaybeEncryptedRecord: algorithm=1, data=2, nonce=3."""

    algorithm: int
    data: bytes = dataclasses.field(repr=False)
    nonce: bytes = dataclasses.field(repr=False)


def parse_unlock_key(text: str) -> bytes:
    """Read an unlock key as C(docker swarm unlock-key) prints it.

    Stricter than Docker, which accepts a key with characters appended or no characters at all: the key has no checksum,
    so the form is the only thing that tells a slip of the pen from a wrong key.

    Args:
        text: C(SWMKEY-1-) and 43 characters of unpadded base64; white space around it is ignored.

    Returns:
        The 32 bytes of the key. Several spellings decode to the same bytes, so keys are compared as bytes.

    Raises:
        WrongKey: The text has another form. The text is never repeated in the message.
    """
    match = _UNLOCK_KEY.fullmatch(text.strip())
    if match is None:
        raise WrongKey(
            "read the unlock key",
            "it is not what docker swarm unlock-key -q prints, 52 characters in all",
            "Give the key as docker swarm unlock-key printed it",
        )
    return base64.b64decode(match.group(1) + "=")


def unlock_key_text(key: bytes) -> str:
    """An unlock key as C(docker swarm unlock-key) prints it. A secret.

    Args:
        key: The 32 bytes of the unlock key.
    """
    return "SWMKEY-1-" + base64.b64encode(key).decode("ascii").rstrip("=")


def fingerprint(key: bytes) -> str:
    """The public name of an unlock key: the same key always has the same one, and it tells nothing about the key.

    Args:
        key: The 32 bytes of the unlock key. They are random, so the digest cannot be guessed back.

    Returns:
        C(uk1:) and 32 hexadecimal digits, the first half of a SHA-256.
    """
    return "uk1:" + hashlib.sha256(_FINGERPRINT_DOMAIN + key).hexdigest()[:32]


def parse_node_key(pem: bytes) -> NodeKey:
    """Read swarm-node.key without opening it.

    Args:
        pem: The content of the file.

    Raises:
        BadArchive: It is not a node key: no PEM block or several, an unknown kind of block, headers or base64 that do
            not parse, or a seal and a raft-dek that contradict each other.
    """
    try:
        text = pem.decode("ascii").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BadArchive(_READ, f"byte {error.start} is not ASCII text", _DAMAGED) from None
    blocks = list(_PEM.finditer(text))
    if len(blocks) != 1 or _PEM.sub("", text).strip():
        raise BadArchive(_READ, "it is not one single PEM block", _DAMAGED)
    label, content = blocks[0].groups()
    if label not in _LABELS:
        raise BadArchive(_READ, f"the PEM block is a {label}, not a private key", _DAMAGED)
    headers, body = _split_block(content)
    sealed = label == "ENCRYPTED PRIVATE KEY" or headers.get("Proc-Type", "").endswith("ENCRYPTED")
    records = [_parse_record(name, headers[name]) for name in (RAFT_DEK, RAFT_DEK_PENDING) if name in headers]
    for record in records:
        if (record.algorithm == _CLEAR) == sealed:
            state = "sealed but its raft-dek is in clear" if sealed else "open but its raft-dek is sealed"
            raise BadArchive(_READ, f"the key is {state}", _DAMAGED)
    return NodeKey(
        sealed=sealed,
        kek_version=_parse_version(headers.get(KEK_VERSION, "0")),
        headers=headers,
        body=body,
        form="fips" if any(record.algorithm == _FERNET for record in records) else _LABELS[label],
    )


def opens(node_key: NodeKey, key: bytes) -> bool:
    """Whether the unlock key opens this node key, proven by the authenticated seal of its raft-dek.

    Args:
        node_key: What parse_node_key read.
        key: The 32 bytes of the unlock key.

    Returns:
        True as well when the node key is not sealed: it needs no unlock key.

    Raises:
        BadArchive: The key is sealed in a form this collection does not open, or has no raft-dek to prove it on.
        MissingLibrary: PyNaCl is needed and not installed.
    """
    if not node_key.sealed:
        return True
    try:
        _unseal_deks(node_key, key)
    except WrongKey:
        return False
    return True


def first_that_opens(node_key: NodeKey, keys: t.Iterable[bytes]) -> bytes | None:
    """Return the first unlock key that opens this node key; None when none does.

    Raises:
        BadArchive: As opens.
        MissingLibrary: As opens.
    """
    return next((key for key in keys if opens(node_key, key)), None)


def open_node_key(node_key: NodeKey, key: bytes) -> bytes:
    """Write a sealed node key as one that an engine starts from without unlock.

    The kek-version becomes 0: with any number that the cluster object has reached, C(--force-new-cluster --autolock)
    ends in "candidate KEK has the same version as the current KEK, but a different KEK value" (lab fact B4.11).

    Args:
        node_key: What parse_node_key read. An open one is only written anew.
        key: The 32 bytes of the unlock key.

    Returns:
        The PEM text. It holds the private key and the key of the raft store in clear: mode 0600, on the restored host
        only.

    Raises:
        WrongKey: The unlock key does not open this node key.
        BadArchive: The node key is of a form this collection does not open, or is damaged.
        MissingLibrary: PyNaCl or cryptography is needed and not installed.
    """
    deks = _unseal_deks(node_key, key)
    headers = {**node_key.headers, KEK_VERSION: "0"}
    for name, dek in deks.items():
        headers[name] = base64.b64encode(bytes((0x12, _DEK_BYTES)) + dek).decode("ascii")
    body = _load_private_key(node_key, key).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _render("PRIVATE KEY", headers, body)


def raft_keys(node_key: NodeKey, key: bytes | None = None) -> RaftKeys:
    """The keys of the raft store. While they are exchanged there are two, and records under either.

    Args:
        node_key: What parse_node_key read.
        key: The 32 bytes of the unlock key; needed for a sealed node key only.

    Raises:
        WrongKey: The unlock key does not open this node key.
        BadArchive: The node key is of a form this collection does not open, or has no key of a raft store.
        MissingLibrary: PyNaCl is needed and not installed.
    """
    deks = _unseal_deks(node_key, key or b"")
    if RAFT_DEK not in deks:
        raise BadArchive(_OPEN, "it has no raft-dek, so nothing opens the raft store", "Use another backup")
    return RaftKeys(deks[name] for name in (RAFT_DEK_PENDING, RAFT_DEK) if name in deks)


def public_key(node_key: NodeKey, key: bytes | None = None) -> bytes:
    """The public half, to compare with the node certificate's.

    Args:
        node_key: What parse_node_key read.
        key: The 32 bytes of the unlock key; needed for a sealed node key only.

    Returns:
        SubjectPublicKeyInfo, DER.

    Raises:
        WrongKey: The unlock key does not open this node key.
        BadArchive: The node key is of a form this collection does not open, or is damaged.
        MissingLibrary: PyNaCl or cryptography is needed and not installed.
    """
    if node_key.sealed:
        _unseal_deks(node_key, key or b"")
    public: bytes = (
        _load_private_key(node_key, key)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return public


def _split_block(content: str) -> tuple[dict[str, str], bytes]:
    """Headers and decoded body of a PEM block (RFC 1421: headers, one empty line, base64)."""
    headers: dict[str, str] = {}
    lines = content.split("\n")
    while lines and ":" in lines[0]:
        name, dummy, value = lines.pop(0).partition(":")
        if name in headers:
            raise BadArchive(_READ, f"the header {name} is there twice", _DAMAGED)
        headers[name] = value.strip()
    try:
        body = base64.b64decode("".join(line.strip() for line in lines), validate=True)
    except binascii.Error:
        raise BadArchive(_READ, "the body of the PEM block is not base64", _DAMAGED) from None
    if not body:
        raise BadArchive(_READ, "the PEM block is empty", _DAMAGED)
    return headers, body


def _parse_version(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise BadArchive(_READ, "the header kek-version is not a number", _DAMAGED)
    return int(text)


def _parse_record(name: str, value: str) -> _Record:
    """The raft-dek of a header. Its lengths are checked here, so that a wrong unlock key is the only thing left."""
    try:
        read = message(base64.b64decode(value, validate=True))
        record = _Record(integer(read, 1), octets(read, 2), octets(read, 3))
    except (binascii.Error, ProtobufError):
        raise BadArchive(_READ, f"the header {name} does not parse", _DAMAGED) from None
    lengths = (len(record.data), len(record.nonce))
    expected = {_CLEAR: (_DEK_BYTES, 0), _SECRETBOX: (_DEK_BYTES + 16, 24)}
    if record.algorithm not in (_CLEAR, _SECRETBOX, _FERNET):
        raise BadArchive(_READ, f"the header {name} is sealed with the unknown algorithm {record.algorithm}", _DAMAGED)
    if lengths != expected.get(record.algorithm, lengths):
        raise BadArchive(_READ, f"the header {name} has the wrong length", _DAMAGED)
    return record


def _refuse_unsupported(node_key: NodeKey) -> None:
    """Open keys of every form are read; of the sealed ones, only those that engines since 18.09 write."""
    if not node_key.sealed:
        return
    if node_key.form == "fips":
        raise BadArchive(
            _OPEN,
            "its raft-dek is sealed with Fernet, as FIPS builds of the engine do, which this collection does not open",
            "Restore it with the engine that wrote it",
        )
    if node_key.form == "legacy":
        raise BadArchive(
            _OPEN,
            "it is an EC PRIVATE KEY block, as engines before 18.09 wrote it, which this collection does not open",
            "Start it once with an engine of 18.09 or newer, and make a new backup",
        )


def _unseal_deks(node_key: NodeKey, key: bytes) -> dict[str, bytes]:
    """The keys of the raft store by header name, opened with the unlock key where they are sealed.

    Raises:
        WrongKey: The seal does not open.
        BadArchive: The node key is of a form this collection does not open, or is sealed without a raft-dek.
        MissingLibrary: PyNaCl is needed and not installed.
    """
    _refuse_unsupported(node_key)
    names = [name for name in (RAFT_DEK, RAFT_DEK_PENDING) if name in node_key.headers]
    records = {name: _parse_record(name, node_key.headers[name]) for name in names}
    if not node_key.sealed:
        return {name: record.data for name, record in records.items()}
    if RAFT_DEK not in records:
        raise BadArchive(_OPEN, "it is sealed, but has no raft-dek header", _DAMAGED)
    if not HAS_NACL:
        raise MissingLibrary(
            _OPEN, "PyNaCl is not installed", "Install python3-nacl (Debian, Ubuntu), python3-pynacl (RHEL with EPEL)"
        )
    try:
        box = SecretBox(key)
        return {name: box.decrypt(record.data, record.nonce) for name, record in records.items()}
    except (CryptoError, ValueError):
        raise WrongKey(
            _OPEN,
            f"the unlock key {fingerprint(key)} does not fit",
            "Use the unlock key that was current on this manager when the backup was made",
            fingerprint=fingerprint(key),
        ) from None


def _load_private_key(node_key: NodeKey, key: bytes | None) -> t.Any:
    """The private key object. DER, for cryptography before 42 cannot read a PEM block with such headers."""
    _refuse_unsupported(node_key)
    if not HAS_CRYPTOGRAPHY:
        raise MissingLibrary(
            _OPEN, "cryptography is not installed", "Install python3-cryptography (Debian, Ubuntu, RHEL)"
        )
    try:
        return serialization.load_der_private_key(node_key.body, password=key if node_key.sealed else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadArchive(_OPEN, "its PKCS#8 body is damaged, though its raft-dek is not", _DAMAGED) from None


def _render(label: str, headers: t.Mapping[str, str], body: bytes) -> bytes:
    """A PEM block with its headers sorted, as Go's encoding/pem writes it."""
    encoded = base64.b64encode(body).decode("ascii")
    lines = [f"-----BEGIN {label}-----"]
    lines += [f"{name}: {headers[name]}" for name in sorted(headers)]
    lines += [""] if headers else []
    lines += [encoded[start : start + _BASE64_LINE] for start in range(0, len(encoded), _BASE64_LINE)]
    return "\n".join([*lines, f"-----END {label}-----", ""]).encode("ascii")
