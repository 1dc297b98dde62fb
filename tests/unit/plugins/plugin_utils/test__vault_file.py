# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that is encrypted with Ansible Vault: what is on disk at any time, and every reason to leave it alone."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadEscrow
from ansible_collections.quorate.swarm.plugins.plugin_utils import _vault_file
from ansible_collections.quorate.swarm.plugins.plugin_utils._vault_file import VaultFile

DEFAULT = ("default", VaultSecret(b"a password"))
PROD = ("prod", VaultSecret(b"another one"))
OLD, NEW = "the old content", "the new content"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def made(path: Path, *secrets: tuple[str, VaultSecret], text: str = OLD, vault_id: str = "") -> VaultFile:
    file = VaultFile(path, secrets or (DEFAULT,), vault_id=vault_id)
    file.replace(text)
    return file


def header(path: Path) -> str:
    return path.read_text().splitlines()[0]


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def test_it_is_read_as_it_was_written_and_only_its_owner_reads_it(path: Path) -> None:
    old_mask = os.umask(0)
    try:
        file = made(path)
    finally:
        os.umask(old_mask)
    assert file.read() == OLD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path) == ["keys.json"]
    assert OLD not in path.read_text()


def test_a_file_that_is_not_there_is_no_error(path: Path) -> None:
    assert VaultFile(path, []).read() is None


def test_the_secret_that_encrypted_it_encrypts_it_again(path: Path) -> None:
    made(path, DEFAULT, PROD, vault_id="prod")
    assert header(path).endswith(";prod")
    made(path, DEFAULT, PROD, text=NEW)
    assert header(path).endswith(";prod")
    assert VaultFile(path, [PROD]).read() == NEW
    made(path, DEFAULT, PROD, vault_id="default")
    assert header(path) == "$ANSIBLE_VAULT;1.1;AES256"


def test_the_identity_of_ansible_vault_encrypts_a_new_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vault_file.constants, "DEFAULT_VAULT_ENCRYPT_IDENTITY", "prod", raising=False)
    made(path, DEFAULT, PROD)
    assert header(path).endswith(";prod")


@pytest.mark.parametrize(
    ("secrets", "vault_id", "cause"),
    [
        ([], "", "no vault secret. Give one with --vault-id"),
        ([DEFAULT], "prod", "no vault secret with the ID prod"),
    ],
)
def test_without_the_secret_nothing_is_written(path: Path, secrets: Any, vault_id: str, cause: str) -> None:
    made(path)
    before = path.read_bytes()
    with pytest.raises(BadEscrow, match=cause):
        VaultFile(path, secrets, vault_id=vault_id).replace(NEW)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("secrets", "cause"),
    [([], "no vault secret"), ([PROD], r"no vault secret of this run opens it \(vault IDs: prod\)")],
)
def test_without_the_secret_nothing_is_read(path: Path, secrets: Any, cause: str) -> None:
    made(path)
    with pytest.raises(BadEscrow, match=cause):
        VaultFile(path, secrets).read()


def test_a_file_in_clear_is_refused(path: Path) -> None:
    path.write_text(OLD)
    with pytest.raises(BadEscrow, match="not encrypted with Ansible Vault"):
        VaultFile(path, [DEFAULT]).read()


def test_a_file_that_others_own_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(BadEscrow, match="Run it as the user that owns it"):
        VaultFile(path, [DEFAULT]).read()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_alone(path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    file = made(path)

    def fail(*dummy: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(BadEscrow, match="No space left on device"):
        file.replace(NEW)
    assert file.read() == OLD
    assert names(path) == ["keys.json"]


def test_what_does_not_decrypt_is_not_put_in_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(path)
    other = VaultLib([DEFAULT]).encrypt("something else", DEFAULT[1])
    monkeypatch.setattr(VaultLib, "encrypt", lambda *dummy, **dummies: other)
    with pytest.raises(BadEscrow, match="does not decrypt to it"):
        file.replace(NEW)
    assert file.read() == OLD
    assert names(path) == ["keys.json"]


def test_what_is_not_there_afterwards_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(path)
    monkeypatch.setattr(os, "replace", lambda source, target: None)
    with pytest.raises(BadEscrow, match="it does not hold what was written"):
        file.replace(NEW)


def test_what_a_killed_run_left_is_written_over(path: Path) -> None:
    file = made(path)
    left = path.with_name(".keys.json.partial")
    left.write_text("half of")
    left.chmod(0o644)
    file.replace(NEW)
    assert file.read() == NEW
    assert names(path) == ["keys.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symbolic_link_stays_one(path: Path) -> None:
    target = path.with_name("target.json")
    path.symlink_to(target)
    file = made(path)
    assert path.is_symlink()
    assert VaultFile(target, [DEFAULT]).read() == file.read() == OLD


def test_two_cannot_change_it_at_once(path: Path) -> None:
    file = made(path)
    with file.locked(timeout=0), pytest.raises(BadEscrow, match="another run holds it"), file.locked(timeout=0):
        pass
    with file.locked(timeout=0):
        pass
    assert names(path) == [".keys.json.lock", "keys.json"]
    assert stat.S_IMODE(path.with_name(".keys.json.lock").stat().st_mode) == 0o600


def test_a_change_waits_for_the_one_before(path: Path) -> None:
    made(path, text="0")

    def count() -> None:
        file = VaultFile(path, [DEFAULT])
        with file.locked(timeout=60):
            file.replace(str(int(file.read() or "") + 1))

    threads = [threading.Thread(target=count) for dummy in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert VaultFile(path, [DEFAULT]).read() == "8"


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    file = VaultFile(tmp_path / "none" / "keys.json", [DEFAULT])
    with pytest.raises(BadEscrow, match="mkdir -p -m 0700"), file.locked(timeout=0):
        pass
