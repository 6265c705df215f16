"""Whom one calls where hundreds are in range."""

from collections import Counter
from random import Random

from meshpeer.core.link.path import Path
from meshpeer.node.crowd import CALLING, CONTACTS, STRANGERS, WAITING, Call, Crowd

CELL, OTHER = ("adhoc", "mesh0"), ("adhoc", "mesh1")


def call(number: int, *, contact: bool = False, medium=CELL) -> Call:
    station = number.to_bytes(6, "big").hex(":")
    return Call(
        number.to_bytes(32, "big"), Path("adhoc", f"mesh0/{station}"), medium, contact
    )


class Peer:
    """A crowd, with the links that were made."""

    def __init__(self) -> None:
        self.links: Counter = Counter()
        up = self.links.__getitem__
        self.crowd = Crowd(
            lambda medium, contact: up((medium, contact)), Random(1).randbytes
        )

    def hears(self, calls, spread: float = 1.0, now: float = 0.0) -> None:
        for each in calls:
            self.crowd.heard(each, spread, now)

    def link(self, calls) -> None:
        for each in calls:
            self.links[each.medium, each.contact] += 1
            self.crowd.linked(each.peer)


def test_of_a_crowd_some_strangers_are_called_and_each_kind_has_room_of_its_own():
    ann = Peer()
    ann.hears(call(number) for number in range(200))
    ann.hears(call(number, contact=True) for number in range(200, 300))
    ann.hears(call(number, medium=OTHER) for number in range(300, 400))
    called = Counter((each.medium, each.contact) for each in ann.crowd.due(2.0))
    assert called == {
        (CELL, False): STRANGERS,
        (CELL, True): CONTACTS,
        (OTHER, False): STRANGERS,
    }


def test_calls_are_spread_over_the_time_given_and_at_once_where_there_is_none():
    ann = Peer()
    ann.hears([call(number, contact=True) for number in range(20)], spread=10.0)
    assert 1.0 < ann.crowd.next_wakeup() < 9.0 or ann.crowd.due(1.0)
    assert len(ann.crowd.due(5.0)) in range(3, 18)
    ann.hears([call(99)], spread=0.0, now=6.0)
    assert call(99) in ann.crowd.due(6.0)


def test_links_count_and_whoever_links_first_is_not_called():
    ann = Peer()
    strangers = [call(number) for number in range(STRANGERS)]
    ann.hears(strangers)
    ann.link(strangers[:2])
    assert set(ann.crowd.due(2.0)) == set(strangers[2:])
    ann.link(strangers[2:])
    ann.hears([call(99)], now=3.0)
    assert ann.crowd.due(9.0) == []


def test_whoever_does_not_answer_makes_room_for_others():
    ann = Peer()
    ann.hears(call(number) for number in range(STRANGERS))
    assert len(ann.crowd.due(2.0)) == STRANGERS
    ann.hears([call(99)], spread=0.0, now=3.0)
    assert ann.crowd.due(3.0) == []
    ann.hears([call(99)], spread=0.0, now=3.0 + CALLING)
    assert ann.crowd.due(3.0 + CALLING) == [call(99)]


def test_a_flood_of_forged_strangers_takes_no_room_from_contacts():
    ann = Peer()
    ann.hears(call(number) for number in range(10_000))
    friend = call(99_999, contact=True)
    ann.hears([friend])
    assert len(ann.crowd._waiting) == WAITING
    called = ann.crowd.due(2.0)
    assert friend in called
    assert len(called) == STRANGERS + 1
