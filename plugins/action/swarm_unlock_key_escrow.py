# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps unlock keys in an encrypted file on the controller; documented as the module of the same name."""

from __future__ import annotations

import dataclasses
import os
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.quorate.swarm.plugins.module_utils import _escrow
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment_text
from ansible_collections.quorate.swarm.plugins.plugin_utils._vault_file import VaultFile

ARGUMENTS: dict[str, t.Any] = {
    "path": {"type": "path"},
    "vault_id": {"type": "str", "default": ""},
    "held": {"type": "list", "elements": "dict"},
    "entries": {"type": "list", "elements": "dict", "default": []},
    "cluster_id": {"type": "str", "default": ""},
    "fingerprint": {"type": "str", "default": ""},
    "return_keys": {"type": "bool", "default": False},
    "lock_timeout": {"type": "int", "default": 30},
}


class ActionModule(ActionBase):
    """Runs on the controller, without a connection to the host of the task."""

    _requires_connection = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        dummy, args = self.validate_argument_spec(
            argument_spec=ARGUMENTS, mutually_exclusive=[["path", "held"]], required_one_of=[["path", "held"]]
        )
        if args["return_keys"] and not self._task.no_log:
            raise AnsibleActionFail("return_keys returns unlock keys: set no_log to true for this task")
        try:
            before, after = self._keep(args)
        except SwarmError as error:
            return {**result, "failed": True, "msg": str(error), "error": error.kind, "error_details": error.details}
        answer = {
            "entries": _escrow.select(after, cluster_id=args["cluster_id"], fingerprint=args["fingerprint"]),
            "written": [entry for entry in after if entry not in before],
        }
        shown = {name: [_show(entry, args["return_keys"]) for entry in entries] for name, entries in answer.items()}
        return {**result, "changed": after != before, **shown}

    def _keep(self, args: dict[str, t.Any]) -> tuple[list[_escrow.Entry], list[_escrow.Entry]]:
        """Merge the entries of the task into the store. Returns: what it held before, and what it holds now."""
        now = moment_text()
        if not args["path"]:
            held = _escrow.merge([], _escrow.stored(args["held"]))
            return held, _escrow.merge(held, args["entries"], now=now)
        file = VaultFile(Path(os.path.abspath(args["path"])), self._vault_secrets(), vault_id=args["vault_id"])
        if not args["entries"]:
            held = _load(file)
            return held, held
        with file.locked(timeout=args["lock_timeout"]):
            held = _load(file)
            merged = _escrow.merge(held, args["entries"], now=now)
            if merged != held and not self._task.check_mode:
                file.replace(_escrow.dump(merged))
        return held, merged

    def _vault_secrets(self) -> list[tuple[str, t.Any]]:
        """The vault secrets with which ansible-playbook was started."""
        return list(self._loader._vault.secrets or [])


def _show(entry: _escrow.Entry, with_key: bool) -> dict[str, str | None]:
    shown = dataclasses.asdict(entry)
    return shown if with_key else {name: value for name, value in shown.items() if name != "key"}


def _load(file: VaultFile) -> list[_escrow.Entry]:
    text = file.read()
    return [] if text is None else _escrow.load(text)
