# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: unmet_expectations
short_description: Find what of the facts of a swarm is not as expected
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Evaluates a list of expectations over the facts of a swarm and returns those that are not met.
  - An expectation that makes no sense is an error. With an empty dictionary as facts, only these are found; so they can be
    found before anything else is done.
requirements:
  - jmespath, on the controller
positional: _input, expectations
options:
  _input:
    description: What M(quorate.swarm.swarm_info) returned.
    type: dict
    required: true
  expectations:
    description:
      - Each has C(query), a JMESPath expression, and either C(is), the value that it must have, or C(at_least), a number
        that it must reach. C(message) says what it means, for people.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: quorate.swarm.swarm_query
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look
  quorate.swarm.swarm_info:
  register: swarm

- name: Fail when the swarm is not as it should be
  ansible.builtin.assert:
    that: unmet | length == 0
    fail_msg: "{{ unmet | map(attribute='message') | join('; ') }}"
  vars:
    unmet: "{{ swarm | quorate.swarm.unmet_expectations(expectations) }}"
    expectations:
      - query: services[?name=='web'].running | [0]
        at_least: 3
        message: the shop is not up
      - query: length(nodes[?state!='ready'])
        is: 0
"""

RETURN = r"""
_value:
  description: The expectations that are not met. Empty when all are.
  type: list
  elements: dict
  contains:
    query:
      description: The expression.
      type: str
    message:
      description: What is not as expected, as a line for people.
      type: str
    found:
      description: What the facts have; null when the query cannot be evaluated.
      type: raw
    wanted:
      description: What is expected, in words.
      type: str
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.unmet_expectations."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unmet_expectations": in_templates("unmet_expectations", "_expectation.unmet_expectations")}
