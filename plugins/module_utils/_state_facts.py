# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows what is in a swarm state directory: whose it is, how its key is kept, how far its raft store has come, and
whether an engine could start from it.

The directory is only read. No engine is needed, and no unlock key either, but with one more can be proven.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import (
    _certificate,
    _node_key,
    _raft_store,
    _worker_tasks,
)
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    BadArchive,
    MissingLibrary,
    SwarmError,
    WrongKey,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of
from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment_text
from ansible_collections.quorate.swarm.plugins.module_utils._raft_inventory import inventory_of_store, position_facts
from ansible_collections.quorate.swarm.plugins.module_utils._raft_seal import RaftKeys
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import (
    DOCKER_STATE,
    KNOWN_MANAGERS,
    NODE_CERTIFICATE,
    NODE_KEY,
    RAFT,
    REQUIRED,
    ROOT_CA,
    TASKS,
)

Found = t.TypeVar("Found")

_LARGEST = 1 << 20
_ANOTHER = "Use another backup"
_LIVE_ATTEMPTS = 3
_LIVE_PAUSE = 0.2


@dataclasses.dataclass(frozen=True)
class StateFacts:
    """What a state directory says. A field is None, or empty, when its file is missing or cannot be read.

    Attributes:
        docker_state: Content of docker-state.json: the addresses and the network settings of the engine.
        known_managers: Node ID and raft address (C(IP:port)) of every manager this node knew.
        certificate: The node certificate.
        root_ca_sha256: Hexadecimal SHA-256 of the root CA certificate (DER).
        root_ca_expires: When the root CA certificate ends, ISO 8601 in UTC.
        sealed: Whether the node key is sealed by autolock.
        kek_version: Version index at which the unlock key was adopted.
        raft: Position in the raft log; None for a worker, which has no raft store.
        contents: What the raft store holds, when it was to be decoded and could be.
        key_is_current: Whether the unlock key is the one that the decoded store itself names; None when that was not
            asked. A key that opens the directory is an older one when the rotation had not arrived at this node.
        problems: Why an engine would not start from this directory, or not with what it should hold; the first one is
            the most basic.
        warnings: What is no problem, but worth a word.
    """

    docker_state: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    known_managers: tuple[tuple[str, str], ...] = ()
    certificate: _certificate.Certificate | None = None
    root_ca_sha256: str | None = None
    root_ca_expires: str | None = None
    sealed: bool | None = None
    kek_version: int | None = None
    raft: _raft_store.RaftPosition | None = None
    contents: _raft_store.RaftContents | None = dataclasses.field(default=None, repr=False)
    key_is_current: bool | None = None
    problems: tuple[SwarmError, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def node_id(self) -> str | None:
        return self.certificate.node_id if self.certificate else None

    @property
    def cluster_id(self) -> str | None:
        return self.certificate.cluster_id if self.certificate else None

    @property
    def autolock(self) -> bool | None:
        """Whether the swarm is autolocked: what its raft store says where it was decoded, else whether the node key is sealed.

        They differ where a manager lost its power while it had to have an open key, and where a change of autolock had not
        arrived at it.
        """
        return self.contents.cluster.autolock if self.contents else self.sealed

    @property
    def role(self) -> str | None:
        """C(manager) or C(worker)."""
        return self.certificate.role if self.certificate else None

    @property
    def certificate_expires(self) -> str | None:
        """When the node certificate ends, ISO 8601 in UTC. From then on no engine starts from this directory."""
        return self.certificate.not_after if self.certificate else None

    @property
    def address(self) -> str | None:
        """The raft address, C(IP:port), or what comes next to it.

        C(--advertise-addr) on a forced new cluster changes docker-state.json, but not the address of the raft member
        (lab fact B4.8), so the list of known managers goes first.
        """
        own = dict(self.known_managers).get(self.node_id or "")
        return own or self.docker_state.get("AdvertiseAddr") or self.docker_state.get("LocalAddr") or None


def check_state(
    directory: Path, *, unlock_key: bytes | None = None, now: float | None = None, decode: bool = False
) -> StateFacts:
    """Read a state directory that no engine is running on, and insist that an engine could start from it.

    Args:
        directory: The state directory.
        unlock_key: The 32 bytes of the unlock key. Given one, a sealed node key must open with it.
        now: Time for the validity of the certificates, in seconds since 1970; the current one by default.
        decode: Open every record of the raft store as well, and see that its swarm is that of the certificate. A sealed
            node key needs its unlock key for that.

    Raises:
        BadArchive: A file is missing or damaged, a certificate is out of date, or two files do not belong together.
        WrongKey: The unlock key does not open the node key.
        MissingLibrary: A library that is needed is not installed.
    """
    facts = read_state(directory, unlock_key=unlock_key, now=now, decode=decode)
    for problem in facts.problems:
        raise problem
    return facts


def read_state(
    directory: Path,
    *,
    unlock_key: bytes | None = None,
    now: float | None = None,
    live: bool = False,
    decode: bool = False,
    with_raft: bool = True,
) -> StateFacts:
    """Read a state directory in any condition.

    Args:
        directory: The state directory. One that does not exist has nothing but problems.
        unlock_key: The 32 bytes of the unlock key. Given one, a sealed node key must open with it.
        now: Time for the validity of the certificates, in seconds since 1970; the current one by default.
        live: An engine may be writing to it: what looks damaged is read again.
        decode: Open every record of the raft store as well.
        with_raft: Read the raft store, every byte of which is proven, which takes seconds where it is large.
    """
    reader = _Reader(directory, unlock_key=unlock_key, live=live, decode=decode, with_raft=with_raft)
    return reader.facts(time.time() if now is None else now)


def read_cluster_id(directory: Path) -> str | None:
    """The ID of the cluster a state directory belongs to; None when there is no certificate that says so."""
    try:
        return _certificate.describe((directory / NODE_CERTIFICATE).read_bytes()).cluster_id
    except (SwarmError, OSError):
        return None


def manifest_of(facts: StateFacts, *, unlock_key: bytes | None) -> dict[str, t.Any]:
    """What a manifest says of a state directory that was decoded: all but how and when it was copied, and the files.

    Args:
        facts: Of check_state() with C(decode).
        unlock_key: What opens it; None without autolock.
    """
    contents = facts.contents
    if contents is None or facts.raft is None:
        raise ValueError("the raft store was not decoded")
    own = next((found for found in contents.of_kind("nodes") if found.id == facts.node_id), None)
    return {
        "cluster": {
            "id": facts.cluster_id,
            "root_ca_sha256": facts.root_ca_sha256,
            "root_ca_expires": facts.root_ca_expires,
        },
        "node": {
            "id": facts.node_id,
            "hostname": own.name if own else "",
            "address": host_of(facts.address or ""),
            "advertise_address": facts.address,
            "certificate_expires": facts.certificate_expires,
        },
        "engine": {"version": own.facts["engine"] if own else ""},
        "autolock": facts.sealed,
        "unlock_key_fingerprint": _node_key.fingerprint(unlock_key) if unlock_key else None,
        "kek_version": facts.kek_version,
        "raft": position_facts(facts.raft),
        "inventory": inventory_of_store(contents),
    }


class _Reader:
    """Reads one part after the other, and keeps what is wrong with each for the end."""

    def __init__(self, directory: Path, *, unlock_key: bytes | None, live: bool, decode: bool, with_raft: bool) -> None:
        self._directory = directory
        self._unlock_key = unlock_key
        self._live = live
        self._decode = decode
        self._with_raft = with_raft
        self._problems: list[SwarmError] = []

    def facts(self, now: float) -> StateFacts:
        docker_state = self._read(DOCKER_STATE, _parse_docker_state)
        known_managers = self._read(KNOWN_MANAGERS, _parse_known_managers)
        certificate = self._read(NODE_CERTIFICATE, _certificate.describe)
        node_key = self._read(NODE_KEY, _node_key.parse_node_key)
        root_ca_sha256 = self._read(ROOT_CA, _certificate.digest)
        root_ca_expires = self._read(ROOT_CA, _certificate.expires) if root_ca_sha256 else None
        contents: _raft_store.RaftContents | None = None
        raft: _raft_store.RaftPosition | None = None
        keys = self._raft_keys(node_key, certificate)
        if keys is not None:
            contents = self._read_raft(certificate, lambda: _raft_store.contents(self._directory, keys))
            raft = contents.position if contents else None
        elif self._with_raft:
            raft = self._read_raft(certificate, lambda: _raft_store.position(self._directory))
        self._check_tasks()
        if certificate is not None:
            self._check_issuer()
            self._check_dates(certificate, root_ca_expires, now)
        if node_key is not None:
            self._check_key(node_key, certificate)
        if contents is not None and certificate is not None:
            self._check_contents(contents, certificate)
        if raft is not None and certificate is not None and raft.node_id != certificate.node_id:
            self._add(
                RAFT, f"its WAL belongs to node {raft.node_id}, the certificate to node {certificate.node_id}", _ANOTHER
            )
        return StateFacts(
            docker_state=docker_state or {},
            known_managers=known_managers or (),
            certificate=certificate,
            root_ca_sha256=root_ca_sha256,
            root_ca_expires=root_ca_expires,
            sealed=node_key.sealed if node_key else None,
            kek_version=node_key.kek_version if node_key else None,
            raft=raft,
            contents=contents,
            key_is_current=contents.cluster.is_unlocked_by(self._unlock_key)
            if contents and node_key and node_key.sealed and self._unlock_key
            else None,
            problems=tuple(self._problems),
            warnings=raft.warnings if raft else (),
        )

    def _add(self, name: str, cause: str, remedy: str, kind: type[SwarmError] = BadArchive, **details: t.Any) -> None:
        path = str(self._directory / name)
        self._problems.append(kind(f"use {path}", cause, remedy, path=path, **details))

    def _read(self, name: str, parse: t.Callable[[bytes], Found]) -> Found | None:
        """Parse one small file; None, and a problem, when it is missing or makes no sense."""
        path = self._directory / name
        try:
            with open(path, "rb") as file:
                return parse(file.read(_LARGEST))
        except FileNotFoundError:
            if name in REQUIRED:
                self._add(name, f"it is missing: {REQUIRED[name]}", _ANOTHER)
        except OSError as error:
            self._add(name, error.strerror or str(error), "Check the permissions; state directories are root's")
        except SwarmError as error:
            self._add(name, error.cause, error.remedy, type(error))
        return None

    def _raft_keys(
        self, node_key: _node_key.NodeKey | None, certificate: _certificate.Certificate | None
    ) -> RaftKeys | None:
        """What opens the raft store; None when it is not to be opened, or cannot be, which _check_key tells."""
        if not self._decode or node_key is None or (certificate is not None and certificate.role == "worker"):
            return None
        try:
            return _node_key.raft_keys(node_key, self._unlock_key)
        except MissingLibrary as error:
            self._problems.append(error)
        except SwarmError:
            pass
        return None

    def _read_raft(self, certificate: _certificate.Certificate | None, read: t.Callable[[], Found]) -> Found | None:
        if certificate is not None and certificate.role == "worker":
            return None
        try:
            return self._patiently(read)
        except (BadArchive, MissingLibrary) as error:
            self._problems.append(error)
            return None

    def _patiently(self, read: t.Callable[[], Found]) -> Found:
        """Read what an engine may be writing to at this moment: what looks damaged is read again."""
        for _left in range(_LIVE_ATTEMPTS - 1 if self._live else 0):
            try:
                return read()
            except BadArchive:
                time.sleep(_LIVE_PAUSE)
        return read()

    def _check_tasks(self) -> None:
        path = self._directory / TASKS

        def read() -> None:
            with open(path, "rb") as file:
                _worker_tasks.require_tasks(file.read(_worker_tasks.HEAD), os.fstat(file.fileno()).st_size)

        try:
            self._patiently(read)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._add(TASKS, error.strerror or str(error), "Check the permissions; state directories are root's")
        except BadArchive as error:
            self._add(TASKS, error.cause, error.remedy)

    def _check_contents(self, contents: _raft_store.RaftContents, certificate: _certificate.Certificate) -> None:
        """See that the swarm in the raft store is that of the certificate, and has this manager."""
        cluster = contents.cluster_object.id
        if cluster != certificate.cluster_id:
            self._add(RAFT, f"it holds swarm {cluster}, the certificate is of {certificate.cluster_id}", _ANOTHER)
        if certificate.node_id not in {member.node_id for member in contents.members}:
            self._add(RAFT, f"node {certificate.node_id} is no manager of the swarm in it", _ANOTHER)

    def _check_issuer(self) -> None:
        try:
            issued = _certificate.is_issued_by(
                (self._directory / NODE_CERTIFICATE).read_bytes(), (self._directory / ROOT_CA).read_bytes()
            )
        except (SwarmError, OSError):
            return  # told already, where each file was read
        if not issued:
            self._add(NODE_CERTIFICATE, f"it was not issued by {ROOT_CA}", _ANOTHER)

    def _check_dates(self, certificate: _certificate.Certificate, root_ca_expires: str | None, now: float) -> None:
        moment = moment_text(now)
        if moment < certificate.not_before:
            self._add(
                NODE_CERTIFICATE,
                f"it is valid from {certificate.not_before} on, and it is {moment} here",
                "Set the clock of this host",
            )
        for name, end in ((NODE_CERTIFICATE, certificate.not_after), (ROOT_CA, root_ca_expires or moment)):
            if end < moment:
                self._add(
                    name,
                    f"it expired at {end}, and no engine starts a swarm with an expired certificate",
                    "Use a newer backup",
                    expired=end,
                )

    def _check_key(self, node_key: _node_key.NodeKey, certificate: _certificate.Certificate | None) -> None:
        if certificate is not None and certificate.role == "manager" and not node_key.has_raft_dek:
            self._add(NODE_KEY, "it has no raft-dek, so nothing opens the raft store", _ANOTHER)
            return
        if node_key.sealed and self._unlock_key is None:
            if self._decode:
                self._add(
                    NODE_KEY,
                    "it is sealed by autolock, and no unlock key was given",
                    "Give the unlock key that was current on this manager when the backup was made",
                    WrongKey,
                )
            return
        try:
            public_key = _node_key.public_key(node_key, self._unlock_key)
        except WrongKey as error:
            self._problems.append(error)
            return
        except SwarmError as error:
            self._add(NODE_KEY, error.cause, error.remedy, type(error))
            return
        if certificate is not None and public_key != certificate.public_key:
            self._add(NODE_KEY, f"it is not the key of {NODE_CERTIFICATE}", _ANOTHER)


def _parse_docker_state(data: bytes) -> dict[str, t.Any]:
    """docker-state.json: an object (moby/moby daemon/cluster/noderunner.go, nodeStartConfig)."""
    try:
        parsed = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise BadArchive("", "it is not a JSON object: an engine would not start at all", _ANOTHER)
    return parsed


def _parse_known_managers(data: bytes) -> tuple[tuple[str, str], ...]:
    """state.json: the managers to connect to (moby/swarmkit node/node.go, persistentRemotes)."""
    try:
        parsed = json.loads(data.decode("utf-8"))
        return tuple((str(manager["node_id"]), str(manager["addr"])) for manager in parsed)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise BadArchive("", "it is no list of managers: an engine would not start at all", _ANOTHER) from None
