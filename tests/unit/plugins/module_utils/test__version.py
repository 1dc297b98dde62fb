# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._version import COLLECTION_VERSION

COLLECTION = Path(__file__).resolve().parents[4]


def version_of_the_collection() -> str:
    """The version in galaxy.yml, or where the collection is installed, in what was made of it."""
    source = COLLECTION / "galaxy.yml"
    if source.exists():
        (version,) = re.findall(r"^version: (.+)$", source.read_text(), re.MULTILINE)
        return str(version)
    return str(json.loads((COLLECTION / "MANIFEST.json").read_text())["collection_info"]["version"])


def test_it_is_the_version_of_the_collection() -> None:
    assert version_of_the_collection() == COLLECTION_VERSION
