# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the objects of a swarm as the raft store holds them, and what a log entry does to them. Pure.

Two messages carry them, with different field numbers: a snapshot has all objects, and a log entry the whole new object
of each change (moby/swarmkit api/snapshot.proto, api/raft.proto, api/objects.proto). Of an object, its ID, name, version
and a few facts are read. The payload of a secret or config is passed by: only its length is told.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import hmac
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import ProtobufError, Region, integer, region

#: Field numbers in StoreSnapshot and StoreAction.
_IN_SNAPSHOT = dict(
    enumerate(
        "nodes services networks tasks clusters secrets resources extensions configs volumes".split(),
        start=1,
    )
)
_IN_ACTION = dict(
    enumerate(
        "nodes services tasks networks clusters secrets resources extensions configs volumes".split(),
        start=2,
    )
)
_ACTIONS = {1: "create", 2: "update", 3: "remove"}
_ROLES = {0: "worker", 1: "manager"}
_PREDEFINED = "com.docker.swarm.predefined"
_UNLOCK_KEYS = "swarm-manager"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The cluster object. Its secrets are in no representation of it.

    Attributes:
        autolock: Whether managers seal their keys.
        root_ca_certificate: PEM, the root CA certificate.
        root_ca_key: PEM, its private key; empty when an external CA signs.
        unlock_keys: The unlock key, 32 bytes; none without autolock.
        fips: Whether it was made by a FIPS build of the engine.
    """

    autolock: bool
    root_ca_certificate: bytes
    root_ca_key: bytes = dataclasses.field(repr=False)
    unlock_keys: tuple[bytes, ...] = dataclasses.field(repr=False)
    fips: bool

    def is_unlocked_by(self, key: bytes) -> bool:
        """Whether that is the unlock key the swarm would tell today, at the end of the log."""
        return any(hmac.compare_digest(key, own) for own in self.unlock_keys)


@dataclasses.dataclass(frozen=True)
class StoreObject:
    """One object of the swarm.

    Attributes:
        kind: C(nodes), C(services), C(networks), C(tasks), C(clusters), C(secrets), C(configs) and so on.
        id: Its ID.
        name: Its name; the host name of a node.
        version: Its version index, as C(Version.Index) of the Engine API.
        facts: What else is told: C(role), C(address) and C(engine) (its version) of a node, C(size) of the payload of a secret or config,
            C(predefined) of a network that every swarm has and no API shows.
        cluster: What only the cluster object has.
    """

    kind: str
    id: str
    name: str
    version: int
    facts: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    cluster: Cluster | None = None


@dataclasses.dataclass(frozen=True)
class Change:
    """What a log entry does to one object: C(create), C(update) or C(remove) it. The object is as it becomes."""

    action: str
    object: StoreObject


def objects_of(store: Region) -> t.Iterator[StoreObject]:
    """The objects of a StoreSnapshot.

    Raises:
        ProtobufError: It is none.
    """
    for number, value in store.fields():
        kind = _IN_SNAPSHOT.get(number)
        if kind is not None:
            yield _object(kind, _message(value))


def changes_of(request: Region) -> t.Iterator[Change]:
    """The changes of an InternalRaftRequest, the content of a log entry. An empty one changes nothing.

    Raises:
        ProtobufError: It is none.
    """
    for action in request.regions(2):
        read = action.message()
        verb = _ACTIONS.get(integer(read, 1))
        for number, value in read.items():
            kind = _IN_ACTION.get(number)
            if kind is not None and verb is not None:
                yield Change(action=verb, object=_object(kind, _message(value)))


def _message(value: int | Region) -> Region:
    if isinstance(value, int):
        raise ProtobufError("an object is a number")
    return value


def _object(kind: str, message: Region) -> StoreObject:
    read = message.message()
    spec = region(read, 3).message()
    named = {"tasks": 8, "resources": 3, "extensions": 3}.get(kind)
    annotations = (region(read, named) if named else region(spec, 1)).message()
    name = region(annotations, 1).text()
    facts: dict[str, t.Any] = {}
    cluster = None
    if kind == "nodes":
        description = region(read, 4).message()
        name = region(description, 1).text()
        facts["engine"] = region(region(description, 4).message(), 1).text()
        facts["role"] = _ROLES.get(integer(spec, 2), "unknown")
        facts["address"] = region(region(read, 5).message(), 3).text()
    elif kind in ("secrets", "configs"):
        facts["size"] = len(region(spec, 2))
    elif kind == "networks":
        facts["predefined"] = any(
            region(label.message(), 1).text() == _PREDEFINED for label in region(spec, 1).regions(2)
        )
    elif kind == "clusters":
        cluster = _cluster(message, read, spec)
    version = region(region(read, 2).message(), 1).message()
    return StoreObject(
        kind=kind, id=region(read, 1).text(), name=name, version=integer(version, 1), facts=facts, cluster=cluster
    )


def _cluster(message: Region, read: t.Mapping[int, int | Region], spec: t.Mapping[int, int | Region]) -> Cluster:
    root_ca = region(read, 4).message()
    unlock_keys = (key.message() for key in message.regions(9))
    return Cluster(
        autolock=bool(integer(region(spec, 8).message(), 1)),
        root_ca_key=region(root_ca, 1).octets(),
        root_ca_certificate=region(root_ca, 2).octets(),
        unlock_keys=tuple(
            region(key, 3).octets() for key in unlock_keys if region(key, 1).octets() == _UNLOCK_KEYS.encode()
        ),
        fips=bool(integer(read, 10)),
    )
