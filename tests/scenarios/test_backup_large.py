# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A large swarm is backed up in little memory, and its engine is down no longer than the copy takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import LARGE_CONFIG, archives, grow, is_healthy, modules, repeated, traces, unit
from helpers.runner import RunModule

from quorate_lab import Host, Lab

pytestmark = pytest.mark.long

MEGABYTE = 1_000_000
CONFIGS = 500 * MEGABYTE // LARGE_CONFIG + 1


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """One manager with half a gigabyte of state that does not compress."""
    lab = lab_factory(managers=1, workers=0)
    grow(lab.hosts["m1"], CONFIGS)
    return lab


def state_size(host: Host) -> int:
    """Bytes of the state directory without the preallocated files, which are not copied."""
    listed = host.run("find /var/lib/docker/swarm -type f ! -name '*.tmp' -printf '%s\\n'").stdout
    return sum(int(size) for size in listed.split())


def peak_memory(pid: int) -> int:
    """The most memory that a process ever had, in bytes; 0 when it is gone."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


@dataclass(frozen=True)
class Measured:
    """A backup and what was seen of it."""

    host: Host
    size: int
    result: dict[str, Any]
    #: The most memory that the module ever had, in bytes.
    peak: int

    @property
    def steps(self) -> dict[str, float]:
        """Seconds of each step, in order."""
        return {step["step"]: step["seconds"] for step in self.result["steps"]}


@pytest.fixture(scope="module")
def measured(lab: Lab, module: RunModule) -> Measured:
    host = lab.hosts["m1"]
    size = state_size(host)
    peaks: dict[int, int] = {}

    def look() -> None:
        for pid in modules(host):
            peaks[pid] = max(peaks.get(pid, 0), peak_memory(pid))

    with repeated(look, interval=0.02):
        result = module(lab, "m1", "swarm_backup", allow_control_plane_outage=True)
    assert not result.get("failed"), result
    found = Measured(host, size, result, max(peaks.values()))
    print(
        f"\n{size / MEGABYTE:.0f} MB of state: {found.peak / MEGABYTE:.0f} MB of memory, "
        f"engine down for {result['downtime']:.1f} s, {found.steps}"
    )
    return found


def test_it_is_large_and_whole(measured: Measured) -> None:
    assert measured.size > 500 * MEGABYTE
    manifest = measured.result["manifest"]
    # the engine may remove the log before the snapshot at any time, so what was there before is no measure
    assert sum(facts["size"] for facts in manifest["files"].values()) > CONFIGS * LARGE_CONFIG
    names = [config["name"] for config in manifest["inventory"]["configs"]]
    assert sorted(names) == sorted(f"large-{number}" for number in range(CONFIGS + 1))
    assert archives(measured.host) == [measured.result["archive"]]
    assert traces(measured.host) == []
    assert is_healthy(measured.host)


def test_little_memory(measured: Measured) -> None:
    # the interpreter alone takes some; less means that nothing was measured
    assert 10 * MEGABYTE < measured.peak < 100 * MEGABYTE


def test_nothing_but_the_copy_while_the_engine_is_down(measured: Measured) -> None:
    """By the result, and by the clock of systemd."""
    steps, names = measured.steps, list(measured.steps)
    assert names[names.index("stop") : names.index("start") + 1] == ["stop", "copy", "start"]
    assert steps["stop"] + steps["copy"] + steps["start"] == pytest.approx(measured.result["downtime"], abs=0.2)
    times = unit(measured.host, "docker.service", "InactiveEnterTimestampMonotonic", "InactiveExitTimestampMonotonic")
    stopped, started = (int(times[f"Inactive{event}TimestampMonotonic"]) / 1e6 for event in ("Enter", "Exit"))
    assert started - stopped < steps["copy"] + 1
    # to compress this takes many times as long as to copy it
    assert steps["write and verify the archive"] > 3 * steps["copy"]
