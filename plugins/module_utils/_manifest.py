# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the manifest of a backup archive and the archive's name (docs/archive_format.md). Pure.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import BadArchive
from ansible_collections.quorate.swarm.plugins.module_utils._tar_stream import is_normal

SCHEMA = 1
MEMBER = "manifest.json"
STATE = "swarm/"
LARGEST = 16 << 20
#: What is added to the name of an archive that was encrypted with age.
ENCRYPTED = ".age"

Check = t.Callable[[t.Any], bool]

_READ = "read the manifest of the archive"
_DAMAGED = "The archive was not written by this collection, or was changed; use another one"
_NAME = re.compile(r"swarm_([A-Za-z0-9.-]+)_[A-Za-z0-9.-]+_(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z\.tar\.gz")


def _matches(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _is_count(value: t.Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: t.Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: t.Any) -> bool:
    return isinstance(value, bool)


def _is_list_of_objects_with_id(value: t.Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and _is_identifier(item.get("id")) for item in value)


def _is_fingerprint_or_none(value: t.Any) -> bool:
    return value is None or _is_fingerprint(value)


_is_identifier = _matches(r"[A-Za-z0-9_.-]+")
_is_digest = _matches(r"[0-9a-f]{64}")
_is_time = _matches(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_is_fingerprint = _matches(r"uk1:[0-9a-f]{32}")

_FIELDS: dict[str, Check] = {
    "created": _is_time,
    "method": _matches("cold|hot"),
    "collection_version": _is_text,
    "cluster.id": _is_identifier,
    "cluster.root_ca_sha256": _is_digest,
    "cluster.root_ca_expires": _is_time,
    "node.id": _is_identifier,
    "node.hostname": _is_text,
    "node.address": _is_text,
    "node.advertise_address": _is_text,
    "node.certificate_expires": _is_time,
    "engine.version": _is_text,
    "autolock": _is_flag,
    "unlock_key_fingerprint": _is_fingerprint_or_none,
    "kek_version": _is_count,
    "raft.term": _is_count,
    "raft.commit_index": _is_count,
    "raft.last_index": _is_count,
    "raft.snapshot_index": _is_count,
    "inventory.nodes": _is_list_of_objects_with_id,
    "inventory.services": _is_list_of_objects_with_id,
    "inventory.networks": _is_list_of_objects_with_id,
    "inventory.secrets": _is_list_of_objects_with_id,
    "inventory.configs": _is_list_of_objects_with_id,
}
_FILE_FIELDS: dict[str, Check] = {"size": _is_count, "sha256": _is_digest, "mode": _matches("0[0-7]{3}")}


def parse_manifest(data: bytes) -> dict[str, t.Any]:
    """Read manifest.json.

    Raises:
        BadArchive: It is not a manifest that check_manifest accepts.
    """
    try:
        manifest = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadArchive(_READ, f"manifest.json is not JSON ({error})", _DAMAGED) from None
    return check_manifest(manifest)


def check_manifest(manifest: t.Any) -> dict[str, t.Any]:
    """Hold a manifest against the schema. Fields that the schema does not know are left alone.

    Raises:
        BadArchive: The schema is another one, a field is missing or of another form, or two fields contradict
            each other.
    """
    if not isinstance(manifest, dict) or not _is_count(manifest.get("schema")):
        raise BadArchive(_READ, "manifest.json is not a manifest: it has no schema number", _DAMAGED)
    if manifest["schema"] != SCHEMA:
        raise BadArchive(
            _READ,
            f"it has schema {manifest['schema']}, and this version of the collection reads schema {SCHEMA}",
            "Read it with the version of quorate.swarm that wrote it, or a newer one",
        )
    for name, accepts in _FIELDS.items():
        _check_field(manifest, name, accepts)
    if not isinstance(manifest.get("files"), dict) or not manifest["files"]:
        raise BadArchive(_READ, "manifest.json lists no files", _DAMAGED)
    for path, facts in manifest["files"].items():
        if not path.startswith(STATE) or not is_normal(path):
            raise BadArchive(_READ, f"manifest.json lists a file outside {STATE}", _DAMAGED, file=path)
        for name, accepts in _FILE_FIELDS.items():
            if not isinstance(facts, dict) or not accepts(facts.get(name)):
                raise BadArchive(_READ, f"manifest.json has no valid {name} of {path}", _DAMAGED, file=path)
    if manifest["autolock"] != (manifest["unlock_key_fingerprint"] is not None):
        raise BadArchive(_READ, "manifest.json contradicts itself about autolock and the unlock key", _DAMAGED)
    return manifest


def archive_name(*, cluster: str, node: str, created: str) -> str:
    """The file name of an archive: C(swarm_<cluster>_<node>_<YYYYmmddTHHMMSSZ>.tar.gz).

    Args:
        cluster: What the operator calls the cluster, or its ID. Characters that do not belong in it become C(-).
        node: Likewise for the node.
        created: Time of the backup, C(YYYY-MM-DDTHH:MM:SSZ).
    """
    parts = [re.sub(r"[^A-Za-z0-9.-]", "-", part) or "-" for part in (cluster, node)]
    return "_".join(["swarm", *parts, re.sub("[-:]", "", created)]) + ".tar.gz"


def time_of_name(name: str) -> str | None:
    """When the archive of that name was made, C(YYYY-MM-DDTHH:MM:SSZ); None when it is not the name of an archive."""
    match = _NAME.fullmatch(name)
    return "{}-{}-{}T{}:{}:{}Z".format(*match.groups()[1:]) if match else None


def cluster_of_name(name: str) -> str | None:
    """The cluster in the name of an archive, as archive_name() has it; None when it is not the name of an archive."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def _check_field(manifest: t.Mapping[str, t.Any], name: str, accepts: Check) -> None:
    value: t.Any = manifest
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise BadArchive(_READ, f"manifest.json has no {name}", _DAMAGED, field=name)
        value = value[part]
    if not accepts(value):
        raise BadArchive(_READ, f"manifest.json has an invalid {name}", _DAMAGED, field=name)
