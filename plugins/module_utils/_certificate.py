# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the certificates of a swarm node: whose they are, who issued them, how long they last. Pure.

A node certificate says O = cluster ID, OU = swarm-manager or swarm-worker, CN = node ID (moby/swarmkit
ca/certificates.go). Its file may hold an intermediate after the leaf, and the file of the root CA two roots while the CA
is being rotated.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import hashlib
import re
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, MissingLibrary

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.x509.oid import ExtensionOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s(.*?)-----END CERTIFICATE-----", re.DOTALL)
_ROLES = {"swarm-manager": "manager", "swarm-worker": "worker"}
_READ = "read the certificate"
_DAMAGED = "The file is damaged; use another backup, or copy it again"
#: How far back the validity of a node certificate begins (moby/swarmkit ca/certificates.go, CertBackdate).
_BACKDATE = datetime.timedelta(hours=1)


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A node certificate.

    Attributes:
        node_id: Node ID.
        role: C(manager) or C(worker).
        cluster_id: Cluster ID.
        not_before: Begin of validity, ISO 8601 in UTC; the engine sets it one hour back.
        not_after: End of validity, ISO 8601 in UTC. An engine does not start a swarm with an expired certificate.
        public_key: SubjectPublicKeyInfo, DER.
    """

    node_id: str
    role: str
    cluster_id: str
    not_before: str
    not_after: str
    public_key: bytes = dataclasses.field(repr=False)


def describe(pem: bytes) -> Certificate:
    """Read a node certificate, the first of its file.

    Raises:
        BadArchive: There is no certificate, it is damaged, or it is not one of a swarm node.
        MissingLibrary: cryptography is not installed.
    """
    certificate = _load(_blocks(pem)[0])
    role = _ROLES.get(_name(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME))
    node_id, cluster_id = _name(certificate, NameOID.COMMON_NAME), _name(certificate, NameOID.ORGANIZATION_NAME)
    if role is None or not node_id or not cluster_id:
        raise BadArchive(_READ, "it is not the certificate of a swarm node", "Give a swarm node's state directory")
    return Certificate(
        node_id=node_id,
        role=role,
        cluster_id=cluster_id,
        not_before=_iso(certificate, "not_valid_before"),
        not_after=_iso(certificate, "not_valid_after"),
        public_key=certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )


def expires(pem: bytes) -> str:
    """When the first certificate of a file ends, whatever it is for; ISO 8601 in UTC.

    Raises:
        BadArchive: There is no certificate, or it is damaged.
        MissingLibrary: cryptography is not installed.
    """
    return _iso(_load(_blocks(pem)[0]), "not_valid_after")


def digest(pem: bytes) -> str:
    """Hexadecimal SHA-256 of the DER form of the first certificate of a file. Needs no library.

    Raises:
        BadArchive: There is no certificate.
    """
    return hashlib.sha256(_blocks(pem)[0]).hexdigest()


def is_issued_by(pem: bytes, roots: bytes) -> bool:
    """Whether the first certificate of a file leads to one of the roots, directly or over the others in its file.

    Args:
        pem: Content of swarm-node.crt.
        roots: Content of swarm-root-ca.crt.

    Raises:
        BadArchive: One of the files has no certificate, or a damaged one.
        MissingLibrary: cryptography is not installed.
    """
    leaf, *intermediates = (_load(block) for block in _blocks(pem))
    anchors = [_load(block) for block in _blocks(roots)]
    trusted = anchors + [each for each in intermediates if any(_signed_by(each, anchor) for anchor in anchors)]
    return any(_signed_by(leaf, issuer) for issuer in trusted)


def reissue(pem: bytes, *, ca_certificate: bytes, ca_key: bytes, now: float) -> bytes:
    """Issue a node certificate again: the same subject, names, key and uses, valid from now on for as long as it was.

    Args:
        pem: Content of swarm-node.crt; what follows the first certificate is kept.
        ca_certificate: The root CA certificate, PEM.
        ca_key: Its private key, PEM.
        now: Seconds since 1970.

    Returns: the new content of swarm-node.crt.

    Raises:
        BadArchive: One of them is damaged, or the key is not the key of the CA certificate.
        MissingLibrary: cryptography is not installed.
    """
    leaf, *others = _blocks(pem)
    old, authority = _load(leaf), _load(_blocks(ca_certificate)[0])
    try:
        key: t.Any = serialization.load_pem_private_key(ca_key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadArchive("issue a node certificate", "the CA key of the swarm cannot be read", _DAMAGED) from None
    if key.public_key().public_numbers() != authority.public_key().public_numbers():
        raise BadArchive("issue a node certificate", "the CA key is not the key of the CA certificate", _DAMAGED)
    begin = datetime.datetime.fromtimestamp(int(now), tz=datetime.timezone.utc) - _BACKDATE
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(authority.subject)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + (_moment(old, "not_valid_after") - _moment(old, "not_valid_before")))
        .add_extension(_key_identifier(authority), critical=False)
    )
    for extension in old.extensions:
        if extension.oid != ExtensionOID.AUTHORITY_KEY_IDENTIFIER:
            builder = builder.add_extension(extension.value, critical=extension.critical)
    issued: bytes = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return issued + b"".join(_pem(other) for other in others)


def _key_identifier(authority: t.Any) -> t.Any:
    """What an issued certificate says about the key of its issuer."""
    try:
        own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())


def _pem(der: bytes) -> bytes:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""]).encode("ascii")


def _blocks(pem: bytes) -> list[bytes]:
    """The DER form of each certificate of a file."""
    try:
        found = [base64.b64decode(b"".join(body.split()), validate=True) for body in _PEM.findall(pem)]
    except binascii.Error:
        raise BadArchive(_READ, "it is not base64", _DAMAGED) from None
    if not found:
        raise BadArchive(_READ, "there is no PEM certificate in the file", _DAMAGED)
    return found


def _load(der: bytes) -> t.Any:
    if not HAS_CRYPTOGRAPHY:
        raise MissingLibrary(
            _READ, "cryptography is not installed", "Install python3-cryptography (Debian, Ubuntu, RHEL)"
        )
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.public_key()  # newer versions parse it only when asked
    except ValueError:
        raise BadArchive(_READ, "it is not an X.509 certificate", _DAMAGED) from None
    return certificate


def _name(certificate: t.Any, attribute: t.Any) -> str:
    found = certificate.subject.get_attributes_for_oid(attribute)
    return str(found[0].value) if found else ""


def _iso(certificate: t.Any, attribute: str) -> str:
    return str(_moment(certificate, attribute).strftime("%Y-%m-%dT%H:%M:%SZ"))


def _moment(certificate: t.Any, attribute: str) -> t.Any:
    """A date of validity. cryptography 42 deprecated the attributes without time zone."""
    return getattr(certificate, attribute + "_utc", None) or getattr(certificate, attribute)


def _signed_by(certificate: t.Any, issuer: t.Any) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    key = issuer.public_key()
    signature = (certificate.signature, certificate.tbs_certificate_bytes)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(*signature, ec.ECDSA(certificate.signature_hash_algorithm))
        elif isinstance(key, rsa.RSAPublicKey):  # an external CA may use it
            key.verify(*signature, padding.PKCS1v15(), certificate.signature_hash_algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True
