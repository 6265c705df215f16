"""One folder, one peer: keys stay private, a second daemon is turned away."""

import os
import socket
import subprocess
import sys

import pytest

from meshpeer.errors import ConfigError, UsageError
from meshpeer.node.state import PersonSecrets, State


def test_a_new_folder_is_private_and_keeps_its_keys(tmp_path):
    state = State(tmp_path / "deep" / "state")
    assert not state.exists()
    assert state.create()
    assert state.exists()
    assert state.root.stat().st_mode & 0o777 == 0o700
    for path in state.keys.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    before = state.peer_key(), state.persons()
    assert not state.create()
    assert (state.peer_key(), state.persons()) == before
    assert len({state.peer_key(), *state.persons()[0]}) == 4


def test_an_init_that_was_cut_short_is_completed(tmp_path):
    state = State(tmp_path)
    state.create()
    persons = state.persons()
    (state.keys / "peer.json").unlink()
    assert state.create()
    assert state.persons() == persons


def test_a_peer_whose_person_is_lost_does_not_start_without_anybody(tmp_path):
    state = State(tmp_path)
    state.create()
    (state.keys / "person-1.json").unlink()
    with pytest.raises(ConfigError, match=r"person-1\.json is missing"):
        state.persons()


def test_several_persons_one_of_them_with_the_person_key_off_line(tmp_path):
    state = State(tmp_path)
    state.create()
    for number in range(11):
        state.add_person(PersonSecrets(None, bytes([number]) * 32, b"s" * 32))
    assert [person.device[0] for person in state.persons()[1:]] == list(range(11))
    assert state.persons()[5].person is None


def test_keys_that_others_may_read_are_refused_with_the_way_out(tmp_path):
    state = State(tmp_path)
    state.create()
    (state.keys / "peer.json").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        state.peer_key()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"version": 2, "private": ""}',
        '{"version": 1, "private": "00"}',
        '{"version": 1, "private": null}',
        '{"version": 1, "private": 7}',
    ],
)
def test_a_spoilt_key_file_is_named(tmp_path, content):
    state = State(tmp_path)
    state.create()
    path = state.keys / "peer.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"peer\.json"):
        state.peer_key()


def test_the_folder_named_wins_over_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHPEER_STATE", str(tmp_path / "environment"))
    assert State.find(str(tmp_path / "named")).root == tmp_path / "named"
    assert State.find(None).root == tmp_path / "environment"
    monkeypatch.delenv("MESHPEER_STATE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert State.find(None).root == tmp_path / ".local/share/meshpeer"


def test_a_second_peer_on_the_folder_is_told_who_runs_there(tmp_path):
    state = State(tmp_path)
    state.create()
    script = (
        "import sys; from meshpeer.node.state import State\n"
        "with State(sys.argv[1]).locked(): print(flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        other.stdout.readline()
        with pytest.raises(UsageError, match=f"pid {other.pid}"), state.locked():
            pass
        other.kill()
    with state.locked():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_socket_lies_in_the_folder_however_deep_that_is(tmp_path):
    state = State(tmp_path / ("d" * 120))
    state.create()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with state.socket_address() as address:
            server.bind(address)
        server.listen()
        assert state.socket.is_socket()
        with state.socket_address() as address:
            client.connect(address)


def test_the_token_is_made_once_and_is_private(tmp_path):
    state = State(tmp_path)
    state.create()
    token = state.read_token()
    assert len(token) >= 40
    assert state.read_token() == token
    assert state.token.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_others_may_write_is_refused(tmp_path):
    state = State(tmp_path / "ann")
    state.root.mkdir()
    state.root.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod o-w"):
        state.create()
    assert not state.exists()
    state.root.chmod(0o755)
    state.create()
    state.root.chmod(0o757)
    with pytest.raises(ConfigError, match="chmod o-w"), state.locked():
        pass
