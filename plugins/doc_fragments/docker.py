# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how the connection options of module_utils/_argspec.py are documented."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  docker_host:
    description:
      - Address of the Docker Engine.
      - If it is not given, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  tls:
    description:
      - Encrypt a TCP connection with TLS.
      - If it is not given, the environment variable E(DOCKER_TLS) is used.
    type: bool
    default: false
  validate_certs:
    description:
      - Encrypt a TCP connection with TLS, and verify the certificate of the engine.
      - If it is not given, the environment variable E(DOCKER_TLS_VERIFY) is used.
    type: bool
    default: false
    aliases: [tls_verify]
  ca_path:
    description:
      - File with the certificates of the authorities that may have signed the engine's certificate.
      - If it is not given and E(DOCKER_CERT_PATH) is set, C(ca.pem) of that folder is used.
    type: path
    aliases: [ca_cert, tls_ca_cert, cacert_path]
  client_cert:
    description:
      - File with the client certificate.
      - If it is not given and E(DOCKER_CERT_PATH) is set, C(cert.pem) of that folder is used.
    type: path
    aliases: [tls_client_cert, cert_path]
  client_key:
    description:
      - File with the key of the client certificate.
      - If it is not given and E(DOCKER_CERT_PATH) is set, C(key.pem) of that folder is used.
    type: path
    aliases: [tls_client_key, key_path]
  api_version:
    description:
      - Version of the Engine API to use, or V(auto) to agree on one.
      - If it is not given, the environment variable E(DOCKER_API_VERSION) is used.
    type: str
    default: auto
    aliases: [docker_api_version]
  timeout:
    description:
      - Seconds to wait for an answer of the engine. Calls that need another limit have their own.
      - If it is not given, the environment variable E(DOCKER_TIMEOUT) is used.
    type: int
    default: 60
requirements:
  - Docker SDK for Python 5.0.3 or newer (the package C(python3-docker), or C(docker) from the Python package index)
  - Python 3.8 or newer on the managed node
"""
