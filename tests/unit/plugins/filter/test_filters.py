# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters and tests as a playbook uses them. What they decide, the tests of DECISIONS test."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.quorate.swarm.plugins.module_utils import (
    _backup_result,
    _copies,
    _expectation,
    _fleet,
    _health,
    _metrics,
    _moment,
    _move,
    _quorum,
    _recovery_plan,
    _remedy,
    _report_page,
    _roster,
    _rotation,
    _schedule,
)
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.quorate.swarm.plugins.test import quorate

FILTERS = Path(__file__).resolve().parents[4] / "plugins" / "filter"
#: Where the decisions are, of which one has the name of the filter.
DECISIONS = (
    _backup_result,
    _moment,
    _copies,
    _expectation,
    _fleet,
    _health,
    _metrics,
    _move,
    _quorum,
    _recovery_plan,
    _remedy,
    _report_page,
    _roster,
    _rotation,
    _schedule,
)
PACKAGE = "ansible_collections.quorate.swarm.plugins.filter"
NAMES = sorted(path.stem for path in FILTERS.glob("*.py"))

FENCE: dict[str, Any] = {
    "target": "m1",
    "cluster_id": "blue",
    "target_node_id": "id-m1",
    "archived_managers": [],
    "peers": [],
    "lost": [],
    "addresses": {},
}
SWARM: dict[str, Any] = {
    "cluster": {"id": "blue", "autolock": True},
    "services": [],
    "networks": [],
    "secrets": [],
    "configs": [],
    "nodes": [],
    "quorum": {"reachable": 1, "managers": 1, "majority": 1, "can_lose": 0, "reasons": []},
}
MANAGER: dict[str, Any] = {"state": "manager", "cluster": {"id": "blue"}, "nodes": []}
LEADER: dict[str, Any] = {
    "state": "manager",
    "cluster": {"id": "blue"},
    "node": {"id": "id-m1", "is_leader": True},
    "nodes": [
        {
            "id": "id-m1",
            "hostname": "m1",
            "address": "10.0.0.1",
            "availability": "active",
            "manager": {"address": "10.0.0.1:2377", "reachability": "reachable"},
        }
    ],
}
NODES = [{"id": "id-m1", "hostname": "m1", "state": "ready", "labels": {}, "availability": "active"}]
BOOTSTRAP: dict[str, Any] = {
    "managers": ["m1"],
    "workers": [],
    "count": 0,
    "addresses": {},
    "advertise": {},
    "zones": {},
    "allow_leased": False,
}
#: For each filter what it is given, and what makes no sense to it.
GOOD: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "archive_copies": ((["/srv/swarm_blue_m1_20260101T000000Z.tar.gz", "b"],), {}),
    "address_traces": (({"m1": MANAGER}, "10.0.0.1"), {}),
    "backup_plan": (({"m1": {"state": "inactive"}},), {"named": [], "leader": "stop", "addresses": {"m1": ["m1"]}}),
    "backup_report": (({"swarms": [], "others": []}, {}), {}),
    "backup_result": (({"swarms": [], "others": []}, {}), {}),
    "backup_table": (({"swarms": []},), {}),
    "rotation_result": (({"swarms": [], "others": []}, {}), {}),
    "verify_result": (({"m1": {"level": "raft", "archives": []}},), {}),
    "bootstrap_plan": (({"m1": LEADER},), BOOTSTRAP),
    "copy_plan": (([{"to": "controller", "directory": "/a"}],), {"hosts": ["m1"]}),
    "cron_fields": (("0 2 * * *",), {}),
    "drain_plan": (({"m1": LEADER},), {"named": ["m1"]}),
    "fault_tolerance": ((4,), {}),
    "fence_plan": (({"m2": {"state": "locked"}},), FENCE),
    "prometheus_metrics": (({"swarms": []}, "health"), {}),
    "remedy_plan": (({"swarms": []}, {}, "restart"), {}),
    "health_verdict": (({"m1": {"state": "inactive"}}, {}), {"now": 0}),
    "host_addresses": (({"inventory_hostname": "m1"},), {}),
    "majority": ((4,), {}),
    "manager_layout": ((3,), {"zones": {"a": ["m1", "m2"], "b": ["m3"]}}),
    "name_list": (("m1, m2",), {}),
    "place_command": (("/srv/a.tar.gz",), {"purpose": "unpack", "host": "m1"}),
    "needs_become": (({"inventory_hostname": "m1"},), {}),
    "move_plan": (({"m1": {"state": "locked"}},), {"target": "m1", "addresses": {}}),
    "rejoin_plan": (
        ({"m1": LEADER, "m2": {"state": "inactive"}},),
        {"target": "m2", "addresses": {}, "even_if_healthy": False},
    ),
    "remove_plan": (({"m1": LEADER},), {"node": "w1", "addresses": {}}),
    "succession": ((NODES,), {"node_id": "id-m1", "former": NODES}),
    "rebalance_report": (({"swarms": [], "others": []}, {}), {}),
    "rotation_plan": (({"m1": {"state": "inactive"}},), {"missing": ["m2"], "addresses": {"m1": ["m1"]}}),
    "rotation_report": (({"swarms": [], "others": []}, {}), {}),
    "rotation_step": (([],), {"current": None, "policy": "never"}),
    "rotation_unproven": (([],), {"current": "uk1:0"}),
    "quorum_outlook": (({"m2": {"state": "inactive"}},), {"lost": [], "addresses": {}, "settle_timeout": 60}),
    "recovery_plan": (({"m2": {"state": "inactive"}},), {"lost": [], "addresses": {}}),
    "report_page": (({"worst": None, "swarms": [], "others": []},), {"now": 0}),
    "swarm_report": ((SWARM,), {"before": None}),
    "swarm_query": ((SWARM, "nodes"), {}),
    "unmet_expectations": ((SWARM, [{"query": "length(nodes)", "at_least": 1}]), {}),
    "time_spent": (([{"step": "stop", "seconds": 1.6}],), {"seconds": 9}),
    "schedule_command": ((["echo", "100 %"], "cron"), {}),
    "superseded_copies": ((["a", "b"], "b", {"keep_last": 1}), {}),
    "verify_report": (([{"path": "a", "good": True}],), {"level": "files"}),
}
BAD: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "archive_copies": [((None,), {}), (([1],), {})],
    "address_traces": [((None, "10.0.0.1"), {}), (({"m1": {"state": "manager", "nodes": [{}]}}, "10.0.0.1"), {})],
    "backup_plan": [((None,), {}), ((["m1"],), {}), (({"m1": {"state": "manager", "cluster": {"id": "blue"}}},), {})],
    "backup_report": [(({}, {}), {}), (({"swarms": [{}], "others": []}, {}), {})],
    "backup_result": [(({}, {}), {}), (({"swarms": [{}], "others": []}, {}), {})],
    "rotation_result": [(({}, {}), {}), (({"swarms": [{}], "others": []}, {}), {})],
    "verify_result": [((None,), {}), (({"m1": {}},), {})],
    "backup_table": [((None,), {}), (({"swarms": [{}]},), {})],
    "bootstrap_plan": [((None,), BOOTSTRAP), (({},), {"count": 3}), (({"m1": {"state": "manager"}},), BOOTSTRAP)],
    "copy_plan": [((None,), {"hosts": []}), ((["a"],), {"hosts": []}), (([],), {})],
    "cron_fields": [((None,), {}), ((["0"],), {})],
    "drain_plan": [((None,), {"named": []}), (({},), {}), (({"m1": {"state": "manager"}},), {"named": []})],
    "fault_tolerance": [(("many",), {}), ((None,), {})],
    "fence_plan": [(({},), {}), (({},), {**FENCE, "typo": 1}), ((None,), FENCE)],
    "remedy_plan": [(({}, {}, "restart"), {})],
    "prometheus_metrics": [((None, "health"), {}), (({}, "verify"), {})],
    "health_verdict": [(("m1", {}), {}), (({"m1": MANAGER}, {}), {})],
    "host_addresses": [(("m1",), {}), ((None,), {})],
    "majority": [(("many",), {}), (([],), {})],
    "manager_layout": [(("many",), {"zones": ["a"]}), ((3,), {"zones": None}), ((3,), {"zones": {"a": None}})],
    "name_list": [((None,), {}), ((1,), {})],
    "place_command": [((None,), {"purpose": "unpack", "host": "m1"}), (("a.tar.gz",), {"purpose": "unpack"})],
    "needs_become": [((None,), {}), (({},), {}), (({"inventory_hostname": "m1", "ansible_become": "perhaps"},), {})],
    "move_plan": [(({},), {"target": "m1", "addresses": {}}), ((None,), {}), (({"m1": None},), {"target": "m1"})],
    "rejoin_plan": [((None,), {"target": "m1", "addresses": {}}), (({},), {"target": "m1"})],
    "remove_plan": [((None,), {"node": "m1", "addresses": {}}), (({},), {"node": "m1"})],
    "succession": [((None,), {"node_id": "id-m1", "former": []}), ((NODES,), {"node_id": "id-m1", "former": [{}]})],
    "rebalance_report": [(({}, {}), {}), (({"swarms": [], "others": []}, None), {})],
    "rotation_plan": [((None,), {}), ((["m1"],), {}), (({"m1": {"state": "manager", "cluster": {"id": "blue"}}},), {})],
    "rotation_report": [(({}, {}), {}), (({"swarms": [{}], "others": []}, {}), {})],
    "rotation_step": [((None,), {"current": "uk1:0"}), (([{}],), {"current": "uk1:0"})],
    "rotation_unproven": [((None,), {"current": "uk1:0"}), (([{}],), {"current": "uk1:0"})],
    "quorum_outlook": [(({},), {}), ((None,), {"lost": [], "addresses": {}, "settle_timeout": 60})],
    "recovery_plan": [(({},), {}), ((None,), {"lost": [], "addresses": {}})],
    "report_page": [(({},), {}), ((None,), {"now": 0})],
    "swarm_report": [(({},), {}), ((SWARM,), {"before": {"nodes": []}})],
    "swarm_query": [],
    "unmet_expectations": [((SWARM, None), {}), ((SWARM, 3), {})],
    "time_spent": [((None,), {"seconds": 1}), (([{}],), {"seconds": 1}), (([],), {"seconds": "long"})],
    "schedule_command": [((None, "cron"), {}), ((3, "command"), {})],
    "superseded_copies": [((None, "b", {}), {}), (([], "b", ["keep_last"]), {}), (([], "b", 3), {})],
    "verify_report": [((None,), {"level": "files"}), (([{}],), {"level": "files"})],
}


def filter_of(name: str) -> Callable[..., Any]:
    plugin = importlib.import_module(f"{PACKAGE}.{name}").FilterModule()
    ((offered, function),) = plugin.filters().items()
    assert offered == name
    return function


def decision_of(name: str) -> Callable[..., Any]:
    (decision,) = {getattr(module, name) for module in DECISIONS if hasattr(module, name)}
    return decision


def test_nothing_is_imported_before_a_filter_decides() -> None:
    """For any one of them, all are loaded in the process of each task for each host."""
    load = "; ".join(f"import {PACKAGE}.{name} as plugin; plugin.FilterModule().filters()" for name in NAMES)
    tell = "print([name for name in sys.modules if '.swarm.plugins.module_utils.' in name])"
    root = str(Path(__file__).resolve().parents[7])
    told = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); {load}; {tell}"],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert told.stdout == "[]\n"


def test_every_filter_is_tested() -> None:
    assert NAMES == sorted(GOOD) == sorted(BAD)


@pytest.mark.parametrize("name", NAMES)
def test_a_filter_is_the_decision_of_its_name(name: str) -> None:
    arguments, options = GOOD[name]
    assert filter_of(name)(*arguments, **options) == decision_of(name)(*arguments, **options)


@pytest.mark.parametrize(("name", "arguments", "options"), [(name, *bad) for name in NAMES for bad in BAD[name]])
def test_what_makes_no_sense_is_an_error_of_the_filter(
    name: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(AnsibleFilterError, match=f"quorate.swarm.{name}: the input is not what it has to be") as caught:
        filter_of(name)(*arguments, **options)
    assert isinstance(caught.value.__cause__, (AttributeError, KeyError, TypeError, ValueError))


@pytest.mark.parametrize(
    ("given", "names"),
    [("m1,m2", ["m1", "m2"]), (" m1 , ,m2,", ["m1", "m2"]), ("", []), ([], []), (["m1", "m,2"], ["m1", "m,2"])],
)
def test_names_are_a_list(given: Any, names: list[str]) -> None:
    assert filter_of("name_list")(given) == names


def test_numbers_that_templates_made_texts_are_taken() -> None:
    assert filter_of("majority")("5") == 3
    assert filter_of("fault_tolerance")("5") == 2
    assert filter_of("manager_layout")("3", ["a", "b", "c"])["spread"] == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("backup_plan", "named"),
        ("fence_plan", "lost"),
        ("move_plan", "lost"),
        ("quorum_outlook", "lost"),
        ("recovery_plan", "lost"),
        ("rotation_plan", "missing"),
    ],
)
def test_names_that_the_command_line_made_a_text_are_taken(
    monkeypatch: pytest.MonkeyPatch, name: str, option: str
) -> None:
    given: list[Any] = []
    (module,) = [module for module in DECISIONS if hasattr(module, name)]
    monkeypatch.setattr(module, name, lambda infos, **options: given.append(options[option]))
    for names in ("m1, m2", "m1", ["m1", "m2"]):
        filter_of(name)({}, **{option: names})
    assert given == [["m1", "m2"], ["m1"], ["m1", "m2"]]


def test_an_error_of_the_decision_is_told_as_it_is() -> None:
    with pytest.raises(AnsibleFilterError, match="quorate.swarm.manager_layout: Could not place 3 manager") as caught:
        filter_of("manager_layout")(3, zones={"a": ["m1"], "b": ["m2"]})
    assert isinstance(caught.value.__cause__, SwarmError)


def test_quorate() -> None:
    ((name, is_quorate),) = quorate.TestModule().tests().items()
    assert name == "quorate"
    assert is_quorate({"state": "manager", "quorum": {"leader": "m1", "reachable": 2, "majority": 2}}) is True
    with pytest.raises(AnsibleFilterError, match="quorate.swarm.quorate: the input is not what it has to be"):
        is_quorate("m1")


@pytest.mark.parametrize("name", NAMES)
def test_the_documented_options_are_those_of_the_decision(name: str) -> None:
    source = (FILTERS / f"{name}.py").read_text()
    documentation = yaml.safe_load(re.findall(r'DOCUMENTATION = r"""(.*?)"""', source, re.DOTALL)[0])
    others = list(inspect.signature(decision_of(name)).parameters.values())[1:]
    assert documentation["name"] == name
    assert set(documentation["options"]) == {"_input", *(parameter.name for parameter in others)}
    for parameter in others:
        option = documentation["options"][parameter.name]
        optional = parameter.default is not inspect.Parameter.empty
        assert option.get("required", False) is not optional, parameter.name
        if optional and parameter.default:
            assert option["default"] == parameter.default
