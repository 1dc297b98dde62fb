# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module and every role is given what makes no sense, and hosts are given traps, on a real host with a swarm.

Each is answered by an error that names the option or the file, and at the end the host is what it was, to the byte. What
archives are tried beside these: test_restore_refusals.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import LabFactory
from helpers.restore import engine_off, engine_on, give, leftovers, local, snapshot
from helpers.runner import COLLECTION, RunModule, RunPlaybook, collections_path

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

pytestmark = pytest.mark.long

#: What is given to the options of roles, which ansible-core itself checks against their argument specs.
WRONG_TYPES: dict[str, Any] = {"int": "many", "float": "much", "bool": "perhaps", "dict": "no dictionary"}
#: Bytes that an archive declares and does not have.
DECLARED = 10_000_000_000


@dataclass(frozen=True)
class Input:
    """A task with bad input, and the words of which one must be in its error."""

    name: str
    task: dict[str, Any]
    words: tuple[str, ...]


def to_modules(seed: int) -> Iterator[Input]:
    """One of the values that the unit tests try, for each option of each module."""
    sys.path.insert(0, collections_path())
    from ansible_collections.quorate.swarm.tests.unit.plugins.modules import test_bad_input as units

    chosen: dict[tuple[str, str], Any] = {}
    for module, option, value in random.Random(seed).sample(units.CASES, len(units.CASES)):
        # A playbook is no place for a value that is not given, and YAML none for some control characters.
        if value is not None and (not isinstance(value, str) or value.isprintable()):
            chosen[module, option] = value
    for (module, option), value in sorted(chosen.items()):
        arguments = {**units.valid(module), option: value}
        yield Input(f"{module} {option} {value!r}", {f"{COLLECTION}.{module}": arguments}, (option,))


def to_roles() -> Iterator[Input]:
    roles = Path(collections_path()) / "ansible_collections/quorate/swarm/roles"
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        role = path.parents[1].name
        for entry, spec in yaml.safe_load(path.read_text())["argument_specs"].items():
            for option, about in (spec.get("options") or {}).items():
                wrong = "nonsense" if about.get("choices") else WRONG_TYPES.get(about.get("type", "str"))
                if wrong is not None:
                    include = {"name": f"{COLLECTION}.{role}", "tasks_from": entry}
                    task = {"ansible.builtin.include_role": include, "vars": {option: wrong}}
                    yield Input(f"role {role} {entry} {option}", task, (option,))


#: Makes each trap below /srv/traps. The directory that it is named after must be refused, and its victim stay as it is.
TRAPS = """
set -e
mkdir -p /srv/victim && chmod 0755 /srv/victim && echo precious > /srv/victim/file
mkdir /srv/traps && cd /srv/traps
ln -s /srv/victim link
mkfifo fifo
echo text > file
mkdir open && chmod 0777 open
mkdir group && chmod 0750 group
ln -s loop loop
mkdir state && ln -s /srv/victim state/link
"""


def to_backups() -> Iterator[Input]:
    for trap in ("link", "fifo", "file", "open", "group", "loop", "fifo/below", "file/below", "loop/below"):
        path = f"/srv/traps/{trap}"
        backup = {"directory": path, "allow_control_plane_outage": True}
        yield Input(f"backup into {trap}", {f"{COLLECTION}.swarm_backup": backup}, (path,))


def to_restores() -> Iterator[Input]:
    for trap in ("fifo", "file", "loop", "nothing"):
        restore = {"archive": "/root/sound", "state_directory": f"/srv/traps/{trap}/swarm", "replace_state": True}
        yield Input(f"restore below {trap}", {f"{COLLECTION}.swarm_restore": restore}, (f"/srv/traps/{trap}",))
    for trap in ("fifo", "file", "loop", "nothing", "open"):
        path = f"/srv/traps/{trap}"
        yield Input(f"restore of {trap}", {f"{COLLECTION}.swarm_restore": {"archive": path}}, (path,))


def declared() -> bytes:
    """A tar file whose first member is said to be huge, and is not there."""
    member = tarfile.TarInfo("swarm/state.json")
    member.size = DECLARED
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(512)


def bomb() -> bytes:
    """Zeros, a thousand times as many as there are bytes of it."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as file:
        member = tarfile.TarInfo("manifest.json")
        member.size = 1 << 30
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        for _block in range(1 << 10):
            file.write(bytes(1 << 20))
    return packed.getvalue()


ARCHIVES = {
    "declared": lambda: gzip.compress(declared()),
    "bomb": bomb,
    "empty": lambda: b"",
    "no-gzip": lambda: b"not an archive" * 1000,
    "no-tar": lambda: gzip.compress(os.urandom(1 << 16)),
    "empty-tar": lambda: gzip.compress(bytes(10240)),
    "gzip-in-gzip": lambda: gzip.compress(gzip.compress(declared())),
}


def to_archives() -> Iterator[Input]:
    for name in ARCHIVES:
        for missing in (False, True):
            options = {"archive": f"/root/{name}", "allow_missing_manifest": missing, "replace_state": True}
            task = {f"{COLLECTION}.swarm_restore": options}
            yield Input(f"restore of {name}, manifest {'not ' * missing}needed", task, (name,))


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory, module: RunModule, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A manager whose engine is stopped, with an archive of it in /root/sound, bad archives and traps."""
    lab = lab_factory(1, 0)
    host = lab.host("m1")
    sound = module(lab, "m1", "swarm_backup", allow_control_plane_outage=True)["archive"]
    host.run(["mv", sound, "/root/sound"])
    engine_off(host)
    host.run(TRAPS)
    for name, content in ARCHIVES.items():
        path = tmp_path_factory.mktemp("archives") / name
        path.write_bytes(content())
        give(path, host, name)
    return lab


def answers_to(lab: Lab, playbook: RunPlaybook, inputs: list[Input], directory: Path) -> list[str]:
    """Give the host all inputs in one run of Ansible, and return the result of each that failed, as JSON."""
    tasks: list[dict[str, Any]] = []
    for number, given in enumerate(inputs):
        note = [
            {"ansible.builtin.set_fact": {"answers": f"{{{{ (answers | default([])) + [{what}] }}}}"}}
            for what in ("''", "ansible_failed_result | to_json")
        ]
        tasks.append({"block": [{"name": f"input {number}", **given.task}, note[0]], "rescue": [note[1]]})
    keep = {"content": "{{ answers | to_json }}", "dest": str(directory / "answers.json"), "mode": "0600"}
    tasks.append({"ansible.builtin.copy": keep, "delegate_to": "localhost"})
    playbook(lab, [{"hosts": "m1", "gather_facts": False, "tasks": tasks}], timeout=3000)
    return list(json.loads((directory / "answers.json").read_text()))


def check(inputs: list[Input], answers: list[str]) -> None:
    """See that each was refused by an error that names it."""
    assert [given.name for given, answer in zip(inputs, answers, strict=True) if not answer] == []
    unclear = {
        given.name: answer
        for given, answer in zip(inputs, answers, strict=True)
        if "Traceback" in answer or not any(word in json.loads(answer)["msg"] for word in given.words)
    }
    assert unclear == {}


def look(host: Host, *, live: bool = False) -> dict[str, Any]:
    """All that bad input must leave as it is."""
    places = "/srv /root/sound /etc/systemd/system /etc/cron.d /tmp /var/tmp"
    said = host.run(f"ls -lR --time-style=full-iso {places}").stdout
    return {**snapshot(host, live=live), "left": leftovers(host), "places": said}


def test_backups(lab: Lab, playbook: RunPlaybook, tmp_path: Path) -> None:
    host, inputs = lab.host("m1"), list(to_backups())
    engine_on(host)
    wait_until(lambda: local(host)["ControlAvailable"], timeout=90, what="the manager")
    before = look(host, live=True)
    answers = answers_to(lab, playbook, inputs, tmp_path)
    assert look(host, live=True) == before
    check(inputs, answers)


def test_options_archives_and_directories(lab: Lab, playbook: RunPlaybook, tmp_path: Path) -> None:
    host, inputs = lab.host("m1"), [*to_modules(seed=1), *to_roles(), *to_restores(), *to_archives()]
    assert len(inputs) > 250
    engine_off(host)
    before = look(host)
    answers = answers_to(lab, playbook, inputs, tmp_path)
    assert look(host) == before
    check(inputs, answers)


def test_a_directory_of_no_engine(lab: Lab, module: RunModule) -> None:
    """Where the engine keeps its state is known for certain when it is up. All is put back then."""
    host = lab.host("m1")
    engine_off(host)
    options: dict[str, Any] = {
        "archive": "/root/sound",
        "state_directory": "/srv/traps/link/swarm",
        "replace_state": True,
    }
    result = module(lab, "m1", "swarm_restore", **options)
    assert result["failed"], result
    assert "the engine keeps its state in /var/lib/docker/swarm" in result["msg"]
    assert [path.name for path in (host.disk / "srv/victim").rglob("*") if not path.is_dir()] == ["file"]
    assert local(host)["ControlAvailable"]
    options["state_directory"] = "/srv/victim/swarm"
    result = module(lab, "m1", "swarm_restore", **options)
    assert "the engine keeps its state in /var/lib/docker/swarm" in result["msg"]
    assert [path.name for path in (host.disk / "srv/victim").rglob("*") if not path.is_dir()] == ["file"]
    assert local(host)["ControlAvailable"]
