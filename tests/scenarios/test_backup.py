# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A swarm is backed up: the playbook as an operator runs it, what it leaves behind, and what a listing says of it."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import (
    DIRECTORY,
    archives,
    ask,
    changes,
    engine_started,
    fill,
    inventory_of,
    leader,
    manifest_of,
    node_id,
    nodes,
    summary,
    traces,
    untouched,
    without_versions,
)
from helpers.runner import AnsibleRun, RunModule, RunPlaybook

from quorate_lab import Host, Lab


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """A swarm with something to keep; every test leaves it healthy."""
    lab = lab_factory(managers=3, workers=1)
    fill(lab.hosts["m1"])
    return lab


def back_up(lab: Lab, playbook: RunPlaybook, variables: dict[str, Any], opened: Path) -> tuple[Host, AnsibleRun]:
    """Back a swarm up for the first time, hold everything against what the engines say, and return who was taken."""
    collected = Path(variables["backup_collect_to"])
    before = {name: engine_started(host) for name, host in lab.hosts.items()}
    first = leader(lab.hosts["m1"])
    run = playbook(lab, "backup", variables)

    # every manager is there again at the end, and the leader is the one it was
    standings = nodes(lab.hosts["m1"])
    assert standings.pop(first) == "leader"
    assert set(standings.values()) == {"reachable", "ready"}
    # one follower was restarted, and nothing else
    (taken,) = [host for name, host in lab.hosts.items() if engine_started(host) != before[name]]
    assert taken.name in {"m1", "m2", "m3"} - {first}

    (archive,) = archives(taken)
    modes = taken.run(["stat", "--format=%a %U", DIRECTORY, archive]).stdout.split("\n")
    assert modes[:2] == ["700 root", "600 root"]
    assert traces(taken) == []

    # the copy on the controller is the archive, and as private
    (copy,) = collected.iterdir()
    assert copy.name == Path(archive).name
    assert (copy.stat().st_mode & 0o777, collected.stat().st_mode & 0o777) == (0o600, 0o700)
    checksum = hashlib.sha256(copy.read_bytes()).hexdigest()
    assert taken.run(["sha256sum", archive]).stdout.split()[0] == checksum

    manifest = manifest_of(taken, archive)
    # it is that of the raft store, and so has the versions of networks too, which the API does not tell
    assert all(entry["version"] > 0 for entries in manifest["inventory"].values() for entry in entries)
    assert without_versions(manifest["inventory"]) == inventory_of(taken)
    secrets = {secret["ID"]: secret["Version"]["Index"] for secret in ask(taken, "GET", "/secrets")}
    assert {entry["id"]: entry["version"] for entry in manifest["inventory"]["secrets"]} == secrets
    assert manifest["node"]["id"] == node_id(taken)
    assert (manifest["node"]["hostname"], manifest["node"]["address"]) == (taken.name, taken.address)
    assert manifest["method"] == "cold"
    assert (manifest["autolock"], manifest["unlock_key_fingerprint"]) == (False, None)
    assert manifest["engine"]["version"].startswith(lab.engine)

    # plain tar opens it, and finds what the manifest promises
    listed = subprocess.run(["tar", "tzf", copy], check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
    assert listed[0] == "manifest.json"
    assert not [name for name in listed if name.endswith(".tmp")]
    opened.mkdir(mode=0o700)
    subprocess.run(["tar", "xzf", copy], cwd=opened, check=True)
    found = {
        str(path.relative_to(opened)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (opened / "swarm").rglob("*")
        if path.is_file()
    }
    assert found == {name: facts["sha256"] for name, facts in manifest["files"].items()}
    assert "swarm/certificates/swarm-node.key" in found
    assert [name for name in found if name.startswith("swarm/raft/wal-v3-encrypted/")]

    # one line tells it all
    (line,) = summary(run)
    told = re.fullmatch(
        rf"swarm {manifest['cluster']['id']} on {taken.name}: {archive} \(\d+\.\d\d MB, sha256 {checksum[:16]}…\), "
        rf"engine down for (\d+\.\d) s, [^,]+ in all, copied to {collected} on the controller",
        line,
    )
    assert told, line
    assert 0 < float(told[1]) < 30
    print(f"\nengine {lab.engine}: down for {told[1]} s")
    return taken, run


def test_playbook(lab: Lab, playbook: RunPlaybook, tmp_path: Path) -> None:
    collected = tmp_path / "archives"
    variables = {"backup_collect_to": str(collected), "backup_keep": 2, "backup_collect_keep": 2}
    taken, run = back_up(lab, playbook, variables, tmp_path / "opened")
    # files of others, which retention has to leave alone
    taken.run(["touch", f"{DIRECTORY}/notes.txt"])
    (collected / "notes.txt").touch()
    backed_up = "Back up this manager: copy its state while the engine is stopped, start it, then pack and verify"
    new = [backed_up, "Write the copy"]
    assert changes(run) == [backed_up, "Make the directory", "Write the copy"]

    made = set(archives(taken)) - {f"{DIRECTORY}/notes.txt"}
    (oldest,) = made
    for expected in (new, [*new, "Remove copies that no rule keeps"]):
        inventory = inventory_of(taken)
        run = playbook(lab, "backup", variables)
        # a new archive, its copy, and an old one less: nothing else changes from run to run
        assert changes(run) == expected
        assert inventory_of(taken) == inventory
        made |= {path for path in archives(taken) if path.endswith(".tar.gz")}
    assert len(made) == 3
    assert set(archives(taken)) == made - {oldest} | {f"{DIRECTORY}/notes.txt"}
    assert {path.name for path in collected.iterdir()} == {Path(path).name for path in archives(taken)}
    assert "1 older removed" in summary(run)[0]


def test_playbook_on_the_newest_engine(lab_factory: LabFactory, playbook: RunPlaybook, tmp_path: Path) -> None:
    with lab_factory(managers=3, workers=1, engine="28.5") as newest:
        fill(newest.hosts["m1"])
        back_up(newest, playbook, {"backup_collect_to": str(tmp_path / "archives")}, tmp_path / "opened")


def test_check_mode_changes_nothing(lab: Lab, playbook: RunPlaybook, tmp_path: Path) -> None:
    collected = tmp_path / "archives"
    with untouched(*lab.hosts.values()):
        run = playbook(lab, "backup", {"backup_collect_to": str(collected)}, args=["--check"])
    assert not collected.exists()
    (line,) = summary(run)
    assert re.fullmatch(rf"swarm \w+ on m\d: would be written to {DIRECTORY}/swarm_\w+_\d+T\d+Z\.tar\.gz", line), line


def test_hot_backup_does_not_stop_the_engine(lab: Lab, module: RunModule) -> None:
    host = lab.hosts["m3"]
    before = engine_started(host)
    result = module(lab, "m3", "swarm_backup", method="hot", directory="/srv/hot")
    assert not result.get("failed"), result
    assert engine_started(host) == before
    assert (result["manifest"]["method"], result["downtime"]) == ("hot", 0)
    assert archives(host, "/srv/hot") == [result["archive"]]
    # a running engine has the next segment of its log prepared, which is of no use
    assert host.run("ls /var/lib/docker/swarm/raft/wal-v3-encrypted/*.tmp").stdout
    assert ".tmp" not in host.run(["tar", "tzf", result["archive"]]).stdout
    assert traces(host) == []
    (listed,) = module(lab, "m3", "swarm_backup_info", archive=result["archive"])["archives"]
    assert listed["good"], listed
    assert listed["manifest"]["method"] == "hot"


def test_listing(lab: Lab, module: RunModule) -> None:
    """Newest first, and what is wrong with each."""
    host = lab.hosts["m3"]
    directory = "/srv/listed"
    result = module(lab, "m3", "swarm_backup", method="hot", directory=directory)
    source, created = result["archive"], result["manifest"]["created"]
    # of the same moment, so that the names decide
    short, flipped, foreign = (
        f"{directory}/swarm_x_{name}_20260101T000000Z.tar.gz" for name in ("short", "flipped", "foreign")
    )
    host.run(f"cp {source} {flipped} && head -c {result['size'] - 1000} {source} > {short} && echo hello > {foreign}")
    # one bit, behind the manifest and before the long rows of zeros, where a bit may make no difference
    flip = (
        "import sys; file = open(sys.argv[1], 'r+b'); at = int(sys.argv[2]); file.seek(at); byte = file.read(1)[0];"
        "file.seek(at); file.write(bytes([byte ^ 4]))"
    )
    host.run(["python3", "-c", flip, flipped, "20000"])
    assert host.run(["gzip", "--test", flipped], check=False).returncode != 0
    host.run(["touch", f"{directory}/notes.txt"])

    def listing(**options: Any) -> dict[str, str | None]:
        listed = module(lab, "m3", "swarm_backup_info", directory=directory, **options)["archives"]
        assert [entry["good"] for entry in listed] == [entry["problem"] is None for entry in listed]
        assert [entry["manifest"] and entry["manifest"]["created"] for entry in listed] == [created] * 3 + [None]
        return {entry["path"]: entry["problem"] for entry in listed}

    problems = listing()
    assert list(problems) == [*sorted((short, flipped, source), reverse=True), foreign]
    assert problems[source] is None
    told = {path: (problem or "").replace(path, "") for path, problem in problems.items() if path != source}
    assert "damaged or cut short" in told[short]
    assert "damaged" in told[flipped] or "SHA-256" in told[flipped]
    assert "not a tar file" in told[foreign]
    # without reading them to the end, only what is no archive at all is found
    assert [path for path, problem in listing(level="manifest").items() if problem] == [foreign]


def test_what_is_in_an_archive_is_told_where_no_swarm_is(lab: Lab, module: RunModule) -> None:
    """Of a backup and of a tar file made by hand of the same manager, both on a host that is no manager."""
    host, other = lab.hosts["m3"], lab.hosts["w1"]
    result = module(lab, "m3", "swarm_backup", method="hot", directory="/srv/told")
    host.run("tar -C /var/lib/docker -czf /srv/told/by-hand.tar.gz --exclude '*.tmp' swarm")
    for number, path in enumerate((result["archive"], "/srv/told/by-hand.tar.gz")):
        (other.disk / f"srv/archive-{number}").write_bytes((host.disk / path.lstrip("/")).read_bytes())
        listed = module(lab, "w1", "swarm_backup_info", archive=f"/srv/archive-{number}", level="raft")
        (entry,) = listed["archives"]
        assert entry["good"], entry["problem"]
        sizes = {item["name"]: item.pop("size") for kind in ("secrets", "configs") for item in entry["inventory"][kind]}
        assert sizes == {"password": len("not for everybody"), "settings": len("colour = blue")}
        assert without_versions(entry["inventory"]) == inventory_of(host)
        assert len(entry["managers"]) == 3
        assert len(entry["unknown"]) == number * 4
        assert entry["manifest"]["node"]["id"] == node_id(host)
        assert entry["warnings"] == []
    assert other.run("ls -d /root/.ansible/tmp/*/quorate-swarm-* 2>/dev/null || true").stdout == ""
