"""Newer cards: of contacts and of the people here, signed on another device of theirs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.chain_writes import PutAuthor
from meshpeer.core.formats.card import Card
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import destination_tag
from meshpeer.core.mail.people import People, Status
from meshpeer.core.writes import DropContact
from meshpeer.errors import NotFoundError
from tests.core.mail.post import Person


def certificate(number):
    return Certificate(
        DeviceKey(b"d" * 31 + bytes([number])).public,
        KeyPair(b"s" * 31 + bytes([number])).public,
        KeyPair(b"p" * 31 + bytes([number])).public,
    )


def later(person, number, *extra, nickname=None):
    """The card that this person signs with further devices."""
    return Card.sign(
        person.key,
        number=number,
        nickname=nickname or person.card.nickname,
        devices=[*person.card.devices, *extra],
    )


@pytest.fixture
def ann():
    return Person("ann")


@pytest.fixture
def people(ann):
    return People([ann.own])


def test_a_contacts_new_device_is_known_as_soon_as_the_chain_tells_of_it(people):
    bob = Person("bob")
    people.accept(bob.card, "bobby", wall=0)
    changes = people.changes
    (row,) = people.take(later(bob, 2, certificate(1)))
    assert people.changes > changes
    assert (row.petname, row.status) == ("bobby", Status.CONTACT)
    assert [c.person for c in people.contacts_at(certificate(1).peer)] == [bob.key.public]
    assert people.by_sealing_key(certificate(1).sealing)


def test_a_device_that_left_the_list_is_a_strangers_at_once(people):
    bob = Person("bob")
    people.accept(later(bob, 2, certificate(1)), None, wall=0)
    people.take(later(bob, 3))
    assert people.contacts_at(certificate(1).peer) == []
    assert people.by_sealing_key(certificate(1).sealing) == []


def test_an_older_list_that_the_chain_still_tells_of_changes_nothing(people):
    bob = Person("bob")
    people.accept(later(bob, 5), None, wall=0)
    changes = people.changes
    assert people.take(later(bob, 4, certificate(1))) == []
    assert people.take(later(bob, 5)) == []
    assert people.changes == changes


def test_a_blocked_person_stays_blocked_with_its_newer_card(people):
    bob = Person("bob")
    people.accept(bob.card, None, wall=0)
    people.change(bob.key.public, status=Status.BLOCKED)
    (row,) = people.take(later(bob, 2, certificate(1)))
    assert row.status == "blocked"


def test_nobody_becomes_known_by_a_card_in_the_chain(people):
    assert people.take(Person("eve").card) == []
    assert len(people) == 0


@given(st.permutations(range(6)))
def test_two_lists_of_one_number_end_as_the_same_one_everywhere(order):
    bob = Person("bob")
    cards = [later(bob, 2 + n // 3, nickname=f"bob{n}") for n in range(6)]
    people = People([])
    people.accept(bob.card, None, wall=0)
    for n in order:
        people.take(cards[n])
    best = max(cards, key=lambda card: (card.number, card.signature))
    assert people.get(bob.key.public).card == best


def test_another_device_of_mine_signed_a_newer_list(ann, people):
    card = later(ann, 2, certificate(1), nickname="anna")
    assert people.take(card) == [PutAuthor(ann.key.public, card.to_bytes())]
    assert people.own[ann.key.public].card == card
    own = people.own_by_tag(destination_tag(ann.sealing.public))
    assert own.card == card
    assert own.listed
    assert people.own_at(certificate(1).peer) is own
    assert people.own_at(certificate(2).peer) is None
    assert people.renew_own(later(ann, 1)) == []


def test_a_device_that_was_revoked_knows_it(ann, people):
    card = Card.sign(ann.key, number=2, nickname="ann", devices=[certificate(1)])
    people.renew_own(card)
    assert not people.own[ann.key.public].listed


def test_a_device_joins_a_person_who_was_a_contact_here(ann, people):
    bob = Person("bob")
    people.accept(bob.card, None, wall=0)
    mine = Certificate(ann.device.public, ann.sealing.public, certificate(9).peer)
    card = later(bob, 2, mine)
    assert people.join(ann.key.public, card) == [
        PutAuthor(bob.key.public, card.to_bytes()),
        DropContact(bob.key.public),
    ]
    assert list(people.own) == [bob.key.public]
    own = people.own_by_tag(destination_tag(ann.sealing.public))
    assert (own.person, own.listed) == (bob.key.public, True)
    assert people.get(bob.key.public) is None
    with pytest.raises(NotFoundError):
        people.forget(bob.key.public)
