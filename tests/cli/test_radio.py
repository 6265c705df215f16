"""`meshpeer radio` where nobody has a radio: in a namespace without one, real or not.

What it does to radios is tried on real 802.11 by `tests/radio/bring_up.py`.
"""

import json
import os
import subprocess
import sys
import tomllib

import pytest
from click.testing import CliRunner

from meshpeer.cli.main import root
from meshpeer.cli.radio_show import plan_view
from transports.adhoc.settings import attach
from transports.radio.machine import look
from transports.radio.nl80211 import Radio
from transports.radio.planning import Mode, Plan

HAS_RADIO = bool(look().radios)
pytestmark = pytest.mark.skipif(HAS_RADIO, reason="this machine has a radio")


@pytest.fixture
def radio(tmp_path, monkeypatch):
    """Call `meshpeer radio ...`; records go to a folder of the test's own."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))

    def call(*words):
        return CliRunner().invoke(root, ["--state", str(tmp_path), "radio", *words])

    return call


def test_a_machine_without_radios_lists_none_and_says_what_may_lack(radio):
    told = radio("list", "--json")
    assert told.exit_code == 0
    assert json.loads(told.stdout) == []
    assert "firmware" in told.stderr


def test_list_is_what_radio_does_by_itself(radio):
    assert radio().stderr == radio("list").stderr


@pytest.mark.parametrize("mode", ["--cell", "--mesh", "--monitor"])
def test_there_is_nothing_to_set_up(radio, mode):
    told = radio("up", mode)
    assert told.exit_code == 4
    assert "no radio" in told.stderr
    assert told.stdout == ""


def test_there_is_nothing_to_end_or_to_put_back(radio):
    assert radio("down").exit_code == 4
    assert "keeps no cell7" in radio("down", "cell7").stderr
    assert json.loads(radio("restore", "--json").stdout) == []


def test_status_without_anything_up(radio):
    told = radio("status", "--json")
    assert told.exit_code == 0
    assert json.loads(told.stdout) == []
    assert "radio up" in told.stderr


@pytest.mark.parametrize(
    ("mode", "network", "entry"),
    [
        ("cell", "village", "mine0"),
        ("monitor", "meshpeer", "mine0"),
        ("monitor", 'vil"läge', {"name": "mine0", "network": 'vil"läge'}),
    ],
)
def test_the_lines_for_the_settings_are_toml_that_adhoc_takes(mode, network, entry):
    radio = Radio(
        0, "phy0", frozenset(), frozenset(), (), (), {}, frozenset(), frozenset(), 0
    )
    plan = Plan(radio, Mode(mode), network, 2412, False, "mine0", None, (), True)
    told = tomllib.loads("\n".join(plan_view(plan)["config"]))
    assert told == {"transports": {"adhoc": {"interfaces": [entry]}}}
    assert attach(**told["transports"]["adhoc"], serial=())


def test_it_imports_neither_asyncio_nor_what_the_peer_needs():
    code = (
        "import sys; from transports.radio import machine, upkeep, watching; machine.look(); "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert not {"asyncio", "scapy", "sqlite3", "cryptography"} & set(done.stdout.split())
