# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for a manager's host in unit tests: its service manager, its engine's API and its state directory, which
belong together as on a real host. What is done to it is noted in order."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
from pathlib import Path
from typing import Any, Callable

import requests.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nacl.secret import SecretBox

from ansible_collections.quorate.swarm.plugins.module_utils import _node_key
from ansible_collections.quorate.swarm.plugins.module_utils._raft_objects import Cluster, StoreObject
from ansible_collections.quorate.swarm.plugins.module_utils._raft_seal import RaftKeys
from ansible_collections.quorate.swarm.plugins.module_utils._raft_store import RaftContents, RaftMember, RaftPosition
from ansible_collections.quorate.swarm.plugins.module_utils._state_dir import StateDir
from ansible_collections.quorate.swarm.plugins.module_utils._state_layout import SNAPSHOTS
from ansible_collections.quorate.swarm.tests.unit.fake_engine import (
    LOCKED,
    NO_LEADER,
    NOT_A_MANAGER,
    FakeApi,
    Request,
    api_info,
    api_node,
)

KEY = bytes(range(32))
UNLOCK_KEY = "SWMKEY-1-" + base64.b64encode(KEY).decode().rstrip("=")
OTHER_UNLOCK_KEY = "SWMKEY-1-" + base64.b64encode(bytes(32)).decode().rstrip("=")
JOIN_TOKEN = "SWMTKN-1-of-the-fake-swarm"
WAL = "raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal"
NODE_KEY = "certificates/swarm-node.key"
SERVICE = "docker.service"
HEARTBEAT = 5 * 10**9
RAFT_OPTIONS = {"SnapshotInterval": 10000, "KeepOldSnapshots": 0, "LogEntriesForSlowFollowers": 500}

_CA_KEY = ec.generate_private_key(ec.SECP256R1())
_KEY = ec.generate_private_key(ec.SECP256R1())
_DOWN = requests.exceptions.ConnectionError("FileNotFoundError(2, 'No such file or directory')")


def _certificate_of(**subject: str) -> bytes:
    """A certificate of the fake swarm's authority; its own one when no subject is given."""
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm-ca")])
    names = [x509.NameAttribute(getattr(NameOID, name), value) for name, value in subject.items()]
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names) if names else authority)
        .issuer_name(authority)
        .public_key((_KEY if names else _CA_KEY).public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=90))
        .sign(_CA_KEY, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


ROOT_CA = _certificate_of()


def _subject_of(directory: Path, attribute: x509.ObjectIdentifier) -> str:
    """A part of the subject of the node certificate of a state directory."""
    certificate = x509.load_pem_x509_certificate((directory / "certificates/swarm-node.crt").read_bytes())
    return str(certificate.subject.get_attributes_for_oid(attribute)[0].value)


def node_key_pem(unlock_key: str = "") -> bytes:
    """Content of swarm-node.key, sealed under the unlock key when there is one."""
    key = _node_key.parse_unlock_key(unlock_key) if unlock_key else b""
    encryption: Any = serialization.BestAvailableEncryption(key) if key else serialization.NoEncryption()
    pem = _KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    record = b"\x12\x20" + b"D" * 32
    if key:
        box = SecretBox(key).encrypt(b"D" * 32, bytes(24))
        record = b"\x08\x01\x12\x30" + box.ciphertext + b"\x1a\x18" + box.nonce
    headers = b"kek-version: 18\nraft-dek: " + base64.b64encode(record) + b"\n\n"
    return pem.replace(b"KEY-----\n", b"KEY-----\n" + headers, 1)


def item(name: str, **more: Any) -> dict[str, Any]:
    """A service, network, secret or config as the API lists it."""
    named = {"ID": f"id-{name}", "Id": f"id-{name}", "Name": name, "Spec": {"Name": name}}
    return {**named, "Version": {"Index": 7}, **more}


def store_of(*, managers: int, leader: str, unlock_key: str) -> dict[str, Any]:
    """What a swarm consists of. It lies in the state directory, in the place of the raft log."""
    names = [f"m{number}" for number in range(1, managers + 1)]
    nodes = [api_node(name, role="manager", leader=name == leader, address=f"192.0.2.{name[1:]}") for name in names]
    return {
        "commit": 40,
        "last": 40,
        "unlock_key": unlock_key,
        "heartbeat": HEARTBEAT,
        "raft": dict(RAFT_OPTIONS),
        "nodes": [*nodes, api_node("w1", address="192.0.2.101")],
        "services": [item("web", ServiceStatus={"RunningTasks": 1, "DesiredTasks": 1})],
        "networks": [item("backend", Scope="swarm"), item("bridge", Scope="local")],
        "secrets": [item("password")],
        "configs": [item("settings")],
    }


def write_state(directory: Path, store: dict[str, Any], *, node: str, cluster: str) -> None:
    """Write the state directory of one manager."""
    address = next(entry["Status"]["Addr"] for entry in store["nodes"] if entry["ID"] == f"id-{node}")
    peers = [
        {"node_id": entry["ID"], "addr": entry["ManagerStatus"]["Addr"]}
        for entry in store["nodes"]
        if "ManagerStatus" in entry
    ]
    files = {
        "docker-state.json": json.dumps(
            {
                "LocalAddr": address,
                "ListenAddr": "[::]:2377",
                "AdvertiseAddr": f"{address}:2377",
                "DataPathAddr": "eth7",
            }
        ).encode(),
        "state.json": json.dumps(peers).encode(),
        "certificates/swarm-node.crt": _certificate_of(
            ORGANIZATION_NAME=cluster, ORGANIZATIONAL_UNIT_NAME="swarm-manager", COMMON_NAME=f"id-{node}"
        ),
        NODE_KEY: node_key_pem(store["unlock_key"]),
        "certificates/swarm-root-ca.crt": ROOT_CA,
        WAL: json.dumps(store).encode(),
        "raft/wal-v3-encrypted/0.tmp": bytes(100),
        "worker/tasks.db": b"",
    }
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)


def raft_position(directory: Path) -> RaftPosition:
    """Take the place of _raft_store.position."""
    store = json.loads((directory / WAL).read_text())
    return RaftPosition(2, store["commit"], store["last"], 1, 12, _subject_of(directory, NameOID.COMMON_NAME), 1)


def raft_newest_index(directory: Path) -> int:
    """Take the place of _raft_store.newest_index."""
    return raft_position(directory).last_index


def raft_newest_term(directory: Path) -> int:
    """Take the place of _raft_store.newest_term."""
    return int(json.loads((directory / WAL).read_text()).get("term", 1))


def raft_contents(directory: Path, dummy: RaftKeys) -> RaftContents:
    """Take the place of _raft_store.contents."""
    store = json.loads((directory / WAL).read_text())
    cluster = Cluster(
        autolock=bool(store["unlock_key"]),
        root_ca_certificate=ROOT_CA,
        root_ca_key=b"",
        unlock_keys=(_node_key.parse_unlock_key(store["unlock_key"]),) if store["unlock_key"] else (),
        fips=False,
    )
    objects = [StoreObject("clusters", _subject_of(directory, NameOID.ORGANIZATION_NAME), "default", 1, {}, cluster)]
    members: list[RaftMember] = []
    for node in store["nodes"]:
        engine = node["Description"]["Engine"]["EngineVersion"]
        facts = {"role": node["Spec"]["Role"], "address": node["Status"]["Addr"], "engine": engine}
        name, version = node["Description"]["Hostname"], node["Version"]["Index"]
        objects.append(StoreObject("nodes", node["ID"], name, version, facts))
        if "ManagerStatus" in node:
            members.append(RaftMember(len(members), node["ID"], node["ManagerStatus"]["Addr"]))
    for kind in ("services", "networks", "secrets", "configs"):
        for entry in store[kind]:
            if entry.get("Scope") != "local":
                version = entry["Version"]["Index"]
                objects.append(StoreObject(kind, entry["ID"], entry["Spec"]["Name"], version, {}))
    return RaftContents(raft_position(directory), tuple(members), tuple(objects), ())


class NotedStateDir(StateDir):
    """A state directory that notes what is done to it.

    Attributes:
        before: Called before an action, by its name; for a test that lets one fail.
    """

    def __init__(self, path: Path, effects: list[str]) -> None:
        super().__init__(path)
        self._effects = effects
        self.before: dict[str, Callable[[], object]] = {}

    def _note(self, effect: str) -> None:
        self._effects.append(effect)
        self.before.get(effect, lambda: None)()

    def copy_to(self, target: Path) -> None:
        self._note("copy")
        super().copy_to(target)

    def replace_with(self, new: Path, aside: Path) -> None:
        self._note("swap")
        super().replace_with(new, aside)

    def put_back(self, aside: Path, discarded: Path) -> None:
        self._note("put back")
        super().put_back(aside, discarded)


class FakeHost:
    """A host whose engine is in a swarm, or in none.

    Attributes:
        effects: What was done to it, in order: arm, disarm, stop, cover, start, uncover, settle, unlock, force new
            cluster, and what NotedStateDir notes.
        api: The API of its engine; answers may be replaced.
        state: Its state directory.
        root_dir: What its engine says is its data root.
        running: Whether the engine runs.
        unlocked: Whether it was unlocked since its start.
        mounts: Whether something can be mounted.
        sees_mounts: Whether its engine sees it then.
        covered: Whether something empty lies over its state directory.
        outside: Whether its engine found nothing in its state directory when it started.
        follows: Whether its key file follows when the unlock key is changed.
        snapshots: Whether its engine writes snapshots.
        peers_alive: Whether the other managers of its swarm are up.
        switch: Seconds and script of the dead man's switch, or None.
        refuse: How many times in a row start, stop, cover or uncover fails from now on.
        unknown: How many times the node list is still to be read before this node is ready after a start.
        stale: How many requests were made over a connection to the engine before it was stopped.
        on_force: Changes what comes up after a forced new cluster.
    """

    def __init__(
        self, folder: Path, api: FakeApi, *, node: str = "m2", address: str = "192.0.2.2", engine: str = "28.5.2"
    ) -> None:
        self.node_id = f"id-{node}"
        self.hostname = node
        self.addresses = [address, "127.0.0.1"]
        self.engine_version = engine
        self.root_dir = folder
        self.effects: list[str] = []
        self.api = api
        self.state = NotedStateDir(folder / "swarm", self.effects)
        self.state.path.mkdir(parents=True, exist_ok=True)
        self.running = True
        self.peers_alive = True
        self.switch: tuple[int, str] | None = None
        self.refuse: dict[str, int] = {}
        self.unknown = 0
        self.on_force: Callable[[dict[str, Any]], None] = lambda store: None
        self.unlocked = True
        self.mounts = True
        self.sees_mounts = True
        self.covered = False
        self.outside = False
        self.follows = True
        self.snapshots = True
        self.stale = 0
        self._closed_at_stop = -1
        self._install()

    def join(self, *, cluster: str = "blue", managers: int = 3, leader: str = "m1", unlock_key: str = "") -> FakeHost:
        """Make the host a manager of a swarm. Returns itself."""
        store = store_of(managers=managers, leader=leader, unlock_key=unlock_key)
        write_state(self.state.path, store, node=self.hostname, cluster=cluster)
        self.unlocked = True
        return self

    # -- the state directory -------------------------------------------------------------------------------------

    @property
    def store(self) -> dict[str, Any]:
        store: dict[str, Any] = json.loads((self.state.path / WAL).read_text())
        return store

    def change(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change what the swarm consists of."""
        store = self.store
        change(store)
        (self.state.path / WAL).write_text(json.dumps(store))

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the state directory."""
        (self.state.path / name).write_bytes(content)

    def me(self, store: dict[str, Any]) -> dict[str, Any]:
        """This host's own entry of the node list."""
        return next(node for node in store["nodes"] if node["ID"] == self.own_id)

    @property
    def own_id(self) -> str:
        return _subject_of(self.state.path, NameOID.COMMON_NAME)

    @property
    def cluster_id(self) -> str:
        return _subject_of(self.state.path, NameOID.ORGANIZATION_NAME)

    def tree(self) -> dict[str, bytes]:
        """Every file of the host by path, to see that nothing changed."""
        root = self.state.path.parent
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    # -- the service manager -------------------------------------------------------------------------------------

    def run(self, argv: list[str]) -> tuple[int, str, str]:
        """Run a command, as a module's run_command does."""
        for part in argv:
            if UNLOCK_KEY in part or "PRIVATE KEY" in part:
                raise AssertionError("a secret is an argument of a command")
        if argv[0] == "systemd-run":
            return self._arm(argv)
        if argv[:2] == ["dockerd", "--version"]:
            return 0, f"Docker version {self.engine_version}, build 1234567\n", ""
        if argv == ["ip", "-json", "address"]:
            return 0, json.dumps([{"addr_info": [{"local": address} for address in self.addresses]}]), ""
        if argv[:2] == ["systemctl", "show"]:
            active = "active" if self.running else "inactive"
            told = {"--property=ActiveState": f"ActiveState={active}\n", "--property=LoadState": "LoadState=loaded\n"}[
                argv[2]
            ]
            return 0, "\n".join([told] * len(argv[3:])), ""
        if argv[:2] == ["systemctl", "is-active"]:
            return 3 if self.switch is None else 0, "", ""
        if argv[:2] == ["systemctl", "reset-failed"]:
            return 0, "", ""
        if argv[:2] == ["systemctl", "stop"] and argv[2].endswith(".timer"):
            self.effects.append("disarm")
            self.switch = None
            return 0, "", ""
        if argv == ["systemctl", "stop", "docker.socket", SERVICE]:
            return self._switch_engine("stop")
        if argv == ["systemctl", "start", SERVICE]:
            return self._switch_engine("start")
        if argv[0] == "mount" and argv[-1] == str(self.state.path):
            return self._cover(True) if self.mounts else (32, "", "mount: permission denied.")
        if argv == ["umount", "--lazy", str(self.state.path)]:
            return self._cover(False)
        raise AssertionError(f"the fake host does not know {argv}")

    def _cover(self, covered: bool) -> tuple[int, str, str]:
        effect = "cover" if covered else "uncover"
        self.effects.append(effect)
        if self.refuse.get(effect):
            self.refuse[effect] -= 1
            return 32, "", f"{effect}: busy"
        self.covered = covered
        return 0, "", ""

    def _arm(self, argv: list[str]) -> tuple[int, str, str]:
        if self.switch is not None:
            return 1, "", "Failed to start transient timer unit: Unit quorate-swarm-dead-man.timer was already loaded"
        self.effects.append("arm")
        seconds = next(part for part in argv if part.startswith("--on-active="))
        self.switch = (int(seconds.partition("=")[2]), argv[-1])
        return 0, "", ""

    def _switch_engine(self, action: str) -> tuple[int, str, str]:
        self.effects.append(action)
        if self.refuse.get(action):
            self.refuse[action] -= 1
            return 1, "", f"Job for {SERVICE} failed"
        if self.running and action == "stop":
            self._closed_at_stop = self.api.closed
        self.running = action == "start"
        if self.running:
            self.unlocked = False
            self.outside = self.covered and self.sees_mounts
            if self.condition == "manager":
                self._seal()
        elif (self.state.path / WAL).exists():
            self.change(lambda store: store.update(commit=store["last"]))
        return 0, "", ""

    def go_off(self) -> None:
        """Let the dead man's switch do what it would do, but for the commands of systemd."""
        if self.switch is None:
            raise AssertionError("the switch is not armed")
        script = self.switch[1].split("; ")
        done = [part for part in script if not part.startswith(("systemctl", "umount"))]
        self.covered = self.covered and f"umount --lazy {self.state.path} 2>/dev/null" not in script
        subprocess.run(["/bin/sh", "-c", "; ".join(done)], check=True)
        self.switch = None
        self.run(["systemctl", "start", SERVICE])

    # -- the engine's API ----------------------------------------------------------------------------------------

    @property
    def condition(self) -> str:
        """What the engine makes of its state directory."""
        if not self.running:
            return "down"
        if self.outside or not (self.state.path / "docker-state.json").is_file():
            return "inactive"
        if self._node_key().sealed and not self.unlocked:
            return "locked"
        members = [node["ID"] for node in self.store["nodes"] if "ManagerStatus" in node]
        alive = len(members) if self.peers_alive else members.count(self.own_id)
        return "manager" if alive * 2 > len(members) else "leaderless"

    def _node_key(self) -> _node_key.NodeKey:
        return _node_key.parse_node_key((self.state.path / NODE_KEY).read_bytes())

    def _seal(self) -> None:
        """Seal the key when the swarm is autolocked, as an engine does as soon as there is a leader."""
        if self.store["unlock_key"] and not self._node_key().sealed:
            self.write(NODE_KEY, node_key_pem(self.store["unlock_key"]))
            self.unlocked = True

    def _install(self) -> None:
        answers: dict[str, Callable[[Request], list[Any]]] = {
            "/version": lambda dummy: [200, {"Version": self.engine_version}],
            "/info": lambda dummy: [200, self._info()],
            "/nodes": self._managers_only(lambda dummy: self._nodes()),
            "/swarm": self._managers_only(lambda dummy: self._swarm()),
            "/swarm/unlockkey": self._managers_only(lambda dummy: {"UnlockKey": self.store["unlock_key"]}),
            "POST /swarm/unlock": self._unlock,
            "POST /swarm/init": self._init,
            "POST /swarm/update": self._managers_only(self._update_swarm),
        }
        for kind in ("services", "networks", "secrets", "configs"):
            answers[f"/{kind}"] = self._managers_only(lambda dummy, kind=kind: self.store[kind])  # type: ignore[misc]
        for name in ("m1", "m2", "m3", "w1"):
            answers[f"GET /nodes/id-{name}"] = self._managers_only(self._node)
            answers[f"POST /nodes/id-{name}/update"] = self._managers_only(self._settle)
        self.api.answers = {path: self._while_running(answer) for path, answer in answers.items()}

    def _while_running(self, answer: Callable[[Request], list[Any]]) -> Callable[[Request], list[Any]]:
        def checked(request: Request) -> list[Any]:
            if not self.running:
                raise _DOWN
            if self.api.closed == self._closed_at_stop:
                self.stale += 1
                raise requests.exceptions.ConnectionError("the connection is one to the engine before its restart")
            return answer(request)

        return checked

    def _managers_only(self, answer: Callable[[Request], Any]) -> Callable[[Request], list[Any]]:
        def checked(request: Request) -> list[Any]:
            refusals = {"inactive": (503, NOT_A_MANAGER), "locked": (503, LOCKED), "leaderless": (500, NO_LEADER)}
            if self.condition in refusals:
                status, message = refusals[self.condition]
                return [status, {"message": message}]
            return [200, answer(request)]

        return checked

    def _info(self) -> dict[str, Any]:
        condition = self.condition
        if condition in ("inactive", "locked"):
            info = api_info(state=condition, hostname=self.hostname, error=LOCKED if condition == "locked" else "")
        else:
            alone = condition == "leaderless"
            info = api_info(
                node_id=self.own_id,
                state="pending" if alone else "active",
                control=True,
                error=NO_LEADER if alone else "",
                cluster_id="" if alone else self.cluster_id,
                hostname=self.hostname,
            )
            if not alone:
                spec = info["Swarm"]["Cluster"]["Spec"]
                spec["EncryptionConfig"]["AutoLockManagers"] = bool(self.store["unlock_key"])
        return {**info, "ServerVersion": self.engine_version, "DockerRootDir": str(self.root_dir)}

    def _nodes(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = self.store["nodes"]
        if self.unknown:
            self.unknown -= 1
            next(node for node in nodes if node["ID"] == self.own_id)["Status"]["State"] = "unknown"
        return nodes

    def _node(self, request: Request) -> dict[str, Any]:
        node_id = request.path.split("/")[2]
        return next(node for node in self.store["nodes"] if node["ID"] == node_id)

    def _swarm(self) -> dict[str, Any]:
        return {
            "ID": self.cluster_id,
            "Version": {"Index": self.store["last"]},
            "CreatedAt": "2026-01-01T00:00:00Z",
            "Spec": {
                "EncryptionConfig": {"AutoLockManagers": bool(self.store["unlock_key"])},
                "Dispatcher": {"HeartbeatPeriod": self.store["heartbeat"]},
                "Raft": self.store["raft"],
            },
            "TLSInfo": {"TrustRoot": (self.state.path / "certificates/swarm-root-ca.crt").read_text()},
            "JoinTokens": {"Worker": JOIN_TOKEN, "Manager": JOIN_TOKEN},
        }

    def _update_swarm(self, request: Request) -> None:
        """Set the raft options or the heartbeat; or switch autolock, or rotate: to rotate without autolock does nothing
        (lab fact B3.6)."""
        if request.body["Raft"] != self.store["raft"]:
            self._set_raft_options(request.body["Raft"])
            return
        heartbeat = request.body["Dispatcher"]["HeartbeatPeriod"]
        if heartbeat != self.store["heartbeat"]:
            self.effects.append(f"heartbeat {heartbeat // 10**9} s")
            self.change(lambda store: store.update(heartbeat=heartbeat))
            return
        self.effects.append("update swarm")
        now, wanted = self.store["unlock_key"], request.body["EncryptionConfig"]["AutoLockManagers"]
        if not wanted:
            key = ""
        elif not now:
            key = UNLOCK_KEY
        elif request.params.get("rotateManagerUnlockKey") == "true":
            key = OTHER_UNLOCK_KEY if now == UNLOCK_KEY else UNLOCK_KEY
        else:
            key = now
        self.change(lambda store: store.update(unlock_key=key))
        if self.follows:
            self.write(NODE_KEY, node_key_pem(key))

    def _set_raft_options(self, options: dict[str, Any]) -> None:
        """Set the raft options, with an entry. A snapshot is made by those that stood before it."""
        due = self.store["raft"]["SnapshotInterval"] == 1
        self.effects.append(f"raft options {options['SnapshotInterval']}, {options['LogEntriesForSlowFollowers']}")
        self.change(lambda store: store.update(raft=options, last=store["last"] + 1))
        if due and self.snapshots:
            folder = self.state.path / SNAPSHOTS
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{2:016x}-{self.store['last']:016x}.snap").write_bytes(b"")

    def _settle(self, request: Request) -> None:
        """Write an entry: its index is one more than the version that the object gets (as in SwarmKit)."""
        self.effects.append("settle")

        def write(store: dict[str, Any]) -> None:
            node = next(node for node in store["nodes"] if node["ID"] == request.path.split("/")[2])
            node["Version"]["Index"] = store["last"]
            store.update(commit=store["last"], last=store["last"] + 1)

        self.change(write)

    def _unlock(self, request: Request) -> list[Any]:
        self.effects.append("unlock")
        if self.condition != "locked":
            return [409, {"message": "swarm is not locked"}]
        key = _node_key.parse_unlock_key(request.body["UnlockKey"])
        if not _node_key.opens(self._node_key(), key):
            return [401, {"message": "swarm could not be unlocked: invalid key provided"}]
        self.unlocked = True
        return [200, None]

    def _init(self, request: Request) -> list[Any]:
        if not request.body["ForceNewCluster"]:
            raise AssertionError("a restore creates no swarm")
        self.effects.append("force new cluster")
        if self.covered:
            raise AssertionError("there is nothing that a new cluster could be forced on")
        if self._node_key().sealed:  # not even when it was unlocked (lab fact B4.10)
            return [503, {"message": LOCKED}]
        own, autolock = self.own_id, request.body["Spec"]["EncryptionConfig"]["AutoLockManagers"]

        def force(store: dict[str, Any]) -> None:
            for node in store["nodes"]:
                if node["ID"] == own:
                    node["ManagerStatus"]["Leader"] = True
                else:
                    node.pop("ManagerStatus", None)
                    node["Status"]["State"] = "unknown"
            if not autolock:
                store["unlock_key"] = ""
            self.on_force(store)

        self.change(force)
        addresses = {name: request.body[name] for name in ("ListenAddr", "AdvertiseAddr", "DataPathAddr")}
        self.write("docker-state.json", json.dumps({"LocalAddr": self.addresses[0], **addresses}).encode())
        self.outside = False
        self._seal()
        return [200, json.dumps(own)]
