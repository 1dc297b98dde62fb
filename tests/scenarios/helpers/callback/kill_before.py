# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kills the controller, with all its processes, between two tasks: before the one that $QUORATE_KILL_BEFORE names."""

from __future__ import annotations

import os
import signal
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kill_before
type: aggregate
short_description: Kill the controller before a task
description: For the scenarios only.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_before"

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        if task.get_name().rpartition(" : ")[2] == os.environ.get("QUORATE_KILL_BEFORE"):
            os.killpg(0, signal.SIGKILL)
