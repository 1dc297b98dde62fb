# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any, Callable

import pytest
from nacl.secret import SecretBox

from ansible_collections.quorate.swarm.plugins.module_utils import _raft_seal as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import MissingLibrary
from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import InFile, ProtobufError, Region
from ansible_collections.quorate.swarm.tests.unit.plugins.module_utils.test__raft_store import (
    bytes_field,
    varint_field,
)

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
#: Made by SwarmKit itself with KEY.
VECTOR = bytes.fromhex(
    "0801121b5f1567c2926a05a6f59f2adddc25a98eef820c5660e97eec9982211a1819edd3b008e7cb91ce3430e974f36e7f4df6d32f98817f0d"
)


def sealed(plain: bytes, *, key: bytes = KEY, algorithm: int = 1) -> bytes:
    box = SecretBox(key).encrypt(plain, os.urandom(24))
    return varint_field(1, algorithm) + bytes_field(2, box.ciphertext) + bytes_field(3, box.nonce)


def test_what_swarmkit_has_sealed_opens() -> None:
    assert module.RaftKeys([KEY]).open(Region.of(VECTOR)).octets() == b"hello swarm"


@pytest.mark.parametrize("keys", [[KEY], [OTHER_KEY, KEY], [KEY, OTHER_KEY]])
def test_every_key_is_tried(keys: list[bytes]) -> None:
    assert module.RaftKeys(keys).open(Region.of(sealed(b"plain"))).octets() == b"plain"


@pytest.mark.parametrize("keys", [[], [OTHER_KEY]])
def test_other_keys_do_not_open_it(keys: list[bytes]) -> None:
    with pytest.raises(module.DoesNotOpen, match="they do not belong together"):
        module.RaftKeys(keys).open(Region.of(sealed(b"plain")))


def test_every_flipped_byte_of_the_box_is_seen() -> None:
    for place in range(4, len(VECTOR)):
        changed = bytearray(VECTOR)
        changed[place] ^= 1
        with pytest.raises((module.DoesNotOpen, ProtobufError)):
            module.RaftKeys([KEY]).open(Region.of(bytes(changed)))


def test_fips_is_told() -> None:
    with pytest.raises(module.DoesNotOpen, match="FIPS builds of the engine"):
        module.RaftKeys([KEY]).open(Region.of(sealed(b"plain", algorithm=2)))


@pytest.mark.parametrize(
    "record",
    [b"", sealed(b"plain", algorithm=0), sealed(b"plain", algorithm=3), sealed(b"plain")[:-20], b"\xff" * 9],
    ids=["empty", "in clear", "unknown algorithm", "cut short", "no message"],
)
def test_what_is_no_sealed_record(record: bytes) -> None:
    with pytest.raises(ProtobufError):
        module.RaftKeys([KEY]).open(Region.of(record))


def test_keys_are_never_shown() -> None:
    keys = module.RaftKeys([KEY])
    assert KEY.hex()[:8] not in f"{keys!r} {keys}"
    assert repr(KEY)[2:10] not in f"{keys!r} {keys}"


def test_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HAS_NACL", False)
    with pytest.raises(MissingLibrary, match="Install python3-nacl"):
        module.RaftKeys([KEY]).open(Region.of(VECTOR))


# Large boxes


def forget_poly1305(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HAS_POLY1305", False)


def forget_xsalsa20(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_xsalsa20", lambda: None)


def refuse_poly1305(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dummy: bytes) -> Any:
        raise module.UnsupportedAlgorithm("not in FIPS mode")

    monkeypatch.setattr(module, "Poly1305", refuse)


@pytest.fixture
def plain() -> bytes:
    return random.Random(5).randbytes(300_001) if hasattr(random.Random, "randbytes") else os.urandom(300_001)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGE", 1000)
    monkeypatch.setattr(module, "_CHUNK", 70_000)


@pytest.mark.parametrize("without", [None, forget_poly1305, forget_xsalsa20, refuse_poly1305])
def test_large_box_in_a_file_is_the_same_piece_by_piece(
    plain: bytes, large: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: Callable[..., None] | None
) -> None:
    if without is not None:
        without(monkeypatch)
    record = sealed(plain)
    (tmp_path / "file").write_bytes(b"before" + record + b"after")
    with open(tmp_path / "file", "rb") as file:
        opened = module.RaftKeys([OTHER_KEY, KEY]).open(Region(InFile(file), 6, 6 + len(record)))
        assert isinstance(opened.source, module._Sealed) is (without is None)
        assert len(opened) == len(plain)
        assert opened.octets() == plain
        chance = random.Random(7)
        places = [0, 1, 31, 32, 33, 63, 64, 65, 95, 96, len(plain) - 1] + [
            chance.randrange(len(plain)) for dummy in range(200)
        ]
        for place in places:
            end = min(len(plain), place + chance.choice((1, 20, 64, 40_000)))
            assert opened.source.read(place, end) == plain[place:end], place


@pytest.mark.parametrize("place", [0, 15, 16, 17, 150_000, -1])
def test_change_of_a_large_box_is_seen(plain: bytes, large: None, place: int) -> None:
    record = bytearray(sealed(plain))
    begin = record.index(b"\x12") + 4
    end = begin + len(plain) + 16
    record[begin + place if place >= 0 else end + place] ^= 0x80
    with pytest.raises(module.DoesNotOpen):
        module.RaftKeys([KEY]).open(Region.of(bytes(record)))
