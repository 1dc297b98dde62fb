# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The project of docs/examples/awx as AWX runs its jobs: ansible-runner, a folder of its own for each job, which is gone
afterwards, and what a job hands over as variables of the next."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import LabFactory
from helpers.backup import archives, ask
from helpers.runner import check_no_secret, collections_path

from quorate_lab import Lab

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "awx"
SURVEYS = yaml.safe_load((EXAMPLE / "controller" / "surveys.yml").read_text())["swarm_surveys"]


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    return lab_factory(managers=1, workers=0, autolock=True)


class Awx:
    """Runs jobs one after the other as a workflow does.

    Attributes:
        artifacts: What the jobs have handed over.
    """

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.artifacts: dict[str, Any] = {}

    def job(self, number: int, playbook: str, *, fails: bool = False, **answers: Any) -> str:
        """Run a job with the answers to its survey, or their defaults, and return what it printed; see how it ended."""
        private = self.folder / f"awx_{number}"
        project = private / "project"
        shutil.copytree(EXAMPLE, project)
        # AWX installs the requirements of the project beside it.
        (private / "requirements_collections").symlink_to(collections_path())
        defaults = {
            question["variable"]: question["default"]
            for question in SURVEYS.get(playbook, [])
            if question.get("default") not in (None, "")
        }
        variables = {**defaults, **answers, **self.artifacts, "awx_job_id": number}
        inventory = self.lab.write_inventory(self.folder / f"hosts{number}")
        files: dict[str, object] = {
            "env/extravars": variables,
            "env/envvars": {
                "ANSIBLE_COLLECTIONS_PATH": str(private / "requirements_collections"),
                "ANSIBLE_FORCE_COLOR": "True",
                "ANSIBLE_HOST_KEY_CHECKING": "False",
                "AWX_PRIVATE_DATA_DIR": str(private),
                "JOB_ID": str(number),
            },
            "env/settings": {"suppress_ansible_output": False, "idle_timeout": 300},
        }
        (private / "env").mkdir()
        for name, content in files.items():
            (private / name).write_text(json.dumps(content))
            (private / name).chmod(0o600)
        (private / "inventory").mkdir()
        shutil.copy(inventory, private / "inventory" / "hosts")
        before = sorted(project.rglob("*"))
        command = ["ansible-runner", "run", str(private), "-p", f"{playbook}.yml", "--ident", str(number), "-v"]
        environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
        environment["HOME"] = str(self.folder)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
        check_no_secret(done.stdout + done.stderr, command)
        assert (done.returncode != 0) == fails, (done.stdout + done.stderr)[-6000:]
        events = (private / "artifacts" / str(number) / "job_events").glob("*.json")
        for path in events:
            event = json.loads(path.read_text())
            check_no_secret(path.read_text(), [str(path)])
            if event["event"] == "playbook_on_stats":
                self.artifacts.update(event["event_data"].get("artifact_data", {}))
        assert sorted(project.rglob("*")) == before, "a job has written into the project"
        shutil.rmtree(private)
        return done.stdout


def test_nightly_workflow(lab: Lab, tmp_path: Path) -> None:
    awx, host = Awx(lab, tmp_path), lab.hosts["m1"]
    reports = tmp_path / "web"
    reports.mkdir()

    # One manager is no fault tolerance, which the survey would let the job fail for.
    awx.job(1, "health", health_fail_on="never")
    (swarm,) = awx.artifacts["quorate_health"]["swarms"]
    (missing,) = [finding["what"] for finding in swarm["findings"] if finding["id"] == "backup_missing"]

    awx.job(2, "backup", backup_allow_control_plane_outage="true")
    (made,) = awx.artifacts["quorate_backup"]["swarms"]
    assert archives(host) == [made["archive"]]
    assert made["checksum"] == host.run(["sha256sum", made["archive"]]).stdout.split()[0]
    assert (made["good"], made["cluster_id"]) == (True, ask(host, "GET", "/swarm")["ID"])

    awx.job(3, "verify_backup", verify_backup_unlock_keys=lab.unlock_key)
    (verified,) = awx.artifacts["quorate_verify_backup"]["archives"]
    assert (verified["good"], verified["archive"], verified["level"]) == (True, made["archive"], "raft")

    awx.job(4, "report", report_directory=str(reports), health_backup_hours=26)
    assert awx.artifacts["quorate_report"]["files"] == [
        str(reports / f"quorate-swarm.{kind}") for kind in ("html", "md")
    ]
    page = (reports / "quorate-swarm.md").read_text()
    assert made["archive"] in page
    assert missing not in page, "the verdict of the first job stands in the place of a new one"
    assert sorted(awx.artifacts) == ["quorate_backup", "quorate_health", "quorate_report", "quorate_verify_backup"]


def test_people_are_told_why_the_workflow_failed(lab: Lab, tmp_path: Path) -> None:
    """The survey lets the job fail for a swarm that stands the loss of no manager, and for one without a backup."""
    awx = Awx(lab, tmp_path)
    awx.job(1, "health", fails=True)
    failures = awx.artifacts["quorate_health"]["failures"]
    assert failures
    with webhook() as (url, posted):
        printed = awx.job(2, "notify", notify_url=url, awx_workflow_job_id=7)
    (text,) = [message["text"] for message in posted]
    assert text == f"Swarm workflow 7 failed. {' '.join(failures)}"
    assert url not in printed


def test_people_are_told_of_a_copy_that_failed(lab: Lab, tmp_path: Path) -> None:
    awx = Awx(lab, tmp_path)
    copies = [{"to": "restic", "repository": "/srv/not-there", "password": "kept-from-everybody"}]
    awx.job(1, "backup", fails=True, backup_allow_control_plane_outage="true", backup_copies=copies)
    (made,) = awx.artifacts["quorate_backup"]["swarms"]
    assert made["archive"]
    with webhook() as (url, posted):
        awx.job(2, "notify", notify_url=url)
    (text,) = [message["text"] for message in posted]
    assert text == f"Swarm workflow failed. {made['problem']}"
    assert "restic repository /srv/not-there" in text


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes messages as a chat does, and the messages."""
    posted: list[dict[str, Any]] = []

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: Any) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Chat) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook/s3cr3t", posted
        finally:
            server.shutdown()
            thread.join()
