# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: swarm_query
short_description: Ask the facts of a swarm a question in JMESPath
version_added: 0.1.0
author:
  - the quorate.swarm contributors (@quorate)
description:
  - Evaluates a JMESPath expression, such as the nodes that are down, or the services below their replicas.
  - An expression that is wrong, or a function that is given what it does not take, is an error that says where and why.
requirements:
  - jmespath, on the controller
positional: _input, query
options:
  _input:
    description: What M(quorate.swarm.swarm_info) returned, or anything else of dictionaries and lists.
    type: raw
    required: true
  query:
    description:
      - The expression. Texts stand in single quotes, numbers and booleans in backquotes.
      - A field that is not there is null.
    type: str
    required: true
seealso:
  - plugin: quorate.swarm.unmet_expectations
    plugin_type: filter
  - name: JMESPath
    description: Its specification.
    link: https://jmespath.org/specification.html
"""

EXAMPLES = r"""
- name: Look
  quorate.swarm.swarm_info:
  register: swarm

- name: Name the nodes that are down
  ansible.builtin.debug:
    msg: "{{ swarm | quorate.swarm.swarm_query(query) }}"
  vars:
    query: nodes[?state=='down'].hostname

- name: Count the services that have fewer tasks than they should
  ansible.builtin.debug:
    msg: "{{ swarm | quorate.swarm.swarm_query('length(services[?running < desired])') }}"
"""

RETURN = r"""
_value:
  description: The answer. Null when there is none.
  type: raw
"""

import typing as t

from ansible_collections.quorate.swarm.plugins.plugin_utils._decision import in_templates


class FilterModule:
    """The filter quorate.swarm.swarm_query."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"swarm_query": in_templates("swarm_query", "_expectation.swarm_query")}
