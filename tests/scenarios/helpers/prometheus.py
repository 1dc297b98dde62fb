# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Prometheus on loopback that reads metrics files as node_exporter hands them on."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from quorate_lab.process import wait_until

CONFIGURATION = """
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: node, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


class _Files(BaseHTTPRequestHandler):
    """The files of a folder as one: the textfile collector of node_exporter hands them on like this."""

    def __init__(self, directory: Path, *args: Any) -> None:
        self.directory = directory
        super().__init__(*args)

    def do_GET(self) -> None:
        lines = [line for path in sorted(self.directory.glob("*.prom")) for line in path.read_text().splitlines()]
        # a comment on a metric may come only once
        comments = dict.fromkeys(line for line in lines if line.startswith("#"))
        samples = [line for line in lines if not line.startswith("#")]
        body = "".join(f"{line}\n" for line in (*comments, *samples))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@contextmanager
def prometheus(metrics: Path, work: Path) -> Iterator[partial[list[dict[str, Any]]]]:
    """Run it on the files in *metrics*, and yield a function that returns the series of an expression."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, metrics)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        configuration = work / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(port=server.server_port))
        address = f"127.0.0.1:{_free_port()}"
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={work / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(work / "prometheus.log").open("w"),
        )
        try:
            ask = partial(_series, address)
            wait_until(lambda: _scrapes(ask) > 5, timeout=60, what="Prometheus to have read the metrics")
            yield ask
        finally:
            process.terminate()
            process.wait(30)
            server.shutdown()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _series(address: str, expression: str) -> list[dict[str, Any]]:
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://{address}/api/v1/query?{query}", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def _scrapes(ask: partial[list[dict[str, Any]]]) -> int:
    try:
        return max((int(series["value"][1]) for series in ask("count_over_time(up[1m])")), default=0)
    except OSError:
        return 0
