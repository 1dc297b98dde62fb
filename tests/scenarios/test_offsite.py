# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives leave their manager: to a storage host, to the controller and into restic repositories, and come back from there."""

from __future__ import annotations

import datetime
import hashlib
import importlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import SecretWatch, archives, create_service, is_healthy, repeated, summary
from helpers.restore import identity, local
from helpers.runner import STATS, AnsibleRun, RunPlaybook, collections_path

from quorate_lab import Host, Lab

PASSWORD = "kept-from-everybody"
CREDENTIAL = "nobody-sees-this-one"
ALONE = {"backup_allow_control_plane_outage": True}


@dataclass(frozen=True)
class Scene:
    """A swarm of one manager with a service and a secret, a host with room for archives, and keys of age."""

    lab: Lab
    manager: Host
    store: Host
    here: Path
    recipient: str

    @property
    def identity(self) -> Path:
        return self.here / "identity"

    def copies(self) -> list[dict[str, Any]]:
        """One copy of each kind. The repositories are one on the manager and one on the controller."""
        return [
            {
                "to": "host",
                "host": "store",
                "directory": "/srv/encrypted",
                "recipients": [self.recipient],
                "keep_last": 1,
            },
            {"to": "controller", "directory": str(self.here / "plain"), "keep_daily": 7},
            {
                "to": "restic",
                "repository": "/srv/restic",
                "password": PASSWORD,
                "environment": {"AWS_SECRET_ACCESS_KEY": CREDENTIAL},
                "initialize": True,
                "keep_last": "1",
            },
            {
                "to": "restic",
                "host": "localhost",
                "repository": str(self.here / "restic"),
                "password_file": str(self.here / "password"),
                "initialize": True,
            },
        ]


@pytest.fixture(scope="module")
def scene(lab_factory: LabFactory, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    lab = lab_factory(managers=1, workers=0)
    here = tmp_path_factory.mktemp("controller")
    (here / "password").write_text(PASSWORD)
    made = subprocess.run(["age-keygen", "--output", here / "identity"], check=True, capture_output=True, text=True)
    recipient = made.stderr.split()[-1]
    manager = lab.host("m1")
    create_service(manager, "web")
    manager.run(["docker", "secret", "create", "password", "-"], input="not for everybody")
    return Scene(lab, manager, lab.add("store"), here, recipient)


def run(
    scene: Scene, playbook: RunPlaybook, name: str, variables: dict[str, Any], args: Sequence[str] = (), **more: Any
) -> AnsibleRun:
    """Run a playbook while nobody sees a secret in an argument, and nobody reads one in the output."""
    password, credential = SecretWatch(PASSWORD, names=("cmdline",)), SecretWatch(CREDENTIAL, names=("cmdline",))
    groups = {"swarm_managers": ["m1"], "stores": ["store"]}

    def look() -> None:
        password.look()
        credential.look()

    with repeated(look, interval=0.1):  # a run that refuses at once takes a second
        ran = playbook(scene.lab, name, variables, args, groups=groups, **more)
    assert (password.found, credential.found) == (set(), set())
    assert password.looks > 3
    assert PASSWORD not in ran.stdout + ran.stderr
    assert CREDENTIAL not in ran.stdout + ran.stderr
    return ran


def restic(repository: Path, *command: str) -> bytes:
    """What restic itself says, as anybody can ask it without this collection."""
    environment = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": str(repository)}
    return subprocess.run(["restic", *command], check=True, capture_output=True, env=environment).stdout


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def on(host: Host, path: str) -> Path:
    return host.disk / path.lstrip("/")


def left_on_the_way(host: Host) -> list[Path]:
    """What is left of archives that were brought to a host, or from it; the folder of a user for such places stays."""
    return [*on(host, "/tmp").glob("quorate-swarm-*"), *on(host, "/var/tmp").glob("quorate-swarm-*/*")]


def test_each_place_has_the_archive_and_keeps_what_it_shall(scene: Scene, playbook: RunPlaybook) -> None:
    first = run(scene, playbook, "backup", {**ALONE, "backup_copies": scene.copies()})
    (line,) = summary(first)
    assert "copied to /srv/encrypted on store and " in line
    assert "and restic repository /srv/restic and restic repository " in line
    ran = run(scene, playbook, "backup", {**ALONE, "backup_copies": scene.copies()})
    assert ran.recap["m1"]["failed"] == 0
    old, new = archives(scene.manager)
    content = on(scene.manager, new).read_bytes()
    name = Path(new).name
    # the storage host keeps one, encrypted; the controller one a day; the repositories one, and all
    (encrypted,) = on(scene.store, "/srv/encrypted").iterdir()
    assert (encrypted.name, encrypted.stat().st_mode & 0o777) == (f"{name}.age", 0o600)
    decrypt = ["age", "--decrypt", "--identity", str(scene.identity), str(encrypted)]
    assert sha256(subprocess.run(decrypt, check=True, capture_output=True).stdout) == sha256(content)
    (plain,) = (scene.here / "plain").iterdir()
    assert (plain.name, plain.read_bytes()) == (name, content)
    inside, outside = on(scene.manager, "/srv/restic"), scene.here / "restic"
    assert set(re.findall(rb"swarm_\w+\.tar\.gz", restic(inside, "ls", "latest"))) == {name.encode()}
    assert sha256(restic(inside, "dump", "latest", f"/{name}")) == sha256(content)
    assert len(re.findall(rb'"short_id"', restic(inside, "snapshots", "--json"))) == 1
    assert len(re.findall(rb'"short_id"', restic(outside, "snapshots", "--json"))) == 2
    assert sha256(restic(outside, "dump", "latest", f"/{name}")) == sha256(content)
    # nothing is left on the way
    for host in (scene.manager, scene.store):
        assert left_on_the_way(host) == []
    assert Path(old).name != name


def test_check_mode_changes_nothing(scene: Scene, playbook: RunPlaybook) -> None:
    copies = [{**copy, "directory": "/srv/other"} if copy["to"] == "host" else copy for copy in scene.copies()]
    before = archives(scene.manager)
    run(scene, playbook, "backup", {**ALONE, "backup_copies": copies}, ["--check", "--diff"])
    assert archives(scene.manager) == before
    assert not on(scene.store, "/srv/other").exists()


def test_copies_that_fail_are_named_after_the_engine_is_up_again(scene: Scene, playbook: RunPlaybook) -> None:
    on(scene.store, "/srv/full").write_text("a file, not a directory")
    before = archives(scene.manager)
    copies: list[dict[str, Any]] = [
        {"to": "host", "host": "store", "directory": "/srv/full"},
        {"to": "restic", "repository": "/srv/restic", "password": PASSWORD + "-not"},
        {"to": "restic", "repository": "/srv/not-mounted", "password": PASSWORD},
        {"to": "controller", "directory": str(scene.here / "good")},
    ]
    metrics = {"backup_metrics_directory": str(scene.here / "metrics")}
    (scene.here / "metrics").mkdir()
    ran = run(scene, playbook, "backup", {**ALONE, "backup_copies": copies, **metrics}, check_rc=False)
    assert ran.rc != 0
    assert is_healthy(scene.manager)
    (new,) = set(archives(scene.manager)) - set(before)
    (line,) = summary(ran)
    assert f"copied to {scene.here / 'good'} on the controller; FAILED afterwards: " in line
    for target, cause in (
        ("/srv/full on store", "/srv/full already exists as a file"),
        ("restic repository /srv/restic", "wrong password or no key found"),
        ("restic repository /srv/not-mounted", "set initialize to true"),
    ):
        assert re.search(rf"Could not copy {Path(new).name} to {target}: [^:]*.*{cause}", line), line
    assert line.count(f"It is kept as {new} on m1") == 3
    assert line.count("run quorate.swarm.copy_archive with copy_archive_host=m1") == 3
    assert [path.name for path in (scene.here / "good").iterdir()] == [Path(new).name]
    (written,) = (scene.here / "metrics").iterdir()
    copied = re.findall(r'^quorate_swarm_backup_copied{.*target="(.*)"} (.)$', written.read_text(), re.MULTILINE)
    assert copied == [
        ("/srv/full on store", "0"),
        ("restic repository /srv/restic", "0"),
        ("restic repository /srv/not-mounted", "0"),
        (f"{scene.here / 'good'} on the controller", "1"),
    ]
    # and what it says helps
    on(scene.store, "/srv/full").unlink()
    again = {"copy_archive_host": "m1", "copy_archive_copies": copies[:1]}
    run(scene, playbook, "copy_archive", again)
    assert [path.name for path in on(scene.store, "/srv/full").iterdir()] == [Path(new).name]
    assert run(scene, playbook, "copy_archive", again).recap["m1"]["changed"] == 0


def test_a_storage_host_that_is_down_is_a_copy_that_failed(scene: Scene, playbook: RunPlaybook) -> None:
    scene.store.cut()
    try:
        copies = [{"to": "host", "host": "store", "directory": "/srv/a"}, {**scene.copies()[2], "keep_last": 9}]
        variables = {
            "copy_archive_host": "m1",
            "copy_archive_copies": copies,
            "ansible_ssh_args": "-o ConnectTimeout=3",
        }
        ran = run(scene, playbook, "copy_archive", variables, check_rc=False)
    finally:
        scene.store.heal()
    assert ran.rc != 0
    told = " ".join(ran.stdout.split())
    assert re.search(r"Could not copy \S+ to /srv/a on store: .*(timed out|No route to host|unreachable)", told)
    assert "copied to restic repository /srv/restic" in told


@pytest.mark.parametrize(
    "copies",
    [
        [{"to": "restic", "repository": f"rest:https://me:{PASSWORD}@store/", "password": CREDENTIAL}],
        [{"to": "host", "host": "nowhere", "directory": "/srv/a"}],
    ],
)
def test_copies_that_make_no_sense_are_refused_before_anything_is_done(
    scene: Scene, playbook: RunPlaybook, copies: list[dict[str, Any]]
) -> None:
    before = archives(scene.manager)
    ran = run(scene, playbook, "backup", {**ALONE, "backup_copies": copies}, check_rc=False)
    assert ran.rc != 0
    assert "Could not see where copy 1 goes" in ran.stdout
    assert archives(scene.manager) == before


@pytest.mark.long
@pytest.mark.parametrize("place", ["host", "controller", "restic on the host"])
def test_archives_are_verified_where_they_are(scene: Scene, playbook: RunPlaybook, place: str) -> None:
    places: dict[str, dict[str, Any]] = {
        "host": {"archives_on": "store", "directory": "/srv/encrypted", "age_identity": str(scene.identity)},
        "controller": {"archives_on": "controller", "directory": str(scene.here / "plain")},
        "restic on the host": {"archives_on": "restic", "restic": scene.copies()[2], "newest": "1"},
    }
    variables = {"host": "m1", "level": "raft", **places[place]}
    given = {f"verify_backup_{name}": value for name, value in variables.items()}
    ran = run(scene, playbook, "verify_backup", given)
    assert "1 of 1 archives good at level raft" in ran.stdout
    assert left_on_the_way(scene.manager) == []


@pytest.mark.long
def test_an_archive_that_cannot_be_brought_is_not_good_and_the_others_are_verified(
    scene: Scene, playbook: RunPlaybook
) -> None:
    directory = on(scene.store, "/srv/encrypted")
    (good,) = directory.iterdir()
    bad = directory / re.sub(r"_\d{8}T", "_29991231T", good.name)
    bad.write_text("what age did not write")
    variables = {"host": "m1", "archives_on": "store", "directory": "/srv/encrypted", "level": "raft"}
    variables["age_identity"] = str(scene.identity)
    try:
        given = {f"verify_backup_{name}": value for name, value in variables.items()}
        ran = run(scene, playbook, "verify_backup", given, check_rc=False, env=STATS)
    finally:
        bad.unlink()
    assert ran.rc != 0
    found = ran.stats["quorate_verify_backup"]["archives"]
    assert {Path(entry["archive"]).name: entry["good"] for entry in found} == {bad.name: False, good.name: True}
    assert "1 of 2 archives good at level raft" in ran.stdout
    assert re.search(rf"{bad.name}: NOT GOOD: .+", ran.stdout)
    assert left_on_the_way(scene.manager) == []


@pytest.mark.long
def test_a_user_with_sudo_gets_the_archive_as_a_stream(scene: Scene, playbook: RunPlaybook, tmp_path: Path) -> None:
    """Ansible slurps a file into memory when it fetches it with become; and the controller has no sudo, as with AWX."""
    for host in (scene.manager, scene.store):
        host.run("useradd --create-home deploy && cp -r /root/.ssh ~deploy/ && chown -R deploy: ~deploy/.ssh")
        host.run("echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy && chmod 440 /etc/sudoers.d/deploy")
    sudo = tmp_path / "bin" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text("#!/bin/sh\necho there is no sudo here >&2\nexit 1\n")
    sudo.chmod(0o755)
    text = scene.lab.inventory({"swarm_managers": ["m1"], "stores": ["store"]})
    text = re.sub(r"(ansible_control_path=\S+)", r"\1-deploy", text)
    inventory = tmp_path / "inventory"
    inventory.write_text(text.replace("ansible_user=root", "ansible_user=deploy\nansible_become=true"))
    environment = {"PATH": f"{sudo.parent}:{os.environ['PATH']}", "ANSIBLE_BECOME_ALLOW_SAME_USER": "true"}
    given: dict[str, Any] = {"inventory": inventory, "env": environment}
    for name in ("copied", "metrics", "report"):
        (tmp_path / name).mkdir()
    copies = [
        {"to": "controller", "directory": str(tmp_path / "copied")},
        {"to": "host", "host": "store", "directory": "/srv/deployed"},
        {**scene.copies()[2], "host": "store", "repository": "/srv/restic-of-deploy"},
        scene.copies()[3],
    ]
    metrics = {"backup_metrics_directory": str(tmp_path / "metrics")}
    made = run(scene, playbook, "backup", {**ALONE, "backup_copies": copies, **metrics}, **given)
    assert "slurp" not in made.stdout
    (copied,) = (tmp_path / "copied").iterdir()
    assert copied.stat().st_uid == 0
    assert on(scene.store, f"/srv/deployed/{copied.name}").read_bytes() == copied.read_bytes()
    where: dict[str, dict[str, Any]] = {
        "store": {"archives_on": "store", "directory": "/srv/deployed"},
        "controller": {"archives_on": "controller", "directory": str(copied.parent)},
        "restic": {"archives_on": "restic", "restic": copies[2], "newest": 1},
    }
    for place, variables in where.items():
        wanted = {f"verify_backup_{name}": value for name, value in variables.items()}
        verified = run(scene, playbook, "verify_backup", {"verify_backup_host": "m1", **wanted}, **given)
        assert "1 of 1 archives good" in verified.stdout, place
        assert "slurp" not in verified.stdout, place
    health = {"fail_on": "never", "backups_on": "controller", "backup_directory": str(copied.parent)}
    health["metrics_directory"] = str(tmp_path / "metrics")
    run(scene, playbook, "health", {f"health_{name}": value for name, value in health.items()}, **given)
    run(scene, playbook, "report", {"report_directory": str(tmp_path / "report")}, **given)
    assert len(list((tmp_path / "metrics").iterdir())) == len(list((tmp_path / "report").iterdir())) == 2
    for host in (scene.manager, scene.store):
        assert left_on_the_way(host) == []


@pytest.mark.long
@pytest.mark.parametrize("place", ["encrypted on a host", "restic on the controller"])
def test_the_swarm_comes_back_from_a_copy(scene: Scene, playbook: RunPlaybook, place: str) -> None:
    """Last, because the swarm is lost each time."""
    name = next(on(scene.store, "/srv/encrypted").iterdir()).name
    before = identity(scene.manager)
    scene.manager.docker("swarm", "leave", "--force")
    places: dict[str, dict[str, Any]] = {
        "encrypted on a host": {
            "archive": f"/srv/encrypted/{name}",
            "archive_on": "store",
            "age_identity": str(scene.identity),
        },
        "restic on the controller": {"archive": "latest", "archive_on": "restic", "restic": scene.copies()[3]},
    }
    variables = {"host": "m1", "confirmed": True, **places[place]}
    given = {f"restore_{key}": value for key, value in variables.items()}
    run(scene, playbook, "restore", given)
    assert local(scene.manager)["LocalNodeState"] == "active"
    assert identity(scene.manager) == before
    assert left_on_the_way(scene.manager) == []


@pytest.mark.long
def test_retention_is_that_of_restic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter and restic keep the same of many archives, by many rules."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    sys.path.insert(0, collections_path())
    copies = importlib.import_module("ansible_collections.quorate.swarm.plugins.module_utils._copies")
    restic(tmp_path / "repository", "init")
    rest = random.Random(7)
    newest = datetime.datetime.fromisoformat("2026-03-01T12:00:00+00:00")
    ages = [{"minutes": 25 * n} for n in range(8)] + [{"hours": rest.randrange(10, 1700)} for _ in range(22)]
    names = []
    for moment in sorted({newest - datetime.timedelta(**age) for age in ages}):
        name = f"swarm_blue_m1_{moment:%Y%m%dT%H%M%SZ}.tar.gz"
        Path(name).touch()
        restic(tmp_path / "repository", "backup", "--time", f"{moment:%Y-%m-%d %H:%M:%S}", name)
        names.append(name)
    for _ in range(25):
        keep = {rule: rest.randrange(1, 9) for rule in copies.KEEP if rest.random() < 0.5} | {"keep_last": 1}
        rules = [word for rule, number in keep.items() for word in (f"--{rule.replace('_', '-')}", str(number))]
        told = restic(tmp_path / "repository", "forget", "--dry-run", "--json", "--group-by", "", *rules)
        (group,) = json.loads(next(line for line in told.splitlines() if line.startswith(b"[{")))
        kept = {Path(snapshot["paths"][0]).name for snapshot in group["keep"]}
        assert set(names) - set(copies.superseded_copies(names, max(names), keep)) == kept, keep
