# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows when an engine opens the database of the tasks of its own node, worker/tasks.db.

It is a bbolt file: two meta pages, of which the valid one with the higher transaction counts, and pages behind them
(go.etcd.io/bbolt, db.go and page.go). An engine makes a new one when there is none or an empty one, and does not come up
in its swarm when it cannot open the one that is there.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import struct

from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive

#: Bytes from the beginning that hold both meta pages, with the largest page size of a machine that runs an engine.
HEAD = 2 * 65536

_PAGE_HEADER = 16
#: magic, version, page size, flags, root, sequence, freelist, number of pages, transaction; then the checksum of these.
_META = struct.Struct("<4I5Q")
_CHECKSUM = struct.Struct("<Q")
_MAGIC, _VERSION = 0xED0CDAED, 2
_USUAL_PAGE = 4096
_PROVED = "an engine would not come up in its swarm with it"
_REMEDY = (
    "Use another backup; or remove this file: an engine makes a new one, and a manager gives its node its tasks again"
)


def require_tasks(head: bytes, size: int) -> None:
    """Insist that an engine opens this database.

    Args:
        head: The first HEAD bytes of the file, or all of a shorter one.
        size: Bytes of the whole file.

    Raises:
        BadArchive: It would not.
    """
    if size == 0:
        return
    first = _meta(head, 0)
    page_size = first[0] if first else _USUAL_PAGE
    metas = [meta for meta in (first, _meta(head, page_size)) if meta]
    if not metas:
        raise BadArchive("", f"neither of its two meta pages is valid: {_PROVED}", _REMEDY)
    page_size, _transaction, pages = max(metas, key=lambda meta: meta[1])
    if size < page_size * max(2, pages):
        raise BadArchive("", f"it ends after {size} of {page_size * max(2, pages)} bytes: {_PROVED}", _REMEDY)


def _meta(head: bytes, page: int) -> tuple[int, int, int] | None:
    """Page size, transaction and number of pages, as a meta page says; None when it is not valid."""
    start = page + _PAGE_HEADER
    end = start + _META.size
    if len(head) < end + _CHECKSUM.size:
        return None
    magic, version, page_size, _flags, _root, _sequence, _free, pages, transaction = _META.unpack_from(head, start)
    if (magic, version) != (_MAGIC, _VERSION) or _CHECKSUM.unpack_from(head, end)[0] != _fnv1a(head[start:end]):
        return None
    return page_size, transaction, pages


def _fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
