# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long it takes to verify an archive, beside gzip -t."""

from __future__ import annotations

from collections.abc import Callable

from common import Bench, Host, Series, measured, of_two_sizes, sent_module

TITLE = "Verifying an archive"
ABOUT = """
Processor seconds of `swarm_backup_info`, the start of Python included. `gzip -t` only finds an archive that is cut or has
a flipped bit; the level files proves every file against the manifest too, and the level raft opens every record of the
raft store.
"""
REMAINS = """
Of a small archive, the start of Python is most of it. Of a large one, at the level raft, the checksums of the raft store are a good
part, because the package `crc32c` is not installed on the hosts of the lab; what it saves, the figure of the raft store shows.
"""


def seconds_of(host: Host, command: str) -> Callable[[], float]:
    return lambda: measured(host, command).processor


def measure(bench: Bench) -> list[Series]:
    series = []
    for size, (lab, host) in of_two_sizes(bench).items():
        host.run("rm -rf /var/backups/quorate-swarm")
        sent_module(lab, host, "swarm_backup", allow_control_plane_outage=True)
        (archive,) = host.run("ls /var/backups/quorate-swarm/*.tar.gz").stdout.split()
        subjects = {"gzip -t": seconds_of(host, f"gzip -t {archive}")}
        for level in ("files", "raft"):
            module = sent_module(lab, host, "swarm_backup_info", archive=archive, level=level)
            subjects[f"level {level}"] = seconds_of(host, module)
        series.append(Series(f"{size} of state", "s", "gzip -t", bench.rounds(subjects)))
    return series
