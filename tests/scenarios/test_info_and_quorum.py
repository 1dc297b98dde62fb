# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of a swarm is told right in every state it can be in, and its quorum is judged by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import LabFactory
from helpers.backup import ask, engine_state, fill, leader, node_id, wait_until_healthy
from helpers.runner import RunModule, RunPlaybook

from quorate_lab import Host, Lab
from quorate_lab.process import in_parallel, wait_until

#: What a run of Ansible takes besides the module itself, in seconds.
ANSIBLE = 12
#: Names of methods of dictionaries, which a template would reach in the place of a key.
METHODS = set(dir(dict))


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """An autolocked swarm with something in it, and x1, which is in no swarm; the tests leave them so."""
    lab = lab_factory(managers=3, workers=1, autolock=True)
    lab.add("x1")
    fill(lab.hosts["m1"])
    return lab


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def codes(result: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in result["verdict"]["reasons"]]


def swarm_state(host: Host) -> str:
    """What the engine itself says, asked without waiting for a hung answer."""
    try:
        return str(host.api("GET", "/info", timeout=3)[1]["Swarm"]["LocalNodeState"])
    except OSError:
        return "hangs"


# -- swarm_info --------------------------------------------------------------------------------------------------


def test_managers_agree(lab: Lab, module: RunModule) -> None:
    found = {name: module(lab, name, "swarm_info") for name in ("m1", "m2", "m3")}
    first = lab.hosts["m1"]
    for name, result in found.items():
        assert result["state"] == "manager"
        assert result["changed"] is False
        assert result["node"]["id"] == node_id(lab.hosts[name])
        assert result["node"]["address"] == lab.hosts[name].address
        assert result["node"]["is_leader"] is (name == leader(first))
        assert result["quorum"]["healthy"], result["quorum"]
        assert (result["quorum"]["managers"], result["quorum"]["can_lose"]) == (3, 1)
        assert not METHODS & set(keys_of(result))
        assert not result.get("warnings")
    for part in ("managers", "services", "networks", "secrets", "configs"):
        assert [sorted(result[part], key=str) for result in found.values()].count(
            sorted(found["m1"][part], key=str)
        ) == 3
    clusters = {result["cluster"]["id"] for result in found.values()}
    assert clusters == {ask(first, "GET", "/swarm")["ID"]}


def test_what_a_manager_shows(lab: Lab, module: RunModule) -> None:
    result = module(lab, "m1", "swarm_info")
    first = lab.hosts["m1"]
    assert {node["hostname"]: (node["id"], node["role"]) for node in result["nodes"]} == {
        name: (node_id(host), "worker" if name == "w1" else "manager")
        for name, host in lab.hosts.items()
        if name != "x1"
    }
    assert {
        service["name"]: (service["mode"], service["desired"], service["running"]) for service in result["services"]
    } == {
        "web": ("replicated", 3, 3),
        "agent": ("global", 4, 4),
    }
    assert sorted(network["name"] for network in result["networks"]) == ["backend", "ingress"]
    assert [(secret["name"], sorted(secret)) for secret in result["secrets"]] == [
        ("password", ["id", "name", "version"])
    ]
    assert [config["name"] for config in result["configs"]] == ["settings"]
    assert result["cluster"]["autolock"] is True
    ca = "/var/lib/docker/swarm/certificates/swarm-root-ca.crt"
    digest = first.run(f"openssl x509 -in {ca} -outform DER | sha256sum").stdout.split()[0]
    assert result["cluster"]["root_ca_sha256"] == digest
    assert result["engine"]["version"] == ask(first, "GET", "/version")["Version"]


@pytest.mark.parametrize(("name", "role", "key"), [("m1", "manager", "sealed"), ("w1", "worker", "open")])
def test_the_disk(lab: Lab, module: RunModule, name: str, role: str, key: str) -> None:
    result = module(lab, name, "swarm_info", gather=["disk"])
    disk, host = result["state_directory"], lab.hosts[name]
    cluster = ask(lab.hosts["m1"], "GET", "/swarm")["ID"]
    assert (disk["path"], disk["exists"], disk["role"], disk["problems"]) == ("/var/lib/docker/swarm", True, role, [])
    assert (disk["node_id"], disk["cluster_id"], disk["key"]) == (node_id(host), cluster, key)
    assert disk["certificate_expires"] > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if role == "worker":
        assert disk["raft"] is None
    else:
        assert disk["raft"]["node_id"] == node_id(host)
        assert 0 < disk["raft"]["commit_index"] <= disk["raft"]["last_index"]
        assert disk["address"] == f"{host.address}:2377"
        # Of a worker nothing but its certificate would fit into this.
        assert disk["size"] > 60_000_000
    assert all(result[part] is None for part in ("nodes", "services", "networks", "secrets", "configs"))


def test_worker(lab: Lab, module: RunModule) -> None:
    result = module(lab, "w1", "swarm_info")
    assert (result["state"], result["node"]["is_manager"]) == ("worker", False)
    assert result["node"]["id"] == node_id(lab.hosts["w1"])
    assert len(result["node"]["remote_managers"]) == 3
    assert all(result[part] is None for part in ("cluster", "nodes", "managers", "quorum", "services"))
    assert codes(module(lab, "w1", "swarm_quorum", report_only=True)) == ["not_a_manager"]


def test_inactive(lab: Lab, module: RunModule) -> None:
    result = module(lab, "x1", "swarm_info")
    assert (result["state"], result["node"]["is_manager"]) == ("inactive", False)
    assert (result["state_directory"]["exists"], result["state_directory"]["key"]) == (False, "absent")
    assert codes(module(lab, "x1", "swarm_quorum", report_only=True)) == ["not_a_manager"]


def test_daemon_down_and_left_down(lab: Lab, module: RunModule) -> None:
    host = lab.hosts["w1"]
    host.run("systemctl stop docker.socket docker.service")
    try:
        result = module(lab, "w1", "swarm_info")
        assert result["state"] == "daemon_down"
        assert "systemctl start docker" in result["node"]["error"]
        assert result["state_directory"]["role"] == "worker"
        assert codes(module(lab, "w1", "swarm_quorum", report_only=True)) == ["unreachable"]
        assert engine_state(host) == "inactive"
    finally:
        host.run("systemctl start docker.service")
    wait_until_healthy(lab.hosts["m1"])


def test_pending_and_then_error(lab: Lab, module: RunModule) -> None:
    host = lab.hosts["x1"]
    token = ask(lab.hosts["m1"], "GET", "/swarm")["JoinTokens"]["Worker"]
    nobody = f"{lab.subnet.rpartition('.')[0]}.250:2377"
    try:
        with pytest.raises(OSError):
            body = {"JoinToken": token, "RemoteAddrs": [nobody], "ListenAddr": "0.0.0.0:2377"}
            host.api("POST", "/swarm/join", body, timeout=2)
        result = module(lab, "x1", "swarm_info", settle_timeout=0)
        assert (result["state"], result["node"]["is_manager"]) == ("pending", False)
        result = module(lab, "x1", "swarm_info")
        assert result["state"] == "error"
        assert nobody in result["node"]["error"]
    finally:
        host.api("POST", "/swarm/leave?force=true")
    assert module(lab, "x1", "swarm_info")["state"] == "inactive"


def test_locked(lab: Lab, module: RunModule) -> None:
    host, other = lab.hosts["m3"], lab.hosts["m1"]
    host.run("systemctl restart docker.service")
    result = module(lab, "m3", "swarm_info")
    assert (result["state"], result["node"]["is_manager"], result["node"]["is_leader"]) == ("locked", True, None)
    assert (result["state_directory"]["key"], result["state_directory"]["role"]) == ("sealed", "manager")
    assert result["state_directory"]["cluster_id"] == ask(other, "GET", "/swarm")["ID"]
    assert codes(module(lab, "m3", "swarm_quorum", report_only=True)) == ["locked"]
    failed = module(lab, "m1", "swarm_quorum", settle_timeout=5)
    assert failed["failed"]
    assert codes(failed) == ["managers_unreachable"]
    assert "m3 (" in failed["msg"]
    assert ask(host, "POST", "/swarm/unlock", {"UnlockKey": lab.unlock_key}) in ("", None)
    wait_until_healthy(other)


def test_without_permission(lab: Lab, playbook: RunPlaybook) -> None:
    host = lab.hosts["m1"]
    host.run("id nobody2 || useradd --create-home nobody2; id helper || useradd --create-home --groups docker helper")
    plays = [
        {
            "hosts": "m1",
            "gather_facts": False,
            "become": True,
            "become_method": "ansible.builtin.su",
            "tasks": [
                {
                    "quorate.swarm.swarm_info": {"gather": ["disk"]},
                    "become_user": "nobody2",
                    "register": "stranger",
                    "ignore_errors": True,
                },
                {"quorate.swarm.swarm_info": {"gather": ["disk"]}, "become_user": "helper", "register": "member"},
                {
                    "ansible.builtin.assert": {
                        "that": [
                            "stranger is failed",
                            "stranger.error == 'permission_denied'",
                            "member.state == 'manager'",
                            "member.state_directory is none",
                            "'Run the task with become' in member.warnings | string",
                        ]
                    }
                },
            ],
        }
    ]
    playbook(lab, plays)


# -- swarm_quorum ------------------------------------------------------------------------------------------------


def test_a_good_quorum_passes(lab: Lab, module: RunModule) -> None:
    for name, zone in {"m1": "a", "m2": "b", "m3": "c"}.items():
        module(lab, "m1", "swarm_node", node=name, labels={"zone": zone})
    result = module(
        lab,
        "m2",
        "swarm_quorum",
        stopping=["m3"],
        minimum_fault_tolerance=1,
        require_odd=True,
        zone_label="zone",
        require_static_addresses=True,
        expected_address=lab.hosts["m2"].address,
    )
    assert not result.get("failed"), result
    assert result["verdict"] == {"ok": True, "reasons": []}
    assert (result["zones"]["spread"], result["zones"]["ideal_spread"]) == ([1, 1, 1], [1, 1, 1])


def test_every_reason_is_told(lab: Lab, module: RunModule) -> None:
    module(lab, "m1", "swarm_node", node="m3", labels={"zone": "b"})
    module(lab, "m1", "swarm_node", node="w1", labels={"zone": "c"})
    failed = module(
        lab,
        "m1",
        "swarm_quorum",
        stopping=["m1", node_id(lab.hosts["m2"]), "nobody"],
        minimum_fault_tolerance=2,
        require_odd=True,
        zone_label="zone",
        require_static_addresses=True,
        expected_address="192.0.2.1",
    )
    assert (failed["failed"], failed["error"]) == (True, "refused")
    expected = [
        "unknown_node",
        "stop_loses_quorum",
        "fault_tolerance_too_low",
        "zones_uneven",
        "zone_holds_majority",
        "address_not_expected",
    ]
    assert codes(failed) == expected
    assert len(failed["msg"].splitlines()) == 1 + len(expected)
    assert failed["quorum"]["healthy"]


def test_a_leased_address(lab: Lab, module: RunModule) -> None:
    host = lab.hosts["m2"]
    link = host.run(
        "ip -o -4 address show scope global | awk -v a=" + host.address + " '$4 ~ a {print $2}'"
    ).stdout.strip()
    prefix = lab.subnet.partition("/")[2]
    host.run(f"ip address change {host.address}/{prefix} dev {link} valid_lft 3000 preferred_lft 3000")
    try:
        result = module(lab, "m2", "swarm_quorum", require_static_addresses=True, report_only=True)
        assert codes(result) == ["address_dynamic"]
    finally:
        host.run(f"ip address change {host.address}/{prefix} dev {link} valid_lft forever preferred_lft forever")


# -- a lost quorum -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def losing_lab(lab_factory: LabFactory) -> Lab:
    """A swarm that loses its quorum in every test, and has it again at the end."""
    return lab_factory(managers=3, workers=0)


@pytest.mark.alone
@pytest.mark.parametrize("survivor_leads", [pytest.param(True, marks=pytest.mark.long), False])
def test_a_lost_quorum_is_recognised_in_time(losing_lab: Lab, module: RunModule, survivor_leads: bool) -> None:
    hosts = losing_lab.hosts
    wait_until_healthy(hosts["m1"])
    leading = hosts[leader(hosts["m1"])]
    survivor = leading if survivor_leads else next(host for host in hosts.values() if host is not leading)
    lost = [host for host in hosts.values() if host is not survivor]
    in_parallel(Host.kill, lost)
    began = time.monotonic()
    if survivor_leads:
        time.sleep(4)  # a leader needs up to 3 s to notice (lab fact B5.3)
    try:
        result = module(losing_lab, survivor.name, "swarm_info")
        assert time.monotonic() - began < 30 + ANSIBLE
        assert result["state"] == "quorum_lost"
        assert result["node"]["is_manager"] is True
        assert result["node"]["id"]
        assert result["state_directory"]["role"] == "manager"
        quorum = module(losing_lab, survivor.name, "swarm_quorum", settle_timeout=0, report_only=True)
        assert quorum["state"] == "quorum_lost"
        assert "quorum_lost" in codes(quorum)
    finally:
        in_parallel(Host.start, lost)
    wait_until(lambda: swarm_state(survivor) == "active", timeout=60, what="the swarm to have its leader again")
    wait_until_healthy(survivor)


def test_a_cold_start_of_all_managers_is_waited_out(losing_lab: Lab, module: RunModule) -> None:
    hosts = losing_lab.hosts
    wait_until_healthy(hosts["m1"])
    in_parallel(Host.kill, hosts.values())
    in_parallel(lambda host: host.start(wait=False), hosts.values())
    wait_until(lambda: hosts["m1"].ssh("true", check=False).returncode == 0, timeout=30, what="m1 to accept ssh")
    result = module(losing_lab, "m1", "swarm_info", gather=["nodes"], settle_timeout=90)
    assert result["state"] == "manager"
    assert result["quorum"]["reachable"] >= 2
    in_parallel(Host.start, hosts.values())
