# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the names in a swarm state directory, and what an engine does when one of them is missing.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

DOCKER_STATE = "docker-state.json"
KNOWN_MANAGERS = "state.json"
NODE_CERTIFICATE = "certificates/swarm-node.crt"
NODE_KEY = "certificates/swarm-node.key"
ROOT_CA = "certificates/swarm-root-ca.crt"
RAFT = "raft"
WAL = "raft/wal-v3-encrypted"
SNAPSHOTS = "raft/snap-v3-encrypted"
TASKS = "worker/tasks.db"

#: The files every node needs, and what would happen without (observed on engines 20.10, 26.1 and 28.5).
REQUIRED = {
    DOCKER_STATE: "an engine would not find a swarm in it",
    NODE_CERTIFICATE: "an engine would delete the whole state directory at its start",
    NODE_KEY: "an engine could not open the raft store",
    ROOT_CA: "an engine would crash at its start",
}
#: What would happen to a manager without any WAL segment (likewise; no error is logged).
NO_WAL = "an engine would come up active with an empty swarm"
