"""What a person who is followed, near or far, could make grow without end."""

import gc
import weakref

import pytest

from meshpeer.core.chains.authors import RENEWALS_BURST
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.log import BLOCK_COST
from meshpeer.core.chains.messages import Heads
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.card import Revocation
from meshpeer.core.formats.record import Follow, Post, Withdraw
from tests.core.chains.stranger import Stranger
from tests.core.chains.village import Log, Peer, Person

pytestmark = pytest.mark.usefixtures("disk")


def number(n):
    return n.to_bytes(16)


def next_devices(person, bob, count=1):
    """The person gets new devices in place of all others, which are left out, not revoked."""
    person.devices = [person._device() for _ in range(count)]
    bob.chains.take_card(person.issue(), 0.0)


def test_who_changes_devices_again_and_again_has_so_many_logs_and_no_more(ann):
    bob = Peer("bob", limits=ChainLimits(logs=4, person_logs=10))
    bob.knows(ann)
    for _ in range(8):
        next_devices(ann, bob)
        for n in range(4):
            bob.take(Log(ann, id=number(n)).add())
    assert len(bob.chains.book.logs) == len(bob.disk.kept_logs) == 10
    listed = ann.devices[0][0].public
    assert sum(device == listed for device, _ in bob.disk.kept_logs) == 4
    bob.start()
    assert len(bob.chains.book.logs) == 10


def test_logs_of_listed_devices_give_way_to_nobody(ann):
    bob = Peer("bob", limits=ChainLimits(logs=4, person_logs=6))
    bob.knows(ann)
    for device in range(2):
        for n in range(4):
            bob.take(Log(ann, device=device, id=number(n)).add())
    assert len(bob.disk.kept_logs) == 6
    assert bob.chains.counters["logs"] == 2


def test_a_log_gives_way_only_to_a_block_that_is_true(ann):
    bob = Peer("bob", limits=ChainLimits(logs=4, person_logs=4))
    bob.knows(ann)
    for n in range(4):
        bob.take(Log(ann, id=number(n)).add())
    next_devices(ann, bob)
    log = Log(ann)
    forged = log.add()
    forged = forged._replace(header=forged.header._replace(signature=bytes(64)))
    Stranger(bob).gives(log, forged)
    assert len(bob.disk.kept_logs) == 4
    bob.take(*log.blocks)
    assert len(bob.disk.kept_logs) == 4
    assert (log.key.public, log.id) in bob.disk.kept_logs


def test_whom_a_contact_follows_has_few_logs(ann):
    bob = Peer("bob", limits=ChainLimits(nearby_logs=3))
    other = Person("other")
    bob.knows(ann)
    bob.take(Log(ann).add(Follow(other.id, True)))
    bob.chains.take_card(other.card, 0.0)
    for n in range(9):
        bob.take(Log(other, id=number(n)).add())
    assert len(bob.chains.book.logs_of(other.id)) == 3


@pytest.mark.parametrize("restarts", [False, True])
def test_withdrawing_what_is_not_there_without_end_fills_no_disk(ann, restarts):
    most = 20
    bob = Peer("bob", limits=ChainLimits(person=most * BLOCK_COST))
    bob.knows(ann)
    log = Log(ann)
    for n in range(200):
        bob.take(log.add(Withdraw(n.to_bytes(32))))
        if restarts and n % 7 == 0:
            bob.start()
    assert len(bob.rows(ann)) <= most
    assert bob.disk.count_withdrawn(ann.id) <= 2 * most + 1


def test_who_withdraws_much_that_is_held_has_it_withdrawn(ann):
    most = 40
    bob = Peer("bob", limits=ChainLimits(person=most * BLOCK_COST))
    bob.knows(ann)
    posts, log = Log(ann, device=1), Log(ann)
    bob.take(*posts.grow(5))
    for post in posts.blocks:
        bob.take(log.add(Withdraw(post.id)))
    for n in range(3 * most):
        bob.take(log.add(Withdraw(n.to_bytes(32))))
    bob.take(*posts.blocks)
    held = [bob.disk.blocks[post.id] for post in posts.blocks if post.id in bob.disk.blocks]
    assert all(row.body is None for row in held)


def test_forks_of_revoked_devices_are_not_kept_for_ever(ann):
    bob = Peer("bob")
    bob.knows(ann)
    revoked = []
    for _ in range(5):
        device = ann.devices[0][0].public
        log = Log(ann)
        log.add()
        bob.take(*log.blocks, log.branch(0).add(Post("another truth")))
        assert (device, log.id) in bob.disk.kept_forks
        revoked.append(Revocation(device))
        ann.devices = [ann._device()]
        bob.chains.take_card(ann.issue(revoked), 0.0)
        bob.commit(0.0)
    assert not bob.disk.kept_forks


def test_a_neighbour_that_keeps_every_second_body_back_makes_no_long_row(ann):
    """Its commits cost more and more, and so does each look at what lacks."""
    bob, log = Peer("bob"), Log(ann)
    bob.knows(ann)
    log.grow(1_500)
    mean, kind = Stranger(bob, "mean"), Stranger(bob, "kind")
    half = [
        Block(block.header, block.body if n % 2 else None)
        for n, block in enumerate(log.blocks)
    ]
    for first in range(0, 1_500, 100):
        mean.gives(log, *half[first : first + 100])
    (row,) = bob.disk.kept_logs.values()
    assert len(row.state) < 3_500
    for first in 2 * [*range(1_400, -1, -100)]:
        kind.gives(log, *log.blocks[first : first + 100])
    assert {(row[2], row[4]) for row in bob.rows(ann)} == {
        (n, True) for n in range(1, 1_501)
    }


def test_a_neighbour_that_stays_keeps_no_dropped_log_in_memory(ann):
    bob = Peer("bob")
    bob.knows(ann)
    Stranger(bob).wants(ann)
    log = Log(ann)
    bob.take(*log.grow(3))
    seen = weakref.ref(bob.chains.book.logs_of(ann.id)[0])
    bob.chains.mute(ann.id, 0.0)
    bob.commit(0.0)
    gc.collect()
    assert seen() is None
    assert not bob.chains._cut_by


def test_who_signs_card_after_card_makes_a_peer_tell_few_of_them(ann):
    """Forged ones of others cost the true one nothing."""
    bob, other = Peer("bob"), Person("other")
    bob.knows(ann, other)
    eve, follower = Stranger(bob), Stranger(bob, "follower")
    follower.wants(ann, other)
    follower.asks(Heads)
    for _ in range(200):
        eve.say(Heads(ann.id, ann.issue().to_bytes(), ()))
    told = [heads for heads in follower.asks(Heads) if heads.card]
    assert len(told) <= RENEWALS_BURST
    for n in range(40):
        card = bytearray(other.issue().to_bytes())
        card[-10] ^= 1
        Stranger(bob, f"forger{n}").say(Heads(other.id, bytes(card), ()))
    eve.say(Heads(other.id, other.card.to_bytes(), ()))
    assert bob.chains.card_of(other.id) == other.card
    eve.wait(60)
    eve.say(Heads(ann.id, ann.issue().to_bytes(), ()))
    assert bob.chains.card_of(ann.id) == ann.card
