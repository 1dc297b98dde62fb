# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes raft stores of any size as engines do: the files of etcd, with what SwarmKit seals in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from nacl.secret import SecretBox

from ansible_collections.quorate.swarm.plugins.module_utils._crc32c import crc32c
from ansible_collections.quorate.swarm.plugins.module_utils._raft_wal import (
    CRC,
    ENTRY,
    HARD_STATE,
    METADATA,
    SEGMENT_SIZE,
    SNAPSHOT,
)

KEY = bytes(32)
TERM = 2
#: Entries after which the swarm has its cluster object and its first member.
FIRST = 2


def number(value: int) -> bytes:
    """A varint."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def field(key: int, value: int | bytes) -> bytes:
    """A field of a message: a number, or bytes."""
    if isinstance(value, int):
        return number(key << 3) + number(value)
    return number(key << 3 | 2) + number(len(value)) + value


def sealed(plain: bytes) -> bytes:
    box = SecretBox(KEY).encrypt(plain)
    return field(1, 1) + field(2, box.ciphertext) + field(3, box.nonce)


def config(identity: int, size: int) -> bytes:
    """A config object with a random payload."""
    spec = field(1, field(1, f"config-{identity}".encode())) + field(2, os.urandom(size))
    return field(1, f"id{identity:023}".encode()) + field(2, field(1, field(1, identity + 1))) + field(3, spec)


CLUSTER = field(1, b"cluster") + field(2, field(1, field(1, 1))) + field(3, field(1, field(1, b"default")))
MEMBER = field(1, 77) + field(2, b"node") + field(3, b"192.0.2.11:2377")


class _Log:
    """A write-ahead log in the making."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sequence = 0
        self._crc = 0
        self._index = 0
        self._segment = bytearray()
        self._name = ""
        self._begin()

    def _begin(self) -> None:
        self._name = f"{self._sequence:016x}-{self._index + 1 if self._sequence else 0:016x}.wal"
        self._segment = bytearray()
        self._frame(field(1, CRC) + field(2, self._crc))
        self.record(METADATA, MEMBER)
        if self._sequence:
            self.record(HARD_STATE, self._state())
        else:
            self.record(SNAPSHOT, field(1, 0) + field(2, 0))

    def _state(self) -> bytes:
        return field(1, TERM) + field(2, 77) + field(3, self._index)

    def _frame(self, record: bytes) -> None:
        padding = -len(record) % 8
        length = len(record) | ((0x80 | padding) << 56 if padding else 0)
        self._segment += length.to_bytes(8, "little") + record + bytes(padding)

    def record(self, kind: int, data: bytes) -> None:
        self._crc = crc32c(data, self._crc)
        self._frame(field(1, kind) + field(2, self._crc) + field(3, data))

    def entry(self, kind: int, plain: bytes) -> None:
        self._index += 1
        self.record(ENTRY, field(1, kind) + field(2, TERM) + field(3, self._index) + field(4, sealed(plain)))
        self.record(HARD_STATE, self._state())
        if len(self._segment) >= SEGMENT_SIZE:
            (self._directory / self._name).write_bytes(self._segment)
            self._sequence += 1
            self._begin()

    def close(self) -> None:
        with (self._directory / self._name).open("wb") as file:
            file.write(self._segment)
            file.truncate(SEGMENT_SIZE)


def _changes(configs: Iterable[bytes]) -> Iterator[bytes]:
    """The content of the entries that create objects: the cluster first."""
    yield field(2, field(1, 1) + field(6, CLUSTER))
    for each in configs:
        yield field(2, field(1, 1) + field(10, each))


def write_store(state_dir: Path, *, objects: int, size: int, in_snapshot: bool) -> None:
    """Write the raft store of a swarm with so many configs of that size, all in a snapshot or all in the log."""
    wal, snapshots = state_dir / "raft/wal-v3-encrypted", state_dir / "raft/snap-v3-encrypted"
    wal.mkdir(parents=True)
    snapshots.mkdir()
    configs = (config(identity, size) for identity in range(objects))
    log = _Log(wal)
    log.entry(1, field(1, 1) + field(2, 0) + field(3, 77) + field(4, MEMBER))
    for change in _changes(configs if not in_snapshot else ()):
        log.entry(0, change)
    if in_snapshot:
        store = field(5, CLUSTER) + b"".join(field(9, each) for each in configs)
        plain = field(1, 0) + field(2, field(1, MEMBER)) + field(3, store)
        data = field(1, sealed(plain)) + field(2, field(1, field(1, 77)) + field(2, FIRST) + field(3, TERM))
        (snapshots / f"{TERM:016x}-{FIRST:016x}.snap").write_bytes(field(1, crc32c(data)) + field(2, data))
        log.record(SNAPSHOT, field(1, FIRST) + field(2, TERM))
    log.close()
