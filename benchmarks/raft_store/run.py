# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures how fast a raft store is verified, and in how much memory, beside what only reads it.

Usage: python3 tests/stage.py && PYTHONPATH=build:benchmarks .venv/bin/python -m raft_store.run

It writes benchmarks/results/raft_store.md. The rows "with crc32c" need the package crc32c.
"""

from __future__ import annotations

import datetime
import importlib.util
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from raft_store.store import KEY, write_store

MEGABYTE = 1_000_000
RUNS = 3
RESULT = Path(__file__).resolve().parents[1] / "results" / "raft_store.md"

#: What a process does with a state directory: its name, and the code behind the imports.
LEVELS = {
    "without key": "_raft_store.position(directory)",
    "every record opened": f"_raft_store.contents(directory, _raft_seal.RaftKeys([{KEY!r}]))",
}
PROGRAM = """
import sys
from pathlib import Path
if {hide}:
    sys.modules["crc32c"] = None
from ansible_collections.quorate.swarm.plugins.module_utils import _raft_seal, _raft_store
directory = Path(sys.argv[1])
{code}
"""


@dataclass(frozen=True)
class Store:
    """A kind of store: what is in it."""

    name: str
    objects: int
    size: int
    in_snapshot: bool


STORES = (
    Store("300 configs of 400 kB in a snapshot", 300, 400_000, True),
    Store("300 configs of 400 kB in the log", 300, 400_000, False),
    Store("20,000 configs of 1 kB in a snapshot", 20_000, 1_000, True),
    Store("20,000 configs of 1 kB in the log", 20_000, 1_000, False),
)


@dataclass(frozen=True)
class Measured:
    """The quickest of some runs of a command: seconds of processor time, and bytes of memory at most."""

    seconds: float
    memory: int


def measure(command: list[str]) -> Measured:
    """Run a command some times."""
    found = []
    for _run in range(RUNS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"exit status {process.returncode}: {' '.join(command)}")
        found.append(Measured(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024))
    return min(found, key=lambda measured: measured.seconds)


def rows_of(store: Store, directory: Path) -> list[str]:
    """Measure one store, and return the rows of the table."""
    assert bytes(32) == KEY
    # In a process of its own: what this one takes would count as the memory of those that it starts.
    arguments = {"objects": store.objects, "size": store.size, "in_snapshot": store.in_snapshot}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(write_store, (directory / "swarm",), arguments)
    files = [str(path) for path in sorted((directory / "swarm").rglob("*")) if path.is_file()]
    size = sum(used(Path(path)) for path in files)
    packed = directory / "packed.gz"
    with packed.open("wb") as file:
        subprocess.run(["tar", "czf", "-", "-C", str(directory), "swarm"], stdout=file, check=True)
    cat = measure(["cat", *files])
    commands = {"`cat >/dev/null`": cat, "`gzip -t`": measure(["gzip", "-t", str(packed)])}
    for name, code in LEVELS.items():
        for hide in (False, True):
            if hide or importlib.util.find_spec("crc32c"):
                program = PROGRAM.format(hide=hide, code=code)
                what = f"{name}, {'without' if hide else 'with'} crc32c"
                commands[what] = measure([sys.executable, "-c", program, str(directory / "swarm")])
    return [
        f"| {store.name} | {what} | {found.seconds:.2f} | {size / MEGABYTE / found.seconds:.0f} "
        f"| {found.seconds / cat.seconds:.0f} | {found.memory / MEGABYTE:.0f} |"
        for what, found in commands.items()
    ]


def used(path: Path) -> int:
    """Bytes of a file without the zeros that a segment ends with."""
    with path.open("rb") as file:
        size = path.stat().st_size
        while size:
            begin = max(0, size - MEGABYTE)
            file.seek(begin)
            rest = file.read(size - begin).rstrip(b"\0")
            if rest:
                return begin + len(rest)
            size = begin
    return 0


def machine() -> str:
    """The machine without its name."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{found[1] if found else platform.machine()}, {os.cpu_count()} CPUs"


def main() -> None:
    lines = [
        "# Verifying a raft store",
        "",
        f"{machine()}; Python {platform.python_version()}; {datetime.date.today().isoformat()}; "
        f"the quickest of {RUNS} runs, the start of Python included. Seconds are processor time, so that other work of "
        "the machine does not count; the files are in the page cache.",
        "",
        "MB are those in use, without the zeros of preallocated segments, which are read as well.",
        "",
        "| store | what | CPU seconds | MB/s | times `cat` | MB of memory |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for store in STORES:
        with tempfile.TemporaryDirectory() as directory:
            lines += rows_of(store, Path(directory))
    RESULT.write_text("\n".join(lines) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
