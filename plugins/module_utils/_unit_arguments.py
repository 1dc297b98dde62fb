# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how systemd tells what a service is started with.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import typing as t

#: What to ask C(systemctl show) for. The unit's drop-ins are in it.
PROPERTIES = ("ExecStart", "Environment", "EnvironmentFiles")

_ARGUMENTS = re.compile(r"^ExecStart=\{.*? argv\[\]=(.*?) ; ignore_errors=", re.MULTILINE)
_FILE = re.compile(r"^EnvironmentFiles=(.*?) \(ignore_errors=\w+\)$", re.MULTILINE)
_ENVIRONMENT = re.compile(r"^Environment=(.*)$", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def unit_arguments(shown: str, read_text: t.Callable[[str], str]) -> list[str]:
    """Return the words of the last ExecStart of a unit, its variables replaced; none when it has no such line.

    Systemd prints the words with spaces between them and without quotes, so a word that has a space in it comes apart.

    Args:
        shown: What C(systemctl show) prints for PROPERTIES.
        read_text: Reads a file by its path; it may raise OSError.
    """
    lines = _ARGUMENTS.findall(shown)
    if not lines:
        return []
    texts = _ENVIRONMENT.findall(shown)
    for path in _FILE.findall(shown):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            texts += read_text(path).splitlines()
    variables: dict[str, str] = {}
    for text in texts:
        variables.update(_assignments(text))
    words: list[str] = []
    for word in lines[-1].split():
        if word.startswith("$") and not word.startswith("${"):  # split at spaces (systemd.service(5))
            words += variables.get(word[1:], "").split()
        else:
            words.append(_VARIABLE.sub(lambda match: variables.get(match[1], ""), word))
    return words


def _assignments(text: str) -> dict[str, str]:
    """The variables that a line sets; none when it is a comment, or none that a shell would understand."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return {}
    return {name: value for name, given, value in (word.partition("=") for word in words) if given}
