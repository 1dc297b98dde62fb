# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An escrow of unlock keys on the controller, as scenarios use and read it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.parsing.vault import VaultLib, VaultSecret
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from quorate_lab import Host

CLUSTER = "2jt0p6gm4hn0gyvm1wtvzf0f5"
KEYS = ["SWMKEY-1-" + base64.b64encode(bytes([number]) * 32).decode().rstrip("=") for number in range(1, 4)]
_PASSWORD = "the password of the escrow"
_SECRET = re.compile(rb"SWMKEY-1-[A-Za-z0-9+/]{43}|SWMTKN-1-[a-z0-9]{50}")


class Escrow:
    """An escrow file, which need not be there, and a vault password in *directory*."""

    def __init__(self, directory: Path, *, name: str = "unlock_keys.json") -> None:
        self.directory = directory
        self.path = directory / name
        self.args = ("--vault-password-file", str(self.password_file("password", _PASSWORD)))
        self.configuration = {"unlock_key_escrow_file": str(self.path)}

    def password_file(self, name: str, password: str) -> Path:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(password)
        return path

    def put(self, cluster_id: str, keys: Sequence[str]) -> None:
        """Let it hold these keys of a swarm and no others; the first is the newest."""
        times = [f"2026-01-{day:02}T00:00:00Z" for day in range(len(keys), 0, -1)]
        entries = [
            {"cluster_id": cluster_id, "key": key, "created": created, "retired": None}
            for key, created in zip(keys, times, strict=True)
        ]
        content = json.dumps({"schema": 1, "unlock_keys": entries}).encode()
        self.path.write_bytes(VaultLib().encrypt(content, VaultSecret(_PASSWORD.encode())))

    def entries(self) -> list[dict[str, Any]]:
        """What it holds, decrypted here."""
        if not self.path.exists():
            return []
        vault = VaultLib([("default", VaultSecret(_PASSWORD.encode()))])
        entries: list[dict[str, Any]] = json.loads(vault.decrypt(self.path.read_bytes()))["unlock_keys"]
        return entries

    def opened_by(self, host: Host) -> list[str]:
        """The fingerprints of its keys that open the key file on the disk of *host*, as the file is now."""
        opening = fitting_keys(host, [entry["key"] for entry in self.entries()])
        return [entry["fingerprint"] for entry in self.entries() if entry["key"] in opening]

    @staticmethod
    def leaks(directory: Path) -> list[Path]:
        """The files below *directory* with an unlock key or a join token in them."""
        return [path for path in directory.rglob("*") if path.is_file() and _SECRET.search(path.read_bytes())]


def fitting_keys(host: Host, keys: Sequence[str]) -> list[str]:
    """Those of these unlock keys that open the key file on the disk of *host*, as the file is now."""
    pem = (host.docker_directory / "swarm/certificates/swarm-node.key").read_text()
    assert "ENCRYPTED" in pem, f"the key file of {host.name} is not sealed"
    record = base64.b64decode(pem.split("raft-dek: ")[1].split()[0])
    sealed, nonce = record[4:52], record[54:78]  # MaybeEncryptedRecord: algorithm, data, nonce
    return [key for key in keys if _opens(key, sealed, nonce)]


def _opens(key: str, sealed: bytes, nonce: bytes) -> bool:
    try:
        SecretBox(base64.b64decode(key.removeprefix("SWMKEY-1-") + "=")).decrypt(sealed, nonce)
    except CryptoError:
        return False
    return True
