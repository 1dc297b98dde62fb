# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The damages are those that engines 20.10.24 and 28.5.2 were given, and what they did with them."""

from __future__ import annotations

import lzma
import os
from pathlib import Path

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _worker_tasks
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive

#: Of engine 28.5.2: 64 kB, of which 10 pages are in use.
REAL = lzma.decompress((Path(__file__).parents[2] / "fixtures" / "tasks.db.xz").read_bytes())
PAGE = 4096


def flipped(data: bytes, *offsets: int) -> bytes:
    changed = bytearray(data)
    for offset in offsets:
        changed[offset] ^= 1
    return bytes(changed)


def require(data: bytes) -> None:
    _worker_tasks.require_tasks(data[: _worker_tasks.HEAD], len(data))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(REAL, id="of an engine"),
        pytest.param(b"", id="empty"),
        pytest.param(REAL[: 10 * PAGE], id="without pages that are not in use"),
        pytest.param(flipped(REAL, 70), id="one meta page damaged"),
        pytest.param(flipped(REAL, PAGE + 70), id="the other meta page damaged"),
        pytest.param(flipped(REAL, 0, PAGE - 1), id="bytes flipped that no meta page needs"),
    ],
)
def test_an_engine_opens_it(data: bytes) -> None:
    require(data)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        pytest.param(os.urandom(8 * PAGE), "neither of its two meta pages is valid", id="garbage"),
        pytest.param(b"\0" * 8 * PAGE, "neither of its two meta pages is valid", id="zeros"),
        pytest.param(REAL[:20], "neither of its two meta pages is valid", id="cut in the first page"),
        pytest.param(flipped(REAL, 16, PAGE + 16), "neither of its two meta pages is valid", id="both magics"),
        pytest.param(flipped(REAL, 20, PAGE + 20), "neither of its two meta pages is valid", id="both versions"),
        pytest.param(flipped(REAL, 72, PAGE + 72), "neither of its two meta pages is valid", id="both checksums"),
        pytest.param(REAL[:5000], "it ends after 5000 of 40960 bytes", id="cut to 5000 bytes"),
        pytest.param(REAL[:20000], "it ends after 20000 of 40960 bytes", id="cut to 20000 bytes"),
        pytest.param(REAL[: 10 * PAGE - 1], "it ends after 40959 of 40960 bytes", id="one byte short"),
    ],
)
def test_an_engine_does_not_open_it(data: bytes, cause: str) -> None:
    with pytest.raises(BadArchive) as refusal:
        require(data)
    assert refusal.value.cause == f"{cause}: an engine would not come up in its swarm with it"
    assert "remove this file" in refusal.value.remedy


@pytest.mark.parametrize("offset", range(16, 80))
def test_every_byte_of_a_meta_page_counts(offset: int) -> None:
    with pytest.raises(BadArchive):
        require(flipped(REAL, offset, PAGE + offset))
