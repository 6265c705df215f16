"""A real peer process: starts, answers, is alone on its folder, stops in good order."""

import http.client
import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from meshpeer.cli.local import make_state
from meshpeer.cli.main import root
from meshpeer.node import config
from meshpeer.node.state import State

pytestmark = pytest.mark.system


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / "state")
    make_state(state, "ann")
    for key, value in (("udp.listen", "127.0.0.1"), ("udp.port", "0"), ("lan.on", "false")):
        config.put(state.config, key, value)
    return state


@contextmanager
def started(state, expected=0):
    """Run a peer until the end of the block; it must end with the exit code expected."""
    command = [sys.executable, "-P", "-m", "meshpeer", "run", "--json"]
    command += ["--state", str(state.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        process.ready = json.loads(process.stdout.readline() or "{}")
        assert process.ready, process.stderr.read().decode()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=10)
    assert process.returncode == expected, said.decode()


def call(state, *arguments):
    return CliRunner().invoke(root, ["--state", str(state.root), *arguments])


def told(state, *arguments):
    result = call(state, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_peer_is_the_same_after_a_restart(state):
    with started(state) as process:
        assert process.ready["socket"] == str(state.socket)
        first = told(state, "id"), told(state, "status")["peer"]
    assert call(state, "status").exit_code == 3
    with started(state):
        assert (told(state, "id"), told(state, "status")["peer"]) == first


def test_a_second_peer_on_the_folder_names_the_first(state):
    with started(state) as process:
        refused = call(state, "run")
    assert refused.exit_code == 2
    assert f"pid {process.pid}" in refused.stderr


def test_a_peer_that_was_killed_starts_again_on_the_same_socket(state):
    with started(state, expected=-signal.SIGKILL) as process:
        process.kill()
    assert state.socket.exists()
    with started(state):
        assert told(state, "status")["online"]


def test_the_loopback_api_of_a_real_peer_wants_its_token(state):
    config.put(state.config, "api.loopback", "true")
    config.put(state.config, "api.port", "0")
    with started(state) as process:
        port = process.ready["loopback"]
        for token, status in (("wrong", 401), (state.read_token(), 200)):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            headers = {"Authorization": f"Bearer {token}"}
            connection.request("GET", "/persons", headers=headers)
            assert connection.getresponse().status == status
            connection.close()


def test_a_wrong_setting_stops_the_start_with_its_name(state):
    state.config.write_text("[udp]\nport = 'high'\n")
    refused = call(state, "run")
    assert refused.exit_code == 2
    assert "udp.port" in refused.stderr
