# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A load on a swarm: small configs are created and labelled through every manager that answers. What was acknowledged counts."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any

from quorate_lab import Host
from quorate_lab.errors import LabError
from quorate_lab.process import in_parallel

_PREFIX = "load-"
_PAUSE = 0.7


class Writer:
    """Writes through each of *hosts* in a thread of its own, as long as the `with` block lasts."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = hosts
        self._stop = Event()
        self._lock = Lock()
        #: Name of a config -> the number in its label; only what an engine has said yes to.
        self.acknowledged: dict[str, int] = {}
        self._threads: list[Thread] = []

    def __enter__(self) -> Writer:
        self._stop.clear()
        self._threads = [Thread(target=self._work, args=[host]) for host in self._hosts]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *dummy: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, host: Host) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            with suppress(OSError, LabError, ValueError):
                self._write(host, f"{_PREFIX}{host.name}-{id(self) % 9973}-{number}", number)
            self._stop.wait(_PAUSE)

    def _write(self, host: Host, name: str, number: int) -> None:
        spec: dict[str, Any] = {"Name": name, "Data": base64.b64encode(b"load").decode(), "Labels": {"n": "0"}}
        status, answer = host.api("POST", "/configs/create", spec, timeout=5)
        if status >= 300:
            return
        self._note(name, 0)
        status, entry = host.api("GET", f"/configs/{answer['ID']}", timeout=5)
        if status >= 300:
            return
        spec["Labels"]["n"] = str(number)
        version = entry["Version"]["Index"]
        status, dummy = host.api("POST", f"/configs/{answer['ID']}/update?version={version}", spec, timeout=5)
        if status < 300:
            self._note(name, number)

    def _note(self, name: str, number: int) -> None:
        with self._lock:
            self.acknowledged[name] = number

    def lost(self, manager: Host) -> list[str]:
        """What was acknowledged and is not there, as *manager* sees it."""
        there = {entry["Spec"]["Name"]: entry["Spec"]["Labels"].get("n", "") for entry in configs(manager)}
        return [
            name
            for name, number in self.acknowledged.items()
            # a label is at least as new as the one that was acknowledged: an update without an answer may have been made
            if name not in there or int(there[name]) < number
        ]


def configs(manager: Host) -> list[dict[str, Any]]:
    """The configs of a load in the swarm of *manager*."""
    filters = json.dumps({"name": [_PREFIX]}, separators=(",", ":"))
    status, entries = manager.api("GET", f"/configs?filters={filters}", timeout=25)
    if status != 200:
        raise LabError(f"list the configs on {manager.name}: {status} {entries}")
    return list(entries)


def clear(manager: Host) -> None:
    """Remove the configs of earlier loads."""

    def remove(entry: dict[str, Any]) -> None:
        with suppress(OSError, LabError):
            manager.api("DELETE", f"/configs/{entry['ID']}", timeout=25)

    with suppress(OSError, LabError):
        found = configs(manager)
        for start in range(0, len(found), 8):
            in_parallel(remove, found[start : start + 8])
