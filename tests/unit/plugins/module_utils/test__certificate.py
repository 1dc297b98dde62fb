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


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HAS_CRYPTOGRAPHY", False)
    assert module.digest(PEM)
    with pytest.raises(MissingLibrary, match="python3-cryptography"):
        module.describe(PEM)
