# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how the options are worded by which a restic repository is found. Matches RESTIC_ARGUMENTS of _argspec.py."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  repository:
    description:
      - The repository, on any backend that restic knows. An address with a password in it is refused, because it would be
        logged; give it in O(repository_file) or in O(environment).
    type: str
  repository_file:
    description: A file on this host with the address of the repository.
    type: path
  password:
    description: The password of the repository. Only the environment of restic has it.
    type: str
  password_file:
    description: A file on this host with the password of the repository.
    type: path
  environment:
    description:
      - Environment variables of restic, such as C(AWS_ACCESS_KEY_ID) and C(AWS_SECRET_ACCESS_KEY), or C(RESTIC_REPOSITORY)
        and C(RESTIC_PASSWORD) instead of the options. All of them are taken for secrets.
    type: dict
  timeout:
    description:
      - Seconds that each command of restic may take. While another one holds the lock of the repository, it waits for five
        minutes at most.
    type: int
    default: 3600
requirements:
  - restic 0.14 or newer
"""
