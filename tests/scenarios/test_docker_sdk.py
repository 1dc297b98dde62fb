# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules that only need the Engine API, with the Docker SDK of the interpreter that $QUORATE_SDK_PYTHON names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import LabFactory
from helpers.runner import RunPlaybook

from quorate_lab import Lab

pytestmark = pytest.mark.matrix


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Iterator[Lab]:
    yield lab_factory(managers=1, workers=0)


def run_tasks(lab: Lab, playbook: RunPlaybook, *tasks: dict[str, Any]) -> None:
    """Run tasks on this machine, against the engine of the lab."""
    socket = lab.host("m1").disk / "run/docker.sock"
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": os.environ["QUORATE_SDK_PYTHON"]},
        "module_defaults": {"group/quorate.swarm.swarm": {"docker_host": f"unix://{socket}"}},
        "tasks": [
            {"quorate.swarm.swarm_info": {"gather": ["nodes", "services", "tasks"]}, "register": "found"},
            *tasks,
        ],
    }
    playbook(lab, [play])


def test_it_reads(lab: Lab, playbook: RunPlaybook) -> None:
    told = {"that": ["found.state == 'manager'", "found.nodes | length == 1", "found.quorum.reachable == 1"]}
    run_tasks(
        lab,
        playbook,
        {"ansible.builtin.assert": told},
        {"quorate.swarm.swarm_quorum": {"report_only": True}, "register": "quorum"},
        {"ansible.builtin.assert": {"that": "quorum.verdict.reasons is defined"}},
    )


def test_it_writes(lab: Lab, playbook: RunPlaybook) -> None:
    label = {"node": "{{ found.node.id }}", "labels": {"zone": "a"}}
    run_tasks(
        lab,
        playbook,
        {"quorate.swarm.swarm_node": label, "register": "labelled", "failed_when": "not labelled.changed"},
        {"quorate.swarm.swarm_node": label, "register": "again", "failed_when": "again.changed"},
        {"quorate.swarm.swarm_rebalance": {"all": True}, "register": "even", "failed_when": "even.changed"},
    )
    assert lab.host("m1").docker("node", "inspect", "self", "--format", "{{.Spec.Labels}}") == "map[zone:a]"
