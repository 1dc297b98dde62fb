# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the copy of its key file that a manager keeps during a rotation, and how that copy and the raft store give back a
new unlock key that never got to anybody.

A rotation seals the key of the raft store anew, but does not change it (raft-store fact 2.3), and the new unlock key is in the
raft store. So whoever has the old unlock key and the key file from before opens the raft store, and finds the new one.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils import _node_key, _raft_store
from ansible_collections.quorate.swarm.plugins.module_utils._disk import replace_file
from ansible_collections.quorate.swarm.plugins.module_utils._errors import PermissionDenied, Refused, SwarmError
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import NODE_KEY

#: The copy, beside the state directory: an engine may empty that (lab fact B2.2).
_COPY = "quorate-swarm-node.key"


def read_key_file(path: Path) -> bytes:
    """The content of swarm-node.key.

    Raises:
        PermissionDenied: This user may not read it.
        Refused: It cannot be read, or there is none.
    """
    try:
        return path.read_bytes()
    except PermissionError:
        raise PermissionDenied(f"read {path}", "this user may not read it", "Run the task with become") from None
    except OSError as error:
        raise Refused(
            f"read {path}", error.strerror or str(error), "Give the state directory of this engine as state_directory"
        ) from None


def keep(state_directory: Path) -> bool:
    """Keep a copy of a sealed key file beside the state directory. One that is open is not copied: it needs no key.

    Returns: whether the copy is another one now.

    Raises:
        SwarmError: The key file cannot be read, or the copy cannot be written.
    """
    content = read_key_file(state_directory / NODE_KEY)
    path = _path(state_directory)
    if not _node_key.parse_node_key(content).sealed or (path.exists() and path.read_bytes() == content):
        return False
    try:
        replace_file(path, content)
    except OSError as error:
        raise Refused(f"write {path}", error.strerror or str(error), "Free space on that file system") from None
    return True


def discard(state_directory: Path) -> bool:
    """Remove the copy. Returns: whether there was one."""
    try:
        _path(state_directory).unlink()
    except FileNotFoundError:
        return False
    return True


def lost_key(state_directory: Path, keys: t.Iterable[bytes]) -> bytes | None:
    """Find the unlock key that a sealed key file needs, when a rotation was cut off before it got to anybody.

    Args:
        state_directory: That of a locked manager; its engine does not touch the raft store then.
        keys: Older unlock keys.

    Returns: the 32 bytes of the key, proven on the key file; None when there is no copy, no key opens it, or it is not in
        the raft store.
    """
    try:
        copy = _node_key.parse_node_key(read_key_file(_path(state_directory)))
        node_key = _node_key.parse_node_key(read_key_file(state_directory / NODE_KEY))
        for key in keys:
            if _node_key.opens(copy, key):
                contents = _raft_store.contents(state_directory, _node_key.raft_keys(copy, key))
                clusters = [contents.cluster, *(change.object.cluster for change in contents.uncommitted)]
                # the rotation itself may be the last entry, which nothing marks as committed yet (raft-store fact 0.1)
                found = [each for cluster in clusters if cluster is not None for each in cluster.unlock_keys]
                return next((each for each in reversed(found) if _node_key.opens(node_key, each)), None)
    except SwarmError:
        pass  # a copy or a store that is damaged gives nothing back
    return None


def _path(state_directory: Path) -> Path:
    return state_directory.parent / _COPY
