# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the backup of a swarm takes, beside a shell script over ssh."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from common import Bench, Host, Lab, Series, execute, forget_connections, medians, of_swarm, playbook, tasks_of
from helpers.backup import wait_until_healthy

from quorate_lab.inventory import SSH_OPTIONS

TITLE = "The whole backup of a swarm"
ABOUT = """
Wall seconds from the command to its end, for a swarm of three managers without much in it. The script takes the steps of
the playbook, as far as a shell can: it asks the three managers for their state at the same time, chooses a follower, arms a
timer that would start the engine again, stops it, copies the state, starts it, waits until the manager is ready and
reachable, packs the copy, writes a checksum and reads the archive once. The ssh connections of Ansible are closed before
each run.
"""
REMAINS = """
What the script does not do is most of the difference: each call starts a Python with the Docker SDK, where the script asks
`docker`; the backup opens every record of the copy, compares it object by object with what the API says, and compares each
file of the archive with its manifest. The rest is Ansible: its start, and some twenty tasks that decide, skip and
report, each a process of its own on the controller. There are two calls to a host in all, so pipelining saves little here;
where a playbook of your own has more of them, it saves two thirds of each.
"""

#: Arguments: the ssh command without the host, and the addresses of the managers of a swarm.
SCRIPT = r"""
set -eu
ssh=$1; shift
work=$(mktemp -d)
for address; do
    $ssh "root@$address" "docker node ls --format '{{.Self}};{{.Status}};{{.ManagerStatus}};{{.ID}}'" >"$work/$address" &
done
wait
chosen=
for role in Leader Reachable; do
    for address; do
        [ "$(grep -c ';Ready;' "$work/$address")" -ge $# ]
        ! grep -q "^true;Ready;$role;" "$work/$address" || chosen=$address
    done
done
rm -r "$work"
$ssh "root@$chosen" sh -eu <<'END'
umask 077
directory=/var/backups/by-hand
mkdir -p $directory
copy=$(mktemp -d /var/lib/docker/.by-hand-XXXXXX)
name=swarm_$(date -u +%Y%m%dT%H%M%SZ).tar.gz
self=$(docker node inspect self --format '{{.ID}}')
systemd-run --quiet --unit=by-hand --on-active=180 sh -c \
    'systemctl reset-failed docker.socket docker.service; systemctl start docker.service'
systemctl stop docker.socket docker.service
cp -a --sparse=always /var/lib/docker/swarm "$copy"
systemctl reset-failed docker.socket docker.service
systemctl start docker.service
until docker node inspect "$self" --format '{{.Status.State}} {{.ManagerStatus.Reachability}}' 2>/dev/null |
    grep -q '^ready reachable$'; do sleep 0.5; done
systemctl stop by-hand.timer
tar czf $directory/$name -C "$copy" swarm
rm -r "$copy"
(cd $directory && sha256sum $name >$name.sha256 && tar tzf $name >/dev/null)
ls -1t $directory/*.tar.gz | tail -n +2 | xargs -r rm
echo $directory/$name
END
"""

CALLS = ("Find out the state of every manager", "Back up this manager")


def spent(log: str, seconds: float) -> dict[str, float]:
    """Where the time of a run went: in the calls to hosts, in all other tasks, and before and behind the tasks."""
    tasks = tasks_of(log)
    found = {call.lower(): sum(time for name, time in tasks if name.startswith(call)) for call in CALLS}
    found["all other tasks"] = sum(time for dummy, time in tasks) - sum(found.values())
    return {**found, "start and end of Ansible": seconds - sum(found.values())}


def script(lab: Lab, managers: Iterable[Host]) -> list[str]:
    """The command that backs up a swarm of these managers by the script."""
    ssh = shlex.join(["ssh", *SSH_OPTIONS, "-i", str(lab.files.key)])
    return ["bash", "-c", SCRIPT, "script", ssh, *(host.address for host in managers)]


class Swarm:
    """A swarm that is backed up in both ways."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.inventory = lab.write_inventory(directory / "inventory")
        self.log = directory / "log"

    def _prepare(self) -> None:
        forget_connections(self.lab)
        for host in self.lab.hosts.values():
            host.run(["systemctl", "reset-failed", "docker.service", "docker.socket"])
            wait_until_healthy(host)

    def by_script(self) -> float:
        self._prepare()
        began = time.monotonic()
        execute(script(self.lab, self.lab.hosts.values()))
        return time.monotonic() - began

    def by_playbook(self, steps: list[dict[str, float]], *, pipelining: bool) -> Callable[[], float]:
        def backup() -> float:
            self._prepare()
            self.log.unlink(missing_ok=True)
            variables = {"ansible_pipelining": pipelining, "backup_keep": 1}
            seconds = playbook(self.inventory, "backup", variables, {"ANSIBLE_LOG_PATH": str(self.log)})
            steps.append(spent(self.log.read_text(), seconds))
            return seconds

        return backup


def measure(bench: Bench) -> list[Series]:
    with bench.directory() as directory:
        swarm = Swarm(of_swarm(bench), directory)
        steps: dict[bool, list[dict[str, float]]] = {True: [], False: []}
        found = bench.rounds(
            {
                "script": swarm.by_script,
                "playbook": swarm.by_playbook(steps[True], pipelining=True),
                "playbook without pipelining": swarm.by_playbook(steps[False], pipelining=False),
            }
        )
    return [Series("3 managers", "s", "script", found, goals={"playbook": 1.5}, spent=medians(steps[True]))]
