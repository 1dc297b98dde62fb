# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows the mount table of this machine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from .errors import LabError
from .process import execute


def _unescape(field: str) -> str:
    """Undo the octal escapes of /proc/self/mountinfo (proc(5))."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _table() -> list[tuple[str, str, str]]:
    """Return mount point, file system type and super options of every mount, in mount order."""
    rows = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        type_at = fields.index("-") + 1
        rows.append((_unescape(fields[4]), fields[type_at], _unescape(fields[type_at + 2])))
    return rows


def of_type(*types: str) -> list[tuple[str, str]]:
    """Return mount point and super options of every mount of one of the file system *types*."""
    return [(point, options) for point, kind, options in _table() if kind in types]


def below(directory: Path) -> list[str]:
    """Return the mount points at or below *directory*, the latest mount first."""
    return [point for point, dummy, dummy2 in reversed(_table()) if Path(point).is_relative_to(directory)]


def overlay_lower_directories() -> set[str]:
    """Return the lower directories of all overlay mounts."""
    return {
        lower
        for dummy, options in of_type("overlay")
        for option in options.split(",")
        if option.startswith("lowerdir=")
        for lower in option.removeprefix("lowerdir=").split(":")
    }


def mount_overlay(*, name: str, lower: Path, upper: Path, work: Path, target: Path) -> None:
    """Mount *lower* at *target* with *upper* taking the changes; *name* is the device name in the mount table."""
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    execute(["mount", "-t", "overlay", name, "-o", options, str(target)])


def remove_tree(directory: Path) -> None:
    """Remove *directory* and all below it; what is mounted there is unmounted first, never emptied.

    Raises LabError when a mount stays.
    """
    for point in below(directory):
        if execute(["umount", point], check=False).returncode != 0:
            execute(["umount", "--lazy", point])
    if below(directory):
        raise LabError(f"remove {directory}: still mounted: {', '.join(below(directory))}")
    shutil.rmtree(directory, ignore_errors=True)
