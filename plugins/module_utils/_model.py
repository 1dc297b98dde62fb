# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the shape of the Engine API's answers and turns them into plain values. No I/O.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import typing as t

Json = t.Mapping[str, t.Any]

#: What `swarm_info` reports as C(state). See LocalState.state for how each is recognised.
STATES = ("daemon_down", "inactive", "pending", "locked", "error", "worker", "quorum_lost", "unsettled", "manager")


def host_of(address: str) -> str:
    """Return the IP of C(ip:port), C([ip6]:port) or a bare address."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


@dataclasses.dataclass(frozen=True)
class LocalState:
    """What GET /info says of this engine and the swarm (moby api/types/swarm Info; lab facts B2.1, B5.2)."""

    node_id: str
    node_address: str
    local_node_state: str
    control_available: bool
    error: str
    cluster_id: str
    autolock: bool | None
    remote_managers: tuple[tuple[str, str], ...]
    managers: int
    nodes: int
    hostname: str
    engine_version: str
    root_dir: str
    warnings: tuple[str, ...]

    @classmethod
    def from_info(cls, info: Json) -> LocalState:
        swarm: Json = info.get("Swarm") or {}
        cluster: Json = swarm.get("Cluster") or {}
        encryption: Json = (cluster.get("Spec") or {}).get("EncryptionConfig") or {}
        return cls(
            node_id=swarm.get("NodeID") or "",
            node_address=swarm.get("NodeAddr") or "",
            local_node_state=swarm.get("LocalNodeState") or "inactive",
            control_available=bool(swarm.get("ControlAvailable")),
            error=swarm.get("Error") or "",
            cluster_id=cluster.get("ID") or "",
            autolock=bool(encryption.get("AutoLockManagers")) if cluster.get("ID") else None,
            remote_managers=tuple(
                (peer.get("NodeID") or "", peer.get("Addr") or "") for peer in swarm.get("RemoteManagers") or ()
            ),
            managers=int(swarm.get("Managers") or 0),
            nodes=int(swarm.get("Nodes") or 0),
            hostname=info.get("Name") or "",
            engine_version=info.get("ServerVersion") or "",
            root_dir=info.get("DockerRootDir") or "",
            warnings=tuple(swarm.get("Warnings") or ()),
        )

    @property
    def state(self) -> str:
        """One word of STATES.

        ControlAvailable proves nothing (lab fact B5.2): a manager without a leader keeps it, and after a restart
        without quorum it is also C(pending). The error text tells a lost quorum from an election that may still run.
        """
        low = self.error.lower()
        if self.local_node_state in ("inactive", "locked", "error"):
            return self.local_node_state
        if self.control_available and "does not have a leader" in low:
            return "quorum_lost"
        if self.control_available and low:
            return "unsettled"
        if self.local_node_state == "pending":
            return "pending"
        return "manager" if self.control_available else "worker"


@dataclasses.dataclass(frozen=True)
class Manager:
    """The manager part of a node (moby api/types/swarm ManagerStatus)."""

    address: str
    reachability: str
    leader: bool

    @property
    def reachable(self) -> bool:
        return self.reachability == "reachable"


@dataclasses.dataclass(frozen=True)
class Node:
    """A node as the managers see it (moby api/types/swarm Node)."""

    id: str
    hostname: str
    role: str
    availability: str
    state: str
    address: str
    labels: dict[str, str]
    engine_version: str
    manager: Manager | None
    version: int

    @classmethod
    def from_api(cls, node: Json) -> Node:
        spec: Json = node.get("Spec") or {}
        description: Json = node.get("Description") or {}
        status: Json = node.get("Status") or {}
        manager: Json | None = node.get("ManagerStatus")
        return cls(
            id=node["ID"],
            hostname=description.get("Hostname") or "",
            role=spec.get("Role") or "worker",
            availability=spec.get("Availability") or "active",
            state=status.get("State") or "unknown",
            address=status.get("Addr") or "",
            labels=dict(spec.get("Labels") or {}),
            engine_version=(description.get("Engine") or {}).get("EngineVersion") or "",
            manager=Manager(
                address=manager.get("Addr") or "",
                reachability=manager.get("Reachability") or "unknown",
                leader=bool(manager.get("Leader")),
            )
            if manager
            else None,
            version=int((node.get("Version") or {}).get("Index") or 0),
        )

    @classmethod
    def from_facts(cls, entry: Json) -> Node:
        """The node of which as_dict() gave this."""
        manager = entry["manager"]
        return cls(**{**entry, "manager": Manager(**manager) if manager else None})

    @property
    def name(self) -> str:
        """Host name and ID, for messages: host names need not be unique."""
        return f"{self.hostname} ({self.id})" if self.hostname else self.id

    def as_dict(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Item:
    """A service, network, secret or config: its ID, name and version index, never its content.

    The API tells no version of a network; it is 0 then.
    """

    id: str
    name: str
    version: int = 0

    @classmethod
    def from_api(cls, item: Json) -> Item:
        return cls(
            id=item.get("ID") or item.get("Id") or "",
            name=(item.get("Spec") or item).get("Name") or "",
            version=int((item.get("Version") or {}).get("Index") or 0),
        )

    def as_dict(self) -> dict[str, t.Any]:
        """The item as it stands in a manifest, without a version that is not known."""
        return {"id": self.id, "name": self.name, **({"version": self.version} if self.version else {})}


@dataclasses.dataclass(frozen=True)
class Service:
    """A service with the tasks it should have and has (GET /services?status=true, API 1.41; lab fact B7.2)."""

    id: str
    name: str
    mode: str
    desired: int | None
    running: int | None

    @classmethod
    def from_api(cls, service: Json) -> Service:
        spec: Json = service.get("Spec") or {}
        status: Json = service.get("ServiceStatus") or {}
        modes = {
            "Replicated": "replicated",
            "Global": "global",
            "ReplicatedJob": "replicated_job",
            "GlobalJob": "global_job",
        }
        mode = next((word for key, word in modes.items() if key in (spec.get("Mode") or {})), "replicated")
        return cls(
            id=service["ID"],
            name=spec.get("Name") or "",
            mode=mode,
            desired=status.get("DesiredTasks"),
            running=status.get("RunningTasks"),
        )


def reservations_of(template: Json) -> tuple[int, int]:
    """What each task of a service reserves: billionths of a processor, and bytes of memory."""
    reserved: Json = (template.get("Resources") or {}).get("Reservations") or {}
    return int(reserved.get("NanoCPUs") or 0), int(reserved.get("MemoryBytes") or 0)


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of a service (moby api/types/swarm Task).

    Attributes:
        force_update: The counter of its service when it was made.
        cpus: Billionths of a processor that it reserves.
        memory: Bytes that it reserves.
    """

    id: str
    service_id: str
    node_id: str
    slot: int
    state: str
    desired: str
    error: str
    created: str
    force_update: int
    cpus: int
    memory: int

    @classmethod
    def from_api(cls, task: Json) -> Task:
        status: Json = task.get("Status") or {}
        spec: Json = task.get("Spec") or {}
        cpus, memory = reservations_of(spec)
        return cls(
            id=task["ID"],
            service_id=task.get("ServiceID") or "",
            node_id=task.get("NodeID") or "",
            slot=int(task.get("Slot") or 0),
            state=status.get("State") or "new",
            desired=task.get("DesiredState") or "",
            error=status.get("Err") or "",
            created=task.get("CreatedAt") or "",
            force_update=int(spec.get("ForceUpdate") or 0),
            cpus=cpus,
            memory=memory,
        )


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The cluster object without join tokens and signing keys (GET /swarm, moby api/types/swarm Swarm)."""

    id: str
    created: str
    autolock: bool
    root_ca: str
    root_rotation_in_progress: bool
    data_path_port: int
    default_address_pool: tuple[str, ...]
    subnet_size: int
    spec: dict[str, t.Any]

    @classmethod
    def from_api(cls, swarm: Json) -> Cluster:
        spec: Json = swarm.get("Spec") or {}
        ca_config: Json = spec.get("CAConfig") or {}
        return cls(
            id=swarm.get("ID") or "",
            created=swarm.get("CreatedAt") or "",
            autolock=bool((spec.get("EncryptionConfig") or {}).get("AutoLockManagers")),
            root_ca=(swarm.get("TLSInfo") or {}).get("TrustRoot") or "",
            root_rotation_in_progress=bool(swarm.get("RootRotationInProgress")),
            data_path_port=int(swarm.get("DataPathPort") or 0),
            default_address_pool=tuple(swarm.get("DefaultAddrPool") or ()),
            subnet_size=int(swarm.get("SubnetSize") or 0),
            spec={
                "labels": dict(spec.get("Labels") or {}),
                "task_history_limit": (spec.get("Orchestration") or {}).get("TaskHistoryRetentionLimit"),
                "raft": dict(spec.get("Raft") or {}),
                "dispatcher": dict(spec.get("Dispatcher") or {}),
                "node_certificate_expiry": ca_config.get("NodeCertExpiry"),
                "external_cas": [
                    {"protocol": ca.get("Protocol"), "url": ca.get("URL")} for ca in ca_config.get("ExternalCAs") or ()
                ],
            },
        )


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What a swarm consists of, by ID, name and version. Two inventories of one swarm can be compared."""

    nodes: tuple[dict[str, t.Any], ...]
    services: tuple[Item, ...]
    networks: tuple[Item, ...]
    secrets: tuple[Item, ...]
    configs: tuple[Item, ...]

    KINDS: t.ClassVar[tuple[str, ...]] = ("nodes", "services", "networks", "secrets", "configs")

    def as_dict(self) -> dict[str, list[dict[str, t.Any]]]:
        """The inventory as it stands in a manifest, each kind sorted by ID."""
        result = {kind: [item.as_dict() for item in getattr(self, kind)] for kind in self.KINDS[1:]}
        result["nodes"] = [dict(node) for node in self.nodes]
        return {kind: sorted(result[kind], key=lambda entry: entry["id"]) for kind in self.KINDS}


def inventory_of(
    *,
    nodes: t.Sequence[Node],
    services: t.Sequence[Json],
    networks: t.Sequence[Json],
    secrets: t.Sequence[Json],
    configs: t.Sequence[Json],
) -> Inventory:
    """Build the inventory of a swarm from the API's lists. Networks of other scopes than swarm are left out."""
    return Inventory(
        nodes=tuple(
            {
                "id": node.id,
                "hostname": node.hostname,
                "role": node.role,
                "address": host_of(node.manager.address) if node.manager else node.address,
                "version": node.version,
            }
            for node in nodes
        ),
        services=tuple(Item.from_api(entry) for entry in services),
        networks=tuple(Item.from_api(entry) for entry in networks if entry.get("Scope") == "swarm"),
        secrets=tuple(Item.from_api(entry) for entry in secrets),
        configs=tuple(Item.from_api(entry) for entry in configs),
    )


def inventory_difference(
    before: t.Mapping[str, t.Sequence[Json]], after: t.Mapping[str, t.Sequence[Json]]
) -> dict[str, dict[str, list[dict[str, t.Any]]]]:
    """Compare two inventories by ID and version.

    Returns: for each kind that differs, C(missing) (in before only), C(added) (in after only) and C(older), what has a
    lower version in after than in before: changes to it were lost. Empty when equal.
    """
    difference = {}
    for kind in Inventory.KINDS:
        old = {entry["id"]: dict(entry) for entry in before.get(kind) or ()}
        new = {entry["id"]: dict(entry) for entry in after.get(kind) or ()}
        found = {
            "missing": [old[key] for key in sorted(old.keys() - new.keys())],
            "added": [new[key] for key in sorted(new.keys() - old.keys())],
            "older": [
                new[key]
                for key in sorted(old.keys() & new.keys())
                if "version" in new[key] and new[key]["version"] < old[key].get("version", 0)
            ],
        }
        if any(found.values()):
            difference[kind] = found
    return difference


def version_tuple(version: str) -> tuple[int, ...]:
    """Turn an engine version such as C(20.10.24+dfsg1) into numbers that compare (20, 10, 24)."""
    numbers = []
    for part in version.split("+")[0].split("-")[0].split("~")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def find_nodes(nodes: t.Iterable[Node], wanted: str) -> list[Node]:
    """Return the nodes that a name given by an operator means: the node with this ID, else all with this host name."""
    known = list(nodes)
    by_id = [node for node in known if node.id == wanted]
    return by_id or [node for node in known if node.hostname == wanted]
