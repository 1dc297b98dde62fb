# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab command: reads the command line, calls `Lab`, prints. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from . import image, state
from .errors import LabError
from .lab import Host, Lab
from .process import in_parallel

HOST_ACTIONS = {
    "stop": (Host.stop, "shut hosts down in order"),
    "start": (Host.start, "start hosts that are down"),
    "kill": (Host.kill, "cut the power of hosts"),
    "reboot": (Host.reboot, "reboot hosts in order"),
    "pause": (Host.pause, "stop all processes of hosts where they are"),
    "resume": (Host.resume, "let paused hosts go on"),
    "cut": (Host.cut, "pull the network cables of hosts"),
}

# what `lab status` shows of a host, and how wide
COLUMNS = {"name": 8, "address": 15, "engine": 6, "power": 7, "cable": 5, "swarm": 9}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* and return the exit status."""
    options = _parser().parse_args(argv)
    if os.geteuid() != 0:
        print("lab: only root can do this", file=sys.stderr)
        return 1
    try:
        return int(options.function(options) or 0)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="Real Docker Engine hosts on this machine.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--prefix", default="quorate", help="name of the lab (default: %(default)s)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, parents=[common])
        sub.set_defaults(function=function)
        return sub

    up = command("up", _up, "boot the hosts and form the swarm; repairs what an interrupted run left")
    up.add_argument("--managers", type=int, default=3)
    up.add_argument("--workers", type=int, default=1)
    up.add_argument("--engine", default="20.10", choices=sorted(image.ENGINES))
    up.add_argument("--subnet", default="10.78.0.0/24")
    up.add_argument("--autolock", action="store_true", help="lock the managers' keys; see `lab key`")
    up.add_argument("--no-swarm", action="store_true", help="only boot the hosts")

    command("down", _down, "take the lab away; leaves nothing but the images")
    command("inventory", _inventory, "print an Ansible inventory of the lab")
    command("key", _key, "print the unlock key with which the swarm was formed")
    status = command("status", _status, "show the hosts")
    status.add_argument("--json", action="store_true")

    build = command("image", _image, "build the base images, all or those of the engines named, as far as missing")
    build.add_argument("engines", nargs="*", choices=[[], *sorted(image.ENGINES)], metavar="ENGINE")

    ssh = command("ssh", _ssh, "log in to a host, or run a command there")
    ssh.add_argument("host")
    ssh.add_argument("command", nargs=argparse.REMAINDER)

    for name, (action, text) in HOST_ACTIONS.items():
        sub = command(name, _host_action, text)
        sub.add_argument("hosts", nargs="+", metavar="HOST")
        sub.set_defaults(action=action)
    heal = command("heal", _heal, "plug cables in and end partitions, of the hosts named or of all")
    heal.add_argument("hosts", nargs="*", metavar="HOST")
    partition = command("partition", _partition, "separate the hosts named from all others")
    partition.add_argument("hosts", type=lambda text: text.split(","), metavar="HOST,HOST")

    add = command("add", _add, "boot a fresh host that is in no swarm")
    add.add_argument("host")
    add.add_argument("--address", help="may be that of a removed host (default: the first free one)")
    add.add_argument("--engine", choices=sorted(image.ENGINES), help="default: that of the lab")
    rm = command("rm", _rm, "cut the power of hosts and drop their disks")
    rm.add_argument("hosts", nargs="+", metavar="HOST")
    return parser


def _lab(options: argparse.Namespace) -> Lab:
    """Return the lab that is up. Raises LabError when it is not."""
    lab = Lab(options.prefix)
    if not lab.is_up:
        raise LabError(f"lab {options.prefix} is not up. Run `lab up` first, or name another with --prefix")
    return lab


def _up(options: argparse.Namespace) -> None:
    lab = Lab(options.prefix, subnet=options.subnet, engine=options.engine)
    lab.up(options.managers, options.workers, autolock=options.autolock, form_swarm=not options.no_swarm)
    _print_status(lab)


def _down(options: argparse.Namespace) -> None:
    Lab(options.prefix).down()


def _inventory(options: argparse.Namespace) -> None:
    print(_lab(options).inventory(), end="")


def _key(options: argparse.Namespace) -> None:
    key = _lab(options).unlock_key
    if key is None:
        raise LabError(f"lab {options.prefix} was formed without autolock")
    print(key)


def _status(options: argparse.Namespace) -> None:
    lab = _lab(options)
    if options.json:
        print(json.dumps(lab.status(), indent=2))
    else:
        _print_status(lab)


def _print_status(lab: Lab) -> None:
    for row in [{column: column.upper() for column in COLUMNS}, *lab.status()]:
        print("  ".join(f"{row[column]:<{width}}" for column, width in COLUMNS.items()).rstrip())


def _image(options: argparse.Namespace) -> None:
    for engine in options.engines or image.ENGINES:
        print(image.build(state.home(), engine))


def _ssh(options: argparse.Namespace) -> None:
    command = _lab(options).host(options.host).ssh_command()
    os.execvp(command[0], [*command, *options.command])


def _host_action(options: argparse.Namespace) -> None:
    lab = _lab(options)
    in_parallel(options.action, [lab.host(name) for name in options.hosts])


def _heal(options: argparse.Namespace) -> None:
    lab = _lab(options)
    if not options.hosts:
        lab.heal()
    for host in [lab.host(name) for name in options.hosts]:
        host.heal()


def _partition(options: argparse.Namespace) -> None:
    _lab(options).partition(options.hosts)


def _add(options: argparse.Namespace) -> None:
    host = _lab(options).add(options.host, address=options.address, engine=options.engine)
    print(host.address)


def _rm(options: argparse.Namespace) -> None:
    lab = _lab(options)
    for name in options.hosts:
        lab.rm(name)
