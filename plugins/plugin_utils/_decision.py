# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a decision of module_utils becomes a filter or a test, whose errors a playbook can show.

This file is private to the quorate.swarm collection; do not use it from elsewhere.
"""

from __future__ import annotations

import functools
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.quorate.swarm.plugins.module_utils._fleet import name_list

Decision = t.TypeVar("Decision", bound=t.Callable[..., t.Any])


def in_templates(name: str, decision: Decision, *, lists: t.Sequence[str] = ()) -> Decision:
    """Return the decision so that it fails in a template as the filter or test of this name.

    Args:
        name: Name of the plugin, without the collection.
        decision: What it does. An error of Python's own means that its input is not what it has to be.
        lists: Options that are lists of names, which may be given as name_list() takes them.
    """

    @functools.wraps(decision)
    def plugin(*arguments: t.Any, **options: t.Any) -> t.Any:
        for option in lists:
            if isinstance(options.get(option), str):
                options[option] = name_list(options[option])
        try:
            return decision(*arguments, **options)
        except SwarmError as error:
            raise AnsibleFilterError(f"quorate.swarm.{name}: {error}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise AnsibleFilterError(f"quorate.swarm.{name}: the input is not what it has to be ({error!r})") from error

    return t.cast(Decision, plugin)
