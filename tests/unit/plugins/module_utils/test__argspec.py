# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.doc_fragments import daemon, docker, restic, state_directory
from ansible_collections.quorate.swarm.plugins.module_utils._argspec import (
    DAEMON_ARGUMENTS,
    DOCKER_ARGUMENTS,
    DOCKER_REQUIRED_TOGETHER,
    RESTIC_ARGUMENTS,
    STATE_DIRECTORY_ARGUMENTS,
    docker_arguments_with_cert_path,
)
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (DOCKER_ARGUMENTS, docker),
        (STATE_DIRECTORY_ARGUMENTS, state_directory),
        (DAEMON_ARGUMENTS, daemon),
        (RESTIC_ARGUMENTS, restic),
    ],
)
def test_fragment_and_arguments_agree(arguments: dict[str, Any], fragment: Any) -> None:
    documented = yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"]
    for name, option in arguments.items():
        for key in ("type", "default", "aliases", "choices"):
            assert documented[name].get(key) == option.get(key), (name, key)
    assert set(documented) == set(arguments)


def test_the_environment_is_a_fall_back(run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://m1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_API_VERSION", "1.40")
    monkeypatch.setenv("DOCKER_TIMEOUT", "7")

    def main() -> None:
        module = AnsibleModule(DOCKER_ARGUMENTS, required_together=DOCKER_REQUIRED_TOGETHER)
        module.exit_json(params={name: module.params[name] for name in DOCKER_ARGUMENTS})

    assert run_module(main)["params"] == {
        "docker_host": "tcp://m1:2376",
        "tls": False,
        "validate_certs": True,
        "ca_path": None,
        "client_cert": None,
        "client_key": None,
        "api_version": "1.40",
        "timeout": 7,
    }
    assert run_module(main, docker_host="unix:///run/docker.sock")["params"]["docker_host"] == "unix:///run/docker.sock"


def test_a_client_certificate_needs_its_key(run_module: RunModule) -> None:
    def main() -> None:
        AnsibleModule(DOCKER_ARGUMENTS, required_together=DOCKER_REQUIRED_TOGETHER)

    assert run_module(main, client_cert="/cert.pem")["failed"]


FILES = {"ca_path": "/certs/ca.pem", "client_cert": "/certs/cert.pem", "client_key": "/certs/key.pem"}


@pytest.mark.parametrize(
    ("params", "environment", "expected"),
    [
        ({"validate_certs": True}, {"DOCKER_CERT_PATH": "/certs"}, {"validate_certs": True, **FILES}),
        ({"tls": True, "ca_path": "/ca"}, {"DOCKER_CERT_PATH": "/certs"}, {"tls": True, **FILES, "ca_path": "/ca"}),
        ({"validate_certs": True}, {}, {"validate_certs": True}),
        ({"tls": False}, {"DOCKER_CERT_PATH": "/certs"}, {"tls": False}),
    ],
)
def test_the_folder_of_the_docker_command_is_used(
    params: dict[str, Any], environment: dict[str, str], expected: dict[str, Any]
) -> None:
    assert docker_arguments_with_cert_path(params, environment) == expected
