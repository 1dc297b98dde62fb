# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._model import (
    STATES,
    Cluster,
    Inventory,
    Item,
    LocalState,
    Node,
    Service,
    find_nodes,
    host_of,
    inventory_difference,
    inventory_of,
    version_tuple,
)
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    ENGINES,
    LOCKED,
    NO_DECISION,
    NO_LEADER,
    api_info,
    api_node,
    recorded,
)


def body(version: str, state: str, path: str) -> Any:
    answer = recorded(version, state)[path]
    assert isinstance(answer, list)
    return answer[1]


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.0.0.1:2377", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("[fd00::1]:2377", "fd00::1"),
        ("fd00::1", "fd00::1"),
        ("m1.example.com:2377", "m1.example.com"),
        ("", ""),
    ],
)
def test_host_of(address: str, host: str) -> None:
    assert host_of(address) == host


@pytest.mark.parametrize("version", ENGINES)
@pytest.mark.parametrize(
    ("recording", "state"),
    [
        ("leader", "manager"),
        ("follower", "manager"),
        ("worker", "worker"),
        ("inactive", "inactive"),
        ("locked", "locked"),
        ("one_unreachable", "manager"),
        ("quorum_lost_unnoticed", "manager"),
        ("quorum_lost", "quorum_lost"),
    ],
)
def test_recorded_states(version: str, recording: str, state: str) -> None:
    assert LocalState.from_info(body(version, recording, "/info")).state == state


@pytest.mark.parametrize(
    ("state", "control", "error", "word"),
    [
        ("inactive", False, "", "inactive"),
        ("locked", False, LOCKED, "locked"),
        ("error", False, "manager stopped: can't initialize raft node", "error"),
        ("pending", False, "", "pending"),
        ("pending", True, "", "pending"),
        ("pending", True, NO_LEADER, "quorum_lost"),
        ("active", True, NO_LEADER, "quorum_lost"),
        ("active", True, NO_DECISION, "unsettled"),
        ("active", True, "", "manager"),
        ("active", False, "", "worker"),
    ],
)
def test_state(state: str, control: bool, error: str, word: str) -> None:
    assert LocalState.from_info(api_info(state=state, control=control, error=error)).state == word
    assert word in STATES


def test_local_state_of_an_engine_that_says_nothing_of_a_swarm() -> None:
    local = LocalState.from_info({})
    assert local.state == "inactive"
    assert local.autolock is None
    assert local.remote_managers == ()


@pytest.mark.parametrize("version", ENGINES)
def test_local_state_of_a_manager(version: str) -> None:
    local = LocalState.from_info(body(version, "leader", "/info"))
    assert local.hostname == "m1"
    assert local.node_address == "10.82.0.11"
    assert local.autolock is False
    assert (local.managers, local.nodes) == (3, 4)
    assert sorted(address for dummy, address in local.remote_managers) == [
        "10.82.0.11:2377",
        "10.82.0.12:2377",
        "10.82.0.13:2377",
    ]
    assert local.engine_version.startswith(version)
    assert local.root_dir == "/var/lib/docker"


@pytest.mark.parametrize("version", ENGINES)
def test_nodes(version: str) -> None:
    nodes = {node.hostname: node for node in map(Node.from_api, body(version, "one_unreachable", "/nodes"))}
    leader, lost, worker = (nodes[name].manager for name in ("m1", "m3", "w1"))
    assert leader is not None and lost is not None
    assert (leader.leader, leader.reachable, leader.address) == (True, True, "10.82.0.11:2377")
    assert (lost.leader, lost.reachable) == (False, False)
    assert worker is None
    assert nodes["w1"].role == "worker"
    assert nodes["w1"].state == "ready"
    assert nodes["w1"].engine_version.startswith(version)


def test_node_without_anything_but_an_id() -> None:
    node = Node.from_api({"ID": "x"})
    assert (node.role, node.availability, node.state, node.manager) == ("worker", "active", "unknown", None)
    assert node.name == "x"
    assert node.as_dict()["manager"] is None


def test_node_name_has_host_name_and_id() -> None:
    assert Node.from_api(api_node("m1")).name == "m1 (id-m1)"


def test_service_modes() -> None:
    modes = [
        Service.from_api({"ID": "s", "Spec": {"Name": "web", "Mode": {mode: {}}}}).mode
        for mode in ("Replicated", "Global", "ReplicatedJob", "GlobalJob")
    ]
    assert modes == ["replicated", "global", "replicated_job", "global_job"]


@pytest.mark.parametrize("version", ENGINES)
def test_services(version: str) -> None:
    services = {
        service.name: service for service in map(Service.from_api, body(version, "leader", "/services?status=true"))
    }
    assert (services["web"].mode, services["web"].desired, services["web"].running) == ("replicated", 2, 2)
    assert (services["agent"].mode, services["agent"].desired, services["agent"].running) == ("global", 4, 4)


def test_service_of_an_engine_that_gives_no_counts() -> None:
    service = Service.from_api({"ID": "s", "Spec": {"Name": "web", "Mode": {"Replicated": {"Replicas": 2}}}})
    assert (service.desired, service.running) == (None, None)


@pytest.mark.parametrize(
    ("api", "item"),
    [
        ({"ID": "i", "Spec": {"Name": "n", "Data": "c2VjcmV0"}}, Item("i", "n")),
        ({"Id": "i", "Name": "n"}, Item("i", "n")),
    ],
)
def test_item_has_no_content(api: dict[str, Any], item: Item) -> None:
    assert Item.from_api(api) == item


@pytest.mark.parametrize("version", ENGINES)
def test_cluster_has_no_secrets(version: str) -> None:
    cluster = Cluster.from_api(body(version, "leader", "/swarm"))
    assert "SWMTKN" not in repr(cluster)
    assert cluster.autolock is False
    assert cluster.root_ca.startswith("-----BEGIN CERTIFICATE-----")
    assert cluster.data_path_port == 4789
    assert cluster.default_address_pool == ("10.0.0.0/8",)
    assert cluster.subnet_size == 24
    assert cluster.spec["task_history_limit"] == 5
    assert cluster.spec["raft"]["SnapshotInterval"] == 10000
    assert cluster.spec["node_certificate_expiry"] == 7776000000000000


def test_external_ca_options_are_left_out_of_the_spec() -> None:
    ca = {"Protocol": "cfssl", "URL": "https://ca", "Options": {"token": "hidden"}, "CACert": ""}
    cluster = Cluster.from_api({"ID": "c", "Spec": {"CAConfig": {"ExternalCAs": [ca]}}})
    assert cluster.spec["external_cas"] == [{"protocol": "cfssl", "url": "https://ca"}]


def inventory(*names: str, version: int = 7) -> Inventory:
    return inventory_of(
        nodes=[Node.from_api(api_node("m1", role="manager")), Node.from_api(api_node("w1", address="10.0.0.9"))],
        services=[{"ID": f"id-{name}", "Spec": {"Name": name}, "Version": {"Index": version}} for name in names],
        networks=[{"Id": "n1", "Name": "overlay", "Scope": "swarm"}, {"Id": "n2", "Name": "bridge", "Scope": "local"}],
        secrets=[],
        configs=[],
    )


def test_inventory_has_swarm_networks_only_and_is_sorted_by_id() -> None:
    assert inventory("web", "api").as_dict() == {
        "nodes": [
            {"id": "id-m1", "hostname": "m1", "role": "manager", "address": "10.0.0.1", "version": 10},
            {"id": "id-w1", "hostname": "w1", "role": "worker", "address": "10.0.0.9", "version": 10},
        ],
        "services": [{"id": "id-api", "name": "api", "version": 7}, {"id": "id-web", "name": "web", "version": 7}],
        "networks": [{"id": "n1", "name": "overlay"}],
        "secrets": [],
        "configs": [],
    }


def test_equal_inventories_do_not_differ() -> None:
    assert inventory_difference(inventory("web").as_dict(), inventory("web").as_dict()) == {}


def test_inventory_difference() -> None:
    difference = inventory_difference(inventory("web", "api").as_dict(), inventory("web", "db").as_dict())
    assert difference == {
        "services": {
            "missing": [{"id": "id-api", "name": "api", "version": 7}],
            "added": [{"id": "id-db", "name": "db", "version": 7}],
            "older": [],
        }
    }


def test_an_older_version_differs_and_a_newer_one_does_not() -> None:
    old, new = inventory("web").as_dict(), inventory("web", version=9).as_dict()
    assert inventory_difference(old, new) == {}
    assert inventory_difference(new, old) == {
        "services": {"missing": [], "added": [], "older": [{"id": "id-web", "name": "web", "version": 7}]}
    }


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("20.10.24+dfsg1", (20, 10, 24)),
        ("28.5.2", (28, 5, 2)),
        ("26.1.5-ce", (26, 1, 5)),
        ("24.0.0~rc1", (24, 0, 0)),
        ("27.x", (27,)),
        ("", ()),
    ],
)
def test_version_tuple(version: str, numbers: tuple[int, ...]) -> None:
    assert version_tuple(version) == numbers


@pytest.mark.parametrize(
    ("wanted", "found"), [("id-a", ["id-a"]), ("twin", ["id-a", "id-b"]), ("single", ["id-c"]), ("gone", [])]
)
def test_find_nodes(wanted: str, found: list[str]) -> None:
    nodes = [
        Node.from_api(api_node("a", hostname="twin")),
        Node.from_api(api_node("b", hostname="twin")),
        Node.from_api(api_node("c", hostname="single")),
    ]
    assert [node.id for node in find_nodes(nodes, wanted)] == found
