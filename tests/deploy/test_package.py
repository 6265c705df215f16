"""The Debian package and a card: built by one command each, on a machine with a real systemd."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.card import boot_partition
from tests.radio import machine

PROJECT = Path(__file__).parents[2]
BUILD = PROJECT / "deploy" / "debian" / "build"
STORY = Path(__file__).with_name("install.sh")
PREPARE = PROJECT / "deploy" / "pi" / "prepare"
OPTIONS = [
    *("--country", "DE", "--network", "village", "--channel", "6", "--nickname", "Ann's"),
    *("--access-point", "wlan1", "--ssid", "Village Pi", "--password", "open sesame"),
    *("--user", "ann"),
]
NEEDED = ("/lib/systemd/systemd", "/lib/systemd/systemd-udevd", "/usr/bin/python3.11")
FAT = ("loop", "vfat", "nls_cp437", "nls_ascii")
EXPECTED = (
    "done: this is a node\n",
    "cfg80211.ieee80211_regdom=DE console=tty1 rootwait quiet\n",
    "unmanaged-devices+=interface-name:wlan0\n",
    "psk=open sesame\n",
    "600 ann ssh-ed25519 AAAAC3 ann@home\n",
    "600 root /etc/NetworkManager/system-connections/meshpeer-access-point.nmconnection\n",
    "channel 6 (2437 MHz)",
    "ssid village",
    "CapEff:\t0000000000003000\nCapBnd:\t0000000000003000\nmeshpeer keeps the radio\n",
    "700 meshpeer /var/lib/meshpeer\n",
    "Type=notify",
    "wlan0 is as it was\n",
    "NRestarts=1",
    "STEP end",
)
"""What the story prints on its way."""
PATIENCE = 900.0
"""Seconds; emulated, a start takes a hundred times as long as it should."""

pytestmark = pytest.mark.system


def build(folder, *options):
    done = subprocess.run(
        [sys.executable, BUILD, "--out", folder, *options],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def contents(package):
    told = subprocess.run(
        ["dpkg-deb", "-c", package], check=True, capture_output=True, text=True
    ).stdout
    return [line.split()[5].removeprefix(".") for line in told.splitlines()]


@pytest.fixture
def building():
    if shutil.which("dpkg-deb") is None:
        pytest.skip("building a package needs dpkg-deb")


def test_a_package_for_another_machine_brings_that_machines_libraries(building, tmp_path):
    package = build(tmp_path, "--arch", "arm64", "--python", "3.13")
    compiled = [name for name in contents(package) if name.endswith(".so")]
    assert any("cpython-313-aarch64" in name for name in compiled)
    assert not [name for name in compiled if "x86_64" in name]
    told = subprocess.run(
        ["dpkg-deb", "-f", package, "Architecture", "Depends"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "arm64" in told
    assert "python3 (>= 3.13), python3 (<< 3.14)" in told


def test_a_prepared_card_makes_a_node_that_runs_and_goes_without_a_trace(
    building, tmp_path
):
    if why := machine.missing():
        pytest.skip(why)
    if absent := [path for path in NEEDED if not Path(path).exists()]:
        pytest.skip(f"needs Debian 12 with systemd and udev; there is no {absent[0]}")
    if not all(map(shutil.which, ("mcopy", "mkfs.vfat"))):
        pytest.skip("cards are made with mtools and dosfstools")
    package = build(tmp_path, "--arch", "amd64", "--python", "3.11")
    card = boot_partition(tmp_path, "console=tty1 rootwait quiet")
    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 AAAAC3 ann@home\n")
    command = [PREPARE, card, "--deb", package, "--ssh-key", key, *OPTIONS]
    subprocess.run(command, check=True, capture_output=True)
    ran = machine.run(
        ["sh", STORY, card], radios=2, modules=FAT, systemd=True, patience=PATIENCE
    )
    assert ran.code == 0, ran.printed
    for said in EXPECTED:
        assert said in ran.printed, ran.printed
    assert ran.printed.count("sockets on the cell: 1\n") == 2
