"""Radios that are real but for the air: stories told inside a machine that has them."""

import sys

import pytest

from tests.radio import machine

PATIENCE = 900.0
"""Seconds; emulated, a story of ten seconds takes a minute, and several on a busy machine."""

pytestmark = pytest.mark.system


def told_in_a_machine(*story):
    if why := machine.missing():
        pytest.skip(why)
    ran = machine.run([sys.executable, "-m", *story], radios=4, patience=PATIENCE)
    assert ran.code == 0, ran.printed
    return ran.printed


@pytest.mark.parametrize("kind", ["cell", "mesh", "monitor"])
def test_messages_cross_a_line_of_four_radios(kind):
    assert "STEP end" in told_in_a_machine("tests.radio.line", kind)


def test_radios_come_up_and_are_put_back():
    assert "FAILED" not in told_in_a_machine("tests.radio.bring_up")
