# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A few of the faults that `make faults` runs all of, and the table of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.case import ALONE, RERUN, run_case
from faults.injections import FAULTS
from faults.operations import OPERATIONS
from faults.scene import Scene
from faults.table import all_cases, left_out, selected
from helpers.runner import Runner

from quorate_lab.slots import borrowed_lab

#: Bad moments: operation, point, fault, and what has to come of it.
SELECTION = [
    ("backup", "copy", "kill_ansible", [ALONE]),
    ("backup", "stop", "kill_module", [RERUN]),
    ("backup", "write and verify the archive", "fill_archive_disk", [RERUN]),
    ("rotate_unlock_key", "Put the key into the escrow", "kill_ansible", [RERUN]),
    ("unlock", "unlock", "kill_module", [ALONE, RERUN]),
    ("restore", "uncover the state", "cut_power", [RERUN]),
    ("restore", "wait for the leader", "cut_power", [RERUN]),
]


@pytest.fixture(scope="module")
def scene(engine: str, runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with borrowed_lab(engine) as lab:
        yield Scene(lab, runner, tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize(("operation", "point", "fault", "outcome"), SELECTION)
def test_fault(scene: Scene, operation: str, point: str, fault: str, outcome: list[str]) -> None:
    (case,) = selected(operation, point, fault)
    result = run_case(scene, case, seed=1)
    assert result.outcome in outcome, result


def test_every_point_is_hit_or_has_a_reason() -> None:
    """A reason that names a point which is no more is as wrong as a point without a case."""
    hit = {(case.operation, case.point) for case in all_cases()}
    for operation in OPERATIONS.values():
        points = operation.points()
        assert set(operation.unreached) <= set(map(str, points))
        for point in points:
            reasons = [left_out(operation, point, fault) for fault in FAULTS]
            assert ((operation.name, point) in hit) == (not all(reasons)), point
            somewhere = point in {point for dummy, point in hit}  # two operations may share a step
            assert somewhere or point.kind == "input" or str(point) in operation.unreached, f"no fault at {point}"
