# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the checks of the collection, one line a step, and counts what passed and what failed.

Usage: .venv/bin/python tests/run_checks.py [STEP...] [-- PYTEST_ARGUMENT...]

Without a STEP all of them run. "lint" stands for the steps that only read the files. The arguments behind "--" go to
pytest of the step "scenarios". The exit status is 0 when nothing failed.

Steps do not depend on each other. Two run at a time, because a small machine has two cores; the scenarios, which bring
up real hosts, run last and alone.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import yaml
from stage import COLLECTIONS, COPY, ROOT, stage

BUILD = ROOT / "build"
#: The home directory of the tools: their caches stay in the tree, and the configuration of the user out of the result.
HOME = BUILD / "home"
VENV_BIN = Path(sys.executable).parent

#: All that an installed collection may rely on; the inclusion rules of the Ansible community demand it.
RUNTIME_DIRECTORIES = ("meta", "playbooks", "plugins", "roles")
#: Development code that is not part of the built collection. ruff and mypy check it; ansible-test has other rules.
DEVELOPMENT_DIRECTORIES = ("tests/demo", "tests/faults", "tests/lab", "tests/scenarios", "benchmarks", "docs/site")

#: Test files on real hosts that run at the same time. They mostly wait, for elections, tasks and time-outs.
SCENARIOS_AT_A_TIME = 1 + (os.cpu_count() or 1)

#: The minor version of the oldest Python 3 of a managed node (README, tests/config.yml).
OLDEST_MINOR = 8

#: What pip and ansible-test say while they install the tools of a test; it would bury the findings.
INSTALLATION = re.compile(
    r"( |Collecting |Processing |Installing |Successfully |Looking in |Using cached |Requirement already |Running sanity "
    r"|WARNING: (Skipping sanity|Location|Reviewing|Using locale))"
)


@dataclass(frozen=True)
class Outcome:
    """What a step did: numbers of checks or test cases, and the output to show when one failed."""

    passed: int = 1
    failed: int = 0
    skipped: int = 0
    output: str = ""


class StepFailed(Exception):
    """A step did not pass; the text is its output."""


def tool_environment() -> dict[str, str]:
    """Return the environment for the tools: the same on every machine, whatever is set up for the user.

    Version managers put directories of shims on PATH, which ansible-test takes for interpreters that then fail. They
    are left out, and the interpreters behind those of pyenv are put in.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [directory for directory in os.environ.get("PATH", os.defpath).split(os.pathsep) if directory]
    path = [str(VENV_BIN), *map(str, sorted(pyenv.glob("versions/*/bin")))]
    path += [directory for directory in found if Path(directory).name != "shims"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    environment.update(
        ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
        ANSIBLE_NOCOLOR="1",
        LC_ALL="C.UTF-8",
        NO_COLOR="1",
        PATH=os.pathsep.join(path),
        PYTHONUNBUFFERED="1",
    )
    return environment


def prepare_home() -> None:
    """Create the home directory of the tools, with the user's pip configuration and cache in it."""
    HOME.mkdir(parents=True, exist_ok=True)
    for name in (".cache", ".config", ".pip"):
        link = HOME / name
        if not link.is_symlink() and (Path.home() / name).is_dir():
            link.symlink_to(Path.home() / name)


def provide_pip_bootstrap(environment: Path = VENV_BIN.parent) -> None:
    """Put a stand-in for the script get-pip.py where the ansible-test of a virtual environment looks before it downloads it.

    ansible-test fetches that script from a server of its own, by the version of pip it wants. The stand-in installs the
    same version from the package index: Python brings a pip to start with.
    """
    (requirements,) = environment.glob("lib/python*/site-packages/ansible_test/_internal/python_requirements.py")
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in re.findall(r"\bpip='([0-9.]+)'", requirements.read_text()):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(
            "import subprocess\n"
            "import sys\n"
            "subprocess.check_call([sys.executable, '-m', 'ensurepip'])\n"
            "wanted = [word for word in sys.argv[1:] if word not in ('--no-setuptools', '--no-wheel')]\n"
            "sys.exit(subprocess.call([sys.executable, '-m', 'pip', 'install'] + wanted))\n"
        )


def run(*command: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it printed. Raises StepFailed with that when its exit status is not 0."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**tool_environment(), "HOME": str(HOME), **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise StepFailed(f"{output}{Path(command[0]).name}: exit status {done.returncode}\n")
    return output


def count_cases(reports: Iterable[Path]) -> Outcome:
    """Return the numbers of test cases in pytest's JUnit reports."""
    passed = failed = skipped = 0
    for report in reports:
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            left_out = int(suite.get("skipped", 0))
            failed += bad
            skipped += left_out
            passed += int(suite.get("tests", 0)) - bad - left_out
    return Outcome(passed=passed, failed=failed, skipped=skipped)


def checked(outcome: Outcome, *, status: int, output: str) -> Outcome:
    """Return the outcome of a run of pytest: one without any test case, or that broke down, counts as a failure."""
    broken = (status != 0 or outcome.passed == 0) and outcome.failed == 0
    return Outcome(
        passed=outcome.passed, failed=outcome.failed + broken, skipped=outcome.skipped, output=output if status else ""
    )


# The steps


def ruff() -> Outcome:
    """Style and likely mistakes in all Python code."""
    run("ruff", "check", "--quiet", ".")
    return Outcome()


def ruff_format() -> Outcome:
    """Layout of all Python code."""
    run("ruff", "format", "--check", "--quiet", ".")
    return Outcome()


def mypy() -> Outcome:
    """Types: the plugins under the name they have when installed, and the development code."""
    plugins = [COPY / "plugins", COPY / "tests/unit", ROOT / "tests/stage.py", ROOT / "tests/run_checks.py"]
    runs: list[tuple[list[Path], dict[str, str]]] = [(plugins, {})]
    # Each by itself: pytest puts the directory of a test on the path, and several have a conftest.py.
    development = [ROOT / name for name in DEVELOPMENT_DIRECTORIES if any((ROOT / name).rglob("*.py"))]
    # It is the package faults, and uses the helpers of the scenarios.
    paths = {ROOT / "tests/faults": ROOT / "tests/scenarios"}
    runs += [([directory], {"MYPYPATH": str(paths.get(directory, directory))}) for directory in development]
    findings = ""
    for places, environment in runs:
        try:
            run("mypy", *places, environment=environment)
        except StepFailed as failed:
            findings += str(failed).replace(f"{COPY.relative_to(ROOT)}/", "")
    if findings:
        raise StepFailed(findings)
    return Outcome()


def yamllint() -> Outcome:
    """All YAML files."""
    run("yamllint", "--strict", ".")
    return Outcome()


def ansible_lint() -> Outcome:
    """Roles, playbooks and metadata, by the profile that certified content has to pass."""
    run("ansible-lint", "--offline", "--profile", "production", "--strict", "--nocolor", "-q", cwd=COPY)
    return Outcome()


def changelog() -> Outcome:
    """The changelog fragments."""
    run("antsibull-changelog", "lint", cwd=COPY)
    return Outcome()


def documentation() -> Outcome:
    """The documentation inside the plugins and roles: markup, links, options."""
    run("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", ".", cwd=COPY)
    return Outcome()


def sanity(environment: Path = VENV_BIN.parent, copy: Path = COPY) -> Outcome:
    """ansible-test sanity: the rules for collections, on every supported Python that is installed."""
    provide_pip_bootstrap(environment)
    exclude = [word for name in DEVELOPMENT_DIRECTORIES if (copy / name).is_dir() for word in ("--exclude", f"{name}/")]
    try:
        run(environment / "bin/ansible-test", "sanity", "--color", "no", *exclude, cwd=copy)
    except StepFailed as failed:
        lines = str(failed).splitlines(keepends=True)
        raise StepFailed("".join(line for line in lines if not INSTALLATION.match(line))) from failed
    return Outcome()


def unit_pythons() -> list[str]:
    """Return the oldest and the newest Python that ansible-test and the collection support and that are installed."""
    from ansible_test._util.target.common.constants import CONTROLLER_PYTHON_VERSIONS, REMOTE_ONLY_PYTHON_VERSIONS

    path = tool_environment()["PATH"]
    supported = [*REMOTE_ONLY_PYTHON_VERSIONS, *CONTROLLER_PYTHON_VERSIONS]
    installed = [
        version
        for version in sorted(supported, key=lambda version: [int(number) for number in version.split(".")])
        if int(version.split(".")[1]) >= OLDEST_MINOR and shutil.which(f"python{version}", path=path)
    ]
    return list(dict.fromkeys([installed[0], installed[-1]]))


def units(environment: Path = VENV_BIN.parent, copy: Path = COPY, pythons: Sequence[str] = ()) -> Outcome:
    """The unit tests, by default on the oldest and the newest supported Python that are installed."""
    provide_pip_bootstrap(environment)
    reports = copy / "tests/output/junit"
    shutil.rmtree(reports, ignore_errors=True)
    status, output = 0, ""
    for python in pythons or unit_pythons():
        try:
            command = (environment / "bin/ansible-test", "units", "--venv", "--color", "no", "--python", python)
            run(*command, cwd=copy)
        except StepFailed as failed:
            before_tests, header, tests = str(failed).partition("Unit test ")
            status, output = 1, output + (header + tests or before_tests)
    return checked(count_cases(reports.glob("*.xml")), status=status, output=output)


def package() -> Outcome:
    """Build the collection, install it, and use it with nothing but its runtime directories."""
    target = BUILD / "package"
    shutil.rmtree(target, ignore_errors=True)
    tarball = build(target)
    # Found in its search path already, the collection would not be installed again.
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(target / "installed")}
    install = ("ansible-galaxy", "collection", "install", "--offline", "-p", target / "installed")
    run(*install, tarball, environment=environment)
    name = Path("ansible_collections/quorate/swarm")
    for directory in RUNTIME_DIRECTORIES:
        if (target / "installed" / name / directory).is_dir():
            shutil.copytree(target / "installed" / name / directory, target / "bare" / name / directory)
    bare = target / "bare" / name
    modules = sorted(path.stem for path in bare.glob("plugins/modules/*.py"))
    group = yaml.safe_load((bare / "meta/runtime.yml").read_text())["action_groups"]["swarm"]
    # One with an action plugin works on the controller, where the group's connection options mean nothing.
    on_hosts = [name for name in modules if not (bare / f"plugins/action/{name}.py").exists()]
    if sorted(group) != on_hosts:
        raise StepFailed(
            f"meta/runtime.yml: the action group swarm has {sorted(group)}, but plugins/modules has {on_hosts} for "
            "managed nodes. Make them equal.\n"
        )
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(target / "bare")}
    for module in modules:
        run("ansible-doc", "-t", "module", f"quorate.swarm.{module}", cwd=target, environment=environment)
    for role in sorted(path.name for path in bare.glob("roles/*")):
        run("ansible-doc", "-t", "role", f"quorate.swarm.{role}", cwd=target, environment=environment)
    for playbook in sorted(path.stem for path in bare.glob("playbooks/*.yml")):
        run("ansible-playbook", "--syntax-check", f"quorate.swarm.{playbook}", cwd=target, environment=environment)
    execution_environment(target)
    return Outcome()


def execution_environment(target: Path) -> None:
    """See that an execution environment gets what the installed collection needs, and that the example makes a context."""
    told = yaml.safe_load(run("ansible-builder", "introspect", "--sanitize", target / "installed"))
    for kind, name in (("python", "ee-requirements.txt"), ("system", "ee-bindep.txt")):
        wanted = [line for line in (COPY / "meta" / name).read_text().splitlines() if not line.startswith("#")]
        found = [re.sub(r"\s+#.*", "", line) for line in told[kind]]
        if sorted(found) != sorted(wanted):
            raise StepFailed(f"ansible-builder introspect: {kind} is {found}, but meta/{name} has {wanted}.\n")
    context = target / "context"
    example = COPY / "docs/examples/awx"
    run("ansible-builder", "create", "--file", "execution-environment.yml", "--context", context, cwd=example)
    if "quorate.swarm" not in (context / "_build/requirements.yml").read_text():
        raise StepFailed(f"ansible-builder create: {context} does not install the collection.\n")


def build(directory: Path) -> Path:
    """Build the collection from the copy into the directory and return the tarball."""
    run("ansible-galaxy", "collection", "build", "--force", "--output-path", directory, COPY)
    return next(directory.glob("quorate-swarm-*.tar.gz"))


def docs() -> Outcome:
    """Build the documentation site: the pages of the tree, and the reference from modules, plugins and role options."""
    place = BUILD / "docs"
    source, reference, site = place / "source", place / "source/reference", place / "html"
    shutil.rmtree(source, ignore_errors=True)
    for pattern in ("docs/**/*", "roles/*/README.md", "benchmarks/results.md", "CONTRIBUTING.md", "galaxy.yml"):
        for path in COPY.glob(pattern):
            if path.is_file():
                copy = source / path.relative_to(COPY)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)
    for name, page in (("conf.py", "conf.py"), ("index.md", "index.md"), ("roles.md", "roles/index.md")):
        shutil.move(source / "docs/site" / name, source / page)
    reference.mkdir(mode=0o755)
    # Both programs are in an environment of their own; ansible-doc, which the first one calls, is on PATH.
    programs = place / "venv/bin"
    generate = (programs / "antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--fail-on-error")
    run(*generate, "--dest-dir", reference, "quorate.swarm", cwd=COPY)
    run(programs / "sphinx-build", "-q", "-W", "--keep-going", "-d", place / "doctrees", source, site)
    print(f"The site is {site.relative_to(ROOT)}/index.html")
    return Outcome()


def scenarios(arguments: list[str]) -> Outcome:
    """The tests on real hosts. Their progress goes to the terminal as it happens. They need root.

    Several test files run at the same time; then those tests that measure time, with nothing beside them.
    """
    if arguments:
        return pytest_run("scenarios", arguments)
    everything = ["tests/lab", "tests/scenarios"]
    together = [
        f"--numprocesses={SCENARIOS_AT_A_TIME}",
        "--dist=loadfile",
        "-m",
        "not alone and not long and not matrix",
    ]
    runs = [
        pytest_run("scenarios", [*together, *everything]),
        pytest_run("alone", ["-m", "alone and not long", *everything]),
    ]
    return Outcome(
        passed=sum(run.passed for run in runs),
        failed=sum(run.failed for run in runs),
        skipped=sum(run.skipped for run in runs),
        output="".join(run.output for run in runs),
    )


def long_scenarios() -> Outcome:
    """The tests on real hosts that take so long that they have a run of their own."""
    return pytest_run("long", ["-m", "long", "tests/scenarios"])


def pytest_run(name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Outcome:
    """Run pytest on real hosts, with a report of this name."""
    report = BUILD / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
    status = as_root(*command, environment=environment)
    outcome = count_cases([report] if report.exists() else [])
    return checked(outcome, status=status, output=f"pytest: exit status {status}, see above\n")


def as_root(*command: str | Path, environment: Mapping[str, str] | None = None) -> int:
    """Run a command as root, what it says on the terminal, and return its exit status."""
    settings = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **(environment or {})}
    variables = {**tool_environment(), **settings}
    words = [str(word) for word in command]
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise StepFailed("The tests on real hosts need root, and sudo is not installed. Run them as root.\n")
        kept = (*settings, "PATH", "LC_ALL", "ANSIBLE_COLLECTIONS_PATH")
        words = ["sudo", "env", *(f"{name}={variables[name]}" for name in kept), *words]
    return subprocess.run(words, cwd=ROOT, env=variables, check=False).returncode


LINT: dict[str, Callable[[], Outcome]] = {
    "ruff": ruff,
    "ruff-format": ruff_format,
    "yamllint": yamllint,
    "changelog": changelog,
    "mypy": mypy,
    "documentation": documentation,
    "ansible-lint": ansible_lint,
}
#: Slow ones first, one after the other: both are ansible-test, which writes to one place.
ANSIBLE_TEST: dict[str, Callable[[], Outcome]] = {"sanity": sanity, "units": units}
PACKAGE: dict[str, Callable[[], Outcome]] = {"package": package}
#: Those that only run when they are named.
BY_NAME: dict[str, Callable[[], Outcome]] = {"long": long_scenarios, "docs": docs}


class Report:
    """Runs steps, prints a line for each, and keeps the sums."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self._lock = threading.Lock()

    def step(self, name: str, action: Callable[[], Outcome]) -> None:
        """Run one step; whatever goes wrong in it is its failure and no other step's."""
        start = time.monotonic()
        try:
            outcome = action()
        except StepFailed as failed:
            outcome = Outcome(passed=0, failed=1, output=str(failed))
        except Exception as error:  # a defect of this script must not hide the other steps
            outcome = Outcome(passed=0, failed=1, output=f"{type(error).__name__}: {error}\n")
        seconds = time.monotonic() - start
        numbers = [f"{outcome.passed} passed"] if outcome.passed + outcome.failed > 1 else []
        numbers += [
            f"{count} {word}" for count, word in ((outcome.failed, "failed"), (outcome.skipped, "skipped")) if count
        ]
        verdict = "FAILED" if outcome.failed else "ok"
        line = f"{verdict:<7} {name:<14} {seconds:7.1f} s  {', '.join(numbers)}".rstrip()
        with self._lock:
            self.passed += outcome.passed
            self.failed += outcome.failed
            print(line, flush=True)
            if outcome.failed and outcome.output:
                print(outcome.output.rstrip("\n"), flush=True)

    def lane(self, steps: Mapping[str, Callable[[], Outcome]]) -> None:
        """Run the steps one after the other."""
        for name, action in steps.items():
            self.step(name, action)


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    known = {**LINT, **ANSIBLE_TEST, **PACKAGE}
    parser = argparse.ArgumentParser(description="Run the checks of the collection.")
    names = ", ".join(["lint", *known, "scenarios", *BY_NAME, "build"])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=names)
    steps: list[str] = parser.parse_args(words[:cut]).steps
    unknown = set(steps) - {*known, "lint", "scenarios", *BY_NAME, "build"}
    if unknown:
        parser.error(f"unknown step {', '.join(sorted(unknown))}")

    prepare_home()
    stage()
    if steps == ["build"]:
        print(build(BUILD).relative_to(ROOT))
        return 0

    wanted = set(steps or [*known, "scenarios"]) | (set(LINT) if "lint" in steps else set())
    lanes = [ANSIBLE_TEST, {**LINT, **PACKAGE}]
    report = Report()
    with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
        for lane in lanes:
            pool.submit(report.lane, {name: action for name, action in lane.items() if name in wanted})
    if "scenarios" in wanted:
        report.step("scenarios", lambda: scenarios(words[cut + 1 :]))
    report.lane({name: action for name, action in BY_NAME.items() if name in wanted})
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
