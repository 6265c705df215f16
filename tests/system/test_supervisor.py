"""What systemd hears of a peer: a real process, and a socket as systemd makes it."""

import socket

import pytest

from meshpeer.cli.supervisor import Supervisor
from tests.system.daemon import LOOPBACK, PATIENCE


@pytest.fixture
def listening(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(PATIENCE)
        yield heard


def heard_until(listening, last):
    said = []
    while last not in said:
        said.append(listening.recv(100).decode())
    return said


def test_a_peer_says_that_it_is_ready_alive_and_stopping(
    daemon, listening, tmp_path, monkeypatch
):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    ann = daemon("ann", settings=LOOPBACK)
    ann.start()
    assert heard_until(listening, "WATCHDOG=1") == ["READY=1", "WATCHDOG=1"]
    assert heard_until(listening, "WATCHDOG=1") == ["WATCHDOG=1"]
    ann.stop()
    assert set(heard_until(listening, "STOPPING=1")) <= {"WATCHDOG=1", "STOPPING=1"}


def test_an_abstract_socket_is_found_too():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0meshpeer-test-notify")
        heard.settimeout(PATIENCE)
        Supervisor({"NOTIFY_SOCKET": "@meshpeer-test-notify"}, 1).ready()
        assert heard.recv(100) == b"READY=1"


def test_a_supervisor_that_is_gone_harms_nothing(tmp_path):
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, 1).ready()


@pytest.mark.parametrize(
    ("environment", "pause"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "300000000"}, 150.0),
        ({"WATCHDOG_USEC": "300000000", "WATCHDOG_PID": "7"}, 150.0),
        ({"WATCHDOG_USEC": "300000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_signs_of_life_are_given_to_who_asks_this_process(environment, pause):
    assert Supervisor(environment, 7).pause == pause
