# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The restore drill: a swarm comes back from its archive beside the living one, nobody notices, and nothing is left.

The archives are of one swarm of two managers with a global service: autolocked, after autolock was switched off, and the
first one again with an expired node certificate, which the test signs with the swarm's own CA key.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from helpers.backup import create_service, fill, meanwhile, modules, node_id, nodes, repeated
from helpers.restore import fetch, give, identity, leftovers, pack, unpack, with_file
from helpers.runner import RunModule, RunPlaybook, collections_path

from quorate_lab import Host, Lab
from quorate_lab.cgroup import processes
from quorate_lab.process import wait_until

#: What runs in a drill: the engine and what it starts of itself, and the shell that holds it.
OF_THE_ENGINE = {
    "cat",
    "containerd",
    "docker-init",  # which the engine asks for its version
    "dockerd",
    "exe",
    "getent",  # by which it looks up the group docker
    "ionice",
    "ip",
    "modprobe",
    "mount",
    "netns-create",
    "nice",
    "rm",
    "runc",
    "sh",
    "timeout",
    "touch",
    "unshare",
}
CERTIFICATE = "swarm/certificates/swarm-node.crt"


@dataclass(frozen=True)
class Scene:
    """A swarm that serves, archives of it, and a host without a swarm with a newer engine."""

    lab: Lab
    manager: Host
    spare: Host
    key: str = field(repr=False)
    archives: Path
    identity: dict[str, Any]

    def archive(self, name: str) -> Path:
        return self.archives / f"{name}.tar.gz"


@pytest.fixture(scope="module")
def scene(lab_factory: LabFactory, module: RunModule, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    lab = lab_factory(2, 0, autolock=True)
    manager, directory = lab.host("m1"), tmp_path_factory.mktemp("archives")
    directory.chmod(0o700)
    key = lab.unlock_key
    assert key
    fill(manager)
    create_service(manager, "everywhere", "--mode=global")
    spare = lab.add("spare", engine="28.5")

    def back_up(name: str, host: str = "m1") -> None:
        backup = module(lab, host, "swarm_backup", method="hot", allow_control_plane_outage=True)
        fetch(lab.host(host), backup["archive"], directory).rename(directory / f"{name}.tar.gz")

    back_up("locked")
    back_up("joined", "m2")
    before = identity(manager)
    manager.docker("swarm", "update", "--autolock=false")
    back_up("open")
    expire(directory / "locked.tar.gz", directory / "expired.tar.gz", key)
    return Scene(lab, manager, spare, key, directory, before)


def expire(archive: Path, target: Path, unlock_key: str) -> None:
    """Write the archive again with a node certificate of the same swarm that ended yesterday."""
    members = unpack(archive)
    files = {info.name: content for info, content in members}
    old = x509.load_pem_x509_certificate(files[CERTIFICATE])
    root = x509.load_pem_x509_certificate(files["swarm/certificates/swarm-root-ca.crt"])
    shift = datetime.timedelta(days=91)  # it was issued for 90 days, a minute ago
    builder = x509.CertificateBuilder(
        root.subject,
        old.subject,
        old.public_key(),
        old.serial_number,
        old.not_valid_before_utc - shift,
        old.not_valid_after_utc - shift,
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    key: Any = serialization.load_pem_private_key(ca_key(files, unlock_key), None)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pack(with_file(members, CERTIFICATE, pem), target)


def ca_key(files: dict[str, bytes], unlock_key: str) -> bytes:
    """The CA key of a swarm, of its raft store."""
    sys.path.insert(0, collections_path())
    utils = "ansible_collections.quorate.swarm.plugins.module_utils"
    node_key, raft_store = (importlib.import_module(f"{utils}.{name}") for name in ("_node_key", "_raft_store"))
    with tempfile.TemporaryDirectory() as directory:
        for name, content in files.items():
            path = Path(directory, name)
            if name.startswith("swarm/raft/") and content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        parsed = node_key.parse_node_key(files["swarm/certificates/swarm-node.key"])
        keys = node_key.raft_keys(parsed, node_key.parse_unlock_key(unlock_key))
        key: bytes = raft_store.read_root_ca(Path(directory, "swarm"), keys).key
        return key


def drill(scene: Scene, module: RunModule, host: Host, archive: str, **more: Any) -> dict[str, Any]:
    """Run the module, and return what it says of the archive, or its whole result when it failed."""
    path = give(scene.archive(archive), host, f"{archive}.tar.gz")
    result = module(scene.lab, host.name, "swarm_backup_info", archive=path, level="boot", **more)
    found: dict[str, Any] = result["archives"][0] if "archives" in result else result
    return found


# What a host looks like from outside, and what must not change there


def picture(host: Host) -> set[str]:
    """What a drill may not change on a host."""
    script = (
        "ip -o link | cut -d: -f2 | sort; ip netns; sort -k5 /proc/self/mountinfo | cut -d' ' -f4,5; ls -A /etc /etc/docker /opt "
        "/tmp /run /var/lib/docker /var/lib/docker/containers | grep -v -e motd -e ^ansible_; find /sys/fs/cgroup -type d | grep -v -e session -e user | sort; "
        "iptables-save | grep -v -e '^#' -e '^:'; systemctl show -p ActiveEnterTimestampMonotonic -p MainPID docker containerd; "
        "docker ps -a --no-trunc --format '{{.ID}} {{.Status}}' | sed 's/ Up .*/ Up/' | sort; docker images -q | sort"
    )
    return {*host.run(script).stdout.splitlines(), *leftovers(host)}


@contextmanager
def unnoticed(host: Host) -> Iterator[set[str]]:
    """See that the host is the same afterwards. Gives the names of the processes that ran in private engines meanwhile."""
    before, seen = picture(host), set[str]()
    with repeated(lambda: seen.update(in_private_engines(host)), interval=0.1):
        yield seen
    wait_until(lambda: in_private_engines(host) == set(), timeout=10, what="the end of the private engine")
    assert picture(host) ^ before == set()


def in_private_engines(host: Host) -> set[str]:
    """Names of the processes on a host that are in another network namespace than its own, and are no task of it."""
    own, found = os.readlink(f"/proc/{host.pid}/ns/net"), set()
    for process in processes(host.machine.name):
        try:
            folders = Path(f"/proc/{process}/mountinfo").read_text()
            if os.readlink(f"/proc/{process}/ns/net") != own and ".quorate-swarm-drill-" in folders:
                found.add(Path(f"/proc/{process}/comm").read_text().strip())
        except OSError:
            continue
    return found


def assert_came_back(scene: Scene, found: dict[str, Any], host: Host, *, key: str) -> None:
    assert found["good"], found["problem"]
    boot, node = found["boot"], found["manifest"]["node"]
    engine = host.docker("version", "--format", "{{.Server.Version}}").strip()
    assert (boot["cluster_id"], boot["engine_version"]) == (scene.identity["cluster ID"], engine)
    assert (boot["node_id"], boot["address"]) == (node["id"], node["address"])
    assert (boot["key"], boot["autolock"], boot["containers"]) == (key, key == "proven", 0)
    assert boot["difference"] == {}
    for kind in ("services", "secrets", "configs", "networks"):
        assert {item["id"] for item in boot["inventory"][kind]} == {item["id"] for item in scene.identity[kind]}


@pytest.mark.parametrize(("archive", "key"), [("locked", "proven"), ("open", "not_needed")])
def test_it_comes_back_beside_the_running_swarm_it_is_of(
    scene: Scene, module: RunModule, archive: str, key: str
) -> None:
    with unnoticed(scene.manager) as seen:
        found = drill(scene, module, scene.manager, archive, unlock_keys=[scene.key])
    assert_came_back(scene, found, scene.manager, key=key)
    assert "dockerd" in seen
    assert seen <= OF_THE_ENGINE
    standings = {"m1": "leader", "m2": "reachable"}
    wait_until(lambda: nodes(scene.manager) == standings, timeout=90, what="the swarm as it was")


@pytest.mark.long
def test_playbook_lets_all_archives_come_back_on_another_host(scene: Scene, playbook: RunPlaybook) -> None:
    """With a newer engine. One is of a manager that joined, one is not what it says; all the others are verified all the same."""
    directory = scene.archives / "named"
    directory.mkdir()
    for number, name in enumerate(("locked", "expired", "joined"), 1):
        shutil.copy(scene.archive(name), directory / f"swarm_{name}_m1_2026010{number}T000000Z.tar.gz")
    metrics = scene.archives / "metrics"
    metrics.mkdir()
    truncated = directory / "swarm_truncated_m1_20260104T000000Z.tar.gz"
    truncated.write_bytes(scene.archive("locked").read_bytes()[:-1000])
    variables = {
        "verify_backup_archives_on": "controller",
        "verify_backup_directory": str(directory),
        "verify_backup_level": "boot",
        "verify_backup_unlock_keys": [scene.key],
        "verify_backup_metrics_directory": str(metrics),
    }
    keep = {"content": "{{ verify_backup_result | to_json }}", "dest": "/root/result.json", "mode": "0600"}
    plays = [
        {
            "hosts": "spare",
            "gather_facts": False,
            "tasks": [
                {
                    "block": [{"ansible.builtin.include_role": {"name": "quorate.swarm.verify_backup"}}],
                    "always": [{"ansible.builtin.copy": keep}],
                }
            ],
        }
    ]
    with unnoticed(scene.spare) as seen:
        run = playbook(scene.lab, plays, variables, check_rc=False)
    result = json.loads((scene.spare.disk / "root/result.json").read_text())
    assert run.rc == 2, run.readable()[-4000:]
    assert "3 of 4 archives good at level boot" in run.stdout
    assert f"{truncated}: NOT GOOD" in run.stdout
    assert (result["good"], result["level"]) == (False, "boot")
    found = {Path(entry["path"]).name.split("_")[1]: entry for entry in result["archives"]}
    assert (found["truncated"]["good"], found["truncated"]["error"]) == (False, "bad_archive")
    for name in ("locked", "joined", "expired"):
        assert_came_back(scene, found[name], scene.spare, key="proven")
        reissued = found[name]["boot"]["certificate_reissued"]
        assert (reissued is not None) == (name == "expired")
    assert reissued["expired"] < found["expired"]["manifest"]["created"] < reissued["expires"]
    swarms = {found[name]["manifest"]["cluster"]["id"] for name in ("locked", "joined", "expired")}
    assert {path.name for path in metrics.iterdir()} == {f"quorate_swarm_verify_boot_{swarm}.prom" for swarm in swarms}
    for swarm in swarms:
        samples = (metrics / f"quorate_swarm_verify_boot_{swarm}.prom").read_text()
        assert f'\nquorate_swarm_last_drill_timestamp_seconds{{cluster_id="{swarm}"}} ' in samples
        assert f'\nquorate_swarm_drill_duration_seconds{{cluster_id="{swarm}"}} ' in samples
    assert "dockerd" in seen
    assert seen <= OF_THE_ENGINE


@pytest.mark.parametrize(
    ("keys", "why"),
    [([], "no unlock key was given"), (["SWMKEY-1-" + "A" * 43], "none of the given unlock keys opens it")],
)
def test_what_does_not_open_is_not_started(scene: Scene, module: RunModule, keys: list[str], why: str) -> None:
    with unnoticed(scene.spare) as seen:
        found = drill(scene, module, scene.spare, "locked", unlock_keys=keys)
    assert (found["good"], found["error"]) == (False, "wrong_key")
    assert why in found["problem"]
    assert seen == set()


def test_nothing_is_left_of_a_drill_that_is_killed(scene: Scene, module: RunModule) -> None:
    """And the next one runs."""
    with unnoticed(scene.spare):
        with meanwhile(lambda: drill(scene, module, scene.spare, "open")) as result:
            wait_until(lambda: "containerd" in in_private_engines(scene.spare), timeout=60, what="the private engine")
            for process in modules(scene.spare):
                os.kill(process, signal.SIGKILL)
            assert result()["failed"]
        wait_until(lambda: leftovers(scene.spare) == [], timeout=10, what="the folder to be removed")
    with unnoticed(scene.spare):
        # Killed with everything that could clean up: the next one does it.
        with meanwhile(lambda: drill(scene, module, scene.spare, "open")) as result:
            wait_until(lambda: "containerd" in in_private_engines(scene.spare), timeout=60, what="the private engine")
            holders = [process for process in processes(scene.spare.machine.name) if is_holder(process)]
            assert holders
            for process in [*holders, *modules(scene.spare)]:
                os.kill(process, signal.SIGKILL)
            assert result()["failed"]
        wait_until(lambda: in_private_engines(scene.spare) == set(), timeout=10, what="the end of the private engine")
        assert len(leftovers(scene.spare)) == 1
        assert_came_back(scene, drill(scene, module, scene.spare, "open"), scene.spare, key="not_needed")


def is_holder(process: int) -> bool:
    """Whether it is the shell that removes the folder of a drill."""
    try:
        return b"quorate-swarm-drill\0" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def test_restore_of_an_archive_with_an_expired_certificate(scene: Scene, module: RunModule) -> None:
    """The swarm is lost. Its last archive is too old for any engine to start from."""
    lab, address = scene.lab, scene.manager.address
    node = node_id(scene.manager)
    for name in ("m1", "m2"):
        lab.rm(name)
    fresh = lab.add("m1", address=address)
    archive = give(scene.archive("expired"), fresh)
    refused = module(
        lab, "m1", "swarm_restore", archive=archive, unlock_key=scene.key, reissue_certificate="never", check_mode=True
    )
    assert refused["error"] == "bad_archive"
    assert "set reissue_certificate to auto" in refused["msg"]
    result = module(lab, "m1", "swarm_restore", archive=archive, unlock_key=scene.key)
    assert not result.get("failed"), result
    assert (result["node_id"], result["difference"]) == (node, {})
    assert identity(fresh) == scene.identity
    created, reissued = result["manifest"]["created"], result["certificate_reissued"]
    assert reissued["expired"] < created < reissued["expires"]
    assert leftovers(fresh) == []
