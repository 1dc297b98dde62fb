# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _host
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError

#: ip -json address, shortened: a leased and a configured address, a link without any.
LINKS: list[dict[str, Any]] = [
    {
        "ifname": "lo",
        "flags": ["LOOPBACK", "UP"],
        "addr_info": [
            {"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "valid_life_time": 4294967295},
            {"family": "inet6", "local": "::1", "prefixlen": 128, "valid_life_time": 4294967295},
        ],
    },
    {
        "ifname": "eth0",
        "addr_info": [
            {"family": "inet", "local": "10.0.0.1", "prefixlen": 24, "valid_life_time": 4294967295},
            {"family": "inet", "local": "10.0.0.77", "prefixlen": 24, "dynamic": True, "valid_life_time": 3000},
            {},
        ],
    },
    {"ifname": "eth1", "addr_info": []},
    {"ifname": "eth2"},
]


def test_addresses_with_whether_they_are_fixed() -> None:
    commands = []

    def run(argv: list[str]) -> tuple[int, str, str]:
        commands.append(argv)
        return 0, json.dumps(LINKS), ""

    assert _host.addresses(run) == {"127.0.0.1": True, "::1": True, "10.0.0.1": True, "10.0.0.77": False}
    assert commands == [["ip", "-json", "address"]]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((1, "", "ip: cannot open netlink"), "ended with 1: ip: cannot open netlink. Install iproute2"),
        ((0, "1: lo: <LOOPBACK>", ""), "printed no JSON"),
    ],
)
def test_addresses_that_cannot_be_read(answer: tuple[int, str, str], words: str) -> None:
    with pytest.raises(SwarmError, match=f"read the addresses of this host: .*{words}"):
        _host.addresses(lambda dummy: answer)


def test_how_the_host_has_an_address() -> None:
    lent = {"local": "10.0.0.11", "prefixlen": 24, "dynamic": True, "valid_life_time": 3600, "preferred_life_time": 0}
    links = [LINKS[0], {**LINKS[1], "addr_info": [*LINKS[1]["addr_info"], lent]}]
    found = {known.address: known for known in _host.host_addresses(lambda dummy: (0, json.dumps(links), ""))}
    assert {address: known.kind for address, known in found.items()} == {
        "127.0.0.1": "permanent",
        "::1": "permanent",
        "10.0.0.1": "permanent",
        "10.0.0.77": "leased",
        "10.0.0.11": "temporary",
    }
    assert found["10.0.0.11"] == _host.HostAddress("10.0.0.11", 24, "eth0", "temporary")
