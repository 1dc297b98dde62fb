# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kills the controller while it writes the escrow: with half of the new file written (`half`), with all of it (`whole`), or
when it is in the place of the old one and nobody knows it yet (`placed`). $QUORATE_KILL_WRITING says which."""

from __future__ import annotations

import os
import signal
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kill_writing
type: aggregate
short_description: Kill the controller while it writes the escrow
description: For the scenarios only.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_writing"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._controller = os.getpid()
        self._fsync, self._replace = os.fsync, os.replace
        # An action runs in a process that is forked from this one, and has them too.
        vars(os).update(fsync=self.fsync, replace=self.replace)

    def fsync(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.environ.get("QUORATE_KILL_WRITING") == "half" and "/.unlock_keys.json." in path:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            self.die()
        self._fsync(descriptor)

    def replace(self, source: Any, target: Any, **options: Any) -> None:
        kill = os.environ.get("QUORATE_KILL_WRITING") if str(target).endswith("/unlock_keys.json") else None
        if kill == "whole":
            self.die()
        self._replace(source, target, **options)
        if kill == "placed":
            self.die()

    def die(self) -> None:
        os.kill(self._controller, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
