# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the collection with every version that the README claims, one line a cell, and writes docs/tested_versions.md.

Usage: .venv/bin/python tests/run_matrix.py [GROUP...] [--only VERSION...] [--what WORDS]

The groups are core (ansible-core: sanity and unit tests), engine (Docker Engine: the demonstration, which backs up an
autolocked swarm of three managers, loses them and restores it), sdk (Docker SDK for Python: modules against a real
engine, and the unit tests of what talks to it) and galaxy (what Galaxy checks when a collection is imported). Without a
GROUP all of them run, one cell after the other. The table has the last result of each cell, kept in build/matrix;
cells that never ran on this machine are not in it. The exit status is 0 when no cell of this run failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from run_checks import (
    BUILD,
    Outcome,
    StepFailed,
    as_root,
    build,
    count_cases,
    prepare_home,
    pytest_run,
    run,
    sanity,
    tool_environment,
    units,
)
from stage import COPY, ROOT, stage

MATRIX = BUILD / "matrix"
RESULTS = MATRIX / "results.json"
TABLE = ROOT / "docs/tested_versions.md"

#: ansible-core, and the Python of its controller.
CORES = {"2.16": "3.11", "2.17": "3.11", "2.18": "3.11", "2.19": "3.11", "2.20": "3.12", "2.21": "3.12"}
#: Docker Engine, and the hosts that it is run on, whose Python the modules use.
ENGINES = {"20.10": "Debian 12, Python 3.11", "26.1": "Debian 13, Python 3.13", "28.5": "Debian 13, Python 3.13"}
#: The scenarios that are run on each engine, beside the demonstration.
SCENARIOS = [f"tests/scenarios/test_{name}.py" for name in ("info_and_quorum", "member_and_node", "backup")]
#: Docker SDK for Python, and what it needs beside it: 5.0.3 does not know the requests of today.
SDKS: dict[str, tuple[str, ...]] = {
    "5.0.3": ("requests<2.32", "urllib3<2"),
    "6.1.3": ("requests<2.32",),
    "7.0.0": ("requests<2.32",),
    "7.1.0": (),
    "": (),
}


@dataclass(frozen=True)
class Cell:
    """One thing to test with one version."""

    group: str
    version: str
    what: str
    action: Callable[[], tuple[Outcome, str]]


def python_of(version: str) -> Path | None:
    """The interpreter of a version, of pyenv or of the system."""
    found = shutil.which(f"python{version}", path=tool_environment()["PATH"])
    return Path(found) if found else None


def environment_of(name: str, python: str, *requirements: str) -> Path:
    """Make a virtual environment with some packages, once."""
    directory, wanted = MATRIX / name, "\n".join(requirements)
    if not (directory / "ready").exists() or (directory / "ready").read_text() != wanted:
        interpreter = python_of(python)
        if interpreter is None:
            raise StepFailed(f"Python {python} is not installed\n")
        shutil.rmtree(directory, ignore_errors=True)
        run(interpreter, "-m", "venv", directory)
        run(directory / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements)
        (directory / "ready").write_text(wanted)
    return directory


def version_in(environment: Path, package: str) -> str:
    """The version of a package that was installed."""
    code = f"import importlib.metadata as metadata; print(metadata.version({package!r}))"
    return run(environment / "bin/python", "-c", code).strip()


def with_core(version: str, name: str, check: Callable[[Path, Path], Outcome]) -> tuple[Outcome, str]:
    """Run a check by ansible-test of an ansible-core on a copy of the collection that is its own."""
    environment = environment_of(f"core-{version}", CORES[version], f"ansible-core=={version}.*", "jmespath", "docker")
    copy = MATRIX / f"{name}-{version}/ansible_collections/quorate/swarm"
    ignored = shutil.ignore_patterns("output", ".ansible")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(COPY, copy, ignore=ignored, symlinks=True)
    installed = version_in(environment, "ansible-core")
    return check(environment, copy), f"{installed} on Python {CORES[version]}"


def core_cells() -> Iterator[Cell]:
    for version, python in CORES.items():

        def test_units(version: str = version, python: str = python) -> tuple[Outcome, str]:
            return with_core(version, "units", lambda environment, copy: units(environment, copy, [python]))

        def test_sanity(version: str = version) -> tuple[Outcome, str]:
            return with_core(version, "sanity", sanity)

        yield Cell("core", version, "unit tests", test_units)
        yield Cell("core", version, "sanity", test_sanity)


def engine_cells() -> Iterator[Cell]:
    for version, host in ENGINES.items():

        def demonstrate(version: str = version, host: str = host) -> tuple[Outcome, str]:
            status = as_root(ROOT / "tests/demo/demo", "--engine", version, "--prefix", "matrix")
            return Outcome(failed=int(status != 0), output=f"exit status {status}, see above"), f"{version} on {host}"

        def scenarios(version: str = version, host: str = host) -> tuple[Outcome, str]:
            outcome = pytest_run(f"engine-{version}", SCENARIOS, environment={"QUORATE_ENGINE": version})
            return outcome, f"{version} on {host}"

        yield Cell("engine", version, "backup, loss of all managers, restore", demonstrate)
        yield Cell("engine", version, "scenarios of facts, members, nodes and backup", scenarios)


def sdk_cells() -> Iterator[Cell]:
    for version, others in SDKS.items():

        def environment(version: str = version, others: tuple[str, ...] = others) -> tuple[Path, str]:
            wanted = f"docker=={version}" if version else "docker"
            needed = ("ansible-core==2.19.*", "cryptography", "hypothesis", "jmespath", "pynacl", "pytest")
            made = environment_of(f"sdk-{version or 'newest'}", "3.11", wanted, *others, *needed)
            return made, f"{version_in(made, 'docker')} with requests {version_in(made, 'requests')}"

        def test_client(environment: Callable[[], tuple[Path, str]] = environment) -> tuple[Outcome, str]:
            made, name = environment()
            report = MATRIX / "client.xml"
            tests = COPY / "tests/unit/plugins/module_utils/test__engine.py"
            command = (
                made / "bin/python",
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                f"--junitxml={report}",
                tests,
            )
            run(*command, environment={"PYTHONPATH": str(BUILD)})
            return count_cases([report]), name

        def use(environment: Callable[[], tuple[Path, str]] = environment) -> tuple[Outcome, str]:
            made, name = environment()
            python = {"QUORATE_SDK_PYTHON": str(made / "bin/python")}
            return pytest_run("sdk", ["-m", "matrix", "tests/scenarios/test_docker_sdk.py"], environment=python), name

        yield Cell("sdk", version or "newest", "unit tests of the client", test_client)
        yield Cell("sdk", version or "newest", "modules on an engine", use)


def galaxy_cells() -> Iterator[Cell]:
    def check() -> tuple[Outcome, str]:
        environment = environment_of("galaxy", "3.11", "galaxy-importer")
        tarball = build(MATRIX)
        path = f"{environment / 'bin'}{os.pathsep}{tool_environment()['PATH']}"
        output = run(
            environment / "bin/python", "-m", "galaxy_importer.main", tarball, cwd=MATRIX, environment={"PATH": path}
        )
        complaints = [line for line in output.splitlines() if re.match(r"(WARNING|ERROR|CRITICAL)\b", line)]
        if complaints or "completed successfully" not in output:
            raise StepFailed("\n".join(complaints or [output]) + "\n")
        return Outcome(), f"galaxy-importer {version_in(environment, 'galaxy-importer')}"

    yield Cell("galaxy", "import", "no error, no warning, ansible-lint of the tarball included", check)


#: Cells that need root come last.
GROUPS: dict[str, Callable[[], Iterator[Cell]]] = {
    "core": core_cells,
    "galaxy": galaxy_cells,
    "sdk": sdk_cells,
    "engine": engine_cells,
}


def run_cell(cell: Cell) -> dict[str, str]:
    """Run one, print its line, and return its row of the table."""
    start = time.monotonic()
    try:
        outcome, version = cell.action()
    except StepFailed as failed:
        outcome, version = Outcome(passed=0, failed=1, output=str(failed)), cell.version
    verdict = "FAILED" if outcome.failed else "ok"
    tests = f"{outcome.passed} passed" if outcome.passed > 1 or outcome.failed > 1 else ""
    tests += f", {outcome.failed} failed" if outcome.failed and tests else ""
    line = f"{verdict:<7} {cell.group:<7} {cell.version:<7} {cell.what:<46} {time.monotonic() - start:6.0f} s  {tests}"
    print(line.rstrip(), flush=True)
    if outcome.failed:
        print(outcome.output.rstrip("\n"), flush=True)
    return {"version": version, "verdict": verdict, "tests": tests}


def table(cells: list[Cell], results: dict[str, dict[str, str]]) -> str:
    """The page of the documentation."""
    lines = [
        "# Tested versions",
        "",
        "Written by `make matrix` from its last run; a line is one run with one version.",
        "",
    ]
    titles = {"core": "ansible-core", "galaxy": "Galaxy", "sdk": "Docker SDK for Python", "engine": "Docker Engine"}
    for group, title in titles.items():
        rows = [(cell, results[key(cell)]) for cell in cells if cell.group == group and key(cell) in results]
        if rows:
            lines += [f"## {title}", "", "| version | what | result |", "| --- | --- | --- |"]
            for cell, row in rows:
                said = f"{row['verdict']}, {row['tests']}" if row["tests"] else row["verdict"]
                lines.append(f"| {row['version']} | {cell.what} | {said} |")
            lines.append("")
    return "\n".join(lines)


def key(cell: Cell) -> str:
    return f"{cell.group} {cell.version} {cell.what}"


def main() -> int:
    """Run what the command line asks for, write the table, and return the exit status."""
    parser = argparse.ArgumentParser(description="Test the collection with every version that it supports.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; all by default")
    parser.add_argument("--only", nargs="+", metavar="VERSION", help="only the cells of these versions")
    parser.add_argument(
        "--what", default="", metavar="WORDS", help="only the cells that have these words in their line"
    )
    options = parser.parse_args()
    unknown = set(options.groups) - set(GROUPS)
    if unknown:
        parser.error(f"unknown group {', '.join(sorted(unknown))}")

    prepare_home()
    stage()
    MATRIX.mkdir(parents=True, exist_ok=True)
    cells = [cell for make in GROUPS.values() for cell in make()]
    wanted = [
        cell
        for cell in cells
        if cell.group in (options.groups or GROUPS)
        and (not options.only or cell.version in options.only)
        and options.what in cell.what
    ]
    failed = 0
    for cell in wanted:
        row = run_cell(cell)
        failed += row["verdict"] != "ok"
        # Another run may have added to it meanwhile.
        results = {**(json.loads(RESULTS.read_text()) if RESULTS.exists() else {}), key(cell): row}
        RESULTS.write_text(json.dumps(results, indent=1))
        TABLE.write_text(table(cells, results))
    print(f"{len(wanted) - failed} cells passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
