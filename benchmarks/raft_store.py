# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast a raft store is verified, and in how much memory, beside gzip -t of its archive."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common import MEGABYTE, ROOT, Bench, Measured, Series

TITLE = "Verifying a raft store"
ABOUT = """
Processor seconds for raft stores of 120 MB and of 20 MB with every object in the snapshot or in the log, the start of
Python included; the files are in the page cache. Without a key only checksums are proven, as at the choice of the most
advanced manager; with it every record is opened. The package `crc32c` (Debian: `python3-crc32c`) is used where it is
installed.
"""

#: The interpreter of the benchmarks' own environment, which has crc32c.
PYTHON = ROOT / "build/bench/venv/bin/python"
#: What a process does with a state directory: its name, and the code behind the imports.
LEVELS = {
    "without key": "_raft_store.position(directory)",
    "every record": "_raft_store.contents(directory, _raft_seal.RaftKeys([bytes(32)]))",
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


def write(store: Store, directory: Path) -> None:
    """Write a store; in a process of its own, because what this one takes would count as the memory of those it starts."""
    from synthetic_store import write_store

    write_store(directory, objects=store.objects, size=store.size, in_snapshot=store.in_snapshot)


def run(command: list[str]) -> Callable[[], Measured]:
    def take() -> Measured:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "build")}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        dummy, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"exit status {process.returncode}: {' '.join(command)}")
        return Measured(0.0, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, "")

    return take


def series_of(bench: Bench, store: Store, directory: Path) -> Series:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(write, (store, directory / "swarm"))
    packed = directory / "packed.tar.gz"
    subprocess.run(["tar", "czf", str(packed), "-C", str(directory), "swarm"], check=True)
    subjects = {"gzip -t": run(["gzip", "-t", str(packed)])}
    for name, code in LEVELS.items():
        for hide in (False, True):
            program = PROGRAM.format(hide=hide, code=code)
            what = f"{name}, {'without' if hide else 'with'} crc32c"
            subjects[what] = run([str(PYTHON), "-c", program, str(directory / "swarm")])
    found = bench.rounds(subjects)
    seconds = {name: [each.processor for each in several] for name, several in found.items()}
    # what gzip takes is less than this process, and cannot be told from it
    memory = {
        name: [each.memory / MEGABYTE for each in several] for name, several in found.items() if name != "gzip -t"
    }
    return Series(store.name, "s", "gzip -t", seconds, memory=memory)


def measure(bench: Bench) -> list[Series]:
    series = []
    for store in STORES:
        with bench.directory() as directory:
            series.append(series_of(bench, store, directory))
    return series
