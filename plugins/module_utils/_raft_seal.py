# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how the content of the raft store is sealed: with NaCl secretbox, under a key that swarm-node.key carries.

SwarmKit seals each log entry, and each snapshot as a whole, as MaybeEncryptedRecord{algorithm=1, data=2, nonce=3}
(moby/swarmkit manager/encryption). A snapshot is as large as the swarm, and PyNaCl opens a box only in one piece, so
the box is proven here piece by piece, and only what is asked for is decrypted.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import ctypes
import functools
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import MissingLibrary
from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import (
    ProtobufError,
    Region,
    integer,
    region,
)

try:
    from nacl import _sodium
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    HAS_NACL = True
except ImportError:
    HAS_NACL = False

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    HAS_POLY1305 = True
except ImportError:
    HAS_POLY1305 = False

_SECRETBOX, _FERNET = 1, 2
_TAG = 16  # bytes of the Poly1305 tag in front of the ciphertext
_NONCE = 24
_ONE_TIME_KEY = 32  # bytes of the key stream that are the Poly1305 key; the message is encrypted with those behind it
_SALSA20_BLOCK = 64
_CHUNK = 1 << 20
_WINDOW = 1 << 14
#: A smaller box is opened in one piece, which is faster.
_LARGE = 1 << 22


class DoesNotOpen(Exception):
    """A sealed record opens with none of the keys; the text says why, without a full stop."""


class RaftKeys:
    """The keys of a raft store, in the order to try them: the pending one first while the key is being exchanged.

    It has no representation, so that none of them is ever printed.
    """

    def __init__(self, keys: t.Iterable[bytes]) -> None:
        self._keys = tuple(keys)

    def open(self, record: Region) -> Region:
        """Open a sealed record, and prove that it is as it was sealed.

        What lies in a file is read through that file, which must stay open as long as the result is in use.

        Args:
            record: The MaybeEncryptedRecord.

        Returns:
            The plain text.

        Raises:
            DoesNotOpen: Another key sealed it, or it was changed.
            ProtobufError: It is not a sealed record.
            MissingLibrary: PyNaCl is not installed.
        """
        require_library()
        read = record.message()
        algorithm, data, nonce = integer(read, 1), region(read, 2), region(read, 3)
        if algorithm == _FERNET:
            raise DoesNotOpen(
                "it is sealed with Fernet, as FIPS builds of the engine do, which this collection does not open"
            )
        if algorithm != _SECRETBOX or len(data) < _TAG or len(nonce) != _NONCE:
            raise ProtobufError("it is not a sealed record")
        open_box = _open_large if len(data) >= _LARGE and _streams() else _open_small
        for key in self._keys:
            plain = open_box(data, nonce.octets(), key)
            if plain is not None:
                return plain
        raise DoesNotOpen("it does not open with the key in swarm-node.key: they do not belong together")


def require_library() -> None:
    """Insist on what opens a raft store.

    Raises:
        MissingLibrary: PyNaCl is not installed.
    """
    if not HAS_NACL:
        raise MissingLibrary(
            "open the raft store",
            "PyNaCl is not installed",
            "Install python3-nacl (Debian, Ubuntu), python3-pynacl (RHEL with EPEL)",
        )


def _open_small(data: Region, nonce: bytes, key: bytes) -> Region | None:
    try:
        return Region.of(SecretBox(key).decrypt(data.octets(), nonce))
    except CryptoError:
        return None


def _open_large(data: Region, nonce: bytes, key: bytes) -> Region | None:
    """Prove the tag over all of the ciphertext, a piece at a time, and leave the decryption to whoever reads on."""
    sealed = _Sealed(data, nonce, key)
    return Region(sealed, 0, len(data) - _TAG) if sealed.is_authentic() else None


class _Sealed:
    """The plain text of a large box as a source: a window of it is decrypted at a time."""

    def __init__(self, data: Region, nonce: bytes, key: bytes) -> None:
        self._data = data
        self._nonce = nonce
        self._key = key
        self._window = b""
        self._begin = 0

    def is_authentic(self) -> bool:
        mac = Poly1305(self._decrypt(bytes(_ONE_TIME_KEY), 0))
        begin = self._data.begin + _TAG
        for place in range(begin, self._data.end, _CHUNK):
            mac.update(self._data.source.read(place, min(place + _CHUNK, self._data.end)))
        try:
            mac.verify(self._data.source.read(self._data.begin, begin))
        except InvalidSignature:
            return False
        return True

    def read(self, begin: int, end: int) -> bytes:
        if begin < self._begin or end > self._begin + len(self._window):
            # The key stream can be entered at each of its blocks.
            skipped = (begin + _ONE_TIME_KEY) % _SALSA20_BLOCK
            start = max(begin - skipped, 0)
            place = self._data.begin + _TAG + start
            sealed = self._data.source.read(place, min(place + max(end - start, _WINDOW), self._data.end))
            offset = (start + _ONE_TIME_KEY) % _SALSA20_BLOCK
            block = (start + _ONE_TIME_KEY) // _SALSA20_BLOCK
            self._window = self._decrypt(bytes(offset) + sealed, block)[offset:]
            self._begin = start
        return self._window[begin - self._begin : end - self._begin]

    def _decrypt(self, data: bytes, block: int) -> bytes:
        """XOR with the key stream from that block on."""
        result = ctypes.create_string_buffer(len(data))
        _xsalsa20()(result, data, len(data), self._nonce, block, self._key)
        return result.raw


def _streams() -> bool:
    """Whether what is needed for opening a box piece by piece is there; else it is opened in one piece, in memory."""
    if not HAS_POLY1305 or _xsalsa20() is None:
        return False
    try:
        Poly1305(bytes(_ONE_TIME_KEY))
    except UnsupportedAlgorithm:
        return False
    return True


@functools.lru_cache(maxsize=None)
def _xsalsa20() -> t.Any:
    """XSalsa20 of the libsodium that PyNaCl brings or uses; None when it cannot be reached."""
    try:
        function = ctypes.CDLL(_sodium.__file__).crypto_stream_xsalsa20_xor_ic
    except (OSError, AttributeError):
        return None
    function.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_ulonglong,
        ctypes.c_char_p,
        ctypes.c_uint64,
        ctypes.c_char_p,
    ]
    function.restype = ctypes.c_int
    return function
