# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a command is written in a unit of systemd and in a crontab. Pure.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import re
import shlex
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused

_PLAIN = re.compile(r"[A-Za-z0-9@_./:=,+-]+")


def schedule_command(words: t.Sequence[str], style: str) -> str:
    """Write words so that they reach the program as they are.

    Args:
        words: The program and its arguments, or assignments of variables.
        style: C(command) for C(ExecStart) of a unit (systemd.service(5)), C(setting) for another of its settings, in which
            C($) means nothing (systemd.exec(5)), or C(cron) for a command of crontab(5).

    Raises:
        Refused: A word cannot be written there, because it has a line break or another control character, or there is no
            such style.
    """
    if style not in _STYLES:
        raise Refused("write the schedule", f"there is no style {style}", f"Give one of {', '.join(_STYLES)}")
    for word in words:
        if not str(word).isprintable():
            raise Refused(
                "write the schedule", f"{str(word)!r} has a control character in it", "Give it without line breaks"
            )
    return _STYLES[style]([str(word) for word in words])


def cron_fields(text: str) -> dict[str, str]:
    """The fields of a crontab, C(minute), C(hour), C(day), C(month) and C(weekday). Raises Refused when they are not five."""
    fields = text.split()
    names = ("minute", "hour", "day", "month", "weekday")
    if len(fields) != len(names) or not all(re.fullmatch(r"[A-Za-z0-9*/,-]+", field) for field in fields):
        raise Refused(
            "write the schedule", f"{text!r} is not five fields of a crontab", "Set schedule_cron, such as 0 2 * * *"
        )
    return dict(zip(names, fields))


def _setting(words: t.Sequence[str]) -> str:
    written = []
    for word in words:
        # %% stands for itself; without quotes an empty word, or one with blanks, would be another one
        escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        written.append(escaped if _PLAIN.fullmatch(word) else f'"{escaped}"')
    return " ".join(written)


def _command(words: t.Sequence[str]) -> str:
    return _setting(words).replace("$", "$$")


def _cron(words: t.Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in words).replace("%", "\\%")


_STYLES: dict[str, t.Callable[[t.Sequence[str]], str]] = {"command": _command, "setting": _setting, "cron": _cron}
