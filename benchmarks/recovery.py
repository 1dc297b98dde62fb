# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long it takes until a swarm that was lost has three managers again, beside a script that does not have to think."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import Bench, Host, Lab, Series, execute, forget_connections, medians, of_swarm, playbook, tasks_of
from helpers.backup import ask, wait_until_healthy
from helpers.restore import knows_of_loss, managers

from quorate_lab.inventory import SSH_OPTIONS
from quorate_lab.process import wait_until

TITLE = "Recovery"
ABOUT = """
Wall seconds from the command until all three managers are ready and reachable. Total loss: three fresh hosts with the
addresses of the old ones, and an archive on the controller. Quorum lost: one manager is left, and two fresh hosts with
the addresses of the others. The script does what the manual of Docker says, without a question: it proves neither that the
archive is good, nor that the other managers are down, nor that what came back is what was there, and it keeps no copy of
the state that it forces a new cluster on. It cannot recover an autolocked swarm at all, so autolock is off.
"""
REMAINS = """
After a total loss the script waits some 21 s for the engine, which looks for the other managers when it starts. The playbook
starts it outside its swarm, which takes a second, and needs the time for calls to hosts: it looks at all managers, brings
the archive, proves it, restores, and makes three calls for each manager that joins, of which the script makes one.

Where the quorum is lost, the script forces a new cluster on the running engine at once. Of the time of the playbook, a
third is the module that recovers: it sees for 3 s that nobody leads, stops the engine, copies and proves its state,
starts it, compares, and lets it write a snapshot for those who join. The rest is some twenty calls to hosts, each of which
takes from half a second to two; the script makes four. The log is short here. Without the snapshot,
this engine sends a manager that joins 64 KB of it a second, and until the second manager has it all there is no quorum.
"""

TOTAL, QUORUM = "total loss", "quorum lost"
#: Tasks that the page names; and what comes before the first one and behind the last one.
LONGEST = 6
OUTSIDE = "start and end of Ansible"
#: Arguments: the ssh command without the host, the archive or nothing, the address to begin with, the others.
SCRIPT = r"""
set -eu
ssh=$1 archive=$2 first=$3; shift 3
if [ -n "$archive" ]; then
    $ssh "root@$first" 'umask 077; systemctl stop docker.socket docker.service; rm -rf /var/lib/docker/swarm
        tar xzf - -C /var/lib/docker swarm; systemctl start docker.service' <"$archive"
fi
token=$($ssh "root@$first" "sh -eu" <<END
docker swarm init --force-new-cluster --advertise-addr $first >/dev/null
self=\$(docker node inspect self --format '{{.ID}}')
for node in \$(docker node ls --quiet); do
    [ "\$node" = "\$self" ] || docker node rm --force "\$node" >/dev/null
done
docker swarm join-token --quiet manager
END
)
for address; do
    $ssh "root@$address" "docker swarm join --token $token $first:2377"
done
until [ "$($ssh "root@$first" docker node ls | grep -cE ' Ready .* (Leader|Reachable) ')" = 3 ]; do sleep 0.5; done
"""


class Lost:
    """A swarm of three managers that is lost again and again."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.inventory = lab.write_inventory(directory / "inventory")
        self.log = directory / "log"
        self.tasks: dict[str, list[dict[str, float]]] = {"restore": [], "recover_quorum": []}
        self.names = list(lab.hosts)
        archives = directory / "archives"
        variables = {"backup_hosts": ["m2"], "backup_leader": "step_down", "backup_collect_to": str(archives)}
        playbook(self.inventory, "backup", variables)
        (self.archive,) = archives.glob("*.tar.gz")

    def lose(self, first: str, *, all_of_them: bool) -> list[Host]:
        """Lose all managers, or all but *first*, get fresh hosts in their place, and return all, *first* first."""
        for name in self.names:
            if all_of_them or name != first:
                address = self.lab.hosts[name].address
                self.lab.rm(name)
                self.lab.add(name, address=address)
        forget_connections(self.lab)
        hosts = [self.lab.hosts[first], *(self.lab.hosts[name] for name in self.names if name != first)]
        if not all_of_them:
            wait_until(lambda: knows_of_loss(hosts[0]), timeout=120, what=f"{first} to know that the quorum is lost")
        return hosts

    def _played(self, name: str, variables: Mapping[str, Any]) -> None:
        self.log.unlink(missing_ok=True)
        seconds = playbook(self.inventory, name, variables, {"ANSIBLE_LOG_PATH": str(self.log)})
        tasks: dict[str, float] = {}
        for task, took in tasks_of(self.log.read_text()):
            tasks[task.lower()] = tasks.get(task.lower(), 0.0) + took
        self.tasks[name].append({**tasks, OUTSIDE: seconds - sum(tasks.values())})

    def spent(self, name: str) -> dict[str, float]:
        """The median seconds of the tasks that take the most, and of all others together."""
        seconds = medians(self.tasks[name])
        longest = sorted(seconds, key=lambda task: -seconds[task])[:LONGEST]
        rest = sum(took for task, took in seconds.items() if task not in longest)
        return {**{task: took for task, took in seconds.items() if task in longest}, "all other tasks": rest}

    def _ended(self, hosts: list[Host], began: float) -> float:
        wait_until(lambda: managers(hosts[0]) == set(self.names), timeout=120, what="three managers")
        seconds = time.monotonic() - began
        wait_until_healthy(hosts[0])
        assert len(ask(hosts[0], "GET", "/nodes")) == 3
        return seconds

    def by_script(self, first: str, *, all_of_them: bool) -> Callable[[], float]:
        def recover() -> float:
            hosts = self.lose(first, all_of_them=all_of_them)
            ssh = shlex.join(["ssh", *SSH_OPTIONS, "-i", str(self.lab.files.key)])
            began = time.monotonic()
            archive = str(self.archive) if all_of_them else ""
            execute(["bash", "-c", SCRIPT, "script", ssh, archive, *(host.address for host in hosts)])
            return self._ended(hosts, began)

        return recover

    def restored(self) -> float:
        hosts = self.lose("m2", all_of_them=True)
        began = time.monotonic()
        self._played(
            "restore",
            {
                "restore_host": "m2",
                "restore_archive": str(self.archive),
                "restore_confirmed": True,
            },
        )
        return self._ended(hosts, began)

    def recovered(self) -> float:
        hosts = self.lose("m1", all_of_them=False)
        began = time.monotonic()
        # the fresh hosts prove by themselves that the managers with their addresses are gone
        variables = {"recover_quorum_confirmed": True}
        self._played("recover_quorum", variables)
        return self._ended(hosts, began)


def measure(bench: Bench) -> list[Series]:
    with bench.directory() as directory:
        lost = Lost(of_swarm(bench), directory)
        total = bench.rounds({"script": lost.by_script("m2", all_of_them=True), "restore": lost.restored})
        quorum = bench.rounds({"script": lost.by_script("m1", all_of_them=False), "recover_quorum": lost.recovered})
    bench.release()
    return [
        Series(TOTAL, "s", "script", total, goals={"restore": 1.2}, spent=lost.spent("restore")),
        Series(QUORUM, "s", "script", quorum, goals={"recover_quorum": 1.2}, spent=lost.spent("recover_quorum")),
    ]
