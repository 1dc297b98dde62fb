# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power cuts of autolocked managers."""

from __future__ import annotations

import functools

from quorate_lab import Host, Lab
from quorate_lab.process import in_parallel, wait_until

from .backup import ask


def prepared(lab: Lab) -> Lab:
    """Let the engines write every request to their log, and be killed soon when they do not stop.

    The manager that joined last has an empty raft store for a second. If it loses its power in that time, it never finds
    its swarm again.
    """
    for host in lab.hosts.values():
        wait_until(functools.partial(has_raft_log, host), timeout=30, what=f"the raft log on {host.name}")
        host.run("""mkdir -p /etc/docker && echo '{"debug": true}' > /etc/docker/daemon.json""")
        end_soon(host)
    return lab


def end_soon(host: Host) -> None:
    """Let systemd kill the engine of *host* soon when it does not stop."""
    host.run("mkdir -p /etc/systemd/system/docker.service.d")
    host.run(
        "printf '[Service]\\nTimeoutStopSec=5s\\n' > /etc/systemd/system/docker.service.d/lab.conf && systemctl daemon-reload"
    )


def has_raft_log(host: Host) -> bool:
    """Whether the WAL, a file full of zeros at first, holds more than its head, which has 117 bytes."""
    (wal,) = (host.docker_directory / "swarm/raft/wal-v3-encrypted").glob("*.wal")
    return len(wal.read_bytes().rstrip(b"\0")) > 1000


def cut_power(lab: Lab, *back: str) -> None:
    """Cut the power of all managers, and boot those that come *back*; they are locked then."""
    in_parallel(Host.kill, lab.hosts.values())
    in_parallel(Host.start, [lab.hosts[name] for name in back])
    assert {state(lab.hosts[name]) for name in back} == {"locked"}


def state(host: Host) -> str:
    return str(ask(host, "GET", "/info")["Swarm"]["LocalNodeState"])
