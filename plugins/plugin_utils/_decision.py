# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a decision of module_utils becomes a filter or a test, whose errors a playbook can show.

For any filter of a collection Ansible loads all of them, from their source, in the process of each task for each host. So
a decision is imported where it is made, and a filter is next to nothing.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import importlib
import typing as t

from ansible.errors import AnsibleFilterError

_DECISIONS = "ansible_collections.quorate.swarm.plugins.module_utils"


def in_templates(
    name: str, decision: str, *, lists: t.Sequence[str] = (), number: bool = False
) -> t.Callable[..., t.Any]:
    """Return a decision so that it fails in a template as the filter or test of this name.

    Args:
        name: Name of the plugin, without the collection.
        decision: What it does, such as C(_quorum.majority). An error of Python's own means that its input is not what it
            has to be.
        lists: Options that are lists of names, which may be given as name_list() takes them.
        number: Whether its input is a number, which a template may have made a text.
    """

    def plugin(*arguments: t.Any, **options: t.Any) -> t.Any:
        errors = _imported("_errors")
        try:
            for option in lists:
                if isinstance(options.get(option), str):
                    options[option] = _imported("_fleet").name_list(options[option])
            if number:
                arguments = (int(arguments[0]), *arguments[1:])
            place, dummy, function = decision.partition(".")
            return getattr(_imported(place), function)(*arguments, **options)
        except errors.SwarmError as error:
            raise AnsibleFilterError(f"quorate.swarm.{name}: {error}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise AnsibleFilterError(f"quorate.swarm.{name}: the input is not what it has to be ({error!r})") from error

    return plugin


def _imported(place: str) -> t.Any:
    return importlib.import_module(f"{_DECISIONS}.{place}")
