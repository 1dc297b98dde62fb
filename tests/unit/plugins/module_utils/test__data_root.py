# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._data_root import require_of_engine, state_directory
from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused


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
    assert state_directory({"state_directory": option}, engine, list, daemon_json=daemon_json) == Path(expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("dockerd -H fd:// --data-root /flag", "/flag/swarm"),
        ("dockerd --data-root=/flag -H fd://", "/flag/swarm"),
        ("dockerd --data-root=/first --data-root /last", "/last/swarm"),
        ("dockerd -g /graph", "/graph/swarm"),
        ("dockerd --graph=/graph", "/graph/swarm"),
        ("dockerd --config-file {other}", "/other/swarm"),
        ("dockerd --config-file={other} --data-root=/flag", "/flag/swarm"),
        ("dockerd --config-file=/missing.json", "/var/lib/docker/swarm"),
        ("dockerd -H fd://", "/configured/swarm"),
        ("dockerd --data-root", "/configured/swarm"),
    ],
)
def test_arguments_of_an_engine_that_is_down(tmp_path: Path, arguments: str, expected: str) -> None:
    usual, other = tmp_path / "daemon.json", tmp_path / "other.json"
    usual.write_text('{"data-root": "/configured"}')
    other.write_text('{"data-root": "/other"}')
    words = arguments.format(other=other).split()
    assert state_directory({}, None, lambda: words, daemon_json=usual) == Path(expected)


def test_arguments_are_only_asked_for_when_the_engine_cannot_be() -> None:
    def arguments() -> list[str]:
        raise AssertionError("asked")

    assert state_directory({}, "/engine", arguments) == Path("/engine/swarm")
    assert state_directory({"state_directory": "/given"}, None, arguments) == Path("/given")


def test_a_directory_of_no_engine_is_refused(tmp_path: Path) -> None:
    """A data root that is reached by a link is the engine's all the same."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    for directory, root in ((real, real), (link, real), (real, link)):
        require_of_engine(directory / "swarm", str(root))
    require_of_engine(real / "swarm", None)
    with pytest.raises(Refused, match="the engine keeps its state in /var/lib/docker/swarm. Leave state_directory out"):
        require_of_engine(real / "swarm", "/var/lib/docker")
