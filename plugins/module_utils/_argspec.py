# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the options that several modules share. Each table stands beside the doc fragment of the same name.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule, env_fallback

#: doc_fragments/docker.py
DOCKER_ARGUMENTS: dict[str, t.Any] = {
    "docker_host": {
        "type": "str",
        "default": "unix:///var/run/docker.sock",
        "fallback": (env_fallback, ["DOCKER_HOST"]),
        "aliases": ["docker_url"],
    },
    "tls": {"type": "bool", "default": False, "fallback": (env_fallback, ["DOCKER_TLS"])},
    "validate_certs": {
        "type": "bool",
        "default": False,
        "fallback": (env_fallback, ["DOCKER_TLS_VERIFY"]),
        "aliases": ["tls_verify"],
    },
    "ca_path": {"type": "path", "aliases": ["ca_cert", "tls_ca_cert", "cacert_path"]},
    "client_cert": {"type": "path", "aliases": ["tls_client_cert", "cert_path"]},
    "client_key": {"type": "path", "no_log": False, "aliases": ["tls_client_key", "key_path"]},
    "api_version": {
        "type": "str",
        "default": "auto",
        "fallback": (env_fallback, ["DOCKER_API_VERSION"]),
        "aliases": ["docker_api_version"],
    },
    "timeout": {"type": "int", "default": 60, "fallback": (env_fallback, ["DOCKER_TIMEOUT"])},
}

#: doc_fragments/docker.py: a client certificate without its key is of no use.
DOCKER_REQUIRED_TOGETHER: list[list[str]] = [["client_cert", "client_key"]]

#: doc_fragments/state_directory.py
STATE_DIRECTORY_ARGUMENTS: dict[str, t.Any] = {"state_directory": {"type": "path"}}

#: doc_fragments/daemon.py
DAEMON_ARGUMENTS: dict[str, t.Any] = {
    "service_name": {"type": "str", "default": "docker"},
}


#: doc_fragments/restic.py
RESTIC_ARGUMENTS: dict[str, t.Any] = {
    "repository": {"type": "str"},
    "repository_file": {"type": "path"},
    "password": {"type": "str", "no_log": True},
    "password_file": {"type": "path", "no_log": False},
    "environment": {"type": "dict", "no_log": True},
    "timeout": {"type": "int", "default": 3600},
}

#: What a service manager may call a service.
_SERVICE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*\Z")
#: The most that an engine, a service manager and a clock take alike.
_MOST = 2**31 - 1


def checked_arguments(module: AnsibleModule) -> dict[str, t.Any]:
    """Return the parameters of a module, completed from the environment; end it when one of them makes no sense."""
    problem = next(problems(module.argument_spec, module.params), None)
    if problem is not None:
        module.fail_json(msg=problem)
    return docker_arguments_with_cert_path(module.params, os.environ)


def problems(arguments: t.Mapping[str, t.Any], params: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """Say what Ansible has accepted by its type and makes no sense. A text is never repeated: it may be a secret.

    Args:
        arguments: The argument specification.
        params: The parameters, of the types of the specification.
    """
    for name, argument in sorted(arguments.items()):
        value = params.get(name)
        if value is None:
            continue
        if argument["type"] in ("int", "float") and not 0 <= value <= _MOST:
            yield f"{name} is {value}; give a number from 0 to {_MOST}"
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and any(ord(character) < 32 or ord(character) == 127 for character in text):
                yield f"{name} has a line break or another control character in it; give it without"
        if argument["type"] == "path" and not os.path.isabs(value):
            yield f"{name} is no absolute path; give one that begins with /"
        if name == "service_name" and not _SERVICE_NAME.match(value):
            yield f"{name} is no name of a service; give letters, digits, and : _ . @ - between them"


def docker_arguments_with_cert_path(params: dict[str, t.Any], environment: t.Mapping[str, str]) -> dict[str, t.Any]:
    """Fill the TLS files from DOCKER_CERT_PATH, the folder that the docker command uses, where no option is given.

    Args:
        params: The module's parameters.
        environment: The process environment.
    """
    folder = environment.get("DOCKER_CERT_PATH")
    if not folder or not (params.get("tls") or params.get("validate_certs")):
        return params
    files = {"ca_path": "ca.pem", "client_cert": "cert.pem", "client_key": "key.pem"}
    return {**params, **{option: params.get(option) or f"{folder}/{name}" for option, name in files.items()}}
