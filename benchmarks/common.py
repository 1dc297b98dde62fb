# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the figures share: subjects measured one right after the other, commands on hosts, labs, and how results are kept."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from helpers.backup import LARGE_CONFIG, grow

from quorate_lab import Host, Lab, swarm
from quorate_lab.slots import borrowed_lab

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
#: All figures, each a module of this directory; those that need the same lab follow one another.
FIGURES = (
    "downtime",
    "memory",
    "verification",
    "api_gap",
    "whole_backup",
    "fleet",
    "recovery",
    "swarm_info",
    "raft_store",
)
MEGABYTE = 1_000_000
#: Times that all subjects are measured, one right after the other.
ROUNDS = 7
#: Prints wall seconds, processor seconds, and the most kilobytes of any process, of a command; and what it printed.
MEASURE = """
import json, resource, subprocess, sys, time
begin = time.monotonic()
done = subprocess.run(["sh", "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
seconds = time.monotonic() - begin
print(json.dumps([done.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, done.stdout]))
"""
#: Lines of Ansible's log: with which a task begins, and which comes after the last one.
_TASK = re.compile(r"^(\S+ \S+) .*\| TASK \[(?:[\w.]+ : )?(.*?)\] \*", re.MULTILINE)
_RECAP = re.compile(r"^(\S+ \S+) .*\| PLAY RECAP", re.MULTILINE)


@dataclass(frozen=True)
class Series:
    """Some subjects that were measured in rounds, in one case, such as a size of the state.

    *values* are in *unit*, by subject; *baseline* is the subject that the others are divided by. *goals* are ratios that
    a subject shall not exceed, *limits* are values. *memory* is in megabytes, *spent* are median seconds by step.
    """

    case: str
    unit: str
    baseline: str
    values: Mapping[str, Sequence[float]]
    goals: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, Sequence[float]] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)

    def ratios(self, subject: str) -> list[float]:
        """The ratios of *subject* to the baseline, smallest first."""
        return sorted(
            one / base for one, base in zip(self.values[subject], self.values[self.baseline], strict=True) if base
        )

    def subjects(self) -> list[str]:
        """All but the baseline."""
        return [subject for subject in self.values if subject != self.baseline]

    def is_met(self, subject: str) -> bool | None:
        """Whether the goal is met, by the median; None without a goal."""
        if subject in self.goals:
            return statistics.median(self.ratios(subject)) <= self.goals[subject]
        if subject in self.limits:
            return statistics.median(self.values[subject]) <= self.limits[subject]
        return None


def _brief(value: Any) -> str:
    if isinstance(value, Measured):
        value = value.seconds or value.processor
    value = value[0] if isinstance(value, tuple) else value
    return f"{value:.3f}" if isinstance(value, float) else str(value)[:60]


# -- commands ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What a command took: wall seconds, processor seconds, bytes of memory at most; and what it printed."""

    seconds: float
    processor: float
    memory: int
    output: str = field(repr=False)


def measured(host: Host, command: str, timeout: float = 900) -> Measured:
    """Run a shell command on *host*, which must succeed."""
    answer = host.run(["python3", "-c", MEASURE, command], timeout=timeout).stdout
    rc, seconds, processor, kilobytes, output = json.loads(answer)
    if rc:
        raise RuntimeError(f"{command} on {host.name}: exit status {rc}: {output[-2000:]}")
    return Measured(seconds, processor, kilobytes * 1024, output)


def sent_module(lab: Lab, host: Host, name: str, **arguments: Any) -> str:
    """Let Ansible run a module on *host* once, and return the command that runs it there again, without the connection."""
    place = host.run("mktemp --directory /root/sent-XXXXXX").stdout.strip()
    with TemporaryDirectory() as directory:
        inventory = lab.write_inventory(Path(directory) / "inventory")
        environment = {**environment_of_ansible(), "ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_REMOTE_TMP": place}
        command = [tool("ansible"), "-i", str(inventory), host.name, "-m", f"quorate.swarm.{name}"]
        command += ["-e", "ansible_pipelining=no", *(["-a", json.dumps(arguments)] if arguments else [])]
        execute(command, environment)
    (path,) = host.run(f"ls {place}/*/AnsiballZ_{name}.py").stdout.split()
    return f"python3 {path}"


def playbook(
    inventory: Path, name: str, variables: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> float:
    """Run a playbook of the collection as an operator does, and return its seconds."""
    command = [tool("ansible-playbook"), "-i", str(inventory), f"quorate.swarm.{name}", "-e", json.dumps(variables)]
    began = time.monotonic()
    execute(command, {**environment_of_ansible(), **(environment or {})})
    return time.monotonic() - began


def tasks_of(log: str) -> list[tuple[str, float]]:
    """The tasks of a run with ANSIBLE_LOG_PATH, in order, with the seconds until the next one began."""
    begun = [(_moment(when), name) for when, name in _TASK.findall(log)]
    ends = [*(when for when, dummy in begun[1:]), _moment(_RECAP.findall(log)[0])]
    return [(name, end - when) for (when, name), end in zip(begun, ends, strict=True)]


def _moment(text: str) -> float:
    return datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").timestamp()


def execute(command: Sequence[str], environment: Mapping[str, str] | None = None, input: str | None = None) -> str:
    """Run a command of this machine that must succeed, and return what it printed."""
    done = subprocess.run(command, env=environment, input=input or "", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def environment_of_ansible() -> dict[str, str]:
    """The environment of a run of Ansible: the configuration of nobody, and the collection as it was staged."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return kept | {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
        "ANSIBLE_CONFIG": str(ROOT / "benchmarks" / "ansible.cfg"),
        "ANSIBLE_FORKS": "10",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "LC_ALL": "C.UTF-8",
    }


def forget_connections(lab: Lab) -> None:
    """End the ssh connections that Ansible keeps open from one run to the next."""
    for socket in lab.files.control_socket("").glob("*"):
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "host"], capture_output=True, check=False)


def tool(name: str) -> str:
    """A program of the virtual environment."""
    return str(Path(sys.executable).parent / name)


# -- labs --------------------------------------------------------------------------------------------------------------


class Bench:
    """A run: how often things are measured, and the labs, one at a time, kept for the next figure when it wants the same."""

    def __init__(self, engine: str, count: int = ROUNDS) -> None:
        self.engine = engine
        self.count = count
        #: Megabytes that backups have taken at most, by the size of the state.
        self.peaks: dict[str, list[float]] = {}
        self._stack = ExitStack()
        self._kind = ""
        self._made: Any = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *dummy: object) -> None:
        self._stack.close()

    def rounds(self, subjects: Mapping[str, Callable[[], Any]], *, more: int = 0) -> dict[str, list[Any]]:
        """Measure all subjects in turns, from the first to the last and from the last to the first.

        Some, which vary by chance, need *more* rounds than others.
        """
        found: dict[str, list[Any]] = {name: [] for name in subjects}
        count = self.count + more
        for number in range(count):
            for name in list(subjects) if number % 2 == 0 else reversed(list(subjects)):
                found[name].append(subjects[name]())
                print(f"  {number + 1}/{count} {name}: {_brief(found[name][-1])}", flush=True)
        return found

    def lab(self, kind: str, make: Callable[[Lab], Any]) -> Any:
        """Return what *make* has made of a fresh lab, which is not yet up; what there is of another kind is taken down."""
        if kind != self._kind:
            self._stack.close()
            self._kind = ""
            self._made = make(self._stack.enter_context(borrowed_lab(self.engine)))
            self._kind = kind
        return self._made

    def release(self) -> None:
        """Take the lab down, because it is used up."""
        self._stack.close()
        self._kind = ""

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """A directory for the files of a figure."""
        with TemporaryDirectory(prefix="quorate-bench-") as directory:
            yield Path(directory)


def of_swarm(bench: Bench, managers: int = 3) -> Lab:
    """A swarm of so many managers."""

    def make(lab: Lab) -> Lab:
        lab.up(managers=managers, workers=0)
        return lab

    found: Lab = bench.lab(f"{managers} managers", make)
    return found


#: Two sizes of the state of a manager: a swarm without much in it, of which 64 MB are preallocated, and a large one.
SIZES = ("64 MB", "500 MB")
SMALL, LARGE = SIZES


def of_two_sizes(bench: Bench) -> dict[str, tuple[Lab, Host]]:
    """Two managers, each the only one of its swarm, with states of these sizes."""

    def make(lab: Lab) -> dict[str, tuple[Lab, Host]]:
        lab.up(managers=2, workers=0, form_swarm=False)
        small, large = lab.hosts.values()
        for host in (small, large):
            swarm.form([host], [], autolock=False)
        grow(large, 500 * MEGABYTE // LARGE_CONFIG + 1)
        return {SMALL: (lab, small), LARGE: (lab, large)}

    found: dict[str, tuple[Lab, Host]] = bench.lab("two sizes", make)
    return found


# -- results -----------------------------------------------------------------------------------------------------------


def machine() -> str:
    """The machine without its name."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{found[1] if found else platform.machine()}, {os.cpu_count()} CPUs"


def save(name: str, series: Sequence[Series], *, engine: str, load: float) -> None:
    """Keep the result of a figure."""
    result = {
        "date": datetime.date.today().isoformat(),
        "engine": engine,
        "machine": machine(),
        "python": platform.python_version(),
        "load": round(load, 2),
        "series": [_rounded(asdict(each)) for each in series],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def medians(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median seconds of each step of some runs."""
    names = list(dict.fromkeys(name for taken in steps for name in taken))
    return {name: statistics.median(taken.get(name, 0.0) for taken in steps) for name in names}
