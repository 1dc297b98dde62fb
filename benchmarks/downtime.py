# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a manager is away while it is backed up, beside a bare restart of its engine."""

from __future__ import annotations

import json
from functools import partial

from common import LARGE, MEGABYTE, SMALL, Bench, Host, Series, medians, of_two_sizes, sent_module

TITLE = "Downtime of a manager"
ABOUT = """
From the last answer of the manager's API before the stop to the first one after it that shows the manager ready and
reachable, asked every 0.05 s on the host. The manager is the only one of its swarm. The module runs as Ansible sends it,
without the connection.
"""
REMAINS = """
Of the downtime, what is not the engine's own stop and start is the copy, and a call of systemd that proves that nobody has
started the engine meanwhile. The start of an engine with a large state is its own reading of the snapshot; that of a small
one takes a second more or less, by chance. A backup copies the snapshot before the stop; during it, what is left is the log,
whose 64 MB are nearly all zeros. Packing and proving come after the start, and share the processors with the engine that is
coming back.
"""

RESTART = "systemctl stop docker.socket docker.service && systemctl start docker.service"
BY_HAND = (
    "systemctl stop docker.socket docker.service && tar czf /root/by-hand.tar.gz -C /var/lib/docker swarm && "
    "systemctl start docker.service; rc=$?; rm /root/by-hand.tar.gz; exit $rc"
)
#: Runs a command, and prints the longest time without a good answer of the API until the manager is back, the most
#: kilobytes of any process of the command, and its output.
PROBE = """
import http.client, json, resource, socket, subprocess, sys, threading, time

class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect("/run/docker.sock")

def is_well():
    engine = Engine("engine")
    try:
        engine.request("GET", "/nodes")
        nodes = json.loads(engine.getresponse().read())
        return all(n["Status"]["State"] == "ready" and n["ManagerStatus"]["Reachability"] == "reachable" for n in nodes)
    except (OSError, http.client.HTTPException, TypeError):
        return False
    finally:
        engine.close()

gap = 0.0
good = time.monotonic()
ended = threading.Event()

def watch():
    global gap, good
    while True:
        over = ended.is_set()
        well = is_well()
        now = time.monotonic()
        if well:
            gap, good = max(gap, now - good), now
        if well and over:
            return
        time.sleep(0.05)

watcher = threading.Thread(target=watch)
watcher.start()
time.sleep(0.5)
done = subprocess.run(["sh", "-c", sys.argv[1]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
ended.set()
watcher.join()
print(json.dumps([done.returncode, gap, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.stdout]))
"""


#: The start of an engine takes about a second more or less, by chance, which only a large state outweighs.
MORE_ROUNDS = {SMALL: 14, LARGE: 0}


def downtime(host: Host, command: str) -> tuple[float, int, str]:
    """Run a command that restarts the engine of *host*; seconds without it, bytes of memory, what the command printed."""
    host.run(["systemctl", "reset-failed", "docker.service", "docker.socket"])
    rc, seconds, kilobytes, output = json.loads(host.run(["python3", "-c", PROBE, command], timeout=600).stdout)
    if rc:
        raise RuntimeError(f"{command} on {host.name}: exit status {rc}: {output[-2000:]}")
    return seconds, kilobytes * 1024, output


def measure(bench: Bench) -> list[Series]:
    series = []
    for (size, (lab, host)), goal in zip(of_two_sizes(bench).items(), (1.05, 1.10), strict=True):
        module = sent_module(lab, host, "swarm_backup", allow_control_plane_outage=True, keep=1)
        found = bench.rounds(
            {
                "restart": partial(downtime, host, RESTART),
                "swarm_backup": partial(downtime, host, module),
                "stop, tar czf, start": partial(downtime, host, BY_HAND),
            },
            more=MORE_ROUNDS[size],
        )
        values = {name: [seconds for seconds, *dummy in several] for name, several in found.items()}
        backups = found["swarm_backup"]
        bench.peaks[size] = [memory / MEGABYTE for dummy, memory, dummy2 in backups]
        steps = [{step["step"]: step["seconds"] for step in json.loads(output)["steps"]} for *dummy, output in backups]
        series.append(
            Series(f"{size} of state", "s", "restart", values, goals={"swarm_backup": goal}, spent=medians(steps))
        )
    return series
