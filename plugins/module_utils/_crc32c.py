# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows CRC-32C (Castagnoli), the checksum of etcd's WAL and snapshots.

The C(crc32c) package computes it when it is installed. Python itself has no such function (zlib's CRC-32 is another
polynomial), so there is one here: byte by byte for short data, and in many lanes at once for long.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import functools

try:
    from crc32c import crc32c as _package_crc32c

    HAS_CRC32C = True
except ImportError:
    HAS_CRC32C = False

_POLYNOMIAL = 0x82F63B78  # reflected
_LANE = 128  # bytes
_MOST_LANES = 2048
_LONG = 64 * _LANE  # from here on lanes are faster
_ALL_ONES = 0xFFFFFFFF


def crc32c(data: bytes, value: int = 0) -> int:
    """The CRC-32C of data that follows data whose CRC-32C is C(value).

    Args:
        data: Any bytes.
        value: Checksum of what came before; 0 for nothing.
    """
    if HAS_CRC32C:
        return int(_package_crc32c(data, value))
    register = value ^ _ALL_ONES
    place = 0
    while len(data) - place >= _LONG:
        lanes = min((len(data) - place) // _LANE, _MOST_LANES)
        register = _advance(data[place : place + lanes * _LANE], register, lanes)
        place += lanes * _LANE
    table = _table()
    for byte in data[place:]:
        register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register ^ _ALL_ONES


@functools.lru_cache(maxsize=None)
def _table() -> tuple[int, ...]:
    """What each value of the register's low byte adds when it is shifted out."""
    table = []
    for byte in range(256):
        register = byte
        for dummy in range(8):
            register = (register >> 1) ^ (_POLYNOMIAL if register & 1 else 0)
        table.append(register)
    return tuple(table)


@functools.lru_cache(maxsize=None)
def _table_planes() -> tuple[bytes, ...]:
    """The table cut into its four bytes, low byte first, as bytes.translate() wants them."""
    return tuple(bytes(entry >> shift & 0xFF for entry in _table()) for shift in (0, 8, 16, 24))


@functools.lru_cache(maxsize=None)
def _lane_shift() -> tuple[tuple[int, ...], ...]:
    """For each byte of the register: what each of its values becomes after one lane of zero bytes."""
    table = _table()

    def after_one_lane(register: int) -> int:
        for dummy in range(_LANE):
            register = table[register & 0xFF] ^ (register >> 8)
        return register

    columns = [after_one_lane(1 << bit) for bit in range(32)]
    tables = []
    for position in range(0, 32, 8):
        values = [0] * 256
        for byte in range(1, 256):
            low_bit = byte & -byte
            values[byte] = values[byte ^ low_bit] ^ columns[position + low_bit.bit_length() - 1]
        tables.append(tuple(values))
    return tuple(tables)


def _advance(data: bytes, register: int, lanes: int) -> int:
    """Advance the register over data that consists of lanes, each of _LANE consecutive bytes.

    The registers of all lanes are kept as four planes, one per byte of the register, and advance together: an exclusive
    or of long integers, and a table look-up by bytes.translate(). A CRC is linear, so every lane but the first starts
    from 0, and at the end each is shifted over the lanes behind it.
    """
    planes = [int.from_bytes(bytes([register >> shift & 0xFF]), "little") for shift in (0, 8, 16, 24)]
    tables = _table_planes()
    for step in range(_LANE):
        index = (planes[0] ^ int.from_bytes(data[step::_LANE], "little")).to_bytes(lanes, "little")
        looked_up = [int.from_bytes(index.translate(table), "little") for table in tables]
        planes = [planes[1] ^ looked_up[0], planes[2] ^ looked_up[1], planes[3] ^ looked_up[2], looked_up[3]]
    first, second, third, fourth = _lane_shift()
    register = 0
    for lane in zip(*(plane.to_bytes(lanes, "little") for plane in planes)):
        register = (
            first[register & 0xFF]
            ^ second[register >> 8 & 0xFF]
            ^ third[register >> 16 & 0xFF]
            ^ fourth[register >> 24]
            ^ int.from_bytes(lane, "little")
        )
    return register
