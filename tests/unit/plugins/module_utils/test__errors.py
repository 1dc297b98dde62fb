# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.quorate.swarm.plugins.module_utils import _errors
from ansible_collections.quorate.swarm.plugins.module_utils._errors import SwarmError, error_from_answer, fail
from ansible_collections.quorate.swarm.tests.unit import fake_engine
from ansible_collections.quorate.swarm.tests.unit.conftest import RunModule


def test_text_says_what_was_attempted_why_it_failed_and_what_to_do() -> None:
    error = SwarmError("read the node list", "the engine is down.", "Start it.")
    assert str(error) == "Could not read the node list: the engine is down. Start it."


def test_text_without_remedy() -> None:
    assert str(SwarmError("read it", "it is gone")) == "Could not read it: it is gone."


def test_every_kind_has_its_own_word() -> None:
    kinds = [
        value.kind for value in vars(_errors).values() if isinstance(value, type) and issubclass(value, SwarmError)
    ]
    assert len(kinds) == len(set(kinds)) > 10


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (503, fake_engine.LOCKED, "locked"),
        (
            503,
            "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.",
            "locked",
        ),
        (503, fake_engine.NOT_A_MANAGER, "not_a_manager"),
        (
            503,
            'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to '
            "swarm and try again.",
            "not_a_manager",
        ),
        (406, "This node is not part of a swarm", "not_a_manager"),
        (500, fake_engine.NO_LEADER, "quorum_lost"),
        (500, fake_engine.NO_DECISION, "unsettled"),
        (500, "rpc error: code = Unknown desc = context deadline exceeded", "unsettled"),
        (500, "raft: failed to process the request: node lost leader status", "unsettled"),
        (500, "rpc error: code = Unknown desc = update out of sequence", "out_of_sequence"),
        (401, "swarm could not be unlocked: invalid key provided", "wrong_key"),
        (400, "invalid key string", "wrong_key"),
        (
            400,
            "rpc error: code = FailedPrecondition desc = can't remove member from the raft: this would result in a loss "
            "of quorum",
            "engine_error",
        ),
        (404, "node x not found", "engine_error"),
    ],
)
def test_an_answer_is_recognised_by_its_text(status: int, message: str, kind: str) -> None:
    error = error_from_answer(attempted="do it", status=status, message=message)
    assert error.kind == kind
    assert error.details == {"status": status, "message": message}


def test_line_breaks_in_an_answer_do_not_hide_its_meaning() -> None:
    message = "This node is not a\n  swarm manager."
    assert error_from_answer(attempted="do it", status=503, message=message).kind == "not_a_manager"


def test_an_unknown_answer_is_quoted() -> None:
    error = error_from_answer(attempted="do it", status=418, message="I am a teapot")
    assert str(error) == "Could not do it: the engine answered 418: I am a teapot."


def test_fail_returns_kind_details_and_facts(run_module: RunModule) -> None:
    def main() -> None:
        fail(AnsibleModule({}), _errors.Locked("do it", "it is locked", "Unlock it", host="m1"), state="locked")

    assert json.loads(json.dumps(run_module(main))) == {
        "failed": True,
        "msg": "Could not do it: it is locked. Unlock it.",
        "error": "locked",
        "error_details": {"host": "m1"},
        "state": "locked",
        "invocation": {"module_args": {}},
    }
