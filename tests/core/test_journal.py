import pytest

from meshpeer.core.journal import ASIDE_S, ASIDES, Journal
from meshpeer.core.writes import DropBundle
from meshpeer.errors import LocalProtocolError

A, B, C = (DropBundle(bytes([n]) * 32) for n in range(3))


def test_an_action_waits_for_the_commit_of_what_came_before_it():
    journal, done = Journal(), []
    journal.add(A)
    journal.then(lambda now: done.append(("a", now)))
    assert journal.take() == [A]
    journal.add(B)
    journal.then(lambda now: done.append(("b", now)))
    assert journal.take() is None, "one batch at a time"
    journal.committed(now=5.0)
    assert done == [("a", 5.0)]
    assert journal.take() == [B]
    journal.committed(now=6.0)
    assert done == [("a", 5.0), ("b", 6.0)]
    assert journal.take() is None


def test_a_failed_commit_keeps_the_order_and_promises_nothing():
    journal, done = Journal(), []
    journal.add(A, B)
    journal.then(lambda now: done.append("ab"))
    journal.take()
    journal.add(C)
    journal.failed()
    assert (journal.blocked, done, len(journal)) == (True, [], 3)
    assert journal.take() == [A, B, C]
    journal.committed(now=1.0)
    assert (journal.blocked, done) == (False, ["ab"])


def test_a_commit_nobody_asked_for_is_our_bug():
    with pytest.raises(LocalProtocolError):
        Journal().committed(now=0.0)


def test_an_aside_goes_with_the_next_batch_in_its_place():
    journal, done = Journal(), []
    journal.aside(A, now=1.0)
    assert (journal.take(), len(journal)) == (None, 1)
    journal.add(B)
    journal.aside(C, now=2.0)
    assert journal.take() == [A, B, C]
    journal.aside(A, now=3.0)
    journal.committed(now=3.0)
    assert journal.take() is None, "nothing else came"
    journal.then(lambda now: done.append(now))
    assert journal.take() == [A], "somebody waits for all that was added so far"
    journal.committed(now=4.0)
    assert (done, journal.next_wakeup()) == ([4.0], None)


def test_asides_go_by_themselves_after_a_minute():
    journal = Journal()
    journal.aside(A, now=1.0)
    journal.aside(B, now=50.0)
    assert journal.next_wakeup() == 1.0 + ASIDE_S
    journal.wake(now=ASIDE_S)
    assert journal.take() is None
    journal.wake(now=1.0 + ASIDE_S)
    assert (journal.take(), journal.next_wakeup()) == ([A, B], None)


def test_asides_of_a_commit_that_failed_are_tried_again_like_the_rest():
    journal = Journal()
    journal.aside(A, now=1.0)
    journal.press()
    journal.take()
    journal.failed()
    assert journal.take() == [A]


def test_many_asides_go_before_the_minute_is_over():
    journal = Journal()
    for _ in range(ASIDES - 1):
        journal.aside(A, now=1.0)
    assert journal.take() is None
    journal.aside(B, now=1.0)
    assert len(journal.take()) == ASIDES


def test_there_is_nothing_to_press_where_nothing_waits():
    journal = Journal()
    journal.press()
    journal.add()
    assert journal.take() is None
