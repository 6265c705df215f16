"""The own card lasts: one number, one content, over restarts, renaming and keys kept away."""

import json

import pytest

from meshpeer.core.chain_writes import PutAuthor
from meshpeer.core.chains.log import Log
from meshpeer.core.clock import ClockReading
from meshpeer.core.formats.card import Card
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.writes import PutSetting
from meshpeer.errors import ConfigError, StoreError, UsageError
from meshpeer.node import own_cards
from meshpeer.node.loading import load_peer, must_begin_logs
from meshpeer.node.own_cards import load_own
from meshpeer.node.state import State
from store.store import Store

OTHER = Certificate(
    DeviceKey(b"d" * 32).public, KeyPair(b"s" * 32).public, KeyPair(b"p" * 32).public
)


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / "ann")
    state.create()
    return state


def start(state, nickname="ann", *, fresh=True, heard=()):
    cards = {card.person: card.to_bytes() for card in heard}
    (own,) = load_own(state, nickname, fresh=fresh, heard=cards)
    return own


def key_of(state):
    return PersonKey(state.persons()[0].person)


def put_key_away(state):
    (secrets,) = state.persons()
    state.keep_person(0, secrets._replace(person=None))
    return secrets


def test_a_new_person_has_list_number_one_and_keeps_it(state):
    own = start(state)
    assert (own.card.number, own.card.nickname, own.listed) == (1, "ann", True)
    assert start(state).card == own.card
    assert (state.keys / "card-1.json").stat().st_mode & 0o777 == 0o600


def test_a_changed_nickname_takes_the_next_number_each_time(state):
    numbers = [start(state, name).card.number for name in ("a", "b", "b", "a", "a")]
    assert numbers == [1, 2, 2, 3, 3]


def test_a_folder_from_before_cards_were_kept_leaves_number_one_alone(state):
    store = Store(state.database)
    store.clock = lambda: ClockReading(1.0, "boot", 1.0, 1.0)
    store.commit([PutSetting("x", b"")])
    store.close()
    store = Store(state.database)
    options = {"queue_bytes": 1 << 20, "prefix": str, "wall": lambda: 1.0, "now": 2.0}
    peer = load_peer(state, store, nickname="ann", **options)
    (own,) = peer.mail.people.own.values()
    assert own.card.number == 2
    store.close()


def test_with_its_key_away_the_person_keeps_card_and_nickname(state, caplog):
    card = start(state).card
    put_key_away(state)
    assert start(state, "anna").card == card
    assert "nickname stays" in caplog.text
    with pytest.raises(UsageError, match="import-key"):
        own_cards.sign_next(state, card, nickname="anna")


def test_a_nickname_changed_while_the_key_was_away_is_signed_once_it_is_back(state):
    start(state)
    secrets = put_key_away(state)
    start(state, "anna")
    state.keep_person(0, secrets)
    card = start(state, "anna").card
    assert (card.number, card.nickname) == (2, "anna")


def test_neither_key_nor_card_is_told_and_not_made_up(state):
    put_key_away(state)
    with pytest.raises(ConfigError, match="both missing"):
        start(state)


def test_a_list_that_another_device_signed_is_taken_and_kept(state):
    own = start(state)
    heard = Card.sign(
        key_of(state), number=7, nickname="annie", devices=[*own.card.devices, OTHER]
    )
    assert start(state, heard=[heard]).card == heard
    assert start(state).card == heard


def test_a_nickname_set_on_another_device_is_not_set_back_at_the_next_start(state):
    own = start(state, "ann")
    heard = Card.sign(key_of(state), number=2, nickname="new", devices=own.card.devices)
    start(state, "ann", heard=[heard])
    assert start(state, "ann").card == heard
    assert start(state, "mine").card.nickname == "mine"


def test_the_next_list_is_on_the_disk_before_anybody_sees_it(state):
    own = start(state)
    card = own_cards.sign_next(state, own.card, devices=[*own.card.devices, OTHER])
    assert card.number == 2
    assert Card.parse(state.kept_card(0).card) == card
    assert start(state).card == card


def test_a_join_that_was_cut_short_is_completed(state):
    own = start(state)
    key = PersonKey(b"k" * 32)
    card = Card.sign(key, number=4, nickname="kim", devices=own.card.devices)
    own_cards.keep_at(state, 0, card, "ann")
    joined = start(state)
    assert (joined.person, joined.listed) == (key.public, True)
    assert state.persons()[0].person is None


def test_a_key_and_a_card_of_two_people_are_refused_and_the_key_stays(state):
    start(state)
    key = PersonKey(b"k" * 32)
    card = Card.sign(key, number=4, nickname="kim", devices=[OTHER])
    own_cards.keep_at(state, 0, card, "ann")
    with pytest.raises(ConfigError, match="don't fit"):
        start(state)
    assert state.persons()[0].person is not None


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"version": 2}', '{"version": 1, "card": "00", "nickname": "a"}'],
)
def test_a_spoilt_card_is_named(state, content):
    start(state)
    (state.keys / "card-1.json").write_text(content)
    with pytest.raises(ConfigError, match=r"card-1\.json|a card in the folder"):
        start(state)


def test_a_card_that_somebody_altered_is_not_shown_to_others(state):
    start(state)
    path = state.keys / "card-1.json"
    content = json.loads(path.read_text())
    content["card"] = content["card"].replace(b"ann".hex(), b"eve".hex())
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="damaged"):
        start(state)


def test_the_cards_of_several_people_are_told_apart(state):
    from meshpeer.node.state import PersonSecrets

    state.add_person(PersonSecrets(b"1" * 32, b"2" * 32, b"3" * 32))
    first, second = load_own(state, "ann", fresh=True)
    card = own_cards.sign_next(state, second.card, nickname="bob")
    again = load_own(state, "ann", fresh=True)
    assert [own.card for own in again] == [first.card, card]


def test_a_card_that_the_chain_brought_is_there_at_the_next_start(state):
    own = start(state)
    heard = Card.sign(key_of(state), number=2, nickname="x", devices=own.card.devices)
    store = Store(state.database)
    store.clock = lambda: ClockReading(1.0, "boot", 1.0, 1.0)
    store.commit([PutAuthor(heard.person, heard.to_bytes())])
    options = {"queue_bytes": 1 << 20, "prefix": str, "wall": lambda: 1.0, "now": 2.0}
    peer = load_peer(state, store, nickname="ann", **options)
    assert peer.mail.people.own[heard.person].card == heard
    store.close()
    assert Card.parse(state.kept_card(0).card) == heard


def test_only_logs_begun_here_count_when_the_state_turns_out_to_be_a_copy(state):
    own = start(state)
    store = Store(state.database)
    assert must_begin_logs(state, store, [own])
    ours = Log(own.person, own.device.public, b"l" * 16)
    ours.started = 1
    store.commit([ours.row(), Log(own.person, OTHER.device, b"m" * 16).row()])
    assert not must_begin_logs(state, store, [own])
    state.machine.unlink()
    assert must_begin_logs(state, store, [own])
    ours = Log(own.person, own.device.public, b"n" * 16)
    ours.started = 2
    store.commit([ours.row()])
    assert not must_begin_logs(state, store, [own])
    store.close()


def test_a_card_whose_file_was_lost_is_found_in_the_database(state):
    own = start(state)
    card = own_cards.sign_next(state, own.card, devices=[*own.card.devices, OTHER])
    (state.keys / "card-1.json").unlink()
    assert start(state, heard=[card], fresh=False).card == card
    assert start(state).card == card


def test_a_card_that_the_database_spoilt_is_left_alone(state, caplog):
    own = start(state)
    spoilt = {own.person: own.card.to_bytes()[:-3]}
    (again,) = load_own(state, "ann", fresh=False, heard=spoilt)
    assert again.card == own.card
    assert "damaged" in caplog.text


def test_a_list_that_the_disk_refuses_is_not_used(state, monkeypatch):
    own = start(state)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("meshpeer.node.state.os.fsync", full)
    with pytest.raises(StoreError, match="No space"):
        own_cards.sign_next(state, own.card, nickname="new")
    monkeypatch.undo()
    assert start(state).card == own.card
