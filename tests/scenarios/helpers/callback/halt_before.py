# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Halts the controller before the task that $QUORATE_HALT_BEFORE, a pattern of fnmatch, names: it writes its process ID to the file `halted` in
$QUORATE_HALT_IN, and goes on when there is a file `go` beside it."""

from __future__ import annotations

import fnmatch
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: halt_before
type: aggregate
short_description: Halt the controller before a task
description: For the scenarios only.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "halt_before"

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        wanted = os.environ.get("QUORATE_HALT_BEFORE", "")
        if not fnmatch.fnmatchcase(task.get_name().rpartition(" : ")[2], wanted):
            return
        directory = Path(os.environ["QUORATE_HALT_IN"])
        halted = directory / "halted"
        halted.with_suffix(".partial").write_text(str(os.getpid()))
        halted.with_suffix(".partial").rename(halted)
        while not (directory / "go").exists():
            time.sleep(0.02)
