# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _temporary_address
from ansible_collections.quorate.swarm.plugins.modules import swarm_address
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule
from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi
from ansible_collections.quorate.swarm.tests.unit.fake_host import store_of, write_state

OLD, FOREVER = "192.0.2.2", 4294967295


class Host:
    """A host at 192.0.2.21 with the state of the manager m2, whose address was 192.0.2.2."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[dict[str, Any]] = [
            {"local": "192.0.2.21", "prefixlen": 24, "valid_life_time": FOREVER, "preferred_life_time": FOREVER}
        ]
        self.state_directory = directory / "swarm"
        self.kept = False
        self.answer: str | None = None
        self.commands: list[str] = []
        write_state(
            self.state_directory, store_of(managers=2, leader="m1", unlock_key=""), node="m2", cluster="the-cluster"
        )
        monkeypatch.setattr(AnsibleModule, "run_command", lambda dummy, argv, **more: self.run(argv))
        monkeypatch.setattr(_temporary_address.os.path, "isdir", lambda path: True)
        monkeypatch.setattr(_temporary_address, "who_answers", lambda run, place: self.answer)
        monkeypatch.setattr(_temporary_address, "announce", lambda place: None)

    def run(self, argv: list[str]) -> tuple[int, str, str]:
        if argv == ["ip", "-json", "address"]:
            links = [{"ifname": "eth0", "flags": ["UP"], "addr_info": self.addresses}]
            return 0, json.dumps(links), ""
        if argv[:2] == ["systemctl", "is-active"]:
            return (0 if self.kept else 3), "", ""
        self.commands.append(" ".join(argv[:3]))
        if argv[0] == "systemd-run":
            self.kept = True
        elif argv[:2] == ["systemctl", "stop"]:
            self.kept = False
        elif argv[0] == "ip":
            address, dummy, prefix = argv[3].partition("/")
            self.addresses = [known for known in self.addresses if known["local"] != address]
            if argv[2] == "replace":
                lifetime = {"valid_life_time": int(argv[7]), "preferred_life_time": int(argv[9]), "dynamic": True}
                self.addresses.append({"local": address, "prefixlen": int(prefix), **lifetime})
        return 0, "", ""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: FakeApi) -> Host:
    host = Host(tmp_path, monkeypatch)
    api.answers["/info"] = lambda dummy: [200, {"DockerRootDir": str(tmp_path)}]
    return host


def test_given_once_and_taken_once(host: Host, run_module: RunModule) -> None:
    """By default, the address by which the swarm knows this host."""
    expected = {"address": OLD, "kind": "temporary", "interface": "eth0", "prefix": 24}
    gone = {"address": OLD, "kind": "none", "interface": None, "prefix": None}
    result = run_module(swarm_address.main, diff=True)
    assert result["changed"] and {name: result[name] for name in expected} == expected, result
    assert result["diff"] == {"before": gone, "after": expected}
    again = run_module(swarm_address.main)
    assert not again["changed"] and again["kind"] == "temporary"
    # The swarm no longer has a manager there:
    (host.state_directory / "state.json").write_text('[{"node_id": "id-m1", "addr": "192.0.2.1:2377"}]')
    taken = run_module(swarm_address.main, address=OLD, state="absent")
    assert taken["changed"] and {name: taken[name] for name in gone} == gone
    assert not run_module(swarm_address.main, address=OLD, state="absent")["changed"]
    assert not host.kept and len(host.addresses) == 1


def test_check_mode_changes_nothing(host: Host, run_module: RunModule) -> None:
    result = run_module(swarm_address.main, check=True)
    assert result["changed"] and result["kind"] == "temporary"
    assert host.commands == []
    run_module(swarm_address.main)
    host.commands.clear()
    assert run_module(swarm_address.main, check=True, state="absent", force=True)["changed"]
    assert host.commands == []


def test_lost_timer_is_set_again(host: Host, run_module: RunModule) -> None:
    run_module(swarm_address.main)
    host.kept = False
    assert run_module(swarm_address.main)["changed"]
    assert host.kept


def test_address_of_another_host(host: Host, run_module: RunModule) -> None:
    host.answer = "port 2377 there"
    for check in (True, False):
        result = run_module(swarm_address.main, check=check)
        assert result["failed"] and result["error"] == "refused"
        assert "another host has it: port 2377 there answers" in result["msg"]
    assert host.commands == []


def test_address_that_a_quorum_needs(host: Host, run_module: RunModule) -> None:
    run_module(swarm_address.main)
    result = run_module(swarm_address.main, state="absent")
    assert result["error"] == "refused" and "the quorum may be lost without it" in result["msg"]
    assert len(host.addresses) == 2
    assert run_module(swarm_address.main, state="absent", force=True)["changed"]


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize(("leased", "kind"), [({}, "permanent"), ({"dynamic": True}, "leased")])
def test_address_of_its_own_stays(
    host: Host, run_module: RunModule, *, state: str, leased: dict[str, Any], kind: str
) -> None:
    host.addresses.append(
        {"local": OLD, "prefixlen": 24, "valid_life_time": FOREVER, "preferred_life_time": FOREVER, **leased}
    )
    result = run_module(swarm_address.main, state=state)
    assert (result["changed"], result["kind"]) == (False, kind)
    assert host.commands == []


def test_no_address_known(host: Host, run_module: RunModule, tmp_path: Path) -> None:
    result = run_module(swarm_address.main, state_directory=str(tmp_path / "elsewhere"))
    assert result["error"] == "refused" and "Give the address as address" in result["msg"]


def test_hold_of_no_time(host: Host, run_module: RunModule) -> None:
    assert "hold_timeout is 0" in run_module(swarm_address.main, hold_timeout=0)["msg"]
    assert host.commands == []
