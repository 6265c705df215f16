"""Restoring and keeping a key off line, from the command line: no peer runs."""

import json

import pytest
from click.testing import CliRunner

from meshpeer.cli.main import root
from meshpeer.node import vault
from meshpeer.node.backup import make_backup
from meshpeer.node.own_cards import load_own
from meshpeer.node.state import State
from store.store import Store

WORDS = "correct horse battery staple"


@pytest.fixture
def ann(tmp_path, monkeypatch):
    monkeypatch.setattr(vault, "PASSES", 1)
    monkeypatch.setattr(vault, "MEMORY_LOG", 10)
    state = State(tmp_path / "ann")
    state.create()
    state.config.write_text('nickname = "ann"\n')
    load_own(state, "ann", fresh=True)
    Store(state.database).close()
    make_backup(state, tmp_path / "backup", WORDS, nickname="ann")
    return state


def call(*arguments, words=WORDS):
    return CliRunner().invoke(root, [str(part) for part in arguments], input=f"{words}\n")


def test_a_backup_becomes_a_peer_and_people_are_told_to_stop_the_old_one(ann, tmp_path):
    back = State(tmp_path / "back")
    done = call("restore", tmp_path / "backup", "--state", back.root)
    assert done.exit_code == 0
    assert done.stdout == f"{back.root}\n"
    assert "Never start the peer" in done.stderr
    assert back.peer_key() == ann.peer_key()


def test_programs_are_told_what_came_back(ann, tmp_path):
    back = State(tmp_path / "back")
    arguments = ("--state", back.root, "--as-new-device", "--json")
    done = call("restore", tmp_path / "backup", *arguments)
    told = json.loads(done.stdout)
    assert (told["nickname"], told["new_device"]) == ("ann", True)
    assert back.peer_key() != ann.peer_key()


def test_the_wrong_passphrase_and_a_full_folder_change_nothing(ann, tmp_path):
    wrong = call(
        "restore", tmp_path / "backup", "--state", tmp_path / "b", words="wrong one"
    )
    assert (wrong.exit_code, "passphrase is wrong" in wrong.stderr) == (2, True)
    assert not (tmp_path / "b").exists()
    full = call("restore", tmp_path / "backup", "--state", ann.root)
    assert (full.exit_code, "not empty" in full.stderr) == (2, True)


def test_a_key_leaves_the_device_and_comes_back(ann, tmp_path):
    key = tmp_path / "key"
    done = call("device", "export-key", key, "--remove", "--state", ann.root)
    assert done.exit_code == 0, done.stderr
    assert ann.persons()[0].person is None
    again = call("device", "export-key", tmp_path / "other", "--state", ann.root)
    assert (again.exit_code, "import-key" in again.stderr) == (2, True)
    back = call("device", "import-key", key, "--state", ann.root)
    assert back.exit_code == 0, back.stderr
    assert ann.persons()[0].person is not None


def test_a_backup_needs_a_peer_that_runs(ann, tmp_path):
    done = call("backup", tmp_path / "b", "--state", ann.root)
    assert done.exit_code == 3
    assert f"start one with `meshpeer --state {ann.root} run`" in done.stderr
