# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several unit tests need: running a whole module in this process."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.parameters import PASS_VARS

# What run_module returns: the module's JSON result, as the controller receives it.
RunModule = Callable[..., Dict[str, Any]]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long parameter, such as a key that is made anew for each run, by its argument.

    Several workers collect the tests, and all must see the same names.
    """
    return argname if isinstance(val, (bytes, str)) and len(val) > 60 else None


@pytest.fixture
def run_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunModule:
    """Return a function that runs a module's main() with the given options and returns its result.

    The result is what the module printed: invocation, no_log redaction and all. A failed module is told by
    ``result["failed"]``.
    """

    def run(main: Callable[[], None], *, check: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": diff}
        if "inject_invocation" in PASS_VARS:  # ansible-core 2.20 and newer return it only when they are told to
            arguments["_ansible_inject_invocation"] = True
        # It tells the journal or the syslog of this machine; the latter takes no NUL, and then the module fails by it.
        monkeypatch.setattr(basic.AnsibleModule, "log", lambda self, msg, log_args=None: None)
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        # ansible-core 2.19 and newer ask for the serialization profile as well.
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return run
