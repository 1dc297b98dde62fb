# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for the API of an AWX Controller, as far as the modules of awx.awx declare things in it.

It keeps what it is given, and refuses what AWX refuses: surveys, recurrences and nodes of a wrong form.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Json = dict[str, Any]

QUESTION_TYPES = ("text", "textarea", "password", "multiplechoice", "multiselect", "integer", "float")
#: What AWX demands of a rule: a beginning with a time zone, and an interval (awx/main/models/schedules.py).
RULE = re.compile(r"DTSTART(;TZID=[\w/]+:\d{8}T\d{6}|:\d{8}T\d{6}Z) RRULE:FREQ=\w+;(.+;)?INTERVAL=\d+(;.+)?")
UNIFIED = ("job_templates", "workflow_job_templates", "projects")
TYPES = {"job_templates": "job_template", "workflow_job_templates": "workflow_job_template", "projects": "project"}


def survey_problem(survey: Mapping[str, Any]) -> str | None:
    """What AWX has against a survey."""
    for name in ("name", "description", "spec"):
        if name not in survey:
            return f"'{name}' missing from survey spec."
    for number, question in enumerate(survey["spec"]):
        for name, kind in (("type", str), ("question_name", str), ("variable", str), ("required", bool)):
            if not isinstance(question.get(name), kind):
                return f"'{name}' of question {number} is missing, or is not of type {kind.__name__}"
        if question["type"] not in QUESTION_TYPES:
            return f"'{question['type']}' in survey question {number} is not one of {QUESTION_TYPES}"
        default = question.get("default")
        if question["type"] == "multiplechoice":
            if not question.get("choices"):
                return f"Survey question {number} of type multiplechoice must specify choices."
            if default is not None and default not in question["choices"]:
                return f"Default choice must be answered from the choices listed ({number})."
        if question["type"] == "integer" and default is not None and not isinstance(default, int):
            return f"Default value {default} in question {number} expected to be an integer."
    names = [question["variable"] for question in survey["spec"]]
    return "'variable' duplicated in survey questions" if len(names) != len(set(names)) else None


class Controller:
    """What was declared: for each kind the objects by their ID."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[int, Json]] = {}
        self.surveys: dict[str, Json] = {}
        self.related: dict[str, list[int]] = {}
        self.requests: list[tuple[str, str]] = []
        self._ids = itertools.count(1)
        self._lock = Lock()
        self.create("organizations", {"name": "Default"})
        for name, kind in (("Machine", "ssh"), ("Vault", "vault")):
            self.create("credential_types", {"name": name, "kind": kind})

    def named(self, kind: str) -> dict[str, Json]:
        """The objects of a kind by name, or nodes by identifier."""
        return {found.get("identifier") or found["name"]: found for found in self.objects.get(kind, {}).values()}

    def create(self, kind: str, data: Mapping[str, Any]) -> Json:
        number = next(self._ids)
        url = f"/api/v2/{kind}/{number}/"
        entry = {**data, "id": number, "url": url, "type": TYPES.get(kind, kind.rstrip("s"))}
        entry["related"] = {"survey_spec": f"{url}survey_spec/"}
        self.objects.setdefault(kind, {})[number] = entry
        return entry

    def answer(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        """Answer a request as AWX does, with a status and a body."""
        with self._lock:
            path = urlsplit(url).path
            if method != "GET":
                self.requests.append((method, path))
            parts = path.removeprefix("/api/v2/").strip("/").split("/")
            if len(parts) == 1:
                return (
                    self._list(parts[0], dict(parse_qsl(urlsplit(url).query)))
                    if method == "GET"
                    else self._add(parts[0], body)
                )
            entry = self.objects.get(parts[0], {}).get(int(parts[1]))
            if entry is None:
                return 404, {"detail": "Not found."}
            if len(parts) == 2:
                if method == "PATCH":
                    entry.update(body)
                return 200, entry
            if parts[2] == "survey_spec":
                return self._survey(entry["url"], method, body)
            return self._relate(path, parts[2], method, body)

    def _list(self, kind: str, wanted: Mapping[str, str]) -> tuple[int, Any]:
        kinds = UNIFIED if kind == "unified_job_templates" else (kind,)
        found = [
            entry
            for each in kinds
            for entry in self.objects.get(each, {}).values()
            if all(
                str(entry.get(name)) == value for name, value in wanted.items() if name not in ("page_size", "order_by")
            )
        ]
        return 200, {"count": len(found), "results": found, "next": None}

    def _add(self, kind: str, body: Json) -> tuple[int, Any]:
        if kind == "schedules" and not RULE.fullmatch(body.get("rrule", "")):
            return 400, {"rrule": ["not a rule that AWX takes"]}
        if kind == "credentials":
            hidden = {
                name: "$encrypted$" for name in body["inputs"] if name not in ("username", "become_method", "vault_id")
            }
            body = {**body, "inputs": {**body["inputs"], **hidden}}
        return 201, self.create(kind, body)

    def _survey(self, url: str, method: str, body: Json) -> tuple[int, Any]:
        if method == "POST":
            problem = survey_problem(body)
            if problem:
                return 400, {"error": problem}
            self.surveys[url] = body
        return 200, self.surveys.get(url, {})

    def _relate(self, path: str, kind: str, method: str, body: Json) -> tuple[int, Any]:
        related = self.related.setdefault(path, [])
        if method == "POST":
            related.append(body["id"])
            return 204, None
        kind = "workflow_job_template_nodes" if kind.endswith("_nodes") else kind
        return 200, {"count": len(related), "results": [self.objects[kind][each] for each in related], "next": None}


@contextmanager
def running_controller() -> Iterator[tuple[str, Controller]]:
    """Run the stand-in as long as the `with` block lasts; yields its address and what it keeps."""
    controller = Controller()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            status, answer = controller.answer(self.command, self.path, body)
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in (
                ("Content-Type", "application/json"),
                ("X-API-Product-Name", "AWX"),
                ("X-API-Product-Version", "24.6.1"),
            ):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", controller
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
