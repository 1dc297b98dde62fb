# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One case: an operation, a point, a fault; and what came of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from faults.injections import FAULTS, Hit, TooLate
from faults.judge import UNHEALTHY, busy, unfinished, violations
from faults.operations import OPERATIONS
from faults.points import ROOT
from faults.scene import Scene
from faults.table import Case
from faults.writer import Writer
from helpers.runner import AnsibleRun

from quorate_lab.errors import LabError

ALONE, RERUN, FAILED = "survived alone", "survived after a rerun", "FAILED"
_HEALTHY = 150
#: What the playbooks of each case have printed.
LOGS = ROOT / "build/faults/logs"


@dataclass
class Result:
    """What came of a case.

    Attributes:
        seconds: From the fault until the swarm was as it has to be; None when it never was.
        before_rerun: What was not as it has to be before the operation was run again.
        help: What else than a rerun it took.
        violated: What was not as it has to be at the end, or must not be at any time.
    """

    operation: str
    point: str
    fault: str
    outcome: str = FAILED
    seconds: float | None = None
    before_rerun: list[str] = field(default_factory=list)
    help: str = ""
    violated: list[str] = field(default_factory=list)
    seed: int = 0
    engine: str = ""
    date: str = ""
    took: float = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def run_case(scene: Scene, case: Case, seed: int) -> Result:
    """Run a case in a lab, which it leaves healthy or marked as stale."""
    began = time.monotonic()
    result = Result(case.operation, str(case.point), case.fault, seed=seed, engine=scene.lab.engine)
    result.date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    random = Random(f"{seed} {case}")
    LOGS.mkdir(parents=True, exist_ok=True)
    scene.log = LOGS / (re.sub(r"\W+", "_", str(case)) + ".log")
    scene.log.unlink(missing_ok=True)
    delay = random.choice([0.0, random.uniform(0, 0.4)])
    if OPERATIONS[case.operation].short and case.fault == "kill_module":
        delay = 0.0  # the module may have told its result and not be gone yet
    for seconds in dict.fromkeys((delay, 0.0)):
        result.violated.clear()
        try:
            _Attempt(scene, case, result, random, seconds).run()
            break
        except TooLate:
            scene.stale = True
            result.violated.append("the operation was over before the fault came, without a delay too")
        except (AssertionError, LabError, OSError) as error:
            result.violated.append(f"{type(error).__name__}: {error}"[-3000:])
            break
    if result.violated:
        result.outcome, scene.stale = FAILED, True
    with suppress(LabError, OSError):
        scene.lab.heal()
        scene.sweep()
    result.took = round(time.monotonic() - began, 1)
    return result


class _Attempt:
    def __init__(self, scene: Scene, case: Case, result: Result, random: Random, delay: float) -> None:
        self.scene = scene
        self.case = case
        self.result = result
        self.random = random
        self.delay = delay
        self.operation = OPERATIONS[case.operation]
        self.fault = FAULTS[case.fault]

    def run(self) -> None:
        scene, operation, result = self.scene, self.operation, self.result
        if operation.needs_swarm(scene):
            scene.make_healthy()
        scene.writer = Writer(scene.hosts)
        with ExitStack() as load:
            load.enter_context(scene.writer)
            if not operation.loaded:
                time.sleep(3)
                load.close()
                time.sleep(1)
            operation.start(scene)
            hosts = operation.hosts(scene)
            self.fault.prepare(scene, hosts)
            struck = self._run_and_strike()
            quorate = self._wait(lambda: not busy(scene), operation.patience) and self._wait(
                lambda: _is_quorate(scene), operation.patience if operation.keeps_quorum else 5
            )
            self._wait(lambda: _is_final(unfinished(scene, operation)), _HEALTHY if quorate else 0)
        result.before_rerun = unfinished(scene, operation)
        result.violated += violations(scene, archives_too=False)
        if operation.keeps_quorum and not quorate:
            result.violated.append("the swarm did not come back by itself to a quorum and running engines")
        if result.before_rerun and not result.violated:
            self._run_again()
        result.violated += violations(scene, archives_too=True)
        result.seconds = None if result.violated else round(time.monotonic() - struck, 1)
        result.outcome = FAILED if result.violated else RERUN if result.before_rerun else ALONE

    def _run_and_strike(self) -> float:
        """Run the operation to the point, let the fault happen, let the operation end. Returns when it was struck."""
        scene, operation, point = self.scene, self.operation, self.case.point
        hosts = operation.hosts(scene)
        env = scene.arm(point, hosts, self.fault.environment)
        variables = operation.variables(scene, wrong_key=self.case.fault == "wrong_key")
        with ThreadPoolExecutor(max_workers=1) as pool:
            run = pool.submit(scene.play, operation.name, variables, operation.args(scene), env)
            struck = time.monotonic()
            try:
                if point.kind != "input":
                    struck = self._strike(run)
            finally:
                scene.disarm([host for host in hosts if host.pid])
                scene.release([host for host in hosts if host.pid])
            ended = run.result()
        if self.delay and self.case.fault == "kill_module" and ended.rc == 0:
            raise TooLate  # it had told its result
        if point.kind == "input" and ended.rc == 0:
            self.result.violated.append("it was done in spite of what it was given")
        return struck

    def _strike(self, run: Future[AnsibleRun]) -> float:
        scene, operation = self.scene, self.operation
        hosts = operation.hosts(scene)
        halted, pid = scene.wait_for(self.case.point, hosts, run)
        scene.disarm(hosts)
        host = halted[0] if halted else operation.target(scene)
        others = [each for each in hosts if each is not host]
        scene.release(others) if halted else None
        hit = Hit(scene, host, pid, hosts, run, lambda: scene.release(hosts), self.random)
        if self.delay:
            hit.release()
            time.sleep(self.delay)
            if run.done():
                raise TooLate
        struck = time.monotonic()
        self.fault.strike(hit)
        hit.release()
        self.fault.pass_by(hit)
        return struck

    def _run_again(self) -> None:
        """Do what an operator does: unlock what the fault has locked, and run the same playbook once more."""
        scene, operation, result = self.scene, self.operation, self.result
        locked = [host.name for host in scene.in_state("locked")]
        if locked and not operation.takes_key:
            scene.play("unlock", {"unlock_keys": scene.keys()})
            result.help = f"{', '.join(locked)} was locked, as autolock wants it, and unlocked with the playbook unlock"
        run = scene.play(operation.name, operation.variables(scene), operation.args(scene))
        if run.rc != 0:
            result.violated.append(f"the rerun failed: {_why(run)}")
        if not self._wait(lambda: not unfinished(scene, operation), _HEALTHY):
            result.violated += unfinished(scene, operation)

    @staticmethod
    def _wait(condition: Callable[[], bool], timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(1.5)
        return True


def _why(run: AnsibleRun) -> str:
    """The first thing that a run says of its failure."""
    told = re.search(r"^(fatal|failed): .*\n(?:    .*\n)*", run.readable(), re.MULTILINE)
    return " ".join((told[0] if told else run.readable()[-1000:]).split())[:1500]


def _is_final(problems: list[str]) -> bool:
    """Whether no time will cure these problems. Managers that have lost each other may take two minutes to find together."""
    return not problems or any(not problem.endswith(UNHEALTHY) for problem in problems)


def _is_quorate(scene: Scene) -> bool:
    try:
        scene.manager()
    except LabError:
        return False
    return True
