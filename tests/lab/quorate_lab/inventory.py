# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows what an Ansible inventory of a lab looks like, and how ssh reaches a host."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .state import Files, LabState

SSH_OPTIONS = (
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "LogLevel=ERROR",
    "-o",
    "IdentitiesOnly=yes",
    "-o",
    "ConnectTimeout=10",
)


def default_groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the groups that follow from the names: m1, m2 ... are managers, w1, w2 ... workers."""
    return {
        "swarm_managers": [name for name in names if re.fullmatch(r"m\d+", name)],
        "swarm_workers": [name for name in names if re.fullmatch(r"w\d+", name)],
    }


def render(files: Files, state: LabState, groups: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the inventory of a lab in INI form; *groups* maps group names to host names (`default_groups`)."""
    lines = [
        f"{name} ansible_host={host.address} swarm_advertise_address={host.address} "
        f"ansible_control_path={files.control_socket(name)}"
        for name, host in state.hosts.items()
    ]
    for group, members in (default_groups(list(state.hosts)) if groups is None else groups).items():
        lines += ["", f"[{group}]", *members]
    lines += [
        "",
        "[all:vars]",
        "ansible_user=root",
        f"ansible_ssh_private_key_file={files.key}",
        f"ansible_ssh_common_args='{' '.join(SSH_OPTIONS)}'",
        "ansible_python_interpreter=/usr/bin/python3",
        "ansible_pipelining=true",
    ]
    return "\n".join(lines) + "\n"
