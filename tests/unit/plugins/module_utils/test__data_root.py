# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._data_root import state_directory


@pytest.mark.parametrize(
    ("option", "engine", "configuration", "expected"),
    [
        ("/given", "/engine", '{"data-root": "/configured"}', "/given"),
        (None, "/engine", '{"data-root": "/configured"}', "/engine/swarm"),
        (None, None, '{"data-root": "/configured"}', "/configured/swarm"),
        (None, "", '{"data-root": "/configured"}', "/configured/swarm"),
        (None, None, '{"debug": true}', "/var/lib/docker/swarm"),
        (None, None, '{"data-root": 1}', "/var/lib/docker/swarm"),
        (None, None, "[]", "/var/lib/docker/swarm"),
        (None, None, "{broken", "/var/lib/docker/swarm"),
        (None, None, None, "/var/lib/docker/swarm"),
    ],
)
def test_state_directory(
    tmp_path: Path, option: str | None, engine: str | None, configuration: str | None, expected: str
) -> None:
    daemon_json = tmp_path / "daemon.json"
    if configuration is not None:
        daemon_json.write_text(configuration)
    assert state_directory({"state_directory": option}, engine, daemon_json=daemon_json) == Path(expected)
