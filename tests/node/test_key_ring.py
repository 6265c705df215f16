"""Renewed sealing keys lie in files of their own, for their owner only, and go for good."""

import json
import os
from random import Random

import pytest

from meshpeer.core.formats.record import Key
from meshpeer.core.mail.people import People
from meshpeer.core.mail.sealing_keys import RENEW_S, RingKey, SealingKeys
from meshpeer.errors import ConfigError, StoreError
from meshpeer.node.key_ring import KeyFiles
from meshpeer.node.state import State
from tests.core.mail.post import Person

ANN, BOB = b"a" * 32, b"b" * 32
KEY = RingKey(1, b"k" * 32, 5.25)


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / "ann")
    state.create()
    return state


def files(state):
    return sorted(path.name for path in state.keys.glob("sealing-*"))


def test_a_key_that_was_kept_is_there_after_a_restart(state):
    ring = KeyFiles(state)
    ring.keep(ANN, KEY)
    ring.keep(ANN, KEY._replace(number=2))
    ring.keep(BOB, KEY._replace(private=b"o" * 32))
    for known in (ring, KeyFiles(state)):
        assert known.keys(ANN) == [KEY, KEY._replace(number=2)]
        assert known.keys(BOB) == [KEY._replace(private=b"o" * 32)]
        assert known.keys(b"c" * 32) == []


def test_only_its_owner_may_read_it(state):
    KeyFiles(state).keep(ANN, KEY)
    (path,) = state.keys.glob("sealing-*")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        KeyFiles(state)


def test_a_key_that_was_dropped_is_gone_from_the_disk(state):
    ring = KeyFiles(state)
    ring.keep(ANN, KEY)
    (path,) = state.keys.glob("sealing-*")
    kept_open = path.open("rb")
    ring.drop(ANN, 1)
    with kept_open:
        assert not kept_open.read().strip(b"\0")
    assert (ring.keys(ANN), KeyFiles(state).keys(ANN), files(state)) == ([], [], [])
    ring.drop(ANN, 1)


def test_a_key_that_the_disk_refuses_is_not_in_the_ring(state):
    ring = KeyFiles(state)
    state.keys.rename(state.root / "gone")
    with pytest.raises(StoreError, match="sealing key"):
        ring.keep(ANN, KEY)
    assert ring.keys(ANN) == []


def test_what_a_power_cut_left_beside_a_key_is_no_key(state):
    ring = KeyFiles(state)
    ring.keep(ANN, KEY)
    (state.keys / f".{files(state)[0]}.new").write_text("{half")
    (state.keys / "sealing-notes.json").write_text("mine")
    assert KeyFiles(state).keys(ANN) == [KEY]


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"private": "00"}, {"person": "zz"}, {"made": None}, {"number": "x"}],
)
def test_a_spoilt_key_is_named_and_not_skipped(state, change):
    KeyFiles(state).keep(ANN, KEY)
    path = state.keys / files(state)[0]
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match="sealing-6161"):
        KeyFiles(state)


def test_keys_are_no_persons_keys_and_no_cards(state):
    KeyFiles(state).keep(ANN, KEY)
    assert len(state.persons()) == 1
    assert "token" not in os.listdir(state.keys)


def test_mail_renews_its_keys_in_this_ring_and_finds_them_again(state):
    ann = Person("ann")

    class Chain:
        def sealing_key(self, person, device) -> Key | None:
            return None

    def keys():
        return SealingKeys(
            people=People([ann.own]),
            ring=KeyFiles(state),
            heard=Chain(),
            rng=Random(1).randbytes,
            wall=lambda: 1.0,
            now=RENEW_S,
        )

    first = keys()
    ((_, record),) = first.wake(RENEW_S)
    again = keys()
    assert again.tags == first.tags
    assert len(again.tags) == 2
    ((_, same),) = again.wake(RENEW_S)
    assert same == record
