# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _schedule as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused


@pytest.mark.parametrize(
    ("word", "command", "setting"),
    [
        ("/usr/bin/flock", "/usr/bin/flock", "/usr/bin/flock"),
        ("@/etc/vars.yml", "@/etc/vars.yml", "@/etc/vars.yml"),
        ("", '""', '""'),
        ("two words", '"two words"', '"two words"'),
        ("100%", '"100%%"', '"100%%"'),
        ("$HOME", '"$$HOME"', '"$HOME"'),
        ('say "no"', r'"say \"no\""', r'"say \"no\""'),
        ("back\\slash", r'"back\\slash"', r'"back\\slash"'),
        ("it's;", '"it\'s;"', '"it\'s;"'),
        (7, "7", "7"),
    ],
)
def test_words_of_a_unit(word: Any, command: str, setting: str) -> None:
    assert module.schedule_command(["a", word], "command") == f"a {command}"
    assert module.schedule_command([word, "b"], "setting") == f"{setting} b"


@pytest.mark.parametrize(
    "word", ["", "plain", "two words", "100%", "$HOME", 'say "no"', "back\\slash", "it's; rm -rf /"]
)
def test_words_of_a_crontab_reach_the_program(word: str) -> None:
    """cron itself takes a backslash before a percent sign away, and gives the rest to sh."""
    line = module.schedule_command(["printf", "%s.", word], "cron")
    assert "%" not in line.replace("\\%", "")
    ran = subprocess.run(["/bin/sh", "-c", line.replace("\\%", "%")], check=True, stdout=subprocess.PIPE)
    assert ran.stdout.decode() == f"{word}."


@pytest.mark.parametrize("style", ["command", "setting", "cron"])
@pytest.mark.parametrize("word", ["a\nExecStart=/bin/evil", "a\rb", "a\0b", "a\tb"])
def test_line_breaks_are_refused(word: str, style: str) -> None:
    with pytest.raises(Refused, match="control character"):
        module.schedule_command(["a", word], style)


def test_another_style_is_refused() -> None:
    with pytest.raises(Refused, match="Give one of command, setting, cron"):
        module.schedule_command(["a"], "at")


def test_fields_of_a_crontab() -> None:
    assert module.cron_fields(" */5 2-4 1,15 * mon-fri") == {
        "minute": "*/5",
        "hour": "2-4",
        "day": "1,15",
        "month": "*",
        "weekday": "mon-fri",
    }


@pytest.mark.parametrize("text", ["", "@daily", "0 2 * *", "0 2 * * * root", "0 2 * * *\nx", "0 2 * * $(x)"])
def test_other_fields_are_refused(text: str) -> None:
    with pytest.raises(Refused, match="not five fields"):
        module.cron_fields(text)
