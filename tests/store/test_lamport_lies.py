"""A block may claim any Lamport number: what of it stays on top, in the real store."""

import pytest

from meshpeer.core.chains.book import LEAP
from meshpeer.core.formats.record import Follow, Post
from tests.core.chains.village import Log, Peer, Person, StoreDisk

LAST = 2**53 - 1


@pytest.fixture
def ann():
    return Person("ann")


@pytest.fixture
def bob(ann):
    bob = Peer("bob", disk=StoreDisk())
    bob.knows(ann)
    return bob


def texts(peer, after=None):
    return [row.item.text for row in peer.disk.timeline(after=after)]


def test_who_claims_the_last_number_is_on_top_until_the_next_post(bob, ann):
    bob.take(Log(ann).add(Post("mine is the last word"), lamport=LAST))
    bob.say(Post("is it?"))
    bob.start()
    bob.say(Post("it is not"))
    assert texts(bob) == ["it is not", "is it?", "mine is the last word"]
    newest, *_ = rows = bob.disk.timeline(limit=1)
    assert texts(bob, (newest.lamport, newest.number)) == [
        "is it?",
        "mine is the last word",
    ]
    assert rows[0].lamport < 2 * LEAP


def test_lies_one_after_the_other_drive_nobody_to_the_end(bob, ann):
    log = Log(ann)
    for _ in range(100):
        bob.take(log.add(lamport=LAST))
    assert bob.say(Post("here")).header.lamport <= 100 * LEAP + 1


def test_what_a_peer_says_after_a_lie_is_heard_by_others(bob, ann):
    bob.take(Log(ann).add(lamport=LAST))
    carla, other = Peer("carla"), Person("other")
    carla.knows(bob.person)
    for following in (True, False):
        carla.take(bob.say(Follow(other.id, following)))
        assert carla.chains.wanted(other.id) is following
