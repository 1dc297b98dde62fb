# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows where copies of archives may go, what has to be said of each place, and which copies retention keeps. Pure.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import posixpath
import re
import time
import typing as t

from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._manifest import ENCRYPTED, cluster_of_name, time_of_name
from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment

#: How many to keep, in the words of restic, and what the newest of which is kept, as strftime has it.
KEEP: dict[str, str] = {
    "keep_last": "",
    "keep_hourly": "%Y-%m-%d %H",
    "keep_daily": "%Y-%m-%d",
    "keep_weekly": "%G-%V",
    "keep_monthly": "%Y-%m",
}

_OF_DIRECTORIES = frozenset({"directory", "recipients"})
_OF_RESTIC = frozenset({"repository", "repository_file", "password", "password_file", "environment", "initialize"})
_PLACES: dict[str, frozenset[str]] = {
    "controller": _OF_DIRECTORIES,
    "host": _OF_DIRECTORIES | {"host", "become"},
    "restic": _OF_RESTIC | {"host", "become"},
}
_RECIPIENT = re.compile(r"age1[0-9a-z]{58}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?")
#: Makes a folder in that of this user, which nobody else can have put there, and prints it and the user ID.
_PLACE = """
umask 077
user=$(id -u)
places=/var/tmp/quorate-swarm-$user
mkdir "$places" 2>/dev/null || { [ -d "$places" ] && [ ! -L "$places" ] && [ -O "$places" ]; } || {
    echo "Could not make a place for an archive: $places is there, and no directory of user $user. Remove it" >&2
    exit 1
}
find "$places" -mindepth 1 -maxdepth 1 -name "$1.*" -exec rm -rf {} +
mktemp -d "$places/$1.XXXXXX"
echo "$user"
"""
_CREDENTIALS = re.compile(r"(\w[\w+.-]*://[^/\s:@]*):[^/\s@]+@")


def place_command(archive: str, *, purpose: str, host: str) -> list[str]:
    """The command that makes a place for an archive on its way, which whoever runs it can read alone.

    Where a run was killed, the next one for the same purpose, host and archive removes what was left there.

    Args:
        archive: The archive, with or without its path.
        purpose: What the place is for. No two places of one run have the same.
        host: The inventory host for which it is made; many may use the same place to work, such as the controller.

    Returns: The words. It prints the path of the place, and in a second line the ID of the user.
    """
    name = re.sub(r"[^\w.-]", "_", f"{purpose}-{host}-{posixpath.basename(archive)}", flags=re.ASCII)[-200:]
    return ["/bin/sh", "-euc", _PLACE, "sh", name]


def without_credentials(text: str) -> str:
    """The text with the password taken out of every address of the form C(https://user:password@host)."""
    return _CREDENTIALS.sub(r"\1:***@", text)


def copy_plan(copies: t.Sequence[t.Mapping[str, t.Any]], *, hosts: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """Say what is to be done for each copy, without any secret. It holds what was asked for against what makes sense.

    Args:
        copies: What the operator asked for; see the role copy_archive.
        hosts: The hosts of the inventory.

    Returns:
        For each copy C(index) (where it stands in the list), C(to), C(host) (C(localhost) for the controller, empty for
        the manager itself), C(become), C(directory), C(recipients), C(keep) (what is set of it) and C(target), its
        place in words.

    Raises:
        Refused: One of them makes no sense, before anything is done.
    """
    if isinstance(copies, (str, t.Mapping)):
        raise Refused(
            "see where the copies go", "they are no list", "Give a list of dictionaries; on the command line, as JSON"
        )
    plan = [_planned(index, copy, hosts) for index, copy in enumerate(copies)]
    targets = [entry["target"] for entry in plan]
    twice = sorted({target for target in targets if targets.count(target) > 1})
    if twice:
        raise Refused("see where the copies go", f"{twice[0]} is named twice", "Name each place once")
    return plan


def _planned(index: int, copy: t.Mapping[str, t.Any], hosts: t.Sequence[str]) -> dict[str, t.Any]:
    attempted = f"see where copy {index + 1} goes"
    if copy.get("to") not in _PLACES:
        raise Refused(attempted, f"its to is {copy.get('to')!r}", f"Set to to one of {', '.join(_PLACES)}")
    to = copy["to"]
    given = {name: value for name, value in copy.items() if value is not None and value not in ("", [], {})}
    strange = sorted(given.keys() - {"to", *KEEP} - _PLACES[to])
    if strange:
        raise Refused(attempted, f"a copy to {to} has no {', '.join(strange)}", "Leave it out, or correct the name")
    host = "localhost" if to == "controller" else given.get("host", "")
    if to == "host" and not host:
        raise Refused(attempted, "it goes to a host, and none is named", "Set host to a host of the inventory")
    if host not in ("", "localhost", *hosts):
        raise Refused(attempted, f"there is no host {host} in the inventory", "Set host to a host of the inventory")
    target = _restic_place(attempted, given) if to == "restic" else _directory(attempted, given)
    where = {"": "", "localhost": " on the controller"}.get(host, f" on {host}")
    return {
        "index": index,
        "to": to,
        "host": host,
        "become": given.get("become", True),
        "directory": given.get("directory", ""),
        "recipients": _recipients(attempted, given),
        "keep": keep_rules({name: given.get(name) for name in KEEP}, attempted=attempted),
        "target": f"{target}{where}",
    }


def _directory(attempted: str, given: t.Mapping[str, t.Any]) -> str:
    directory = str(given.get("directory", ""))
    if not directory.startswith(("/", "~")):
        raise Refused(attempted, f"its directory is {directory!r}", "Set directory to an absolute path")
    return directory


def _recipients(attempted: str, given: t.Mapping[str, t.Any]) -> list[str]:
    recipients = given.get("recipients", [])
    found = [recipients] if isinstance(recipients, str) else [str(recipient) for recipient in recipients]
    for number, recipient in enumerate(found, 1):
        if not _RECIPIENT.fullmatch(recipient):
            raise Refused(
                attempted,
                f"recipient {number} is no public key of age, and no ssh-ed25519 or ssh-rsa one",
                "Give the line that age-keygen -y prints, never the identity itself",
            )
    return found


def _restic_place(attempted: str, given: t.Mapping[str, t.Any]) -> str:
    environment = given.get("environment", {})
    for what, variable in (("repository", "RESTIC_REPOSITORY"), ("password", "RESTIC_PASSWORD")):
        ways = [name for name in (what, f"{what}_file") if name in given]
        ways += [name for name in environment if name in (variable, f"{variable}_FILE", f"{variable}_COMMAND")]
        if len(ways) != 1:
            raise Refused(
                attempted,
                f"its {what} is given {'in more than one way: ' + ', '.join(ways) if ways else 'in no way'}",
                f"Set one of {what}, {what}_file and {variable} in environment",
            )
    repository = str(given.get("repository", ""))
    if without_credentials(repository) != repository:
        raise Refused(
            attempted,
            "its repository has a password in it, which would be shown",
            "Give the whole address in repository_file, or as RESTIC_REPOSITORY in environment",
        )
    if not repository and "repository_file" in given:
        repository = f"of {given['repository_file']}"
    return f"restic repository {repository or 'of the environment'}"


def keep_rules(given: t.Mapping[str, t.Any], *, attempted: str = "see how many copies to keep") -> dict[str, int]:
    """The rules of retention that are set, as numbers. None at all means that everything is kept.

    Raises:
        Refused: One is no number, or is negative.
    """
    rules = {}
    for name in KEEP:
        value = given.get(name)
        if value is None or value == "":
            continue
        try:
            rules[name] = int(value)
        except ValueError:
            rules[name] = -1
        if rules[name] < 0:
            raise Refused(attempted, f"{name} is {value!r}", f"Set {name} to a number")
    return {name: number for name, number in rules.items() if number}


def archive_copies(paths: t.Iterable[str]) -> list[str]:
    """Those paths that have the name of an archive, encrypted or not, newest first."""
    found = [(time_of_name(_plain(path)), path) for path in paths]
    return [path for created, path in sorted(((c, p) for c, p in found if c), reverse=True)]


def superseded_copies(paths: t.Iterable[str], like: str, keep: t.Mapping[str, t.Any]) -> list[str]:
    """Choose what retention removes, as restic forget would: what no rule keeps, newest first.

    Each rule goes from the newest to the oldest, and keeps the newest of each hour, day, week or month (UTC; weeks begin
    on Monday) until it has kept as many as it says.

    Args:
        paths: The copies in a place.
        like: The name of the new copy. Copies of other swarms are never chosen, nor plain ones when this one is
            encrypted, and the other way round; nor is this one.
        keep: The rules, such as C({"keep_daily": 7}); without any, nothing is chosen.
    """
    rules = keep_rules(keep)
    name = posixpath.basename(like)
    mine = [path for path in archive_copies(paths) if _series(path) == _series(name)]
    kept = {path for path in mine if posixpath.basename(path) == name}
    for rule, number in rules.items():
        kept.update(_newest_of_each(mine, KEEP[rule], number))
    return [path for path in mine if path not in kept] if rules else []


def _newest_of_each(paths: t.Sequence[str], form: str, number: int) -> list[str]:
    chosen: dict[str, str] = {}
    for path in paths:
        created = moment(time_of_name(_plain(path)) or "")
        chosen.setdefault(time.strftime(form, time.gmtime(created)) if form else path, path)
    return list(chosen.values())[:number]


def _plain(path: str) -> str:
    name = posixpath.basename(path)
    return name[: -len(ENCRYPTED)] if name.endswith(ENCRYPTED) else name


def _series(path: str) -> tuple[str | None, bool]:
    return cluster_of_name(_plain(path)), path.endswith(ENCRYPTED)
