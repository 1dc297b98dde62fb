# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how settings of a swarm are changed for a moment, and that they are put back after a power cut too.

What they were is written to the disk before. A host that loses its power meanwhile starts with the changed ones; whoever
looks after it next puts them back.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._critical import reached
from ansible_collections.quorate.swarm.plugins.module_utils._disk import replace_file
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError

_Settings = t.Dict[str, t.Any]


class ChangedSettings:
    """The settings of the swarm of this engine, and the note of what they were.

    Args:
        engine: A manager with a leader.
        directory: Its state directory. The note lies beside it, because the directory itself may be replaced.
    """

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self._note = directory.with_name(f"{directory.name}.settings")

    @contextlib.contextmanager
    def changed(self, section: str, change: t.Mapping[str, t.Any]) -> t.Iterator[int]:
        """Change a section of the swarm's spec for as long as the block takes.

        Where the block fails, the note stays, for put_back() or forget().

        Args:
            section: C(Raft) or C(Dispatcher), as the API names them (GET /swarm).
            change: What is changed of it.

        Yields: a raft index that was reached before the change.

        Raises:
            SwarmError: They could not be changed, or not be put back; or the note could not be written.
        """
        swarm = self._engine.swarm()
        usual = swarm["Spec"].get(section) or {}
        self._write({"cluster_id": swarm["ID"], "section": section, "usual": usual})
        yield self._engine.set_swarm_settings(section, {**usual, **change})
        reached("put the settings back")
        self._engine.set_swarm_settings(section, usual)
        self.forget()

    def put_back(self) -> bool:
        """Put back what a run has changed that did not come to that.

        Returns: whether there was anything to put back.

        Raises:
            SwarmError: It could not be put back.
        """
        noted = self._read()
        if noted is None:
            return False
        swarm = self._engine.swarm()
        section, usual = noted["section"], noted["usual"]
        due = swarm["ID"] == noted["cluster_id"] and (swarm["Spec"].get(section) or {}) != usual
        if due:
            self._engine.set_swarm_settings(section, usual)
        self.forget()
        return due

    def forget(self) -> None:
        """Remove the note: the settings are as they were, or those of another swarm."""
        with contextlib.suppress(FileNotFoundError):
            self._note.unlink()

    def _read(self) -> _Settings | None:
        try:
            noted: _Settings = json.loads(self._note.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SwarmError(
                f"read which settings of the swarm are to be put back ({self._note})",
                str(error),
                "Compare the heartbeat period and the raft settings that docker info shows with the usual ones, set them with "
                "docker swarm update, and remove the file",
            ) from error
        return noted

    def _write(self, noted: _Settings) -> None:
        try:
            replace_file(self._note, json.dumps(noted).encode("utf-8"))
        except OSError as error:
            raise SwarmError(
                f"note the settings of the swarm in {self._note}", str(error), "See to that, and run again"
            ) from error
