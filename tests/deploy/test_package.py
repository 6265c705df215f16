"""The Debian package: built by its one command, installed on a machine with a real systemd."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.radio import machine

PROJECT = Path(__file__).parents[2]
BUILD = PROJECT / "deploy" / "debian" / "build"
STORY = Path(__file__).with_name("install.sh")
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


def test_a_package_installs_runs_and_goes_without_a_trace(building, tmp_path):
    if why := machine.missing():
        pytest.skip(why)
    if (
        not Path("/lib/systemd/systemd").exists()
        or not Path("/usr/bin/python3.11").exists()
    ):
        pytest.skip("needs Debian 12 with systemd, whose Python 3.11 the package is for")
    package = build(tmp_path, "--arch", "amd64", "--python", "3.11")
    ran = machine.run(["sh", STORY, package], systemd=True, patience=PATIENCE)
    assert ran.code == 0, ran.printed
    assert "STEP end" in ran.printed
    assert "700 meshpeer /var/lib/meshpeer\n" in ran.printed
    assert "Type=notify" in ran.printed
    assert "NRestarts=1" in ran.printed
