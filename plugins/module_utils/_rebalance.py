# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how services are spread anew over the nodes of a swarm, one at a time, and when that has to stop.

Which services are uneven, _spread.py decides.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._critical import uninterrupted
from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    QuorumLost,
    Refused,
    SwarmError,
    Unsettled,
    UpdateFailed,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import Task
from ansible_collections.quorate.swarm.plugins.module_utils._spread import Place, Spread, host_ports, is_active, judge
from ansible_collections.quorate.swarm.plugins.module_utils._survey import survey
from ansible_collections.quorate.swarm.plugins.module_utils._wait import wait_for

Json = t.Dict[str, t.Any]

#: Label of a service that is scaled up for a moment: the number of replicas it had and the one it was given, C(6/8).
SCALED = "quorate.swarm.scaled"
#: States of an update that has ended (moby api/types/swarm UpdateState).
_ENDED = ("completed", "paused", "rollback_paused", "rollback_completed")
#: What a manager may answer while the leader changes.
_PASSING = (Unsettled, QuorumLost)
_SECOND = 1e9


@dataclasses.dataclass(frozen=True)
class RebalanceOptions:
    """What the operator asked for. See the documentation of swarm_rebalance."""

    services: t.Sequence[str]
    labels: t.Sequence[str]
    all_services: bool
    method: str
    minimum_moves: int
    wait_timeout: float


@dataclasses.dataclass(frozen=True)
class World:
    """The swarm at a moment, as far as it matters for where tasks are."""

    places: tuple[Place, ...]
    services: tuple[Json, ...]
    tasks: tuple[Task, ...]

    def judge(self, service: Json) -> Spread:
        ports = {other["ID"]: host_ports(other) for other in self.services}
        return judge(service, self.places, self.tasks, ports)

    def service(self, service_id: str) -> Json:
        """Return this service.

        Raises:
            Refused: It is gone.
        """
        for service in self.services:
            if service["ID"] == service_id:
                return service
        raise Refused(f"rebalance service {service_id}", "it was removed meanwhile", "Run again")

    def by_name(self, counts: t.Mapping[str, int]) -> dict[str, int]:
        """Numbers by node ID as numbers by host name, with the ID where a host name is not unique."""
        times = collections.Counter(place.node.hostname for place in self.places)
        return {
            node.hostname if times[node.hostname] == 1 else node.name: counts[node.id]
            for node in (place.node for place in self.places)
            if node.id in counts
        }


# -- decisions -----------------------------------------------------------------------------------------------------


def choose(services: t.Iterable[Json], options: RebalanceOptions) -> list[Json]:
    """Return the services that the operator named, by name.

    Raises:
        Refused: A name is that of no service.
    """
    known = sorted(services, key=lambda service: service["Spec"]["Name"])
    unknown = [
        wanted
        for wanted in options.services
        if not any(wanted in (service["ID"], service["Spec"]["Name"]) for service in known)
    ]
    if unknown:
        raise Refused(
            f"rebalance {', '.join(unknown)}",
            "the swarm has no such service",
            "Correct the name; see docker service ls",
        )

    def chosen(service: Json) -> bool:
        labels = service["Spec"].get("Labels") or {}
        pairs = {f"{key}={value}" for key, value in labels.items()}
        return (
            options.all_services
            or service["ID"] in options.services
            or service["Spec"]["Name"] in options.services
            or any(label in labels or label in pairs for label in options.labels)
        )

    return [service for service in known if chosen(service)]


def forced(spec: Json) -> Json:
    """The spec of a service that restarts its tasks, as its update_config says (lab fact B7.1)."""
    template = dict(spec["TaskTemplate"])
    template["ForceUpdate"] = int(template.get("ForceUpdate") or 0) + 1
    return {**spec, "TaskTemplate": template}


def replicas_of(spec: Json) -> int:
    return int(spec["Mode"]["Replicated"].get("Replicas") or 0)


def scaled_up(spec: Json, more: int) -> Json:
    """The spec with so many replicas more, and the note with which it can be brought back whatever happens."""
    before = replicas_of(spec)
    labels = {**(spec.get("Labels") or {}), SCALED: f"{before}/{before + more}"}
    return {**spec, "Labels": labels, "Mode": {"Replicated": {"Replicas": before + more}}}


def scaled_back(spec: Json) -> Json:
    """The spec as it was before scaled_up. A number of replicas that somebody else has set since then stays."""
    labels = dict(spec.get("Labels") or {})
    before, dummy, after = labels.pop(SCALED, "").partition("/")
    replicas = replicas_of(spec)
    if before.isdigit() and after == str(replicas):
        replicas = int(before)
    return {**spec, "Labels": labels, "Mode": {"Replicated": {"Replicas": replicas}}}


def patience(spec: Json, wait_timeout: float) -> float:
    """Seconds in which an update must show progress: its own pauses, the stop of a task, and what the operator adds."""
    update = spec.get("UpdateConfig") or {}
    grace = ((spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}).get("StopGracePeriod") or 10 * _SECOND
    pauses = (update.get("Delay") or 0) + (update.get("Monitor") or 5 * _SECOND)
    return wait_timeout + (pauses + grace) / _SECOND


def restart_warnings(service: Json) -> list[str]:
    """What the operator should know about restarting the tasks of this service."""
    name = service["Spec"]["Name"]
    image = ((service["Spec"].get("TaskTemplate") or {}).get("ContainerSpec") or {}).get("Image") or ""
    warnings = []
    if image and "@" not in image:
        warnings.append(
            f"service {name}: its image {image} has no digest, so a node that pulls it anew may run another version of it"
        )
    return warnings


@dataclasses.dataclass(frozen=True)
class Progress:
    """What was seen of a service on its way.

    Attributes:
        wanted: How many tasks it shall have.
        ready: Those that are as they shall be, and run.
        others: Those that are not, or are too many.
        state: State of its update; empty while that has not begun.
        message: What the engine says of its update.
    """

    wanted: int
    ready: int
    others: int
    state: str = ""
    message: str = ""

    def __repr__(self) -> str:
        words = f", update {self.state} ({self.message})" if self.state else ""
        return f"{self.ready} of {self.wanted} tasks ready, {self.others} others{words}"

    @property
    def complete(self) -> bool:
        return self.ready == self.wanted and not self.others


def progress(service: Json, tasks: t.Iterable[Task], *, started_before: str = "") -> Progress:
    """Read how far a service is.

    Args:
        service: The service now.
        tasks: Its tasks.
        started_before: C(StartedAt) of the update before the one that is waited for. It is still shown when the new one
            has not begun (lab fact B7.2). Empty when there was none.
    """
    status = service.get("UpdateStatus") or {}
    begun = (status.get("StartedAt") or "") not in ("", started_before)
    force = service["Spec"]["TaskTemplate"].get("ForceUpdate") or 0
    active = [task for task in tasks if is_active(task)]
    ready = sum(task.state == "running" and task.force_update == force for task in active)
    return Progress(
        wanted=replicas_of(service["Spec"]),
        ready=ready,
        others=len(active) - ready,
        state=(status.get("State") or "") if begun else "",
        message=(status.get("Message") or "") if begun else "",
    )


def task_errors(tasks: t.Iterable[Task]) -> list[str]:
    """What the newest tasks of a service failed of, each text once, newest first."""
    failed = sorted((task for task in tasks if task.error), key=lambda task: task.created, reverse=True)
    return list(dict.fromkeys(task.error for task in failed[:5]))


# -- acting --------------------------------------------------------------------------------------------------------


class Rebalance:
    """One run.

    Attributes:
        results: What became of each service so far; also there when the run fails.
        warnings: What the operator should know.
        changed: Whether anything was changed, or in check mode would be.
    """

    def __init__(self, engine: Engine, options: RebalanceOptions) -> None:
        self._engine = engine
        self._options = options
        self.results: list[Json] = []
        self.warnings: list[str] = []
        self.changed = False

    def run(self, *, check: bool) -> None:
        """Rebalance the services that were chosen.

        Raises:
            Refused: A service is not there.
            Unsettled: A node is in a state in which its tasks may or may not run.
            UpdateFailed: An update was paused or rolled back; the services after it are not touched.
            TimedOut: One showed no progress.
        """
        world = self._look()
        for service in choose(world.services, self._options):
            if self.changed and not check:
                world = self._look()
            self._one(service["ID"], world, check=check)

    def _look(self) -> World:
        """Read the swarm, and insist that what it says of tasks is true (lab fact B7.4)."""
        found = survey(self._engine, settled=True)
        found.require_manager()
        places = tuple(Place.from_api(node) for node in self._engine.node_objects())
        unsure = [place.node for place in places if place.node.state not in ("ready", "down")]
        if unsure:
            raise Unsettled(
                "rebalance services",
                "nobody knows whether the tasks run on " + ", ".join(f"{node.name}: {node.state}" for node in unsure),
                "Start the engines of these nodes, or wait until they are down, or remove them",
                nodes=[node.id for node in unsure],
            )
        services = tuple(self._engine.services())
        return World(places, services, tuple(self._engine.tasks()))

    def _one(self, service_id: str, world: World, *, check: bool) -> None:
        service = world.service(service_id)
        name = service["Spec"]["Name"]
        if SCALED in (service["Spec"].get("Labels") or {}):
            self.changed = True
            self.warnings.append(f"service {name}: an earlier run had scaled it up and did not end; it is scaled back")
            if not check:
                self._scale_back(service)
                world = self._look()
                service = world.service(service_id)
        spread = world.judge(service)
        entry = _entry(service, spread, world)
        self.results.append(entry)
        if spread.verdict in ("paused", "updating", "unsettled", "not_judged"):
            self.warnings.append(f"service {name} is left alone: {spread.reason}")
        if spread.verdict != "uneven":
            return
        if spread.moves < self._options.minimum_moves:
            entry["reason"] = f"fewer than {self._options.minimum_moves} tasks are in the wrong place"
            return
        self.changed = True
        if self._options.method == "force_update":
            self.warnings.extend(restart_warnings(service))
        if check:
            entry.update(outcome="rebalanced", after=_shown(spread.wanted, spread, world))
            return
        entry.update(outcome="failed", after=None)
        try:
            if self._options.method == "scale":
                self._scale(service, spread.moves)
            else:
                self._force_update(service)
        except SwarmError as error:
            entry["reason"] = str(error)
            raise
        world = self._look()
        spread = world.judge(world.service(service_id))
        entry.update(outcome="rebalanced", after=_shown(spread.held, spread, world))
        if spread.verdict == "uneven":
            entry["outcome"] = "still_uneven"
            entry["reason"] = f"the scheduler has put {spread.moves} of its tasks in the wrong place again"
            self.warnings.append(f"service {name}: {entry['reason']}")

    def _force_update(self, service: Json) -> None:
        name, service_id = service["Spec"]["Name"], service["ID"]
        attempted = f"rebalance service {name}"
        before = self._engine.update_service(service_id, forced, attempted=attempted)
        started = (before.get("UpdateStatus") or {}).get("StartedAt") or ""
        seen = self._await(service, lambda seen: seen.state in _ENDED, attempted=attempted, started_before=started)
        if seen.state != "completed":
            errors = task_errors(self._engine.tasks(service_id=service_id))
            raise UpdateFailed(
                attempted,
                f"its update is {seen.state.replace('_', ' ')}: {'; '.join([seen.message, *errors])}",
                f"See docker service ps --no-trunc {name}, mend what keeps the tasks from running, and then run docker "
                f"service update {name}, or docker service rollback {name}",
                service=name,
                update_state=seen.state,
                task_errors=errors,
            )
        self._await(service, lambda seen: seen.complete, attempted=attempted)

    def _scale(self, service: Json, more: int) -> None:
        attempted = f"scale service {service['Spec']['Name']} up by {more} for its rebalance"
        with uninterrupted():
            self._engine.update_service(service["ID"], lambda spec: scaled_up(spec, more), attempted=attempted)
            try:
                self._await(service, lambda seen: seen.complete, attempted=attempted)
            finally:
                self._scale_back(service)

    def _scale_back(self, service: Json) -> None:
        attempted = f"scale service {service['Spec']['Name']} back"
        self._engine.update_service(service["ID"], scaled_back, attempted=attempted)
        self._await(service, lambda seen: seen.complete, attempted=attempted)

    def _await(
        self, service: Json, done: t.Callable[[Progress], bool], *, attempted: str, started_before: str = ""
    ) -> Progress:
        """Wait until it is done, for as long as another task gets ready in good time.

        Raises:
            TimedOut: None did.
        """
        service_id = service["ID"]

        def look() -> Progress:
            now = self._engine.service(service_id)
            return progress(now, self._engine.tasks(service_id=service_id), started_before=started_before)

        most = -1
        while True:
            seen = wait_for(
                look,
                lambda seen, most=most: done(seen) or seen.ready > most,  # type: ignore[misc]
                attempted=attempted,
                timeout=patience(service["Spec"], self._options.wait_timeout),
                sleep=1.0,
                tolerate=_PASSING,
                remedy=f"The swarm goes on by itself; see docker service ps {service['Spec']['Name']}, and run again",
            )
            if done(seen):
                return seen
            most = seen.ready


def _entry(service: Json, spread: Spread, world: World) -> Json:
    shown = _shown(spread.held, spread, world)
    return {
        "id": service["ID"],
        "name": service["Spec"]["Name"],
        "outcome": spread.verdict,
        "reason": spread.reason,
        "moves": spread.moves,
        "before": shown,
        "after": shown,
    }


def _shown(counts: t.Mapping[str, int], spread: Spread, world: World) -> dict[str, int]:
    """Numbers of tasks on the nodes that have one, or may have one."""
    nodes = [node for node, held in spread.held.items() if held or node in spread.wanted]
    return world.by_name({node: counts.get(node, 0) for node in nodes})
