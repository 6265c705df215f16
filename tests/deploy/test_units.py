"""How far the units lock the peer in, as systemd itself weighs it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "debian"
MOST = 2.0
"""Systemd's exposure level, from 0 (locked in) to 10."""


@pytest.mark.parametrize(
    "unit", sorted(UNITS.glob("*.service")), ids=lambda unit: unit.name
)
def test_a_unit_gives_its_service_little(unit):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("weighing units needs systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", unit],
        check=False,
        capture_output=True,
        text=True,
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) < MOST, done.stdout
