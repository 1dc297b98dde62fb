# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows how to talk to the Docker Engine API through a unix socket (Docker Engine API reference)."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any


class _SocketConnection(http.client.HTTPConnection):
    """An HTTP connection through a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def request(path: Path, method: str, url: str, body: object = None, timeout: float = 25) -> tuple[int, Any]:
    """Send one request to the engine behind the socket *path* and return the HTTP status and the decoded answer.

    *body* is sent as it is when it is bytes (a tar archive), else as JSON. The answer is decoded JSON, or the text
    when it is not JSON. *timeout* in seconds is for each step. Raises OSError (TimeoutError, ConnectionError ...) or
    http.client.HTTPException when the engine does not answer.
    """
    connection = _SocketConnection(path, timeout)
    try:
        headers: dict[str, str] = {}
        content: bytes | None = None
        if isinstance(body, bytes):
            content, headers["Content-Type"] = body, "application/x-tar"
        elif body is not None:
            content, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection.request(method, url, body=content, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text
