# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which fault is meaningful at which point of which operation, and why the others are left out."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from faults.injections import FAULTS
from faults.operations import OPERATIONS, Operation
from faults.points import Point

#: Faults of what an operation is given; they have no other point.
_INPUTS = ("wrong_key",)
#: Faults that only a halted module can be hit by.
_OF_MODULES = ("kill_module", "fill_state_disk", "fill_archive_disk", "jump_clock", "second_backup")
#: Steps during which the engine of the host is stopped.
_STOPPED = ("copy", "start", "swap the state directories")


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    operation: str
    point: Point
    fault: str

    @property
    def must_stay_quorate(self) -> bool:
        """Whether the fault leaves a majority that nobody has to help."""
        return OPERATIONS[self.operation].loaded

    def __str__(self) -> str:
        return f"{self.operation} | {self.point} | {self.fault}"


def left_out(operation: Operation, point: Point, fault: str) -> str:
    """Why a fault is left out at a point; empty when it is a case."""
    if str(point) in operation.unreached:
        return f"not reached: {operation.unreached[str(point)]}"
    if (point.kind == "input") != (fault in _INPUTS):
        return "a fault of what is given has no other point" if fault in _INPUTS else "nothing runs yet"
    if point.kind == "input" and operation.name in operation_without_key:
        return "it is given no key"
    if point.kind == "task" and fault in _OF_MODULES:
        return "no module runs while the controller is between two tasks"
    if fault == "kill_engine" and point.name in _STOPPED:
        return "the engine is stopped"
    return _of_operation(operation, point, fault)


operation_without_key = ("backup", "drain_managers", "rejoin_manager", "rotate_unlock_key")


def _of_operation(operation: Operation, point: Point, fault: str) -> str:
    if fault == "truncate_archive" and (operation.name, point.name) not in (
        ("restore", "verify the archive"),
        ("restore", "extract and check a copy"),
    ):
        return "no archive is read from here on"
    if operation.name == "backup":
        return _of_backup(point, fault)
    return ""


def _of_backup(point: Point, fault: str) -> str:
    if point.kind == "task" and fault != "kill_ansible":
        return "the module is hit by it at its steps; before and after it the hosts only answer questions"
    if fault == "fill_state_disk" and point.name not in ("write a settling entry", "copy", "check the copy"):
        return "nothing but these steps writes there"
    if fault == "fill_archive_disk" and point.name != "write and verify the archive":
        return "nothing but that step writes there"
    if fault == "cut_leader" and point.name in ("copy", "start", "check the copy", "write and verify the archive"):
        return "the module asks the swarm nothing in that step that it does not ask in the next"
    if fault in ("cut_network", "jump_clock", "cut_ssh", "kill_engine") and point.name.startswith("after "):
        return "nothing is left to do but to answer"
    return ""


def all_cases() -> list[Case]:
    """Every case, in the order of the operations and their points."""
    return [
        Case(operation.name, point, fault)
        for operation in OPERATIONS.values()
        for point in operation.points()
        for fault in FAULTS
        if not left_out(operation, point, fault)
    ]


def selected(operation: str, point: str, fault: str) -> list[Case]:
    """The cases of an operation, at points whose name is or matches *point*, with a fault; an empty word means all."""
    return [
        case
        for case in all_cases()
        if operation in ("", case.operation)
        and fault in ("", case.fault)
        and (point in ("", case.point.name, str(case.point)) or fnmatchcase(case.point.name, point))
    ]
