# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much memory a backup takes of a small and of a large state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common import LARGE, MEGABYTE, SIZES, SMALL, Bench, Series, measured, of_two_sizes, sent_module

TITLE = "Memory of a backup"
ABOUT = """
The most memory that `swarm_backup` ever had, as the kernel counts it. The interpreter and the libraries alone take most
of it. A run that measures the downtime too takes the backups of that figure.
"""


def measure(bench: Bench) -> list[Series]:
    if bench.peaks:
        return [series({size: bench.peaks[size][: bench.count] for size in SIZES})]
    hosts = of_two_sizes(bench)
    commands = {
        size: sent_module(lab, host, "swarm_backup", allow_control_plane_outage=True, keep=1)
        for size, (lab, host) in hosts.items()
    }

    def peak(size: str) -> float:
        host = hosts[size][1]
        host.run(["systemctl", "reset-failed", "docker.service", "docker.socket"])
        return measured(host, commands[size]).memory / MEGABYTE

    return [series(bench.rounds({SMALL: lambda: peak(SMALL), LARGE: lambda: peak(LARGE)}))]


def series(found: Mapping[str, Sequence[float]]) -> Series:
    return Series("swarm_backup", "MB", SMALL, found, goals={LARGE: 1.20})
