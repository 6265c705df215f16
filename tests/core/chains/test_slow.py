"""Chains over a link on which a block takes ten seconds: the newest few, and no history."""

import pytest

from meshpeer.core.chains.asking import SLOW_SCREEN
from tests.core.chains.village import Peer, Village

pytestmark = pytest.mark.usefixtures("disk")
RATE = 300.0
BLOCKS = 100


def follower():
    ann, bob = Peer("ann"), Peer("bob")
    bob.knows(ann.person)
    ann.posts(*(f"{number}" for number in range(BLOCKS)))
    ann.commit(0.0)
    return ann, bob


def slow(village, ann, bob):
    """Link them; the link is slow before anything is asked for."""
    pipe = village.link(ann, bob)
    pipe.rate = pipe.other.rate = RATE
    return pipe


def test_the_newest_few_come_by_a_slow_link_and_the_rest_by_another():
    ann, bob = follower()
    village = Village()
    pipe = slow(village, ann, bob)
    village.run()
    newest = [f"{number}" for number in range(BLOCKS - SLOW_SCREEN, BLOCKS)]
    assert sorted(bob.texts(ann.person), key=int) == newest
    assert pipe.sent < 400 * SLOW_SCREEN
    village.unlink(pipe)
    village.meet(ann, bob)
    assert len(bob.texts(ann.person)) == BLOCKS


def test_what_is_posted_while_the_slow_link_is_up_comes_too():
    ann, bob = follower()
    village = Village()
    slow(village, ann, bob)
    village.run()
    ann.posts("help")
    village.run()
    assert "help" in bob.texts(ann.person)
    assert len(bob.texts(ann.person)) == SLOW_SCREEN + 1
