# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions. The sequence is tested where it is used, by test__restore.py and test__recover.py."""

from __future__ import annotations

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _force_new_cluster as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._fence import Peer

# Whether another manager may be alive


@pytest.mark.parametrize("states", [[], ["closed"], ["silent", "other", "closed"]])
def test_peers_that_are_not_known_to_live_are_accepted(states: list[str]) -> None:
    module.fence_decision([Peer(f"192.0.2.{number}:2377", state, "") for number, state in enumerate(states)])


@pytest.mark.parametrize("state", ["alive", "unclear"])
def test_peer_that_may_live_is_refused_and_no_option_allows_it(state: str) -> None:
    peers = [Peer("192.0.2.1:2377", "closed", ""), Peer("192.0.2.3:2377", state, "the cause in words")]
    with pytest.raises(Refused) as caught:
        module.fence_decision(peers)
    assert "another manager of this swarm may be alive: 192.0.2.3:2377: the cause in words" in str(caught.value)
    assert "stop docker.socket and docker.service on these hosts first" in str(caught.value)
    assert caught.value.details == {
        "peers": [{"address": "192.0.2.3:2377", "state": state, "detail": "the cause in words"}]
    }
