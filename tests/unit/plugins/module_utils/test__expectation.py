# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _expectation as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import MissingLibrary, Refused

FACTS: dict[str, Any] = {
    "state": "manager",
    "nodes": [{"hostname": "m1", "state": "ready"}, {"hostname": "w1", "state": "down"}],
    "services": [{"name": "web", "running": 2, "desired": 3}, {"name": "api", "running": 1, "desired": 1}],
    "quorum": {"healthy": True, "can_lose": 0},
}


class Text(str):
    """A text as a template engine has it, with a type of its own."""


class Table(dict):
    """A dictionary, likewise."""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state", "manager"),
        ("nodes[?state=='down'].hostname", ["w1"]),
        ("length(services[?running < desired])", 1),
        ("services[?name=='web'].running | [0]", 2),
        ("quorum.healthy", True),
        ("nothing.at.all", None),
    ],
)
def test_query(query: str, expected: Any) -> None:
    assert module.swarm_query(FACTS, query) == expected


def test_types_of_a_template_engine_are_understood() -> None:
    facts = Table(nodes=(Table(hostname=Text("m1")),))
    assert (
        module.swarm_query(facts, Text("nodes[?starts_with(hostname, 'm')].hostname | sort(@) | join(', ', @)")) == "m1"
    )


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "nodes[?state='down']",
            "it is no JMESPath: it cannot be read before \"='down']\". Texts stand in single quotes",
        ),
        ("nodes[?state=='down'", "it is no JMESPath: it ends too early"),
        ("nodes[", "it ends too early"),
        ("nodes]", "it cannot be read before ']'"),
        ("nodes[?state == `x].a", "it cannot be read before '`x\\].a'"),
        ("nodes[?state ? 1]", "it cannot be read before"),
        ("len(nodes)", "there is no function len. JMESPath has abs, .*length"),
        ("nodes[?lower(hostname) == 'a' && upper(state) == 'B']", "there is no function lower, upper"),
        (
            "length(service)",
            r"length\(\) takes string or array or object, and was given null. A field that is not there is null; the facts "
            "have nodes, quorum, services, state",
        ),
        ("sum(nodes)", r"sum\(\) takes array of numbers, and was given \w+. Give it array of numbers"),
        ("nodes[?starts_with(@, 'a')]", r"starts_with\(\) takes string, and was given object"),
        ("length()", r"Expected 1 argument for function length\(\), received 0"),
        ("", "it is no text but"),
        (None, "it is no text but null"),
    ],
)
def test_errors_say_where_and_why(query: Any, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        module.swarm_query(FACTS, query)
    assert "\n" not in str(caught.value)
    assert "w1" not in str(caught.value)


def test_without_jmespath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HAS_JMESPATH", False)
    with pytest.raises(MissingLibrary, match="jmespath is not installed on the controller"):
        module.swarm_query(FACTS, "state")
    with pytest.raises(MissingLibrary):
        module.unmet_expectations({}, [{"query": "state", "is": 1}])
    assert module.unmet_expectations(FACTS, []) == []


# -- expectations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expectation",
    [
        {"query": "state", "is": "manager"},
        {"query": "quorum.healthy", "is": True},
        {"query": "nodes[].hostname", "is": ["m1", "w1"]},
        {"query": "nothing", "is": None},
        {"query": "length(nodes)", "at_least": 2},
        {"query": "length(nodes)", "at_least": "1.5", "message": "too few nodes"},
        {"query": "quorum.can_lose", "is": 0},
    ],
)
def test_met(expectation: dict[str, Any]) -> None:
    assert module.unmet_expectations(FACTS, [expectation]) == []


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        ({"query": "state", "is": "worker"}, 'state: it is "manager", "worker" is expected'),
        ({"query": "length(nodes)", "is": "2"}, 'length(nodes): it is 2, "2" is expected'),
        ({"query": "quorum.healthy", "is": 1}, "quorum.healthy: it is true, 1 is expected"),
        ({"query": "quorum.can_lose", "is": False}, "quorum.can_lose: it is 0, false is expected"),
        (
            {"query": "services[0].running", "at_least": 3, "message": "the shop is not up"},
            "the shop is not up (services[0].running: it is 2, at least 3 is expected)",
        ),
        ({"query": "nothing", "at_least": 0}, "nothing: it is null, at least 0 is expected"),
        ({"query": "quorum.healthy", "at_least": 0}, "quorum.healthy: it is true, at least 0 is expected"),
        (
            {"query": "length(nothing)", "at_least": 1},
            "length(nothing): length() takes string or array or object, and was given null",
        ),
    ],
)
def test_unmet(expectation: dict[str, Any], message: str) -> None:
    (unmet,) = module.unmet_expectations(FACTS, [{"query": "state", "is": "manager"}, expectation])
    assert (unmet["query"], unmet["message"]) == (expectation["query"], message)


def test_a_long_answer_is_cut() -> None:
    facts = {"nodes": ["x" * 50] * 20}
    (unmet,) = module.unmet_expectations(facts, [{"query": "nodes", "is": []}])
    assert len(unmet["message"]) < 300
    assert unmet["found"] == facts["nodes"]


@pytest.mark.parametrize("facts", [{}, FACTS])
@pytest.mark.parametrize(
    ("expectation", "words"),
    [
        ({"query": "state"}, "not exactly one of is and at_least"),
        ({"is": 1}, "it has no query"),
        ({"query": "state", "is": 1, "at_least": 1}, "not exactly one"),
        ({"query": "state", "is_": 1}, "is_ has no meaning"),
        ({"query": "state", "at_least": "many"}, 'at_least is no number but "many"'),
        ({"query": "state", "at_least": True}, "at_least is no number but true"),
        ({"query": "state", "at_least": None}, "at_least is no number but null"),
        ({"query": "nodes[", "is": 1}, "it ends too early"),
        ({"query": "len(nodes)", "is": 1}, "there is no function len"),
        ({"query": "", "is": 1}, "it is no text"),
        ("state", "it is no dictionary"),
    ],
)
def test_what_makes_no_sense_is_found_with_any_facts(facts: dict[str, Any], expectation: Any, words: str) -> None:
    with pytest.raises(Refused, match=words):
        module.unmet_expectations(facts, [{"query": "state", "is": "manager"}, expectation])


def test_expectations_are_a_list() -> None:
    for wrong in ({"query": "state", "is": 1}, "state"):
        with pytest.raises(Refused, match="they are no list"):
            module.unmet_expectations({}, wrong)  # type: ignore[arg-type]


def test_no_facts_are_as_good_as_any_to_find_what_makes_no_sense() -> None:
    assert len(module.unmet_expectations({}, [{"query": "length(nodes)", "at_least": 3}])) == 1
