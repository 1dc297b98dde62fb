#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_address
short_description: Give a host the former address of a Docker Swarm manager for a while
version_added: 0.1.0
description:
  - A manager keeps the address in the raft store with which it joined, also when it is restored or its quorum is recovered
    on a host with another address. The first manager that joins it there would lose the quorum. This module lends the
    host the old address until the manager has left and has joined again at an address of its host.
  - The address is refused when another host answers at it, or when it lies in no subnet of this host.
  - The host gives the address back by itself, whatever becomes of the run. After O(hold_timeout), a transient systemd
    timer looks every 30 seconds at the list of managers that the engine keeps on disk. While the address is in it, the
    timer keeps it, because the quorum may depend on it; when not, it takes the address away.
  - The address is nowhere configured, so a reboot takes it away too. A manager that leads alone does without. Where
    there are more managers, the quorum is lost until this module has given the address again.
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.state_directory
  - quorate.swarm.attributes
attributes:
  check_mode:
    support: full
    details:
      - Whether another host has the address is asked as in a real run.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  address:
    description:
      - The IPv4 address. By default, the one by which the swarm in the state directory of this host knows it.
    type: str
  state:
    description:
      - V(present) gives the address to this host, unless it has it already in whatever way.
      - V(absent) takes back an address that was given by this module. One that is configured on the host stays.
    type: str
    choices: [present, absent]
    default: present
  interface:
    description:
      - The interface. By default the one in whose subnet the address lies.
    type: str
  prefix:
    description:
      - Length of the prefix, by default that of the subnet.
      - For an address that lies in no subnet of the interface, such as V(32) where the other hosts have a route to it
        through this host.
    type: int
  hold_timeout:
    description:
      - Seconds for which the host keeps the address in any case, from now on. In this time a manager with the address must
        have been started.
      - On a host without systemd nothing renews the address. It is kept for an hour more than that, and then it is gone.
    type: int
    default: 900
  force:
    description:
      - With O(state=absent), take the address although the swarm of this host still has a manager at it.
    type: bool
    default: false
notes:
  - Needs C(ip) of iproute2, and root.
seealso:
  - name: The role quorate.swarm.move_manager
    description: Moves a manager to an address of its host, and lends it the old one where that is needed.
    link: https://github.com/quorate/quorate.swarm/blob/main/roles/move_manager/README.md
  - module: quorate.swarm.swarm_restore
  - module: quorate.swarm.swarm_node
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Lend this host the address of the archived manager
  quorate.swarm.swarm_address:
    address: 10.0.0.11

- name: Give a manager whose host was renumbered its old address again, until it is moved
  quorate.swarm.swarm_address:

- name: Take the address back after the move
  quorate.swarm.swarm_address:
    address: 10.0.0.11
    state: absent
"""

RETURN = r"""
address:
  description: The address.
  returned: success
  type: str
  sample: 10.0.0.11
kind:
  description:
    - How this host has the address afterwards, or would have it.
    - V(temporary) - lent by this module. V(permanent) and V(leased) - it has it anyway. V(none) - it has it not.
  returned: success
  type: str
  sample: temporary
interface:
  description: The interface that has the address; null when none has.
  returned: success
  type: str
prefix:
  description: Length of its prefix; null when no interface has the address.
  returned: success
  type: int
error:
  description: Kind of the error, such as V(refused) or V(swarm_error).
  returned: failure
  type: str
error_details:
  description: Facts about the error.
  returned: failure
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils._argspec import (
    DOCKER_ARGUMENTS,
    DOCKER_REQUIRED_TOGETHER,
    STATE_DIRECTORY_ARGUMENTS,
    checked_arguments,
)
from ansible_collections.quorate.swarm.plugins.module_utils._daemon import Daemon
from ansible_collections.quorate.swarm.plugins.module_utils._data_root import state_directory
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused, SwarmError, fail
from ansible_collections.quorate.swarm.plugins.module_utils._host import HostAddress, host_addresses
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import StateFacts, read_state
from ansible_collections.quorate.swarm.plugins.module_utils._temporary_address import (
    HOLD,
    Placement,
    TemporaryAddress,
    held,
    placement,
    removal_decision,
)

ARGUMENTS: dict[str, t.Any] = {
    "address": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "interface": {"type": "str"},
    "prefix": {"type": "int"},
    "hold_timeout": {"type": "int", "default": HOLD},
    "force": {"type": "bool", "default": False},
}

Facts = t.Dict[str, t.Any]


def shown(address: str, where: HostAddress | Placement | None, kind: str) -> Facts:
    """The address as it is returned."""
    return {
        "address": address,
        "kind": kind,
        "interface": where.interface if where else None,
        "prefix": where.prefix if where else None,
    }


def address_of(params: t.Mapping[str, t.Any], facts: StateFacts) -> str:
    """The address that is meant. Raises Refused when none is given and no swarm knows this host."""
    address = params["address"] or host_of(facts.address or "")
    if not address:
        raise Refused(
            "find the address by which a swarm knows this host",
            "its state directory holds the state of none",
            "Give the address as address",
        )
    return address


def main() -> None:
    module = AnsibleModule(
        argument_spec={**DOCKER_ARGUMENTS, **STATE_DIRECTORY_ARGUMENTS, **ARGUMENTS},
        required_together=DOCKER_REQUIRED_TOGETHER,
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    if params["hold_timeout"] < 1:
        module.fail_json(msg=f"hold_timeout is {params['hold_timeout']}; give a number of seconds greater than 0")
    try:
        directory = state_directory(params, Engine.from_params(params).root_dir(), Daemon(module.run_command).arguments)
        facts = read_state(directory, live=True)
        address = address_of(params, facts)
        addresses = host_addresses(module.run_command)
        known = held(addresses, address)
        lent = TemporaryAddress(module.run_command, state_directory=directory)
        before = after = shown(address, known, known.kind if known else "none")
        changed = False
        if params["state"] == "absent":
            if known and known.kind == "temporary":
                removal_decision(facts.known_managers, address, force=params["force"])
                changed, after = True, shown(address, None, "none")
                if not module.check_mode:
                    lent.take(Placement(known.address, known.prefix, known.interface))
        elif known is None or (known.kind == "temporary" and lent.systemd and not lent.kept()):
            place = placement(addresses, address, interface=params["interface"], prefix=params["prefix"])
            if known is None:
                lent.require_free(place)
            if not lent.systemd:
                module.warn("This host has no systemd, so nothing renews the address, or takes it away too late.")
            changed, after = True, shown(address, place, "temporary")
            if not module.check_mode:
                lent.give(place, hold=params["hold_timeout"])
    except SwarmError as error:
        fail(module, error)
    diff = {"diff": {"before": before, "after": after}} if module._diff else {}
    module.exit_json(changed=changed, **after, **diff)


if __name__ == "__main__":
    main()
