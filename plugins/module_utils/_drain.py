# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows what a node that is drained has to get rid of, whether another node may take it, and when that is done. Pure.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node, Task

Json = t.Mapping[str, t.Any]

#: Task states that are final (moby api/types/swarm TaskState).
_ENDED = frozenset(("complete", "shutdown", "failed", "rejected", "remove", "orphaned"))
#: Desired states of a task that has had its successor.
_REPLACED = frozenset(("shutdown", "remove"))


@dataclasses.dataclass(frozen=True)
class Load:
    """What a node has to get rid of.

    Attributes:
        node: The node.
        services: Names by service ID of the services that have tasks on it.
        movable: Service IDs and slots of the tasks that go to another node. Those of global services only stop.
        stranded: Service IDs of movable tasks that no other node may take.
    """

    node: Node
    services: t.Mapping[str, str]
    movable: frozenset[tuple[str, int]]
    stranded: frozenset[str]

    def names(self, service_ids: t.Iterable[str]) -> list[str]:
        return sorted(self.name(service_id) for service_id in service_ids)

    def name(self, service_id: str) -> str:
        return self.services.get(service_id) or service_id


def load_of(
    node: Node, *, nodes: t.Sequence[Node], services: t.Sequence[Json], tasks: t.Sequence[Task], avoid: t.Container[str]
) -> Load:
    """Find out what a node has to get rid of, and what of it no other node may take.

    Args:
        node: The node to drain.
        nodes: All nodes.
        services: The services as the API lists them.
        tasks: The tasks of all nodes.
        avoid: IDs and host names of nodes that shall not take anything.
    """
    here = _alive(tasks, node)
    specs: dict[str, Json] = {service["ID"]: service.get("Spec") or {} for service in services}
    movable = frozenset((task.service_id, task.slot) for task in here if task.slot and task.desired not in _REPLACED)
    takers = [
        other
        for other in nodes
        if other.id != node.id
        and other.state == "ready"
        and other.availability == "active"
        and other.id not in avoid
        and other.hostname not in avoid
    ]
    service_ids = {service_id for service_id, dummy in movable}
    return Load(
        node=node,
        services={task.service_id: specs.get(task.service_id, {}).get("Name") or "" for task in here},
        movable=movable,
        stranded=frozenset(
            service_id
            for service_id in service_ids
            if not any(_may_take(specs.get(service_id, {}), other) for other in takers)
        ),
    )


def _alive(tasks: t.Iterable[Task], node: Node) -> list[Task]:
    """Tasks of services that have not ended on a node. A task without service is a plain container in a network."""
    return [task for task in tasks if task.node_id == node.id and task.service_id and task.state not in _ENDED]


def _may_take(spec: Json, node: Node) -> bool:
    """Whether the placement constraints of a service allow a node (moby/swarmkit manager/constraint/constraint.go).

    Those about the platform and the labels of the engine are not looked at.
    """
    placement: Json = (spec.get("TaskTemplate") or {}).get("Placement") or {}
    return all(_fits(constraint, node) for constraint in placement.get("Constraints") or ())


def _fits(constraint: str, node: Node) -> bool:
    equal = "!=" not in constraint
    key, dummy, wanted = (part.strip() for part in constraint.partition("==" if equal else "!="))
    known = {"node.id": node.id, "node.hostname": node.hostname, "node.role": node.role, "node.ip": node.address}
    if key.lower().startswith("node.labels."):
        value = node.labels.get(key[len("node.labels.") :], "")
    elif key.lower() in known:
        value = known[key.lower()]
    else:
        return True
    return (value.lower() == wanted.lower()) is equal


def require_room(load: Load) -> None:
    """Refuse to drain a node when a service has nowhere to go.

    Raises:
        Refused: With the services.
    """
    if load.stranded:
        names = load.names(load.stranded)
        raise Refused(
            f"drain {load.node.name}",
            f"{len(names)} service(s) have tasks there that no other node may take: {', '.join(names)}; a node may when "
            "it is ready and active, is not to be drained as well, and meets the placement constraints",
            "Make another node active, change the constraints, or set allow_stranded to stop these tasks all the same",
            services=names,
        )


def undrained(load: Load, tasks: t.Sequence[Task]) -> list[str]:
    """Say what keeps a node from being drained: tasks of it that go on, and tasks that do not run elsewhere yet.

    The tasks of a node that is down are replaced elsewhere, but nobody hears that they have stopped. A slot without a
    task that shall run is one that the service has given up. Stranded services are not waited for.
    """
    reasons = []
    if load.node.state == "ready":
        alive = _alive(tasks, load.node)
        for service_id in sorted({task.service_id for task in alive}):
            count = sum(task.service_id == service_id for task in alive)
            reasons.append(f"{count} task(s) of {load.name(service_id)} have not stopped")
    waiting: dict[str, list[Task]] = {}
    for service_id, slot in load.movable:
        if service_id in load.stranded:
            continue
        heirs = [
            task
            for task in tasks
            if (task.service_id, task.slot) == (service_id, slot)
            and task.node_id != load.node.id
            and task.desired not in _REPLACED
        ]
        if heirs and not any(task.state in ("running", "complete") for task in heirs):
            waiting.setdefault(service_id, []).extend(heirs)
    for service_id, heirs in sorted(waiting.items()):
        errors = sorted({task.error for task in heirs if task.error})
        words = f" ({'; '.join(errors)})" if errors else ""
        reasons.append(f"{len(heirs)} task(s) of {load.name(service_id)} do not run elsewhere yet{words}")
    return reasons
