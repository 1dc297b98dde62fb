# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which managers take part in a rotation, when an earlier one is finished instead, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._rotation import (
    rotation_plan,
    rotation_report,
    rotation_result,
    rotation_step,
    rotation_unproven,
)

OLD, NEW = "uk1:old", "uk1:new"


def node(name: str, *, reachable: bool = True, role: str = "manager") -> dict[str, Any]:
    manager = {"reachability": "reachable" if reachable else "unreachable", "address": f"192.0.2.{name[1:]}:2377"}
    return {
        "id": f"id-{name}",
        "hostname": name,
        "address": f"192.0.2.{name[1:]}",
        "role": role,
        "manager": manager if role == "manager" else None,
    }


def info(name: str, *, leader: bool = False, down: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    nodes = [node(other, reachable=other not in down) for other in ("m1", "m2", "m3")] + [node("w1", role="worker")]
    return {
        "state": "manager",
        "cluster": {"id": "blue"},
        "node": {"id": f"id-{name}", "is_leader": leader},
        "nodes": nodes,
        **more,
    }


def away(name: str, state: str) -> dict[str, Any]:
    directory = {"cluster_id": "blue", "node_id": f"id-{name}"}
    return {"state": state, "cluster": None, "node": None, "nodes": [], "state_directory": directory}


def hosts(**changed: Any) -> dict[str, Any]:
    return {"a": info("m1"), "b": info("m2", leader=True), "c": info("m3"), **changed}


def test_the_leader_speaks_and_all_take_part() -> None:
    (swarm,) = rotation_plan(hosts())["swarms"]
    assert swarm == {
        "cluster_id": "blue",
        "host": "b",
        "hosts": ["a", "b", "c"],
        "missing": [],
        "problem": None,
    }


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ({"unreachable": True}, "it is no host of this play that answers"),
        (away("m3", "locked"), "it is locked"),
        (away("m3", "daemon_down"), "its engine is down"),
    ],
)
@pytest.mark.parametrize("name", ["c", "m3", "id-m3", "192.0.2.3"])
def test_a_manager_that_is_away_has_to_be_named(lost: dict[str, Any], reason: str, name: str) -> None:
    infos = hosts(a=info("m1", down=("m3",)), b=info("m2", leader=True, down=("m3",)), c=lost)
    plan = rotation_plan(infos, addresses={"c": ["c", "192.0.2.3"]} if "unreachable" in lost else None)
    (swarm,) = plan["swarms"]
    assert swarm["missing"] == ["m3 (id-m3)"]
    assert (reason if "state" in lost else "cannot be reached") in swarm["problem"]
    assert "rotate_unlock_key_missing_managers" in swarm["problem"]
    assert plan["others"] == []
    plan = rotation_plan(infos, missing=[name], addresses={"c": ["c", "192.0.2.3"]})
    assert (plan["swarms"][0]["problem"], plan["swarms"][0]["hosts"]) == (None, ["a", "b"])
    assert plan["others"] == []


def test_a_manager_that_the_others_do_not_reach_is_away() -> None:
    infos = hosts(b=info("m2", leader=True, down=("m3",)))
    assert "m3 (id-m3): the swarm does not reach it" in rotation_plan(infos)["swarms"][0]["problem"]


def test_a_manager_outside_of_the_play_is_away() -> None:
    infos = hosts()
    del infos["c"]
    assert "it is no host of this play" in rotation_plan(infos)["swarms"][0]["problem"]


def test_a_swarm_without_a_quorum_is_a_problem() -> None:
    (swarm,) = rotation_plan({"a": away("m1", "quorum_lost"), "b": away("m2", "locked")})["swarms"]
    assert swarm["host"] is None
    assert swarm["problem"] == "a: the quorum is lost; b: it is locked (autolock)"


def test_a_copied_state_directory_is_a_problem() -> None:
    (swarm,) = rotation_plan(hosts(d=info("m1")))["swarms"]
    assert "used by more than one host" in swarm["problem"]


def test_hosts_of_no_swarm() -> None:
    others = rotation_plan({"w": {"state": "worker"}, "x": {"unreachable": True}, "y": {"state": "inactive"}})["others"]
    assert [(other["host"], bool(other["problem"])) for other in others] == [("w", False), ("x", True), ("y", False)]
    assert rotation_plan({"x": {"unreachable": True}}, missing=["x"])["others"][0]["problem"] is None


def entry(fingerprint: str, *, retired: str | None = None) -> dict[str, Any]:
    return {"fingerprint": fingerprint, "created": f"created {fingerprint}", "retired": retired}


@pytest.mark.parametrize(
    ("entries", "missing", "interrupted"),
    [
        ([], [], False),
        ([entry(NEW)], [], False),
        ([entry(NEW), entry(OLD, retired="then")], [], False),
        ([entry(OLD)], [], True),  # killed between rotation and escrow
        ([entry(OLD)], ["m3"], True),
        ([entry(NEW), entry(OLD)], [], True),  # killed between escrow and proof
        ([entry(NEW), entry(OLD)], ["m3"], False),  # the old key waits for m3
        ([entry(OLD, retired="then")], [], False),  # first run since a restore, or a rotation by hand
    ],
)
@pytest.mark.parametrize("policy", ["always", "older_than", "never"])
def test_an_interrupted_rotation_is_finished_first(
    entries: list[dict[str, Any]], missing: list[str], interrupted: bool, policy: str
) -> None:
    step = rotation_step(entries, current=NEW, missing=missing, autolock="unchanged", policy=policy)
    assert step["interrupted"] is interrupted
    assert step["rotate"] == ("never" if interrupted else policy)
    assert step["needed"] == [found["fingerprint"] for found in entries if found == entry(OLD)]
    assert step["created"] == next((found["created"] for found in entries if found["fingerprint"] == NEW), None)


@pytest.mark.parametrize(("autolock", "wanted"), [("enabled", True), ("disabled", False)])
def test_autolock_is_switched_and_nothing_is_rotated(autolock: str, wanted: bool) -> None:
    step = rotation_step([entry(OLD)], current=NEW, missing=[], autolock=autolock, policy="always")
    assert (step["autolock"], step["rotate"], step["interrupted"]) == (wanted, "never", False)


def proof(host: str, **more: Any) -> dict[str, Any]:
    key_file = {"sealed": True, "opened_by": [NEW], "proven": True}
    return {"__rotate_unlock_key_host": host, "unlock_key_fingerprint": NEW, "key_file": key_file, **more}


def test_every_manager_has_to_prove_its_key() -> None:
    late = {"sealed": True, "opened_by": [OLD], "proven": False}
    results = [
        proof("a"),
        proof("b", key_file=late),
        proof("c", key_file={**late, "opened_by": []}),
        proof("d", key_file={**late, "sealed": False}),
        proof("e", unlock_key_fingerprint=OLD),
        {"__rotate_unlock_key_host": "f", "unreachable": True},
        {"__rotate_unlock_key_host": "g", "failed": True, "msg": "no quorum"},
    ]
    assert rotation_unproven(results, current=NEW) == [
        f"b: its key file opens with {OLD}, not with {NEW} alone",
        f"c: its key file opens with no key that was tried, not with {NEW} alone",
        f"d: its key file is not sealed, not with {NEW} alone",
        f"e: its engine tells another key, {OLD}",
        "f: the host cannot be reached",
        "g: no quorum",
    ]
    assert rotation_unproven([proof("a", unlock_key_fingerprint=None)], current=None) == []


def outcome(**changed: Any) -> dict[str, Any]:
    return {
        "change": "rotate",
        "check": False,
        "interrupted": False,
        "previous": OLD,
        "current": NEW,
        "proven": ["a", "b", "c"],
        "unproven": [],
        "retired": [OLD],
        "needed": [],
        **changed,
    }


def report(*, missing: tuple[str, ...] = (), **changed: Any) -> dict[str, list[str]]:
    swarm = {"cluster_id": "blue", "host": "b", "missing": list(missing), "problem": None}
    return rotation_report({"swarms": [swarm], "others": []}, {"b": outcome(**changed)})


def test_two_lines_tell_what_became_of_the_key() -> None:
    assert report() == {
        "lines": [
            f"swarm blue: the key rotated from {OLD} to {NEW}",
            f"swarm blue: the key file of a, b, c opens with {NEW} alone; {OLD} retired",
        ],
        "failures": [],
    }
    kept = report(change="none", interrupted=True, previous=NEW)["lines"]
    assert kept[0] == f"swarm blue: the key is {NEW}, of a rotation that was interrupted before"
    off = report(change="disable", current=None, missing=("m3 (id-m3)",), retired=[], needed=[OLD])["lines"]
    assert off[0] == f"swarm blue: autolock switched off; the last key was {OLD}"
    assert "WARNING: m3 (id-m3) was not there and needs uk1:old to come back" in off[1]
    assert report(change="enable", previous=None)["lines"][0] == f"swarm blue: autolock switched on, with the key {NEW}"
    check = report(check=True)["lines"]
    assert check == [f"swarm blue: the key would be rotated from {OLD}", "swarm blue: nothing was changed"]
    assert "stays so" in report(change="none", current=None, previous=None)["lines"][0]


def test_what_is_not_proven_fails() -> None:
    told = report(unproven=["b: the host cannot be reached"])
    assert told["failures"] == [
        "swarm blue: FAILED: not proven: b: the host cannot be reached; run again when that is cured"
    ]
    assert told["lines"][0] == f"swarm blue: the key rotated from {OLD} to {NEW}"
    swarm: dict[str, Any] = {"cluster_id": "blue", "host": None, "missing": [], "problem": "no quorum"}
    assert rotation_report({"swarms": [swarm], "others": []}, {})["failures"] == ["swarm blue: FAILED: no quorum"]
    lost: dict[str, Any] = {"cluster_id": "blue", "host": "b", "missing": [], "problem": None}
    assert "run again" in rotation_report({"swarms": [lost], "others": []}, {})["failures"][0]
    assert "no swarm was found" in rotation_report({"swarms": [], "others": []}, {})["failures"][0]


def test_what_became_of_the_keys_as_values() -> None:
    def swarm(cluster_id: str, host: str | None, problem: str | None = None) -> dict[str, Any]:
        return {"cluster_id": cluster_id, "host": host, "problem": problem, "missing": []}

    swarms = [
        swarm("blue", "b"),
        swarm("green", "g"),
        swarm("red", "r"),
        swarm("grey", None, "no quorum"),
        swarm("w", "w"),
    ]
    outcomes = {"b": outcome(), "g": outcome(unproven=["m2: silent"]), "r": {"problem": "no escrow"}}
    result = rotation_result({"swarms": swarms, "others": []}, outcomes)
    assert result["good"] is False
    assert result["swarms"][0] == {
        "cluster_id": "blue",
        "host": "b",
        "good": True,
        "problem": "",
        "change": "rotate",
        "previous": OLD,
        "current": NEW,
    }
    problems = [each["problem"] for each in result["swarms"][1:]]
    assert problems == ["m2: silent", "no escrow", "no quorum", "its host was lost meanwhile; run again"]
    assert rotation_result({"swarms": swarms[:1], "others": []}, outcomes)["good"] is True
    assert rotation_result({"swarms": [], "others": []}, {})["good"] is False
    lost = [{"host": "x", "problem": "cannot be reached"}]
    assert rotation_result({"swarms": swarms[:1], "others": lost}, outcomes)["good"] is False
