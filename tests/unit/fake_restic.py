# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restic that keeps whole files in a directory: what restic 0.14 prints and how it ends, as it was seen there."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

PROGRAM = r"""
import hashlib, json, os, sys

repository = os.environ["RESTIC_REPOSITORY"]
index = os.path.join(repository, "index.json")
with open(os.environ["FAKE_RESTIC_LOG"], "a") as log:
    print(json.dumps(sys.argv[1:]), file=log)
verb, arguments = sys.argv[1], sys.argv[2:]

def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)

if os.environ.get("RESTIC_PASSWORD") != "right":
    fail("Fatal: wrong password or no key found")
if verb == "init":
    os.makedirs(repository)
    open(index, "w").write("[]")
    sys.exit()
if not os.path.exists(index):
    fail("Fatal: unable to open config file: stat %s/config: no such file or directory" % repository)
lock = os.path.join(repository, "locked")
if verb == "forget" and os.path.exists(lock):
    if not open(lock).read():
        os.remove(lock)
    fail("unable to create lock in backend: repository is already locked by PID 1 on m1 by root (UID 0, GID 0)")
snapshots = json.load(open(index))
if verb == "backup":
    content = open(arguments[-1], "rb").read()
    path = os.path.join(os.getcwd(), arguments[-1])
    name = hashlib.sha256(path.encode()).hexdigest()
    snapshots.append({"id": name, "paths": [path], "tags": arguments[arguments.index("--tag") + 1].split(",")})
    open(os.path.join(repository, name), "wb").write(content)
    json.dump(snapshots, open(index, "w"))
elif verb == "snapshots":
    print(json.dumps(snapshots or None))
elif verb == "dump":
    if not any(entry["id"] == arguments[0] and entry["paths"][0].endswith(arguments[1]) for entry in snapshots):
        fail("cannot dump file: path not found in snapshot")
    sys.stdout.buffer.write(open(os.path.join(repository, arguments[0]), "rb").read())
elif verb == "forget":
    number = int(arguments[arguments.index("--keep-last") + 1])
    mine = [entry for entry in snapshots if set(arguments[2].split(",")) <= set(entry["tags"])]
    removed = mine[:-number]
    print("[0:00] 100.00%  1 / 1 packs processed")
    print(json.dumps([{"tags": None, "keep": mine[-number:], "remove": removed or None}]))
    json.dump([entry for entry in snapshots if entry not in removed], open(index, "w"))
elif verb != "cat":
    fail("unknown command")
"""


class FakeRestic:
    """The program on PATH, and what it was asked."""

    def __init__(self, directory: Path, monkeypatch: Any) -> None:
        self.repository = directory / "repository"
        self._log = directory / "log"
        program = directory / "bin" / "restic"
        program.parent.mkdir()
        program.write_text(f"#!{sys.executable}\n{PROGRAM}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("FAKE_RESTIC_LOG", str(self._log))

    @property
    def asked(self) -> list[list[str]]:
        """The arguments of each call."""
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []

    @property
    def verbs(self) -> list[str]:
        return [arguments[0] for arguments in self.asked]

    def damage(self) -> None:
        """Change every archive in the repository, as no real restic would not notice."""
        for path in self.repository.iterdir():
            if path.suffix != ".json":
                path.write_bytes(b"another archive")
