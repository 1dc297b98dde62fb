# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one exception of the lab."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not do what was asked; the text says what was attempted, why it failed and what to do."""
