# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs Ansible against a lab as an operator does, and sees to it that no secret shows.

Every run is as verbose as can be (-vvvv), so that every run proves that neither an unlock key nor a join token is
printed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from quorate_lab import Lab

COLLECTION = "quorate.swarm"
SECRET = re.compile(r"SWMKEY|SWMTKN")
#: Environment of a run that prints what it hands over, in the form that AnsibleRun.stats reads.
STATS = {"ANSIBLE_SHOW_CUSTOM_STATS": "true", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
# Lines of -vvvv that tell what ssh does, not what the playbook does.
NOISE = re.compile(r"<[^>]+> |task path: |Using module file |Pipelining is enabled|redirecting |Loading collection ")


@dataclass(frozen=True)
class AnsibleRun:
    """What an ansible-playbook run returned and printed."""

    rc: int
    stdout: str
    stderr: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The numbers of the play recap: host name -> ok, changed, unreachable, failed, skipped, rescued, ignored."""
        dummy, dummy2, text = self.stdout.rpartition("PLAY RECAP")
        return {
            line.split()[0]: {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}
            for line in text.splitlines()
            if "unreachable=" in line
        }

    @property
    def stats(self) -> dict[str, Any]:
        """What the run has handed over to what runs next (set_stats); the environment of the run has STATS."""
        told = self.stdout.rpartition("CUSTOM STATS: ")[2].partition("RUN: ")[2]
        return dict(json.JSONDecoder().raw_decode(told)[0]) if told else {}

    def readable(self) -> str:
        """Return the output without the lines that only -vvvv adds."""
        return "\n".join(line for line in self.stdout.splitlines() if not NOISE.match(line)) + "\n" + self.stderr


class RunPlaybook(Protocol):
    """The type of the fixture `playbook`."""

    def __call__(
        self,
        lab: Lab,
        playbook: str | Path | Sequence[Mapping[str, Any]],
        extra_vars: Mapping[str, Any] | None = None,
        args: Sequence[str] = (),
        check_rc: bool = True,
        *,
        groups: Mapping[str, Sequence[str]] | None = None,
        inventory: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        project: Path | None = None,
        timeout: float = 600,
    ) -> AnsibleRun: ...


class RunModule(Protocol):
    """The type of the fixture `module`."""

    def __call__(
        self, lab: Lab, host: str, name: str, /, *, check_mode: bool = False, timeout: float = 600, **args: Any
    ) -> dict[str, Any]: ...


class Runner:
    """Runs Ansible; each run gets a directory of its own below *directory*."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    def playbook(
        self,
        lab: Lab,
        playbook: str | Path | Sequence[Mapping[str, Any]],
        extra_vars: Mapping[str, Any] | None = None,
        args: Sequence[str] = (),
        check_rc: bool = True,
        *,
        groups: Mapping[str, Sequence[str]] | None = None,
        inventory: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        project: Path | None = None,
        timeout: float = 600,
    ) -> AnsibleRun:
        """Run a playbook against *lab* and return what came of it.

        *playbook* is the name of one of the collection (`backup` or its full name), the path of a file, or plays as
        data. *extra_vars* go in by a file that only root can read. *groups* are those of the inventory, if not the
        usual ones; *inventory* is a file to use instead. *env* adds environment variables; *timeout* is in seconds.
        With *project* the run is in that directory, with the configuration, the inventory and the collections of it;
        *inventory* is then added to its own.

        Fails the test when a secret was printed, or when the exit status is not 0 and *check_rc* is true.
        """
        directory = self._new_directory()
        argv = [_tool("ansible-playbook"), "-vvvv"]
        if project:
            argv += ["-i", "inventory"]
        elif inventory is None:
            inventory = lab.write_inventory(directory / "inventory", groups)
        if inventory:
            argv += ["-i", str(inventory)]
        if extra_vars:
            argv += ["-e", f"@{_write_private(directory / 'vars.json', extra_vars)}"]
        argv += [*args, self._playbook_argument(playbook, directory)]
        run = _execute(argv, directory, env or {}, timeout, project)
        check_no_secret(run.stdout + run.stderr, argv)
        if check_rc and run.rc != 0:
            raise AssertionError(f"{' '.join(argv)}: exit status {run.rc}\n{run.readable()[-8000:]}")
        return run

    def module(
        self, lab: Lab, host: str, name: str, /, *, check_mode: bool = False, timeout: float = 600, **args: Any
    ) -> dict[str, Any]:
        """Run one module on *host* with the options *args* and return its result, failed or not.

        *name* without a dot is a module of the collection. Options go in by a file that only root can read. Fails the
        test when a secret was printed or is in the result, or when there is no result.
        """
        directory = self._new_directory()
        result = directory / "result.json"
        task = {
            (name if "." in name else f"{COLLECTION}.{name}"): args,
            "check_mode": check_mode,
            "register": "result",
            "ignore_errors": True,
            "ignore_unreachable": True,
        }
        content = "{{ hostvars[tested_host].result | to_json }}"
        keep = {"ansible.builtin.copy": {"content": content, "dest": str(result), "mode": "0600"}}
        local = {"ansible_python_interpreter": "{{ ansible_playbook_python }}", "tested_host": host}
        plays: list[dict[str, Any]] = [
            {"hosts": host, "gather_facts": False, "tasks": [task]},
            {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": local, "tasks": [keep]},
        ]
        run = self.playbook(lab, plays, check_rc=False, timeout=timeout)
        if not result.exists():
            raise AssertionError(f"{name} on {host}: no result\n{run.readable()[-8000:]}")
        text = result.read_text()
        check_no_secret(text, [name, "result"])
        answer: dict[str, Any] = json.loads(text)
        return answer

    def _new_directory(self) -> Path:
        self._count += 1
        directory = self._directory / str(self._count)
        directory.mkdir(mode=0o700)
        return directory

    def _playbook_argument(self, playbook: str | Path | Sequence[Mapping[str, Any]], directory: Path) -> str:
        if not isinstance(playbook, str | Path):
            return str(_write_private(directory / "playbook.yml", playbook))
        if Path(playbook).is_file():
            return str(Path(playbook).resolve())
        return str(playbook) if "." in str(playbook) else f"{COLLECTION}.{playbook}"


def kill_ansible(inventory: Path) -> None:
    """Kill the run with this inventory, with all that it has started on this machine."""
    for entry in os.scandir("/proc"):
        with suppress(OSError, ValueError):
            words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            if str(inventory).encode() in words and os.getpgid(int(entry.name)) != os.getpgid(0):
                os.killpg(os.getpgid(int(entry.name)), signal.SIGKILL)


def check_no_secret(text: str, argv: Sequence[str]) -> None:
    """Fail the test when an unlock key or a join token is in *text*, the output of *argv*; shows where, not what."""
    for number, line in enumerate(text.splitlines(), 1):
        found = SECRET.search(line)
        if found:
            raise AssertionError(
                f"{' '.join(argv)}: a secret ({found[0]}) in line {number}: {line[: found.start()][-200:]}"
            )


def collections_path() -> str:
    """Return where Ansible finds the collection.

    That is $QUORATE_COLLECTIONS_PATH, else $ANSIBLE_COLLECTIONS_PATH, else the directory in which these tests are
    part of ansible_collections/quorate/swarm. Fails the test when it is none of these.
    """
    for variable in ("QUORATE_COLLECTIONS_PATH", "ANSIBLE_COLLECTIONS_PATH"):
        if os.environ.get(variable):
            return os.environ[variable]
    root = Path(__file__).resolve().parents[3]
    if root.parts[-3:] == ("ansible_collections", "quorate", "swarm"):
        return str(root.parents[2])
    raise AssertionError("set QUORATE_COLLECTIONS_PATH to the directory with ansible_collections/quorate/swarm")


def _tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise AssertionError(f"{name} is neither beside {sys.executable} nor on PATH")
    return found


def _write_private(path: Path, content: object) -> Path:
    """Write *content* as JSON, which is YAML too, to a file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file, indent=1)
    return path


def _execute(
    argv: Sequence[str], directory: Path, env: Mapping[str, str], timeout: float, project: Path | None
) -> AnsibleRun:
    """Run *argv* with the configuration of nobody, or of *project*; all of it ends after *timeout* seconds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        "ANSIBLE_HOME": str(directory / "home"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "LC_ALL": "C.UTF-8",
    }
    if not project:
        configuration = directory / "ansible.cfg"
        configuration.touch()
        environment |= {
            "ANSIBLE_COLLECTIONS_PATH": collections_path(),
            "ANSIBLE_CONFIG": str(configuration),
            "ANSIBLE_FORKS": "10",
        }
    environment |= env
    with subprocess.Popen(
        argv,
        cwd=project or directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            stderr += f"\nended by the test: still running after {timeout:g} s\n"
    return AnsibleRun(process.returncode, stdout, stderr)
