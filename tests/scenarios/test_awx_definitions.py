# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/examples/awx declares its templates, workflow, surveys and schedules by the modules of awx.awx, against a stand-in
for the API of the Controller."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers.controller import Controller, running_controller, survey_problem

pytestmark = pytest.mark.long

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "awx"
KEPT = Path(__file__).resolve().parents[2] / "build" / "awx"
#: The last release of the package ansible that has awx.awx, 24.6.1, and takes the ansible-core of the tests.
WHEEL = "ansible==12.3.0"
SECRETS = {
    "SWARM_SSH_KEY": "a private key of the tests",
    "SWARM_VAULT_PASSWORD": "a vault password of the tests",
    "SWARM_UNLOCK_KEY": "an unlock key of the tests",
    "SWARM_NOTIFY_URL": "https://chat.example.com/secret",
}


@pytest.fixture(scope="module")
def collections() -> Path:
    """Where awx.awx is: taken out of the package ansible, once, because nothing else that can be reached has it."""
    if not (KEPT / "ansible_collections" / "awx" / "awx" / "MANIFEST.json").exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(KEPT), WHEEL]
        subprocess.run(command, check=True, timeout=300)
        (wheel,) = KEPT.glob("ansible-*.whl")
        with zipfile.ZipFile(wheel) as packed:
            members = [name for name in packed.namelist() if name.startswith("ansible_collections/awx/awx/")]
            members.sort(key=lambda name: name.endswith("MANIFEST.json"))  # last: it says that all is there
            packed.extractall(KEPT, members)
        wheel.unlink()
    return KEPT


def configure(collections: Path, address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook that declares everything, as its comment says."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": str(collections),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "CONTROLLER_HOST": address,
        "CONTROLLER_OAUTH_TOKEN": "token of the tests",
        **SECRETS,
    }
    command = ["ansible-playbook", "-vvv", "controller/configure.yml", *arguments]
    done = subprocess.run(
        command, cwd=EXAMPLE, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert [secret for secret in SECRETS.values() if secret in done.stdout + done.stderr] == []
    return done


@pytest.fixture(scope="module")
def declared(collections: Path) -> Iterator[tuple[str, Controller]]:
    with running_controller() as (address, controller):
        done = configure(collections, address)
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        yield address, controller


def test_job_templates_with_their_surveys_and_credentials(declared: tuple[str, Controller]) -> None:
    controller = declared[1]
    templates = controller.named("job_templates")
    assert len(templates) == 8
    surveys = yaml.safe_load((EXAMPLE / "controller" / "surveys.yml").read_text())["swarm_surveys"]
    credentials = {entry["id"]: name for name, entry in controller.named("credentials").items()}
    for name, template in templates.items():
        operation = template["playbook"].removesuffix(".yml")
        assert (EXAMPLE / template["playbook"]).exists()
        assert template["allow_simultaneous"] is False
        assert template["survey_enabled"] is (operation in surveys)
        assert controller.surveys.get(template["url"], {}).get("spec") == surveys.get(operation)
        given = {credentials[each] for each in controller.related[f"{template['url']}credentials/"]}
        assert given >= {"Swarm hosts", "Swarm vault"}, name
    restore = controller.related[f"{templates['Swarm restore']['url']}credentials/"]
    assert "Docker Swarm unlock key" in {credentials[each] for each in restore}


def test_type_of_the_credential_for_the_unlock_key(declared: tuple[str, Controller]) -> None:
    kind = declared[1].named("credential_types")["Docker Swarm unlock key"]
    assert kind["inputs"]["fields"] == [{"id": "secret", "label": "Unlock key", "type": "string", "secret": True}]
    assert kind["injectors"]["extra_vars"] == dict.fromkeys(
        ("restore_unlock_key", "recover_quorum_unlock_key", "verify_backup_unlock_keys"), "{{ secret }}"
    )


def test_workflow(declared: tuple[str, Controller]) -> None:
    controller = declared[1]
    nodes = controller.named("workflow_job_template_nodes")
    names = {node["id"]: name for name, node in nodes.items()}

    def followers(name: str, kind: str) -> list[str]:
        return [names[each] for each in controller.related.get(f"{nodes[name]['url']}{kind}_nodes/", [])]

    assert followers("health", "always") == ["backup"]
    assert followers("backup", "success") == ["verify"]
    assert followers("verify", "success") == ["report"]
    for name in ("health", "backup", "verify", "report"):
        assert followers(name, "failure") == ["notify"]
    templates = {entry["id"]: entry["playbook"] for entry in controller.named("job_templates").values()}
    assert {name: templates[node["unified_job_template"]] for name, node in nodes.items()} == {
        "health": "health.yml",
        "backup": "backup.yml",
        "verify": "verify_backup.yml",
        "report": "report.yml",
        "notify": "notify.yml",
    }


def test_schedules(declared: tuple[str, Controller]) -> None:
    controller = declared[1]
    schedules = controller.named("schedules")
    assert len(schedules) == 3
    workflow = controller.named("workflow_job_templates")["Swarm nightly"]
    assert schedules["Swarm nightly"]["unified_job_template"] == workflow["id"]


def test_a_second_run_changes_nothing(collections: Path, declared: tuple[str, Controller]) -> None:
    address, controller = declared
    before = len(controller.requests)
    done = configure(collections, address)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert controller.requests[before:] == []
    assert "changed=0 " in done.stdout


@pytest.mark.parametrize(
    ("first", "broken", "cause"),
    [
        (
            "Declare the schedules",
            {"swarm_schedules": [{"name": "x", "of": "Swarm health", "rrule": "RRULE:FREQ=DAILY"}]},
            "not a rule that AWX takes",
        ),
        (
            "Declare the job templates",
            {"swarm_job_templates": [{"name": "x", "playbook": "health.yml", "credentials": ["none"]}]},
            "none",
        ),
    ],
)
def test_what_awx_refuses_fails(
    collections: Path, declared: tuple[str, Controller], first: str, broken: dict[str, object], cause: str
) -> None:
    done = configure(collections, declared[0], "--start-at-task", first, "-e", json.dumps(broken))
    assert done.returncode == 2
    assert cause in done.stdout


def test_the_stand_in_refuses_surveys_that_awx_refuses() -> None:
    good = {"question_name": "q", "variable": "v", "type": "multiplechoice", "choices": ["a"], "required": True}
    assert survey_problem({"name": "", "description": "", "spec": [good]}) is None
    changes: list[dict[str, object]] = [
        {"type": "bool"},
        {"default": "b"},
        {"choices": []},
        {"required": "yes"},
        {"variable": None},
    ]
    for bad in changes:
        assert survey_problem({"name": "", "description": "", "spec": [{**good, **bad}]})
    assert survey_problem({"spec": [good]})
