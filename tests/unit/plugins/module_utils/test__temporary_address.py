# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _temporary_address
from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused, SwarmError
from ansible_collections.quorate.swarm.plugins.module_utils._fence import Peer
from ansible_collections.quorate.swarm.plugins.module_utils._host import HostAddress
from ansible_collections.quorate.swarm.plugins.module_utils._temporary_address import (
    Loan,
    Placement,
    TemporaryAddress,
    arp_frame,
    arp_owner,
    keeper_script,
    placement,
    removal_decision,
)

HOST = [
    HostAddress("127.0.0.1", 8, "lo", "permanent", loopback=True),
    HostAddress("::1", 128, "lo", "permanent", loopback=True),
    HostAddress("10.0.0.21", 24, "eth0", "permanent"),
    HostAddress("fe80::1", 64, "eth0", "permanent"),
    HostAddress("192.168.1.21", 24, "eth1", "permanent"),
    HostAddress("172.17.0.1", 16, "docker0", "permanent"),
    HostAddress("172.18.0.1", 16, "docker_gwbridge", "permanent"),
]
PLACE = Placement("10.0.0.11", 24, "eth0")


# -- where it belongs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "options", "expected"),
    [
        ("10.0.0.11", {}, PLACE),
        ("192.168.1.11", {}, Placement("192.168.1.11", 24, "eth1")),
        ("10.0.0.11", {"interface": "eth0"}, PLACE),
        ("10.0.0.11", {"prefix": 32}, Placement("10.0.0.11", 32, "eth0")),
        ("10.9.9.9", {"interface": "eth1", "prefix": 32}, Placement("10.9.9.9", 32, "eth1")),
    ],
)
def test_placement(address: str, options: dict[str, Any], expected: Placement) -> None:
    assert placement(HOST, address, **{"interface": None, "prefix": None, **options}) == expected


@pytest.mark.parametrize(
    ("address", "options", "words"),
    [
        ("10.9.9.9", {}, "lies in no subnet of this host, which has eth0 10.0.0.0/24, eth1 192.168.1.0/24; .*prefix"),
        ("10.9.9.9", {"prefix": 32}, "lies in no subnet of this host"),
        ("10.9.9.9", {"interface": "eth1"}, "lies in no subnet of eth1; .* Give prefix as well"),
        ("10.0.0.11", {"interface": "eth1"}, "lies in no subnet of eth1"),
        ("10.0.0.11", {"interface": "eth9"}, "no interface eth9 with an address"),
        ("172.17.0.5", {}, "lies in no subnet of this host"),
        ("10.0.0.0", {}, "in 10.0.0.0/24 it is the address of the network or of all hosts"),
        ("10.0.0.255", {}, "of all hosts"),
        ("manager1", {}, "not an IP address"),
        ("fe80::5", {}, "IPv6"),
        ("127.0.0.5", {}, "no host can have this address"),
        ("224.0.0.5", {}, "no host can have this address"),
        ("0.0.0.0", {}, "no host can have this address"),
    ],
)
def test_placement_refused(address: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=f"give this host the address {address} for a while: .*{words}"):
        placement(HOST, address, **{"interface": None, "prefix": None, **options})


def test_placement_needs_a_choice() -> None:
    twice = [*HOST, HostAddress("10.0.0.22", 24, "eth2", "permanent")]
    with pytest.raises(Refused, match="subnets of eth0, eth2. Choose one as interface"):
        placement(twice, "10.0.0.11", interface=None, prefix=None)
    assert placement(twice, "10.0.0.11", interface="eth2", prefix=None).interface == "eth2"


# -- when it may go --------------------------------------------------------------------------------------------------

ALONE = (("id-m1", "10.0.0.11:2377"),)
PAIR = (*ALONE, ("id-m2", "10.0.0.12:2377"))


@pytest.mark.parametrize(
    ("managers", "words"),
    [(ALONE, "workers would not find this manager without it"), (PAIR, "the quorum may be lost without it")],
)
def test_address_in_use_stays(managers: Any, words: str) -> None:
    with pytest.raises(Refused, match=f"still has the manager id-m1 at it, and {words}.*or set force"):
        removal_decision(managers, "10.0.0.11", force=False)
    removal_decision(managers, "10.0.0.11", force=True)


@pytest.mark.parametrize("managers", [(), (("id-m2", "10.0.0.12:2377"),), (("id-m3", "10.0.0.111:2377"),)])
def test_address_out_of_use_goes(managers: Any) -> None:
    removal_decision(managers, "10.0.0.11", force=False)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[{"node_id":"id-m1","addr":"10.0.0.11:2377"}]', "replace"),
        ('[{"node_id":"id-m2","addr":"10.0.0.12:2377"}]', "delete"),
        ('[{"node_id":"id-m2","addr":"110.0.0.11:2377"},{"node_id":"id-m3","addr":"10.0.0.112:2377"}]', "delete"),
        (None, "delete"),
    ],
)
def test_keeper(tmp_path: Path, content: str | None, expected: str) -> None:
    """What the timer runs, by a real shell: ip and systemctl note how they are called."""
    managers = tmp_path / "a directory" / "state.json"
    if content is not None:
        managers.parent.mkdir()
        managers.write_text(content)
    for name in ("ip", "systemctl"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\n')
        (tmp_path / name).chmod(0o755)
    script = keeper_script(PLACE, managers_file=managers, lease=3600)
    subprocess.run(["/bin/sh", "-c", script], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=False)
    calls = {
        "replace": ["ip address replace 10.0.0.11/24 dev eth0 valid_lft 3600 preferred_lft 0"],
        "delete": [
            "ip address delete 10.0.0.11/24 dev eth0",
            "systemctl stop --no-block quorate-swarm-address.timer",
        ],
    }
    assert (tmp_path / "calls").read_text().splitlines() == calls[expected]


# -- does another host have it? --------------------------------------------------------------------------------------

MINE, OTHERS = b"\x02\x00\x00\x00\x00\x15", b"\x02\x00\x00\x00\x00\x0b"


def test_arp_probe_claims_nothing() -> None:
    frame = arp_frame(mac=MINE, sender="0.0.0.0", target="10.0.0.11")
    assert len(frame) == 42
    assert frame[:14] == b"\xff" * 6 + MINE + b"\x08\x06"
    assert frame[28:32] == bytes(4)
    assert frame[38:] == socket.inet_aton("10.0.0.11")
    assert arp_owner(frame, "10.0.0.11", own=OTHERS) is None


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (arp_frame(mac=OTHERS, sender="10.0.0.11", target="10.0.0.21"), "02:00:00:00:00:0b"),
        (arp_frame(mac=OTHERS, sender="10.0.0.11", target="10.0.0.21") + bytes(18), "02:00:00:00:00:0b"),
        (arp_frame(mac=OTHERS, sender="10.0.0.12", target="10.0.0.11"), None),
        (arp_frame(mac=MINE, sender="10.0.0.11", target="10.0.0.11"), None),
        (b"too short", None),
        (bytes(42), None),
    ],
)
def test_arp_owner(frame: bytes, expected: str | None) -> None:
    assert arp_owner(frame, "10.0.0.11", own=MINE) == expected


class Network:
    """Answers, or not, at the address that is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mac: str | None = None
        self.error: OSError | None = None
        self.peer = "silent"
        self.pings = False
        self.commands: list[list[str]] = []
        self.answers: dict[str, tuple[int, str, str]] = {}
        monkeypatch.setattr(_temporary_address, "ask_link", self._ask)
        monkeypatch.setattr(
            _temporary_address, "probe", lambda address, cluster_id, timeout: Peer(address, self.peer, "a detail")
        )
        monkeypatch.setattr(_temporary_address, "announce", lambda place: self.commands.append(["announce"]))
        monkeypatch.setattr(_temporary_address.shutil, "which", lambda name: f"/bin/{name}")

    def _ask(self, place: Placement) -> str | None:
        if self.error is not None:
            raise self.error
        return self.mac

    def run(self, argv: list[str]) -> tuple[int, str, str]:
        if argv[0] == "ping":
            return (0 if self.pings else 1), "", ""
        self.commands.append(argv)
        return self.answers.get(argv[0], (0, "", ""))

    def address(self, *, systemd: bool = True) -> TemporaryAddress:
        return TemporaryAddress(self.run, state_directory=Path("/var/lib/docker/swarm"), systemd=systemd)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"mac": "02:00:00:00:00:0b"}, "a host on eth0 with the MAC address 02:00:00:00:00:0b answers"),
        ({"peer": "closed"}, r"port 2377 there \(a detail\) answers"),
        ({"peer": "alive"}, r"port 2377 there \(a detail\) answers"),
        ({"pings": True}, "a host that can be pinged answers"),
    ],
)
def test_address_of_another_host_is_refused(network: Network, answer: dict[str, Any], words: str) -> None:
    vars(network).update(answer)
    with pytest.raises(Refused, match=f"another host has it: {words}"):
        network.address().require_free(PLACE)


def test_free_address(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.address().require_free(PLACE)
    network.pings = True
    monkeypatch.setattr(_temporary_address.shutil, "which", lambda name: None)
    network.address().require_free(PLACE)


def test_link_that_cannot_be_asked(network: Network) -> None:
    network.error = OSError(100, "Network is down")
    with pytest.raises(SwarmError, match="ask on eth0 which host has the address 10.0.0.11: Network is down"):
        network.address().require_free(PLACE)


# -- acting ----------------------------------------------------------------------------------------------------------


def test_give_and_take(network: Network) -> None:
    address = network.address()
    address.give(PLACE, hold=900)
    reset, keeper, replace, announced = network.commands
    assert reset[:2] == ["systemctl", "reset-failed"]
    assert keeper[:4] == [
        "systemd-run",
        "--unit=quorate-swarm-address",
        "--on-active=900",
        "--on-unit-active=30",
    ]
    assert "/var/lib/docker/swarm/state.json" in keeper[-1]
    assert replace == "ip address replace 10.0.0.11/24 dev eth0 valid_lft 4500 preferred_lft 0".split()
    assert announced == ["announce"]
    network.commands.clear()
    address.take(PLACE)
    assert network.commands == [
        ["systemctl", "stop", "quorate-swarm-address.timer", "quorate-swarm-address.service"],
        "ip address delete 10.0.0.11/24 dev eth0".split(),
    ]


def test_without_systemd_only_the_kernel_takes_it(network: Network) -> None:
    address = network.address(systemd=False)
    assert not address.kept()
    address.give(PLACE, hold=60)
    assert [command[0] for command in network.commands] == ["ip", "announce"]


def test_one_address_at_a_time(network: Network) -> None:
    network.answers["systemd-run"] = (1, "", "Unit quorate-swarm-address.timer was already loaded")
    with pytest.raises(Refused, match="keeps another address like this"):
        network.address().give(PLACE, hold=60)
    assert "ip" not in [command[0] for command in network.commands]


def test_timer_that_cannot_be_set(network: Network) -> None:
    network.answers["systemd-run"] = (1, "", "Access denied")
    with pytest.raises(SwarmError, match="systemd-run ended with 1: Access denied"):
        network.address().give(PLACE, hold=60)


def test_address_that_cannot_be_set_leaves_no_timer(network: Network) -> None:
    network.answers["ip"] = (2, "", "RTNETLINK answers: Operation not permitted")
    with pytest.raises(SwarmError, match="Operation not permitted"):
        network.address().give(PLACE, hold=60)
    assert network.commands[-1][:3] == ["systemctl", "stop", "quorate-swarm-address.timer"]


# -- for one operation -----------------------------------------------------------------------------------------------


def loan(network: Network) -> Loan:
    return Loan(network.address(), HOST, interface=None, prefix=None, hold=60)


def done(network: Network) -> list[str]:
    return [" ".join(command[:3]) for command in network.commands if command[0] == "ip"]


def test_loan_of_an_address_that_the_host_has(network: Network) -> None:
    network.mac = "02:00:00:00:00:15"
    borrowed = loan(network)
    borrowed.prepare("10.0.0.21")
    with borrowed.given():
        pass
    assert network.commands == []


def test_loan_that_was_of_use_stays(network: Network) -> None:
    borrowed = loan(network)
    borrowed.prepare("10.0.0.11")
    assert network.commands == []
    with borrowed.given():
        assert done(network) == ["ip address replace"]
    assert done(network) == ["ip address replace"]


def test_loan_for_nothing_is_given_back(network: Network) -> None:
    borrowed = loan(network)
    borrowed.prepare("10.0.0.11")
    with pytest.raises(Refused, match="the quorum lives"), borrowed.given():
        raise Refused("force a new cluster", "the quorum lives")
    assert done(network) == ["ip address replace", "ip address delete"]


def test_loan_of_an_address_that_another_host_has(network: Network) -> None:
    network.peer = "alive"
    with pytest.raises(Refused, match="another host has it"):
        loan(network).prepare("10.0.0.11")
