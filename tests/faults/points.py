# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows the points at which an operation can be hit: the steps of its modules and the tasks of its roles, as they are written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
#: Actions that change nothing anywhere. A death of the controller before one is the same as before the next task.
_THOUGHTS = re.compile(
    r"ansible\.builtin\.(assert|debug|fail|include_role|include_tasks|set_fact|set_stats|wait_for)"
    r"|quorate\.swarm\.swarm_(backup_info|info|quorum)"
)


@dataclass(frozen=True)
class Point:
    """A moment of an operation.

    Attributes:
        kind: "step" (a module halts on its host), "task" (the controller halts) or "input" (what the operation is given).
        name: The step or "after" and the step; the task, as a pattern of fnmatch; or what is given.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def steps_of(files: Sequence[str]) -> list[Point]:
    """The steps, and the other points that are named, in these files of module_utils, in the order in which they are written."""
    names = [name for file in files for name in _steps(ROOT / f"plugins/module_utils/{file}.py")]
    return [Point("step", name) for name in dict.fromkeys(names)]


def _steps(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    tables = {
        target.id: [value.value for value in node.value.values if isinstance(value, ast.Constant)]
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: node.lineno):
        if getattr(call.func, "attr", "") != "step" and getattr(call.func, "id", "") != "reached":
            continue
        (argument,) = call.args
        if isinstance(argument, ast.Constant):
            yield str(argument.value)
        elif isinstance(argument, ast.Subscript) and isinstance(argument.value, ast.Name):
            yield from map(str, tables[argument.value.id])
        else:
            raise AssertionError(f"{path}:{call.lineno}: a step whose name cannot be read here")


def tasks_of(files: Sequence[str]) -> list[Point]:
    """The tasks in these files of roles that may change something, in order."""
    names = [name for file in files for name in _tasks(yaml.safe_load((ROOT / "roles" / file).read_text()))]
    return [Point("task", name) for name in dict.fromkeys(names)]


def _tasks(tasks: Sequence[dict[str, Any]]) -> Iterator[str]:
    for task in tasks:
        blocks = [part for part in ("block", "rescue", "always") if part in task]
        for part in blocks:
            yield from _tasks(task[part])
        if not blocks and not any(_THOUGHTS.fullmatch(word) for word in task):
            yield re.sub(r"\{\{.*?\}\}", "*", task["name"])
