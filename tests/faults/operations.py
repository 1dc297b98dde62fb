# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operations: where each begins, how an operator runs it, and what must be true when it is done."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar

from faults.points import Point, steps_of, tasks_of
from faults.scene import Scene
from helpers.backup import archives

from quorate_lab import Host

WRONG_KEY = "SWMKEY-1-" + base64.b64encode(bytes(32)).decode().rstrip("=")


class Operation:
    """An operation of the collection.

    Attributes:
        name: The name of its playbook.
        modules: Files of module_utils whose steps are its points.
        last: The last step, whose end is a point as well.
        roles: Files of tasks that are its points.
        unreached: Points that it does not come to in these labs, and why.
        loaded: Whether the load goes on while it runs; else it ends before the loss with which the operation begins.
        patience: Seconds that the hosts get to come back by themselves after the fault.
    """

    name = ""
    modules: Sequence[str] = ()
    last = ""
    roles: Sequence[str] = ()
    unreached: ClassVar[dict[str, str]] = {}
    loaded = True
    patience = 60

    def points(self) -> list[Point]:
        """All its points, in the order in which they are written."""
        steps = steps_of(self.modules)
        if self.last:
            steps.append(Point("step", f"after {self.last}"))
        return [Point("input", "what it is given"), *tasks_of(self.roles), *steps]

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
    last = "write and verify the archive"
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


OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in (Backup(),)}
