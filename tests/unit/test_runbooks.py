# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runbooks have to have a page for each playbook, with the same parts, commands that run, and options that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

COLLECTION = Path(__file__).resolve().parents[2]
DOCS = COLLECTION / "docs"
RUNBOOKS = sorted(path for path in (DOCS / "runbooks").glob("*.md") if path.name != "index.md")
PLAYBOOKS = sorted(path.stem for path in (COLLECTION / "playbooks").glob("*.yml"))
ROLES = sorted(path.name for path in (COLLECTION / "roles").iterdir() if path.is_dir())
PARTS = [
    "What you see",
    "What it means",
    "The command",
    "What it does",
    "How long",
    "What can go wrong",
    "How to check",
]


def ids(path: Path) -> str:
    return path.stem


def known_variables() -> set[str]:
    """The options of all roles, and the hosts that playbooks take."""
    found = {
        name
        for path in (COLLECTION / "playbooks").glob("*.yml")
        for name in re.findall(r"\w+_host\b", path.read_text())
    }
    for path in (COLLECTION / "roles").glob("*/meta/argument_specs.yml"):
        for entry_point in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            found |= set(entry_point["options"])
    return found


@pytest.mark.parametrize("path", RUNBOOKS, ids=ids)
def test_every_runbook_has_the_same_parts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == PARTS
    assert [part for part in re.split(r"^## .*\n", text, flags=re.MULTILINE)[1:] if len(part.split()) < 2] == []


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_playbook_has_a_runbook(playbook: str) -> None:
    commands = [
        re.search(r"## The command\n(.*?)\n## ", path.read_text(encoding="utf-8"), re.DOTALL) for path in RUNBOOKS
    ]
    assert any(found and re.search(rf"quorate\.swarm\.{playbook}\b", found[1]) for found in commands)


@pytest.mark.parametrize("path", [*RUNBOOKS, DOCS / "quick_start.md", DOCS / "symptoms.md"], ids=ids)
def test_commands_run_and_options_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    called = set(re.findall(r"ansible-playbook[^\n]* quorate\.swarm\.(\w+)", text))
    assert called <= set(PLAYBOOKS)
    text = re.sub(r"\]\([^)]*\)|[\w/]+\.(vault\.yml|json)", "", text)
    names = {name for name in re.findall(r"\w+", text) if name.startswith(tuple(f"{role}_" for role in ROLES))}
    assert names - known_variables() - findings() == set()


def findings() -> set[str]:
    """What the role health may find."""
    readme = (COLLECTION / "roles/health/README.md").read_text(encoding="utf-8")
    return set(re.findall(r"`(\w+)`", readme.partition("## What it finds")[2]))


@pytest.mark.parametrize("path", RUNBOOKS, ids=ids)
def test_every_runbook_is_found_by_its_list(path: Path) -> None:
    index = (DOCS / "runbooks/index.md").read_text(encoding="utf-8")
    assert f"]({path.name})" in index


def test_quick_start_is_one_screen() -> None:
    assert len((DOCS / "quick_start.md").read_text(encoding="utf-8").splitlines()) < 45
