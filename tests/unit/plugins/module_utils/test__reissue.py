# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.quorate.swarm.plugins.module_utils import _certificate, _raft_store, _state_facts
from ansible_collections.quorate.swarm.plugins.module_utils import _reissue as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive, Refused, WrongKey
from ansible_collections.quorate.swarm.tests.unit import fake_host
from ansible_collections.quorate.swarm.tests.unit.fake_host import KEY, ROOT_CA, UNLOCK_KEY

DAY = 24 * 3600
CERTIFICATE = "certificates/swarm-node.crt"


def pem_of(key: Any) -> bytes:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


class Copy:
    """A copy of a state directory, at a time. What is in its raft store stands in C(authority)."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.authority = _raft_store.RootCA(certificate=ROOT_CA, key=pem_of(fake_host._CA_KEY))
        self.now = time.time() + 91 * DAY
        self.opened_with: list[Any] = []
        monkeypatch.setattr(_raft_store, "position", fake_host.raft_position)
        monkeypatch.setattr(_raft_store, "read_root_ca", self._read_root_ca)
        self.write()
        # The root of the fake swarm lasts no longer than a node certificate.
        monkeypatch.setattr(_state_facts._certificate, "expires", lambda pem: "2100-01-01T00:00:00Z")

    def write(self, unlock_key: str = "") -> None:
        store = fake_host.store_of(managers=1, leader="m1", unlock_key=unlock_key)
        fake_host.write_state(self.directory, store, node="m1", cluster="blue")

    def _read_root_ca(self, directory: Path, keys: Any) -> _raft_store.RootCA:
        self.opened_with.append((directory, keys._keys))
        return self.authority

    def make_startable(
        self, *, allowed: bool = True, unlock_key: bytes | None = None
    ) -> tuple[_state_facts.StateFacts, module.Reissued | None]:
        facts = _state_facts.read_state(self.directory, unlock_key=unlock_key, now=self.now)
        return module.make_startable(self.directory, facts, unlock_key=unlock_key, allowed=allowed, now=self.now)

    @property
    def certificate(self) -> bytes:
        return (self.directory / CERTIFICATE).read_bytes()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    return Copy(tmp_path / "swarm", monkeypatch)


def test_certificate_that_lasts_is_left_alone(copy: Copy) -> None:
    copy.now = time.time()
    before = copy.certificate
    facts, reissued = copy.make_startable()
    assert (reissued, facts.problems) == (None, ())
    assert (copy.certificate, copy.opened_with) == (before, [])


@pytest.mark.parametrize("unlock_key", ["", UNLOCK_KEY])
def test_expired_certificate_is_issued_again(copy: Copy, unlock_key: str) -> None:
    copy.write(unlock_key)
    before = _certificate.describe(copy.certificate)
    facts, reissued = copy.make_startable(unlock_key=KEY if unlock_key else None)
    assert reissued is not None
    after = _certificate.describe(copy.certificate)
    assert (reissued.expired, reissued.expires) == (before.not_after, after.not_after)
    assert after.not_after > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(copy.now + 89 * DAY))
    assert (after.node_id, after.cluster_id, after.role) == (before.node_id, before.cluster_id, before.role)
    assert after.public_key == before.public_key
    assert (facts.certificate, facts.problems) == (after, ())
    assert copy.opened_with == [(copy.directory, (b"D" * 32,))]
    assert copy.make_startable(unlock_key=KEY if unlock_key else None)[1] is None


def test_it_is_refused_when_not_allowed(copy: Copy) -> None:
    before = copy.certificate
    with pytest.raises(BadArchive, match="it expired at .* set reissue_certificate to auto"):
        copy.make_startable(allowed=False)
    assert (copy.certificate, copy.opened_with) == (before, [])


def test_external_authority_is_refused(copy: Copy) -> None:
    copy.authority = _raft_store.RootCA(certificate=ROOT_CA, key=b"")
    before = copy.certificate
    with pytest.raises(Refused, match="external certificate authority"):
        copy.make_startable()
    assert copy.certificate == before


def test_authority_that_the_node_does_not_trust_is_found(copy: Copy) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm-ca")])
    begin = datetime.datetime(2026, 1, 1)
    root = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin.replace(year=2046))
    copy.authority = _raft_store.RootCA(
        certificate=root.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), key=pem_of(key)
    )
    with pytest.raises(BadArchive, match="it was not issued by"):
        copy.make_startable()


def test_other_damage_comes_first_and_nothing_is_issued(copy: Copy) -> None:
    (copy.directory / "state.json").write_text("[")
    before = copy.certificate
    with pytest.raises(BadArchive, match="no list of managers"):
        copy.make_startable()
    assert copy.certificate == before


def test_wrong_unlock_key_comes_first(copy: Copy) -> None:
    copy.write(UNLOCK_KEY)
    with pytest.raises(WrongKey):
        copy.make_startable(unlock_key=bytes(32))
    assert copy.opened_with == []


def test_root_certificate_that_has_expired_is_refused(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_state_facts._certificate, "expires", lambda pem: "2026-01-01T00:00:00Z")
    with pytest.raises(BadArchive, match=r"swarm-root-ca\.crt: it expired"):
        copy.make_startable()
