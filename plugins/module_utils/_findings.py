# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows what can be wrong with a swarm, how bad each of it is, and what to do about it. Pure; no I/O.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._expectation import unmet_expectations
from ansible_collections.quorate.swarm.plugins.module_utils._fleet import (
    Info,
    node_of,
    state_of,
    strangers,
    twins,
    why,
)
from ansible_collections.quorate.swarm.plugins.module_utils._model import Node, host_of
from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment
from ansible_collections.quorate.swarm.plugins.module_utils._quorum import (
    Reason,
    address_reasons,
    managers_of,
    odd_reasons,
    quorum_health,
    tolerance_reasons,
    zone_reasons,
)

#: The worst first.
SEVERITIES = ("error", "warning", "info")
_DAY = 86400
#: A node renews its certificate when half to four fifths of its life are over (swarmkit ca/renewer.go), so one that is
#: closer to its end than this part of its life was not renewed when it should have been.
_RENEWED_BEFORE = 0.2
#: Less room than this, and the raft log cannot grow by its next segments of 64 MB.
_NO_ROOM = 256 << 20


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        id: A word for programs, stable over releases.
        severity: One of SEVERITIES.
        object: The node, host, service or file that it is about.
        what: What is wrong, with the numbers.
        remedy: What to do about it.
    """

    id: str
    severity: str
    object: str
    what: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """How a swarm should be.

    Attributes:
        fault_tolerance: How many managers must be able to fail now.
        zone_label: The node label that names a zone; empty for no matter.
        managers_drained: Whether managers shall run no tasks.
        certificate_days: Days that node certificates must be valid for. Where they live shorter than that, it is enough
            that they are renewed in time.
        root_ca_days: Days that the root CA must be valid for.
        free_space: Bytes that must be free where the state directory is.
        snapshot_size: Bytes that a raft snapshot may have.
        backup_hours: Hours that the newest good archive may be old; 0 for no matter.
    """

    fault_tolerance: int = 1
    zone_label: str = ""
    managers_drained: bool = False
    certificate_days: float = 14
    root_ca_days: float = 90
    free_space: int = 1 << 30
    snapshot_size: int = 256 << 20
    backup_hours: float = 0


@dataclasses.dataclass(frozen=True)
class Scene:
    """All that is known of one swarm.

    Attributes:
        cluster_id: Its ID.
        infos: What swarm_info returned on each host that is in it, or C({"unreachable": True}).
        hosts: The inventory host of each node ID, as far as it is known.
        view: What swarm_info returned on the manager that is believed; None when none has a leader.
        disagreements: Why not all managers see the same swarm.
        expected: For each inventory host, the address that the inventory gives it, or an empty text.
        wanted: How it should be.
        now: Seconds since 1970.
        archives: What swarm_backup_info returned of the archives that were found; None when nobody looked.
        escrow: What is known of its unlock key: C(current) (a fingerprint), C(known) (fingerprints in the escrow), or
            C(problem); None without an escrow.
        expect: The expectations of the operator.
    """

    cluster_id: str
    infos: t.Mapping[str, Info]
    hosts: t.Mapping[str, str]
    view: Info | None
    disagreements: t.Sequence[str]
    expected: t.Mapping[str, str]
    wanted: Wanted
    now: float
    archives: t.Sequence[Info] | None
    escrow: Info | None
    expect: t.Sequence[t.Mapping[str, t.Any]]

    @property
    def nodes(self) -> list[Node]:
        return [Node.from_facts(entry) for entry in self.view["nodes"]] if self.view else []

    def name_of(self, node: Node) -> str:
        """The inventory host of a node, else its host name and ID."""
        return self.hosts.get(node.id) or node.name

    def on_disk(self) -> t.Iterator[tuple[str, Info]]:
        """Each host whose state directory could be read, with what is in it."""
        for host in sorted(self.infos):
            facts = self.infos[host].get("state_directory")
            if facts and facts["exists"]:
                yield host, facts


Found = t.Iterator[Finding]


def findings(scene: Scene) -> list[Finding]:
    """Everything that is wrong with a swarm, the worst first."""
    found = [finding for check in CHECKS for finding in check(scene)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def newest_archive(archives: t.Iterable[Info], cluster_id: str) -> Info | None:
    """The newest good archive of a swarm."""
    good = [entry for entry in archives if entry["good"] and entry["manifest"]["cluster"]["id"] == cluster_id]
    return max(good, key=lambda entry: str(entry["manifest"]["created"]), default=None)


def _from(reasons: t.Iterable[Reason], severity: str, subject: str, remedy: str = "") -> Found:
    for reason in reasons:
        yield Finding(reason.code, severity, subject, reason.message, remedy or reason.remedy)


def _days(seconds: float) -> str:
    return f"{abs(seconds) / _DAY:.1f} days"


def _mib(size: float) -> str:
    return f"{size / (1 << 20):.0f} MiB"


# -- identity and quorum -------------------------------------------------------------------------------------------


def _identities(scene: Scene) -> Found:
    same = twins(scene.infos)
    for node_id, hosts in same.items():
        yield Finding(
            "node_id_twice",
            "error",
            ", ".join(hosts),
            f"node ID {node_id} is used by {len(hosts)} hosts: a state directory was copied",
            "Stop docker.socket and docker.service on the copy, and move its state directory away",
        )
    split = strangers(scene.infos)
    if split:
        yield Finding(
            "two_swarms",
            "error",
            ", ".join(split[0]),
            "there are two swarms of this cluster ID, a restored one beside a living one: "
            f"{split[0][0]} does not know {split[0][1]}",
            "Decide which one stays; stop the managers of the other, and join them with quorate.swarm.rejoin_manager",
        )
    elif scene.disagreements and not same:
        yield Finding(
            "views_differ",
            "error",
            scene.cluster_id,
            f"the managers do not see the same swarm: {'; '.join(scene.disagreements)}",
            "See whether the managers reach one another on TCP port 2377; run again",
        )


def _quorum(scene: Scene) -> Found:
    if scene.view is not None:
        return
    causes = "; ".join(f"{host}: {why(scene.infos[host])}" for host in sorted(scene.infos))
    locked = any(state_of(info) == "locked" for info in scene.infos.values())
    first = "unlock the locked managers with quorate.swarm.unlock, " if locked else ""
    yield Finding(
        "quorum_lost",
        "error",
        scene.cluster_id,
        f"no manager that was asked has a leader ({causes})",
        f"Bring the managers back: {first}start the engines; if too few are left, run "
        "quorate.swarm.recover_quorum -e recover_quorum_confirmed=true",
    )


def _managers(scene: Scene) -> Found:
    reachable = set()
    for node in managers_of(scene.nodes):
        if node.manager and node.manager.reachable:
            reachable.add(node.id)
            continue
        host = scene.hosts.get(node.id, "")
        state = state_of(scene.infos[host]) if host else ""
        if state == "locked":  # the finding below
            continue
        cause, remedy = "it is no host of this play", "Start its host"
        if host:
            cause = why(scene.infos[host])
            remedy = {
                "unreachable": "See that the host runs and reaches the others",
                "daemon_down": "Start its engine: quorate.swarm.health -e health_remedy=restart "
                "-e health_remedy_confirmed=true",
                "failed": "See why it does not answer; a host that is frozen needs a reboot",
            }.get(state, "See that it reaches the others on TCP port 2377")
        yield Finding(
            "manager_unreachable",
            "error",
            scene.name_of(node),
            f"the swarm does not reach this manager ({cause})",
            f"{remedy}. If it is broken for good: quorate.swarm.rejoin_manager -e rejoin_manager_host={host or 'HOST'} "
            "-e rejoin_manager_confirmed=true, or quorate.swarm.remove_node",
        )
    for host in sorted(scene.infos):
        info = scene.infos[host]
        if state_of(info) == "locked":
            yield Finding(
                "manager_locked",
                "error",
                host,
                "it waits for its unlock key (autolock)",
                f"quorate.swarm.unlock --limit {host}, with the key or the escrow",
            )
        if state_of(info) in ("unreachable", "failed") and any(scene.hosts.get(node) == host for node in reachable):
            yield Finding(
                "manager_not_asked",
                "warning",
                host,
                f"{why(info)}, though the swarm reaches it",
                "Repair the connection of Ansible to it: what it has on its disk is not known",
            )
    unknown = sorted(reachable.difference(scene.hosts))
    if unknown:
        names = ", ".join(scene.name_of(node) for node in scene.nodes if node.id in unknown)
        yield Finding(
            "manager_not_in_play",
            "info",
            names,
            f"{len(unknown)} reachable manager(s) are no hosts of this play",
            "Add them to the inventory: a manager that is cut off looks healthy to itself for some seconds, and what is on "
            "their disks is not known",
        )


def _numbers(scene: Scene) -> Found:
    if scene.view is None:
        return
    health = quorum_health(scene.nodes)
    if health.managers == 1:
        yield Finding(
            "single_manager",
            "warning",
            scene.cluster_id,
            "its only manager is all that it has: without it nobody manages the swarm",
            "Promote two workers, or add managers with quorate.swarm.bootstrap",
        )
    yield from _from(odd_reasons(health.managers), "warning", scene.cluster_id)
    yield from _from(tolerance_reasons(health, scene.wanted.fault_tolerance), "error", scene.cluster_id)
    if scene.wanted.zone_label:
        yield from _from(zone_reasons(scene.nodes, scene.wanted.zone_label), "warning", scene.cluster_id)


# -- nodes ---------------------------------------------------------------------------------------------------------


def _addresses(scene: Scene) -> Found:
    for node in managers_of(scene.nodes):
        host = scene.hosts.get(node.id, "")
        known = scene.infos[host].get("addresses") if host else None
        if known is None:
            continue
        fixed = {entry["address"]: entry["kind"] == "permanent" for entry in known}
        for reason in address_reasons(node, host_addresses=fixed, expected=scene.expected.get(host) or None):
            severity = "warning" if reason.code == "address_dynamic" else "error"
            remedy = reason.remedy
            if reason.code != "address_dynamic":
                remedy = f"{remedy}: quorate.swarm.move_manager -e move_manager_confirmed=true"
            yield Finding(reason.code, severity, host, reason.message, remedy)


def _node_list(scene: Scene) -> Found:
    nodes = scene.nodes
    alive: dict[str, list[Node]] = {}
    for node in nodes:
        if node.state != "down" and node.hostname:
            alive.setdefault(node.hostname, []).append(node)
    for name, same in sorted(alive.items()):
        if len(same) > 1:
            yield Finding(
                "hostname_twice",
                "warning",
                name,
                f"{len(same)} nodes have this host name: {', '.join(node.id for node in same)}",
                "Give each host a name of its own with hostnamectl, and restart its engine",
            )
    for node in nodes:
        lost_member = node.role == "manager" and node.manager is None
        if node.state == "unknown":
            if node.manager and not node.manager.reachable:
                continue  # named already, as a manager that is not reached
            yield Finding(
                "node_unknown",
                "warning",
                scene.name_of(node),
                "the managers do not know its state",
                "See that its engine runs and reaches the managers, or remove it with quorate.swarm.remove_node",
            )
        elif node.state in ("down", "disconnected") and node.manager is None:
            is_dead = lost_member or node.hostname in alive
            since = "another node has its host name now" if node.hostname in alive else "it is no member of the quorum"
            yield Finding(
                "dead_entry" if is_dead else "node_down",
                "warning",
                node.name,
                f"this {node.role} is {node.state}" + (f", and {since}: it is not coming back" if is_dead else ""),
                f"{'Remove' if is_dead else 'Start its engine, or remove'} it: quorate.swarm.remove_node "
                f"-e remove_node_node={node.id} -e remove_node_confirmed=true",
            )
    if scene.wanted.managers_drained and scene.view:
        running = {entry["node_id"]: entry["running"] for entry in scene.view.get("tasks") or ()}
        for node in managers_of(nodes):
            if node.availability != "drain" or running.get(node.id):
                yield Finding(
                    "manager_runs_tasks",
                    "warning",
                    scene.name_of(node),
                    f"its availability is {node.availability}, and it runs {running.get(node.id, 0)} task(s)",
                    "quorate.swarm.drain_managers",
                )
    versions = collections.defaultdict(list)
    for node in nodes:
        if node.state == "ready" and node.engine_version:
            versions[node.engine_version].append(node.hostname or node.id)
    if len(versions) > 1:
        yield Finding(
            "engines_mixed",
            "warning",
            scene.cluster_id,
            "; ".join(f"engine {version} on {', '.join(names)}" for version, names in sorted(versions.items())),
            "Bring all nodes to one version, managers first, one at a time",
        )


def _services(scene: Scene) -> Found:
    for service in (scene.view or {}).get("services") or ():
        desired, running = service["desired"], service["running"]
        if service["mode"] in ("replicated", "global") and desired is not None and (running or 0) < desired:
            yield Finding(
                "service_below_replicas",
                "warning" if running else "error",
                service["name"],
                f"{running or 0} of {desired} tasks run",
                f"docker service ps --no-trunc {service['name']}",
            )


# -- certificates and disks ----------------------------------------------------------------------------------------


def _certificates(scene: Scene) -> Found:
    cluster = (scene.view or {}).get("cluster") or {}
    life = ((cluster.get("spec") or {}).get("node_certificate_expiry") or 90 * _DAY * 10**9) / 10**9
    wanted = min(scene.wanted.certificate_days * _DAY, life * _RENEWED_BEFORE)
    for host, facts in scene.on_disk():
        if not facts["certificate_expires"]:
            continue
        left = moment(facts["certificate_expires"]) - scene.now
        if left < wanted:
            yield Finding(
                "certificate_expired" if left <= 0 else "certificate_expires",
                "error" if left <= 0 else "warning",
                host,
                f"its node certificate {'ended' if left <= 0 else 'ends'} at {facts['certificate_expires']} "
                f"({_days(left)} {'ago' if left <= 0 else 'left'}), and is not renewed",
                "See that the engine runs and reaches the managers: it renews the certificate by itself. One that has "
                "expired lets the node in only after it has left and joined: quorate.swarm.rejoin_manager",
            )
    if cluster.get("root_ca_expires"):
        left = moment(cluster["root_ca_expires"]) - scene.now
        if left < scene.wanted.root_ca_days * _DAY:
            yield Finding(
                "root_ca_expired" if left <= 0 else "root_ca_expires",
                "error" if left <= 0 else "warning",
                scene.cluster_id,
                f"the root CA {'ended' if left <= 0 else 'ends'} at {cluster['root_ca_expires']} "
                f"({_days(left)} {'ago' if left <= 0 else 'left'})",
                "Replace it while all nodes are up: docker swarm ca --rotate",
            )
    if cluster.get("root_rotation_in_progress"):
        yield Finding(
            "root_rotation",
            "info",
            scene.cluster_id,
            "the root CA is being replaced",
            "Wait until all nodes have new certificates; a node that is down keeps it from ending",
        )


def _disks(scene: Scene) -> Found:
    for host, facts in scene.on_disk():
        free, snapshot = facts.get("free"), facts.get("snapshot_size") or 0
        if free is not None and free < scene.wanted.free_space:
            yield Finding(
                "disk_space",
                "error" if free < _NO_ROOM else "warning",
                host,
                f"{_mib(free)} are free where {facts['path']} is, {_mib(scene.wanted.free_space)} are wanted",
                "Free space there: a manager whose disk is full stops, and may lose its raft log",
            )
        if snapshot > scene.wanted.snapshot_size:
            yield Finding(
                "snapshot_large",
                "warning",
                host,
                f"its raft snapshot has {_mib(snapshot)}, at most {_mib(scene.wanted.snapshot_size)} are wanted",
                "Remove services, secrets and configs that nobody needs, and lower the task history: docker swarm update "
                "--task-history-limit",
            )


# -- keys, backups, expectations -----------------------------------------------------------------------------------


def _unlock_key(scene: Scene) -> Found:
    cluster = (scene.view or {}).get("cluster") or {}
    if not cluster.get("autolock"):
        return
    escrow = scene.escrow
    if escrow is None:
        yield Finding(
            "escrow_not_configured",
            "info",
            scene.cluster_id,
            "autolock is on, and no escrow is configured: nobody can see whether the unlock key is kept",
            "Set unlock_key_escrow_file, and run quorate.swarm.rotate_unlock_key",
        )
    elif escrow.get("problem"):
        yield Finding(
            "unlock_key_unchecked",
            "warning",
            scene.cluster_id,
            f"nobody could see whether the unlock key is in the escrow: {escrow['problem']}",
            "Repair that, and run again",
        )
    elif escrow["current"] not in escrow["known"]:
        yield Finding(
            "unlock_key_not_in_escrow",
            "error",
            scene.cluster_id,
            f"the current unlock key {escrow['current']} is not in the escrow: managers that restart may stay locked",
            "quorate.swarm.rotate_unlock_key -e rotate_unlock_key_policy=never puts it there",
        )


def _backups(scene: Scene) -> Found:
    if not scene.wanted.backup_hours or scene.archives is None:
        return
    newest = newest_archive(scene.archives, scene.cluster_id)
    if newest is None:
        bad = sum(not entry["good"] for entry in scene.archives)
        yield Finding(
            "backup_missing",
            "error",
            scene.cluster_id,
            "there is no good archive of it" + (f", and {bad} archive(s) that are not good" if bad else ""),
            "quorate.swarm.backup",
        )
        return
    age = scene.now - moment(newest["manifest"]["created"])
    if age > scene.wanted.backup_hours * 3600:
        yield Finding(
            "backup_old",
            "warning",
            scene.cluster_id,
            f"the newest good archive is {age / 3600:.1f} hours old ({newest['path']}), at most "
            f"{scene.wanted.backup_hours:g} are wanted",
            "quorate.swarm.backup, and see why it has not run",
        )


def _expectations(scene: Scene) -> Found:
    if scene.view is None or not scene.expect:
        return
    for unmet in unmet_expectations(scene.view, scene.expect):
        yield Finding(
            "not_as_expected",
            "error",
            scene.cluster_id,
            unmet["message"],
            "Repair that, or correct health_expect",
        )


CHECKS: tuple[t.Callable[[Scene], Found], ...] = (
    _identities,
    _quorum,
    _managers,
    _numbers,
    _addresses,
    _node_list,
    _services,
    _certificates,
    _disks,
    _unlock_key,
    _backups,
    _expectations,
)


def worst_of(found: t.Iterable[Finding]) -> str | None:
    """The severity of the worst finding; None when nothing was found."""
    return min((finding.severity for finding in found), key=SEVERITIES.index, default=None)


def hosts_of(
    infos: t.Mapping[str, Info], nodes: t.Iterable[Info], words: t.Mapping[str, t.Container[str]]
) -> dict[str, str]:
    """The inventory host of each node: the one that has its ID, else one that says nothing and is known by its address.

    Args:
        infos: What is known of the hosts.
        nodes: The node list.
        words: The names and addresses of each host.
    """
    by_id: dict[str, str] = {}
    for host in sorted(infos, key=lambda host: (state_of(infos[host]) != "manager", host)):
        if node_of(infos[host]):
            by_id.setdefault(node_of(infos[host]), host)
    silent = [host for host in sorted(infos) if not node_of(infos[host]) and state_of(infos[host]) != "inactive"]
    for node in nodes:
        places = {node["hostname"], node["address"], host_of((node.get("manager") or {}).get("address", ""))}
        places -= {""}
        for host in silent:
            if node["id"] not in by_id and any(place in words.get(host, (host,)) for place in places):
                by_id[node["id"]] = host
    return by_id
