# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a question about the facts of a swarm is asked in JMESPath, and whether the answer is the expected one.

It runs on the controller, where jmespath is needed. No I/O.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import MissingLibrary, Refused

try:
    import jmespath
    import jmespath.exceptions
    import jmespath.functions
except ImportError:
    HAS_JMESPATH = False
else:
    HAS_JMESPATH = True

#: Types of JMESPath whose names tell little.
_KINDS = {"array-number": "array of numbers", "array-string": "array of strings"}
_KEYS = {"query", "is", "at_least", "message"}
_SYNTAX = "Texts stand in single quotes, numbers and booleans in backquotes, and values are compared with =="


def swarm_query(facts: t.Any, query: str) -> t.Any:
    """Evaluate a JMESPath expression over facts.

    Args:
        facts: What swarm_info returned, or anything else that could be JSON.
        query: The expression.

    Raises:
        Refused: It is no JMESPath, or cannot be evaluated over these facts; with the place, and what to write instead.
        MissingLibrary: jmespath is not installed.
    """
    compiled = _compiled(query)
    plain = _plain(facts)
    try:
        return compiled.search(plain)
    except jmespath.exceptions.JMESPathTypeError as error:
        kinds = [error.expected_types] if isinstance(error.expected_types, str) else error.expected_types
        expected = " or ".join(_KINDS.get(kind, kind) for kind in kinds)
        remedy = f"Give it {expected}"
        if error.actual_type == "null" and isinstance(plain, dict):
            remedy = f"A field that is not there is null; the facts have {', '.join(sorted(map(str, plain))) or 'none'}"
        raise Refused(
            _attempted(query), f"{error.function_name}() takes {expected}, and was given {error.actual_type}", remedy
        ) from error
    except jmespath.exceptions.JMESPathError as error:
        raise Refused(_attempted(query), " ".join(str(error).split()), _SYNTAX) from error


def unmet_expectations(facts: t.Any, expectations: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the expectations that the facts do not meet; none when they meet all.

    An expectation whose query cannot be evaluated over these facts is not met. One that makes no sense with any facts is
    an error, so that an empty dictionary as facts finds these beforehand.

    Args:
        facts: What swarm_info returned.
        expectations: Each with C(query), either C(is) or C(at_least), and C(message).

    Returns: For each C(query), C(message) (a line for people), C(found) and C(wanted).

    Raises:
        Refused: An expectation makes no sense, or its query is no JMESPath.
        MissingLibrary: jmespath is not installed.
    """
    if isinstance(expectations, (str, t.Mapping)):
        raise Refused("read the expectations", "they are no list", "Give a list of query, is or at_least, and message")
    for place, expectation in enumerate(expectations, 1):
        _require_sense(expectation, f"read expectation {place} of {len(expectations)}")
    unmet = []
    for expectation in expectations:
        query = expectation["query"]
        try:
            found, trouble = swarm_query(facts, query), ""
        except Refused as error:
            found, trouble = None, error.cause
        wanted = _wanted(expectation)
        if trouble or not _is_met(found, expectation):
            told = trouble or f"it is {_shown(found)}, {wanted} is expected"
            words = expectation.get("message")
            message = f"{words} ({query}: {told})" if words else f"{query}: {told}"
            unmet.append({"query": query, "message": message, "found": found, "wanted": wanted})
    return unmet


def _attempted(query: t.Any) -> str:
    return f"evaluate the query {query}"


def _compiled(query: t.Any) -> t.Any:
    """Read an expression, down to the names of its functions."""
    if not HAS_JMESPATH:
        raise MissingLibrary(
            _attempted(query),
            "jmespath is not installed on the controller for the Python of Ansible",
            "Install it there with pip, or put it into the execution environment",
        )
    if not isinstance(query, str) or not query.strip():
        raise Refused("evaluate a query", f"it is no text but {_shown(query)}", "Give a JMESPath expression")
    query = str(query)
    try:
        compiled = jmespath.compile(query)
    except jmespath.exceptions.ParseError as error:
        place = error.lex_position if isinstance(error.lex_position, int) else len(query)
        where = f"before {query[place : place + 20]!r}" if query[place:].strip() else "at its end"
        kind = "it ends too early" if where == "at its end" else f"it cannot be read {where}"
        raise Refused(_attempted(query), f"it is no JMESPath: {kind}", _SYNTAX) from error
    unknown = sorted(_functions(compiled.parsed) - set(jmespath.functions.Functions.FUNCTION_TABLE))
    if unknown:
        raise Refused(
            _attempted(query),
            f"there is no function {', '.join(unknown)}",
            f"JMESPath has {', '.join(sorted(jmespath.functions.Functions.FUNCTION_TABLE))}",
        )
    return compiled


def _functions(tree: t.Any) -> set[str]:
    """Names of the functions in a parsed expression."""
    names = {tree["value"]} if tree["type"] == "function_expression" else set()
    return names.union(*(_functions(child) for child in tree["children"] if isinstance(child, dict)))


def _plain(value: t.Any) -> t.Any:
    """The value in Python's own types: jmespath goes by the name of a type, and Ansible has types of its own."""
    if isinstance(value, t.Mapping):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, float) else value


def _require_sense(expectation: t.Any, attempted: str) -> None:
    remedy = "Give query, and either is or at_least, and message if you like"
    if not isinstance(expectation, t.Mapping):
        raise Refused(attempted, "it is no dictionary", remedy)
    unknown = sorted(set(map(str, expectation)) - _KEYS)
    if unknown:
        raise Refused(attempted, f"{', '.join(unknown)} has no meaning", remedy)
    if "query" not in expectation or ("is" in expectation) is ("at_least" in expectation):
        raise Refused(attempted, "it has no query, or not exactly one of is and at_least", remedy)
    least = expectation.get("at_least", 0)
    if isinstance(least, bool) or _number(least) is None:
        raise Refused(attempted, f"at_least is no number but {_shown(least)}", remedy)
    _compiled(expectation["query"])


def _number(value: t.Any) -> float | None:
    """A number, also one that a template made a text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _is_met(found: t.Any, expectation: t.Mapping[str, t.Any]) -> bool:
    if "at_least" in expectation:
        least = _number(expectation["at_least"])
        is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
        return is_number and least is not None and found >= least
    expected = _plain(expectation["is"])
    return isinstance(found, bool) is isinstance(expected, bool) and bool(found == expected)


def _wanted(expectation: t.Mapping[str, t.Any]) -> str:
    if "at_least" in expectation:
        return f"at least {expectation['at_least']}"
    return _shown(expectation["is"])


def _shown(value: t.Any) -> str:
    text = json.dumps(_plain(value), default=str)
    return text if len(text) <= 200 else f"{text[:200]}..."
