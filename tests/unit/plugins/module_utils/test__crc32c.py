# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _crc32c as module

LANE, BLOCK = 128, 2048 * 128


def by_definition(data: bytes, value: int = 0) -> int:
    register = value ^ 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for dummy in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.fixture(params=[False, True], ids=["plain Python", "package"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not module.HAS_CRC32C:
        pytest.skip("the crc32c package is not installed")
    monkeypatch.setattr(module, "HAS_CRC32C", request.param)


# RFC 3720 B.4 and the usual check value.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
@pytest.mark.usefixtures("implementation")
def test_known_values(data: bytes, expected: int) -> None:
    assert module.crc32c(data) == expected


@pytest.mark.parametrize(
    "size", [0, 1, 7, 64 * LANE - 1, 64 * LANE, 65 * LANE + 1, BLOCK - 1, BLOCK, 2 * BLOCK + 65 * LANE + 5]
)
@pytest.mark.usefixtures("implementation")
def test_it_is_the_definition_for_any_size_and_seed(size: int) -> None:
    generator = random.Random(size)
    data = bytes(generator.getrandbits(8) for dummy in range(size))
    seed = generator.getrandbits(32)
    assert module.crc32c(data, seed) == by_definition(data, seed)


@pytest.mark.usefixtures("implementation")
def test_checksums_chain() -> None:
    data = bytes(range(256)) * 2048
    assert module.crc32c(data[300:], module.crc32c(data[:300])) == module.crc32c(data)
