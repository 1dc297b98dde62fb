# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.quorate.swarm.plugins.module_utils._version import COLLECTION_VERSION

COLLECTION = Path(__file__).resolve().parents[4]


def test_it_is_the_version_of_the_collection() -> None:
    (version,) = re.findall(r"^version: (.+)$", (COLLECTION / "galaxy.yml").read_text(), re.MULTILINE)
    assert version == COLLECTION_VERSION
