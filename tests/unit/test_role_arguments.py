# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection says in two places has to be the same in both: roles, README files, the action group."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.plugins.filter.core import to_bool
from jinja2 import Environment

COLLECTION = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (COLLECTION / "roles").iterdir() if path.is_dir())
MODULES = sorted(path.stem for path in (COLLECTION / "plugins" / "modules").glob("*.py"))
#: What runs on the controller, and so has none of the options of the action group.
ACTIONS = {path.stem for path in (COLLECTION / "plugins" / "action").glob("*.py")}


def load(*parts: str) -> Any:
    return yaml.safe_load(COLLECTION.joinpath(*parts).read_text(encoding="utf-8"))


def options_of(role: str) -> dict[str, Any]:
    """The options of a role, of all its entry points."""
    entry_points = load("roles", role, "meta", "argument_specs.yml")["argument_specs"].values()
    return {name: option for entry_point in entry_points for name, option in entry_point["options"].items()}


def code_of(role: str) -> str:
    """The tasks, variables and templates of a role."""
    parts = ("tasks/*.yml", "vars/*.yml", "templates/*.j2")
    files = (path for part in parts for path in (COLLECTION / "roles" / role).glob(part))
    return "\n".join(path.read_text() for path in files)


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_of_the_specification(role: str) -> None:
    """An option that is required has an empty default, so that a playbook fails by the specification and not by a template."""
    options = options_of(role)
    expected = {name: "" if option.get("required") else option["default"] for name, option in options.items()}
    assert load("roles", role, "defaults", "main.yml") == expected


@pytest.mark.parametrize("role", ROLES)
def test_variables_of_a_role_bear_its_name(role: str) -> None:
    assert [name for name in options_of(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_secrets_are_marked(role: str) -> None:
    marked = {name for name, option in options_of(role).items() if option.get("no_log")}
    texts = {name for name, option in options_of(role).items() if option["type"] != "bool"}
    assert marked == {name for name in texts if re.search("_(key|token|password)s?$", name)}


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_used(role: str) -> None:
    tasks = code_of(role)
    assert [name for name in options_of(role) if not re.search(rf"\b{name}\b", tasks)] == []


@pytest.mark.parametrize("role", ROLES)
def test_no_other_variable_is_used(role: str) -> None:
    tasks = code_of(role)
    used = set(re.findall(rf"(?<![\w.]){role}_[a-z_]+", tasks)) - {
        "backup_result",
        "copy_archive_result",
        "fetch_archive_found",
        "fetch_archive_path",
        "health_archives",
        "health_info",
        "health_result",
        "unlock_key_escrow_action",
        "unlock_key_escrow_entries",
        "verify_backup_result",
    }
    of_others = {name for other in ROLES if other.startswith(f"{role}_") for name in options_of(other)}
    playbook = COLLECTION / "playbooks" / f"{role}.yml"
    of_the_playbook = set(re.findall(rf"\b{role}_host\b", playbook.read_text())) if playbook.exists() else set()
    assert used - set(options_of(role)) - of_others - of_the_playbook == set()


@pytest.mark.parametrize("role", ROLES)
def test_readme_describes_every_variable_with_its_default(role: str) -> None:
    """A row of a table: | `variable` | default | what it is |."""
    readme = (COLLECTION / "roles" / role / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| ", readme, re.MULTILINE))
    expected = {}
    for name, option in options_of(role).items():
        shown = option.get("default")
        if isinstance(shown, (bool, dict, list)) or shown == "":
            shown = json.dumps(shown)
        expected[name] = "required" if option.get("required") else f"`{shown}`"
    assert rows == expected


def tasks_of(content: Any) -> Iterator[dict[str, Any]]:
    """All tasks in a file of tasks, those in blocks included."""
    for task in content:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks_of(task.get(part, ()))


def refusals_of(role: str) -> list[str]:
    """The conditions on which a role refuses to go on because it is not confirmed."""
    name = f"{role}_confirmed"
    conditions = []
    for path in sorted((COLLECTION / "roles" / role / "tasks").glob("*.yml")):
        for task in tasks_of(yaml.safe_load(path.read_text(encoding="utf-8"))):
            if name in task.get("ansible.builtin.fail", {}).get("msg", ""):
                when = task["when"] if isinstance(task["when"], list) else [task["when"]]
                conditions += [condition for condition in when if name in condition]
    return conditions


@pytest.mark.parametrize("role", [role for role in ROLES if f"{role}_confirmed" in options_of(role)])
@pytest.mark.parametrize(
    ("said", "refused"),
    [(False, True), ("false", True), ("False", True), ("no", True), (True, False), ("true", False), ("yes", False)],
)
def test_a_confirmation_counts_as_it_is_meant(role: str, said: Any, refused: bool) -> None:
    """The command line gives text (-e NAME_confirmed=false), and every text that is not empty is true for Jinja."""
    (condition,) = refusals_of(role)
    environment = Environment(autoescape=True)
    environment.filters["bool"] = to_bool
    assert environment.compile_expression(condition)(**{f"{role}_confirmed": said}) is refused


def expressions_of(content: Any, condition: bool = False) -> Iterator[str]:
    """The conditions in some tasks, and the expressions in their templates that are more than a name."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from expressions_of(value, condition=key in ("when", "that", "until", "changed_when", "failed_when"))
    elif isinstance(content, list):
        for value in content:
            yield from expressions_of(value, condition)
    elif condition:
        yield str(content)
    else:
        inner = (part.strip() for part in re.findall(r"\{[{%](.*?)[}%]\}", str(content), re.DOTALL))
        # A name alone is handed on as it is, and what takes it has options with a type.
        yield from (part for part in inner if not part.isidentifier())


@pytest.mark.parametrize("role", ROLES)
def test_yes_and_no_count_as_they_are_meant(role: str) -> None:
    """As above, for all options that are true or false; as a condition, ansible-core 2.19 refuses text altogether."""
    flags = "|".join(name for name, option in options_of(role).items() if option["type"] == "bool")
    unclear = [
        expression
        for path in sorted((COLLECTION / "roles" / role / "tasks").glob("*.yml"))
        for expression in expressions_of(yaml.safe_load(path.read_text(encoding="utf-8")))
        if flags and re.search(rf"\b({flags})\b(?! \| bool\b)", expression)
    ]
    assert unclear == []


def test_action_group_is_every_module() -> None:
    assert load("meta", "runtime.yml")["action_groups"]["swarm"] == [name for name in MODULES if name not in ACTIONS]


@pytest.mark.parametrize("role", [role for role in ROLES if (COLLECTION / "roles" / role / "tasks/main.yml").exists()])
def test_every_role_has_a_playbook_that_runs_it(role: str) -> None:
    (play,) = load("playbooks", f"{role}.yml")
    assert play["roles"] == [{"role": f"quorate.swarm.{role}"}]


def stats_of(role: str) -> list[dict[str, Any]]:
    """The tasks of a role that hand something over to what runs next."""

    def tasks(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for entry in entries:
            yield entry
            for part in ("block", "rescue", "always"):
                yield from tasks(entry.get(part, []))

    files = (COLLECTION / "roles" / role / "tasks").glob("*.yml")
    found = [task for path in files for task in tasks(yaml.safe_load(path.read_text()) or [])]
    return [task["ansible.builtin.set_stats"] for task in found if "ansible.builtin.set_stats" in task]


@pytest.mark.parametrize("role", ROLES)
def test_what_is_handed_over_has_one_name_that_no_role_reads(role: str) -> None:
    """A workflow makes it a variable of all later jobs that wins over every fact of that name."""
    for stats in stats_of(role):
        assert stats["aggregate"] is False
        assert list(stats["data"]) == [f"quorate_{role}"]
        assert "key" not in str(stats["data"]).replace(role, "")
        assert f"`quorate_{role}`" in (COLLECTION / "roles" / role / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.])quorate_\w+", code_of(role)) == [f"quorate_{role}"] * len(stats_of(role))


def test_the_operations_of_a_workflow_hand_something_over() -> None:
    handing = {role for role in ROLES if stats_of(role)}
    assert handing >= {"backup", "health", "recover_quorum", "report", "restore", "rotate_unlock_key", "verify_backup"}
