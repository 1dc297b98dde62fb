# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive
from ansible_collections.quorate.swarm.plugins.module_utils._manifest import (
    archive_name,
    check_manifest,
    cluster_of_name,
    parse_manifest,
    time_of_name,
)

MANIFEST: dict[str, Any] = {
    "schema": 1,
    "created": "2026-11-23T14:05:06Z",
    "method": "cold",
    "collection_version": "0.1.0",
    "cluster": {"id": "clusterid", "root_ca_sha256": "a" * 64, "root_ca_expires": "2046-11-18T14:00:00Z"},
    "node": {
        "id": "nodeid",
        "hostname": "m1.example",
        "address": "192.0.2.11",
        "advertise_address": "192.0.2.11:2377",
        "certificate_expires": "2027-02-21T14:00:00Z",
    },
    "engine": {"version": "28.5.2"},
    "autolock": True,
    "unlock_key_fingerprint": "uk1:" + "0" * 32,
    "kek_version": 18,
    "raft": {"term": 2, "commit_index": 190, "last_index": 190, "snapshot_index": 0},
    "inventory": {
        "nodes": [{"id": "nodeid", "hostname": "m1", "role": "manager", "address": "192.0.2.11"}],
        "services": [{"id": "s1", "name": "web"}],
        "networks": [],
        "secrets": [],
        "configs": [],
    },
    "files": {"swarm/docker-state.json": {"size": 3, "sha256": "b" * 64, "mode": "0600"}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    manifest = copy.deepcopy(MANIFEST)
    *parents, last = path.split(".")
    place = manifest
    for parent in parents:
        place = place[parent]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return manifest


def test_valid_manifest_is_returned_as_it_is() -> None:
    assert parse_manifest(json.dumps(MANIFEST).encode()) == MANIFEST


def test_unknown_fields_are_left_alone() -> None:
    assert check_manifest(changed("cluster.colour", "green"))["cluster"]["colour"] == "green"


def test_without_autolock_there_is_no_fingerprint() -> None:
    manifest = changed("autolock", False)
    with pytest.raises(BadArchive, match="contradicts itself"):
        check_manifest(manifest)
    manifest["unlock_key_fingerprint"] = None
    check_manifest(manifest)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[]", b"{}", b"[" * 200_000, b'{"schema": "1"}', b'{"schema": true}']
)
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(BadArchive, match=r"not JSON|not a manifest"):
        parse_manifest(data)


def test_manifest_of_another_schema_says_so() -> None:
    with pytest.raises(BadArchive, match="schema 2") as caught:
        check_manifest({"schema": 2})
    assert "newer" in caught.value.remedy


FIELDS = [
    "created",
    "method",
    "cluster",
    "cluster.id",
    "node.certificate_expires",
    "engine.version",
    "autolock",
    "unlock_key_fingerprint",
    "kek_version",
    "raft.commit_index",
    "inventory.secrets",
]


@pytest.mark.parametrize("path", FIELDS)
def test_missing_field_is_named(path: str) -> None:
    with pytest.raises(BadArchive, match=f"has no {path}"):
        check_manifest(changed(path, KeyError))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("created", "2026-11-23 14:05:06"),
        ("method", "warm"),
        ("cluster.id", ""),
        ("cluster.id", "../x"),
        ("cluster.root_ca_sha256", "A" * 64),
        ("node.hostname", None),
        ("autolock", 1),
        ("unlock_key_fingerprint", "SWMKEY"),
        ("kek_version", -1),
        ("kek_version", True),
        ("raft.term", "2"),
        ("inventory.nodes", {}),
        ("inventory.nodes", [{"name": "x"}]),
        ("inventory.nodes", ["x"]),
    ],
)
def test_field_of_another_form_is_named(path: str, value: Any) -> None:
    with pytest.raises(BadArchive, match=f"invalid {path}"):
        check_manifest(changed(path, value))


@pytest.mark.parametrize(
    ("files", "cause"),
    [
        ({}, "lists no files"),
        ([], "lists no files"),
        ({"docker-state.json": {}}, "outside swarm/"),
        ({"swarm/../x": {}}, "outside swarm/"),
        ({"swarm/": {}}, "outside swarm/"),
        ({"swarm/x": None}, "no valid size"),
        ({"swarm/x": {"size": -1, "sha256": "b" * 64, "mode": "0600"}}, "no valid size"),
        ({"swarm/x": {"size": 1, "sha256": "b", "mode": "0600"}}, "no valid sha256"),
        ({"swarm/x": {"size": 1, "sha256": "b" * 64, "mode": "4755"}}, "no valid mode"),
    ],
)
def test_files_of_another_form_are_named(files: Any, cause: str) -> None:
    with pytest.raises(BadArchive, match=cause):
        check_manifest(changed("files", files))


def test_archive_name_and_back() -> None:
    name = archive_name(cluster="blue", node="m1.example", created=MANIFEST["created"])
    assert name == "swarm_blue_m1.example_20261123T140506Z.tar.gz"
    assert time_of_name(name) == MANIFEST["created"]
    assert cluster_of_name(name) == "blue"


def test_archive_name_takes_no_separator_from_outside() -> None:
    name = archive_name(cluster="a_b/c", node="", created=MANIFEST["created"])
    assert name == "swarm_a-b-c_-_20261123T140506Z.tar.gz"
    assert time_of_name(name)


@pytest.mark.parametrize(
    "name", ["swarm.tar.gz", "swarm_a_b_20261123T140506Z.tgz", ".swarm_a_b_20261123T140506Z.tar.gz.x.partial", "x"]
)
def test_other_file_names(name: str) -> None:
    assert time_of_name(name) is None
    assert cluster_of_name(name) is None
