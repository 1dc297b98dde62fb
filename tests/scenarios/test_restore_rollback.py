# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore over a swarm that serves: whatever goes wrong after the stop, the old swarm serves again.

The old state and the archive are of one and the same autolocked manager. What tells them apart is a config that was
created after the backup: it is there as long as, and whenever again, the old state is.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import create_service, engine_started, is_healthy, meanwhile, modules, node_id, nodes
from helpers.restore import (
    STATE,
    entries,
    fetch,
    give,
    identity,
    leftovers,
    local,
    pack,
    running_tasks,
    switch,
    unlock,
    unpack,
    with_file,
    with_manifest,
)
from helpers.runner import RunModule

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

BROKEN_START = "/etc/systemd/system/docker.service.d/quorate-test.conf"


@dataclass(frozen=True)
class Scene:
    """A swarm of one manager that serves, an older archive of it, and one of when it had two managers.

    From the older one a manager comes up leading, from the other one a new cluster has to be forced.
    """

    lab: Lab
    host: Host
    key: str = field(repr=False)
    archive: Path
    archive_of_two: Path
    node: str
    identity: dict[str, Any]


@pytest.fixture(scope="module")
def scene(lab_factory: LabFactory, module: RunModule, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    lab = lab_factory(2, 0, autolock=True)
    host, key, directory = lab.host("m2"), lab.unlock_key, tmp_path_factory.mktemp("archives")
    assert key

    def back_up(method: str) -> Path:
        backup = module(lab, "m2", "swarm_backup", method=method, allow_control_plane_outage=True)
        return fetch(host, backup["archive"], directory)

    archive_of_two = back_up("hot")
    host.docker("node", "demote", "m1")
    wait_until(lambda: is_healthy(host) and nodes(host)["m1"] == "ready", timeout=90, what="m1 as a worker")
    lab.rm("m1")
    host.docker("node", "rm", "--force", "m1")
    create_service(host, "web")
    archive = back_up("cold")
    host.run(["docker", "config", "create", "after-the-backup", "-"], input="new")
    return Scene(lab, host, key, archive, archive_of_two, node_id(host), identity(host))


def serves(scene: Scene) -> bool:
    """Whether the old swarm is what it was, and its service runs."""
    return (
        is_healthy(scene.host)
        and node_id(scene.host) == scene.node
        and nodes(scene.host) == {"m2": "leader"}
        and identity(scene.host) == scene.identity
        and len(running_tasks(scene.host, scene.node)) == 1
    )


def assert_nothing_left(host: Host) -> None:
    assert leftovers(host) == []
    assert switch(host) == ""
    assert "ENCRYPTED" in (host.docker_directory / "swarm/certificates/swarm-node.key").read_text()


@pytest.fixture
def broken_start(scene: Scene) -> Iterator[None]:
    """The engine starts from the old state only: it wants a file that is there and not in the archive."""
    scene.host.run(f"touch {STATE}/marker && mkdir -p {os.path.dirname(BROKEN_START)}")
    scene.host.run(["tee", BROKEN_START], input=f"[Service]\nExecStartPre=/usr/bin/test -e {STATE}/marker\n")
    scene.host.run("systemctl daemon-reload")
    yield
    scene.host.run(f"rm {BROKEN_START} {STATE}/marker && systemctl daemon-reload")


def unforceable(scene: Scene, directory: Path) -> Path:
    """The archive of two, with a data path on an interface that is not there: the engine starts, and refuses to force a new
    cluster."""
    members = unpack(scene.archive_of_two)
    name = "swarm/docker-state.json"
    content = next(json.loads(content) for info, content in members if info.name == name)
    content["DataPathAddr"] = "nowhere0"
    pack(with_file(members, name, json.dumps(content).encode()), directory / "unforceable.tar.gz")
    return directory / "unforceable.tar.gz"


def promising(scene: Scene, directory: Path) -> Path:
    """The archive, with a service in its manifest that is not in its state."""
    more = {"id": "z" * 25, "name": "lost-service"}
    members = with_manifest(unpack(scene.archive), lambda manifest: manifest["inventory"]["services"].append(more))
    pack(members, directory / "promising.tar.gz")
    return directory / "promising.tar.gz"


def restore(scene: Scene, module: RunModule, archive: Path, **options: Any) -> dict[str, Any]:
    path = give(archive, scene.host)
    return module(scene.lab, "m2", "swarm_restore", archive=path, unlock_key=scene.key, replace_state=True, **options)


def assert_rolled_back(scene: Scene, result: dict[str, Any], *, error: str, words: tuple[str, ...]) -> None:
    assert result["failed"], result
    assert result["error"] == error, result
    assert [word for word in words if word not in result["msg"]] == [], result["msg"]
    assert "Everything was put back as it was, and the engine runs on the old state" in result["msg"]
    assert result["error_details"]["rolled_back"] is True
    assert_nothing_left(scene.host)
    wait_until(lambda: serves(scene), timeout=90, what="the old swarm to serve")


@pytest.mark.usefixtures("broken_start")
def test_engine_does_not_start(scene: Scene, module: RunModule) -> None:
    result = restore(scene, module, scene.archive)
    assert_rolled_back(scene, result, error="daemon_failed", words=("Could not start docker", "journalctl -u docker"))


def test_new_cluster_is_refused(scene: Scene, module: RunModule, tmp_path: Path) -> None:
    result = restore(scene, module, unforceable(scene, tmp_path))
    words = ("Could not force a new cluster on this manager", "the engine answered 4")
    assert_rolled_back(scene, result, error="engine_error", words=words)


def test_manifest_promises_more_than_the_raft_store_has(scene: Scene, module: RunModule, tmp_path: Path) -> None:
    """Nothing has to be put back, because it is seen before the engine is stopped."""
    started = engine_started(scene.host)
    result = restore(scene, module, promising(scene, tmp_path))
    assert result["failed"] and result["error"] == "bad_archive", result
    assert f"the service lost-service ({'z' * 25}) of the manifest is not in it" in result["msg"]
    assert engine_started(scene.host) == started
    assert_nothing_left(scene.host)
    assert serves(scene)


@pytest.mark.alone
def test_module_is_killed(scene: Scene, module: RunModule) -> None:
    """Right after the swap. The host puts everything back by itself, and leaves an autolocked manager locked."""
    before = entries(scene.host.docker_directory / "swarm", live=True)
    began = time.monotonic()
    with meanwhile(lambda: restore(scene, module, scene.archive, dead_man_timeout=15)) as result:
        wait_until(
            lambda: any(name.startswith("swarm.quarantine-") for name in leftovers(scene.host)),
            timeout=30,
            interval=0.002,
            what="the swap",
        )
        for process in modules(scene.host):
            os.kill(process, signal.SIGKILL)
        assert result()["failed"]
    assert switch(scene.host)
    wait_until(lambda: leftovers(scene.host) == [], timeout=40, what="the dead man's switch")
    wait_until(lambda: switch(scene.host) == "", timeout=20, what="the end of the dead man's switch")
    assert 15 < time.monotonic() - began < 40
    assert entries(scene.host.docker_directory / "swarm", live=True) == before
    assert local(scene.host)["LocalNodeState"] == "locked"
    unlock(scene.host, scene.key)
    wait_until(lambda: serves(scene), timeout=90, what="the old swarm to serve")
    assert_nothing_left(scene.host)


def test_older_archive_replaces_a_healthy_swarm(scene: Scene, module: RunModule) -> None:
    old = entries(scene.host.docker_directory / "swarm", live=True)
    result = restore(scene, module, scene.archive)
    assert not result.get("failed"), result
    assert result["node_id"] == scene.node
    assert result["difference"] == {}
    restored = identity(scene.host)
    assert restored == {**scene.identity, "configs": []}
    assert [config["name"] for config in scene.identity["configs"]] == ["after-the-backup"]
    quarantine = Path(result["quarantine"])
    assert leftovers(scene.host) == [quarantine.name]
    assert entries(scene.host.docker_directory / quarantine.name, live=True) == old
    assert switch(scene.host) == ""
    wait_until(lambda: len(running_tasks(scene.host, scene.node)) == 1, timeout=90, what="the service to run again")


def test_fresh_host_is_fresh_again(scene: Scene, module: RunModule, tmp_path: Path) -> None:
    """The last test here: the swarm is lost, and its restore on a fresh host fails."""
    scene.lab.rm(scene.host.name)
    fresh = scene.lab.add("fresh", address=scene.host.address)
    before = entries(fresh.docker_directory / "swarm")
    archive = give(unforceable(scene, tmp_path), fresh)
    result = module(scene.lab, "fresh", "swarm_restore", archive=archive, unlock_key=scene.key)
    assert result["error"] == "engine_error" and result["error_details"]["rolled_back"], result
    assert entries(fresh.docker_directory / "swarm") == before
    assert (leftovers(fresh), switch(fresh)) == ([], "")
    assert local(fresh)["LocalNodeState"] == "inactive"
