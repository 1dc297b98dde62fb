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
#: Faults that strike an operation at its worst point alone, and why.
_ONCE = {
    "cut_ssh": "the module notices as little of it as of the death of the controller, and the controller sees the same at every step",
    "jump_clock": "a module reads the clock for names and ages alone, and waits by the monotonic one",
    "second_backup": "what keeps it away is the dead man's switch, which is armed throughout",
}
#: Where such a fault strikes as well.
_MORE = {
    ("backup", "second_backup"): ("write a settling entry", "write and verify the archive"),
    ("backup", "jump_clock"): ("write and verify the archive",),
}
#: Steps during which the engine of the host is stopped.
_STOPPED = ("copy", "start", "swap the state directories", "start outside the swarm")
#: Steps during which the swarm is not asked.
_QUIET = ("copy", "start", "unlock", "check the copy", "write and verify the archive", "after wait until reachable")
#: Steps of a recovery that are also those of a restore.
_SHARED = (
    "look for other managers once more",
    "force a new cluster",
    "wait for the leader",
    "compare",
    "shorten the raft log",
    "put the settings back",
)
#: Steps of changes of nodes and keys at which the network is cut.
_SPOKEN = ("rotate the unlock key", "change the node", "join", "unlock", "wait until it is drained")
#: Steps of a restore and a recovery that check and change nothing; the last one is the fence.
_BEFORE = (
    "verify the archive",
    "extract and check a copy",
    "check this host",
    "see whether the quorum is lost",
    "check the state directory",
    "see that it has written what is committed",
    "fence the other managers",
)


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    operation: str
    point: Point
    fault: str

    def __str__(self) -> str:
        return f"{self.operation} | {self.point} | {self.fault}"


def left_out(operation: Operation, point: Point, fault: str) -> str:
    """Why a fault is left out at a point; empty when it is a case."""
    if str(point) in operation.unreached:
        return f"not reached: {operation.unreached[str(point)]}"
    if point.kind == "input":
        if fault not in _INPUTS:
            return "nothing runs yet"
        return "" if operation.takes_key else "it is given no key"
    if fault in _INPUTS:
        return "a fault of what is given has no other point"
    if point.kind == "task":
        return (
            ""
            if fault == "kill_ansible"
            else "between two tasks the hosts do nothing; they are hit at the steps of the modules"
        )
    return _at_step(operation, point.name, fault)


def _at_step(operation: Operation, step: str, fault: str) -> str:
    if fault in _ONCE and step not in (operation.worst, *_MORE.get((operation.name, fault), ())):
        return _ONCE[fault]
    if fault == "kill_engine" and step in _STOPPED:
        return "the engine is stopped"
    if fault == "kill_engine" and operation.name == "restore" and step in _BEFORE:
        return "the engine is in no swarm yet"
    if fault in ("cut_network", "cut_leader") and operation.name in ("restore", "recover_quorum"):
        return "no other manager is in the swarm yet"
    if fault == "cut_leader" and operation.name == "unlock":
        return "there is no leader yet"
    if fault == "cut_leader" and step in _QUIET:
        return "the module asks the swarm nothing here that it does not ask in the next step"
    if fault == "kill_ansible" and operation.name != "backup" and step != operation.worst:
        return "a module does not notice it, which every step of a backup and the worst one of this shows; here it is struck before each task"
    if operation.name == "recover_quorum" and fault in _ONCE:
        return "the code that meets it is that of a restore, where it is struck"
    if (
        operation.name == "recover_quorum"
        and step in _SHARED
        and not (step == _SHARED[1] and fault in ("kill_module", "cut_power"))
    ):
        return "the code is that of a restore, where it is struck"
    if fault in ("cut_network", "cut_leader") and operation.short and step not in _SPOKEN:
        return "it waits for the swarm as at the steps where this is struck"
    if fault == "cut_power" and step in _BEFORE[:-1]:
        return "nothing is changed until the last of the checks, where it is hit"
    return _of_disks(operation, step, fault)


def _of_disks(operation: Operation, step: str, fault: str) -> str:
    at: dict[str, dict[str, tuple[str, ...]]] = {
        "fill_state_disk": {
            "backup": ("copy the snapshots", "copy", "check the copy"),
            "restore": ("extract and check a copy", "swap the state directories"),
            "recover_quorum": ("stop", "start outside the swarm"),
        },
        "fill_archive_disk": {"backup": ("write and verify the archive",)},
        "truncate_archive": {"restore": ("verify the archive", "extract and check a copy")},
    }
    if fault in at and step not in at[fault].get(operation.name, ()):
        return "no archive is read in this step" if fault == "truncate_archive" else "it writes little or nothing there"
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
