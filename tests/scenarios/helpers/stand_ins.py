# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules of other collections, for the examples that use them: with the options of the real ones, which were recorded
(community.hashi_vault 7.1.0, awx.awx 24.6.1), and with a file in the place of the server."""

from __future__ import annotations

import json
from pathlib import Path

_RECORDED = Path(__file__).parent / "other_collections.json"
_HEAD = """
import json
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule(argument_spec=json.loads({spec!r}), supports_check_mode=True)
params = module.params
with open({server!r}) as file:
    server = json.load(file)


def keep():
    with open({server!r}, "w") as file:
        json.dump(server, file)

"""
_BODIES = {
    "community.hashi_vault.vault_kv2_get": """
found = server.get(params["path"])
if found is None:
    module.fail_json(msg="Invalid or missing path ['%s'] with secret version 'latest'." % params["path"])
module.exit_json(secret=found["data"], metadata={"version": found["version"]})
""",
    "community.hashi_vault.vault_kv2_write": """
version = server.get(params["path"], {"version": 0})["version"]
if params["cas"] != version:
    module.fail_json(msg="check-and-set parameter did not match the current version")
server[params["path"]] = {"data": params["data"], "version": version + 1}
keep()
module.exit_json(changed=True, raw={})
""",
    "awx.awx.credential_type": """
server[params["name"]] = {name: params[name] for name in ("kind", "inputs", "injectors")}
keep()
module.exit_json(changed=True, id=1)
""",
    "awx.awx.credential": """
if params["state"] == "exists" and params["name"] in server:
    module.exit_json(id=1)
server[params["name"]] = {name: params[name] for name in ("organization", "credential_type", "inputs")}
keep()
module.no_log_values.clear()
module.exit_json(changed=True, id=1)
""",
}


def install(directory: Path, server: Path) -> Path:
    """Write the collections below *directory*, with *server*, a file, as their server. Returns the collections path."""
    recorded = json.loads(_RECORDED.read_text())
    server.write_text("{}")
    for name, body in _BODIES.items():
        namespace, collection, module = name.split(".")
        path = directory / "ansible_collections" / namespace / collection / "plugins/modules" / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_HEAD.format(spec=json.dumps(recorded[name]), server=str(server)) + body)
    return directory
