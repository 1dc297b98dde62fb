# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operations: where each begins, how an operator runs it, and what must be true when it is done."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from faults.points import Point, steps_of, tasks_of
from faults.scene import MANAGERS, Scene
from helpers.backup import archives, ask, create_service
from helpers.escrow import fitting_keys
from helpers.power import cut_power
from helpers.restore import knows_of_loss, running_tasks

from quorate_lab import Host
from quorate_lab.process import wait_until

WRONG_KEY = "SWMKEY-1-" + base64.b64encode(bytes(32)).decode().rstrip("=")


#: What a new swarm is set to, of what a recovery changes for a moment.
USUAL_SETTINGS = {"HeartbeatPeriod": 5 * 10**9, "SnapshotInterval": 10_000, "LogEntriesForSlowFollowers": 500}


def changed_settings(scene: Scene) -> list[str]:
    """Which settings of the swarm are not what they were."""
    spec = ask(scene.manager(), "GET", "/swarm")["Spec"]
    now = {**spec["Dispatcher"], **spec["Raft"]}
    return [
        f"{name} of the swarm is {now[name]}, not {usual}"
        for name, usual in USUAL_SETTINGS.items()
        if now[name] != usual
    ]


def lost_of_nodes(scene: Scene) -> list[str]:
    """Which nodes do not have what they had, or are not one each."""
    now = scene.node_specs()
    return [
        f"{name} is {now.get(name, 'gone')} by labels and availability, not {had}"
        for name, had in scene.nodes.items()
        if now.get(name) != had
    ]


class Operation:
    """An operation of the collection.

    Attributes:
        name: The name of its playbook.
        modules: Files of module_utils whose steps are its points.
        last: The last step, whose end is a point as well.
        roles: Files of tasks that are its points.
        unreached: Points that it does not come to in these labs, and why.
        loaded: Whether the load goes on while it runs; else it ends before the loss with which the operation begins.
        keeps_quorum: Whether a fault of one host leaves a quorum that needs no help.
        takes_key: Whether it is given an unlock key.
        worst: The point at which faults strike that need no more than one point.
        short: Whether it consists of many short modules.
        patience: Seconds that the hosts get to come back by themselves after the fault.
    """

    name = ""
    modules: Sequence[str] = ()
    last = ""
    roles: Sequence[str] = ()
    unreached: ClassVar[dict[str, str]] = {}
    loaded = True
    keeps_quorum = True
    takes_key = False
    worst = ""
    short = False
    patience = 60

    def points(self) -> list[Point]:
        """All its points, in the order in which they are written."""
        steps = steps_of(self.modules)
        if self.last:
            steps.append(Point("step", f"after {self.last}"))
        return [Point("input", "what it is given"), *tasks_of(self.roles), *steps]

    def needs_swarm(self, scene: Scene) -> bool:
        """Whether it begins with a healthy swarm."""
        return True

    def start(self, scene: Scene) -> None:
        """Bring a healthy lab to where the operation begins."""

    def hosts(self, scene: Scene) -> list[Host]:
        """The hosts on which its modules run."""
        return scene.hosts

    def target(self, scene: Scene) -> Host:
        """The host that is hit while the controller halts."""
        return scene.hosts[1]

    def variables(self, scene: Scene, *, wrong_key: bool = False) -> dict[str, Any]:
        """What the playbook is given."""
        raise NotImplementedError

    def args(self, scene: Scene) -> Sequence[str]:
        """Further arguments of ansible-playbook."""
        return ()

    def missing(self, scene: Scene) -> list[str]:
        """What is not as it has to be when the operation is done."""
        raise NotImplementedError


class Backup(Operation):
    name = "backup"
    modules = ("_backup",)
    last = "wait until reachable"
    worst = "copy"
    roles = ("backup/tasks/main.yml", "backup/tasks/one.yml")
    unreached: ClassVar[dict[str, str]] = {
        "step: hand over the leadership": "the role hands it over by swarm_node, before the module",
        "step: copy while running": "only of a hot backup, which stops nothing",
        "task: Hand the leadership over to another manager": "the role chooses a follower where there is one",
    }
    patience = 60

    def variables(self, scene: Scene, *, wrong_key: bool = False) -> dict[str, Any]:
        return {"backup_dead_man_timeout": 25, "backup_wait_timeout": 60}

    def missing(self, scene: Scene) -> list[str]:
        finished = [path for host in scene.hosts for path in archives(host) if path.endswith(".tar.gz")]
        return [] if finished else ["there is no archive"]


class Restore(Operation):
    """All managers are lost, and fresh hosts have their addresses."""

    name = "restore"
    modules = ("_restore", "_force_new_cluster", "_lone_manager", "_changed_settings")
    roles = (
        "restore/tasks/look.yml",
        "restore/tasks/restore.yml",
        "bring_nodes_back/tasks/main.yml",
        "membership/tasks/join.yml",
    )
    unreached: ClassVar[dict[str, str]] = {
        "step: see that no other host has the address": "only of a restore to a host with another address",
        "step: give the workers time": "there is no worker",
        "step: start": "it is started outside the swarm, because there is nobody else in it",
        "step: roll back": "what leads there are the faults themselves",
        "task: Remove the entries of managers that are gone": "nobody has more managers than come back",
        "task: Put aside the old state of the stopped engine of *": "the engine runs",
        "task: Start the engine of *": "the engine runs",
    }
    loaded = False
    keeps_quorum = False
    takes_key = True
    worst = "swap the state directories"
    patience = 100

    def needs_swarm(self, scene: Scene) -> bool:
        return scene.archive is None or not scene.lab.is_up

    def start(self, scene: Scene) -> None:
        if scene.archive is None:
            scene.keep_archive()
        scene.writer.acknowledged = dict(scene.archived)
        scene.nodes = dict(scene.archived_nodes)
        scene.escrow.put(scene.archived_cluster, [scene.archived_key])
        scene.replace(MANAGERS)

    def target(self, scene: Scene) -> Host:
        return scene.lab.hosts[scene.archived_host]

    def hosts(self, scene: Scene) -> list[Host]:
        return [self.target(scene)]

    def variables(self, scene: Scene, *, wrong_key: bool = False) -> dict[str, Any]:
        return {
            "restore_host": scene.archived_host,
            "restore_archive": str(scene.archive),
            "restore_lost_managers": [host.address for host in scene.hosts if host.name != scene.archived_host],
            "restore_unlock_key": WRONG_KEY if wrong_key else scene.archived_key,
            "restore_rotate_unlock_key": False,
            "restore_confirmed": True,
            "restore_dead_man_timeout": 60,
            "restore_wait_timeout": 60,
        }

    def missing(self, scene: Scene) -> list[str]:
        cluster = str(ask(scene.manager(), "GET", "/swarm")["ID"])
        found = [*lost_of_nodes(scene), *changed_settings(scene)]
        return (
            found
            if cluster == scene.archived_cluster
            else [f"the swarm is {cluster}, not {scene.archived_cluster}", *found]
        )


class RecoverQuorum(Operation):
    """Two of three managers are lost for good, and fresh hosts have their addresses."""

    name = "recover_quorum"
    modules = ("_recover", "_force_new_cluster", "_lone_manager", "_changed_settings")
    roles = ("recover_quorum/tasks/look.yml", "recover_quorum/tasks/recover.yml", "bring_nodes_back/tasks/main.yml")
    unreached: ClassVar[dict[str, str]] = {
        "step: give the workers time": "there is no worker",
        "step: start": "it is started outside the swarm, because there is nobody else in it",
        "step: roll back": "what leads there are the faults themselves",
        "task: Clear the start limit of the engine": "the engine of the survivor runs",
        "task: Start the engine": "the engine of the survivor runs",
        "task: Unlock the manager": "the survivor is unlocked",
        "task: Stop the engines of the other survivors": "there is one survivor",
        "task: Start the engines of the other survivors again": "there is one survivor",
        "task: Unlock them": "there is one survivor",
    }
    loaded = False
    keeps_quorum = False
    takes_key = True
    worst = "swap the state directories"
    patience = 100

    def start(self, scene: Scene) -> None:
        scene.label()
        scene.replace(MANAGERS[1:])
        # One that loses its power within seconds of the loss takes with it that the last write was committed.
        wait_until(lambda: knows_of_loss(self.target(scene)), timeout=60, what="the survivor to know of the loss")

    def target(self, scene: Scene) -> Host:
        return scene.hosts[0]

    def hosts(self, scene: Scene) -> list[Host]:
        return scene.hosts[:1]

    def variables(self, scene: Scene, *, wrong_key: bool = False) -> dict[str, Any]:
        return {
            "recover_quorum_lost_managers": [host.address for host in scene.hosts[1:]],
            "recover_quorum_unlock_key": WRONG_KEY if wrong_key else scene.key,
            "recover_quorum_confirmed": True,
            "recover_quorum_settle_timeout": 20,
            "recover_quorum_dead_man_timeout": 60,
            "recover_quorum_wait_timeout": 60,
        }

    def missing(self, scene: Scene) -> list[str]:
        return [*lost_of_nodes(scene), *changed_settings(scene)]


class RotateUnlockKey(Operation):
    name = "rotate_unlock_key"
    modules = ("_unlock_key",)
    roles = ("rotate_unlock_key/tasks/main.yml", "rotate_unlock_key/tasks/one.yml", "unlock_key_escrow/tasks/write.yml")
    unreached: ClassVar[dict[str, str]] = {
        "step: switch autolock on": "the key is rotated",
        "step: switch autolock off": "the key is rotated",
        "step: look at the unlock key": "the key is rotated",
    }
    worst = "rotate the unlock key"
    short = True

    def args(self, scene: Scene) -> Sequence[str]:
        return scene.escrow.args

    def variables(self, scene: Scene, *, wrong_key: bool = False) -> dict[str, Any]:
        return {**scene.escrow.configuration, "rotate_unlock_key_wait_timeout": 45}

    def missing(self, scene: Scene) -> list[str]:
        key = str(ask(scene.manager(), "GET", "/swarm/unlockkey")["UnlockKey"])
        entries = scene.escrow.entries()
        found = [] if entries and entries[0]["key"] == key else ["the current key is not the newest of the escrow"]
        if [entry["key"] for entry in entries if not entry["retired"]] != [key]:
            found.append("the escrow does not hold the current key as the only one that is in use")
        if [host.name for host in scene.hosts if fitting_keys(host, [key]) != [key]]:
            found.append("the current key does not open every manager")
        if not any(entry["key"] != key for entry in entries):
            found.append("the key was not rotated")
        return found


class RejoinManager(Operation):
    """A manager that is in use, with labels and an availability of its own, leaves and joins again."""

    name = "rejoin_manager"
    keeps_quorum = False  # two managers are left meanwhile, and one that is locked takes their quorum with it
    modules = ("_transition",)
    roles = (
        "rejoin_manager/tasks/main.yml",
        "rejoin_manager/tasks/rejoin.yml",
        "membership/tasks/leave.yml",
        "membership/tasks/join.yml",
    )
    unreached: ClassVar[dict[str, str]] = {
        "step: wait until it is drained": "nothing is drained",
        "task: Put aside the old state of the stopped engine of *": "the engine runs",
        "task: Start the engine of *": "the engine runs",
        "task: Make it a manager again where it has not left": "what leads there are the faults themselves",
    }
    worst = "join"
    short = True

    def start(self, scene: Scene) -> None:
        scene.label()

    def target(self, scene: Scene) -> Host:
        return scene.hosts[2]

    def variables(self, scene: Scene, *, wrong_key: bool = False) -> dict[str, Any]:
        return {
            "rejoin_manager_host": "m3",
            "rejoin_manager_confirmed": True,
            "rejoin_manager_even_if_healthy": True,
            "rejoin_manager_wait_timeout": 120,
        }

    def missing(self, scene: Scene) -> list[str]:
        return lost_of_nodes(scene)


class Unlock(Operation):
    """All managers have lost their power and are locked."""

    name = "unlock"
    modules = ("_unlock",)
    last = "wait for a quorum"
    roles = ("unlock/tasks/main.yml",)
    unreached: ClassVar[dict[str, str]] = {
        "step: stop": "only with unlock_restart_if_stuck",
        "step: start": "only with unlock_restart_if_stuck",
    }
    keeps_quorum = False
    takes_key = True
    worst = "unlock"
    short = True

    def start(self, scene: Scene) -> None:
        time.sleep(2)
        cut_power(scene.lab, *MANAGERS)

    def variables(self, scene: Scene, *, wrong_key: bool = False) -> dict[str, Any]:
        return {"unlock_keys": [WRONG_KEY] if wrong_key else [WRONG_KEY, scene.key], "unlock_wait_timeout": 40}

    def missing(self, scene: Scene) -> list[str]:
        return []


class DrainManagers(Operation):
    """A manager with a task of a service is drained."""

    name = "drain_managers"
    modules = ("_transition",)
    roles = ("drain_managers/tasks/main.yml", "drain_managers/tasks/swarm.yml")
    unreached: ClassVar[dict[str, str]] = {
        f"step: {name}": "of changes of role and membership"
        for name in (
            "wait for the role",
            "remove the node",
            "join",
            "wait until it has joined",
            "leave",
            "wait until it has left",
        )
    }
    worst = "wait until it is drained"
    short = True

    def start(self, scene: Scene) -> None:
        manager = scene.hosts[0]
        for name in MANAGERS:
            manager.docker("node", "update", "--availability", "active", name)
        manager.docker("service", "rm", "web", check=False)
        create_service(manager, "web", "--replicas", "3")

    def target(self, scene: Scene) -> Host:
        return scene.hosts[2]

    def variables(self, scene: Scene, *, wrong_key: bool = False) -> dict[str, Any]:
        return {"drain_managers_nodes": ["m3"], "drain_managers_wait_timeout": 60}

    def missing(self, scene: Scene) -> list[str]:
        manager = scene.manager()
        (node,) = [node for node in ask(manager, "GET", "/nodes") if node["Description"]["Hostname"] == "m3"]
        found = [] if node["Spec"]["Availability"] == "drain" else ["m3 is not drained"]
        return found + (["tasks run on m3"] if running_tasks(manager, node["ID"]) else [])


OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Backup(),
        Restore(),
        RecoverQuorum(),
        RotateUnlockKey(),
        RejoinManager(),
        Unlock(),
        DrainManagers(),
    )
}
