# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows where an engine keeps its swarm state on this host.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused

#: Where the engine looks for its configuration unless it was started with another one (Docker docs, dockerd).
DAEMON_JSON = Path("/etc/docker/daemon.json")
#: The engine's data root unless it is configured (Docker docs, dockerd).
DEFAULT_DATA_ROOT = "/var/lib/docker"


def state_directory(
    params: t.Mapping[str, t.Any],
    engine_root_dir: str | None,
    arguments: t.Callable[[], t.Sequence[str]],
    *,
    daemon_json: Path = DAEMON_JSON,
) -> Path:
    """Return the swarm state directory of this host's engine, which need not exist.

    Args:
        params: The module's parameters; C(state_directory) wins when it is given.
        engine_root_dir: C(DockerRootDir) of GET /info, or None or empty when the engine does not answer.
        arguments: Tells how the engine is started, asked when the engine cannot be.
        daemon_json: The engine's configuration file unless the arguments name another one.
    """
    if params.get("state_directory"):
        return Path(params["state_directory"])
    return Path(engine_root_dir or _configured(arguments(), daemon_json) or DEFAULT_DATA_ROOT) / "swarm"


def require_of_engine(directory: Path, engine_root_dir: str | None) -> None:
    """Refuse a swarm state directory that the engine does not use; links lead where they may.

    What is put there would not be what the engine starts from: its own state would become a new swarm instead.

    Args:
        directory: The state directory.
        engine_root_dir: C(DockerRootDir) of GET /info, or None when the engine does not answer, which nothing follows from.

    Raises:
        Refused: It is another one.
    """
    if engine_root_dir and os.path.realpath(directory) != os.path.realpath(Path(engine_root_dir) / "swarm"):
        raise Refused(
            f"use {directory} as the state directory of this engine",
            f"the engine keeps its state in {engine_root_dir}/swarm",
            "Leave state_directory out, or give that one",
        )


def _configured(arguments: t.Sequence[str], daemon_json: Path) -> str | None:
    """The data root that an engine takes when it is started so. It refuses to start with one here and one there."""
    root = _value(arguments, "--data-root", "--graph", "-g")
    return root or _in_file(Path(_value(arguments, "--config-file") or daemon_json))


def _value(arguments: t.Sequence[str], *names: str) -> str | None:
    """The value of an option among arguments: the last one counts."""
    found = None
    for word, following in zip(arguments, [*arguments[1:], None]):
        name, given, value = word.partition("=")
        if name in names:
            found = value if given else following
    return found


def _in_file(daemon_json: Path) -> str | None:
    """The data root in the engine's configuration file; None without one, or when the file cannot be read."""
    try:
        configuration = json.loads(daemon_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    root = configuration.get("data-root") if isinstance(configuration, dict) else None
    return root if isinstance(root, str) else None
