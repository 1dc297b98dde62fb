# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from ansible_collections.quorate.swarm.plugins.module_utils import _certificate as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, MissingLibrary

DER = serialization.Encoding.DER
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


def name(**attributes: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(getattr(NameOID, key), value) for key, value in attributes.items()])


@dataclasses.dataclass
class Authority:
    """A certificate authority of the test."""

    subject: x509.Name
    key: Any
    pem: bytes = b""

    def issue(self, subject: x509.Name, key: Any) -> bytes:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(datetime.datetime(2026, 11, 23, 13, 0, 0))
            .not_valid_after(datetime.datetime(2027, 2, 21, 14, 5, 6))
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def authority(common_name: str, key: Any = None) -> Authority:
    made = Authority(name(COMMON_NAME=common_name), key or ec.generate_private_key(ec.SECP256R1()))
    made.pem = made.issue(made.subject, made.key)
    return made


ROOT = authority("swarm-ca")
OTHER_ROOT = authority("swarm-ca")
NODE_KEY = ec.generate_private_key(ec.SECP256R1())
NODE = name(ORGANIZATION_NAME="clusterid", ORGANIZATIONAL_UNIT_NAME="swarm-manager", COMMON_NAME="nodeid")
PEM = ROOT.issue(NODE, NODE_KEY)


def test_certificate_of_a_manager() -> None:
    assert module.describe(PEM) == module.Certificate(
        node_id="nodeid",
        role="manager",
        cluster_id="clusterid",
        not_before="2026-11-23T13:00:00Z",
        not_after="2027-02-21T14:05:06Z",
        public_key=NODE_KEY.public_key().public_bytes(DER, SPKI),
    )


def test_certificate_of_a_worker() -> None:
    worker = name(ORGANIZATION_NAME="clusterid", ORGANIZATIONAL_UNIT_NAME="swarm-worker", COMMON_NAME="nodeid")
    assert module.describe(ROOT.issue(worker, NODE_KEY)).role == "worker"


def test_first_certificate_of_the_file_counts() -> None:
    assert module.describe(PEM + ROOT.pem).node_id == "nodeid"
    assert module.digest(PEM + ROOT.pem) == module.digest(PEM)


def test_digest_is_that_of_the_der_form() -> None:
    der = base64.b64decode(b"".join(PEM.splitlines()[1:-1]))
    assert module.digest(PEM) == hashlib.sha256(der).hexdigest()
    assert module.digest(PEM.replace(b"\n", b"\r\n")) == module.digest(PEM)


def test_end_of_the_root_certificate() -> None:
    assert module.expires(ROOT.pem) == "2027-02-21T14:05:06Z"


def test_issuer() -> None:
    assert module.is_issued_by(PEM, ROOT.pem)
    assert not module.is_issued_by(PEM, OTHER_ROOT.pem)
    assert not module.is_issued_by(PEM, authority("another-ca").pem)


def test_issuer_among_two_roots_of_a_rotation() -> None:
    assert module.is_issued_by(PEM, OTHER_ROOT.pem + ROOT.pem)


def test_issuer_behind_an_intermediate() -> None:
    intermediate = Authority(name(COMMON_NAME="swarm-ca-2"), ec.generate_private_key(ec.SECP256R1()))
    leaf = intermediate.issue(NODE, NODE_KEY)
    link = ROOT.issue(intermediate.subject, intermediate.key)
    assert module.is_issued_by(leaf + link, ROOT.pem)
    assert not module.is_issued_by(leaf, ROOT.pem)
    assert not module.is_issued_by(leaf + link, OTHER_ROOT.pem)


def test_external_authority_with_rsa() -> None:
    external = authority("external", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    assert module.is_issued_by(external.issue(NODE, NODE_KEY), external.pem)
    forged = Authority(external.subject, ROOT.key)
    assert not module.is_issued_by(forged.issue(NODE, NODE_KEY), ROOT.pem + external.pem)


@pytest.mark.parametrize("pem", [b"", b"text", PEM[:-30], PEM.replace(b"CERTIFICATE", b"PRIVATE KEY")])
def test_no_certificate(pem: bytes) -> None:
    with pytest.raises(BadArchive, match="no PEM certificate"):
        module.digest(pem)
    with pytest.raises(BadArchive, match="no PEM certificate"):
        module.describe(pem)


def test_damaged_certificate() -> None:
    with pytest.raises(BadArchive, match="not base64"):
        module.describe(PEM[:100] + b"*" + PEM[100:])
    with pytest.raises(BadArchive, match=r"not an X\.509 certificate"):
        module.describe(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def test_certificate_of_somebody_else() -> None:
    with pytest.raises(BadArchive, match="not the certificate of a swarm node"):
        module.describe(ROOT.pem)


def key_pem(key: Any, form: Any = serialization.PrivateFormat.TraditionalOpenSSL) -> bytes:
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem


AFTER = datetime.datetime(2027, 6, 1, 12, 0, 0, tzinfo=datetime.timezone.utc)


def test_reissued_certificate_is_the_same_but_for_its_validity() -> None:
    issued = module.reissue(PEM, ca_certificate=ROOT.pem, ca_key=key_pem(ROOT.key), now=AFTER.timestamp())
    old, new = module.describe(PEM), module.describe(issued)
    assert (new.not_before, new.not_after) == ("2027-06-01T11:00:00Z", "2027-08-30T12:05:06Z")
    assert dataclasses.replace(new, not_before=old.not_before, not_after=old.not_after) == old
    assert module.is_issued_by(issued, ROOT.pem)
    assert x509.load_pem_x509_certificate(issued).serial_number != 1


def test_reissued_certificate_keeps_its_names_and_uses_and_names_its_issuer() -> None:
    ca = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier(b"the root of the test")
    begin = datetime.datetime(2026, 11, 23)
    root = (
        x509.CertificateBuilder(ROOT.subject, ROOT.subject, ca.public_key(), 1, begin, begin.replace(year=2046))
        .add_extension(identifier, critical=False)
        .sign(ca, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName("swarm-manager"), x509.DNSName("nodeid")])
    leaf = (
        x509.CertificateBuilder(ROOT.subject, NODE, NODE_KEY.public_key(), 1, begin, begin.replace(year=2027))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier(b"another", None, None), critical=False)
        .sign(ca, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    issued = x509.load_pem_x509_certificate(
        module.reissue(
            leaf.public_bytes(pem),
            ca_certificate=root.public_bytes(pem),
            ca_key=key_pem(ca, serialization.PrivateFormat.PKCS8),
            now=AFTER.timestamp(),
        )
    )
    found = {extension.oid: (extension.critical, extension.value) for extension in issued.extensions}
    assert found == {
        x509.OID_SUBJECT_ALTERNATIVE_NAME: (False, names),
        x509.OID_BASIC_CONSTRAINTS: (True, x509.BasicConstraints(ca=False, path_length=None)),
        x509.OID_AUTHORITY_KEY_IDENTIFIER: (False, x509.AuthorityKeyIdentifier(b"the root of the test", None, None)),
    }


def test_reissued_certificate_keeps_what_follows_it() -> None:
    issued = module.reissue(
        PEM + OTHER_ROOT.pem, ca_certificate=ROOT.pem, ca_key=key_pem(ROOT.key), now=AFTER.timestamp()
    )
    assert issued.endswith(OTHER_ROOT.pem)
    assert issued.count(b"BEGIN") == 2


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (b"", "cannot be read"),
        (b"SECRET", "cannot be read"),
        (key_pem(OTHER_ROOT.key), "not the key of the CA certificate"),
        (key_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)), "not the key of the CA certificate"),
    ],
)
def test_certificate_is_not_reissued_with_a_wrong_key(key: bytes, why: str) -> None:
    with pytest.raises(BadArchive, match=why) as caught:
        module.reissue(PEM, ca_certificate=ROOT.pem, ca_key=key, now=AFTER.timestamp())
    assert "SECRET" not in str(caught.value)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HAS_CRYPTOGRAPHY", False)
    assert module.digest(PEM)
    with pytest.raises(MissingLibrary, match="python3-cryptography"):
        module.describe(PEM)
