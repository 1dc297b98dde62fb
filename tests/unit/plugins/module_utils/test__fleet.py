# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _fleet as module
from ansible_collections.quorate.swarm.plugins.module_utils import _raft_store
from ansible_collections.quorate.swarm.plugins.modules import swarm_info
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi
from ansible_collections.quorate.swarm.tests.unit.fake_host import FakeHost, raft_contents, raft_position
from ansible_collections.quorate.swarm.tests.unit.plugins.conftest import Clock

UNREACHABLE: dict[str, Any] = {"unreachable": True, "msg": "Failed to connect to the host via ssh"}


def node(host: str, *, availability: str = "active", address: str = "", port: str = ":2377") -> dict[str, Any]:
    """An entry of the node list, as swarm_info returns it."""
    address = address or f"192.0.2.{host[1:]}"
    bracketed = f"[{address}]" if ":" in address else address
    return {
        "id": f"id-{host}",
        "hostname": host,
        "address": address,
        "availability": availability,
        "manager": {"address": bracketed + port, "reachability": "reachable", "leader": False},
    }


def manager(
    host: str,
    *,
    of: str = "blue",
    leader: bool = False,
    managers: int = 3,
    nodes: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """What swarm_info returns on a healthy manager."""
    return {
        "state": "manager",
        "cluster": {"id": of},
        "node": {"id": f"id-{host}", "is_leader": leader},
        "nodes": [node(f"{host[0]}{number}") for number in range(1, managers + 1)] if nodes is None else nodes,
        "quorum": {"managers": managers},
    }


def ill(state: str, *, of: str = "", host: str = "") -> dict[str, Any]:
    """What swarm_info returns on a host whose engine cannot tell its swarm, but whose disk can."""
    disk = {"cluster_id": of, "node_id": f"id-{host}"} if of else None
    return {"state": state, "cluster": None, "node": None, "state_directory": disk}


BLUE = {"m1": manager("m1", leader=True), "m2": manager("m2"), "m3": manager("m3")}


def chosen(plan: dict[str, Any]) -> dict[str, str]:
    return {swarm["cluster_id"]: swarm["host"] for swarm in plan["swarms"]}


def problems(plan: dict[str, Any]) -> list[str]:
    return [entry["problem"] for entry in (*plan["swarms"], *plan["others"]) if entry["problem"]]


# Whose host is it?


@pytest.mark.parametrize(
    ("info", "cluster", "own"),
    [
        (manager("m1"), "blue", "id-m1"),
        (ill("locked", of="blue", host="m1"), "blue", "id-m1"),
        (ill("daemon_down"), "", ""),
        (UNREACHABLE, "", ""),
        ({"failed": True, "msg": "broken"}, "", ""),
        ({**manager("m1"), "state_directory": {"cluster_id": "older", "node_id": "older"}}, "blue", "id-m1"),
    ],
)
def test_a_host_is_known_by_its_engine_and_else_by_its_disk(info: dict[str, Any], cluster: str, own: str) -> None:
    assert (module.cluster_of(info), module.node_of(info)) == (cluster, own)


@pytest.mark.parametrize(
    ("info", "state"),
    [
        (manager("m1"), "manager"),
        (ill("quorum_lost"), "quorum_lost"),
        (UNREACHABLE, "unreachable"),
        ({**manager("m1"), "unreachable": True}, "unreachable"),
        ({"failed": True}, "failed"),
        ({"failed": True, "state": "locked"}, "locked"),
    ],
)
def test_a_host_without_an_answer_is_not_one_without_a_swarm(info: dict[str, Any], state: str) -> None:
    assert module.state_of(info) == state


# Which managers are backed up


def test_the_first_follower_by_name_is_taken() -> None:
    plan = module.backup_plan(dict(reversed(list(BLUE.items()))))
    assert plan == {
        "swarms": [
            {
                "cluster_id": "blue",
                "host": "m2",
                "node_id": "id-m2",
                "is_leader": False,
                "peer": None,
                "hosts": ["m1", "m2", "m3"],
                "problem": None,
            }
        ],
        "others": [],
    }


def test_a_drained_follower_is_taken_before_one_with_tasks() -> None:
    nodes = [node("m1"), node("m2"), node("m3", availability="drain")]
    infos = {host: {**info, "nodes": nodes} for host, info in BLUE.items()}
    assert chosen(module.backup_plan(infos)) == {"blue": "m3"}


def test_a_follower_with_tasks_is_taken_before_a_drained_leader() -> None:
    nodes = [node("m1", availability="drain"), node("m2"), node("m3")]
    infos = {host: {**info, "nodes": nodes} for host, info in BLUE.items()}
    assert chosen(module.backup_plan(infos)) == {"blue": "m2"}


def test_each_swarm_of_the_inventory_is_backed_up_once() -> None:
    infos = {
        **BLUE,
        "n1": manager("n1", of="green", leader=True, managers=1, nodes=[node("n1")]),
        "o1": manager("o1", of="amber", leader=True, managers=2),
        "o2": manager("o2", of="amber", managers=2),
    }
    plan = module.backup_plan(infos)
    assert chosen(plan) == {"blue": "m2", "green": "n1", "amber": "o2"}
    assert problems(plan) == []


def test_the_only_manager_of_a_swarm_is_taken_although_it_leads() -> None:
    (swarm,) = module.backup_plan({"m1": manager("m1", leader=True, managers=1)})["swarms"]
    assert (swarm["host"], swarm["is_leader"], swarm["peer"], swarm["problem"]) == ("m1", True, None, None)


def test_the_named_hosts_are_taken_in_their_swarms_only() -> None:
    infos = {**BLUE, "n1": manager("n1", of="green", leader=True), "n2": manager("n2", of="green")}
    assert chosen(module.backup_plan(infos, named=["m3"])) == {"blue": "m3", "green": "n2"}


def test_of_two_named_hosts_of_one_swarm_one_is_taken() -> None:
    assert chosen(module.backup_plan(BLUE, named=["m3", "m1"])) == {"blue": "m3"}


@pytest.mark.parametrize(
    ("leader", "peer", "problem"),
    [
        ("refuse", "m2", "m1 is the leader; set backup_leader to step_down or stop to take it"),
        ("step_down", "m2", None),
        ("stop", None, None),
    ],
)
def test_a_named_leader(leader: str, peer: str | None, problem: str | None) -> None:
    (swarm,) = module.backup_plan(BLUE, named=["m1"], leader=leader)["swarms"]
    assert (swarm["host"], swarm["is_leader"], swarm["peer"], swarm["problem"]) == ("m1", True, peer, problem)


def test_where_only_the_leader_can_be_taken_it_is_refused_by_default() -> None:
    infos = {"m1": BLUE["m1"], "m2": ill("locked", of="blue", host="m2"), "m3": UNREACHABLE}
    (swarm,) = module.backup_plan(infos)["swarms"]
    assert swarm["host"] == "m1"
    assert swarm["problem"] == (
        "m1 is the leader and the only manager of its swarm that can be taken; "
        "set backup_leader to step_down or stop to take it"
    )


def test_a_leader_does_not_step_down_where_nobody_could_promote_it_again() -> None:
    infos = {"m1": BLUE["m1"], "m2": ill("locked", of="blue", host="m2")}
    (swarm,) = module.backup_plan(infos, leader="step_down")["swarms"]
    assert swarm["peer"] is None
    assert swarm["problem"] == "m1 is the leader, and no other manager of its swarm is there to promote it again"


@pytest.mark.parametrize("leader", ["refuse", "step_down", "stop"])
def test_the_leader_is_taken_only_where_there_is_no_follower(leader: str) -> None:
    assert chosen(module.backup_plan(BLUE, leader=leader)) == {"blue": "m2"}


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("daemon_down", "its engine is down"),
        ("locked", "it is locked (autolock)"),
        ("quorum_lost", "the quorum is lost"),
        ("unsettled", "its swarm gave no decisive answer"),
        ("pending", "it is still joining"),
        ("error", "its swarm is in state error"),
    ],
)
def test_a_swarm_without_a_healthy_manager_is_a_problem_with_every_cause(state: str, cause: str) -> None:
    infos = {"m1": ill(state, of="blue", host="m1"), "m2": ill("locked", of="blue", host="m2")}
    (swarm,) = module.backup_plan(infos)["swarms"]
    assert swarm["host"] is None
    assert swarm["problem"] == f"m1: {cause}; m2: it is locked (autolock)"


def test_a_named_host_that_is_ill_is_not_replaced_in_silence() -> None:
    infos = {**BLUE, "m3": ill("quorum_lost", of="blue", host="m3")}
    (swarm,) = module.backup_plan(infos, named=["m3", "m2"])["swarms"]
    assert swarm["host"] is None
    assert swarm["problem"] == "m3: the quorum is lost"


@pytest.mark.parametrize(
    ("infos", "name", "problem"),
    [
        ({**BLUE, "m4": UNREACHABLE}, "m4", "it was named, but the host cannot be reached"),
        ({**BLUE, "m4": ill("worker", of="blue", host="m4")}, "m4", "it was named, but it is a worker"),
        ({**BLUE, "m4": ill("inactive")}, "m4", "it was named, but it is in no swarm"),
        (BLUE, "typo", "it was named, but it is no manager of this play"),
    ],
)
def test_a_named_host_that_is_in_no_swarm_is_a_problem(infos: dict[str, Any], name: str, problem: str) -> None:
    plan = module.backup_plan(infos, named=[name])
    assert [(other["host"], other["problem"]) for other in plan["others"]] == [(name, problem)]


def test_a_copied_state_directory_stops_the_backup_of_its_swarm() -> None:
    infos = {**BLUE, "m4": manager("m2"), "n1": manager("n1", of="green", leader=True, managers=1)}
    plan = module.backup_plan(infos)
    assert chosen(plan) == {"blue": None, "green": "n1"}
    (problem,) = problems(plan)
    assert problem.startswith("node ID id-m2 is used by more than one host (m2, m4): a state directory was copied.")


def test_two_swarms_of_one_cluster_id_stop_the_backup() -> None:
    restored = manager("n1", leader=True, managers=1)
    plan = module.backup_plan({**BLUE, "n1": restored})
    assert chosen(plan) == {"blue": None}
    assert problems(plan) == [
        "there are two swarms of this cluster ID, a restored one beside a living one: m1 does not know n1"
    ]


def test_hosts_of_the_same_name_in_two_swarms_are_not_mixed_up() -> None:
    twin = manager("m2", of="green", leader=True, managers=1, nodes=[node("m2")])
    assert chosen(module.backup_plan({**BLUE, "other-m2": twin})) == {"blue": "m2", "green": "other-m2"}


@pytest.mark.parametrize("state", ["worker", "inactive"])
def test_workers_and_hosts_without_a_swarm_are_left_alone(state: str) -> None:
    plan = module.backup_plan({**BLUE, "w1": ill(state, of="blue", host="w1")})
    assert plan["swarms"][0]["hosts"] == ["m1", "m2", "m3"]
    assert plan["others"] == [{"host": "w1", "state": state, "problem": None}]


def test_an_unreachable_host_that_no_swarm_knows_may_be_a_swarm_of_its_own() -> None:
    plan = module.backup_plan({**BLUE, "x1": UNREACHABLE, "x2": {"failed": True, "msg": "no SDK"}})
    assert problems(plan) == [
        "the host cannot be reached, and no swarm that was found knows it",
        "its state could not be read (no SDK), and no swarm that was found knows it",
    ]


@pytest.mark.parametrize(
    "addresses",
    [
        None,
        {"m4": ["m4"]},
        {"m4": ["another-name", "192.0.2.4"]},
    ],
)
def test_an_unreachable_host_that_a_swarm_knows_belongs_to_that_swarm(addresses: Any) -> None:
    nodes = [node(f"m{number}") for number in range(1, 5)]
    infos = {host: {**info, "nodes": nodes} for host, info in BLUE.items()}
    plan = module.backup_plan({**infos, "m4": UNREACHABLE}, addresses=addresses)
    assert plan["others"] == [{"host": "m4", "state": "unreachable", "problem": None}]


def test_a_manager_is_known_by_the_address_in_its_raft_store_too() -> None:
    entry = {**node("m4", address="2001:db8::4"), "hostname": "m4.example", "address": "0.0.0.0"}
    infos = {"m1": manager("m1", leader=True, managers=1, nodes=[node("m1"), entry]), "m4": UNREACHABLE}
    plan = module.backup_plan(infos, addresses={"m4": ["m4", "2001:db8::4"]})
    assert problems(plan) == []


def test_an_entry_without_host_name_and_address_knows_nobody() -> None:
    empty = {"id": "id-gone", "hostname": "", "address": "", "availability": "active", "manager": None}
    infos = {"m1": manager("m1", leader=True, managers=1, nodes=[node("m1"), empty]), "x1": UNREACHABLE}
    assert len(problems(module.backup_plan(infos, addresses={"x1": ["x1"]}))) == 1


# Fencing: is every other manager of the archive stopped?

ARCHIVED = [{"id": f"id-m{n}", "hostname": f"m{n}", "address": f"192.0.2.{n}"} for n in (1, 2, 3)]


def fence(infos: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The decision for a restore on m1; the peers m2 and m3 are silent unless told otherwise."""
    states = {"192.0.2.2:2377": "silent", "192.0.2.3:2377": "silent", **more.pop("states", {})}
    facts: dict[str, Any] = {
        "target": "m1",
        "cluster_id": "blue",
        "target_node_id": "id-m1",
        "archived_managers": ARCHIVED,
        "peers": [{"address": address, "state": state} for address, state in states.items()],
        "lost": [],
        "addresses": {host: [host, f"192.0.2.{host[1:]}"] for host in infos},
        **more,
    }
    return module.fence_plan(infos, **facts)


HERE = {"m1": ill("inactive")}


@pytest.mark.parametrize(
    ("info", "stale"),
    [
        (ill("daemon_down", of="blue", host="m2"), ["m2"]),
        (ill("daemon_down"), []),
        (ill("daemon_down", of="green", host="x"), []),
        (ill("inactive"), []),
        (ill("worker", of="blue", host="m2"), []),
        (manager("x", of="green"), []),
        (ill("quorum_lost", of="green", host="x"), []),
        (ill("unsettled", of="green", host="x"), []),
    ],
)
def test_a_host_that_is_stopped_or_elsewhere_is_proven(info: dict[str, Any], stale: list[str]) -> None:
    plan = fence({**HERE, "m2": info, "m3": ill("inactive")})
    assert plan == {"reasons": [], "stopped": ["m2", "m3"], "stale": stale, "running": [], "lost": []}


@pytest.mark.parametrize("state", ["manager", "locked", "quorum_lost", "pending", "error", "unsettled"])
@pytest.mark.parametrize("known", ["blue", ""])
@pytest.mark.parametrize("lost", [[], ["m2"]])
def test_a_host_whose_engine_runs_as_a_member_is_a_reason_whoever_calls_it_lost(
    state: str, known: str, lost: list[str]
) -> None:
    plan = fence({**HERE, "m2": ill(state, of=known, host="m2"), "m3": ill("inactive")}, lost=lost)
    assert plan["reasons"] == [
        f"m2: its engine runs as a member of swarm {known or 'unknown'} (state {state}); "
        "stop docker.socket and docker.service there"
    ]
    assert plan["stopped"] == ["m3"]


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (UNREACHABLE, "the host cannot be reached"),
        ({"failed": True, "msg": "no SDK"}, "its state could not be read (no SDK)"),
    ],
)
def test_a_host_that_cannot_be_asked_has_to_be_named(info: dict[str, Any], why: str) -> None:
    plan = fence({**HERE, "m2": info, "m3": ill("inactive")})
    assert plan["reasons"] == [f"m2: {why}; if it is lost for good, name it in restore_lost_managers"]


@pytest.mark.parametrize("word", ["second", "management.example", "192.0.2.2", "m2", "id-m2"])
def test_a_host_that_cannot_be_asked_is_named_by_any_of_its_names(word: str) -> None:
    """By its name or address in the inventory, or by the node ID, host name or address in the archive."""
    plan = fence(
        {**HERE, "second": UNREACHABLE, "m3": ill("inactive")},
        addresses={"second": ["management.example", "192.0.2.2"], "m3": ["192.0.2.3"]},
        lost=[word],
    )
    assert plan == {"reasons": [], "stopped": ["m3"], "stale": [], "running": [], "lost": [word]}


def test_a_name_that_nobody_has_excuses_nobody() -> None:
    plan = fence({**HERE, "m2": UNREACHABLE, "m3": ill("inactive")}, lost=["m4"])
    assert len(plan["reasons"]) == 1
    assert plan["lost"] == []


def test_the_target_needs_no_proof() -> None:
    assert fence({"m1": manager("m1")}, archived_managers=ARCHIVED[:1])["reasons"] == []


def test_a_host_that_is_not_in_the_archive_is_judged_too() -> None:
    plan = fence({**HERE, "m2": ill("inactive"), "m3": ill("inactive"), "m9": manager("m9", of="blue")})
    assert [reason.split(":")[0] for reason in plan["reasons"]] == ["m9"]


def test_a_silent_manager_that_is_no_host_of_the_inventory_has_to_be_named() -> None:
    plan = fence({**HERE, "m3": ill("inactive")})
    assert plan["reasons"] == [
        "manager m2 (192.0.2.2) of the swarm does not answer and is no host of this inventory, so nobody can see "
        "whether it is stopped; if it is lost for good, name its address in restore_lost_managers"
    ]


@pytest.mark.parametrize("word", ["id-m2", "m2", "192.0.2.2"])
def test_a_silent_manager_outside_the_inventory_is_named_by_any_of_its_names(word: str) -> None:
    assert fence({**HERE, "m3": ill("inactive")}, lost=[word])["lost"] == [word]
    assert fence({**HERE, "m3": ill("inactive")}, lost=[word])["reasons"] == []


def test_a_manager_that_nobody_probed_counts_as_silent() -> None:
    assert len(fence(HERE, peers=[])["reasons"]) == 2


def test_a_manager_of_another_swarm_by_its_certificate_is_no_danger() -> None:
    assert fence({**HERE, "m3": ill("inactive")}, states={"192.0.2.2:2377": "other"})["reasons"] == []


def test_a_new_machine_with_the_old_name_proves_nothing_of_the_old_one() -> None:
    """m2 was set up anew at another address; the old m2 may live on behind a cut cable."""
    plan = fence(
        {**HERE, "m2": ill("inactive"), "m3": ill("inactive")}, addresses={"m2": ["192.0.2.52"], "m3": ["192.0.2.3"]}
    )
    assert len(plan["reasons"]) == 1
    assert "manager m2 (192.0.2.2) of the swarm does not answer" in plan["reasons"][0]


def test_a_host_is_matched_by_the_node_id_on_its_disk_whatever_its_name() -> None:
    infos = {**HERE, "second": ill("daemon_down", of="blue", host="m2"), "m3": ill("inactive")}
    assert fence(infos, addresses={"m3": ["192.0.2.3"]}) == {
        "reasons": [],
        "stopped": ["m3", "second"],
        "stale": ["second"],
        "running": [],
        "lost": [],
    }


def test_a_host_that_refuses_connections_is_matched_by_its_name() -> None:
    infos = {**HERE, "m2": ill("inactive"), "m3": ill("inactive")}
    addresses = {"m2": ["management.example"], "m3": ["192.0.2.3"]}
    assert fence(infos, addresses=addresses, states={"192.0.2.2:2377": "closed"})["reasons"] == []


def test_a_closed_port_outside_the_inventory_is_no_proof() -> None:
    """The engine may be started by its socket at any time, or a packet filter may refuse connections from here."""
    plan = fence({**HERE, "m3": ill("inactive")}, states={"192.0.2.2:2377": "closed"})
    assert len(plan["reasons"]) == 1
    assert "manager m2 (192.0.2.2) of the swarm refuses connections" in plan["reasons"][0]
    assert fence({**HERE, "m3": ill("inactive")}, states={"192.0.2.2:2377": "closed"}, lost=["m2"])["reasons"] == []


def test_a_name_that_the_archive_does_not_know_matches_nothing() -> None:
    """An archive without manifest has no host names."""
    nameless = [{**entry, "hostname": ""} for entry in ARCHIVED]
    plan = fence({**HERE, "m3": ill("inactive")}, states={"192.0.2.2:2377": "closed"}, archived_managers=nameless)
    assert ["id-m2 (192.0.2.2)" in reason for reason in plan["reasons"]] == [True]


def test_addresses_of_ipv6_managers_are_compared_without_brackets() -> None:
    archived = [ARCHIVED[0], {"id": "id-m2", "hostname": "m2", "address": "2001:db8::2"}]
    assert fence(HERE, archived_managers=archived, states={"[2001:db8::2]:2377": "other"})["reasons"] == []


# What swarm_info really returns


@pytest.fixture
def info_of(
    tmp_path: Path, api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch, run_module: RunModule
) -> Callable[..., dict[str, Any]]:
    """Return a function that runs swarm_info as the roles do, on m2, a manager of swarm blue."""
    host = FakeHost(tmp_path / "docker", api).join()
    monkeypatch.setattr(_raft_store, "position", raft_position)
    monkeypatch.setattr(_raft_store, "contents", raft_contents)

    def info(**attributes: Any) -> dict[str, Any]:
        for name, value in attributes.items():
            setattr(host, name, value)
        return run_module(
            swarm_info.main, gather=["nodes", "disk"], settle_timeout=1, state_directory=str(host.state.path)
        )

    return info


def test_a_backup_is_planned_from_what_swarm_info_returns(info_of: Callable[..., dict[str, Any]]) -> None:
    (swarm,) = module.backup_plan({"second": info_of(), "m3": UNREACHABLE})["swarms"]
    assert (swarm["cluster_id"], swarm["host"], swarm["node_id"]) == ("blue", "second", "id-m2")
    assert (swarm["is_leader"], swarm["problem"]) == (False, None)


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"running": False}, "second: its engine is down"),
        ({"peers_alive": False}, "second: the quorum is lost"),
    ],
)
def test_an_ill_manager_is_known_by_what_swarm_info_finds_on_its_disk(
    info_of: Callable[..., dict[str, Any]], attributes: dict[str, Any], problem: str
) -> None:
    (swarm,) = module.backup_plan({"second": info_of(**attributes)})["swarms"]
    assert (swarm["cluster_id"], swarm["host"], swarm["problem"]) == ("blue", None, problem)


def test_a_restore_is_fenced_by_what_swarm_info_returns(info_of: Callable[..., dict[str, Any]]) -> None:
    addresses = {"second": ["second"], "m3": ["192.0.2.3"]}
    alive = fence({"second": info_of(), "m3": ill("inactive")}, addresses=addresses)
    assert [reason.split(";")[0] for reason in alive["reasons"]] == [
        "second: its engine runs as a member of swarm blue (state manager)"
    ]
    stopped = fence({"second": info_of(running=False), "m3": ill("inactive")}, addresses=addresses)
    assert stopped == {"reasons": [], "stopped": ["m3", "second"], "stale": ["second"], "running": [], "lost": []}


# Names of hosts


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"inventory_hostname": "m1"}, ["m1"]),
        ({"inventory_hostname": "m1", "ansible_host": "192.0.2.1"}, ["m1", "192.0.2.1"]),
        ({"inventory_hostname": "m1", "ansible_host": "m1", "swarm_advertise_address": "10.0.0.1"}, ["m1", "10.0.0.1"]),
        ({"inventory_hostname": "m1", "ansible_host": "", "swarm_advertise_address": None}, ["m1"]),
    ],
)
def test_names_and_addresses_of_a_host(variables: dict[str, Any], expected: list[str]) -> None:
    assert module.host_addresses(variables) == expected


@pytest.mark.parametrize(
    ("variables", "needed"),
    [
        ({"inventory_hostname": "m1"}, True),
        ({"inventory_hostname": "m1", "ansible_become": "yes"}, True),
        ({"inventory_hostname": "m1", "ansible_become": False}, False),
        ({"inventory_hostname": "m1", "ansible_become": "false"}, False),
        ({"inventory_hostname": "localhost"}, False),
        ({"inventory_hostname": "localhost", "ansible_become": True}, False),
    ],
)
def test_a_delegated_task_becomes_root_unless_on_the_controller(variables: dict[str, Any], needed: bool) -> None:
    assert module.needs_become(variables) is needed


# What people read afterwards


def made(**more: Any) -> dict[str, Any]:
    result = {"archive": "/srv/a.tar.gz", "checksum": "ab" * 32, "size": 1_234_567, "downtime": 3.21, "removed": []}
    return {"result": {**result, **more}}


def swarm_entry(host: str | None = "m2", **more: Any) -> dict[str, Any]:
    return {"cluster_id": "blue", "host": host, "hosts": ["m1", "m2"], "problem": None, **more}


def copied(target: str, problem: str | None = None) -> dict[str, Any]:
    return {"target": target, "problem": problem}


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (made(), "/srv/a.tar.gz (1.23 MB, sha256 abababababababab…), engine down for 3.2 s"),
        (
            {**made(), "seconds": "13.7"},
            "/srv/a.tar.gz (1.23 MB, sha256 abababababababab…), engine down for 3.2 s, 14 s in all",
        ),
        (made(downtime=0), "/srv/a.tar.gz (1.23 MB, sha256 abababababababab…), engine not stopped"),
        (
            {**made(removed=["/srv/b", "/srv/c"]), "copies": [copied("/a on store"), copied("restic repository /b")]},
            "/srv/a.tar.gz (1.23 MB, sha256 abababababababab…), engine down for 3.2 s, "
            "copied to /a on store and restic repository /b, 2 older removed",
        ),
        ({"result": {"archive": "/srv/a.tar.gz", "changed": True}}, "would be written to /srv/a.tar.gz"),
    ],
)
def test_a_backup_is_one_line(outcome: dict[str, Any], line: str) -> None:
    report = module.backup_report({"swarms": [swarm_entry()], "others": []}, {"m2": outcome})
    assert report == {"lines": [f"swarm blue on m2: {line}"], "failures": []}


def test_a_backup_whose_copy_failed_is_a_failure_that_names_the_archive() -> None:
    copies = [copied("/a on store", "Could not copy it to /a on store: no room."), copied("/b on the controller")]
    plan = {"swarms": [swarm_entry()], "others": []}
    report = module.backup_report(plan, {"m2": {**made(), "copies": copies}})
    assert (
        report["lines"]
        == report["failures"]
        == [
            "swarm blue on m2: /srv/a.tar.gz (1.23 MB, sha256 abababababababab…), engine down for 3.2 s, copied to /b on the "
            "controller; FAILED afterwards: Could not copy it to /a on store: no room."
        ]
    )


@pytest.mark.parametrize(
    ("entry", "outcomes", "line"),
    [
        (swarm_entry(), {"m2": {"problem": "no room"}}, "swarm blue on m2: FAILED: no room"),
        (swarm_entry(), {"m2": {}}, "swarm blue on m2: FAILED: it was not backed up"),
        (swarm_entry(), {}, "swarm blue on m2: FAILED: it was not backed up"),
        (swarm_entry(None, problem="all are locked"), {}, "swarm blue (m1, m2): FAILED: all are locked"),
        (swarm_entry(problem="m2 is the leader"), {"m2": {}}, "swarm blue on m2: FAILED: m2 is the leader"),
    ],
)
def test_a_swarm_that_was_not_backed_up_is_a_failure(entry: dict[str, Any], outcomes: Any, line: str) -> None:
    assert module.backup_report({"swarms": [entry], "others": []}, outcomes) == {"lines": [line], "failures": [line]}


def test_one_failed_swarm_does_not_hide_the_others() -> None:
    entries = [swarm_entry(None, problem="locked"), {**swarm_entry("n1"), "cluster_id": "green"}]
    report = module.backup_report({"swarms": entries, "others": []}, {"n1": made()})
    assert [line.split(":")[0] for line in report["lines"]] == ["swarm blue (m1, m2)", "swarm green on n1"]
    assert len(report["failures"]) == 1


def test_hosts_beside_the_swarms_are_reported() -> None:
    others = [
        {"host": "w1", "state": "worker", "problem": None},
        {"host": "f1", "state": "inactive", "problem": None},
        {"host": "m3", "state": "unreachable", "problem": None},
        {"host": "x1", "state": "unreachable", "problem": "the host cannot be reached"},
    ]
    report = module.backup_report({"swarms": [swarm_entry()], "others": others}, {"m2": made()})
    assert report["lines"][1:] == [
        "host w1: nothing to back up, it is a worker",
        "host f1: nothing to back up, it is in no swarm",
        "host x1: FAILED: the host cannot be reached",
    ]
    assert report["failures"] == ["host x1: FAILED: the host cannot be reached"]


def test_a_play_without_any_swarm_fails() -> None:
    others = [{"host": "w1", "state": "worker", "problem": None}]
    line = "no swarm was found: no host of this play is a manager"
    assert module.backup_report({"swarms": [], "others": others}, {}) == {
        "lines": ["host w1: nothing to back up, it is a worker", line],
        "failures": [line],
    }


def restored_swarm() -> dict[str, Any]:
    def item(name: str) -> dict[str, str]:
        return {"id": f"id-{name}", "name": name}

    return {
        "cluster": {"id": "blue", "autolock": True},
        "services": [item("web"), item("agent")],
        "networks": [item("backend")],
        "secrets": [],
        "configs": [item("new")],
        "nodes": [
            {**node("w1"), "role": "worker", "state": "ready", "manager": None},
            {**node("m1"), "role": "manager", "state": "ready", "manager": {**node("m1")["manager"], "leader": True}},
            {**node("m2"), "role": "manager", "state": "ready"},
        ],
        "quorum": {"reachable": 2, "managers": 2, "majority": 2, "can_lose": 0, "reasons": []},
    }


def spread_anew(**changes: Any) -> dict[str, Any]:
    entry = {"name": "web", "outcome": "rebalanced", "before": {"m1": 3, "w1": 0}, "after": {"m1": 2, "w1": 1}}
    return {**entry, **changes}


@pytest.mark.parametrize(
    ("services", "words"),
    [
        ([spread_anew()], "web rebalanced (m1 3 to 2, w1 0 to 1)"),
        (
            [spread_anew(name="api", outcome="even"), spread_anew(outcome="still_uneven", after={"m1": 3})],
            "web still uneven (m1 3 to 3, w1 0 to 0); not touched: api even",
        ),
        (
            [spread_anew(outcome="not_judged"), spread_anew(name="x", outcome="global")],
            "not touched: web not judged, x global",
        ),
        ([], "none of its services was chosen"),
    ],
)
def test_a_rebalance_is_reported(services: list[dict[str, Any]], words: str) -> None:
    report = module.rebalance_report({"swarms": [swarm_entry()], "others": []}, {"m2": {"services": services}})
    assert report == {"lines": [f"swarm blue on m2: {words}"], "failures": []}


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ({"failed": True, "msg": "No permission.", "services": []}, "No permission."),
        (
            {
                "failed": True,
                "msg": "It broke.",
                "services": [spread_anew(), spread_anew(outcome="failed", after=None)],
            },
            "It broke. Before that: web rebalanced (m1 3 to 2, w1 0 to 1)",
        ),
        ({"failed": True, "msg": "Name the services"}, "Name the services"),
        ({"unreachable": True, "msg": "ssh"}, "it was not reached"),
        ({"skipped": True}, "it was not reached"),
    ],
)
def test_a_rebalance_that_failed_is_reported(outcome: dict[str, Any], words: str) -> None:
    report = module.rebalance_report({"swarms": [swarm_entry()], "others": []}, {"m2": outcome})
    assert report["lines"] == report["failures"] == [f"swarm blue on m2: FAILED: {words}"]


def test_a_restore_is_reported_beside_its_archive() -> None:
    inventory = {
        "services": [{"id": "id-agent", "name": "agent"}, {"id": "id-web", "name": "web"}],
        "networks": [{"id": "id-backend", "name": "backend"}],
        "secrets": [{"id": "id-key", "name": "key"}],
        "configs": [],
    }
    swarm = restored_swarm()
    swarm["quorum"]["reasons"] = [{"code": "x", "message": "m2 does not answer", "remedy": "Start it"}]
    assert module.swarm_report(swarm, before=inventory) == [
        "swarm blue, autolock on",
        "services: before 2, now 2: IDs equal",
        "networks: before 1, now 1: IDs equal",
        "secrets: before 1, now 0: missing: key",
        "configs: before 0, now 1: added since: new",
        "manager m1 (id-m1): ready, active, leader at 192.0.2.1:2377",
        "manager m2 (id-m2): ready, active, reachable at 192.0.2.2:2377",
        "worker w1 (id-w1): ready, active",
        "quorum: 2 of 2 managers reachable, majority 2, 0 may fail",
        "m2 does not answer: Start it",
    ]


def test_a_restore_without_manifest_is_reported_by_names() -> None:
    lines = module.swarm_report({**restored_swarm(), "cluster": {"id": "blue", "autolock": False}})
    assert lines[:4] == [
        "swarm blue, autolock off",
        "services: 2 (agent, web)",
        "networks: 1 (backend)",
        "secrets: 0 (none)",
    ]


# What became of a verification


def test_verified_archives_are_counted_and_told() -> None:
    boot = {
        "cluster_id": "blue",
        "engine_version": "28.5.2",
        "inventory": {"services": [1, 2], "networks": [], "secrets": [1], "configs": []},
        "key": "proven",
        "certificate_reissued": {"expired": "2026-01-01T00:00:00Z", "expires": "2026-04-01T00:00:00Z"},
        "steps": [{"step": "start", "seconds": 20.6}, {"step": "compare", "seconds": 0.7}],
    }
    plain = {**boot, "key": "not_needed", "certificate_reissued": None}
    archives = [
        {"path": "a", "good": True, "problem": None, "boot": boot},
        {"path": "b", "good": True, "problem": None, "boot": plain},
        {"path": "c", "good": False, "problem": "Could not read it."},
        {"path": "d", "good": True, "problem": None},
    ]
    assert module.verify_report(archives, level="boot") == [
        "3 of 4 archives good at level boot",
        "a: swarm blue came back on engine 28.5.2 in 21 s: 2 services, 0 networks, 1 secrets, 0 configs, no container, "
        "unlock key proven, node certificate issued again, it had expired at 2026-01-01T00:00:00Z",
        "b: swarm blue came back on engine 28.5.2 in 21 s: 2 services, 0 networks, 1 secrets, 0 configs, no container",
        "c: NOT GOOD: Could not read it.",
        "d: good",
    ]


def test_verified_archives_as_values() -> None:
    good = {"path": "/srv/a", "good": True, "problem": None, "manifest": {"cluster": {"id": "blue"}}}
    bad = {"path": "/srv/b", "good": False, "problem": "truncated", "manifest": None}
    found = module.verify_result({"m1": {"level": "raft", "archives": [good]}, "m2": {"level": "raft", "archives": []}})
    assert found == {
        "good": True,
        "archives": [
            {
                "host": "m1",
                "archive": "/srv/a",
                "cluster_id": "blue",
                "level": "raft",
                "good": True,
                "problem": None,
            }
        ],
    }
    found = module.verify_result({"m1": {"level": "files", "archives": [good, bad]}})
    assert found["good"] is False
    assert [(each["cluster_id"], each["problem"]) for each in found["archives"]] == [
        ("blue", None),
        (None, "truncated"),
    ]
    assert module.verify_result({}) == {"good": False, "archives": []}
