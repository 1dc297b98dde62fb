# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the version of this collection, as it stands in galaxy.yml (a unit test compares them).

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

COLLECTION_VERSION = "0.1.0"
