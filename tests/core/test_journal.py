import pytest

from meshpeer.core.journal import Journal
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
