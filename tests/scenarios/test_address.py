# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host is lent the address of a manager that is gone, and gives it back by itself, whatever becomes of the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import LabFactory
from helpers.runner import RunModule

from quorate_lab import Host, Lab
from quorate_lab.process import wait_until

KEEPER = "quorate-swarm-address"
MANAGERS = "/var/lib/docker/swarm/state.json"


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> Lab:
    """m1 has the address in question, n1 shall have it, n2 looks for it."""
    lab = lab_factory(1, 0)
    lab.add("n1")
    lab.add("n2")
    return lab


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """The host that is lent the address, without it at the end."""
    host = lab.host("n1")
    yield host
    host.run(f"systemctl stop {KEEPER}.timer; rm -f {MANAGERS}", check=False)
    for known in addresses(host):
        if known["local"] != host.address:
            host.run(["ip", "address", "delete", f"{known['local']}/{known['prefixlen']}", "dev", "eth0"])


@pytest.fixture(scope="module")
def free(lab: Lab) -> str:
    """The address when its host is gone."""
    old = lab.host("m1")
    old.kill()
    return old.address


def addresses(host: Host) -> list[dict[str, Any]]:
    """The IPv4 addresses of eth0."""
    found: list[dict[str, Any]] = json.loads(host.run("ip -json -4 address show dev eth0").stdout)[0]["addr_info"]
    return found


def has(host: Host, address: str) -> bool:
    return address in {known["local"] for known in addresses(host)}


def keeper(host: Host) -> str:
    return host.run(f"systemctl list-units --all --plain --no-legend '{KEEPER}*'").stdout.strip()


def test_address_of_a_living_host_is_refused(lab: Lab, module: RunModule) -> None:
    """Also when that host has no swarm and drops all that comes by IP: only its link answers."""
    m1 = lab.host("m1")
    m1.run("iptables -I INPUT -i eth0 -p tcp --dport 2377 -j DROP; iptables -I INPUT -i eth0 -p icmp -j DROP")
    result = module(lab, "n1", "swarm_address", address=m1.address)
    assert result["error"] == "refused", result
    assert "another host has it: a host on eth0 with the MAC address 02:51:" in result["msg"]
    assert (has(lab.host("n1"), m1.address), keeper(lab.host("n1"))) == (False, "")


def test_address_of_another_network_is_refused(lab: Lab, module: RunModule) -> None:
    result = module(lab, "n1", "swarm_address", address="198.51.100.7")
    assert result["error"] == "refused" and "lies in no subnet of this host" in result["msg"], result
    assert not has(lab.host("n1"), "198.51.100.7")


def test_lent_once_and_taken_back(lab: Lab, host: Host, free: str, module: RunModule) -> None:
    found = module(lab, "n1", "swarm_address", check_mode=True, address=free)
    assert found["changed"] and not has(host, free)
    given = module(lab, "n1", "swarm_address", address=free)
    assert (given["changed"], given["kind"], given["interface"]) == (True, "temporary", "eth0"), given
    assert not module(lab, "n1", "swarm_address", address=free)["changed"]
    lab.host("n2").run(["ping", "-c", "1", "-W", "5", free])
    source = host.run(["ip", "route", "get", lab.host("n2").address]).stdout
    assert f"src {host.address}" in source
    taken = module(lab, "n1", "swarm_address", address=free, state="absent")
    assert taken["changed"] and (has(host, free), keeper(host)) == (False, "")
    assert not module(lab, "n1", "swarm_address", address=free, state="absent")["changed"]


def test_host_gives_it_back_when_no_manager_needs_it(lab: Lab, host: Host, free: str, module: RunModule) -> None:
    """The run is dead by then."""
    assert module(lab, "n1", "swarm_address", address=free, hold_timeout=4)["changed"]
    wait_until(lambda: not has(host, free), timeout=30, what="the host to give the address back")
    wait_until(lambda: keeper(host) == "", timeout=10, what="the end of the timer")


def test_host_keeps_it_while_a_manager_needs_it(lab: Lab, host: Host, free: str, module: RunModule) -> None:
    host.run(["tee", MANAGERS], input=json.dumps([{"node_id": "x", "addr": f"{free}:2377"}], separators=(",", ":")))
    module(lab, "n1", "swarm_address", address=free, hold_timeout=4)
    (lent,) = (known for known in addresses(host) if known["local"] == free)
    assert lent["valid_life_time"] in range(3500, 3605)
    host.run(["ip", "address", "change", f"{free}/24", "dev", "eth0", "valid_lft", "100", "preferred_lft", "0"])

    def lifetime() -> int:
        return next(int(known["valid_life_time"]) for known in addresses(host) if known["local"] == free)

    wait_until(lambda: lifetime() > 3000, timeout=30, what="the timer to renew the address")
    refused = module(lab, "n1", "swarm_address", address=free, state="absent")
    assert refused["error"] == "refused" and "still has the manager x at it" in refused["msg"], refused
    assert has(host, free) and KEEPER in keeper(host)
    host.run(["rm", MANAGERS])
    wait_until(lambda: not has(host, free), timeout=60, what="the host to give the address back")


def test_address_of_its_own_stays(lab: Lab, host: Host, free: str, module: RunModule) -> None:
    host.run(["ip", "address", "add", f"{free}/24", "dev", "eth0"])
    for state in ("present", "absent"):
        result = module(lab, "n1", "swarm_address", address=free, state=state)
        assert (result["changed"], result["kind"]) == (False, "permanent")
    assert has(host, free)
