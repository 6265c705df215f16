"""What a withdrawal takes, in whatever order it comes, and what nobody can withdraw."""

import pytest

from meshpeer.core.chains.messages import (
    Get,
)
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.record import Post, Withdraw
from meshpeer.errors import UsageError
from tests.core.chains.stranger import Stranger
from tests.core.chains.village import Log, Peer, Person, Village

pytestmark = pytest.mark.usefixtures("disk")


def test_a_withdrawal_takes_the_body_and_leaves_the_header(ann):
    peer, bob = Peer("ann", ann), Peer("bob")
    bob.knows(ann)
    bad = peer.say(Post("a mistake"))
    village = Village()
    village.meet(peer, bob)
    peer.say(Withdraw(bad.id))
    assert peer.disk.blocks[bad.id].body is None
    village.meet(peer, bob)
    assert bob.disk.blocks[bad.id].body is None
    assert bob.disk.blocks[bad.id].item is None
    assert len(bob.rows(ann)) == 2
    assert village.meet(peer, bob) < 200


@pytest.mark.parametrize("restart", [False, True])
def test_a_withdrawal_may_come_before_what_it_withdraws(bob, ann, restart):
    log = Log(ann)
    bad = log.add(Post("a mistake"))
    bob.take(log.add(Withdraw(bad.id)))
    if restart:
        bob.start()
    bob.take(bad)
    assert bob.disk.blocks[bad.id].body is None
    assert bob.texts(ann) == []


def test_a_withdrawal_and_its_target_may_come_in_one_read(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    bad = log.add(Post("a mistake"))
    log.add(Withdraw(bad.id))
    eve.gives(log, *log.blocks)
    assert bob.disk.blocks[bad.id].body is None


@pytest.mark.parametrize("first", [False, True])
def test_a_withdrawal_itself_can_not_be_withdrawn(bob, ann, first):
    log = Log(ann)
    post = log.add(Post("a mistake"))
    gone = log.add(Withdraw(post.id))
    log.add(Withdraw(gone.id))
    bob.take(*(reversed(log.blocks) if first else log.blocks))
    assert bob.disk.blocks[post.id].body is None
    assert bob.disk.blocks[gone.id].body is not None


def test_who_publishes_is_told_what_can_not_be_withdrawn(ann):
    peer, bob = Peer("ann", ann), Peer("bob")
    peer.knows(bob.person)
    theirs = bob.say(Post("mine"))
    peer.take(theirs)
    post = peer.say(Post("a mistake"))
    gone = peer.say(Withdraw(post.id))
    for target in (gone.id, theirs.id):
        with pytest.raises(UsageError):
            peer.say(Withdraw(target))


def test_nobody_withdraws_what_another_said(bob, ann):
    other, log = Person("other"), Log(ann)
    bob.knows(other)
    post = log.add(Post("true"))
    before = Log(other)
    bob.take(before.add(Withdraw(post.id)), post)
    bob.take(Log(other, id=b"2" * 16).add(Withdraw(post.id)))
    assert bob.disk.blocks[post.id].body is not None


def test_a_body_that_a_neighbour_keeps_back_is_had_from_another(bob, ann):
    log = Log(ann)
    log.grow(3)
    mean, kind = Stranger(bob, "mean"), Stranger(bob, "kind")
    mean.offers(log)
    mean.gives(log, *(Block(block.header, None) for block in log.blocks))
    assert len(bob.rows(ann)) == 3
    kind.offers(log)
    (get,) = kind.asks(Get)
    assert (get.first, get.last) == (1, 3)
    kind.gives(log, *log.blocks)
    assert all(row[4] for row in bob.rows(ann))
    assert bob.texts(ann) == ["ann 1", "ann 2", "ann 3"]
