# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to talk to the Engine API. The only file that does.

It uses the Docker SDK for Python for connection, TLS and version negotiation, and plain requests of the SDK's HTTP
session where the SDK has no method or no time-out of its own for one call.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import (
    MissingLibrary,
    OutOfSequence,
    PermissionDenied,
    SwarmError,
    Unreachable,
    Unsettled,
    error_from_answer,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import (
    Cluster,
    Inventory,
    LocalState,
    Node,
    Task,
    inventory_of,
)

try:
    import docker
    import docker.errors
    import docker.tls
    import requests.exceptions
except ImportError:
    HAS_DOCKER = False
else:
    HAS_DOCKER = True

#: Seconds for a read that healthy managers answer in 0.05 s (lab fact B5.3).
QUICK = 5.0
#: Seconds for any other swarm call: the engine itself gives up after 20 s (lab fact B10).
PATIENT = 25.0
#: Seconds for force-new-cluster, which has no limit in the engine and took up to 24 s (lab facts B5.6, B10).
LONG = 120.0

_CHUNK = 64 << 10
_DATA = b'"Data":"'
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

Json = t.Dict[str, t.Any]


def without_data(chunks: t.Iterable[bytes]) -> bytes:
    """Leave the base64 out of every C(Data) of an answer in JSON while it comes in.

    A list of configs holds their content, and no filter of the API leaves it out (Docker Engine API, ConfigList): half
    a gigabyte in a large swarm, of which only the names are wanted.

    Args:
        chunks: The answer, in parts of any size.

    Returns: the answer with less text in it, and still JSON.
    """
    kept = bytearray()
    rest = b""
    in_data = False
    for chunk in chunks:
        rest += chunk
        while rest:
            if in_data:
                rest = rest.lstrip(_BASE64)
                in_data = not rest
                continue
            before, key, after = rest.partition(_DATA)
            if not key:
                break
            kept += before + key
            rest, in_data = after, True
        # the last bytes may be the beginning of the key
        sure = 0 if in_data else max(0, len(rest) - len(_DATA) + 1)
        kept += rest[:sure]
        rest = rest[sure:]
    return bytes(kept + rest)


def as_list(chunks: t.Iterable[bytes]) -> bytes:
    """Make a list of a stream of JSON objects, one a line."""
    return b"[" + b",".join(b"".join(chunks).splitlines()) + b"]"


class Engine:
    """One Docker Engine.

    It connects at the first call, so that it can be made while the engine is down. Every method raises SwarmError
    kinds: Unreachable, PermissionDenied, Locked, NotAManager, QuorumLost, Unsettled, WrongKey, EngineError.

    Args:
        base_url: Address of the engine, such as C(unix:///var/run/docker.sock).
        tls: Options for the SDK's TLSConfig, or None for a plain connection.
        api_version: API version, or C(auto).
        timeout: Seconds for calls that set no time-out of their own.
    """

    def __init__(
        self,
        base_url: str = "unix:///var/run/docker.sock",
        *,
        tls: t.Mapping[str, t.Any] | None = None,
        api_version: str = "auto",
        timeout: float = 60,
    ) -> None:
        self.base_url = base_url
        self._tls = tls
        self._api_version = api_version
        self._timeout = timeout
        self._client: t.Any = None

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], *, base_url: str | None = None) -> Engine:
        """Make an engine from a module's connection options (see _argspec.DOCKER_ARGUMENTS).

        Args:
            params: The module's parameters.
            base_url: Another address than the one in the parameters, with the same TLS options.
        """
        tls: dict[str, t.Any] | None = None
        if params.get("tls") or params.get("validate_certs"):
            tls = {"verify": params["ca_path"] or True if params.get("validate_certs") else False}
            if params.get("client_cert") and params.get("client_key"):
                tls["client_cert"] = (params["client_cert"], params["client_key"])
            if params.get("ca_path"):
                tls["ca_cert"] = params["ca_path"]
        return cls(
            base_url or params["docker_host"],
            tls=tls,
            api_version=params["api_version"],
            timeout=params["timeout"],
        )

    def close(self) -> None:
        """Drop the connection. The next call makes a new one; needed after the engine was restarted."""
        if self._client is not None:
            with contextlib.suppress(Exception):
                self._client.close()
            self._client = None

    def _connect(self, attempted: str, timeout: float) -> t.Any:
        if not HAS_DOCKER:
            raise MissingLibrary(
                attempted,
                "the Docker SDK for Python is not installed on this host for this Python interpreter",
                "Install the package python3-docker, or docker with pip",
            )
        if self._client is None:
            try:
                if self._tls is not None and self._tls["verify"] is not True:
                    # requests would take the authorities of these before ours, and would verify where we do not
                    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
                        os.environ.pop(variable, None)
                tls: t.Any = docker.tls.TLSConfig(**self._tls) if self._tls is not None else False
                base_url = self.base_url.replace("tcp://", "https://") if tls else self.base_url
                self._client = docker.APIClient(base_url=base_url, version=self._api_version, timeout=timeout, tls=tls)
            except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
                raise self._connection_error(attempted, error) from error
        return self._client

    def _connection_error(self, attempted: str, error: Exception) -> SwarmError:
        text = str(error)
        if "Permission denied" in text or "PermissionError" in text:
            return PermissionDenied(
                attempted,
                f"this user may not use {self.base_url}",
                "Run the task with become, or join the docker group",
            )
        if "SSLError" in text:
            return Unreachable(
                attempted,
                f"there is no TLS connection to {self.base_url} ({text})",
                "Correct ca_path, client_cert and client_key, or the address in docker_host",
            )
        hangs = isinstance(error, requests.exceptions.Timeout) or "timed out" in text.lower()
        if hangs and "connect timeout" not in text.lower():  # a host that is off hangs too, but does not even connect
            return Unsettled(
                attempted,
                f"the engine at {self.base_url} did not answer in time",
                "An election may be running, or an unlock request hangs: wait half a minute and run again",
            )
        return Unreachable(
            attempted,
            f"no engine answers at {self.base_url} ({text})",
            "Start it (systemctl start docker) or correct docker_host",
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        attempted: str,
        params: t.Mapping[str, t.Any] | None = None,
        body: t.Any = None,
        timeout: float | None = None,
        keep: t.Callable[[t.Iterable[bytes]], bytes] = b"".join,
    ) -> t.Any:
        """Make one request and return the decoded answer, or None when it is empty.

        Args:
            method: HTTP method.
            path: Path behind the API version.
            attempted: What this is for, for the error.
            params: Query.
            body: Sent as JSON.
            timeout: Seconds for each step; the engine's own when None.
            keep: Takes a good answer in chunks as it comes in, and returns as much of it as is to be decoded.

        Raises: the kinds of SwarmError that error_from_answer and a failed connection give.
        """
        limit = self._timeout if timeout is None else timeout
        client = self._connect(attempted, limit)
        url = f"{client.base_url}/v{client.api_version}{path}"
        try:
            with client.request(method, url, params=params, json=body, timeout=limit, stream=True) as answer:
                content = keep(answer.iter_content(_CHUNK)) if answer.status_code < 400 else answer.content
        except (requests.exceptions.RequestException, OSError) as error:
            self.close()
            raise self._connection_error(attempted, error) from error
        if answer.status_code >= 400:
            try:
                message = answer.json().get("message") or answer.text
            except ValueError:
                message = answer.text
            raise error_from_answer(attempted=attempted, status=answer.status_code, message=message)
        return json.loads(content) if content.strip() else None

    # -- reads ---------------------------------------------------------------------------------------------------

    def version(self) -> Json:
        """GET /version. Works whatever the swarm does (lab fact B5.1)."""
        return self.call("GET", "/version", attempted="read the engine's version", timeout=QUICK)

    def info(self, *, timeout: float = QUICK) -> Json:
        """GET /info. Hangs up to 20 s during an election and when the quorum was just lost (lab fact B5.1)."""
        return self.call("GET", "/info", attempted="read the engine's state", timeout=timeout)

    def local_state(self, *, timeout: float = QUICK) -> LocalState:
        return LocalState.from_info(self.info(timeout=timeout))

    def root_dir(self) -> str | None:
        """The engine's data root, or None when it is down or hangs."""
        try:
            return self.info().get("DockerRootDir")
        except (Unreachable, Unsettled):
            return None

    def node_objects(self, *, timeout: float = PATIENT) -> list[Json]:
        """GET /nodes, with all that the managers know of each node."""
        return self.call("GET", "/nodes", attempted="read the node list of the swarm", timeout=timeout)

    def nodes(self, *, timeout: float = PATIENT) -> list[Node]:
        return [Node.from_api(node) for node in self.node_objects(timeout=timeout)]

    def swarm(self) -> Json:
        """GET /swarm. Holds the join tokens: never return it as it is."""
        return self.call("GET", "/swarm", attempted="read the cluster object of the swarm", timeout=PATIENT)

    def cluster(self) -> Cluster:
        return Cluster.from_api(self.swarm())

    def services(self) -> list[Json]:
        return self.call("GET", "/services", attempted="read the services", params={"status": "true"}, timeout=PATIENT)

    def service(self, service_id: str) -> Json:
        """GET /services/ID. It has no ServiceStatus; the list has."""
        return self.call("GET", f"/services/{service_id}", attempted=f"read service {service_id}", timeout=PATIENT)

    def tasks(self, *, service_id: str | None = None) -> list[Task]:
        """The tasks of all services, or of one, with those that have ended and are not forgotten yet."""
        params = {} if service_id is None else {"filters": json.dumps({"service": [service_id]})}
        answer = self.call("GET", "/tasks", attempted="read the tasks of the swarm", params=params, timeout=PATIENT)
        return [Task.from_api(task) for task in answer]

    def plain_containers(self) -> list[str]:
        """Names of the containers that run on this engine and are no tasks of a swarm: nobody moves them."""
        answer = self.call("GET", "/containers/json", attempted="read the containers", timeout=PATIENT)
        return sorted(
            container["Names"][0].lstrip("/")
            for container in answer
            if "com.docker.swarm.task.id" not in (container.get("Labels") or {})
        )

    def networks(self) -> list[Json]:
        return self.call("GET", "/networks", attempted="read the networks", timeout=PATIENT)

    def secrets(self) -> list[Json]:
        return self.call("GET", "/secrets", attempted="read the names of the secrets", timeout=PATIENT)

    def configs(self) -> list[Json]:
        """The configs without their data."""
        attempted = "read the names of the configs"
        return self.call("GET", "/configs", attempted=attempted, timeout=PATIENT, keep=without_data)

    def containers(self) -> list[Json]:
        """The containers of this host, those that do not run included."""
        return self.call("GET", "/containers/json", attempted="read the containers", params={"all": "true"})

    def container_events(self) -> list[Json]:
        """What this engine remembers of its containers, up to 256 events of all kinds: created, started, died ..."""
        params = {"since": "0", "until": str(int(time.time()) + 1), "filters": '{"type":["container"]}'}
        attempted = "read the events of containers"
        return self.call("GET", "/events", attempted=attempted, params=params, keep=as_list)

    def inventory(self) -> Inventory:
        """Read all that a swarm consists of. Only on a manager with a leader."""
        return inventory_of(
            nodes=self.nodes(),
            services=self.services(),
            networks=self.networks(),
            secrets=self.secrets(),
            configs=self.configs(),
        )

    def unlock_key(self) -> str:
        """GET /swarm/unlockkey: the current key, or an empty text when autolock is off (lab fact B2.5). A secret."""
        answer = self.call("GET", "/swarm/unlockkey", attempted="read the unlock key", timeout=PATIENT)
        return answer["UnlockKey"]

    def join_token(self, role: str) -> str:
        """The token with which a host joins as C(manager) or C(worker). A secret."""
        return self.swarm()["JoinTokens"][role.capitalize()]

    # -- actions -------------------------------------------------------------------------------------------------

    def unlock(self, key: str, *, timeout: float = PATIENT) -> None:
        """POST /swarm/unlock.

        Without quorum the request never returns although the node is unlocked at once, and the hung request blocks
        the engine's swarm calls (lab facts B2.3, B2.4): judge by local_state afterwards, not by this call.
        """
        self.call("POST", "/swarm/unlock", attempted="unlock this manager", body={"UnlockKey": key}, timeout=timeout)

    def init(
        self, *, advertise_address: str, listen_address: str = "0.0.0.0:2377", autolock: bool = False, **more: t.Any
    ) -> str:
        """POST /swarm/init of a new swarm. Returns the node ID."""
        body = {
            "AdvertiseAddr": advertise_address,
            "ListenAddr": listen_address,
            "Spec": {"EncryptionConfig": {"AutoLockManagers": autolock}},
            **more,
        }
        return self.call("POST", "/swarm/init", attempted="create a swarm", body=body, timeout=LONG)

    def force_new_cluster(
        self, *, autolock: bool, listen_address: str, advertise_address: str, data_path_address: str = ""
    ) -> None:
        """POST /swarm/init with ForceNewCluster.

        Everything of the spec is kept but autolock, which follows the request (lab fact B4.12). It never says no, so
        the caller has checked the state directory before and compares the inventory after (lab fact B4.13). The
        addresses are those of docker-state.json: an engine on a host with several addresses would not guess them, and
        writes what it is given to its state.
        """
        body = {
            "ForceNewCluster": True,
            "ListenAddr": listen_address,
            "AdvertiseAddr": advertise_address,
            "DataPathAddr": data_path_address,
            "Spec": {"EncryptionConfig": {"AutoLockManagers": autolock}},
        }
        self.call("POST", "/swarm/init", attempted="force a new cluster on this manager", body=body, timeout=LONG)

    def join(
        self,
        *,
        token: str,
        remote_addresses: t.Sequence[str],
        advertise_address: str = "",
        listen_address: str = "0.0.0.0:2377",
        data_path_address: str = "",
    ) -> None:
        """POST /swarm/join. The engine answers after 20 s at the latest, and goes on joining (lab fact B10)."""
        body = {
            "JoinToken": token,
            "RemoteAddrs": list(remote_addresses),
            "AdvertiseAddr": advertise_address,
            "ListenAddr": listen_address,
            "DataPathAddr": data_path_address,
        }
        self.call("POST", "/swarm/join", attempted="join the swarm", body=body, timeout=60)

    def leave(self, *, force: bool = False) -> None:
        self.call(
            "POST",
            "/swarm/leave",
            attempted="leave the swarm",
            params={"force": "true" if force else "false"},
            timeout=60,
        )

    def update_node(self, node_id: str, change: t.Callable[[Json], Json], *, attempted: str) -> int:
        """Read a node's spec, change it, and write it back; again when somebody else was faster.

        Args:
            node_id: The node.
            change: Takes the spec and returns the new one. The same spec is a write too (see touch_node).
            attempted: What this is for, for the error.

        Returns: the version index that the write was based on. The write's own raft index is higher.
        """
        before = self._update(f"/nodes/{node_id}", change, attempted=attempted)
        return int(before["Version"]["Index"])

    def update_service(self, service_id: str, change: t.Callable[[Json], Json], *, attempted: str) -> Json:
        """Read a service's spec, change it, and write it back, likewise. Its registry credentials stay.

        Returns: the service as it was before.
        """
        return self._update(f"/services/{service_id}", change, attempted=attempted)

    def set_autolock(self, autolock: bool) -> None:
        """Switch autolock on, which makes an unlock key, or off, after which nobody tells the key any more."""

        def change(spec: Json) -> Json:
            return {**spec, "EncryptionConfig": {**(spec.get("EncryptionConfig") or {}), "AutoLockManagers": autolock}}

        self._update("/swarm", change, attempted=f"switch autolock {'on' if autolock else 'off'}")

    def rotate_unlock_key(self) -> None:
        """Let the swarm make a new unlock key. With autolock off nothing happens, and no error (lab fact B3.6)."""
        more = {"rotateManagerUnlockKey": "true"}
        self._update("/swarm", lambda spec: spec, attempted="rotate the unlock key", params=more)

    def set_swarm_settings(self, section: str, settings: Json) -> int:
        """Set a section of the swarm's spec, such as C(Raft).

        Returns: the version index that the write was based on. The write's own raft index is higher.
        """
        before = self._update(
            "/swarm", lambda spec: {**spec, section: settings}, attempted=f"set {section} of the swarm's settings"
        )
        return int(before["Version"]["Index"])

    def _update(
        self,
        path: str,
        change: t.Callable[[Json], Json],
        *,
        attempted: str,
        params: t.Mapping[str, t.Any] | None = None,
    ) -> Json:
        """Read the spec of an object, change it, and write it back; again when somebody else was faster.

        Returns: the object as it was before.
        """
        left = 5
        while True:
            left -= 1
            found: Json = self.call("GET", path, attempted=attempted, timeout=PATIENT)
            try:
                self.call(
                    "POST",
                    f"{path}/update",
                    attempted=attempted,
                    params={"version": int(found["Version"]["Index"]), **(params or {})},
                    body=change(dict(found["Spec"])),
                    timeout=PATIENT,
                )
                return found
            except OutOfSequence:
                if not left:
                    raise

    def set_role(self, node_id: str, role: str) -> None:
        """Promote or demote a node."""
        self.update_node(node_id, lambda spec: {**spec, "Role": role}, attempted=f"make node {node_id} a {role}")

    def touch_node(self, node_id: str) -> int:
        """Write a node's spec back unchanged.

        This is a raft entry of its own and changes nothing anybody sees. On a manager's disk an entry is marked as
        committed only when the next one is written, so this settles the last real change (lab fact B4.5;
        raft-store fact 0.1).

        Returns: the node's new version index.
        """
        self.update_node(node_id, lambda spec: spec, attempted="write a settling entry to the raft store")
        node = self.call("GET", f"/nodes/{node_id}", attempted="read the settling entry back", timeout=PATIENT)
        return int(node["Version"]["Index"])

    def remove_node(self, node_id: str, *, force: bool = False) -> None:
        self.call(
            "DELETE",
            f"/nodes/{node_id}",
            attempted=f"remove node {node_id}",
            params={"force": "true" if force else "false"},
            timeout=PATIENT,
        )
