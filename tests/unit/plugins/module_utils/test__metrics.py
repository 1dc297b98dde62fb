# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written for Prometheus, and that the alerts, the dashboard and the documentation speak of what is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._metrics import HELP, prometheus_metrics

COLLECTION = Path(__file__).resolve().parents[4]
MEMBER = {
    "node_id": "id-m1",
    "hostname": 'the "first"\n',
    "is_manager": True,
    "reachable": True,
    "leader": False,
    "certificate_expires": "1970-01-02T00:00:00Z",
    "state_size": 64,
    "free": 1000,
    "snapshot_size": 0,
    "raft_index": 42,
}
SWARM: dict[str, Any] = {
    "cluster_id": "blue",
    "findings": [{"severity": "error"}, {"severity": "error"}, {"severity": "info"}],
    "quorum": {"leader": "id-m2", "managers": 3, "reachable": 2, "can_lose": 0, "fault_tolerance": 1},
    "autolock": True,
    "root_ca_expires": "1970-01-01T00:01:00Z",
    "nodes": {"ready": 3, "down": 1},
    "services": 7,
    "services_below": 1,
    "newest_archive": {"created": "1970-01-01T00:00:05Z", "size": 9},
    "members": [MEMBER, {**MEMBER, "node_id": "id-w1", "hostname": "w1", "is_manager": False}],
}
ARCHIVE: dict[str, Any] = {
    "good": True,
    "manifest": {"cluster": {"id": "blue"}, "created": "1970-01-01T00:00:05Z"},
    "boot": {"steps": [{"seconds": 1.5}, {"seconds": 2}]},
}


def samples(result: Any, kind: str) -> dict[str, str]:
    """The samples of all files, without what each begins with."""
    found: dict[str, str] = {}
    for file in prometheus_metrics(result, kind, now=100.0):
        for line in file["text"].splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                assert name not in found
                found[name.replace("quorate_swarm_", "").replace('cluster_id="blue"', "blue")] = value
    return found


def test_health() -> None:
    (file,) = prometheus_metrics({"swarms": [SWARM]}, "health", now=100.0)
    assert file["file"] == "quorate_swarm_health_blue.prom"
    assert file["text"].endswith("\n")
    assert file["text"].count("# TYPE quorate_swarm_findings gauge\n") == 1
    node = 'blue,node_id="id-m1",hostname="the \\"first\\"\\n"'
    other = 'blue,node_id="id-w1",hostname="w1"'
    assert samples({"swarms": [SWARM]}, "health") == {
        "health_timestamp_seconds{blue}": "100.0",
        'findings{blue,severity="error"}': "2",
        'findings{blue,severity="warning"}': "0",
        'findings{blue,severity="info"}': "1",
        "has_leader{blue}": "1",
        "managers{blue}": "3",
        "managers_reachable{blue}": "2",
        "managers_may_fail{blue}": "0",
        "fault_tolerance{blue}": "1",
        "autolock{blue}": "1",
        "root_ca_expiry_timestamp_seconds{blue}": "60",
        'nodes{blue,state="down"}': "1",
        'nodes{blue,state="ready"}': "3",
        "services{blue}": "7",
        "services_below_replicas{blue}": "1",
        "newest_archive_timestamp_seconds{blue}": "5",
        "newest_archive_size_bytes{blue}": "9",
        f"manager_reachable{{{node}}}": "1",
        f"manager_leader{{{node}}}": "0",
        f"certificate_expiry_timestamp_seconds{{{node}}}": "86400",
        f"certificate_expiry_timestamp_seconds{{{other}}}": "86400",
        f"state_directory_size_bytes{{{node}}}": "64",
        f"state_directory_size_bytes{{{other}}}": "64",
        f"state_directory_free_bytes{{{node}}}": "1000",
        f"state_directory_free_bytes{{{other}}}": "1000",
        f"raft_snapshot_size_bytes{{{node}}}": "0",
        f"raft_index{{{node}}}": "42",
    }


def test_what_is_not_known_is_left_out() -> None:
    """Nobody knows who is reachable when the quorum is lost. That there is no leader is known."""
    lost = {**SWARM, "quorum": None, "autolock": None, "root_ca_expires": None, "nodes": {}, "newest_archive": None}
    found = samples({"swarms": [{**lost, "members": []}]}, "health")
    assert {name for name in found if not name.startswith("findings")} == {
        "health_timestamp_seconds{blue}",
        "has_leader{blue}",
    }
    assert found["has_leader{blue}"] == "0"


def test_backup() -> None:
    result = {"manifest": ARCHIVE["manifest"], "size": 9, "downtime": 3.14159, "steps": ARCHIVE["boot"]["steps"]}
    copies = [{"target": "/srv on store", "problem": None}, {"target": "restic", "problem": "Could not copy"}]
    assert samples({**result, "copies": copies}, "backup") == {
        "last_backup_timestamp_seconds{blue}": "5",
        "last_backup_size_bytes{blue}": "9",
        "backup_duration_seconds{blue}": "3.5",
        'backup_copied{blue,target="/srv on store"}': "1",
        'backup_copied{blue,target="restic"}': "0",
        "manager_downtime_seconds{blue}": "3.142",
    }


def test_a_drill_is_told_and_kept_by_verifications_of_less() -> None:
    """Each level has a file of its own, so that a verification of files does not make anybody forget the drill."""
    older = {**ARCHIVE, "manifest": {**ARCHIVE["manifest"], "created": "1970-01-01T00:00:01Z"}}
    bad = {"good": False, "manifest": None}
    drill = {"level": "boot", "archives": [older, ARCHIVE, bad]}
    assert [file["file"] for file in prometheus_metrics(drill, "verify")] == ["quorate_swarm_verify_boot_blue.prom"]
    assert samples(drill, "verify") == {
        'last_verification_timestamp_seconds{blue,level="boot"}': "100.0",
        'last_verified_archive_timestamp_seconds{blue,level="boot"}': "5",
        "last_drill_timestamp_seconds{blue}": "100.0",
        "drill_duration_seconds{blue}": "3.5",
    }
    plain = {"level": "files", "archives": [{**ARCHIVE, "boot": None}]}
    assert list(samples(plain, "verify")) == [
        'last_verification_timestamp_seconds{blue,level="files"}',
        'last_verified_archive_timestamp_seconds{blue,level="files"}',
    ]
    assert prometheus_metrics({"level": "files", "archives": [bad]}, "verify") == []


def test_every_metric_is_written_by_some_run() -> None:
    runs = (({"swarms": [SWARM]}, "health"), ({"level": "boot", "archives": [ARCHIVE]}, "verify"))
    backup = {"manifest": ARCHIVE["manifest"], "size": 9, "downtime": 3, "steps": []}
    backup["copies"] = [{"target": "restic", "problem": None}]
    found = [name for result, kind in (*runs, (backup, "backup")) for name in samples(result, kind)]
    assert {name.partition("{")[0] for name in found} == set(HELP)


def test_another_kind_is_refused() -> None:
    with pytest.raises(Refused, match="there is no kind party"):
        prometheus_metrics({}, "party")


@pytest.mark.parametrize("name", ["docs/metrics/alerts.yml", "docs/metrics/dashboard.json", "docs/metrics.md"])
def test_what_is_documented_is_written(name: str) -> None:
    text = (COLLECTION / name).read_text(encoding="utf-8")
    used = set(re.findall(r"\bquorate_swarm_([a-z_]+[a-z])\b", text)) - {"health"}
    assert used - set(HELP) == set()
    if name.endswith(".md"):
        assert [help_text for help_text in HELP.values() if f"| {help_text} |" not in text] == []
        assert used == set(HELP)
