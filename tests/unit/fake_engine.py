# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the engine in unit tests: answers as recorded, or as a small swarm that changes when it is told to."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, List, Union

FIXTURES = Path(__file__).parent / "fixtures"
#: Engine versions whose answers are recorded.
ENGINES = ("20.10", "28.5")

LOCKED = (
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
)
NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are "
    "online. Make sure more than half of the managers are online."
)
NO_DECISION = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
NOT_A_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
    "command on a manager node or promote the current node to a manager."
)


@dataclass(frozen=True)
class Request:
    """What was asked of the engine."""

    method: str
    path: str
    params: dict[str, Any]
    body: Any
    timeout: float | None


#: [status, body] as recorded, an exception of the transport, or what a function makes of the request.
Answer = Union[List[Any], Exception, Callable[[Request], List[Any]]]


class HttpAnswer:
    """The part of requests.Response that is used."""

    def __init__(self, status: int, body: Any) -> None:
        self.status_code = status
        self.text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
        self.content = self.text.encode()

    def json(self) -> Any:
        return json.loads(self.text)

    def iter_content(self, size: int) -> Iterator[bytes]:
        for start in range(0, len(self.content), size):
            yield self.content[start : start + size]

    def __enter__(self) -> HttpAnswer:
        return self

    def __exit__(self, *dummy: object) -> None:
        pass


@dataclass
class FakeApi:
    """Takes the place of docker.APIClient.

    Attributes:
        answers: By "METHOD /path"; for GET, the path alone will do. The query belongs to the path.
        requests: What was asked, in order.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    closed: int = 0
    base_url: str = "http+docker://localhost"
    api_version: str = "1.41"

    def connect(self, **options: Any) -> FakeApi:
        """Be called in the place of docker.APIClient."""
        self.options = options
        return self

    def close(self) -> None:
        self.closed += 1

    def request(
        self, method: str, url: str, *, params: Any, json: Any, timeout: float | None, stream: bool
    ) -> HttpAnswer:
        start = f"{self.base_url}/v{self.api_version}"
        assert url.startswith(start), url
        request = Request(method, url[len(start) :], dict(params or {}), copy.deepcopy(json), timeout)
        self.requests.append(request)
        query = "&".join(f"{key}={value}" for key, value in request.params.items())
        for key in (f"{request.path}?{query}" if query else request.path, request.path):
            for name in (f"{method} {key}", key if method == "GET" else ""):
                if name in self.answers:
                    return self._answer(self.answers[name], request)
        raise AssertionError(f"the test gives no answer to {method} {request.path}?{query}")

    @staticmethod
    def _answer(answer: Answer, request: Request) -> HttpAnswer:
        if callable(answer) and not isinstance(answer, Exception):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return HttpAnswer(*copy.deepcopy(answer))

    def asked(self, method: str) -> list[Request]:
        """Return the requests of this method."""
        return [request for request in self.requests if request.method == method]


def recorded(engine: str, state: str) -> dict[str, Answer]:
    """Return the answers of a real engine in a state, as fixtures/record.py recorded them."""
    answers: dict[str, Answer] = json.loads((FIXTURES / f"engine-{engine}.json").read_text())[state]
    return answers


def in_turn(*answers: Answer) -> Callable[[Request], list[Any]]:
    """Return an answer that is another one at each request; the last stays."""
    left = list(answers)

    def answer(request: Request) -> list[Any]:
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, Exception):
            raise now
        return now(request) if callable(now) else now

    return answer


def api_node(
    name: str,
    *,
    role: str = "worker",
    state: str = "ready",
    reachability: str | None = None,
    leader: bool = False,
    labels: dict[str, str] | None = None,
    availability: str = "active",
    hostname: str | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Build a node as GET /nodes lists it. Its ID is id-NAME; managers are reachable unless told otherwise."""
    address = address or "10.0.0.1"
    node: dict[str, Any] = {
        "ID": f"id-{name}",
        "Version": {"Index": 10},
        "Spec": {"Role": role, "Availability": availability, "Labels": dict(labels or {})},
        "Description": {"Hostname": name if hostname is None else hostname, "Engine": {"EngineVersion": "20.10.24"}},
        "Status": {"State": state, "Addr": address},
    }
    if role == "manager" and reachability != "none":
        node["ManagerStatus"] = {"Reachability": reachability or "reachable", "Addr": f"{address}:2377"}
        if leader:
            node["ManagerStatus"]["Leader"] = True
    return node


def api_task(
    name: str,
    node: str,
    *,
    slot: int = 1,
    state: str = "running",
    desired: str = "running",
    error: str = "",
    force: int = 0,
    reservations: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Build a task of the service NAME as GET /tasks lists it. One of a global service has no slot; node "" is none."""
    return {
        "ID": f"id-{name}.{slot}@{node}",
        "ServiceID": f"id-{name}",
        "NodeID": f"id-{node}" if node else "",
        **({"Slot": slot} if slot else {}),
        "Spec": {"ForceUpdate": force, **({"Resources": {"Reservations": reservations}} if reservations else {})},
        "Status": {"State": state, **({"Err": error} if error else {})},
        "DesiredState": desired,
        "CreatedAt": "2026-01-01T00:00:00Z",
    }


def api_service(
    name: str,
    *constraints: str,
    replicas: int = 1,
    mode: dict[str, Any] | None = None,
    placement: dict[str, Any] | None = None,
    reservations: dict[str, Any] | None = None,
    ports: list[dict[str, Any]] | None = None,
    labels: dict[str, str] | None = None,
    update: str | None = None,
    update_config: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Build a service as GET /services lists it; *update* is the state of its last update."""
    template: dict[str, Any] = {
        "ContainerSpec": {"Image": f"{name}@sha256:0", **(container or {})},
        "Placement": {"Constraints": list(constraints), **(placement or {})},
        "Resources": {"Reservations": reservations or {}},
        "ForceUpdate": 0,
    }
    service: dict[str, Any] = {
        "ID": f"id-{name}",
        "Version": {"Index": 10},
        "Spec": {
            "Name": name,
            "Labels": dict(labels or {}),
            "TaskTemplate": template,
            "Mode": mode or {"Replicated": {"Replicas": replicas}},
            "EndpointSpec": {"Mode": "vip", "Ports": ports or []},
            "UpdateConfig": update_config or {"Parallelism": 1, "FailureAction": "pause"},
        },
    }
    if update:
        service["UpdateStatus"] = {"State": update, "StartedAt": "2026-01-01T00:00:00Z", "Message": f"update {update}"}
    return service


def managers(count: int, **of_the_last: Any) -> list[dict[str, Any]]:
    """Build m1 (the leader) and so many managers in all; what is given further holds for the last one."""
    names = [f"m{number}" for number in range(1, count + 1)]
    nodes = [
        api_node(name, role="manager", leader=name == "m1", address=f"10.0.0.{number}")
        for number, name in enumerate(names[:-1] if count > 1 else names, 1)
    ]
    if count > 1:
        nodes.append(api_node(names[-1], role="manager", **{"address": f"10.0.0.{count}", **of_the_last}))
    return nodes


def api_info(
    *,
    node_id: str = "",
    state: str = "inactive",
    control: bool = False,
    error: str = "",
    cluster_id: str = "",
    hostname: str = "m1",
) -> dict[str, Any]:
    """Build GET /info."""
    swarm: dict[str, Any] = {
        "NodeID": node_id,
        "NodeAddr": "10.0.0.1" if node_id else "",
        "LocalNodeState": state,
        "ControlAvailable": control,
        "Error": error,
        "RemoteManagers": None,
    }
    if cluster_id:
        swarm["Cluster"] = {"ID": cluster_id, "Spec": {"EncryptionConfig": {"AutoLockManagers": False}}}
    return {"Name": hostname, "ServerVersion": "20.10.24", "DockerRootDir": "/var/lib/docker", "Swarm": swarm}


class FakeSwarm:
    """A swarm as one of its managers shows it, which does what it is told (the answers as in lab facts B6).

    Attributes:
        nodes: As GET /nodes lists them.
        info: As GET /info says.
        services: As GET /services lists them.
        tasks: As GET /tasks lists them. Those of a drained node move to the first worker that is active.
        containers: As GET /containers/json lists them.
        lag: How many times the node or task list is read before a change is seen there.
        obedient: Whether the quorum follows the roles, and tasks the availability, at all.
    """

    def __init__(self, nodes: list[dict[str, Any]], *, this: str = "m1", lag: int = 1) -> None:
        self.nodes = {node["ID"]: node for node in nodes}
        self.info = api_info(
            node_id=f"id-{this}", state="active", control=True, cluster_id="the-cluster", hostname=this
        )
        self.services: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.containers: list[dict[str, Any]] = []
        self.lag = lag
        self.obedient = True
        self._pending: list[list[Any]] = []

    def install(self, api: FakeApi) -> FakeSwarm:
        """Answer for all nodes through this API."""
        api.answers.update(
            {
                "/info": lambda dummy: [200, self.info],
                "/nodes": lambda dummy: self._list(list(self.nodes.values())),
                "/services": lambda dummy: [200, self.services],
                "/tasks": lambda dummy: self._list(self.tasks),
                "/containers/json": lambda dummy: [200, self.containers],
            }
        )
        for node_id in self.nodes:
            api.answers[f"GET /nodes/{node_id}"] = self._inspect
            api.answers[f"POST /nodes/{node_id}/update"] = self.update
            api.answers[f"DELETE /nodes/{node_id}"] = self._remove
        return self

    def _list(self, entries: list[dict[str, Any]]) -> list[Any]:
        for entry in list(self._pending):
            entry[0] -= 1
            if entry[0] < 0:
                self._pending.remove(entry)
                entry[1]()
        return [200, entries]

    def later(self, change: Callable[[], None]) -> None:
        """Make a change when the node list has been read some times."""
        self._pending.append([self.lag, change])

    def _inspect(self, request: Request) -> list[Any]:
        node = self.nodes.get(request.path.split("/")[2])
        return [200, node] if node else [404, {"message": f"node {request.path.split('/')[2]} not found"}]

    def update(self, request: Request) -> list[Any]:
        node = self.nodes[request.path.split("/")[2]]
        if int(request.params["version"]) != node["Version"]["Index"]:
            return [500, {"message": "rpc error: code = Unknown desc = update out of sequence"}]
        role_before, availability_before = node["Spec"]["Role"], node["Spec"]["Availability"]
        node["Spec"] = request.body
        node["Version"]["Index"] += 1
        if request.body["Role"] != role_before and self.obedient:
            self.later(lambda: self.role_follows(node))
        if request.body["Availability"] == "drain" != availability_before and self.obedient:
            self.later(lambda: self.tasks_move(node["ID"]))
        return [200, None]

    def tasks_move(self, node_id: str) -> None:
        """End the tasks of a node, and run those of replicated services on the first active worker."""
        takers = (
            node["ID"]
            for node in self.nodes.values()
            if (node["Spec"]["Role"], node["Spec"]["Availability"]) == ("worker", "active")
        )
        taker = next(takers, "")
        for task in [task for task in self.tasks if task["NodeID"] == node_id]:
            if "Slot" in task:
                self.tasks.append({**task, "ID": f"{task['ID']}>{taker}", "NodeID": taker})
            task.update(Status={"State": "shutdown"}, DesiredState="shutdown")

    def role_follows(self, node: dict[str, Any]) -> None:
        """Let the raft membership follow the role; a leader that goes is followed by another one."""
        if node["Spec"]["Role"] == "manager":
            node["ManagerStatus"] = {"Reachability": "reachable", "Addr": f"{node['Status']['Addr']}:2377"}
            return
        was_leader = node.pop("ManagerStatus", {}).get("Leader")
        heir = next((other for other in self.nodes.values() if "ManagerStatus" in other), None)
        if was_leader and heir:
            heir["ManagerStatus"]["Leader"] = True

    def _remove(self, request: Request) -> list[Any]:
        node = self.nodes[request.path.split("/")[2]]
        if "ManagerStatus" in node:
            text = (
                f"rpc error: code = FailedPrecondition desc = node {node['ID']} is a cluster manager and is a member "
                "of the raft cluster. It must be demoted to worker before removal"
            )
            return [400, {"message": text}]
        if node["Status"]["State"] == "ready" and request.params["force"] != "true":
            text = f"rpc error: code = FailedPrecondition desc = node {node['ID']} is not down and can't be removed"
            return [400, {"message": text}]
        del self.nodes[node["ID"]]
        return [200, None]
