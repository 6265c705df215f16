"""Of whom somebody said whether their labels count, and how many that may be."""

import pytest

from meshpeer.core.chain_writes import PutHeed
from meshpeer.errors import UsageError
from meshpeer.node.heeding import CHOICES, Heeding
from store.search_opinions import HEEDED
from store.store import Store


def person(n):
    return n.to_bytes(32)


@pytest.fixture
def store():
    store = Store(":memory:")
    yield store
    store.close()


def test_what_was_said_outlives_a_restart_and_the_last_word_holds(store):
    heeding = Heeding(store)
    for n, heeded in ((1, True), (2, False), (1, False), (3, True)):
        store.commit([heeding.say(person(n), heeded)])
    for now in (heeding, Heeding(store)):
        assert sorted(now.all) == [
            (person(1), False),
            (person(2), False),
            (person(3), True),
        ]
        assert now.said(person(4)) is None
        assert now.heeded([person(1), person(4)]) == [person(3), person(4)]
    assert sorted(store.heeds()) == [PutHeed(*said) for said in sorted(heeding.all)]


def test_whom_one_chose_comes_before_the_usual_ones(store):
    heeding = Heeding(store)
    heeding.say(person(1_000), True)
    heeded = heeding.heeded(person(n) for n in range(HEEDED + 5))
    assert heeded == [person(1_000), *(person(n) for n in range(HEEDED - 1))]


def test_no_more_are_chosen_than_a_search_weighs(store):
    heeding = Heeding(store)
    for n in range(HEEDED):
        heeding.say(person(n), True)
    heeding.say(person(0), True)
    with pytest.raises(UsageError, match="unheed"):
        heeding.say(person(HEEDED), True)
    heeding.say(person(0), False)
    heeding.say(person(HEEDED), True)
    for n in range(HEEDED + 1, CHOICES):
        heeding.say(person(n), False)
    with pytest.raises(UsageError, match="1,000"):
        heeding.say(person(CHOICES), False)
