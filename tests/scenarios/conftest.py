# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the scenarios: real hosts, and real Ansible runs against them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

# pytest itself puts the directory of this file on the path, with the package helpers
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from helpers.runner import RunModule, Runner, RunPlaybook

from quorate_lab import Lab
from quorate_lab.slots import borrowed_lab


class LabFactory(Protocol):
    """The type of the fixture `lab_factory`."""

    def __call__(
        self,
        managers: int = 3,
        workers: int = 1,
        autolock: bool = False,
        *,
        engine: str | None = None,
        form_swarm: bool = True,
    ) -> Lab: ...


@pytest.fixture(scope="session")
def engine() -> str:
    """The engine version of the labs: $QUORATE_ENGINE, else 20.10."""
    return os.environ.get("QUORATE_ENGINE") or "20.10"


@pytest.fixture(scope="module")
def lab_factory(engine: str) -> Iterator[LabFactory]:
    """A function that brings up a lab of its own; all are taken down after the last test of the module.

    A test that breaks its lab may take it down itself, or use it in a `with` statement, which does so.
    """
    engine_of_the_run = engine
    with ExitStack() as labs:

        def make(
            managers: int = 3,
            workers: int = 1,
            autolock: bool = False,
            *,
            engine: str | None = None,
            form_swarm: bool = True,
        ) -> Lab:
            lab = labs.enter_context(borrowed_lab(engine or engine_of_the_run))
            lab.up(managers, workers, autolock=autolock, form_swarm=form_swarm)
            return lab

        yield make


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """The one that runs Ansible in this session."""
    return Runner(tmp_path_factory.mktemp("ansible"))


@pytest.fixture(scope="session")
def playbook(runner: Runner) -> RunPlaybook:
    """`Runner.playbook`."""
    return runner.playbook


@pytest.fixture(scope="session")
def module(runner: Runner) -> RunModule:
    """`Runner.module`."""
    return runner.module
