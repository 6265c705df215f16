"""A contact that follows one person after the other makes nobody fetch without end."""

import pytest

from meshpeer.core.chains.interest import PLACE_EVERY_S, Level
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.formats.record import Follow
from tests.core.chains.village import Log, Peer, Person

pytestmark = pytest.mark.usefixtures("disk")

FEW = ChainLimits(nearby_persons=6)
CROWD = [bytes(30) + n.to_bytes(2) for n in range(1, 60)]


class Fickle:
    """A contact that follows one at a time."""

    def __init__(self, bob, name="eve"):
        self.bob, person = bob, Person(name)
        bob.knows(person)
        self.log, self.last = Log(person), None

    def turns_to(self, person, now=0.0):
        """Whether the newly followed one got a place."""
        if self.last is not None:
            self.bob.take(self.log.add(Follow(self.last, False)), now=now)
        self.bob.take(self.log.add(Follow(person, True)), now=now)
        self.last = person
        return self.bob.chains.level(person) is Level.SOME


@pytest.fixture
def bob():
    return Peer("bob", limits=FEW)


def test_who_turns_from_one_to_the_next_gives_so_many_a_place_and_then_one_now_and_then(
    bob,
):
    eve = Fickle(bob)
    placed = [eve.turns_to(person) for person in CROWD[:40]]
    assert placed == [True] * 6 + [False] * 34
    hour = [eve.turns_to(CROWD[n % 2], now=60.0 * n) for n in range(1, 61)]
    assert sum(hour) <= 3_600 / PLACE_EVERY_S + 1


def test_who_was_refused_a_place_gets_it_later_without_anything_new(bob):
    eve = Fickle(bob)
    for person in CROWD[:8]:
        eve.turns_to(person)
    assert bob.chains.level(CROWD[7]) is Level.NONE
    due = bob.chains.next_wakeup()
    assert due == PLACE_EVERY_S
    bob.chains.wake(due)
    assert bob.chains.level(CROWD[7]) is Level.SOME
    assert bob.chains.next_wakeup() is None


def test_a_fickle_contact_takes_nothing_from_what_others_follow(bob):
    eve, ann = Fickle(bob), Person("ann")
    bob.knows(ann)
    for person in CROWD[:20]:
        eve.turns_to(person)
    bob.take(Log(ann).add(Follow(CROWD[50], True)))
    assert bob.chains.level(CROWD[50]) is Level.SOME
    eve.turns_to(CROWD[50])
    eve.turns_to(CROWD[20])
    assert bob.chains.level(CROWD[50]) is Level.SOME


def test_who_is_held_keeps_the_place_over_a_restart_and_costs_nothing(bob):
    eve, dora = Fickle(bob), Person("dora")
    eve.turns_to(dora.id)
    bob.chains.take_card(dora.card, 0.0)
    bob.take(Log(dora).add())
    bob.start()
    assert bob.chains.level(dora.id) is Level.SOME
    assert sum(eve.turns_to(person) for person in CROWD[:20]) == 6
