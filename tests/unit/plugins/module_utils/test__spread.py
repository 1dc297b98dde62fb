# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import random
from typing import Any, Mapping

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._model import Task
from ansible_collections.quorate.swarm.plugins.module_utils._spread import (
    Place,
    branches_of,
    even_spread,
    host_ports,
    judge,
    may_run,
    meets_constraint,
    moves,
    rooms,
)
from ansible_collections.quorate.swarm.tests.unit.fake_engine import ENGINES, api_node, api_service, api_task, recorded

GIGABYTE = 1 << 30


def place(name: str = "w1", *, engine: dict[str, Any] | None = None, platform: Any = None, **options: Any) -> Place:
    node = api_node(name, **options)
    node["Description"]["Platform"] = platform or {"OS": "linux", "Architecture": "x86_64"}
    node["Description"]["Resources"] = {"NanoCPUs": 2_000_000_000, "MemoryBytes": 4 * GIGABYTE}
    node["Description"]["Engine"].update(engine or {})
    return Place.from_api(node)


def places(*names: str) -> list[Place]:
    return [place(name) for name in names]


# -- constraints -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("node.id == id-w1", True),
        ("node.id==id-w2", False),
        ("node.hostname == W1", True),
        ("NODE.HOSTNAME!=w1", False),
        ("node.role == manager", False),
        ("node.role == Worker", True),
        ("node.role != manager", True),
        ("node.platform.os == linux", True),
        ("node.platform.arch == x86_64", True),
        ("node.platform.arch == amd64", True),
        ("node.platform.arch != aarch64", True),
        ("node.labels.disk == SSD", True),
        ("node.labels.Disk == ssd", False),
        ("node.labels.disk != ssd", False),
        ("node.labels.rack != 7", True),
        ("node.labels.rack == 7", False),
        ("engine.labels.zone == a", True),
        ("engine.labels.zone != a", False),
        ("node.ip == 10.0.0.1", True),
        ("node.ip != 10.0.0.0/24", False),
        ("node.ip == 10.1.0.0/24", False),
        ("node.ip == nonsense", False),
        ("node.ip != nonsense", False),
        ("node.labels. == ssd", False),
        ("node.colour == red", False),
        ("node.colour != red", False),
        ("node.role", False),
    ],
)
def test_constraints(constraint: str, expected: bool) -> None:
    here = place(labels={"disk": "ssd"}, engine={"Labels": {"zone": "a"}})
    assert meets_constraint(here, constraint) is expected
    assert may_run(here, {"Placement": {"Constraints": [constraint]}}) is expected
    assert may_run(here, {"Placement": {"Constraints": ["node.role == worker", constraint]}}) is expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"state": "down"}, False),
        ({"state": "unknown"}, False),
        ({"availability": "drain"}, False),
        ({"availability": "pause"}, False),
    ],
)
def test_only_ready_active_nodes(options: dict[str, Any], expected: bool) -> None:
    assert may_run(place(**options), {}) is expected


@pytest.mark.parametrize(
    ("platforms", "expected"),
    [
        ([], True),
        ([{"OS": "linux", "Architecture": "amd64"}], True),
        ([{"OS": "linux"}], True),
        ([{"OS": "windows", "Architecture": "amd64"}], False),
        ([{"OS": "linux", "Architecture": "arm64"}, {"OS": "linux", "Architecture": "x86_64"}], True),
        ([{"OS": "linux", "Architecture": "arm64"}], False),
    ],
)
def test_platforms(platforms: list[dict[str, str]], expected: bool) -> None:
    assert may_run(place(), {"Placement": {"Platforms": platforms}}) is expected
    pi = place(platform={"OS": "linux", "Architecture": "aarch64"})
    assert may_run(pi, {"Placement": {"Platforms": [{"OS": "linux", "Architecture": "arm64"}]}})


def test_plugins() -> None:
    mount = {"Type": "volume", "VolumeOptions": {"DriverConfig": {"Name": "nfs"}}}
    template = {"ContainerSpec": {"Mounts": [mount]}, "LogDriver": {"Name": "journald"}}
    both = [{"Type": "Volume", "Name": "nfs"}, {"Type": "Log", "Name": "journald"}]
    assert may_run(place(engine={"Plugins": both}), template)
    assert not may_run(place(engine={"Plugins": both[:1]}), template)
    assert not may_run(place(engine={"Plugins": both[1:]}), template)
    assert may_run(place(), {"ContainerSpec": {"Mounts": [{"Type": "volume"}]}, "LogDriver": {"Name": "none"}})


@pytest.mark.parametrize("version", ENGINES)
def test_recorded_nodes_may_have_tasks(version: str) -> None:
    answer = recorded(version, "leader")["/nodes"]
    assert isinstance(answer, list)
    found = [Place.from_api(node) for node in answer[1]]
    assert {(each.os, each.architecture) for each in found} == {("linux", "amd64")}
    assert all(each.cpus and each.memory for each in found)
    assert all(
        may_run(each, {"Placement": {"Platforms": [{"OS": "linux", "Architecture": "amd64"}]}}) for each in found
    )


# -- room --------------------------------------------------------------------------------------------------------


def room(service: dict[str, Any], tasks: list[dict[str, Any]], others: tuple[dict[str, Any], ...] = ()) -> Any:
    ports = {each["ID"]: host_ports(each) for each in (service, *others)}
    return rooms(service, places("w1", "w2"), [Task.from_api(task) for task in tasks], ports)


def test_room_without_a_limit() -> None:
    assert room(api_service("web"), []) == {"id-w1": None, "id-w2": None}


def test_room_with_a_maximum_for_each_node() -> None:
    assert room(api_service("web", placement={"MaxReplicas": 2}), []) == {"id-w1": 2, "id-w2": 2}


def test_room_of_ports_of_the_host() -> None:
    ports = [{"PublishMode": "host", "PublishedPort": 80, "Protocol": "tcp"}]
    web, proxy = api_service("web", ports=ports), api_service("proxy", ports=ports)
    dns = api_service("dns", ports=[{**ports[0], "Protocol": "udp"}, {"PublishMode": "ingress", "PublishedPort": 81}])
    tasks = [
        api_task("proxy", "w1"),
        api_task("dns", "w2"),
        api_task("web", "w2"),
        api_task("gone", "w2", state="failed"),
    ]
    assert room(web, tasks, (proxy, dns)) == {"id-w2": 1}


def test_room_of_what_is_reserved() -> None:
    web = api_service("web", reservations={"MemoryBytes": GIGABYTE, "NanoCPUs": 500_000_000})
    tasks = [
        api_task("web", "w1", reservations={"MemoryBytes": GIGABYTE}),
        api_task("db", "w1", reservations={"MemoryBytes": 5 * GIGABYTE // 2}),
        api_task("db", "w2", reservations={"NanoCPUs": 1_000_000_000}),
        api_task("db", "w2", state="shutdown", reservations={"NanoCPUs": 1_000_000_000}),
    ]
    assert room(web, tasks) == {"id-w1": 1, "id-w2": 2}


def test_room_is_never_negative() -> None:
    web = api_service("web", reservations={"MemoryBytes": GIGABYTE})
    assert room(web, [api_task("db", "w1", reservations={"MemoryBytes": 5 * GIGABYTE})])["id-w1"] == 0


# -- what is even ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "expected", "moved"),
    [
        ((3, 0, 3), (2, 2, 2), 2),
        ((3, 3, 0), (2, 2, 2), 2),
        ((2, 2, 2), (2, 2, 2), 0),
        ((1, 2, 2), (1, 2, 2), 0),
        ((2, 1, 2), (2, 1, 2), 0),
        ((0, 0, 1), (0, 0, 1), 0),
        ((5, 0, 0), (2, 2, 1), 3),
        ((0, 4, 1), (2, 2, 1), 2),
        ((0, 0, 0), (0, 0, 0), 0),
        ((10, 0, 0), (4, 3, 3), 6),
    ],
)
def test_even_over_nodes(held: tuple[int, ...], expected: tuple[int, ...], moved: int) -> None:
    now = dict(zip("abc", held))
    wanted = even_spread(now, dict.fromkeys("abc"), sum(held))
    assert tuple(wanted[node] for node in "abc") == expected
    assert moves(now, wanted) == moved


def test_nodes_without_room_are_passed_over() -> None:
    held = {"a": 4, "b": 2, "c": 0}
    assert even_spread(held, {"a": None, "b": 1, "c": None}, 6) == {"a": 3, "b": 1, "c": 2}
    assert even_spread(held, {"a": None, "c": 0}, 6) == {"a": 6, "c": 0}
    assert even_spread(held, {"a": 2, "b": 2}, 6) == {"a": 2, "b": 2}
    assert even_spread(held, {}, 6) == {}


def test_preferences_come_before_nodes() -> None:
    zones = {"a": ("x",), "b": ("x",), "c": ("x",), "d": ("y",)}
    held = {"a": 2, "b": 2, "c": 2, "d": 0}
    assert even_spread(held, dict.fromkeys(held), 6, zones) == {"a": 1, "b": 1, "c": 1, "d": 3}
    racks = {"a": ("x", "1"), "b": ("x", "1"), "c": ("x", "2"), "d": ("y", "1")}
    assert even_spread({}, dict.fromkeys(held), 8, racks) == {"a": 1, "b": 1, "c": 2, "d": 4}


def test_what_is_left_over_goes_where_a_task_need_not_move() -> None:
    zones = {"a": ("x",), "b": ("x",), "c": ("y",), "d": ("y",)}
    held = {"a": 1, "b": 1, "c": 3, "d": 0}
    wanted = even_spread(held, dict.fromkeys(held), 5, zones)
    assert (wanted, moves(held, wanted)) == ({"a": 1, "b": 1, "c": 2, "d": 1}, 1)


def scheduled(
    held: Mapping[str, int], limits: Mapping[str, int | None], count: int, branches: Mapping[str, tuple[str, ...]]
) -> dict[str, int]:
    """Place tasks one by one, each in the emptiest branch that has room, as moby/swarmkit manager/scheduler does."""
    result = {node: held.get(node, 0) for node in limits}
    for dummy in range(count):
        nodes = [node for node in limits if limits[node] is None or result[node] < (limits[node] or 0)]
        if not nodes:
            break
        for level in range(len(next(iter(branches.values())))):
            load = {branches[node][level]: 0 for node in nodes}
            prefix = branches[nodes[0]][:level]
            for node in limits:
                if branches[node][:level] == prefix and branches[node][level] in load:
                    load[branches[node][level]] += result[node]
            best = min(load, key=lambda branch: load[branch])
            nodes = [node for node in nodes if branches[node][level] == best]
        result[min(nodes, key=lambda node: result[node])] += 1
    return result


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_spread_of_the_scheduler(seed: int) -> None:
    """From an empty swarm the scheduler comes to the same spread, but for which node or branch gets what is left over."""
    dice = random.Random(seed)
    names = [f"n{number}" for number in range(dice.randint(1, 7))]
    depth = dice.randint(0, 2)
    branches = {name: tuple(dice.choice("xyz") for dummy in range(depth)) for name in names}
    limits = {name: dice.choice([None, None, 0, 1, 3]) for name in names}
    count = dice.randint(0, 15)
    real = scheduled({}, limits, count, branches)
    mine = even_spread(real, limits, count, branches)
    assert moves(real, mine) == 0
    assert mine == real


@pytest.mark.parametrize("seed", range(60))
def test_no_spread_that_is_as_even_moves_fewer_tasks(seed: int) -> None:
    dice = random.Random(seed)
    names = [f"n{number}" for number in range(4)]
    branches = {name: (dice.choice("xy"),) for name in names}
    held = {name: dice.randint(0, 3) for name in names}
    count = sum(held.values())
    best = even_spread(held, dict.fromkeys(names), count, branches)

    def shape(spread: Mapping[str, int]) -> list[tuple[int, list[int]]]:
        groups = [[spread[name] for name in names if branches[name] == (zone,)] for zone in "xy"]
        return [(max(group) - min(group), group) for group in groups if group]

    def is_even(spread: Mapping[str, int]) -> bool:
        totals = [sum(group) for dummy, group in shape(spread)]
        return max(totals) - min(totals) <= 1 and all(gap <= 1 for gap, dummy in shape(spread))

    assert is_even(best)
    others = (dict(zip(names, numbers)) for numbers in itertools.product(range(count + 1), repeat=4))
    least = min(moves(held, other) for other in others if sum(other.values()) == count and is_even(other))
    assert moves(held, best) == least


def test_branches_of_labels() -> None:
    spread = [{"Spread": {"SpreadDescriptor": name}} for name in ("node.labels.zone", "engine.labels.rack")]
    nodes = [place("w1", labels={"zone": "a"}, engine={"Labels": {"rack": "1"}}), place("w2")]
    assert branches_of(nodes, spread) == {"id-w1": ("a", "1"), "id-w2": ("", "")}
    assert branches_of(nodes, []) == {"id-w1": (), "id-w2": ()}


# -- the verdict -------------------------------------------------------------------------------------------------


def verdict(service: dict[str, Any], tasks: list[dict[str, Any]], nodes: list[Place] | None = None) -> Any:
    return judge(
        service,
        nodes or places("w1", "w2", "w3"),
        [Task.from_api(task) for task in tasks],
        {service["ID"]: host_ports(service)},
    )


def spread_over(*counts: int, name: str = "web") -> list[dict[str, Any]]:
    return [
        api_task(name, f"w{number}", slot=10 * number + index)
        for number, count in enumerate(counts, 1)
        for index in range(count)
    ]


def test_uneven() -> None:
    found = verdict(api_service("web", replicas=6), spread_over(3, 0, 3))
    assert (found.verdict, found.moves) == ("uneven", 2)
    assert found.held == {"id-w1": 3, "id-w2": 0, "id-w3": 3}
    assert found.wanted == {"id-w1": 2, "id-w2": 2, "id-w3": 2}


@pytest.mark.parametrize("counts", [(2, 2, 2), (3, 2, 2), (0, 0, 1), (0, 0, 0)])
def test_even(counts: tuple[int, ...]) -> None:
    assert verdict(api_service("web", replicas=sum(counts)), spread_over(*counts)).verdict == "even"


def test_a_drained_node_is_no_gap() -> None:
    nodes = [*places("w1", "w3"), place("w2", availability="drain")]
    assert verdict(api_service("web", replicas=6), spread_over(3, 0, 3), nodes).verdict == "even"


def test_tasks_on_a_paused_node_may_stay() -> None:
    nodes = [*places("w1", "w3"), place("w2", availability="pause")]
    service = api_service("web", replicas=6)
    assert verdict(service, spread_over(1, 4, 1), nodes).verdict == "even"
    uneven = verdict(service, spread_over(2, 4, 0), nodes)
    assert (uneven.verdict, uneven.moves, uneven.wanted) == ("uneven", 1, {"id-w1": 3, "id-w3": 3})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mode": {"Global": {}}}, "global"),
        ({"mode": {"ReplicatedJob": {"TotalCompletions": 3}}}, "job"),
        ({"mode": {"GlobalJob": {}}}, "job"),
        ({"update": "updating"}, "updating"),
        ({"update": "rollback_started"}, "updating"),
        ({"update": "paused"}, "paused"),
        ({"update": "rollback_paused"}, "paused"),
        ({"update": "completed"}, "uneven"),
        ({"update": "rollback_completed"}, "uneven"),
        ({"reservations": {"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu"}}]}}, "not_judged"),
        ({"container": {"Mounts": [{"Type": "cluster"}]}}, "not_judged"),
        ({"replicas": 7}, "unsettled"),
        ({"replicas": 5}, "unsettled"),
        ({"placement": {"MaxReplicas": 1}}, "not_judged"),
    ],
)
def test_what_is_left_alone(change: dict[str, Any], expected: str) -> None:
    found = verdict(api_service("web", **{"replicas": 6, **change}), spread_over(3, 0, 3))
    assert found.verdict == expected
    assert bool(found.reason) is (expected != "uneven")


def test_tasks_that_do_not_run_yet_are_waited_for() -> None:
    tasks = [*spread_over(3, 0, 2), api_task("web", "w3", slot=99, state="preparing")]
    found = verdict(api_service("web", replicas=6), tasks)
    assert (found.verdict, found.reason) == ("unsettled", "5 of its 6 tasks run")
