# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how to run an engine that nobody else notices, on a folder of its own: nothing outside it is written, nothing is
reached, nothing can run in it, and nothing of it is left.

The engine lives in namespaces of its own. It has the addresses that it needs on a loopback device and no link to anything
else, it sees every other file read-only, and it has neither an image nor a runtime, so that no task of a swarm ever runs in
it. A pipe is its lifeline: when the process that holds it ends, however it ends, the kernel ends every process in the
namespaces, mounts and devices go with them, and the folder is removed.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._engine import Engine
from ansible_collections.quorate.swarm.plugins.module_utils._errors import DaemonFailed, MissingLibrary, Refused

#: A module may be run with a PATH that has no system programs.
_PATH = os.pathsep.join(
    (os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin")
)
_PROGRAMS = {
    "dockerd": "install the package docker.io or docker-ce",
    "containerd": "install the package containerd or containerd.io",
    "ip": "install iproute2",
    "ionice": "install util-linux",
    "mount": "install util-linux (Debian: mount)",
    "timeout": "install coreutils",
    "unshare": "install util-linux",
}

#: Arguments: the folder, the seconds, the script of the inside, the host name, the addresses. Its standard input is the
#: lifeline.
_OUTSIDE = """
folder=$1 limit=$2 inside=$3
shift 3
timeout --signal=KILL "$limit" nice -n 19 ionice -t -c 3 \\
    unshare --net --mount --pid --ipc --uts --fork --kill-child --mount-proc sh -c "$inside" inside "$folder" "$@"
touch "$folder/ended"
cat >/dev/null
rm -rf "$folder"
"""

#: Arguments: the folder, the host name, the addresses. Process 1 of its namespace: kill -1 spares it and nothing else, and
#: when it ends, all others are killed. Each line of standard input starts the engine, anew if it runs.
_INSIDE = """
set -eu
folder=$1
echo "$2" >/proc/sys/kernel/hostname
shift 2
mount --bind "$folder" "$folder"
while read -r dummy dummy dummy dummy place dummy; do
    case $place in
        "$folder" | /proc | /proc/* | /dev | /dev/*) ;;
        *) mount -o remount,bind,ro "$place" 2>/dev/null || : ;;
    esac
done </proc/self/mountinfo
for place in /etc /run /tmp; do mount -t tmpfs -o mode=0700 tmpfs "$place"; done
ip link set lo up
for address in "$@"; do ip address add "$address" dev lo nodad; done
starts=0
while read -r dummy; do
    kill -KILL -1 2>/dev/null || :
    wait
    starts=$((starts + 1))
    rm -f "$folder/docker.pid" "$folder/docker.sock"
    {
        dockerd --config-file "$folder/daemon.json" --data-root "$folder/data" --exec-root "$folder/exec$starts" \\
            --pidfile "$folder/docker.pid" --host "unix://$folder/docker.sock" --storage-driver vfs --log-level warn \\
            --bridge none --iptables=false --ip6tables=false \\
            --add-runtime none=/bin/false --default-runtime none </dev/null || :
        touch "$folder/ended"
    } &
done
"""


class PrivateEngine:
    """An engine in a folder. Use it in a C(with) statement.

    Args:
        folder: An empty folder of mode 0700, without white space in its path. It is removed at the end.
        addresses: What the engine takes for addresses of its host.
        hostname: What it takes for the name of its host.
        limit: Seconds after which it ends, whatever happens.

    Attributes:
        state: Where its swarm state belongs. It does not exist yet.
        engine: Its API.
    """

    def __init__(self, folder: Path, *, addresses: t.Iterable[str], hostname: str, limit: int) -> None:
        self._folder = folder
        self._prefixes = [f"{address}/{128 if ':' in address else 32}" for address in sorted(set(addresses))]
        self._hostname = hostname
        self._limit = limit
        self._process: subprocess.Popen[bytes] | None = None
        self.state = folder / "data" / "swarm"
        self.engine = Engine(f"unix://{folder}/docker.sock")

    def __enter__(self) -> PrivateEngine:
        """Prepare the folder and the namespaces. No engine runs yet. See require_programs()."""
        (self._folder / "data").mkdir(mode=0o700)
        (self._folder / "daemon.json").write_text("{}")
        arguments = [str(self._folder), str(self._limit), _INSIDE, self._hostname, *self._prefixes]
        with open(self._folder / "log", "wb") as log:
            # run_command() waits for the end.
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                ["/bin/sh", "-c", _OUTSIDE, "quorate-swarm-drill", *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": _PATH, "HOME": str(self._folder), "LC_ALL": "C"},
                start_new_session=True,  # a closed connection does not end it before it has cleaned up
            )
        return self

    def __exit__(self, *dummy: object) -> None:
        """End the engine, and wait until everything of it is gone.

        Raises:
            DaemonFailed: The folder is still there.
        """
        self.engine.close()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._folder.exists():
            raise DaemonFailed(
                "remove the folder of the drill", f"{self._folder} is still there", "Remove it: it holds keys"
            )

    def start(self) -> None:
        """Start the engine; kill it first when it runs. It takes a while until it answers."""
        self.engine.close()
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("it is used without a with statement")
        self._process.stdin.write(b"start\n")
        self._process.stdin.flush()

    def require_running(self) -> None:
        """See that the engine has not ended.

        Raises:
            DaemonFailed: It has; with its last words.
        """
        if (self._folder / "ended").exists():
            lines = (self._folder / "log").read_text(errors="replace").splitlines()
            told = [line for line in lines if "level=warn" not in line] or ["it said nothing"]
            raise DaemonFailed("run a private engine", f"it ended by itself: {told[-1][-500:]}", "See to that")


def require_programs() -> None:
    """See that a private engine can run on this host.

    Raises:
        Refused: This process is not root's.
        MissingLibrary: A program is missing.
    """
    attempted = "run a private engine on this host"
    if os.geteuid() != 0:
        raise Refused(attempted, "it takes root", "Run the task with become")
    for program, remedy in _PROGRAMS.items():
        if shutil.which(program, path=_PATH) is None:
            raise MissingLibrary(attempted, f"the program {program} is missing", remedy.capitalize())
