"""No copy of a state folder goes on in a log that its original may write too."""

import json
import os
import shutil

import pytest

from meshpeer.errors import ConfigError
from meshpeer.node.machine import needs_new_log
from meshpeer.node.state import State


@pytest.fixture
def place(tmp_path):
    """A state folder with a database, on a machine of this id."""
    state = State(tmp_path / "ann")
    state.create()
    state.database.write_bytes(b"")
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("one\n")

    def asks(started=(), folder=state):
        return needs_new_log(folder, started, machine_ids=[machine_id])

    asks.state, asks.machine_id = state, machine_id
    return asks


def test_a_new_folder_begins_a_log_and_stays_in_it(place):
    assert place()
    assert place()
    assert not place([1])
    assert not place([1, 0])


def test_a_copied_folder_begins_a_new_log_and_the_original_goes_on(place, tmp_path):
    place()
    copy = State(tmp_path / "copy")
    shutil.copytree(place.state.root, copy.root)
    assert place([1], folder=copy)
    assert place([1], folder=copy)
    assert not place([1, 2], folder=copy)
    assert not place([1])


def test_a_folder_that_was_moved_goes_on(place, tmp_path):
    place()
    moved = State(tmp_path / "moved")
    place.state.root.rename(moved.root)
    assert not place([1], folder=moved)


def test_another_machine_id_begins_a_new_log_once(place):
    place()
    place.machine_id.write_text("two\n")
    assert place([1])
    assert not place([1, 2])


def test_logs_of_others_that_are_heard_of_meanwhile_are_not_taken_for_ours(place):
    place()
    place.machine_id.write_text("two\n")
    assert place([3])
    assert place([3, 0, 0])


def test_a_salvaged_database_begins_a_new_log(place):
    place()
    assert not place([1])
    other = place.state.root / "salvaged"
    other.write_bytes(b"")
    os.replace(other, place.state.database)
    assert place([1])


def test_a_lost_database_begins_a_new_log(place):
    place()
    assert not place([1])
    place.state.database.unlink()
    assert place([])


def test_a_machine_without_an_id_knows_its_folder_all_the_same(place):
    place.machine_id.unlink()
    assert place()
    assert not place([1])
    place.machine_id.write_text("uninitialized\n")
    assert not place([1])


def test_the_mark_does_not_give_the_machine_id_away(place):
    place()
    text = place.state.machine.read_text()
    assert "one" not in json.loads(text).values()
    assert place.state.machine.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1, "salt": "x"}', "\0"])
def test_a_spoilt_mark_costs_a_new_log_and_nothing_more(place, content):
    place()
    place.state.machine.write_text(content)
    assert place([1])
    assert not place([1, 2])


def test_a_mark_of_a_newer_meshpeer_is_left_alone(place):
    place.state.machine.write_text('{"version": 2}')
    with pytest.raises(ConfigError, match="version 2"):
        place()
