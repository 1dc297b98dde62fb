# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An autolocked manager is backed up and unlocked again, and its key shows nowhere."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import (
    DIRECTORY,
    SecretWatch,
    archives,
    ask,
    engine_started,
    manifest_of,
    nodes,
    repeated,
    summary,
    untouched,
    wait_until_healthy,
)
from helpers.runner import RunModule, RunPlaybook

from quorate_lab import Lab
from quorate_lab.process import wait_until


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    return lab_factory(managers=3, workers=0, autolock=True)


def key_bytes(lab: Lab) -> bytes:
    """The 32 bytes that an unlock key stands for (Docker docs, Lock your swarm; moby/swarmkit ca/keyreadwriter.go)."""
    assert lab.unlock_key
    return base64.b64decode(lab.unlock_key.removeprefix("SWMKEY-1-") + "=")


def forms_of(lab: Lab) -> dict[str, bytes]:
    """How the key could show: as Docker prints it without its well-known beginning, raw, in hexadecimal, as base64."""
    key = key_bytes(lab)
    assert lab.unlock_key
    return {
        "printed": lab.unlock_key.removeprefix("SWMKEY-1-").encode(),
        "raw": key,
        "hexadecimal": key.hex().encode(),
        "printed, as base64": base64.b64encode(lab.unlock_key.encode()).rstrip(b"="),
    }


def test_watch_sees_a_secret(lab: Lab) -> None:
    """The watch of the next test finds what it looks for, in arguments and environment, on a host as well."""
    watch = SecretWatch("look-at-me")
    # half of it, so that this test itself does not show it
    half = ["look", "-at-me"]
    with subprocess.Popen(["sleep", "60"], env={**os.environ, "KEY": "".join(half)}) as process:
        watch.look()
        process.kill()
    assert watch.found == {f"environ of process {process.pid}"}
    lab.hosts["m3"].run(f"sh -c 'sleep 3; : {''.join(half)}' >/dev/null 2>&1 &")
    watch.look()
    assert [where for where in watch.found if where.startswith("cmdline")]


def test_unlocked_again_and_the_key_shows_nowhere(lab: Lab, playbook: RunPlaybook, tmp_path: Path) -> None:
    assert lab.unlock_key
    collected = tmp_path / "archives"
    forms = forms_of(lab)
    before = {name: engine_started(host) for name, host in lab.hosts.items()}
    role = {"role": "quorate.swarm.backup", "backup_collect_to": str(collected)}
    # every variable of every host, facts and registered results included
    show = {"name": "Show all that is known", "ansible.builtin.debug": {"var": "hostvars"}}
    watch = SecretWatch(forms["printed"].decode())
    with repeated(watch.look, interval=0.05):
        run = playbook(lab, [{"hosts": "swarm_managers", "roles": [role], "post_tasks": [show]}])
    assert watch.looks > 20
    assert watch.found == set()

    # the manager is there again, by itself
    (taken,) = [host for name, host in lab.hosts.items() if engine_started(host) != before[name]]
    assert ask(taken, "GET", "/info")["Swarm"]["LocalNodeState"] == "active"
    assert nodes(lab.hosts["m1"])[taken.name] == "reachable"
    assert ask(taken, "GET", "/swarm/unlockkey")["UnlockKey"] == lab.unlock_key

    # the manifest says which key opens the archive, without saying the key
    (archive,) = archives(taken)
    manifest = manifest_of(taken, archive)
    digest = hashlib.sha256(b"quorate.swarm unlock key\0" + forms["raw"]).hexdigest()
    assert (manifest["autolock"], manifest["unlock_key_fingerprint"]) == (True, f"uk1:{digest[:32]}")
    sealed = taken.run(f"tar xzOf {archive} swarm/certificates/swarm-node.key").stdout
    assert "-----BEGIN ENCRYPTED PRIVATE KEY-----" in sealed
    assert f"kek-version: {manifest['kek_version']}\n" in sealed

    # it is in nothing that was printed, returned, kept in a variable or archived
    assert taken.name in summary(run)[0]
    assert manifest["unlock_key_fingerprint"] in run.stdout, "the manifest is not among what was shown"
    unpacked = subprocess.run(
        ["gunzip", "--stdout", collected / Path(archive).name], check=True, stdout=subprocess.PIPE
    )
    for name, form in forms.items():
        assert form not in (run.stdout + run.stderr).encode(), name
        assert form not in unpacked.stdout, name


def test_archive_is_known_with_its_key_only(lab: Lab, module: RunModule) -> None:
    """Down to every record, and the key is told to be the one that the swarm itself would tell."""
    assert lab.unlock_key
    host = next(host for host in lab.hosts.values() if archives(host))
    (archive,) = archives(host)
    options: dict[str, Any] = {"archive": archive, "level": "raft"}
    (entry,) = module(lab, host.name, "swarm_backup_info", unlock_keys=[lab.unlock_key], **options)["archives"]
    assert (entry["good"], entry["problem"], entry["unlock_key_is_current"]) == (True, None, True)
    assert len(entry["inventory"]["nodes"]) == len(lab.hosts)
    (entry,) = module(lab, host.name, "swarm_backup_info", **options)["archives"]
    assert (entry["good"], "inventory" in entry) == (False, False)
    assert f"with fingerprint {entry['manifest']['unlock_key_fingerprint']} in unlock_keys" in entry["problem"]


def test_locked_manager_is_refused(lab: Lab, module: RunModule, playbook: RunPlaybook) -> None:
    host = lab.hosts["m3"]
    host.run("systemctl stop docker.socket docker.service && systemctl start docker.service")
    assert ask(host, "GET", "/info")["Swarm"]["LocalNodeState"] == "locked"
    with untouched(host):
        result = module(lab, "m3", "swarm_backup")
    assert (result.get("failed"), result.get("error")) == (True, "locked")
    assert "Unlock it with its unlock key" in result["msg"]
    # two of three are left, so no other may be stopped either
    with untouched(*lab.hosts.values()):
        run = playbook(lab, "backup", check_rc=False)
    assert run.rc != 0
    (line,) = summary(run)
    assert "1 of 3 managers are reachable, 2 are needed" in line
    assert ask(host, "POST", "/swarm/unlock", {"UnlockKey": lab.unlock_key}) in (None, "")
    wait_until_healthy(host)


def test_key_that_would_not_open_the_manager(lab: Lab, module: RunModule) -> None:
    """The rotation of the key has not arrived on this manager's disk; stopped, it would stay locked."""
    host = lab.hosts["m3"]
    path = "/var/lib/docker/swarm/certificates/swarm-node.key"
    host.run(["cp", "-p", path, "/root/old.key"])
    manager = lab.hosts["m1"]
    swarm = ask(manager, "GET", "/swarm")
    ask(
        manager, "POST", f"/swarm/update?version={swarm['Version']['Index']}&rotateManagerUnlockKey=true", swarm["Spec"]
    )
    wait_until(
        lambda: host.run(["cmp", path, "/root/old.key"], check=False).returncode != 0, timeout=30, what="the new key"
    )
    host.run(f"cp -p {path} /root/new.key && cp -p /root/old.key {path}")
    with untouched(host, directory=DIRECTORY):
        result = module(lab, "m3", "swarm_backup")
    assert (result.get("failed"), result.get("error")) == (True, "refused")
    assert "the last rotation has not arrived here yet" in result["msg"]
    host.run(["cp", "-p", "/root/new.key", path])
