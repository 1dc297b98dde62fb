# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the management API is blocked on the other managers while one is backed up."""

from __future__ import annotations

import functools
import time
from pathlib import Path

from common import Bench, Host, Lab, Series, of_swarm, playbook
from helpers.backup import api_gaps, leader, wait_until_healthy
from helpers.restore import engine_off, engine_on

TITLE = "Management API blocked elsewhere"
ABOUT = """
The longest time without an answer of `GET /nodes` on any other manager of three, asked every 0.1 s, while one of them is
backed up by the playbook, or while its engine is just stopped and started. The leader is backed up with `backup_leader:
step_down`. What is measured of a swarm that nobody touches is the time between two questions.
"""
REMAINS = """
The backup of a follower blocks nobody. When the leader steps down, the others elect another one at once; that election is
what there is beyond the swarm that nobody touches. Just stopped, a leader is missed for seconds before there is an election.
"""

FOLLOWER, LEADER = "a follower", "the leader"
#: The seconds of the undisturbed time, about those of a backup.
QUIET = 10


class Probed:
    """A swarm, and what is done to one of its managers while the others are asked."""

    def __init__(self, lab: Lab, inventory: Path) -> None:
        self.lab = lab
        self.inventory = lab.write_inventory(inventory)

    def chosen(self, which: str) -> tuple[Host, list[Host]]:
        """The leader, or a follower; and the others."""
        hosts = list(self.lab.hosts.values())
        for host in hosts:
            wait_until_healthy(host)
        leads = leader(hosts[0])
        host = next(host for host in hosts if (host.name == leads) == (which == LEADER))
        return host, [other for other in hosts if other is not host]

    def backed_up(self, which: str) -> float:
        host, others = self.chosen(which)
        variables = {"backup_hosts": [host.name], "backup_leader": "step_down", "backup_keep": 1}
        with api_gaps(others) as gaps:
            playbook(self.inventory, "backup", variables)
            time.sleep(2)
        return max(gap.seconds for gap in gaps.values())

    def restarted(self, which: str) -> float:
        host, others = self.chosen(which)
        with api_gaps(others) as gaps:
            engine_off(host)
            engine_on(host)
            time.sleep(2)
        return max(gap.seconds for gap in gaps.values())

    def untouched(self, which: str) -> float:
        dummy, others = self.chosen(which)
        with api_gaps(others) as gaps:
            time.sleep(QUIET)
        return max(gap.seconds for gap in gaps.values())


def measure(bench: Bench) -> list[Series]:
    series = []
    with bench.directory() as directory:
        probed = Probed(of_swarm(bench), directory / "inventory")
        for which in (FOLLOWER, LEADER):
            found = bench.rounds(
                {
                    "restart": functools.partial(probed.restarted, which),
                    "backup": functools.partial(probed.backed_up, which),
                    "untouched": functools.partial(probed.untouched, which),
                }
            )
            series.append(Series(which, "s", "restart", found, limits={"backup": 0.5}))
    return series
