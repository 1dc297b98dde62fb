# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how the state directory option of module_utils/_argspec.py is documented."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  state_directory:
    description:
      - The swarm state directory of the engine.
      - By default it is found by asking the engine for its data root.
      - When the engine is down, it is found by C(--data-root) among the arguments with which systemd starts the engine
        (also in a drop-in, or in a variable of an environment file), and else by C(data-root) of the configuration
        file, C(/etc/docker/daemon.json) unless C(--config-file) is among them.
      - Without any of these it is C(/var/lib/docker/swarm).
    type: path
"""
