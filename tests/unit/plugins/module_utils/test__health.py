# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding is produced and named, a healthy swarm has none, and managers that do not agree are asked again."""

from __future__ import annotations

import copy
import time
from typing import Any, Callable, Dict

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._findings import _NO_ROOM, Wanted
from ansible_collections.quorate.swarm.plugins.module_utils._health import health_verdict
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node
from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import quorum_health

NOW = moment("2026-01-31T00:00:00Z")
DAY = 86400
HOSTS = ("m1", "m2", "m3")
Infos = Dict[str, Any]


def node(name: str, *, manager: bool = True, **more: Any) -> dict[str, Any]:
    address = f"192.0.2.{name[1:]}"
    status = {"address": f"{address}:2377", "reachability": "reachable", "leader": name == "m1"}
    return {
        "id": f"id-{name}",
        "hostname": name,
        "role": "manager" if manager else "worker",
        "availability": "active",
        "state": "ready",
        "address": address,
        "labels": {},
        "engine_version": "28.5.2",
        "manager": status if manager else None,
        "version": 10,
        **more,
    }


def service(running: int, **more: Any) -> dict[str, Any]:
    return {"id": "s1", "name": "web", "mode": "replicated", "desired": 2, "running": running, **more}


def disk(name: str, **more: Any) -> dict[str, Any]:
    return {
        "path": "/var/lib/docker/swarm",
        "exists": True,
        "size": 64 << 20,
        "free": 100 << 30,
        "snapshot_size": 0,
        "certificate_expires": "2026-04-30T00:00:00Z",
        "raft": {"commit_index": 42},
        "node_id": f"id-{name}",
        "cluster_id": "blue",
        "role": "manager",
        **more,
    }


def info(name: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "state": "manager",
        "node": {"id": f"id-{name}", "hostname": name, "is_leader": name == "m1"},
        "cluster": {
            "id": "blue",
            "autolock": False,
            "root_ca_expires": "2045-01-01T00:00:00Z",
            "root_rotation_in_progress": False,
            "spec": {"node_certificate_expiry": 90 * DAY * 10**9},
        },
        "nodes": nodes,
        "quorum": {},
        "services": [service(2)],
        "tasks": [{"node_id": "id-w1", "running": 2}],
        "state_directory": disk(name),
        "addresses": [{"address": f"192.0.2.{name[1:]}", "prefix": 24, "interface": "eth0", "kind": "permanent"}],
    }


def away(name: str, state: str) -> dict[str, Any]:
    """A host whose engine is no manager with a leader, and whose disk can be read."""
    known = [{"id": f"id-{other}", "address": ""} for other in HOSTS]
    node_facts = {"id": "", "remote_managers": known}
    return {"state": state, "cluster": None, "node": node_facts, "nodes": None, "state_directory": disk(name)}


def healthy() -> Infos:
    """What three managers say of themselves and one worker."""
    return {name: info(name, [*map(node, HOSTS), node("w1", manager=False)]) for name in HOSTS}


def judge(infos: Infos, **options: Any) -> dict[str, Any]:
    for seen in infos.values():
        if seen.get("state") == "manager":
            seen["quorum"] = quorum_health([Node.from_facts(entry) for entry in seen["nodes"]]).as_dict()
    addresses = {host: [host, f"192.0.2.{host[1:]}"] for host in infos}
    return health_verdict(infos, addresses=addresses, now=NOW, **options)


def named(verdict: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (finding["id"], finding["severity"], finding["object"])
        for swarm in verdict["swarms"]
        for finding in swarm["findings"]
    ]


def everywhere(change: Callable[[dict[str, dict[str, Any]]], object]) -> Infos:
    """A swarm that all managers see changed: the change is given the nodes by name."""
    infos = healthy()
    for seen in infos.values():
        change({entry["hostname"]: entry for entry in seen["nodes"]})
    return infos


def unreachable(*names: str, **infos: Any) -> Infos:
    def change(nodes: dict[str, dict[str, Any]]) -> None:
        for name in names:
            nodes[name]["manager"]["reachability"] = "unreachable"
            nodes[name]["state"] = "down"

    return {**everywhere(change), **infos}


def only(*names: str) -> Infos:
    """A swarm of these managers."""
    return {name: info(name, [node(name) for name in names]) for name in names}


def labelled(**zones: str) -> Infos:
    return everywhere(lambda nodes: [nodes[name]["labels"].update(zone=zone) for name, zone in zones.items()])


def changed(host: str, part: str, **more: Any) -> Infos:
    infos = healthy()
    infos[host][part] = {**infos[host][part], **more}
    return infos


def cluster(**more: Any) -> Infos:
    infos = healthy()
    for seen in infos.values():
        seen["cluster"] = {**seen["cluster"], **more}
    return infos


def services(*entries: dict[str, Any]) -> Infos:
    infos = healthy()
    for seen in infos.values():
        seen["services"] = list(entries)
    return infos


def leased(kind: str) -> Infos:
    infos = healthy()
    infos["m2"]["addresses"][0]["kind"] = kind
    return infos


def archive(created: str, **more: Any) -> dict[str, Any]:
    manifest = {"cluster": {"id": "blue"}, "created": created}
    return {"path": f"/b/{created}", "size": 9, "good": True, "manifest": manifest, **more}


def test_a_healthy_swarm_has_no_finding() -> None:
    verdict = judge(healthy())
    assert (named(verdict), verdict["unsettled"], verdict["worst"], verdict["failures"]) == ([], [], None, [])
    assert verdict["lines"] == ["swarm blue: healthy; 3 of 3 managers reachable, 1 may fail, leader m1"]


def gone(name: str) -> Infos:
    return unreachable(name, **{name: {"unreachable": True}})


AUTOLOCK = {"autolock": True}
SAME_ID = {"m3": {**away("m3", "daemon_down"), "state_directory": disk("m2")}}
#: What is seen, with which options, and what it is called.
FINDINGS: dict[str, tuple[Infos, dict[str, Any], list[tuple[str, str, str]]]] = {
    "host gone": (
        gone("m3"),
        {},
        [("manager_unreachable", "error", "m3"), ("fault_tolerance_too_low", "error", "blue")],
    ),
    "engine stopped": (
        unreachable("m3", m3=away("m3", "daemon_down")),
        {},
        [("manager_unreachable", "error", "m3"), ("fault_tolerance_too_low", "error", "blue")],
    ),
    "locked": (
        unreachable("m3", m3=away("m3", "locked")),
        {},
        [("manager_locked", "error", "m3"), ("fault_tolerance_too_low", "error", "blue")],
    ),
    "quorum lost": (
        {"m1": away("m1", "quorum_lost"), "m2": away("m2", "daemon_down"), "m3": {"unreachable": True}},
        {},
        [("quorum_lost", "error", "blue")],
    ),
    "even": (
        only("m1", "m2"),
        {"wanted": {"fault_tolerance": 0}},
        [("even_managers", "warning", "blue")],
    ),
    "single": (only("m1"), {"wanted": {"fault_tolerance": 0}}, [("single_manager", "warning", "blue")]),
    "tolerance": (healthy(), {"wanted": {"fault_tolerance": 2}}, [("fault_tolerance_too_low", "error", "blue")]),
    "zones": (
        labelled(m1="a", m2="a", m3="b", w1="c"),
        {"wanted": {"zone_label": "zone"}},
        [("zones_uneven", "warning", "blue"), ("zone_holds_majority", "warning", "blue")],
    ),
    "no zone": (
        labelled(m1="a", m2="b"),
        {"wanted": {"zone_label": "zone"}},
        [("zone_unknown", "warning", "blue")],
    ),
    "leased": (leased("leased"), {}, [("address_dynamic", "warning", "m2")]),
    "not of its host": (
        {**healthy(), "m2": {**healthy()["m2"], "addresses": [{"address": "192.0.2.99", "kind": "permanent"}]}},
        {},
        [("address_not_on_host", "error", "m2")],
    ),
    "not of the inventory": (
        healthy(),
        {"expected": {"m1": "", "m2": "198.51.100.1"}},
        [("address_not_expected", "error", "m2")],
    ),
    "hostname twice": (
        everywhere(lambda nodes: nodes["w1"].update(hostname="m2")),
        {},
        [("hostname_twice", "warning", "m2")],
    ),
    "dead entry of a name that is used again": (
        everywhere(lambda nodes: nodes["w1"].update(hostname="m2", state="down")),
        {},
        [("dead_entry", "warning", "m2 (id-w1)")],
    ),
    "dead entry of a lost manager": (
        everywhere(lambda nodes: nodes["w1"].update(role="manager", state="down")),
        {},
        [("dead_entry", "warning", "w1 (id-w1)")],
    ),
    "worker down": (
        everywhere(lambda nodes: nodes["w1"].update(state="down")),
        {},
        [("node_down", "warning", "w1 (id-w1)")],
    ),
    "node unknown": (
        everywhere(lambda nodes: nodes["w1"].update(state="unknown")),
        {},
        [("node_unknown", "warning", "w1 (id-w1)")],
    ),
    "one node ID on two hosts": (
        {**healthy(), "x1": away("m2", "pending")},
        {},
        [("node_id_twice", "error", "m2, x1")],
    ),
    "tasks on managers": (
        everywhere(lambda nodes: [nodes[name].update(availability="drain") for name in ("m1", "m2")]),
        {"wanted": {"managers_drained": True}},
        [("manager_runs_tasks", "warning", "m3")],
    ),
    "certificate ends": (
        changed("m2", "state_directory", certificate_expires="2026-02-13T23:59:59Z"),
        {},
        [("certificate_expires", "warning", "m2")],
    ),
    "certificate ended": (
        changed("m2", "state_directory", certificate_expires="2026-01-30T00:00:00Z"),
        {},
        [("certificate_expired", "error", "m2")],
    ),
    "root CA ends": (cluster(root_ca_expires="2026-04-30T00:00:00Z"), {}, [("root_ca_expires", "warning", "blue")]),
    "root CA ended": (cluster(root_ca_expires="2026-01-31T00:00:00Z"), {}, [("root_ca_expired", "error", "blue")]),
    "root rotation": (cluster(root_rotation_in_progress=True), {}, [("root_rotation", "info", "blue")]),
    "engines mixed": (
        everywhere(lambda nodes: nodes["m3"].update(engine_version="20.10.24")),
        {},
        [("engines_mixed", "warning", "blue")],
    ),
    "disk space": (changed("m2", "state_directory", free=(1 << 30) - 1), {}, [("disk_space", "warning", "m2")]),
    "disk full": (changed("m2", "state_directory", free=_NO_ROOM - 1), {}, [("disk_space", "error", "m2")]),
    "snapshot": (
        changed("m2", "state_directory", snapshot_size=(256 << 20) + 1),
        {},
        [("snapshot_large", "warning", "m2")],
    ),
    "no escrow": (cluster(**AUTOLOCK), {}, [("escrow_not_configured", "info", "blue")]),
    "key not in escrow": (
        cluster(**AUTOLOCK),
        {"escrow": {"blue": {"current": "uk1:new", "known": ["uk1:old"]}}},
        [("unlock_key_not_in_escrow", "error", "blue")],
    ),
    "key unchecked": (
        cluster(**AUTOLOCK),
        {"escrow": {"blue": {"problem": "no vault secret"}}},
        [("unlock_key_unchecked", "warning", "blue")],
    ),
    "no backup": (
        healthy(),
        {"wanted": {"backup_hours": 24}, "archives": [archive("2026-01-30T23:00:00Z", good=False)]},
        [("backup_missing", "error", "blue")],
    ),
    "old backup": (
        healthy(),
        {
            "wanted": {"backup_hours": 24},
            "archives": [archive("2026-01-29T23:59:59Z"), archive("2026-01-30T23:00:00Z", good=False)],
        },
        [("backup_old", "warning", "blue")],
    ),
    "service below replicas": (services(service(1)), {}, [("service_below_replicas", "warning", "web")]),
    "service down": (services(service(0)), {}, [("service_below_replicas", "error", "web")]),
    "expectation": (
        healthy(),
        {"expect": [{"query": "length(services)", "at_least": 2}]},
        [("not_as_expected", "error", "blue")],
    ),
    "host of a reachable manager away": (
        {**healthy(), "m3": {"unreachable": True}},
        {},
        [("manager_not_asked", "warning", "m3")],
    ),
    "not in the play": (
        {name: seen for name, seen in healthy().items() if name != "m3"},
        {},
        [("manager_not_in_play", "info", "m3 (id-m3)")],
    ),
    "two swarms": (
        {**healthy(), "x1": {**info("x1", [node("x1")]), "state_directory": disk("x1")}},
        {},
        [("two_swarms", "error", "m1, x1")],
    ),
}


@pytest.mark.parametrize("case", FINDINGS)
def test_what_is_wrong_is_named(case: str) -> None:
    infos, options, expected = FINDINGS[case]
    verdict = judge(copy.deepcopy(infos), **options)
    assert named(verdict) == expected
    assert verdict["swarms"][0]["worst"] == verdict["worst"] == expected[0][1]
    for finding in verdict["swarms"][0]["findings"]:
        assert finding["what"] and finding["remedy"]
        assert any(finding["what"] in line for line in verdict["lines"])


def test_the_version_of_an_engine_that_is_down_does_not_matter() -> None:
    infos = everywhere(lambda nodes: nodes["w1"].update(state="down", engine_version="20.10.24"))
    assert [finding for finding, dummy, dummy2 in named(judge(infos))] == ["node_down"]


def test_a_manager_that_is_not_reached_is_named_once_though_its_state_is_not_known_either() -> None:
    infos = everywhere(
        lambda nodes: [
            nodes["m3"].update(state="unknown"),
            nodes["m3"]["manager"].update(reachability="unreachable"),
            nodes["w1"].update(state="unknown"),
        ]
    )
    found = named(judge({**infos, "m3": {"unreachable": True}}))
    assert [(name, about) for name, dummy, about in found] == [
        ("manager_unreachable", "m3"),
        ("fault_tolerance_too_low", "blue"),
        ("node_unknown", "w1 (id-w1)"),
    ]


@pytest.mark.parametrize("state", ["locked", "daemon_down"])
def test_a_lost_quorum_of_locked_managers_is_to_be_unlocked_first(state: str) -> None:
    infos = {"m1": away("m1", "quorum_lost"), "m2": away("m2", state), "m3": {"unreachable": True}}
    finding = judge(infos)["swarms"][0]["findings"][0]
    assert finding["id"] == "quorum_lost"
    assert ("unlock the locked managers" in finding["remedy"]) is (state == "locked")


#: What is just as it has to be.
RIGHT: dict[str, tuple[Infos, dict[str, Any]]] = {
    "tolerance": (healthy(), {"wanted": {"fault_tolerance": 1}}),
    "zones": (labelled(m1="a", m2="b", m3="c"), {"wanted": {"zone_label": "zone"}}),
    "address of the inventory": (healthy(), {"expected": {"m2": "192.0.2.2"}}),
    "drained": (
        everywhere(lambda nodes: [nodes[name].update(availability="drain") for name in HOSTS]),
        {"wanted": {"managers_drained": True}},
    ),
    "certificate": (changed("m2", "state_directory", certificate_expires="2026-02-14T00:00:00Z"), {}),
    "short-lived certificate": (
        {
            **cluster(spec={"node_certificate_expiry": DAY * 10**9}),
            "m2": {**cluster(spec={"node_certificate_expiry": DAY * 10**9})["m2"], "state_directory": disk("m2")},
        },
        {},
    ),
    "no certificate yet": (changed("m2", "state_directory", certificate_expires=None), {}),
    "root CA": (cluster(root_ca_expires="2026-05-01T00:00:00Z"), {}),
    "disk": (changed("m2", "state_directory", free=1 << 30), {}),
    "snapshot": (changed("m2", "state_directory", snapshot_size=256 << 20), {}),
    "key in escrow": (cluster(**AUTOLOCK), {"escrow": {"blue": {"current": "uk1:a", "known": ["uk1:a"]}}}),
    "backup": (healthy(), {"wanted": {"backup_hours": 24}, "archives": [archive("2026-01-30T00:00:00Z")]}),
    "nobody looked for backups": (healthy(), {"wanted": {"backup_hours": 24}}),
    "backups do not matter": (healthy(), {"archives": []}),
    "jobs": (services(service(0, mode="replicated_job")), {}),
    "scaled to nothing": (services(service(0, desired=0)), {}),
    "expectation": (healthy(), {"expect": [{"query": "length(services)", "is": 1}]}),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_is_not_named(case: str) -> None:
    infos, options = RIGHT[case]
    assert named(judge(copy.deepcopy(infos), **options)) == []


def test_a_certificate_that_lives_a_day_is_named_when_it_was_not_renewed_in_time() -> None:
    infos = cluster(spec={"node_certificate_expiry": DAY * 10**9})
    for left, expected in ((0.21, []), (0.19, ["certificate_expires"])):
        end = NOW + left * DAY
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
        for name in HOSTS:
            infos[name]["state_directory"]["certificate_expires"] = "2026-02-01T00:00:00Z"
        infos["m2"]["state_directory"]["certificate_expires"] = text
        assert [finding[0] for finding in named(judge(infos))] == expected


# -- managers that do not agree ------------------------------------------------------------------------------------


def test_a_leader_that_was_cut_off_is_believed_by_nobody() -> None:
    """It shows a healthy swarm for some seconds. The others have another leader, and do not reach it."""

    def change(nodes: dict[str, dict[str, Any]]) -> None:
        nodes["m1"]["manager"].update(reachability="unreachable", leader=False)
        nodes["m2"]["manager"]["leader"] = True

    infos = {**everywhere(change), "m1": healthy()["m1"]}
    verdict = judge(infos)
    assert verdict["unsettled"] == ["swarm blue: m1 sees another leader, or others reachable, than m2"]
    assert ("manager_unreachable", "error", "m1") in named(verdict)
    infos["m1"] = away("m1", "quorum_lost")
    verdict = judge(infos)
    assert verdict["unsettled"] == []
    assert named(verdict)[0] == ("manager_unreachable", "error", "m1")
    assert "the quorum is lost" in verdict["swarms"][0]["findings"][0]["what"]


def test_an_election_is_asked_about_again() -> None:
    infos = everywhere(lambda nodes: [entry.update(state="unknown") for entry in nodes.values()])
    assert judge(infos)["unsettled"] == ["swarm blue: the state of m1, m2, m3, w1 is not known"]
    assert judge({**healthy(), "m3": away("m3", "pending")})["unsettled"] == [
        "swarm blue: m3: it is still joining, and the others reach it"
    ]
    waiting = {name: away(name, "unsettled") for name in HOSTS}
    assert len(judge(waiting)["unsettled"]) == 3


def test_a_manager_that_answers_though_it_is_said_not_to_be_reached_is_asked_about_again() -> None:
    assert judge(unreachable("m3"))["unsettled"] == [
        "swarm blue: m3 answers as a manager, and the others do not reach it"
    ]


@pytest.mark.parametrize("state", ["pending", "unsettled"])
def test_one_that_does_not_know_yet_is_asked_again_though_nobody_else_runs(state: str) -> None:
    verdict = judge({"m1": away("m1", state), "m2": {"unreachable": True}, "m3": {"unreachable": True}})
    assert len(verdict["unsettled"]) == 1


def test_a_host_that_has_left_belongs_to_no_swarm_whatever_is_on_its_disk() -> None:
    verdict = judge({**healthy(), "m4": away("m4", "inactive")})
    (swarm,) = verdict["swarms"]
    assert swarm["hosts"] == ["m1", "m2", "m3"]
    assert verdict["others"] == [{"host": "m4", "state": "inactive", "problem": None}]


@pytest.mark.parametrize("state", ["daemon_down", "locked", "quorum_lost"])
def test_what_all_agree_about_is_settled(state: str) -> None:
    assert judge(unreachable("m3", m3=away("m3", state)))["unsettled"] == []
    assert judge({"m1": away("m1", state), "m2": {"unreachable": True}})["unsettled"] == []


def test_a_majority_that_runs_without_a_leader_is_asked_about_again() -> None:
    """A slow election ends later than one look."""
    lost = {"m1": away("m1", "quorum_lost"), "m2": away("m2", "quorum_lost"), "m3": {"unreachable": True}}
    assert judge(lost)["unsettled"] == [f"swarm blue: {name}: the quorum is lost" for name in ("m1", "m2")]
    assert judge({**lost, "m2": {"unreachable": True}})["unsettled"] == []


def test_managers_that_never_agree_are_a_finding() -> None:
    assert ("views_differ", "error", "blue") in named(judge({**healthy(), "m3": away("m3", "pending")}))


# -- many swarms, and what is said of them -------------------------------------------------------------------------


def test_every_swarm_has_its_verdict_and_hosts_in_none_are_named() -> None:
    green = only("m4", "m5", "m6")
    for name, seen in green.items():
        seen["cluster"]["id"] = seen["state_directory"]["cluster_id"] = "green"
        seen["node"]["is_leader"] = name == "m4"
        seen["nodes"][0]["manager"]["leader"] = True
    green["m6"]["state_directory"]["free"] = 1
    infos = {**healthy(), **green, "x7": {"state": "inactive"}, "x8": {"unreachable": True}, "x9": {"msg": "no docker"}}
    verdict = judge(infos)
    assert [swarm["cluster_id"] for swarm in verdict["swarms"]] == ["blue", "green"]
    assert named(verdict) == [("disk_space", "error", "m6")]
    assert [(other["host"], other["problem"] is None) for other in verdict["others"]] == [
        ("x7", True),
        ("x8", False),
        ("x9", False),
    ]
    assert "host x7: nothing to judge, it is in no swarm" in verdict["lines"]
    assert len(verdict["failures"]) == 3


@pytest.mark.parametrize(
    ("fail_on", "errors", "warnings"), [("error", True, False), ("warning", True, True), ("never", False, False)]
)
def test_it_fails_by_severity(fail_on: str, errors: bool, warnings: bool) -> None:
    assert bool(judge(services(service(0)), fail_on=fail_on)["failures"]) is errors
    assert bool(judge(services(service(1)), fail_on=fail_on)["failures"]) is warnings
    assert judge(cluster(root_rotation_in_progress=True), fail_on=fail_on)["failures"] == []
    assert bool(judge({"m1": {"unreachable": True}}, fail_on=fail_on)["failures"]) is errors
    assert bool(judge({}, fail_on=fail_on)["failures"]) is errors


def test_the_numbers_are_those_of_the_facts() -> None:
    infos = unreachable("m3", m3=away("m3", "daemon_down"))
    (swarm,) = judge(infos, archives=[archive("2026-01-30T00:00:00Z")])["swarms"]
    assert (swarm["host"], swarm["hosts"], swarm["services"], swarm["services_below"]) == ("m1", list(HOSTS), 1, 0)
    assert swarm["nodes"] == {"ready": 3, "down": 1}
    assert swarm["newest_archive"] == {"path": "/b/2026-01-30T00:00:00Z", "size": 9, "created": "2026-01-30T00:00:00Z"}
    assert [(member["host"], member["reachable"], member["leader"]) for member in swarm["members"]] == [
        ("m1", True, True),
        ("m2", True, False),
        ("m3", False, False),
    ]
    assert [member["raft_index"] for member in swarm["members"]] == [42, 42, 42]
    assert [member["state"] for member in swarm["members"]] == ["manager", "manager", "daemon_down"]


def test_options_that_make_no_sense_are_refused() -> None:
    for options in ({"wanted": {"colour": "red"}}, {"fail_on": "info"}, {"expect": [{"query": "x("}]}):
        with pytest.raises(Refused):
            judge(healthy(), **options)
    assert Wanted() == Wanted(**{})
