# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knows the base trees: the Debian root file system that all hosts with one engine version share, read only."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import mounts, sources
from .errors import LabError
from .process import execute

PACKAGES = (
    "systemd systemd-sysv dbus kmod procps sudo ca-certificates openssh-server iproute2 iptables iputils-ping curl jq zstd "
    "docker.io python3 python3-docker python3-cryptography python3-nacl busybox-static restic age cron"
).split()

# What only costs time in a host, or would reach through to the kernel of the lab machine.
MASKED_UNITS = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer logrotate.timer "
    "console-getty.service getty.target systemd-networkd.service systemd-sysctl.service systemd-modules-load.service "
    "systemd-random-seed.service systemd-update-utmp.service systemd-udevd.service systemd-udev-trigger.service"
).split()

# systemd-nspawn mounts the cgroup v1 controllers read-only, and no container starts then (lab fact A2).
WRITABLE_CGROUPS_UNIT = """\
[Unit]
Description=Make the cgroup v1 controllers writable
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for d in /sys/fs/cgroup/*/; do if mountpoint -q "$d"; then mount -o remount,bind,rw "$d"; fi; done'

[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class Recipe:
    """How to get one engine version: the Debian suite of the host, and the suite to take the engine from, if another."""

    suite: str
    packages: tuple[str, ...] = ()
    engine_suite: str = ""


ENGINES = {
    "20.10": Recipe(suite="bookworm"),
    "26.1": Recipe(suite="trixie", packages=("docker-cli",)),
    # systemd stays that of trixie: later ones do not run on cgroup v1 (lab fact A1)
    "28.5": Recipe(suite="trixie", packages=("docker-cli",), engine_suite="forky"),
}

PIN = """\
Package: *
Pin: release n={suite}
Pin-Priority: 100

Package: docker.io docker-cli containerd runc tini
Pin: release n={suite}
Pin-Priority: 900
"""


def path(home: Path, engine: str) -> Path:
    """Return where the base tree for *engine* (a key of ENGINES) is or will be below *home*. Raises LabError."""
    if engine not in ENGINES:
        raise LabError(f"engine {engine}: not known. Choose one of {', '.join(ENGINES)}")
    return home / "images" / f"{engine}-{_recipe_digest(engine)}"


def build(home: Path, engine: str) -> Path:
    """Return the base tree for *engine* below *home*, built first when it is not there.

    Building takes about half a minute and needs the Debian mirror of this machine. Two builders wait for each other;
    an interrupted build leaves nothing that would be taken for an image. Raises LabError.
    """
    tree = path(home, engine)
    if tree.is_dir():
        return tree
    tree.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(tree.parent / f"{engine}.lock"):
        if not tree.is_dir():
            _remove_unused(tree.parent, engine)
            print(f"building the image of engine {engine} (once)", file=sys.stderr, flush=True)
            _build(ENGINES[engine], tree)
    return tree


def remove_unfinished(home: Path) -> None:
    """Remove what interrupted builds left below *home*; builds that are going on are not touched."""
    for unfinished in (home / "images").glob("*.unfinished"):
        with (home / "images" / f"{unfinished.name.split('-')[0]}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            mounts.remove_tree(unfinished)


def busybox_layer(tree: Path) -> bytes:
    """Return a tar archive of a static busybox with all its applets, to be imported as the image busybox:latest."""
    program = tree / "usr/bin/busybox" if (tree / "usr/bin/busybox").exists() else tree / "bin/busybox"
    applets = execute([str(program), "--list"]).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for directory in ("bin", "etc", "proc", "root", "sys", "tmp"):
            member = tarfile.TarInfo(directory)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            archive.addfile(member)
        member = tarfile.TarInfo("bin/busybox")
        member.mode, member.size = 0o755, program.stat().st_size
        with program.open("rb") as content:
            archive.addfile(member, content)
        for applet in sorted(set(applets) - {"busybox"}):
            member = tarfile.TarInfo(f"bin/{applet}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(member)
    return buffer.getvalue()


def _recipe_digest(engine: str) -> str:
    """Return a short digest of everything that goes into an image, so that a changed recipe builds a new one."""
    parts = repr((ENGINES[engine], PACKAGES, MASKED_UNITS, WRITABLE_CGROUPS_UNIT, PIN))
    return hashlib.sha256(parts.encode()).hexdigest()[:8]


@contextmanager
def _exclusive(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_unused(images: Path, engine: str) -> None:
    """Remove earlier trees of *engine* and what interrupted builds left, except trees that a host is running on."""
    used = mounts.overlay_lower_directories()
    for tree in images.glob(f"{engine}-*"):
        if tree.is_dir() and str(tree) not in used:
            mounts.remove_tree(tree)


def _build(recipe: Recipe, tree: Path) -> None:
    mirror = sources.debian_mirror()
    work = Path(tempfile.mkdtemp(prefix=f"{tree.name}.", suffix=".unfinished", dir=tree.parent))
    try:
        root, keyring, pin = work / "root", work / "key.asc", work / "pin"
        keyring.write_text(mirror.inline_key())
        argv = [
            # the build and its mounts end with this process, whatever ends it
            *("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase", "--skip=check/empty"),
            f"--include={','.join((*PACKAGES, *recipe.packages))}",
            "--dpkgopt=force-unsafe-io",
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "info", "locale", "man")),
            '--aptopt=Acquire::Languages "none"',
            *(f"--aptopt={line}" for line in sources.download_options()),
        ]
        suites = [recipe.suite]
        if recipe.engine_suite:
            suites.append(recipe.engine_suite)
            pin.write_text(PIN.format(suite=recipe.engine_suite))
            argv.append(
                f'--setup-hook=mkdir -p "$1/etc/apt/preferences.d" && cp {pin} "$1/etc/apt/preferences.d/engine"'
            )
        argv += [recipe.suite, str(root), *(mirror.line(suite, keyring) for suite in suites)]
        execute(argv, timeout=900, env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        _adapt(root)
        root.chmod(0o755)
        root.rename(tree)
    finally:
        mounts.remove_tree(work)


def _adapt(root: Path) -> None:
    """Make a plain Debian tree a host of the lab (lab fact A2)."""
    etc = root / "etc"
    (etc / "machine-id").write_text("")  # every host makes its own at its first boot
    (etc / "hostname").unlink(missing_ok=True)  # the name comes from systemd-nspawn
    # With a name server that does not answer every task start would hang for 30 s.
    (etc / "resolv.conf").unlink(missing_ok=True)
    (etc / "resolv.conf").write_text("")
    units = etc / "systemd/system"
    (units / "writable-cgroups.service").write_text(WRITABLE_CGROUPS_UNIT)
    wanted = units / "sysinit.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "writable-cgroups.service").symlink_to("../writable-cgroups.service")
    for unit in MASKED_UNITS:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
