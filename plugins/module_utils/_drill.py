# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to prove that a swarm comes back from an archive: by letting it come back, where nobody notices.

A private engine (_private_engine.py) starts from a copy that was verified, and forces a new cluster, as a restore does, and then everything
that a restore compares is compared. No service of the swarm runs there: the copy has no tasks of this node in it, and the
engine has neither an image nor a runtime to make a container with.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shutil
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._critical import Steps
from ansible_collections.quorate.swarm.plugins.module_utils._errors import EngineError, Unreachable, Unsettled, WrongKey
from ansible_collections.quorate.swarm.plugins.module_utils._lone_manager import Copy, LoneManager, other_managers
from ansible_collections.quorate.swarm.plugins.module_utils._model import host_of
from ansible_collections.quorate.swarm.plugins.module_utils._node_key import unlock_key_text
from ansible_collections.quorate.swarm.plugins.module_utils._private_engine import PrivateEngine
from ansible_collections.quorate.swarm.plugins.module_utils._raft_inventory import inventory_of_store
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._state_facts import StateFacts
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import DOCKER_STATE
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

#: The private engine is given that many times the time of one wait, and then ends, whatever happens.
_LIMIT = 5
#: Folder of a state directory with what an engine knows of the tasks of its node. It does without.
_WORKER = "worker"


@contextlib.contextmanager
def folder_beside(place: StateDir) -> t.Iterator[Path]:
    """A private folder for a drill, beside a state directory, whose leftovers of killed runs are removed."""
    place.remove_leftovers()
    folder = place.new_work_folder("drill")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Drill:
    """One drill.

    Args:
        copy: The state directory, somewhere in the folder. It is used up.
        facts: What is in it, its raft store decoded. An engine could start from it.
        unlock_key: What opens it; None without autolock.
        hostname: What the engine takes for the name of its host.
        folder: Of folder_beside().
        wait_timeout: Seconds to wait until the engine has loaded the state, and again until it leads.
    """

    def __init__(
        self,
        copy: Path,
        facts: StateFacts,
        *,
        unlock_key: bytes | None,
        hostname: str,
        folder: Path,
        wait_timeout: int,
    ) -> None:
        self._copy = copy
        self._facts = facts
        self._unlock_key = unlock_key_text(unlock_key) if unlock_key else ""
        self._wait_timeout = wait_timeout
        self._steps = Steps()
        addresses = addresses_of(facts)
        self._private = PrivateEngine(folder, addresses=addresses, hostname=hostname, limit=_LIMIT * wait_timeout)
        self._lone = LoneManager(
            engine=self._private.engine,
            directory=self._private.state,
            addresses=addresses,
            unlock_key=self._unlock_key,
            wait_timeout=wait_timeout,
            steps=self._steps,
            alive=self._private.require_running,
        )

    def run(self) -> dict[str, t.Any]:
        """Let the swarm come back, and remove every trace of it.

        Returns: what LoneManager.take_over() does, and C(engine_version), C(key) (what was proven of the unlock key),
        C(containers) (how many there were) and C(steps).

        Raises:
            SwarmError: The swarm does not come back, with the reason.
        """
        facts, private = self._facts, self._private
        with private:
            shutil.rmtree(self._copy / _WORKER, ignore_errors=True)
            if other_managers(facts):
                (self._copy / DOCKER_STATE).unlink(missing_ok=True)  # else it would wait for them
            else:
                self._name_local_address()
            self._lone.open_key(self._copy, facts)
            os.rename(self._copy, private.state)
            with self._steps.step("start"):
                private.start()
                if not (other_managers(facts) and self._lone.wait_until_up()):
                    self._lone.wait_until_loaded()
            result = self._lone.take_over(Copy(facts, inventory_of_store(facts.contents) if facts.contents else {}))
            if facts.sealed:
                with self._steps.step("restart and unlock"):
                    self._prove_key()
            return {
                **result,
                "engine_version": private.engine.version()["Version"],
                "key": "proven" if facts.sealed else "not_needed",
                "containers": self._require_nothing_ran(),
                "steps": self._steps.taken,
            }

    def _name_local_address(self) -> None:
        """Tell the engine its own address: one that joined looks for the route to the manager that it joined, and here is none.

        moby/moby daemon/cluster/noderunner.go and cluster.go, newNodeRunner().
        """
        state, own = self._facts.docker_state, self._facts.address
        if own and not state.get("LocalAddr"):
            content = json.dumps({**state, "LocalAddr": host_of(own)})
            (self._copy / DOCKER_STATE).write_text(content, encoding="utf-8")

    def _prove_key(self) -> None:
        """Kill and start the engine: it has to be locked, reject another key, and accept the archive's."""
        engine = self._private.engine
        self._private.start()
        wait_for(
            self._state,
            lambda state: state == "locked",
            attempted="see the restarted manager locked",
            timeout=self._wait_timeout,
            tolerate=(Unreachable, Unsettled),
        )
        other = unlock_key_text(os.urandom(32))
        try:
            engine.unlock(other)
        except WrongKey:
            engine.unlock(self._unlock_key)
            self._lone.wait_until_leading(self._facts.node_id)
            return
        raise EngineError("see another unlock key rejected", "the engine accepted one that was made up")

    def _state(self) -> str:
        self._private.require_running()
        return self._private.engine.local_state().state

    def _require_nothing_ran(self) -> int:
        """See that there is no container, and never was one, and return how many there are."""
        containers, events = self._private.engine.containers(), self._private.engine.container_events()
        if containers or events:
            raise EngineError(
                "let the swarm come back without running anything of it",
                f"the private engine has {len(containers)} containers and noted {len(events)} events about some",
                "Report this: nothing can run there",
            )
        return len(containers)


def addresses_of(facts: StateFacts) -> set[str]:
    """The addresses that an engine needs on its host to start from a state directory. Its data path may name a device."""
    known = [facts.docker_state.get(name) for name in ("LocalAddr", "AdvertiseAddr", "ListenAddr", "DataPathAddr")]
    found = {host_of(address) for address in [facts.address, *known] if address}
    return {address for address in found if _is_of_a_host(address)}


def _is_of_a_host(address: str) -> bool:
    """Whether it is an IP address, and not one that stands for all of a host's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not parsed.is_unspecified and not parsed.is_loopback
