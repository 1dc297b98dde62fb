# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What swarm_info costs on a swarm with many services, beside what an administrator types."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

from common import MEGABYTE, Bench, Host, Series, measured, of_swarm, sent_module
from helpers.backup import ask

TITLE = "swarm_info on a large swarm"
BY_HAND = "docker node ls && docker service ls"
ABOUT = f"""
Wall seconds of the module as Ansible sends it, without the connection, beside `{BY_HAND}`.
The module also reads networks, secrets, configs and the state directory, by the number of requests that stands behind the
services; the start of Python and the unpacking of what Ansible sends take most of its time in a small swarm. With 2,000 services the swarm has 5,000 tasks.
"""

SERVICES = (10, 500, 2000)
TASKS = 5000


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
    ask(host, "POST", "/services/create", specification)


def calls_of(host: Host, command: str) -> int:
    """How many requests a command sends to the engine, by the engine's own log."""
    debug(host, on=True)
    begin = time.time()
    host.run(command)
    log = host.run(["journalctl", "--unit=docker.service", f"--since=@{begin:.3f}", "--output=cat"]).stdout
    debug(host, on=False)
    return len(re.findall(r'msg="Calling |msg="handling \S+ request"', log))


def debug(host: Host, *, on: bool) -> None:
    """Let the engine log each request, or not."""
    host.run(["sh", "-c", f"echo '{json.dumps({'debug': on})}' > /etc/docker/daemon.json && systemctl reload docker"])
    time.sleep(1)


def measure(bench: Bench) -> list[Series]:
    lab = of_swarm(bench, managers=1)
    (host,) = lab.hosts.values()
    module = sent_module(lab, host, "swarm_info")
    series = []
    there = 0
    for wanted in SERVICES:
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(lambda n: create_service(host, f"s{n}", replicas=0), range(there, wanted)))
        if wanted == SERVICES[-1]:
            create_service(host, "many", replicas=TASKS)
            while len(ask(host, "GET", "/tasks")) < TASKS:
                time.sleep(1)
        there = wanted
        case = f"{wanted:,} services ({calls_of(host, module)} requests)"
        found = bench.rounds({"by hand": lambda: measured(host, BY_HAND), "swarm_info": lambda: measured(host, module)})
        seconds = {name: [each.seconds for each in several] for name, several in found.items()}
        memory = {name: [each.memory / MEGABYTE for each in several] for name, several in found.items()}
        series.append(Series(case, "s", "by hand", seconds, memory=memory))
    bench.release()
    return series
