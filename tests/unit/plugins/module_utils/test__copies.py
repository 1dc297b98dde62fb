# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quorate.swarm.plugins.module_utils import _copies as module
from ansible_collections.quorate.swarm.plugins.module_utils._errors import Refused
from ansible_collections.quorate.swarm.plugins.module_utils._moment import moment, moment_text

RECIPIENT = "age1" + "q" * 58
RESTIC = {"to": "restic", "repository": "/srv/restic", "password": "not for everybody"}


def name(created: str, cluster: str = "blue", suffix: str = "") -> str:
    return f"swarm_{cluster}_m1_{re.sub('[-:]', '', created)}.tar.gz{suffix}"


def plan(*copies: Any) -> list[dict[str, Any]]:
    return module.copy_plan(list(copies), hosts=["m1", "store"])


# Places on the way


def run_place(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with another /var/tmp."""
    words = [word.replace("/var/tmp", str(home)) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def place(home: Path, purpose: str = "stage", host: str = "m1", archive: str = "/srv/a.tar.gz") -> Path:
    done = run_place(module.place_command(archive, purpose=purpose, host=host), home)
    path, user = done.stdout.splitlines()
    assert (done.returncode, done.stderr, user) == (0, "", str(os.getuid()))
    return Path(path)


def test_a_place_is_of_this_user_alone(tmp_path: Path) -> None:
    made = place(tmp_path)
    assert [oct(path.stat().st_mode)[-3:] for path in (made, made.parent)] == ["700", "700"]
    assert made.parent == tmp_path / f"quorate-swarm-{os.getuid()}"
    assert made.name.startswith("stage-m1-a.tar.gz.")


def test_what_a_killed_run_has_left_is_removed_by_the_next_one_for_the_same_and_nothing_else(tmp_path: Path) -> None:
    left = place(tmp_path)
    (left / "a.tar.gz").touch()
    others = [place(tmp_path, "decrypt"), place(tmp_path, host="m11"), place(tmp_path, archive="/srv/ba.tar.gz")]
    made = place(tmp_path)
    assert made != left
    assert not left.exists()
    assert all(other.exists() for other in others)


def test_a_name_is_a_name_whatever_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    made = place(tmp_path, host="*/../$(touch kept/x);'\"\n", archive="a b[ä]*.tar.gz")
    assert re.fullmatch(r"[A-Za-z0-9._-]+", made.name)
    assert made.parent.parent == tmp_path
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize("kind", ["symlink", "file"])
def test_a_place_that_somebody_else_may_have_put_there_is_refused(tmp_path: Path, kind: str) -> None:
    there = tmp_path / f"quorate-swarm-{os.getuid()}"
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    there.symlink_to(tmp_path / "elsewhere") if kind == "symlink" else there.touch()
    done = run_place(module.place_command("a.tar.gz", purpose="stage", host="m1"), tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{there} is there, and no directory of user {os.getuid()}" in done.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []


# Where copies go


def test_a_copy_to_a_host() -> None:
    assert plan({"to": "host", "host": "store", "directory": "/srv/a", "keep_daily": "7", "keep_last": 2}) == [
        {
            "index": 0,
            "to": "host",
            "host": "store",
            "become": True,
            "directory": "/srv/a",
            "recipients": [],
            "keep": {"keep_last": 2, "keep_daily": 7},
            "target": "/srv/a on store",
        }
    ]


@pytest.mark.parametrize(
    ("copy", "target", "host"),
    [
        ({"to": "controller", "directory": "~/a"}, "~/a on the controller", "localhost"),
        ({"to": "controller", "directory": "/a", "recipients": RECIPIENT}, "/a on the controller", "localhost"),
        ({"to": "host", "host": "m1", "directory": "/a", "become": False}, "/a on m1", "m1"),
        (RESTIC, "restic repository /srv/restic", ""),
        ({**RESTIC, "host": "localhost"}, "restic repository /srv/restic on the controller", "localhost"),
        ({**RESTIC, "repository": "sftp:me@store:/a"}, "restic repository sftp:me@store:/a", ""),
        ({**RESTIC, "repository": "", "repository_file": "/etc/r"}, "restic repository of /etc/r", ""),
        (
            {
                "to": "restic",
                "host": "store",
                "environment": {"RESTIC_REPOSITORY": "s3:x", "RESTIC_PASSWORD_FILE": "/p"},
            },
            "restic repository of the environment on store",
            "store",
        ),
    ],
)
def test_places_in_words(copy: dict[str, Any], target: str, host: str) -> None:
    (entry,) = plan(copy)
    assert (entry["target"], entry["host"]) == (target, host)


def test_no_secret_is_in_the_plan() -> None:
    secret = {**RESTIC, "environment": {"AWS_SECRET_ACCESS_KEY": "hush"}}
    assert "not for everybody" not in repr(plan(secret)) and "hush" not in repr(plan(secret))


def test_recipients_are_a_list() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here"
    assert plan({"to": "controller", "directory": "/a", "recipients": [RECIPIENT, key]})[0]["recipients"] == [
        RECIPIENT,
        key,
    ]


@pytest.mark.parametrize(
    ("copies", "words"),
    [
        (["a,b"], "AttributeError"),
        ("a,b", "they are no list.*as JSON"),
        ([{}], "copy 1 goes: its to is None. Set to to one of controller, host, restic"),
        ([{"to": "controller", "directory": "/a"}, {"to": "s3"}], "copy 2 goes: its to is 's3'"),
        ([{"to": "controller", "directory": "a"}], "its directory is 'a'"),
        ([{"to": "controller", "directory": "/a", "host": "store"}], "a copy to controller has no host"),
        ([{"to": "host", "directory": "/a"}], "none is named"),
        ([{"to": "host", "host": "gone", "directory": "/a"}], "no host gone in the inventory"),
        ([{"to": "host", "host": "store", "directory": "/a", "keep": 3}], "has no keep"),
        ([{"to": "host", "host": "store", "directory": "/a", "keep_last": "all"}], "keep_last is 'all'"),
        ([{"to": "host", "host": "store", "directory": "/a", "keep_last": -1}], "keep_last is -1"),
        ([{"to": "host", "host": "store", "directory": "/a"}] * 2, "/a on store is named twice"),
        ([{**RESTIC, "recipients": [RECIPIENT]}], "a copy to restic has no recipients"),
        ([{**RESTIC, "password": ""}], "its password is given in no way"),
        ([{**RESTIC, "password_file": "/p"}], "in more than one way: password, password_file"),
        ([{**RESTIC, "environment": {"RESTIC_REPOSITORY": "/b"}}], "more than one way: repository, RESTIC_REPOSITORY"),
        ([{**RESTIC, "repository": "rest:https://me:hush@store/a"}], "a password in it.*repository_file"),
        ([{"to": "controller", "directory": "/a", "recipients": ["AGE-SECRET-KEY-1HUSH"]}], "recipient 1 is no public"),
    ],
)
def test_what_makes_no_sense_is_refused(copies: Any, words: str) -> None:
    with pytest.raises((Refused, AttributeError)) as caught:
        module.copy_plan(copies, hosts=["store"])
    assert re.search(words, f"{type(caught.value).__name__}: {caught.value}")
    assert "hush" not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rest:https://me:hush@store:8000/a", "rest:https://me:***@store:8000/a"),
        ("open https://:hush@a/ and b", "open https://:***@a/ and b"),
        ("sftp:me@store:/a", "sftp:me@store:/a"),
        ("s3:https://store:9000/bucket", "s3:https://store:9000/bucket"),
    ],
)
def test_passwords_in_addresses_are_not_shown(text: str, shown: str) -> None:
    assert module.without_credentials(text) == shown


# Which copies stay


def test_names_of_archives_newest_first() -> None:
    old, new, other = name("2026-01-01T00:00:00Z"), name("2026-03-01T00:00:00Z", "a"), name("2026-02-01T00:00:00Z", "z")
    listed = [f"/srv/{old}", "/srv/notes.txt", f"/srv/{new}.age", f"/srv/{other}", f"/srv/{old}.partial"]
    assert module.archive_copies(listed) == [f"/srv/{new}.age", f"/srv/{other}", f"/srv/{old}"]


DAYS = [f"2026-{month:02}-{day:02}T02:00:00Z" for month in (1, 2) for day in range(1, 29)]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ({}, DAYS),
        ({"keep_last": 0}, DAYS),
        ({"keep_last": 1}, DAYS[-1:]),
        ({"keep_last": "3"}, DAYS[-3:]),
        ({"keep_hourly": 2}, DAYS[-2:]),
        ({"keep_daily": 2, "keep_last": 1}, DAYS[-2:]),
        # 2026-02-28 is a Saturday; the weeks before end on the Sundays
        ({"keep_weekly": 3}, ["2026-02-15T02:00:00Z", "2026-02-22T02:00:00Z", "2026-02-28T02:00:00Z"]),
        ({"keep_monthly": 12}, ["2026-01-28T02:00:00Z", "2026-02-28T02:00:00Z"]),
        ({"keep_monthly": 2, "keep_daily": 2}, ["2026-01-28T02:00:00Z", *DAYS[-2:]]),
        ({"keep_daily": 1000}, DAYS),
    ],
)
def test_what_is_kept(keep: dict[str, Any], kept: list[str]) -> None:
    names = [name(day) for day in DAYS]
    superseded = module.superseded_copies(random.sample(names, len(names)), names[-1], keep)
    assert superseded == [name(day) for day in reversed(DAYS) if day not in kept]


def test_the_newest_of_an_hour_and_of_a_week_at_the_turn_of_the_year() -> None:
    moments = [moment("2026-12-31T23:10:00Z") + 1200 * number for number in range(4)]  # 23:10 23:30 23:50 00:10
    names = [name(moment_text(seconds)) for seconds in moments]
    assert module.superseded_copies(names, names[-1], {"keep_hourly": 5}) == [names[1], names[0]]
    assert module.superseded_copies(names, names[-1], {"keep_weekly": 5}) == [names[2], names[1], names[0]]
    assert module.superseded_copies(names, names[-1], {"keep_monthly": 5}) == [names[1], names[0]]


def test_other_swarms_other_files_and_the_other_form_are_left_alone() -> None:
    mine = [name("2026-01-01T00:00:00Z"), name("2026-01-02T00:00:00Z")]
    others = ["notes.txt", name("2026-01-01T00:00:00Z", "green"), name("2026-01-01T00:00:00Z", suffix=".age")]
    assert module.superseded_copies(mine + others, mine[1], {"keep_last": 1}) == [mine[0]]


def test_the_new_copy_stays_even_if_it_is_older_than_the_others() -> None:
    names = [name(f"2026-01-0{day}T00:00:00Z") for day in (1, 2, 3)]
    assert module.superseded_copies(names, f"/tmp/{names[0]}", {"keep_last": 1}) == [names[1]]
