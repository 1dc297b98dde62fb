# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The escrow of unlock keys on the controller: kept in a file, kept in another store, and every reason to refuse.

No lab: the role does nothing on the hosts of the play.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from helpers.escrow import CLUSTER, KEYS, Escrow
from helpers.runner import Runner, collections_path
from helpers.stand_ins import install

EXAMPLES = Path(__file__).resolve().parents[2] / "docs/examples"
Call = tuple[str, Mapping[str, Any]]
ROLE = "quorate.swarm.unlock_key_escrow"


@pytest.fixture
def escrow(tmp_path: Path) -> Escrow:
    return Escrow(tmp_path)


def use(
    runner: Runner,
    escrow: Escrow,
    *calls: Call,
    args: tuple[str, ...] | None = None,
    configuration: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> list[Any]:
    """Call the role several times for a host that does not exist.

    Returns for each call the entries that it found, or the message of its failure.
    """
    kept = escrow.directory / "outcomes.json"
    tasks: list[dict[str, Any]] = []
    for tasks_from, variables in calls:
        call = {"include_role": {"name": ROLE, "tasks_from": tasks_from}, "vars": dict(variables)}
        found = {"outcomes": "{{ outcomes | default([]) + [unlock_key_escrow_entries] }}"}
        failed = {"outcomes": "{{ outcomes | default([]) + [ansible_failed_result.msg] }}"}
        tasks.append(
            {"block": [call, {"set_fact": found, "no_log": True}], "rescue": [{"set_fact": failed, "no_log": True}]}
        )
    content = "{{ outcomes | to_json }}"
    tasks.append(
        {
            "copy": {"content": content, "dest": str(kept)},
            "check_mode": False,
            "delegate_to": "localhost",
            "no_log": True,
        }
    )
    inventory = escrow.directory / "inventory"
    local = "ansible_connection=local ansible_python_interpreter='{{ ansible_playbook_python }}'"
    inventory.write_text(f"gone.invalid\nlocalhost {local}\n")
    play_vars = dict(escrow.configuration if configuration is None else configuration)
    runner.playbook(
        None,  # type: ignore[arg-type] # the inventory is given
        [{"hosts": "gone.invalid", "gather_facts": False, "vars": play_vars, "tasks": tasks}],
        args=escrow.args if args is None else args,
        inventory=inventory,
        env=env,
    )
    outcomes: list[Any] = json.loads(kept.read_text())
    kept.unlink()
    return outcomes


def write(key: str = KEYS[0], **fields: Any) -> Call:
    return "write", {"unlock_key_escrow_entry": {"cluster_id": CLUSTER, "key": key, **fields}}


def read(**variables: str) -> Call:
    return "read", {f"unlock_key_escrow_{name}": value for name, value in variables.items()}


def test_keys_go_in_with_their_history_and_come_out_by_swarm_or_fingerprint(runner: Runner, escrow: Escrow) -> None:
    outcomes = use(
        runner,
        escrow,
        read(),
        write(created="2026-01-01T00:00:00Z"),
        write(KEYS[1]),
        write(retired="2026-01-02T00:00:00Z"),
        write(),
        read(cluster_id=CLUSTER),
        read(cluster_id="x" * 25),
    )
    assert outcomes[0] == outcomes[6] == []
    assert [[entry["retired"] for entry in entries] for entries in outcomes[1:4]] == [
        [None],
        [None, None],
        [None, "2026-01-02T00:00:00Z"],
    ]
    assert outcomes[3] == outcomes[4] == outcomes[5] == escrow.entries()
    assert [entry["key"] for entry in escrow.entries()] == [KEYS[1], KEYS[0]]
    assert escrow.entries()[1]["created"] == "2026-01-01T00:00:00Z"

    before = escrow.path.read_bytes()
    fingerprint = escrow.entries()[1]["fingerprint"]
    check = (*escrow.args, "--check")
    assert use(runner, escrow, write(KEYS[1]), read(fingerprint=fingerprint)) == [
        escrow.entries(),
        escrow.entries()[1:],
    ]
    use(runner, escrow, write(KEYS[2]), args=check)
    assert escrow.path.read_bytes() == before
    assert stat.S_IMODE(escrow.path.stat().st_mode) == 0o600
    assert escrow.path.read_text().startswith("$ANSIBLE_VAULT;")
    assert escrow.leaks(escrow.directory) == []


def test_what_is_wrong_is_told_and_nothing_is_changed(runner: Runner, escrow: Escrow) -> None:
    use(runner, escrow, write())
    before = escrow.path.read_bytes()
    both = {"unlock_key_escrow_tasks": "/tasks.yml", **write(KEYS[1])[1]}
    none = {"unlock_key_escrow_file": "", **write(KEYS[1])[1]}
    reasons = use(
        runner,
        escrow,
        write("SWMKEY-1-oops"),
        write(KEYS[1], cluster_id=""),
        ("write", {}),
        ("write", both),
        ("write", none),
    )
    for reason, text in zip(
        reasons,
        (
            "the key is malformed",
            "its cluster_id is not the ID of a swarm",
            "its cluster_id is not the ID of a swarm",
            "both unlock_key_escrow_file and unlock_key_escrow_tasks are set",
            "neither unlock_key_escrow_file nor unlock_key_escrow_tasks is set",
        ),
        strict=True,
    ):
        assert text in reason
    (reason,) = use(runner, escrow, write(KEYS[1]), args=())
    assert "this run has no vault secret" in reason
    other = escrow.password_file("other", "wrong")
    reasons = use(runner, escrow, write(KEYS[1]), read(), args=("--vault-password-file", str(other)))
    assert all("no vault secret of this run opens it (vault IDs: default)" in reason for reason in reasons)
    assert escrow.path.read_bytes() == before


STORE = """
- name: Read
  when: unlock_key_escrow_action == 'read'
  no_log: true
  ansible.builtin.set_fact:
    unlock_key_escrow_entries: "{{ lookup('file', store) | from_json }}"
- name: Write
  when: unlock_key_escrow_action == 'write' and not broken | default(false)
  no_log: true
  delegate_to: localhost
  ansible.builtin.copy:
    content: "{{ unlock_key_escrow_entries | to_json }}"
    dest: "{{ store }}"
    mode: "0600"
"""


def test_another_store_takes_and_returns_the_same(runner: Runner, escrow: Escrow) -> None:
    tasks, store = escrow.directory / "tasks.yml", escrow.directory / "store.json"
    tasks.write_text(STORE)
    store.write_text("[]")
    configuration = {"unlock_key_escrow_tasks": str(tasks), "store": str(store)}
    outcomes = use(
        runner,
        escrow,
        write(),
        read(),
        ("write", {**write(KEYS[1])[1], "broken": True}),
        read(),
        args=(),
        configuration=configuration,
    )
    assert outcomes[0] == outcomes[1] == outcomes[3] == json.loads(store.read_text())
    assert [entry["key"] for entry in outcomes[0]] == KEYS[:1]
    assert "the entry that it reads back is another one, or none" in outcomes[2]


@pytest.fixture
def other_store(escrow: Escrow) -> tuple[Path, dict[str, str]]:
    """The file in the place of the server of another store, and the environment that finds its modules."""
    server = escrow.directory / "server.json"
    found = install(escrow.directory / "others", server)
    return server, {"ANSIBLE_COLLECTIONS_PATH": f"{collections_path()}:{found}"}


def test_the_example_for_hashicorp_vault(
    runner: Runner, escrow: Escrow, other_store: tuple[Path, dict[str, str]]
) -> None:
    server, env = other_store
    configuration = {"unlock_key_escrow_tasks": str(EXAMPLES / "escrow_hashi_vault.yml")}
    calls = (read(cluster_id=CLUSTER), write(), write(KEYS[1]), write(KEYS[1]), read(cluster_id=CLUSTER))
    outcomes = use(runner, escrow, *calls, args=(), configuration=configuration, env=env)
    ((path, secret),) = json.loads(server.read_text()).items()
    assert outcomes[0] == []
    assert [entry["key"] for entry in outcomes[4]] == [KEYS[1], KEYS[0]]
    assert (path, secret["data"]["entries"]) == (f"quorate/{CLUSTER}", outcomes[4])
    assert secret["version"] == 2, "a key that is there is not written again"


def test_the_example_for_awx(runner: Runner, escrow: Escrow, other_store: tuple[Path, dict[str, str]]) -> None:
    server, env = other_store
    configuration = {
        "unlock_key_escrow_tasks": str(EXAMPLES / "escrow_awx.yml"),
        "escrow_awx_swarm": "production",
        "quorate_awx_entries": "[]",
    }
    calls = (write(), write(KEYS[1]), read(cluster_id=CLUSTER))
    outcomes = use(runner, escrow, *calls, args=(), configuration=configuration, env=env)
    credential = json.loads(server.read_text())["unlock keys production"]
    assert [entry["key"] for entry in outcomes[2]] == [KEYS[1], KEYS[0]]
    assert json.loads(credential["inputs"]["entries"]) == outcomes[2]

    # what prepares it gets the names right, makes the type that hands the entries to a job, and changes nothing that is there
    prepared = runner.playbook(
        None,  # type: ignore[arg-type] # the inventory is given
        EXAMPLES / "escrow_awx_credential.yml",
        {"escrow_awx_swarm": "production"},
        inventory=escrow.directory / "inventory",
        env=env,
    )
    assert prepared.recap["localhost"]["changed"] == 1
    held = json.loads(server.read_text())
    assert held["unlock keys production"] == credential
    (kind,) = (held[name] for name in held if name != "unlock keys production")
    assert kind["injectors"] == {"extra_vars": {"quorate_awx_entries": "{{ entries }}"}}
    assert [field["id"] for field in kind["inputs"]["fields"]] == ["entries"]
    assert credential["credential_type"] in held

    # the next job gets what this one has written; a job of another swarm is refused
    configuration["quorate_awx_entries"] = credential["inputs"]["entries"]
    next_job = (read(cluster_id=CLUSTER), write("SWMKEY-1-oops"), write(cluster_id="x" * 25))
    again = use(runner, escrow, *next_job, args=(), configuration=configuration, env=env)
    assert again[0] == outcomes[2]
    assert "holds keys of another swarm" in again[2]
    assert json.loads(server.read_text())["unlock keys production"] == credential
