# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies the working tree to build/ansible_collections/quorate/swarm, where Ansible's tools find the collection.

ansible-test, ansible-lint and Python's imports all want a directory of that name, and ansible-test refuses a symbolic
link. The copy has the files that git knows or would add, so what other tools left in the tree stays out.

Usage: python3 tests/stage.py    (prints the directory of the copy)
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: What belongs into ANSIBLE_COLLECTIONS_PATH and PYTHONPATH to use the copy.
COLLECTIONS = ROOT / "build"
COPY = COLLECTIONS / "ansible_collections" / "quorate" / "swarm"
#: Left in the copy: ansible-test keeps the virtual environments of its own there, and would build them each time.
KEPT = (".git/", "tests/output/", ".ansible/")


def tree_files(root: Path) -> set[str]:
    """Return the paths, relative to root, of the files that git tracks or would track.

    Raises subprocess.CalledProcessError when root is not a git working tree.
    """
    # "make" as root in a clone of another user is legitimate here; git would refuse to read it.
    command = ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "-co", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout.decode()
    return {name for name in listing.split("\0") if name and (root / name).is_file()}


def stage() -> Path:
    """Bring the copy up to date and return its directory."""
    wanted = tree_files(ROOT)
    COPY.mkdir(parents=True, exist_ok=True)
    # A repository of its own: asked for the files of a directory that this one ignores, git answers "none".
    subprocess.run(["git", "init", "-q", COPY], check=True)
    for path in sorted(COPY.rglob("*"), reverse=True):
        name = path.relative_to(COPY).as_posix()
        if name.startswith(KEPT):
            continue
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif name not in wanted:
            path.unlink()
    for name in wanted:
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    return COPY


if __name__ == "__main__":
    print(stage())
