# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells Sphinx how to build the documentation site. tests/run_checks.py puts the pages together, see its step "docs"."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes

HERE = Path(__file__).resolve().parent
GALAXY = yaml.safe_load((HERE / "galaxy.yml").read_text())

project = f"{GALAXY['namespace']}.{GALAXY['name']}"
title = html_title = html_short_title = f"{project} {GALAXY['version']}"
copyright = "the quorate.swarm contributors"
version = release = GALAXY["version"]

extensions = ["myst_parser", "sphinx_antsibull_ext"]
exclude_patterns = ["docs/site"]
#: A link to a heading of another page, as GitHub makes them.
myst_heading_anchors = 3
default_role = "any"
nitpicky = True
highlight_language = "YAML+Jinja"
pygments_style = "ansible"

html_theme = "sphinx_ansible_theme"
html_theme_options = {"documentation_home_url": GALAXY["homepage"], "vcs_pageview_mode": "blob"}
html_show_sphinx = False
html_use_index = False
html_copy_source = False

#: Pages of the repository that are pages of the site as well.
_LINK = re.compile(
    re.escape(GALAXY["repository"]) + r"/blob/main/((?:docs|roles|benchmarks)/[\w/.-]+\.md|CONTRIBUTING\.md)"
)

#: Labels of Ansible's own documentation to which antsibull-docs refers. An inventory of it would have to be downloaded.
_ANSIBLE = "https://docs.ansible.com/ansible/latest"
_ANSIBLE_MODULE = re.compile(r"ansible_collections\.ansible\.builtin\.(\w+_module)")
_ANSIBLE_LABELS = {
    "action_plugins": f"{_ANSIBLE}/plugins/action.html",
    "ansible_configuration_settings": f"{_ANSIBLE}/reference_appendices/config.html",
    "common_return_values": f"{_ANSIBLE}/reference_appendices/common_return_values.html",
}


def link_inside(app: Any, page: str, source: list[str]) -> None:
    """Turn links to pages of the repository, as a README on Galaxy needs them, into links within the site."""
    up = "../" * page.count("/")
    source[0] = _LINK.sub(lambda link: f"{up}{link[1]}", source[0])


def link_to_ansible(app: Any, environment: Any, reference: Any, content: Any) -> Any:
    """Return the link for a label of Ansible's documentation, and nothing for any other that is missing."""
    label = reference.get("reftarget", "")
    module = _ANSIBLE_MODULE.fullmatch(label)
    page = f"{_ANSIBLE}/collections/ansible/builtin/{module[1]}.html" if module else None
    address = page or _ANSIBLE_LABELS.get(label)
    return nodes.reference("", "", content, refuri=address) if address else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", link_to_ansible)
    app.connect("source-read", link_inside)
