# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils._unit_arguments import unit_arguments

END = "; ignore_errors=no ; start_time=[Sat 2026-11-28 11:25:12 UTC] ; stop_time=[n/a] ; pid=74 ; code=(null) ; status=0/0 }"
#: Debian's unit, as systemd 252 shows it.
PLAIN = f"""ExecStart={{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS {END}
Environment=
EnvironmentFiles=/etc/default/docker (ignore_errors=yes)
"""
#: With a drop-in, as systemd 252 shows it.
DROP_IN = f"""ExecStart={{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd --data-root ${{A}}/x $DOCKER_OPTS $D {END}
Environment="A=/b c" D=e
EnvironmentFiles=/etc/default/docker (ignore_errors=yes)
EnvironmentFiles=/etc/docker.env (ignore_errors=no)
"""
FILES = {
    "/etc/default/docker": "# DOCKER_OPTS=\"--data-root /no\"\n\nDOCKER_OPTS='--debug --data-root=/srv'\nE='open\n",
    "/etc/docker.env": "D=later\n",
}


def read_text(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(path)
    return FILES[path]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (PLAIN, "/usr/sbin/dockerd -H fd:// --debug --data-root=/srv"),
        (PLAIN.replace("/etc/default/docker", "/missing"), "/usr/sbin/dockerd -H fd://"),
        (DROP_IN, "/usr/sbin/dockerd --data-root /b c/x --debug --data-root=/srv later"),
        (
            DROP_IN.replace("/etc/docker.env", "/missing"),
            "/usr/sbin/dockerd --data-root /b c/x --debug --data-root=/srv e",
        ),
        ("Environment=\n", ""),
        ("", ""),
    ],
)
def test_unit_arguments(shown: str, expected: str) -> None:
    assert " ".join(unit_arguments(shown, read_text)) == expected


def test_variable_in_braces_stays_one_word() -> None:
    assert unit_arguments(DROP_IN, read_text)[:3] == ["/usr/sbin/dockerd", "--data-root", "/b c/x"]
