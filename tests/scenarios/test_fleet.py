# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An inventory of many swarms: one run backs up all of them at the same time, and what fails is named and repeated alone."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import LabFactory
from helpers.backup import archives, ask, untouched, write_inventory
from helpers.restore import engine_off
from helpers.runner import STATS, RunPlaybook

from quorate_lab import Lab

pytestmark = pytest.mark.long

COUNT = 6
VARIABLES = {"backup_allow_control_plane_outage": True}


@pytest.fixture(scope="module")
def fleet(lab_factory: LabFactory) -> list[Lab]:
    """Swarms of one manager each."""
    return [lab_factory(managers=1, workers=0) for dummy in range(COUNT)]


@pytest.fixture
def inventory(fleet: list[Lab], tmp_path: Path) -> Path:
    hosts = {f"s{number}": (lab, "m1") for number, lab in enumerate(fleet, 1)}
    return write_inventory(tmp_path / "inventory.json", hosts, {"swarm_managers": list(hosts)})


def made(fleet: list[Lab]) -> list[list[str]]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda lab: archives(lab.hosts["m1"]), fleet))


def stops(lab: Lab, archive: str) -> tuple[float, float]:
    """When the engine was stopped, and when the archive was there, by the clock of this machine."""
    host = lab.hosts["m1"]
    boot = float(host.run("date +%s.%N").stdout) - float(Path("/proc/uptime").read_text().split()[0])
    name = "InactiveEnterTimestampMonotonic"
    stopped = int(host.run(["systemctl", "show", f"--property={name}", "--value", "docker.service"]).stdout) / 1e6
    return boot + stopped, float(host.run(["stat", "--format=%.Z", archive]).stdout)


def test_all_at_the_same_time_with_a_table_at_the_end(fleet: list[Lab], inventory: Path, playbook: RunPlaybook) -> None:
    run = playbook(fleet[0], "backup", VARIABLES, inventory=inventory, env=STATS)
    result = run.stats["quorate_backup"]
    assert (result["good"], result["retry"]) == (True, [])
    found = made(fleet)
    ids = [ask(lab.hosts["m1"], "GET", "/swarm")["ID"] for lab in fleet]
    assert {(swarm["cluster_id"], swarm["archive"]) for swarm in result["swarms"]} == {
        (cluster_id, paths[0]) for cluster_id, paths in zip(ids, found, strict=True)
    }
    rows = [re.split(r"  +", row) for row in re.findall(r'^ +"((?:SWARM|\w{25}) .*?)",?$', run.stdout, re.MULTILINE)]
    table = rows[-COUNT - 1 :]
    assert table[0] == ["SWARM", "MANAGER", "ARCHIVE", "SIZE", "DOWN", "RESULT"]
    assert sorted((row[0], row[2], row[-1]) for row in table[1:]) == sorted(
        (cluster_id, paths[0], "ok") for cluster_id, paths in zip(ids, found, strict=True)
    )
    times = [stops(lab, paths[0]) for lab, paths in zip(fleet, found, strict=True)]
    assert max(begin for begin, dummy in times) < min(end for dummy, end in times), "one after the other"
    print(f"{COUNT} swarms: engine down for {[swarm['downtime'] for swarm in result['swarms']]} s")


def test_what_fails_is_named_and_repeated_alone(fleet: list[Lab], inventory: Path, playbook: RunPlaybook) -> None:
    """A directory that cannot be made, and an engine that is down: two of six."""
    before = made(fleet)
    sick, off = fleet[1].hosts["m1"], fleet[4].hosts["m1"]
    sick.run("mv /var/backups/quorate-swarm /var/backups/kept && touch /var/backups/quorate-swarm")
    engine_off(off)
    run = playbook(fleet[0], "backup", VARIABLES, inventory=inventory, env=STATS, check_rc=False)
    assert run.rc == 2
    result = run.stats["quorate_backup"]
    assert result["good"] is False
    assert sorted(result["retry"]) == ["s2", "s5"]
    assert f"the same command with --limit '{','.join(result['retry'])}'" in run.stdout
    assert sum(swarm["good"] for swarm in result["swarms"]) == COUNT - 2
    after = made([lab for number, lab in enumerate(fleet) if number not in (1, 4)])
    assert [len(paths) for paths in after] == [2] * (COUNT - 2)

    sick.run("rm /var/backups/quorate-swarm && mv /var/backups/kept /var/backups/quorate-swarm")
    off.run(["systemctl", "start", "docker"])
    well = [lab.hosts["m1"] for number, lab in enumerate(fleet) if number not in (1, 4)]
    with untouched(*well):
        run = playbook(
            fleet[0], "backup", VARIABLES, ["--limit", ",".join(result["retry"])], inventory=inventory, env=STATS
        )
    assert {swarm["host"] for swarm in run.stats["quorate_backup"]["swarms"]} == {"s2", "s5"}
    assert [len(paths) for paths in made(fleet)] == [len(paths) + 1 for paths in before]
