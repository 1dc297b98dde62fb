# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role membership takes for the node list, however far the host has come."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COLLECTION = Path(__file__).resolve().parents[2]
SKIPPED = {"changed": False, "skipped": True, "skip_reason": "Conditional result was False"}
MEMBER = {"state": "manager", "node": {"id": "id-m2"}}
FRESH: dict[str, Any] = {"state": "inactive", "node": None}


def node(name: str, state: str = "ready", reachability: str | None = "reachable") -> dict[str, Any]:
    manager = reachability and {"reachability": reachability}
    return {"id": f"id-{name}", "state": state, "manager": manager}


def listed(tmp_path: Path, **variables: Any) -> str:
    """The node list, by the place that it came from."""
    registered = {"__membership_joined": SKIPPED, "__membership_seen": SKIPPED, "__membership_nodes": SKIPPED}
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": [str(COLLECTION / "roles/membership/vars/main.yml")],
            "vars": {**registered, **variables},
            "tasks": [{"ansible.builtin.debug": {"msg": "IT IS {{ __membership_listed | to_json }} OF ALL"}}],
        }
    ]
    playbook = tmp_path / "playbook.json"
    playbook.write_text(json.dumps(plays))
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", "-c", "local", str(playbook)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text: str = json.loads('"' + done.stdout.partition("IT IS ")[2].partition(" OF ALL")[0] + '"')
    return text


@pytest.mark.parametrize(
    "own", [node("m2", state="unknown"), node("m2", reachability="unreachable"), node("m2", reachability=None)]
)
def test_a_manager_that_is_not_yet_ready_in_its_own_list_is_looked_for_by_the_others(
    tmp_path: Path, own: dict[str, Any]
) -> None:
    joined = {"node_id": "id-m2", "nodes": [node("m1"), own]}
    seen = {"nodes": [node("m1"), node("m2"), node("w1", reachability=None)]}
    found = listed(tmp_path, membership_info=FRESH, __membership_joined=joined, __membership_seen=seen)
    assert json.loads(found) == seen["nodes"]


def test_a_manager_that_has_joined_has_the_list_itself(tmp_path: Path) -> None:
    joined = {"node_id": "id-m2", "nodes": [node("m1"), node("m2"), node("w1", reachability=None)]}
    assert json.loads(listed(tmp_path, membership_info=FRESH, __membership_joined=joined)) == joined["nodes"]


def test_a_worker_has_no_list(tmp_path: Path) -> None:
    seen = {"nodes": [node("m1"), node("w1", reachability=None)]}
    joined = {"node_id": "id-w1", "nodes": None}
    found = listed(tmp_path, membership_info=FRESH, __membership_joined=joined, __membership_seen=seen)
    assert json.loads(found) == seen["nodes"]


def test_a_host_that_had_joined_before_is_looked_up(tmp_path: Path) -> None:
    nodes = {"nodes": [node("m1"), node("m2")]}
    assert json.loads(listed(tmp_path, membership_info=MEMBER, __membership_nodes=nodes)) == nodes["nodes"]
