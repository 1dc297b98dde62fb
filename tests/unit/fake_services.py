# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the services and tasks of a swarm in unit tests."""

from __future__ import annotations

import copy
import json
from typing import Any

from ansible_collections.quorate.swarm.tests.unit.fake_engine import FakeApi, FakeSwarm, Request, api_task


class FakeServices:
    """The services of a swarm, which are updated and scaled as by an engine, a task at each look at the tasks.

    Attributes:
        services: By ID.
        tasks: Those that shall run.
        history: Tasks that have ended.
        failing: What new tasks fail of; empty when they run.
        stuck: Whether new tasks never run.
        favourite: The node that every new task is put on, if not on the emptiest.
        conflicts: How many updates are refused because somebody else was faster.
    """

    def __init__(self, swarm: FakeSwarm, services: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> None:
        self.swarm = swarm
        self.services = {service["ID"]: service for service in services}
        self.tasks = tasks
        self.history: list[dict[str, Any]] = []
        self.failing = ""
        self.stuck = False
        self.favourite = ""
        self.conflicts = 0
        self.updates = 0
        self._serial = 100

    def install(self, api: FakeApi) -> FakeServices:
        """Answer for all services through this API."""
        api.answers["/services"] = lambda dummy: [200, list(self.services.values())]
        api.answers["/tasks"] = self._list
        for service_id in self.services:
            api.answers[f"GET /services/{service_id}"] = self._inspect
            api.answers[f"POST /services/{service_id}/update"] = self._update
        return self

    def held(self, name: str) -> dict[str, int]:
        """How many tasks of a service run on each node."""
        nodes = [task["NodeID"][3:] for task in self._of(f"id-{name}") if task["Status"]["State"] == "running"]
        return {node: nodes.count(node) for node in sorted(set(nodes))}

    def _of(self, service_id: str) -> list[dict[str, Any]]:
        return [task for task in self.tasks if task["ServiceID"] == service_id]

    def _inspect(self, request: Request) -> list[Any]:
        return [200, self.services[request.path.split("/")[2]]]

    def _list(self, request: Request) -> list[Any]:
        chosen = json.loads(request.params.get("filters", "{}")).get("service", list(self.services))
        for service in self.services.values():
            self._step(service)
        return [200, [task for task in [*self.tasks, *self.history] if task["ServiceID"] in chosen]]

    def _update(self, request: Request) -> list[Any]:
        service = self.services[request.path.split("/")[2]]
        if self.conflicts:
            self.conflicts -= 1
            service["Version"]["Index"] += 1
        if int(request.params["version"]) != service["Version"]["Index"]:
            return [500, {"message": "rpc error: code = Unknown desc = update out of sequence"}]
        service["Spec"] = copy.deepcopy(request.body)
        service["Version"]["Index"] += 1
        self.updates += 1
        return [200, {"Warnings": None}]

    def _step(self, service: dict[str, Any]) -> None:
        """Let the swarm do one thing for a service: start or remove a task, or replace one."""
        spec = service["Spec"]
        if "Replicated" not in spec["Mode"]:
            return
        force = spec["TaskTemplate"]["ForceUpdate"]
        mine = self._of(service["ID"])
        old = [task for task in mine if task["Spec"]["ForceUpdate"] != force]
        status = service.get("UpdateStatus") or {}
        updating = status.get("State") == "updating"
        if len(mine) < spec["Mode"]["Replicated"]["Replicas"]:
            self._start(service)
        elif len(mine) > spec["Mode"]["Replicated"]["Replicas"]:
            self.tasks.remove(max(mine, key=lambda task: self._count(service, task["NodeID"])))
        elif old and not updating and status.get("force") != force:
            begun = f"2026-01-01T00:00:{self.updates:02}Z"
            service["UpdateStatus"] = {
                "State": "updating",
                "StartedAt": begun,
                "Message": "update in progress",
                "force": force,
            }
        elif updating and any(task["Status"]["State"] != "running" for task in mine):
            pass
        elif updating and old:
            self.tasks.remove(old[0])
            if self.failing:
                self._fail(service)
            else:
                self._start(service)
        elif updating:
            status.update(State="completed", Message="update completed")

    def _fail(self, service: dict[str, Any]) -> None:
        self.history.append(
            api_task(service["Spec"]["Name"], "", state="rejected", desired="shutdown", error=self.failing)
        )
        rolled_back = service["Spec"]["UpdateConfig"]["FailureAction"] == "rollback"
        service["UpdateStatus"].update(
            State="rollback_completed" if rolled_back else "paused",
            Message="update paused due to failure or early termination of task failed",
        )

    def _count(self, service: dict[str, Any], node_id: str) -> int:
        return sum(task["NodeID"] == node_id for task in self._of(service["ID"]))

    def _start(self, service: dict[str, Any]) -> None:
        self._serial += 1
        nodes = [
            node["ID"]
            for node in self.swarm.nodes.values()
            if node["Status"]["State"] == "ready" and node["Spec"]["Availability"] == "active"
        ]
        self.tasks.append(
            api_task(
                service["Spec"]["Name"],
                self.favourite or min(nodes, key=lambda node: self._count(service, node))[3:],
                slot=self._serial,
                state="starting" if self.stuck else "running",
                force=service["Spec"]["TaskTemplate"]["ForceUpdate"],
            )
        )
