# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long it takes to give a swarm with a long raft log its quorum again, beside a script that does not have to think."""

from __future__ import annotations

from common import Bench, Host, Series, of_swarm
from recovery import Lost

TITLE = "Recovery with a long raft log"
ABOUT = """
As the figure above, where the quorum was lost, but with 2.4 MB in the raft log of the survivor. A log grows to 10,000 entries
before the engine writes a snapshot.
"""
REMAINS = """
Engine 20.10 sends a manager that joins 64 KB of its log a second. The second manager of a swarm is half of it, so until it
has the whole log there is no quorum, and the script waits. The playbook lets the survivor write a snapshot first, which
is sent at once. Engines from 23.0 on send their log at once; there the playbook writes none.
"""

#: Configs of 12 KB each, of which an entry of the log is made.
ENTRIES = 200
ENTRY = "head --bytes 9000 /dev/urandom | base64 --wrap 0"


class LostWithLongLog(Lost):
    """A swarm whose quorum is lost again and again, each time with so much in the log."""

    def lose(self, first: str, *, all_of_them: bool) -> list[Host]:
        self.lab.hosts[first].run(
            "docker config ls --quiet | xargs --no-run-if-empty docker config rm >/dev/null\n"
            f"for entry in $(seq {ENTRIES}); do {ENTRY} | docker config create entry-$entry - >/dev/null || exit 1; done"
        )
        return super().lose(first, all_of_them=all_of_them)


def measure(bench: Bench) -> list[Series]:
    with bench.directory() as directory:
        lost = LostWithLongLog(of_swarm(bench), directory)
        measured = bench.rounds({"script": lost.by_script("m1", all_of_them=False), "recover_quorum": lost.recovered})
    bench.release()
    return [
        Series(
            "quorum lost", "s", "script", measured, goals={"recover_quorum": 1.2}, spent=lost.spent("recover_quorum")
        )
    ]
