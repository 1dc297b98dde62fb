# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin: a file is kept, another store's entries are merged, and keys are shown only when they are asked for."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.vault import VaultSecret

from ansible_collections.quorate.swarm.plugins.action.swarm_unlock_key_escrow import ARGUMENTS, ActionModule
from ansible_collections.quorate.swarm.plugins.modules import swarm_unlock_key_escrow

CLUSTER = "2jt0p6gm4hn0gyvm1wtvzf0f5"
KEYS = ["SWMKEY-1-" + base64.b64encode(bytes([number]) * 32).decode().rstrip("=") for number in range(3)]
SECRETS = (("default", VaultSecret(b"a password")),)
ENTRY = {"cluster_id": CLUSTER, "key": KEYS[0]}


def run(*, secrets: Any = SECRETS, check: bool = False, no_log: bool = True, **args: Any) -> Any:
    task = SimpleNamespace(args=args, no_log=no_log, check_mode=check, async_val=0, diff=False, action="escrow")
    loader = SimpleNamespace(_vault=SimpleNamespace(secrets=secrets))
    plugin = ActionModule.__new__(ActionModule)
    plugin._task, plugin._loader, plugin._load_name = task, loader, "quorate.swarm.swarm_unlock_key_escrow"
    plugin._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    plugin._cleanup_remote_tmp, plugin._supports_async, plugin._supports_check_mode = False, False, True
    return plugin.run(task_vars={})


def test_a_key_goes_in_and_comes_out(tmp_path: Path) -> None:
    path = str(tmp_path / "keys.json")
    assert run(path=path)["entries"] == []
    first = run(path=path, entries=[ENTRY])
    assert first["changed"]
    assert first["written"] == first["entries"]
    assert "key" not in first["entries"][0]
    second = run(path=path, entries=[ENTRY])
    assert not second["changed"]
    assert second["written"] == []
    read = run(path=path, cluster_id=CLUSTER, fingerprint=first["entries"][0]["fingerprint"], return_keys=True)
    assert not read["changed"]
    assert read["entries"] == [{**first["entries"][0], "key": KEYS[0]}]
    assert run(path=path, cluster_id="m" * 25)["entries"] == []


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    result = run(path=str(tmp_path / "keys.json"), entries=[ENTRY], check=True)
    assert result["changed"]
    assert len(result["written"]) == 1
    assert not (tmp_path / "keys.json").exists()


def test_entries_of_another_store_are_merged_and_not_written() -> None:
    held = run(held=[], entries=[ENTRY], return_keys=True)["entries"]
    result = run(held=held, entries=[{**ENTRY, "key": KEYS[1], "created": "2030-01-01T00:00:00Z"}], return_keys=True)
    assert [entry["key"] for entry in result["entries"]] == [KEYS[1], KEYS[0]]
    assert [entry["key"] for entry in result["written"]] == [KEYS[1]]
    assert run(held=held)["changed"] is False


def test_keys_are_returned_only_to_a_task_that_does_not_log(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="set no_log to true"):
        run(path=str(tmp_path / "keys.json"), return_keys=True, no_log=False)


@pytest.mark.parametrize("secrets", [None, []])
def test_a_run_without_vault_secret_is_told(tmp_path: Path, secrets: Any) -> None:
    result = run(path=str(tmp_path / "keys.json"), entries=[ENTRY], secrets=secrets)
    assert result["failed"]
    assert result["error"] == "bad_escrow"
    assert "this run has no vault secret" in result["msg"]
    assert "SWMKEY" not in str(result)


@pytest.mark.parametrize("args", [{}, {"path": "x", "held": []}, {"path": "x", "key": "y"}])
def test_wrong_options_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(AnsibleActionFail):
        run(**args)


def test_documentation_is_that_of_the_options() -> None:
    documented = yaml.safe_load(swarm_unlock_key_escrow.DOCUMENTATION)["options"]
    plain = {
        name: {k: v for k, v in option.items() if k in ("type", "elements", "default")}
        for name, option in documented.items()
    }
    assert plain == ARGUMENTS
