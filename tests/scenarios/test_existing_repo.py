# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection in a repository that was there before it: docs/examples/infra-repo as it stands, for a user with sudo,
through a bastion, on engines whose data root is elsewhere; and an engine that is only there through TLS."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import archives, ask, changes, manifest_of
from helpers.restore import engine_off, engine_on, identity, managers
from helpers.runner import STATS, AnsibleRun, RunPlaybook, collections_path

from quorate_lab import Host, Lab
from quorate_lab.inventory import SSH_OPTIONS
from quorate_lab.process import execute, in_parallel, wait_until
from quorate_lab.swarm import form

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "infra-repo"
BACKUPS = "/srv/backups/swarm"
#: The ways to tell an engine where its data root is: a command for each host, and the root.
DATA_ROOTS = {
    "m1": ("""echo '{"data-root": "/srv/docker"}' > /etc/docker/daemon.json""", "/srv/docker"),
    "m2": (
        "mkdir -p /etc/systemd/system/docker.service.d && printf '[Service]\\nExecStart=\\n"
        "ExecStart=/usr/sbin/dockerd --data-root /srv/engine -H fd:// -H tcp://0.0.0.0:2376 --tlsverify "
        "--tlscacert=/etc/docker/ca.pem --tlscert=/etc/docker/server.pem --tlskey=/etc/docker/server-key.pem\\n' "
        "> /etc/systemd/system/docker.service.d/listen.conf",
        "/srv/engine",
    ),
    "m3": (
        """echo '{"data-root": "/srv/configured"}' > /etc/docker/other.json; """
        """echo 'DOCKER_OPTS="--config-file=/etc/docker/other.json"' > /etc/default/docker""",
        "/srv/configured",
    ),
}
#: An authority, and certificates of it for the engine and for a client.
CERTIFICATES = """\
set -e
cd /etc/docker
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out ca.pem
sign() {
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$1-key.pem" -out "$1.csr"
    echo "$2" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.pem"
}
sign server subjectAltName=IP:ADDRESS
sign client extendedKeyUsage=clientAuth
"""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """Three managers, and a host in no swarm, the bastion: only through it does the user `deploy` get to them."""
    made = lab_factory(managers=3, workers=1, form_swarm=False)
    for host in made.hosts.values():
        engine_off(host)
        host.run("rm -rf /var/lib/docker/swarm")
        host.run("useradd --create-home deploy && cp -r /root/.ssh ~deploy/ && chown -R deploy: ~deploy/.ssh")
        host.run("echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy && chmod 440 /etc/sudoers.d/deploy")
    for name, (command, dummy) in DATA_ROOTS.items():
        host = made.hosts[name]
        rule = f"AllowUsers root deploy@{made.hosts['w1'].address}"
        host.run(f"echo '{rule}' >> /etc/ssh/sshd_config && systemctl restart ssh && mkdir -p /etc/docker")
        if name == "m2":
            host.run(CERTIFICATES.replace("ADDRESS", host.address))
        host.run(f"{command} && systemctl daemon-reload && systemctl start docker")
    form([made.hosts[name] for name in DATA_ROOTS], [], autolock=False)
    made.hosts["m1"].run(["docker", "secret", "create", "password", "-"], input="not for everybody")
    return made


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as it stands, with the collection where ansible-galaxy would have put it."""
    path = tmp_path_factory.mktemp("somewhere") / "infra-repo"
    shutil.copytree(EXAMPLE, path)
    (path / "collections" / "ansible_collections").symlink_to(Path(collections_path()) / "ansible_collections")
    return path


@pytest.fixture(scope="module")
def places(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A second inventory: the addresses of the lab, and what the user would have in ~/.ssh/config."""
    folder = tmp_path_factory.mktemp("places")
    config = folder / "ssh_config"
    options = [option for option in SSH_OPTIONS if option != "-o"]
    config.write_text(
        "\n".join([f"IdentityFile {lab.files.key}", *(option.replace("=", " ", 1) for option in options)])
    )
    # Connections of their own: those of the lab are root's.
    sockets = {name: lab.files.control_socket(f"{name}-deploy") for name in DATA_ROOTS}
    hosts: dict[str, Mapping[str, str]] = {
        f"manager{name[1:]}": {"ansible_host": lab.hosts[name].address, "ansible_control_path": str(socket)}
        for name, socket in sockets.items()
    }
    hosts["bastion"] = {"ansible_host": lab.hosts["w1"].address}
    path = folder / "lab.json"
    path.write_text(json.dumps({"all": {"hosts": hosts, "vars": {"ansible_ssh_extra_args": f"-F {config}"}}}))
    yield path
    for socket in sockets.values():
        execute(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "host"], check=False)


def state_directories(lab: Lab, playbook: RunPlaybook) -> dict[str, dict[str, Any]]:
    """What swarm_info says of each manager."""
    told = "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'told'))) }}"
    tasks: list[dict[str, Any]] = [
        {"quorate.swarm.swarm_info": {"gather": ["disk"]}, "register": "told"},
        {"ansible.builtin.set_stats": {"data": {"told": told}}, "run_once": True},
    ]
    run = playbook(lab, [{"hosts": "swarm_managers", "gather_facts": False, "tasks": tasks}], env=STATS)
    assert set(run.stats["told"]) == set(DATA_ROOTS)
    return dict(run.stats["told"])


def test_state_directories_of_engines_that_are_up(lab: Lab, playbook: RunPlaybook) -> None:
    for name, found in state_directories(lab, playbook).items():
        assert found["state_directory"]["path"] == f"{DATA_ROOTS[name][1]}/swarm"
        assert found["state_directory"]["node_id"] == ask(lab.hosts[name], "GET", "/info")["Swarm"]["NodeID"]


@pytest.fixture(scope="module")
def nightly(lab: Lab, project: Path, places: Path, playbook: RunPlaybook) -> AnsibleRun:
    """The run of the playbook of the example."""
    return playbook(lab, "playbooks/nightly.yml", project=project, inventory=places, env=STATS)


def only_archive(lab: Lab) -> tuple[Host, str]:
    ((host, archive),) = [(host, path) for host in lab.hosts.values() for path in archives(host, BACKUPS)]
    return host, archive


def test_nightly_playbook_as_it_stands(lab: Lab, nightly: AnsibleRun) -> None:
    run = nightly
    host, archive = only_archive(lab)
    assert manifest_of(host, archive)["cluster"]["id"] == ask(host, "GET", "/swarm")["ID"]
    assert "1 of 1 archives good at level raft" in run.stdout
    (swarm,) = run.stats["quorate_backup"]["swarms"]
    assert (swarm["good"], swarm["host"], swarm["archive"]) == (True, f"manager{host.name[1:]}", archive)
    assert swarm["checksum"] == host.run(["sha256sum", archive]).stdout.split()[0]
    did = changes(run)
    assert did[0] == "Note that an engine is going to be stopped"
    assert did[-1] == "Take the note away"
    for each in lab.hosts.values():
        assert each.run("ls /run/maintenance", check=False).returncode != 0
        assert each.run("ls /var/lib/docker/swarm", check=False).returncode != 0
    assert managers(lab.hosts["m1"]) == set(DATA_ROOTS)


# -- an engine that is only there through TLS ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that DOCKER_CERT_PATH names, as the docker command wants it."""
    folder = tmp_path_factory.mktemp("certificates")
    for ours, theirs in (("ca.pem", "ca.pem"), ("cert.pem", "client.pem"), ("key.pem", "client-key.pem")):
        (folder / ours).write_text(lab.hosts["m2"].run(["cat", f"/etc/docker/{theirs}"]).stdout)
    return folder


def from_here(playbook: RunPlaybook, lab: Lab, environment: Mapping[str, str], *tasks: dict[str, Any]) -> Any:
    """Run modules on this machine, and return the results of those that register one."""
    play = {
        "name": "Ask an engine from the controller",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "environment": dict(environment),
        "tasks": [*tasks, {"ansible.builtin.set_stats": {"data": {"result": "{{ result }}"}}}],
    }
    return playbook(lab, [play], env=STATS).stats["result"]


def test_modules_that_need_only_the_api(lab: Lab, certificates: Path, playbook: RunPlaybook) -> None:
    engine = {
        "DOCKER_HOST": f"tcp://{lab.hosts['m2'].address}:2376",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(certificates),
    }
    info = from_here(
        playbook, lab, engine, {"quorate.swarm.swarm_info": {"gather": ["nodes", "secrets"]}, "register": "result"}
    )
    assert info["state"] == "manager"
    assert info["node"]["id"] == ask(lab.hosts["m2"], "GET", "/info")["Swarm"]["NodeID"]
    assert sorted(node["hostname"] for node in info["nodes"]) == ["m1", "m2", "m3"]
    assert [secret["name"] for secret in info["secrets"]] == ["password"]
    assert info["state_directory"] is None

    quorum = from_here(
        playbook, lab, engine, {"quorate.swarm.swarm_quorum": {"minimum_fault_tolerance": 1}, "register": "result"}
    )
    assert quorum["verdict"] == {"ok": True, "reasons": []}

    label = {"node": "m3", "labels": {"zone": "c"}}
    marked = from_here(playbook, lab, engine, {"quorate.swarm.swarm_node": label, "register": "result"})
    assert marked["changed"] is True
    labels = {node["Description"]["Hostname"]: node["Spec"]["Labels"] for node in ask(lab.hosts["m1"], "GET", "/nodes")}
    assert labels["m3"] == {"zone": "c"}


def test_engine_whose_certificate_is_of_another_authority(
    lab: Lab, certificates: Path, tmp_path: Path, playbook: RunPlaybook
) -> None:
    folder = tmp_path / "certificates"
    shutil.copytree(certificates, folder)
    shutil.copy(folder / "cert.pem", folder / "ca.pem")
    engine = {
        "DOCKER_HOST": f"tcp://{lab.hosts['m2'].address}:2376",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(folder),
    }
    task = {"quorate.swarm.swarm_quorum": {}, "register": "result", "ignore_errors": True}
    result = from_here(playbook, lab, engine, task)
    assert result["failed"] is True
    assert "certificate verify failed" in result["msg"]
    assert f"there is no TLS connection to tcp://{lab.hosts['m2'].address}:2376" in result["msg"]


# -- all engines are down; this is last ------------------------------------------------------------------------------


@pytest.fixture
def down(lab: Lab) -> Iterator[None]:
    hosts = [lab.hosts[name] for name in DATA_ROOTS]
    in_parallel(engine_off, hosts)
    yield
    in_parallel(engine_on, hosts)


def test_state_directories_of_engines_that_are_down(lab: Lab, down: None, playbook: RunPlaybook) -> None:
    found = state_directories(lab, playbook)
    for name, (dummy, root) in DATA_ROOTS.items():
        assert found[name]["state"] == "daemon_down"
        assert found[name]["state_directory"]["path"] == f"{root}/swarm"
    assert len({entry["state_directory"]["cluster_id"] for entry in found.values()} - {None}) == 1


@pytest.mark.long
def test_restore_where_all_engines_are_down(
    lab: Lab, project: Path, places: Path, nightly: AnsibleRun, playbook: RunPlaybook
) -> None:
    host, archive = only_archive(lab)
    before = identity(host)
    for name in DATA_ROOTS:
        engine_off(lab.hosts[name])
    variables = {
        "restore_host": f"manager{host.name[1:]}",
        "restore_archive": archive,
        "restore_archive_on": "host",
        "restore_replace_state": True,
        "restore_confirmed": True,
    }
    playbook(lab, "playbooks/restore.yml", variables, project=project, inventory=places)
    assert identity(host) == before
    wait_until(lambda: managers(host) == set(DATA_ROOTS), timeout=60, what="all managers")
    for name, (dummy, root) in DATA_ROOTS.items():
        assert len(lab.hosts[name].run(f"ls -d {root}/swarm.quarantine-*").stdout.split()) == 1
        assert lab.hosts[name].run("ls /var/lib/docker/swarm", check=False).returncode != 0
