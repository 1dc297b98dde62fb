# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a file on the controller that is encrypted with Ansible Vault is read and replaced: never in clear on disk,
never half written, and never by two runs at once.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, match_encrypt_secret, parse_vaulttext_envelope

from ansible_collections.quorate.swarm.plugins.module_utils._disk import sync_directory
from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadEscrow

Secrets = t.Sequence[t.Tuple[str, t.Any]]

_PAUSE = 0.1


class VaultFile:
    """One encrypted file.

    Args:
        path: The file. Its directory has to be there; the file need not be.
        secrets: The vault secrets of the run: pairs of vault ID and secret.
        vault_id: The ID whose secret encrypts the file. Empty: the one that encrypted it before, else the one that
            ansible-vault would take.
    """

    def __init__(self, path: Path, secrets: Secrets, *, vault_id: str = "") -> None:
        self.path = Path(os.path.realpath(path))  # replacing a symbolic link would leave two escrows
        self._secrets = secrets
        self._vault_id = vault_id

    @contextlib.contextmanager
    def locked(self, *, timeout: float) -> t.Iterator[None]:
        """Hold the lock of the file, which is a second file beside it, for what it takes to change the first.

        The second file stays: if it were removed, two runs could hold a lock each.

        Raises:
            BadEscrow: Another run holds it longer than I(timeout) seconds, or there is no such directory.
        """
        attempted = f"lock {self.path}"
        try:
            lock = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BadEscrow(
                attempted, error.strerror or str(error), f"Make the directory: mkdir -p -m 0700 {self.path.parent}"
            ) from None
        try:
            end = time.monotonic() + timeout
            while not _try_lock(lock):
                if time.monotonic() >= end:
                    raise BadEscrow(attempted, "another run holds it", "Run again when that has ended")
                time.sleep(_PAUSE)
            yield
        finally:
            os.close(lock)

    def read(self) -> str | None:
        """Return the decrypted content, None when there is no such file.

        Raises:
            BadEscrow: It cannot be read or decrypted, or is not encrypted.
        """
        encrypted = self._read_bytes(self.path)
        return None if encrypted is None else self._decrypt(encrypted)

    def replace(self, text: str) -> None:
        """Encrypt the text, write it, read it back, and only then put it in the place of the file. Hold the lock meanwhile.

        Raises:
            BadEscrow: It did not work; the file is what it was, except when the message says so.
        """
        attempted = f"write {self.path}"
        vault_id, secret = self._encrypting_secret()
        encrypted = VaultLib(self._secrets).encrypt(text, secret, vault_id=vault_id)
        try:
            self._write(encrypted, text)
        except OSError as error:
            raise BadEscrow(attempted, error.strerror or str(error), "The file is what it was") from None
        if self._read_bytes(self.path) != encrypted:
            raise BadEscrow(attempted, "it does not hold what was written", "See what else writes this file")

    def _write(self, encrypted: bytes, text: str) -> None:
        temporary = self.path.with_name(f".{self.path.name}.partial")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # of a run that was killed
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(encrypted)
                file.flush()
                os.fsync(file.fileno())
            if self._decrypt(temporary.read_bytes()) != text:
                raise BadEscrow(f"write {self.path}", "what was written does not decrypt to it", "Check the disk")
            os.replace(temporary, self.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        sync_directory(self.path.parent)

    def _read_bytes(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadEscrow(f"read {path}", error.strerror or str(error), "Run it as the user that owns it") from None

    def _decrypt(self, encrypted: bytes) -> str:
        attempted = f"decrypt {self.path}"
        if not VaultLib.is_encrypted(encrypted):
            raise BadEscrow(
                attempted,
                "it is not encrypted with Ansible Vault",
                f"If it is the right file, encrypt it: ansible-vault encrypt {self.path}",
            )
        self._require_secrets(attempted)
        try:
            return bytes(VaultLib(self._secrets).decrypt(encrypted)).decode("utf-8")
        except (AnsibleError, UnicodeDecodeError):
            known = ", ".join(sorted({vault_id for vault_id, dummy in self._secrets}))
            raise BadEscrow(
                attempted,
                f"no vault secret of this run opens it (vault IDs: {known})",
                "Give the vault password with which it was encrypted",
            ) from None

    def _encrypting_secret(self) -> tuple[str | None, t.Any]:
        """The vault ID to write into the file, and its secret."""
        attempted = f"encrypt {self.path}"
        self._require_secrets(attempted)
        current = self._read_bytes(self.path)
        label = str(parse_vaulttext_envelope(current)[3] or "default") if current else ""
        known = [vault_id for vault_id, dummy in self._secrets]
        wanted = self._vault_id or (label if label in known else "") or constants.DEFAULT_VAULT_ENCRYPT_IDENTITY
        if wanted and wanted not in known:
            raise BadEscrow(
                attempted,
                f"this run has no vault secret with the ID {wanted} (vault IDs: {', '.join(sorted(set(known)))})",
                f"Give it with --vault-id {wanted}@...",
            )
        vault_id, secret = match_encrypt_secret(self._secrets, encrypt_vault_id=wanted or None)
        return (None if vault_id == "default" else vault_id), secret

    def _require_secrets(self, attempted: str) -> None:
        if not self._secrets:
            raise BadEscrow(
                attempted,
                "this run has no vault secret",
                "Give one with --vault-id, --vault-password-file or --ask-vault-pass; in AWX, with a Vault credential",
            )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
