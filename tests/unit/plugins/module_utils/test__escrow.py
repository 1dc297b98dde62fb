# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of unlock keys: nothing is lost, and everything strange is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _node_key
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadEscrow
from ansible_collections.quorate.swarm.plugins.module_utils._escrow import Entry, dump, load, merge, select, stored

CLUSTER = "2jt0p6gm4hn0gyvm1wtvzf0f5"
OTHER = "m" * 25
YESTERDAY, TODAY, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-02T03:04:05Z"


def key(number: int) -> str:
    return "SWMKEY-1-" + base64.b64encode(bytes([number]) * 32).decode().rstrip("=")


def fingerprint(number: int) -> str:
    return _node_key.fingerprint(bytes([number]) * 32)


def entry(number: int, *, created: str = TODAY, retired: str | None = None, cluster_id: str = CLUSTER) -> Entry:
    return Entry(cluster_id, fingerprint(number), created, retired, key(number))


def addition(number: int, **fields: Any) -> dict[str, Any]:
    return {"cluster_id": CLUSTER, "key": key(number), **fields}


def test_a_first_key_gets_its_fingerprint_and_the_time() -> None:
    assert merge([], [addition(1)], now=NOW) == [entry(1, created=NOW)]


def test_a_key_that_is_there_stays_as_it_is() -> None:
    held = [entry(2), entry(1, created=YESTERDAY, retired=TODAY)]
    assert merge(held, [addition(2), addition(1)], now=NOW) == held


def test_keys_that_are_not_retired_come_first_and_then_the_newer_ones() -> None:
    merged = merge([entry(1, created=YESTERDAY), entry(2, retired=NOW)], [addition(3), addition(4)], now=NOW)
    assert [found.fingerprint for found in merged] == [fingerprint(number) for number in (3, 4, 1, 2)]


def test_a_key_is_retired_and_is_needed_again() -> None:
    retired = merge([entry(1)], [addition(1, retired=NOW)], now=NOW)
    assert retired == [entry(1, retired=NOW)]
    assert merge(retired, [addition(1)], now=NOW) == retired
    assert merge(retired, [addition(1, retired=None)], now=NOW) == [entry(1)]
    assert merge(retired, [addition(1, retired="")], now=NOW) == [entry(1)]


def test_a_key_keeps_its_earliest_time_of_creation() -> None:
    assert merge([entry(1, created=TODAY)], [addition(1, created=YESTERDAY)]) == [entry(1, created=YESTERDAY)]
    assert merge([entry(1, created=YESTERDAY)], [addition(1, created=TODAY)]) == [entry(1, created=YESTERDAY)]


def test_no_key_is_ever_dropped() -> None:
    held: list[Entry] = []
    for number in range(50):
        held = merge(held, [addition(number, retired=NOW if number % 2 else None)], now=NOW)
        held = merge(held, [addition(number // 2, retired=NOW)], now=NOW)
    assert {found.fingerprint for found in held} == {fingerprint(number) for number in range(50)}


def test_one_key_of_two_swarms_is_two_entries() -> None:
    merged = merge([entry(1)], [{**addition(1), "cluster_id": OTHER}], now=NOW)
    assert select(merged, cluster_id=CLUSTER) == [entry(1)]
    assert select(merged, cluster_id=OTHER) == [entry(1, created=NOW, cluster_id=OTHER)]
    assert len(select(merged, fingerprint=fingerprint(1))) == 2
    assert select(merged, fingerprint=fingerprint(2)) == []


def test_spellings_of_one_key_are_one_entry() -> None:
    """The last character of a key carries two bits that do not count."""
    spelled = key(1)[:-1] + chr(ord(key(1)[-1]) + 1)
    assert merge([entry(1)], [{**addition(1), "key": spelled}], now=NOW) == [entry(1)]


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"key": "SWMKEY-1-short"}, "the key is malformed"),
        ({"key": None}, "the key is malformed"),
        ({"cluster_id": ""}, "cluster_id"),
        ({"cluster_id": "../../etc"}, "cluster_id"),
        ({"fingerprint": "uk1:" + 32 * "0"}, f"the fingerprint of its key is {fingerprint(1)}"),
        ({"created": "yesterday"}, "a time in it"),
        ({"retired": "2026-01-01"}, "a time in it"),
        ({"note": "from the wiki"}, "unknown fields note"),
    ],
)
def test_what_is_no_entry_is_refused_without_repeating_it(fields: dict[str, Any], cause: str) -> None:
    with pytest.raises(BadEscrow, match=cause) as caught:
        merge([], [addition(2), addition(1, **fields)], now=NOW)
    assert "entry 2 of 2" in str(caught.value)
    assert "SWMKEY" not in str(caught.value)


def test_an_entry_shows_no_key() -> None:
    assert "SWMKEY" not in repr(entry(1))


def test_what_is_written_is_read_again() -> None:
    held = [
        entry(2),
        entry(1, created=YESTERDAY, retired=TODAY),
        entry(1, created=YESTERDAY, cluster_id=OTHER, retired=NOW),
    ]
    assert load(dump(merge(held, []))) == merge(held, [])


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "not JSON"),
        ("[" * 100000, "not JSON"),
        ("SWMKEY-1-x", "not JSON"),
        ("[]", "no list of unlock keys"),
        ('{"unlock_keys": {}}', "no list of unlock keys"),
        ('{"unlock_keys": []}', "schema"),
        ('{"schema": 2, "unlock_keys": []}', "schema"),
        ('{"schema": 1, "unlock_keys": [1]}', "not all of"),
        (json.dumps({"schema": 1, "unlock_keys": [addition(1)]}), "not all of"),
    ],
)
def test_another_content_is_refused(text: str, cause: str) -> None:
    with pytest.raises(BadEscrow, match=cause) as caught:
        load(text)
    assert "SWMKEY" not in str(caught.value)


def test_a_store_has_to_return_whole_entries() -> None:
    whole = addition(1, created=TODAY, retired=None)
    assert stored([whole]) == [whole]
    for missing in ("created", "retired"):
        with pytest.raises(BadEscrow, match="entry 2 of 2"):
            stored([whole, {name: value for name, value in whole.items() if name != missing}])
