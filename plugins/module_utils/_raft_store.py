# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the raft store of a manager on disk: how far it has come, and with the key, which swarm is in it.

What is encrypted is the content of the entries and of the snapshot; checksums, indexes and the identity of the member
are in clear. So damage is found, and the position in the raft log is known, without the unlock key. With the keys that
swarm-node.key carries, every record is opened, and the swarm is told as an engine would find it after a forced new
cluster: entries behind the commit index are dropped then, and are told apart here.

The store is read by etcd's rules (etcd server/storage/wal, ReadAll), and memory does not grow with it. It is only read.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._protobuf import (
    InFile,
    ProtobufError,
    Region,
    integer,
    message,
    octets,
    region,
)
from ansible_collections.quorate.swarm.plugins.module_utils._raft_objects import (
    Change,
    Cluster,
    StoreObject,
    changes_of,
    objects_of,
)
from ansible_collections.quorate.swarm.plugins.module_utils._raft_seal import DoesNotOpen, RaftKeys, require_library
from ansible_collections.quorate.swarm.plugins.module_utils._raft_snapshot import Snapshot, newest_snapshot
from ansible_collections.quorate.swarm.plugins.module_utils._raft_wal import (
    ENTRY,
    HARD_STATE,
    METADATA,
    SNAPSHOT,
    Record,
    Segment,
    bad,
    last_entry,
    names,
    records,
    segments_from,
    size_warnings,
)
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import SNAPSHOTS, WAL

_NORMAL, _MEMBERSHIP = 0, 1
_ADD, _REMOVE = 0, 1


@dataclasses.dataclass(frozen=True)
class RaftPosition:
    """How far a manager's raft store has come.

    Attributes:
        term: Raft term of the last hard state.
        commit_index: Index of the last entry this manager knows to be committed. C(--force-new-cluster) drops what is
            behind it (lab fact B4.5).
        last_index: Index of the last entry.
        snapshot_term: Term of the newest snapshot; 0 without one.
        snapshot_index: Index of the newest snapshot; 0 without one.
        node_id: Node ID of the manager that wrote the store.
        raft_id: Its member number in the raft group.
        warnings: What is no damage, but worth a word: signs of earlier damage, or of a copy that was cut off.
    """

    term: int
    commit_index: int
    last_index: int
    snapshot_term: int
    snapshot_index: int
    node_id: str
    raft_id: int
    warnings: tuple[str, ...] = ()

    @property
    def uncommitted(self) -> int:
        """Entries that a forced new cluster would drop."""
        return self.last_index - self.commit_index


@dataclasses.dataclass(frozen=True)
class RaftMember:
    """A manager in the raft group: its member number, node ID and raft address (C(IP:port))."""

    raft_id: int
    node_id: str
    address: str


@dataclasses.dataclass(frozen=True)
class RaftContents:
    """What a raft store holds, every record of it opened. No payload of a secret or config, and no task's environment.

    Attributes:
        position: How far it has come.
        members: The managers of the swarm, by node ID.
        objects: All objects up to the commit index, by kind and ID.
        uncommitted: The changes behind it, in order: what a forced new cluster loses.
    """

    position: RaftPosition
    members: tuple[RaftMember, ...]
    objects: tuple[StoreObject, ...]
    uncommitted: tuple[Change, ...]

    @property
    def cluster_object(self) -> StoreObject:
        """The object that stands for the swarm itself: its ID is the cluster ID."""
        return next(found for found in self.objects if found.cluster is not None)

    @property
    def cluster(self) -> Cluster:
        """What only the cluster object has: autolock, the root CA with its key, the unlock key."""
        return t.cast("Cluster", self.cluster_object.cluster)

    def of_kind(self, kind: str) -> list[StoreObject]:
        """The objects of one kind that the Engine API shows too, by ID."""
        return [found for found in self.objects if found.kind == kind and not found.facts.get("predefined")]


@dataclasses.dataclass(frozen=True)
class RootCA:
    """The certificate authority of a swarm: certificate and key, PEM. The key is empty where an external CA signs."""

    certificate: bytes
    key: bytes = dataclasses.field(repr=False)


def position(state_dir: Path) -> RaftPosition:
    """Read the raft store of a manager from its newest snapshot on, prove its integrity, and say how far it has come.

    Args:
        state_dir: A swarm state directory that no engine is running on. On that of a running engine the last frame may
            be half written.

    Raises:
        BadArchive: A checksum does not match, a frame is cut off, a file is missing, entries are missing, or snapshot
            and WAL do not belong together. The message names the file and the offset. Not detectable without outside
            knowledge: a tail of the WAL that was zeroed from a frame border on.
    """
    return _scan(state_dir, None)[0]


def newest_index(state_dir: Path) -> int:
    """The index of the newest entry that an engine has written, also while it runs. Proves nothing, and is cheap.

    Args:
        state_dir: A swarm state directory.

    Raises:
        BadArchive: There is no WAL, or its newest entry is only half written yet.
    """
    return _newest(state_dir)[1]


def newest_term(state_dir: Path) -> int:
    """The term in which that entry was written; 0 when the last segment has none yet. As newest_index().

    An engine writes the commit index to disk with the next entry, when a new term begins, and when it is stopped
    (etcd server/storage/wal/wal.go, Save(), and raft/node.go, MustSync()).
    """
    return _newest(state_dir)[0]


def _newest(state_dir: Path) -> tuple[int, int]:
    try:
        segment, data = last_entry(state_dir)
        if data is None:
            return 0, segment.index - 1
        entry = Region.of(data).message()
        return integer(entry, 2), integer(entry, 3)
    except ProtobufError as error:
        raise bad(segment.path, f"its last entry does not parse ({error})") from None
    except OSError as error:
        raise bad(state_dir, str(error)) from error


def contents(state_dir: Path, keys: RaftKeys) -> RaftContents:
    """Read the raft store as position() does, open every record from the newest snapshot on, and say what is in it.

    Args:
        state_dir: A swarm state directory that no engine is running on.
        keys: The keys of its raft store, of _node_key.raft_keys().

    Raises:
        BadArchive: As position() does; or a record does not open, or does not parse, or there is no swarm in the store.
        MissingLibrary: PyNaCl is not installed.
    """
    require_library()
    replay = _Replay(keys)
    found, last = _scan(state_dir, replay)
    return replay.contents(found, last)


def read_root_ca(state_dir: Path, keys: RaftKeys) -> RootCA:
    """The certificate authority in the raft store of a manager, for issuing a node certificate anew.

    Args:
        state_dir: A swarm state directory that no engine is running on.
        keys: The keys of its raft store, of C(_node_key.raft_keys(node_key, unlock_key)).

    Returns:
        Certificate and key as an engine would use them after a forced new cluster. The key is in no representation of
        the result. It is empty when an external CA signs for the swarm.

    Raises:
        BadArchive: The store is damaged, or does not open with these keys.
        MissingLibrary: PyNaCl is not installed.
    """
    cluster = contents(state_dir, keys).cluster
    return RootCA(certificate=cluster.root_ca_certificate, key=cluster.root_ca_key)


def _scan(state_dir: Path, replay: _Replay | None) -> tuple[RaftPosition, Path]:
    """Read the store to its end, and tell the replay what is in it. Returns the last segment as well."""
    try:
        snapshot = newest_snapshot(state_dir)
        if snapshot is not None and replay is not None:
            replay.begin(snapshot)
        segments = segments_from(state_dir, snapshot.index if snapshot else 0)
        log = _Log(snapshot)
        for segment in segments:
            log.begin(segment)
            for record in records(segment, crc=log.crc, is_last=segment is segments[-1]):
                entry = log.add(record)
                if replay is not None and entry is not None:
                    replay.add(entry, record)
                elif replay is not None and record.type == HARD_STATE:
                    replay.commit(log.commit_index)
        last = segments[-1].path
        return log.position(last, (*size_warnings(segments[-1]), *_broken_files(state_dir))), last
    except OSError as error:
        raise bad(state_dir, str(error)) from error


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A log entry behind the snapshot: raftpb.Entry{Type=1, Term=2, Index=3, Data=4}, its data still sealed."""

    index: int
    type: int
    sealed: Region


class _Log:
    """What etcd's ReadAll makes of the records, with the indexes of the entries in place of the entries."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.crc = 0
        self._snapshot_term = snapshot.term if snapshot else 0
        self._snapshot_index = snapshot.index if snapshot else 0
        self._snapshot_is_known = False
        self._last_index = self._snapshot_index
        self._newest_index: int | None = None
        self._member: bytes | None = None
        self._hard_state: dict[int, int | bytes] = {}

    @property
    def commit_index(self) -> int:
        """By the last hard state so far."""
        return integer(self._hard_state, 3)

    def begin(self, segment: Segment) -> None:
        if self._newest_index is None:
            self._newest_index = segment.index - 1
        if segment.index != self._newest_index + 1:
            raise bad(
                segment.path,
                f"it begins at entry {segment.index} by its name, and the segment before it ends at {self._newest_index}",
            )

    def add(self, record: Record) -> _Entry | None:
        """Take one record. Returns the entry in it, if it is one behind the snapshot.

        Those before it are no business of the store any more; they may be sealed with a key that is gone.
        """
        self.crc = record.crc
        try:
            if record.type == METADATA:
                self._add_member(record)
            elif record.type == ENTRY:
                return self._add_entry(record)
            elif record.type == HARD_STATE:
                self._hard_state = message(record.data)
                integer(self._hard_state, 3)
            elif record.type == SNAPSHOT:
                self._add_snapshot(record)
        except ProtobufError as error:
            raise bad(record.segment, f"the record does not parse ({error})", record.offset) from None
        return None

    def position(self, last: Path, warnings: tuple[str, ...]) -> RaftPosition:
        if self._member is None:
            raise bad(last, "the WAL does not say whose it is")
        if not self._snapshot_is_known:
            raise bad(
                last, f"the WAL does not know the snapshot at {self._snapshot_index}: it is older than the snapshot"
            )
        try:
            member = message(self._member)
            found = RaftPosition(
                term=integer(self._hard_state, 1),
                commit_index=self.commit_index,
                last_index=self._last_index,
                snapshot_term=self._snapshot_term,
                snapshot_index=self._snapshot_index,
                node_id=octets(member, 2).decode("ascii"),
                raft_id=integer(member, 1),
                warnings=warnings,
            )
        except (ProtobufError, UnicodeDecodeError) as error:
            raise bad(last, f"the WAL's hard state or member does not parse ({error})") from None
        if not found.snapshot_index <= found.commit_index <= found.last_index:
            raise bad(
                last,
                f"commit index {found.commit_index} is not between the snapshot ({found.snapshot_index}) and the last "
                f"entry ({found.last_index}): the WAL was cut short",
            )
        return found

    def _add_member(self, record: Record) -> None:
        if self._member not in (None, record.data):
            raise bad(record.segment, "it was written by another member than the segment before it", record.offset)
        self._member = record.data

    def _add_entry(self, record: Record) -> _Entry | None:
        read = Region.of(record.data).message()
        index = integer(read, 3)
        self._newest_index = index
        if index > self._last_index + 1:
            raise bad(
                record.segment, f"entry {index} follows entry {self._last_index}: entries are missing", record.offset
            )
        if index <= self._snapshot_index:
            return None
        self._last_index = index  # may step back: a new leader replaced the entries from here on
        return _Entry(index=index, type=integer(read, 1), sealed=region(read, 4))

    def _add_snapshot(self, record: Record) -> None:
        read = message(record.data)
        index, term = integer(read, 1), integer(read, 2)
        self._newest_index = max(self._newest_index or 0, index)
        if index == self._snapshot_index:
            if term != self._snapshot_term:
                raise bad(
                    record.segment,
                    f"the snapshot at {index} is of term {term} here, and {self._snapshot_term} by its file",
                    record.offset,
                )
            self._snapshot_is_known = True


class _Replay:
    """The swarm, in the making: the objects of the snapshot, and what each entry behind it does to them.

    Entries wait until they are known to be committed, for until then another leader may replace them.
    """

    def __init__(self, keys: RaftKeys) -> None:
        self._keys = keys
        self._applied_index = 0
        self._objects: dict[tuple[str, str], StoreObject] = {}
        self._members: dict[int, RaftMember] = {}
        self._waiting: list[tuple[Change | _MemberChange, ...]] = []

    def begin(self, snapshot: Snapshot) -> None:
        """Take the store of the snapshot: api.Snapshot{membership=2{members=1}, store=3}."""
        self._applied_index = snapshot.index
        try:
            with open(snapshot.path, "rb") as file:
                read = self._keys.open(Region(InFile(file), *snapshot.sealed)).message()
                for member in region(read, 2).regions(1):
                    self._apply(_MemberChange(_ADD, 0, _member(member)))
                for found in objects_of(region(read, 3)):
                    self._objects[found.kind, found.id] = found
        except (DoesNotOpen, ProtobufError) as error:
            raise bad(snapshot.path, _why(error), snapshot.sealed[0]) from None

    def add(self, entry: _Entry, record: Record) -> None:
        """Take the next entry, or one that replaces an entry that waits."""
        place = entry.index - self._applied_index - 1
        if place < 0:
            raise bad(record.segment, f"entry {entry.index} replaces one that was committed", record.offset)
        try:
            changes = _changes(entry, self._keys.open(entry.sealed))
        except (DoesNotOpen, ProtobufError) as error:
            raise bad(record.segment, f"entry {entry.index}: {_why(error)}", record.offset) from None
        del self._waiting[place:]
        self._waiting.append(changes)

    def commit(self, index: int) -> None:
        """Apply the entries that wait, up to that index."""
        committed = self._waiting[: max(0, index - self._applied_index)]
        for changes in committed:
            for change in changes:
                self._apply(change)
        del self._waiting[: len(committed)]
        self._applied_index += len(committed)

    def contents(self, found: RaftPosition, last: Path) -> RaftContents:
        """What there is, at the end of the log."""
        self.commit(found.commit_index)
        if not any(kind == "clusters" for kind, dummy in self._objects):
            raise bad(last, "there is no cluster object in it: the swarm is empty")
        return RaftContents(
            position=found,
            members=tuple(sorted(self._members.values(), key=lambda member: member.node_id)),
            objects=tuple(self._objects[key] for key in sorted(self._objects)),
            uncommitted=tuple(change for changes in self._waiting for change in changes if isinstance(change, Change)),
        )

    def _apply(self, change: Change | _MemberChange) -> None:
        if isinstance(change, Change):
            key = change.object.kind, change.object.id
            if change.action == "remove":
                self._objects.pop(key, None)
            else:
                self._objects[key] = change.object
        elif change.action == _REMOVE:
            self._members.pop(change.raft_id, None)
        else:
            self._members[change.member.raft_id] = change.member


@dataclasses.dataclass(frozen=True)
class _MemberChange:
    """raftpb.ConfChange{type=2, node_id=3, context=4}: a manager comes, goes, or changes its address."""

    action: int
    raft_id: int
    member: RaftMember


def _changes(entry: _Entry, plain: Region) -> tuple[Change | _MemberChange, ...]:
    if entry.type == _NORMAL:
        return tuple(changes_of(plain))
    if entry.type != _MEMBERSHIP:
        raise ProtobufError(f"it is of the unknown type {entry.type}")
    read = plain.message()
    return (_MemberChange(integer(read, 2), integer(read, 3), _member(region(read, 4))),)


def _member(read: Region) -> RaftMember:
    """api.RaftMember{raft_id=1, node_id=2, addr=3}."""
    found = read.message()
    return RaftMember(integer(found, 1), region(found, 2).text(), region(found, 3).text())


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, DoesNotOpen) else f"what is sealed in it does not parse ({error})"


def _broken_files(state_dir: Path) -> t.Iterator[str]:
    for directory in (WAL, SNAPSHOTS):
        for name in names(state_dir / directory):
            if name.endswith(".broken"):
                yield f"{state_dir / directory / name} is left from earlier damage that an engine repaired"
