# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of every module is given what makes no sense, and the module names it before it looks at anything."""

from __future__ import annotations

import functools
import importlib
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator, Tuple

import pytest
import requests
import yaml
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _argspec
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule

COLLECTION = Path(__file__).resolve().parents[4]
#: What runs on the controller has an action plugin and no options of its own in the module.
MODULES = sorted(
    path.stem
    for path in (COLLECTION / "plugins" / "modules").glob("*.py")
    if not (COLLECTION / "plugins" / "action" / path.name).exists()
)
FRAGMENTS = "ansible_collections.quorate.swarm.plugins.doc_fragments."
Case = Tuple[str, str, Any]

HOSTILE = ("line\nbreak", "nul\0", "bell\a", "\x7f")
BAD = {
    "int": ("many", "1.5", -1, 1 << 40, [1, 2], {}),
    "float": ("much", -0.5, 1e12, [1, 2]),
    "bool": ("perhaps", 7, [True], {}),
    "path": ("", "relative/path", "../../etc", *HOSTILE),
    "str": HOSTILE,
    "dict": ("no dictionary", 5, [1]),
    "list": (*([text] for text in HOSTILE), {"a": "dictionary"}),
}


@functools.lru_cache(maxsize=None)
def documentation(name: str) -> Any:
    return yaml.safe_load(
        importlib.import_module(f"ansible_collections.quorate.swarm.plugins.modules.{name}").DOCUMENTATION
    )


@functools.lru_cache(maxsize=None)
def options(name: str) -> dict[str, Any]:
    """The documented options of a module, those of its fragments included."""
    documented = documentation(name)
    found: dict[str, Any] = {}
    for fragment in documented.get("extends_documentation_fragment", ()):
        module = importlib.import_module(FRAGMENTS + fragment.split(".")[2])
        found.update(yaml.safe_load(module.ModuleDocFragment.DOCUMENTATION).get("options", {}))
    return {**found, **documented["options"]}


def valid(name: str) -> dict[str, Any]:
    """What a module has to be given."""
    required = {option: about for option, about in options(name).items() if about.get("required")}
    return {option: about["choices"][0] if about.get("choices") else "/valid" for option, about in required.items()}


def cases() -> Iterator[Case]:
    for name in MODULES:
        for option, about in options(name).items():
            for value in BAD[about["type"]]:
                yield name, option, value
            if about.get("choices"):
                yield name, option, ["nonsense"] if about["type"] == "list" else "nonsense"
            if about.get("required"):
                yield name, option, None
            if option == "service_name":
                for text in ("", "-h", "docker; touch /tmp/x", "../docker", "a b", "$(reboot)"):
                    yield name, option, text


CASES = list(cases())


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a module that goes on with what it was given fail here."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the module has gone on")

    monkeypatch.setattr(AnsibleModule, "run_command", refuse)
    monkeypatch.setattr(requests.Session, "send", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


def main_of(name: str) -> Callable[[], None]:
    main: Callable[[], None] = importlib.import_module(f"ansible_collections.quorate.swarm.plugins.modules.{name}").main
    return main


def test_there_are_cases_for_every_module() -> None:
    assert len(CASES) > 400
    assert {name for name, dummy, dummy2 in CASES} == set(MODULES)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: "{}-{}-{!r}".format(*CASES[number]))
def test_what_makes_no_sense_is_named(run_module: RunModule, nothing: None, number: int) -> None:
    name, option, value = CASES[number]
    given = {**valid(name), option: value}
    if value is None:
        del given[option]
    result = run_module(main_of(name), **given)
    assert result["failed"] is True
    assert option in result["msg"]
    assert "changed" not in result or result["changed"] is False


def test_what_is_refused_is_not_repeated() -> None:
    """It may be a key that was given with the line break of its file."""
    arguments = {"unlock_key": {"type": "str"}, "unlock_keys": {"type": "list"}}
    secret = "SWMKEY-1-secret\n"
    found = list(_argspec.problems(arguments, {"unlock_key": secret, "unlock_keys": ["fine", secret]}))
    assert [text.split()[0] for text in found] == ["unlock_key", "unlock_keys"]
    assert "secret" not in "".join(found)


def test_what_makes_sense_is_accepted() -> None:
    arguments = {
        "timeout": {"type": "int"},
        "older_than": {"type": "float"},
        "directory": {"type": "path"},
        "names": {"type": "list"},
        "service_name": {"type": "str"},
        "flag": {"type": "bool"},
        "not_given": {"type": "int"},
    }
    params = {"timeout": 0, "older_than": 2**31 - 1, "directory": "/srv/ö", "names": ["ö ☃", 5], "flag": True}
    for service in ("docker", "docker@blue", "snap.docker.dockerd", "my-docker_2:a\\x2d"):
        assert list(_argspec.problems(arguments, {**params, "service_name": service, "not_given": None})) == []
