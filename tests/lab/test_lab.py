# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab itself, on real hosts: it makes what it promises, and leaves nothing behind whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate_lab import Host, Lab, LabError, sources
from quorate_lab.slots import borrowed_lab
from quorate_lab.state import home

pytestmark = pytest.mark.alone

COMMAND = str(Path(__file__).resolve().with_name("lab"))
ENGINE = os.environ.get("QUORATE_ENGINE") or "20.10"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of three autolocked managers and a worker; every test leaves it healthy."""
    with borrowed_lab(ENGINE) as lab:
        lab.up(managers=3, workers=1, autolock=True)
        yield lab


def command(lab: Lab, *args: str) -> str:
    """Run the lab command for *lab* and return what it printed."""
    action, *rest = args
    argv = [COMMAND, action, "--prefix", lab.prefix, *rest]
    result = subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE, timeout=120)
    return result.stdout


def nodes(manager: Host) -> dict[str, str]:
    """Return host name -> reachability of the managers, or state of the workers, as *manager* sees them."""
    status, answer = manager.api("GET", "/nodes")
    assert status == 200, answer
    return {
        node["Description"]["Hostname"]: node.get("ManagerStatus", {}).get("Reachability") or node["Status"]["State"]
        for node in answer
    }


def wait_for(manager: Host, name: str, state: str) -> None:
    """Wait until *manager* sees the node *name* in *state*."""
    end = time.monotonic() + 30
    while nodes(manager).get(name) != state:
        assert time.monotonic() < end, nodes(manager)
        time.sleep(0.1)


def unlock(lab: Lab, name: str) -> None:
    """Unlock the manager *name* and wait until it is back."""
    status, answer = lab.hosts[name].api("POST", "/swarm/unlock", {"UnlockKey": lab.unlock_key}, timeout=60)
    assert status == 200, answer
    wait_for(lab.hosts["m1"], name, "reachable")


def left_on_machine(prefix: str) -> list[str]:
    """Look for everything that a lab consists of, by other means than the lab's own."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode(errors="replace")
            if (
                f"/{prefix}-" in (path / "cgroup").read_text()
                and (path / "stat").read_text().rpartition(")")[2][1] != "Z"
            ):
                found.append(f"process {path.name} in a cgroup: {words}")
            if f"--machine={prefix}-" in words or f"/labs/{prefix}/" in words:
                found.append(f"process {path.name}: {words}")
        except OSError:
            continue
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/labs/{prefix}/" in line]
    links = subprocess.run(["ip", "-o", "link"], check=True, text=True, stdout=subprocess.PIPE).stdout
    namespaces = subprocess.run(["ip", "netns"], check=True, text=True, stdout=subprocess.PIPE).stdout
    found += [line for line in (links + namespaces).splitlines() if f"{prefix}-" in line]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{prefix}-*")]
    found += [str(path) for path in Path("/run/systemd/nspawn").glob(f"**/{prefix}-*")]
    found += [str(path) for path in (home() / "labs").glob(f"{prefix}*")]
    return found


def test_up_forms_a_swarm(lab: Lab) -> None:
    assert nodes(lab.hosts["m1"]) == {"m1": "reachable", "m2": "reachable", "m3": "reachable", "w1": "ready"}
    status, cluster = lab.hosts["m2"].api("GET", "/swarm")
    assert status == 200
    assert cluster["Spec"]["EncryptionConfig"]["AutoLockManagers"] is True
    assert lab.hosts["m3"].api("GET", "/swarm/unlockkey")[1]["UnlockKey"] == lab.unlock_key
    assert {host.docker("version", "-f", "{{.Server.Version}}")[:5].rstrip(".") for host in lab.hosts.values()} == {
        ENGINE
    }


def test_secret_is_kept_from_others(lab: Lab) -> None:
    state = home() / "labs" / lab.prefix / "lab.json"
    assert str(lab.unlock_key) in state.read_text()
    assert state.stat().st_mode & 0o777 == 0o600


def test_status_by_the_command(lab: Lab) -> None:
    rows = {row["name"]: row for row in json.loads(command(lab, "status", "--json"))}
    assert [row["swarm"] for row in rows.values()] == ["manager", "manager", "manager", "worker"]
    assert {row["power"] for row in rows.values()} == {"running"}
    assert rows["m1"]["address"] == lab.hosts["m1"].address


def test_ssh_and_systemd(lab: Lab) -> None:
    for host in lab.hosts.values():
        assert host.ssh(["hostname"]).stdout.strip() == host.name
        assert host.run("systemctl is-system-running --wait").stdout.strip() == "running"
    assert command(lab, "ssh", "w1", "cat", "/etc/hostname", "||", "echo", "none").strip() == "none"


def test_run_takes_input_and_status(lab: Lab) -> None:
    host = lab.hosts["w1"]
    assert host.run("cat", input="text").stdout == "text"
    assert host.run("exit 3", check=False).returncode == 3
    with pytest.raises(LabError, match="exit status 3: reason"):
        host.run("echo reason >&2; exit 3")


def test_service_from_the_local_image(lab: Lab) -> None:
    manager = lab.hosts["m1"]
    manager.docker(
        "service", "create", "-q", "--name", "probe", "--mode", "global", "--no-resolve-image", "busybox", "top"
    )
    assert len(manager.docker("service", "ps", "-q", "--filter", "desired-state=running", "probe").split()) == 4
    manager.docker("service", "rm", "probe")


def test_kill_and_start(lab: Lab) -> None:
    lab.hosts["m3"].kill()
    assert lab.hosts["m3"].power() == "stopped"
    assert lab.hosts["m1"].run(["ping", "-c1", "-W1", lab.hosts["m3"].address], check=False).returncode != 0
    wait_for(lab.hosts["m1"], "m3", "unreachable")
    lab.hosts["m3"].start()
    assert lab.hosts["m3"].api("GET", "/info")[1]["Swarm"]["LocalNodeState"] == "locked"
    unlock(lab, "m3")


def test_stop_and_reboot(lab: Lab) -> None:
    first = lab.hosts["m2"].pid
    command(lab, "reboot", "m2")
    assert lab.hosts["m2"].pid not in (None, first)
    command(lab, "stop", "m2")
    assert lab.hosts["m2"].power() == "stopped"
    command(lab, "up", "--engine", lab.engine, "--subnet", lab.subnet)  # starts it, and unlocks it
    wait_for(lab.hosts["m1"], "m2", "reachable")


def test_cut_and_heal(lab: Lab) -> None:
    lab.hosts["m2"].cut()
    wait_for(lab.hosts["m1"], "m2", "unreachable")
    lab.hosts["m2"].heal()
    wait_for(lab.hosts["m1"], "m2", "reachable")


def test_partition_and_pause(lab: Lab) -> None:
    lab.partition(["m3", "w1"])
    reach = {
        (one.name, other.name): one.run(["ping", "-c1", "-W1", other.address], check=False).returncode == 0
        for one, other in [(lab.hosts[a], lab.hosts[b]) for a, b in ("m3 w1".split(), "m3 m1".split(), "m2 w1".split())]
    }
    assert reach == {("m3", "w1"): True, ("m3", "m1"): False, ("m2", "w1"): False}
    assert lab.hosts["m3"].ssh("true").returncode == 0
    wait_for(lab.hosts["m1"], "m3", "unreachable")
    lab.heal()
    wait_for(lab.hosts["m1"], "m3", "reachable")
    lab.hosts["m3"].pause()
    wait_for(lab.hosts["m1"], "m3", "unreachable")
    lab.hosts["m3"].resume()
    wait_for(lab.hosts["m1"], "m3", "reachable")


def test_fresh_host_with_the_address_of_a_lost_one(lab: Lab) -> None:
    address, before = lab.hosts["w1"].address, lab.hosts["w1"].run("cat /etc/machine-id").stdout
    lab.hosts["w1"].ssh("true")
    lab.rm("w1")
    fresh = lab.add("w1", address=address)
    assert fresh.ssh("cat /etc/machine-id").stdout != before
    assert fresh.api("GET", "/info")[1]["Swarm"]["LocalNodeState"] == "inactive"
    with pytest.raises(LabError, match="another host has the address"):
        lab.add("w2", address=address)


def test_inventory(lab: Lab) -> None:
    lines = lab.inventory().splitlines()
    assert lines[lines.index("[swarm_managers]") + 1 :][:3] == ["m1", "m2", "m3"]
    assert f"m1 ansible_host={lab.hosts['m1'].address} swarm_advertise_address={lab.hosts['m1'].address}" in lines[0]
    assert "[mine]\nw1\n" in lab.inventory({"mine": ["w1"]})


def test_two_labs_and_a_taken_subnet(lab: Lab) -> None:
    with borrowed_lab(ENGINE) as other:
        other.up(managers=1, workers=0, form_swarm=False)
        assert other.hosts["m1"].address != lab.hosts["m1"].address
        assert other.hosts["m1"].run(["ping", "-c1", "-W1", lab.hosts["m1"].address], check=False).returncode != 0
        clash = Lab("tclash", subnet=lab.subnet, engine=ENGINE)
        with pytest.raises(LabError, match=f"lab {lab.prefix} has the subnet"):
            clash.up(managers=1)
        assert left_on_machine("tclash") == []


def test_down_leaves_nothing(lab: Lab) -> None:
    assert len(left_on_machine(lab.prefix)) > 20
    lab.hosts["m1"].pause()
    command(lab, "down")
    assert left_on_machine(lab.prefix) == []
    command(lab, "down")


@pytest.mark.parametrize("seconds", [0.15, 0.3, 0.6, 1.0, 1.8])
def test_down_after_kill(seconds: float) -> None:
    with borrowed_lab(ENGINE) as lab:
        _kill_up(lab, seconds)
        command(lab, "down")
        assert left_on_machine(lab.prefix) == []


def test_up_repairs_after_kill() -> None:
    with borrowed_lab(ENGINE) as lab:
        _kill_up(lab, 1.0)
        lab.up(managers=2, workers=0)
        assert nodes(lab.hosts["m1"]) == {"m1": "reachable", "m2": "reachable"}
    assert left_on_machine(lab.prefix) == []


def _kill_up(lab: Lab, seconds: float) -> None:
    """Start `up` by the command and kill it after *seconds*."""
    argv = [COMMAND, "up", "--prefix", lab.prefix, "--subnet", lab.subnet, "--engine", lab.engine, "--managers", "2"]
    with subprocess.Popen(argv) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)


LIST = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64] http://other.example/apt bookworm main
deb [arch=amd64 signed-by=/keys/debian.gpg] http://mirror.example/debian bookworm main contrib # trailing
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
"""
DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no
"""


def test_mirror_from_a_list() -> None:
    mirror = sources.choose(list(sources.parse_list(LIST)), "bookworm")
    assert (
        mirror.line("trixie", Path("/unused"))
        == "deb [signed-by=/keys/debian.gpg] http://mirror.example/debian trixie main"
    )


def test_mirror_from_deb822_with_its_key() -> None:
    mirror = sources.choose(list(sources.parse_deb822(DEB822)), "bookworm")
    assert mirror.line("forky", Path("/key.asc")) == "deb [signed-by=/key.asc] http://mirror.example/debian/ forky main"
    assert mirror.inline_key() == "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n"


def test_no_mirror() -> None:
    with pytest.raises(LabError, match="no apt source has the suite trixie"):
        sources.choose(list(sources.parse_deb822(DEB822)), "trixie")
