# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/examples/awx asks people for has to be what the roles take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).resolve().parents[2]
EXAMPLE = COLLECTION / "docs" / "examples" / "awx"
#: The host of a playbook is no option of its role.
HOSTS = {"restore_host": {"type": "str", "required": True}}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


SURVEYS: dict[str, list[dict[str, Any]]] = load(EXAMPLE / "controller" / "surveys.yml")["swarm_surveys"]
SETTINGS = load(EXAMPLE / "controller" / "settings.yml")
QUESTIONS = [(operation, question) for operation, questions in SURVEYS.items() for question in questions]


def options_of(role: str) -> dict[str, Any]:
    return {
        **load(COLLECTION / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"],
        **HOSTS,
    }


@pytest.mark.parametrize(("operation", "question"), QUESTIONS)
def test_a_question_is_about_an_option(operation: str, question: dict[str, Any]) -> None:
    option = options_of(operation)[question["variable"]]
    if option["type"] == "bool":
        assert question["choices"] == ["false", "true"]
        assert question["default"] == str(option["default"]).lower()
    elif question["type"] == "multiplechoice":
        assert set(question["choices"]) <= set(option["choices"])
        assert question["default"] in question["choices"]
    elif question["type"] == "integer":
        assert option["type"] in ("int", "float")
        assert question["min"] <= question["default"] <= question["max"]
    else:
        assert option["type"] in ("str", "list", "path")


def test_what_runs_by_itself_asks_nothing() -> None:
    """A schedule and a workflow take the defaults, so each required question of theirs has one."""
    started = {node["unified_job_template"]["name"] for node in SETTINGS["swarm_workflow"]}
    started |= {schedule["of"] for schedule in SETTINGS["swarm_schedules"]}
    surveys = {job.get("survey") for job in SETTINGS["swarm_job_templates"] if job["name"] in started} - {None}
    assert surveys == {"health", "backup", "rotate_unlock_key"}
    questions = [question for survey in surveys for question in SURVEYS[survey]]
    assert [question["variable"] for question in questions if question["required"] and "default" not in question] == []


def test_a_job_template_has_a_file_that_awx_finds() -> None:
    """AWX takes a file for a playbook that has such a line (awx/main/utils/ansible.py)."""
    for job in SETTINGS["swarm_job_templates"]:
        text = (EXAMPLE / job["playbook"]).read_text(encoding="utf-8")
        assert re.search(r"^\s*-?\s*(hosts|(ansible\.builtin\.)?import_playbook):", text, re.MULTILINE)


def test_a_file_imports_the_playbook_of_its_name() -> None:
    for path in EXAMPLE.glob("*.yml"):
        imported = re.findall(r"import_playbook: quorate\.swarm\.(\w+)", path.read_text(encoding="utf-8"))
        assert imported == ([] if path.stem in ("notify", "execution-environment") else [path.stem])
        assert all((COLLECTION / "playbooks" / f"{name}.yml").exists() for name in imported)
