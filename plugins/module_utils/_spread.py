# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how the scheduler of Swarm spreads the tasks of a service: which nodes it may use, what an even spread over them
is, and how many tasks are in the wrong place. Pure; no I/O.

It follows moby/swarmkit manager/scheduler (filter.go, nodeset.go, scheduler.go) and manager/constraint.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import collections
import dataclasses
import ipaddress
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._model import Node, Task, reservations_of

Json = t.Mapping[str, t.Any]

#: States of a task that has not ended (moby api/types/swarm TaskState).
_ACTIVE = ("new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running")
_SAME_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclasses.dataclass(frozen=True)
class Place:
    """A node as the scheduler sees it.

    Attributes:
        node: The node.
        os: Its operating system, such as C(linux).
        architecture: That of its processor, as Docker names it for images, such as C(amd64).
        engine_labels: Labels of its engine; those of the node are in C(node).
        plugins: Type and name of what its engine has, such as C(("Volume", "local")).
        cpus: Billionths of a processor that it has.
        memory: Bytes that it has.
    """

    node: Node
    os: str = ""
    architecture: str = ""
    engine_labels: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    plugins: frozenset[tuple[str, str]] = frozenset()
    cpus: int = 0
    memory: int = 0

    @classmethod
    def from_api(cls, node: Json) -> Place:
        description: Json = node.get("Description") or {}
        platform: Json = description.get("Platform") or {}
        engine: Json = description.get("Engine") or {}
        resources: Json = description.get("Resources") or {}
        return cls(
            node=Node.from_api(node),
            os=platform.get("OS") or "",
            architecture=_architecture(platform.get("Architecture")),
            engine_labels=dict(engine.get("Labels") or {}),
            plugins=frozenset((plugin["Type"], plugin["Name"]) for plugin in engine.get("Plugins") or ()),
            cpus=int(resources.get("NanoCPUs") or 0),
            memory=int(resources.get("MemoryBytes") or 0),
        )


def _architecture(name: str | None) -> str:
    return _SAME_ARCHITECTURE.get(name or "", name or "")


def host_ports(service: Json) -> frozenset[tuple[str, int]]:
    """Protocol and number of the ports that every task of a service takes on its node."""
    ports = ((service.get("Spec") or {}).get("EndpointSpec") or {}).get("Ports") or ()
    return frozenset(
        (port.get("Protocol") or "tcp", int(port["PublishedPort"]))
        for port in ports
        if port.get("PublishMode") == "host" and port.get("PublishedPort")
    )


def is_active(task: Task) -> bool:
    """Whether a task runs or is on its way, so that the scheduler counts it."""
    return task.state in _ACTIVE and task.desired not in ("shutdown", "remove")


# -- which nodes ---------------------------------------------------------------------------------------------------


def meets_constraint(place: Place, constraint: str) -> bool:
    """Whether a node meets one constraint of a service, such as C(node.labels.disk == ssd).

    Keys and values are compared without regard to case, but for the name of a label. A label that is not there is an
    empty text. A constraint that Swarm does not know is met by no node.
    """
    operator = next((operator for operator in ("==", "!=") if operator in constraint), None)
    if operator is None:
        return False
    key, value = (part.strip() for part in constraint.split(operator, 1))
    wanted = operator == "=="
    low = key.lower()
    node = place.node
    if low == "node.ip":
        return _is_in(node.address, value) is wanted
    texts = {
        "node.id": node.id,
        "node.hostname": node.hostname,
        "node.role": node.role,
        "node.platform.os": place.os,
    }
    if low in texts:
        return (texts[low].lower() == value.lower()) is wanted
    if low == "node.platform.arch":
        return (place.architecture == _architecture(value.lower())) is wanted
    for prefix, labels in (("node.labels.", node.labels), ("engine.labels.", place.engine_labels)):
        if low.startswith(prefix) and len(low) > len(prefix):
            return (labels.get(key[len(prefix) :], "").lower() == value.lower()) is wanted
    return False


def _is_in(address: str, network: str) -> bool | None:
    """Whether an address is in a network, or is that address; None when the network is none."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return None


def may_run(place: Place, template: Json) -> bool:
    """Whether the scheduler may put a task on a node, if there is room for it.

    Args:
        place: The node.
        template: TaskTemplate of the service.
    """
    if place.node.state != "ready" or place.node.availability != "active":
        return False
    placement: Json = template.get("Placement") or {}
    if not all(meets_constraint(place, constraint) for constraint in placement.get("Constraints") or ()):
        return False
    platforms = placement.get("Platforms") or ()
    if platforms and not any(
        (platform.get("OS") or place.os) == place.os
        and (_architecture(platform.get("Architecture")) or place.architecture) == place.architecture
        for platform in platforms
    ):
        return False
    return all(plugin in place.plugins for plugin in _needed_plugins(template))


def _needed_plugins(template: Json) -> set[tuple[str, str]]:
    needed = set()
    for mount in (template.get("ContainerSpec") or {}).get("Mounts") or ():
        driver = ((mount.get("VolumeOptions") or {}).get("DriverConfig") or {}).get("Name")
        if mount.get("Type") == "volume" and driver:
            needed.add(("Volume", driver))
    log_driver = (template.get("LogDriver") or {}).get("Name")
    if log_driver and log_driver != "none":
        needed.add(("Log", log_driver))
    return needed


def rooms(
    service: Json, places: t.Iterable[Place], tasks: t.Iterable[Task], ports: t.Mapping[str, frozenset[tuple[str, int]]]
) -> dict[str, int | None]:
    """How many tasks of a service each node may have, by node ID; None for any number. Other nodes may have none.

    Args:
        service: The service.
        places: All nodes.
        tasks: The tasks of all services.
        ports: The ports that each task of a service takes on its node, by service ID.
    """
    template: Json = service["Spec"].get("TaskTemplate") or {}
    most = int((template.get("Placement") or {}).get("MaxReplicas") or 0)
    own_ports = host_ports(service)
    wanted = dict(zip(("cpus", "memory"), reservations_of(template)))
    others: dict[str, list[Task]] = collections.defaultdict(list)
    for task in tasks:
        if is_active(task) and task.service_id != service["ID"]:
            others[task.node_id].append(task)
    result: dict[str, int | None] = {}
    for place in places:
        neighbours = others[place.node.id]
        if not may_run(place, template):
            continue
        if any(own_ports & ports.get(task.service_id, frozenset()) for task in neighbours):
            continue
        limits = [most] if most else []
        limits += [1] if own_ports else []
        for kind, each in wanted.items():
            if each:
                free = getattr(place, kind) - sum(getattr(task, kind) for task in neighbours)
                limits.append(max(0, free // each))
        result[place.node.id] = min(limits) if limits else None
    return result


# -- what is even --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """A node in the tree of nodes.

    Attributes:
        branches: The value of each placement preference, and its ID.
        held: Tasks of the service that it has.
        room: How many it may have; None for any number.
    """

    branches: tuple[str, ...]
    held: int
    room: int | None


def even_spread(
    held: t.Mapping[str, int],
    rooms: t.Mapping[str, int | None],
    count: int,
    branches: t.Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, int]:
    """Spread so many tasks evenly, so that as few of them as can be change their node.

    The scheduler makes the branches of the first placement preference even, then those of the next in each of them, and
    at last the nodes. Whatever has no room left is passed over.

    Args:
        held: Tasks of the service on each node, by node ID.
        rooms: As rooms() returns them.
        count: How many tasks to spread.
        branches: For each node the values of the placement preferences, the first one first.

    Returns: tasks for each node of C(rooms). They are fewer than C(count) where there is no room for all.
    """
    leaves = [
        _Leaf((*(branches or {}).get(node, ()), node), held.get(node, 0), room) for node, room in sorted(rooms.items())
    ]
    return _spread(leaves, 0, count)


def _room(leaves: t.Iterable[_Leaf], count: int) -> int:
    """How many of so many tasks these nodes can have."""
    return min(count, sum(count if leaf.room is None else leaf.room for leaf in leaves))


def _spread(leaves: t.Sequence[_Leaf], level: int, count: int) -> dict[str, int]:
    if not leaves:
        return {}
    if level == len(leaves[0].branches):
        (leaf,) = leaves
        return {leaf.branches[-1]: _room(leaves, count)}
    groups: dict[str, list[_Leaf]] = {}
    for leaf in leaves:
        groups.setdefault(leaf.branches[level], []).append(leaf)
    shares = dict.fromkeys(groups, 0)
    left = _room(leaves, count)
    while left:
        open_groups = [name for name in groups if shares[name] < _room(groups[name], count)]
        each = left // len(open_groups)
        if not each:
            # What is left over goes where it saves a task from moving.
            saved = {name: _saved(groups[name], level + 1, shares[name]) for name in open_groups}
            for name in sorted(open_groups, key=lambda name: -saved[name])[:left]:
                shares[name] += 1
            break
        for name in open_groups:
            more = min(each, _room(groups[name], count) - shares[name])
            shares[name] += more
            left -= more
    result: dict[str, int] = {}
    for name, group in groups.items():
        result.update(_spread(group, level + 1, shares[name]))
    return result


def _saved(leaves: t.Sequence[_Leaf], level: int, share: int) -> int:
    """How many tasks fewer have to leave this branch when it gets one more than its share."""
    held = {leaf.branches[-1]: leaf.held for leaf in leaves}
    return moves(held, _spread(leaves, level, share)) - moves(held, _spread(leaves, level, share + 1))


def moves(held: t.Mapping[str, int], wanted: t.Mapping[str, int]) -> int:
    """How many tasks have to leave their node to get from one spread to another."""
    return sum(max(0, count - wanted.get(node, 0)) for node, count in held.items())


def branches_of(places: t.Iterable[Place], preferences: t.Sequence[Json]) -> dict[str, tuple[str, ...]]:
    """For each node the values by which the placement preferences of a service spread it."""
    result = {}
    for place in places:
        values = []
        for preference in preferences:
            descriptor = (preference.get("Spread") or {}).get("SpreadDescriptor") or ""
            for prefix, labels in (("node.labels.", place.node.labels), ("engine.labels.", place.engine_labels)):
                if descriptor.lower().startswith(prefix):
                    values.append(labels.get(descriptor[len(prefix) :], ""))
        result[place.node.id] = tuple(values)
    return result


# -- the verdict on a service --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Spread:
    """How the tasks of a service are spread.

    Attributes:
        verdict: C(even), C(uneven), or why there is no verdict: C(global), C(job), C(updating) (an update is running),
            C(paused) (its last update failed), C(unsettled) (not all of its tasks run), C(not_judged).
        reason: What C(verdict) is about, for people; empty when it is even or uneven.
        held: Tasks on each node by node ID.
        wanted: Tasks on each node if they were spread anew; empty without a verdict.
        moves: How many tasks are in the wrong place. Those on a paused node stay there until they are restarted, and so
            count as in the right one.
    """

    verdict: str
    reason: str = ""
    held: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    wanted: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    moves: int = 0


def judge(
    service: Json, places: t.Sequence[Place], tasks: t.Sequence[Task], ports: t.Mapping[str, frozenset[tuple[str, int]]]
) -> Spread:
    """Judge the spread of a service.

    Args:
        service: The service, as GET /services?status=true lists it.
        places: All nodes.
        tasks: The tasks of all services.
        ports: The ports that each task of a service takes on its node, by service ID.
    """
    spec: Json = service["Spec"]
    template: Json = spec.get("TaskTemplate") or {}
    mode: Json = spec.get("Mode") or {}
    own = [task for task in tasks if task.service_id == service["ID"] and is_active(task)]
    held = {place.node.id: 0 for place in places}
    held.update(collections.Counter(task.node_id for task in own if task.node_id))
    if "Replicated" not in mode:
        job = any(name.endswith("Job") for name in mode)
        return Spread("job" if job else "global", "it is a job" if job else "it has a task on every node", held)
    if _not_understood(template):
        return Spread("not_judged", _not_understood(template), held)
    update = (service.get("UpdateStatus") or {}).get("State") or ""
    if update in ("updating", "rollback_started"):
        return Spread("updating", "an update of it is running", held)
    if update in ("paused", "rollback_paused"):
        return Spread("paused", f"its last update is {update.replace('_', ' ')}", held)
    replicas = int(mode["Replicated"].get("Replicas") or 0)
    running = sum(task.state == "running" for task in own)
    if running != replicas or len(own) != replicas:
        return Spread("unsettled", f"{running} of its {replicas} tasks run", held)
    room = rooms(service, places, tasks, ports)
    branches = branches_of(places, (template.get("Placement") or {}).get("Preferences") or ())
    movable = {node: count for node, count in held.items() if node in room}
    out = moves(movable, even_spread(held, room, sum(movable.values()), branches))
    wanted = even_spread(held, room, replicas, branches)
    if sum(wanted.values()) < replicas:
        return Spread("not_judged", f"there is room for {sum(wanted.values())} of its {replicas} tasks", held)
    return Spread("uneven" if out else "even", "", held, wanted, out)


def _not_understood(template: Json) -> str:
    """What of a service has a say in where its tasks go, but is not known here; empty when there is nothing."""
    if ((template.get("Resources") or {}).get("Reservations") or {}).get("GenericResources"):
        return "it reserves generic resources"
    if any(mount.get("Type") == "cluster" for mount in (template.get("ContainerSpec") or {}).get("Mounts") or ()):
        return "it mounts cluster volumes"
    return ""
