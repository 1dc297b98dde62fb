# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures what swarm_info costs on a swarm with many services, beside what an administrator types.

The module runs on a host of the lab as Ansible sends it there, without the connection. It needs root.

Usage: python3 tests/stage.py && PATH=$PWD/.venv/bin:$PATH PYTHONPATH=tests/lab:benchmarks .venv/bin/python -m swarm_info.run

It writes benchmarks/results/swarm_info.md.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from quorate_lab import Host, Lab

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "swarm_info.md"
PAIRS = 7
SERVICES = (10, 500, 2000)
TASKS = 5000
BY_HAND = "docker node ls >/dev/null && docker service ls >/dev/null"
#: Prints seconds and the most kilobytes of any process that a command consists of.
MEASURE = """
import json, resource, subprocess, sys, time
begin = time.monotonic()
subprocess.run(["sh", "-c", sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
print(json.dumps([time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


@dataclass(frozen=True)
class Pair:
    """Seconds and bytes of memory of the module and of the commands, one right after the other."""

    module: tuple[float, int]
    by_hand: tuple[float, int]


def create_service(host: Host, name: str, *, replicas: int) -> None:
    """Create a service whose tasks find no node, so that they are there without running."""
    specification = {
        "Name": name,
        "TaskTemplate": {
            "ContainerSpec": {"Image": "busybox:latest", "Command": ["sleep", "1d"]},
            "Placement": {"Constraints": ["node.labels.nowhere == true"]},
        },
        "Mode": {"Replicated": {"Replicas": replicas}},
    }
    status, answer = host.api("POST", "/services/create", specification)
    if status >= 300:
        raise RuntimeError(f"create a service: {status} {answer}")


def send_module(lab: Lab, host: Host, directory: Path) -> str:
    """Let Ansible send the module to the host, and return its path there."""
    inventory = directory / "inventory"
    inventory.write_text(lab.inventory())
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
        "ANSIBLE_KEEP_REMOTE_FILES": "1",
        "ANSIBLE_PIPELINING": "0",
        "ANSIBLE_REMOTE_TMP": "/root/sent",
    }
    command = [
        "ansible",
        "-i",
        str(inventory),
        host.name,
        "-m",
        "quorate.swarm.swarm_info",
        "-e",
        "ansible_pipelining=no",
    ]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    (path,) = host.run("ls /root/sent/*/AnsiballZ_swarm_info.py").stdout.split()
    return path


def measure(host: Host, command: str) -> tuple[float, int]:
    seconds, kilobytes = json.loads(host.run(["python3", "-c", MEASURE, command]).stdout)
    return seconds, kilobytes * 1024


def calls_of(host: Host, command: str) -> int:
    """How many requests a command sends to the engine, by the engine's own log."""
    begin = time.time()
    host.run(["sh", "-c", command])
    log = host.run(["journalctl", "--unit=docker.service", f"--since=@{begin:.3f}", "--output=cat"]).stdout
    return len(re.findall(r'msg="Calling |msg="handling \S+ request"', log))


def debug(host: Host, *, on: bool) -> None:
    """Let the engine log each request, or not."""
    host.run(["sh", "-c", f"echo '{json.dumps({'debug': on})}' > /etc/docker/daemon.json && systemctl reload docker"])
    time.sleep(1)


def rows_of(host: Host, module: str) -> list[str]:
    """Measure the swarm as it is."""
    rows = []
    there = 0
    for wanted in SERVICES:
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(lambda n: create_service(host, f"s{n}", replicas=0), range(there, wanted)))
        if wanted == SERVICES[-1]:
            create_service(host, "many", replicas=TASKS)
            while len(host.api("GET", "/tasks")[1]) < TASKS:
                time.sleep(1)
        there = wanted
        debug(host, on=True)
        calls = calls_of(host, f"python3 {module} >/dev/null")
        debug(host, on=False)
        command = f"python3 {module}"
        pairs = [Pair(measure(host, command), measure(host, BY_HAND)) for _pair in range(PAIRS)]
        ratios = sorted(pair.module[0] / pair.by_hand[0] for pair in pairs)
        seconds = statistics.median(pair.module[0] for pair in pairs)
        by_hand = statistics.median(pair.by_hand[0] for pair in pairs)
        memory = max(pair.module[1] for pair in pairs) / 1_000_000
        memory_by_hand = max(pair.by_hand[1] for pair in pairs) / 1_000_000
        rows.append(
            f"| {wanted} | {TASKS if wanted == SERVICES[-1] else 0} | {calls} | {seconds:.2f} | {by_hand:.2f} "
            f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {memory:.0f} | {memory_by_hand:.0f} |"
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    with Lab("bench", subnet="10.78.60.0/24") as lab, tempfile.TemporaryDirectory() as directory:
        lab.up(managers=1, workers=0)
        host = lab.hosts["m1"]
        rows = rows_of(host, send_module(lab, host, Path(directory)))
        version = host.docker("version", "--format", "{{.Server.Version}}").strip()
    lines = [
        "# swarm_info beside the commands of an administrator",
        "",
        f"Engine {version}, {os.cpu_count()} CPUs, {datetime.date.today().isoformat()}; medians of {PAIRS} pairs, one right "
        f"after the other. By hand is `{BY_HAND}`. The module also reads networks, secrets, configs and the state "
        "directory; its seconds have the start of Python and the unpacking of what Ansible sends in them.",
        "",
        "| services | tasks | requests | seconds | by hand | ratio (least to most) | MB of memory | by hand |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
