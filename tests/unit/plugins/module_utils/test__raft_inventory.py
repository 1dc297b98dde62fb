# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states are real ones: hot and cold, of leaders and followers, in the middle of an exchange of the key, after a
power cut and after a forced new cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _raft_inventory as module
from ansible_collections.quorate.swarm.plugins.module_utils import _raft_store, _state_facts
from ansible_collections.quorate.swarm.plugins.module_utils._node_key import parse_node_key, raft_keys
from ansible_collections.quorate.swarm.tests.unit import real_states
from ansible_collections.quorate.swarm.tests.unit.real_states import NODE_KEY, RealState

#: What happened after the API was asked and before the copy was made.
LATER = {"hot": "created", "leader": "uncommitted", "follower": "uncommitted"}


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    real_states.use_small_segments(monkeypatch)


def decoded(state: RealState) -> _state_facts.StateFacts:
    return _state_facts.check_state(state.path, unlock_key=state.unlock_key, now=state.recorded, decode=True)


def as_the_api(inventory: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, tuple[str, int | None]]]:
    """By kind and ID, name and version; the API tells no version of a network."""
    return {
        kind: {
            entry["id"]: (entry.get("name") or entry["hostname"], entry.get("version") if kind != "networks" else None)
            for entry in entries
        }
        for kind, entries in inventory.items()
        if kind != "clusters"
    }


@pytest.mark.parametrize("name", real_states.names())
def test_the_inventory_of_a_healthy_state_is_that_of_the_api(name: str, tmp_path: Path) -> None:
    state = real_states.lay_out(name, tmp_path)
    facts = decoded(state)
    assert (facts.problems, facts.warnings) == ((), ())
    contents = facts.contents
    assert contents is not None
    stored, live = as_the_api(module.inventory_of_store(contents)), as_the_api(dict(state.live))
    event = name.partition("-")[2]
    if event in ("hot", "cut"):  # a secret that the API did not know yet, or that was not committed yet
        with_it, without = (stored, live) if event == "hot" else (live, stored)
        (secret,) = with_it["secrets"].keys() - without["secrets"].keys()
        assert with_it["secrets"].pop(secret)[0] == "last"
    if event == "exchange":  # to catch the exchange took a while
        assert stored.pop("nodes").keys() == live.pop("nodes").keys()
    assert stored == live
    assert contents.cluster_object.id == state.live["clusters"][0]["id"]
    assert module.manifest_problems(_state_facts.manifest_of(facts, unlock_key=state.unlock_key), contents) == []


@pytest.mark.parametrize("name", [f"{engine}-{name}" for engine in real_states.ENGINES for name in LATER])
def test_what_a_forced_new_cluster_loses_is_told(name: str, tmp_path: Path) -> None:
    state = real_states.lay_out(name, tmp_path)
    told = [(each["action"], each["kind"], each["name"]) for each in module.uncommitted_facts(state.contents())]
    assert told == ([("create", "secrets", "last")] if LATER[name.partition("-")[2]] == "uncommitted" else [])
    assert module.live_problems(state.contents(), state.live, state.live) == []


@pytest.mark.parametrize("engine", real_states.ENGINES)
def test_what_the_swarm_had_and_the_copy_has_not_is_a_problem(engine: str, tmp_path: Path) -> None:
    state = real_states.lay_out(f"{engine}-cut", tmp_path)
    (problem,) = module.live_problems(state.contents(), state.live, state.live)
    assert problem.startswith("the secret last (")
    assert problem.endswith(") is not in it")
    gone = {**state.live, "secrets": []}  # it was removed after the copy had been made
    assert module.live_problems(state.contents(), state.live, gone) == []


def test_versions_have_to_be_between_those_before_and_after(tmp_path: Path) -> None:
    state = real_states.lay_out("28.5-young", tmp_path)
    (node,) = state.live["nodes"]
    older, newer = (
        {**state.live, "nodes": [{**node, "version": node["version"] + difference}]} for difference in (-1, 1)
    )
    contents = state.contents()
    assert module.live_problems(contents, older, newer) == []
    assert module.live_problems(contents, older, None) == []
    name = f"the node m1 ({node['id']}) is in it in version {node['version']}"
    assert module.live_problems(contents, newer, newer) == [f"{name}, the swarm was at {node['version'] + 1} before"]
    assert module.live_problems(contents, older, older) == [f"{name}, the swarm is at {node['version'] - 1} now"]


def test_a_manifest_of_other_versions_is_a_problem(tmp_path: Path) -> None:
    state = real_states.lay_out("20.10-snapshot", tmp_path)
    facts = decoded(state)
    assert facts.contents is not None
    manifest = _state_facts.manifest_of(facts, unlock_key=None)
    service = manifest["inventory"]["services"][0]
    service["version"] += 1
    manifest["inventory"]["configs"].append({"id": "other", "name": "more"})
    manifest["raft"]["commit_index"] += 1
    assert module.manifest_problems(manifest, facts.contents) == [
        "the commit index is 42, and 43 by the manifest",
        f"the service web ({service['id']}) has version {service['version'] - 1}, and {service['version']} by the manifest",
        "the config more (other) of the manifest is not in it",
    ]


def test_sizes_are_told_and_no_payload(tmp_path: Path) -> None:
    state = real_states.lay_out("28.5-snapshot", tmp_path)
    inventory = module.inventory_of_store(state.contents(), sizes=True)
    assert {entry["size"] for entry in inventory["secrets"]} == {40}
    assert [entry["size"] for entry in inventory["configs"]] == [len("colour = blue")]
    told = json.dumps(inventory) + repr(state.contents())
    assert "x" * 40 not in told
    assert "colour = blue" not in told


@pytest.mark.parametrize("engine", real_states.ENGINES)
def test_no_key_is_in_a_representation(engine: str, tmp_path: Path) -> None:
    state = real_states.lay_out(f"{engine}-locked", tmp_path)
    node_key = parse_node_key((state.path / NODE_KEY).read_bytes())
    keys = raft_keys(node_key, state.unlock_key)
    root_ca = _raft_store.read_root_ca(state.path, keys)
    assert root_ca.key.startswith(b"-----BEGIN EC PRIVATE KEY-----")
    assert root_ca.certificate == (state.path / "certificates/swarm-root-ca.crt").read_bytes()
    told = f"{root_ca!r} {keys!r} {state.contents()!r}"
    assert "PRIVATE KEY" not in told
    assert repr(state.unlock_key) not in told
    assert state.contents().cluster.is_unlocked_by(state.unlock_key or b"")
