"""Commands that work on the state folder alone."""

import json

import pytest
from click.testing import CliRunner

from meshpeer.cli.main import root
from meshpeer.node.state import State


@pytest.fixture
def call(tmp_path):
    def call(*arguments):
        return CliRunner().invoke(root, [*arguments, "--state", str(tmp_path / "state")])

    call.state = State(tmp_path / "state")
    return call


def test_init_makes_a_peer_once(call):
    assert call("init", "--nickname", "ann").stdout == f"{call.state.root}\n"
    key = call.state.peer_key()
    assert json.loads(call("init", "--json").stdout)["made"] is False
    assert call.state.peer_key() == key
    assert call("init", "--nickname", "eve").exit_code == 2
    assert call("config", "get", "nickname").stdout == "ann\n"


def test_init_takes_a_login_name_that_would_not_do(call, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ü" * 20)
    assert call("init").exit_code == 0
    assert call("config", "get", "nickname").stdout == "ü" * 8 + "\n"


def test_a_nickname_that_is_none_makes_nothing(call):
    assert call("init", "--nickname", "a\nb").exit_code == 2
    assert not call.state.root.exists()


def test_settings_are_listed_read_and_written(call):
    call("init")
    done = call("config", "set", "lan.interfaces", "eth0,wlan0")
    assert (done.stdout, done.stderr) == ("eth0,wlan0\n", "")
    assert json.loads(call("config", "list", "--json").stdout)["lan.interfaces"] == [
        "eth0",
        "wlan0",
    ]
    assert "0 to 65535" in call("config").stdout
    refused = call("config", "set", "udp.port", "99999")
    assert refused.exit_code == 2
    assert "0 to 65535" in refused.stderr
    assert call("config", "get", "udp.prot").exit_code == 4


def test_a_setting_of_no_peer_is_not_written(call):
    assert call("config", "set", "udp.port", "1").exit_code == 2
    assert not call.state.root.exists()


def test_the_log_is_shown_for_people_and_as_it_is(call):
    call("init")
    line = {"time": "T", "level": "warning", "where": "w", "event": "disk full", "free": 3}
    call.state.log.write_text(json.dumps(line) + "\nbroken \x1b line\n")
    assert call("log").stdout == "T  warning  disk full  free 3\nbroken \\x1b line\n"
    assert json.loads(call("log", "--json").stdout.splitlines()[0]) == line


def test_check_wants_the_peer_stopped_and_a_database(call):
    nothing = call("check")
    assert nothing.exit_code == 2
    assert "there is no peer in" in nothing.stderr
    call("init")
    assert call("check").exit_code == 5
    with call.state.locked():
        assert call("check").exit_code == 2
