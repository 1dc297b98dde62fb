#!/usr/bin/python
# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_node
short_description: Manage a node of a Docker Swarm from one of its managers
version_added: 0.1.0
description:
  - Promotes, demotes, labels or removes a node, sets its availability, or makes a leader hand its leadership over.
  - It runs on a manager; the node may be any other one, running or not.
  - A manager is only demoted, also for its removal, when the managers that stay are quorate without it. There is no
    option to do it all the same.
  - It waits until the change is real, which for a promotion means that the node is a reachable manager, and for a drain
    that its tasks have stopped and run elsewhere.
extends_documentation_fragment:
  - quorate.swarm.docker
  - quorate.swarm.attributes
attributes:
  check_mode:
    support: full
    details:
      - Every guard is passed or fails as in a real run.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  node:
    description:
      - The node, by ID or by unique host name. A host that has left and joined again has several nodes of its name.
    type: str
    required: true
  state:
    description:
      - V(present) changes a node that is in the swarm.
      - V(absent) removes it. A manager is demoted first. A manager that a forced new cluster has left out of the quorum
        is removed as it is.
    type: str
    choices: [present, absent]
    default: present
  role:
    description:
      - The role of the node.
      - A manager cannot be demoted by itself, since a demoted manager can neither watch its demotion nor undo it.
      - A node that is a worker by its role, and stays a member of the quorum, is promoted for three seconds and demoted
        again, because the managers would never take it out.
    type: str
    choices: [manager, worker]
  availability:
    description:
      - Whether the node gets tasks. V(drain) also moves away those it has, and the module waits until they have stopped
        and those of replicated services run on other nodes. When that does not happen in O(wait_timeout), the node gets
        back the availability that it had, and the module fails.
      - Containers that are no tasks of the swarm stay where they are; see RV(drained.containers).
    type: str
    choices: [active, pause, drain]
  avoid:
    description:
      - With O(availability=drain), nodes by ID or host name on which tasks of this node are not counted to find a place,
        because they will be drained as well.
    type: list
    elements: str
    default: []
  allow_stranded:
    description:
      - With O(availability=drain), drain the node although it has tasks that no other node may take, because none is
        ready, active and meets the placement constraints of the service. They stop, and wait for such a node.
    type: bool
    default: false
  labels:
    description:
      - Node labels to set. Others stay. A label whose value is null is removed.
    type: dict
  step_down:
    description:
      - Make the node hand its leadership over, when it leads the swarm.
      - It is demoted, and promoted again when another manager leads and it has become a worker. Other than stopping the
        leader, which blocks the management API of all managers for 10 to 20 seconds, this blocks nobody. When it fails
        in between, the node is promoted again before the error is returned.
      - It must run on another manager than the node, because a demoted manager cannot promote itself.
    type: bool
    default: false
  force:
    description:
      - With O(state=absent), remove a node that is not down. Its engine takes itself for a member until it leaves too.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait until a change is real; with O(state=absent), also until a node that is leaving is down, which
        takes some 15 seconds. O(step_down) waits as long for each of its steps. A drain takes at least as long as the
        slowest task takes to stop.
    type: int
    default: 60
seealso:
  - module: quorate.swarm.swarm_member
  - module: quorate.swarm.swarm_info
author:
  - the quorate.swarm contributors (@quorate)
"""

EXAMPLES = r"""
- name: Promote a worker
  quorate.swarm.swarm_node:
    node: worker1
    role: manager
  delegate_to: manager1

- name: Put a manager into its zone, and keep tasks away from it
  quorate.swarm.swarm_node:
    node: "{{ swarm.node.id }}"
    availability: drain
    labels:
      zone: a
      rack:
  delegate_to: manager1

- name: Keep services off a manager that is to have no tasks
  quorate.swarm.swarm_node:
    node: "{{ swarm.node.id }}"
    availability: drain
    wait_timeout: 180
  delegate_to: manager1

- name: Let the leader step down before its host is worked on
  quorate.swarm.swarm_node:
    node: "{{ swarm.quorum.leader }}"
    step_down: true
  delegate_to: manager2

- name: Remove a manager that is gone for good
  quorate.swarm.swarm_node:
    node: x1n8lbvdvhs6zbzmrs7sbk1gh
    state: absent
  delegate_to: manager1
"""

RETURN = r"""
node:
  description: The node as it is afterwards, or would be. Null when it is not in the swarm.
  returned: success
  type: dict
  contains:
    id:
      description: Node ID.
      type: str
    hostname:
      description: Host name.
      type: str
    role:
      description: V(manager) or V(worker).
      type: str
    availability:
      description: V(active), V(pause) or V(drain).
      type: str
    labels:
      description: Node labels.
      type: dict
    state:
      description: State of the node when it was seen last, such as V(ready), V(down) or V(unknown).
      type: str
drained:
  description: What the drain was about. Null without O(availability=drain).
  returned: success
  type: dict
  contains:
    services:
      description: Names of the services that had tasks on the node.
      type: list
      elements: str
    stranded:
      description: Names of those that have no other place, see O(allow_stranded).
      type: list
      elements: str
    containers:
      description:
        - Names of the containers that go on running on the node, because they are no tasks of the swarm. Null when the
          node is not the manager that was asked, since only its own engine knows them; see M(quorate.swarm.swarm_info).
      type: list
      elements: str
error:
  description: Kind of the error, such as V(refused), V(timed_out), V(quorum_lost), V(locked) or V(not_a_manager).
  returned: failure
  type: str
error_details:
  description: Facts about the error.
  returned: failure
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _drain, _membership, _transition
from ansible_collections.quorate.swarm.plugins.module_utils._argspec import (
    DOCKER_ARGUMENTS,
    DOCKER_REQUIRED_TOGETHER,
    checked_arguments,
)
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused, SwarmError, TimedOut, fail
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node
from ansible_collections.quorate.swarm.plugins.module_utils._step_down import hand_over
from ansible_collections.quorate.swarm.plugins.module_utils._survey import survey

ARGUMENTS: dict[str, t.Any] = {
    "node": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "role": {"type": "str", "choices": ["manager", "worker"]},
    "availability": {"type": "str", "choices": ["active", "pause", "drain"]},
    "avoid": {"type": "list", "elements": "str", "default": []},
    "allow_stranded": {"type": "bool", "default": False},
    "labels": {"type": "dict"},
    "step_down": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 60},
}

Shown = t.Dict[str, t.Any]

#: Seconds after which the managers are not going to take a worker out of the quorum any more.
_FORGOTTEN = 20


class NodeChange:
    """One change of one node: decides with _membership, acts with _transition."""

    def __init__(self, engine: Engine, params: t.Mapping[str, t.Any], *, check_mode: bool) -> None:
        self.engine = engine
        self.params = params
        self.check_mode = check_mode
        self.timeout: float = params["wait_timeout"]
        found = survey(engine)
        found.require_manager()
        self.nodes: t.Sequence[Node] = found.nodes
        self.this_node_id = found.local.node_id if found.local else ""
        self.drained: dict[str, t.Any] | None = None

    def run(self) -> tuple[bool, Shown | None, Shown | None]:
        """Make the change. Returns whether there was one, and the node before and after it."""
        node = _membership.find_node(self.nodes, self.params["node"])
        if self.params["state"] == "absent":
            return self._absent(node)
        if node is None:
            raise Refused(
                f"change node {self.params['node']}", "the swarm has no such node", "Correct the name or the ID"
            )
        return self._step_down(node) if self.params["step_down"] else self._present(node)

    def _absent(self, node: Node | None) -> tuple[bool, Shown | None, Shown | None]:
        if node is None:
            return False, None, None
        force = self.params["force"]
        if not force:
            # One that has left is ready for some seconds more; one that is a working manager has not.
            working = node.manager is not None and node.manager.reachable
            settled = ("down", "ready") if working else ("down",)
            node = _transition.wait_for_state(self.engine, node, settled, timeout=self.timeout)
        demote = _membership.removal_needs_demotion(
            self.engine.nodes(), node, force=force, this_node_id=self.this_node_id
        )
        if not self.check_mode:
            _transition.remove_node(self.engine, node, demote=demote, force=force, timeout=self.timeout)
        return True, shown(node, _membership.spec_of(node)), None

    def _present(self, node: Node) -> tuple[bool, Shown | None, Shown | None]:
        role = self.params["role"]
        change = {name: self.params[name] for name in ("role", "availability", "labels")}
        before = _membership.spec_of(node)
        after = _membership.changed_spec(before, **change)
        if before["Role"] != after["Role"]:
            if role == "manager":
                node = _transition.wait_for_state(self.engine, node, ("ready", "down"), timeout=self.timeout)
                _membership.require_promotable(node)
            else:
                _membership.require_demotable(self.nodes, node, this_node_id=self.this_node_id)
        load = self._load(node) if after["Availability"] == "drain" and self.params["availability"] else None
        begins = before["Availability"] != "drain"
        if load is not None and begins and not self.params["allow_stranded"]:
            _drain.require_room(load)
        changed = before != after
        if not self.check_mode:
            if changed:
                _transition.change_node(self.engine, node, **change, timeout=self.timeout)
            elif role is not None and (node.manager is not None) != (role == "manager"):
                # An earlier change of role that has not come true yet.
                self._finish_change_of_role(node, role)
            if load is not None:
                undo_to = before["Availability"] if begins else None
                _transition.wait_until_drained(self.engine, load, undo_to=undo_to, timeout=self.timeout)
        return changed, shown(node, before), shown(node, after)

    def _finish_change_of_role(self, node: Node, role: str) -> None:
        if role == "manager":
            _transition.wait_for_role(self.engine, node, role, timeout=self.timeout)
            return
        try:
            _transition.wait_for_role(self.engine, node, role, timeout=min(_FORGOTTEN, self.timeout))
        except TimedOut:
            _membership.require_demotable(self.engine.nodes(), node, this_node_id=self.this_node_id)
            _transition.demote_anew(self.engine, node, timeout=self.timeout)

    def _load(self, node: Node) -> _drain.Load:
        """What a drain of this node is about, which is noted for the result as well."""
        load = _drain.load_of(
            node,
            nodes=self.nodes,
            services=self.engine.services(),
            tasks=self.engine.tasks(),
            avoid=self.params["avoid"],
        )
        self.drained = {
            "services": load.names(load.services),
            "stranded": load.names(load.stranded),
            "containers": self.engine.plain_containers() if node.id == self.this_node_id else None,
        }
        return load

    def _step_down(self, node: Node) -> tuple[bool, Shown | None, Shown | None]:
        leads = _membership.leader_to_replace(self.nodes, node.id, this_node_id=self.this_node_id) is not None
        if leads and not self.check_mode:
            hand_over(self.engine, node.id, timeout=self.timeout)
        facts = shown(node, _membership.spec_of(node))
        return leads, {**facts, "leader": leads}, {**facts, "leader": False}


def shown(node: Node, spec: t.Mapping[str, t.Any]) -> Shown:
    """A node as it is returned, with this spec."""
    return {
        "id": node.id,
        "hostname": node.hostname,
        "role": spec["Role"],
        "availability": spec["Availability"],
        "labels": dict(spec["Labels"]),
        "state": node.state,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={**DOCKER_ARGUMENTS, **ARGUMENTS},
        required_together=DOCKER_REQUIRED_TOGETHER,
        mutually_exclusive=[("step_down", name) for name in ("role", "availability", "labels")],
        supports_check_mode=True,
    )
    params = checked_arguments(module)
    if params["state"] == "absent" and any(params[name] for name in ("role", "availability", "labels", "step_down")):
        module.fail_json(msg="With state=absent, role, availability, labels and step_down have no meaning")
    try:
        change = NodeChange(Engine.from_params(params), params, check_mode=module.check_mode)
        changed, before, after = change.run()
    except SwarmError as error:
        fail(module, error)
    diff = {"before": before or {}, "after": after or {}}
    module.exit_json(changed=changed, node=after, drained=change.drained, **({"diff": diff} if module._diff else {}))


if __name__ == "__main__":
    main()
