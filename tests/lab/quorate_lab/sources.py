# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows the apt sources of this machine: which Debian mirror it uses and with which key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .process import execute


@dataclass(frozen=True)
class Source:
    """One package source: a mirror with the suites and components it is used for (sources.list(5))."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""

    def inline_key(self) -> str:
        """Return the public key when the source carries it instead of naming a file, else an empty text."""
        if "BEGIN PGP" not in self.signed_by:
            return ""
        return "\n".join("" if line == "." else line for line in self.signed_by.splitlines()).strip() + "\n"

    def line(self, suite: str, inline_key: Path) -> str:
        """Return the source of *suite*, component main, in one-line form.

        *inline_key* is the file to which the caller wrote `inline_key()`. Where the source names no key apt's own
        choice stands.
        """
        keyring = str(inline_key) if self.inline_key() else self.signed_by
        option = f"[signed-by={keyring}] " if keyring.startswith("/") else ""
        return f"deb {option}{self.uri} {suite} main"


def parse_list(text: str) -> Iterator[Source]:
    """Yield the binary package sources of a one-line style file (sources.list(5))."""
    for line in text.splitlines():
        match = re.match(
            r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<rest>[^#]*)", line.strip()
        )
        if match:
            signed = re.search(r"signed-by=(\S+)", match["options"] or "")
            yield Source(
                uri=match["uri"],
                suites=(match["suite"],),
                components=tuple(match["rest"].split()),
                signed_by=signed[1] if signed else "",
            )


def parse_deb822(text: str) -> Iterator[Source]:
    """Yield the binary package sources of a deb822 style file (sources.list(5)), one for every URI."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", kept):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                fields[name] = fields.get(name, "") + "\n" + line.strip()
            elif ":" in line:
                name, dummy, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        for uri in fields.get("uris", "").split():
            yield Source(
                uri=uri,
                suites=tuple(fields.get("suites", "").split()),
                components=tuple(fields.get("components", "").split()),
                signed_by=fields.get("signed-by", ""),
            )


def choose(sources: list[Source], codename: str) -> Source:
    """Return the source that is the Debian mirror of a machine running Debian *codename*.

    That is the one which serves exactly this suite with the component main; where several do, one whose path
    ends in /debian. Raises LabError when none does.
    """
    fitting = [source for source in sources if codename in source.suites and "main" in source.components]
    fitting.sort(key=lambda source: not source.uri.rstrip("/").endswith("/debian"))
    if not fitting:
        raise LabError(
            f"cannot find the Debian mirror of this machine: no apt source has the suite {codename} with the component main. "
            "The lab builds its hosts from the mirror in /etc/apt/sources.list or /etc/apt/sources.list.d"
        )
    return fitting[0]


def debian_mirror(etc: Path = Path("/etc")) -> Source:
    """Return the Debian mirror of this machine, read from its apt sources.

    Raises LabError when there is none, or when the machine does not run Debian.
    """
    release = dict(line.split("=", 1) for line in (etc / "os-release").read_text().splitlines() if "=" in line)
    codename = release.get("VERSION_CODENAME", "").strip('"')
    apt = etc / "apt"
    sources: list[Source] = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if path.suffix == ".list" and path.is_file():
            sources.extend(parse_list(path.read_text()))
        elif path.suffix == ".sources":
            sources.extend(parse_deb822(path.read_text()))
    return choose(sources, codename)


def download_options() -> list[str]:
    """Return the download settings of this machine's apt (proxy, validity checks) as apt.conf(5) lines."""
    dump = execute(["apt-config", "dump", "--format", '%f "%v";%n', "Acquire"]).stdout
    wanted = re.compile(r'Acquire::(https?::|Check-|Retries|ForceIPv|Max-Default-Age)[^"]*"[^"]+"')
    return [line for line in dump.splitlines() if wanted.match(line)]
