# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a backup of several swarms takes in one run, beside a backup of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from common import Bench, Lab, Series, forget_connections, playbook
from helpers.backup import write_inventory

from quorate_lab import swarm

TITLE = "Several swarms in one run"
ABOUT = """
Wall seconds of the backup playbook over an inventory of so many swarms of one manager each, all on this machine: the
controller and all hosts share its processors.
"""
REMAINS = """
All swarms are backed up at the same time, and one alone mostly waits: for ssh, for its engine. A second one costs little;
from there on the two processors are the limit, and each further swarm adds some 2.4 s, because Ansible makes a process for
each task of each host, and here the hosts with their engines run on the same processors as the controller. Hosts of their
own take the work of the modules away from it.
"""

COUNTS = (1, 2, 4, 6)


def names(count: int) -> str:
    return "1 swarm" if count == 1 else f"{count} swarms"


def six(lab: Lab) -> Lab:
    """Six swarms of one manager each."""
    lab.up(managers=max(COUNTS), workers=0, form_swarm=False)
    for host in lab.hosts.values():
        swarm.form([host], [], autolock=False)
    return lab


def backup_of(lab: Lab, count: int, directory: Path) -> Callable[[], float]:
    hosts = list(lab.hosts)[:count]
    inventory = write_inventory(
        directory / f"inventory-{count}.json", {name: (lab, name) for name in hosts}, {"swarm_managers": hosts}
    )

    def backup() -> float:
        forget_connections(lab)
        for name in hosts:
            lab.hosts[name].run(["systemctl", "reset-failed", "docker.service", "docker.socket"])
        return playbook(inventory, "backup", {"backup_allow_control_plane_outage": True, "backup_keep": 1})

    return backup


def measure(bench: Bench) -> list[Series]:
    lab = bench.lab("six swarms", six)
    with bench.directory() as directory:
        found = bench.rounds({names(count): backup_of(lab, count, directory) for count in COUNTS})
    return [Series("backup", "s", names(1), found, goals={names(6): 1.5})]
