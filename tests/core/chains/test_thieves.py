"""What a thief of a device key can do, and how much of it a revocation undoes."""

import pytest

from meshpeer.core.chains.events import Forked
from meshpeer.core.chains.interest import Level
from meshpeer.core.chains.messages import Heads, Proof
from meshpeer.core.formats.card import Cut, Revocation
from meshpeer.core.formats.record import Follow, Post
from tests.core.chains.stranger import Stranger
from tests.core.chains.village import Log, Peer, Person, Village

pytestmark = pytest.mark.usefixtures("disk")


@pytest.fixture
def log(ann):
    log = Log(ann)
    log.grow(5)
    return log


def forged(log, at, count=1):
    """What the thief signs in place of all from this block on."""
    other = log.branch(at - 1)
    return [other.add(Post(f"forged {n}")) for n in range(count)]


def revoke(person, log):
    last = log.blocks[-1]
    return person.issue(
        [Revocation(log.key.public, (Cut(log.id, len(log.blocks), last.id),))]
    )


def whole(peer, person, log):
    return {row[3] for row in peer.rows(person)} >= {block.id for block in log.blocks}


def test_a_thief_of_a_revoked_device_freezes_nothing_of_what_was_said_before(bob, ann, log):
    (false,) = forged(log, 2)
    card = revoke(ann, log)
    bob.take(*log.blocks)
    bob.chains.take_card(card, 0.0)
    proof = Proof(log.blocks[1].header, false.header)
    Stranger(bob).say(proof)
    carla = Peer("carla")
    carla.knows(ann)
    eve = Stranger(carla)
    eve.say(Heads(ann.id, card.to_bytes(), ()), proof)
    assert not bob.heard(Forked)
    assert not carla.heard(Forked)
    Village().meet(bob, carla)
    assert whole(carla, ann, log)


def test_a_revocation_thaws_what_a_thief_froze(bob, ann, log):
    false = forged(log, 2)
    bob.take(*log.blocks, *false)
    assert bob.heard(Forked)
    carla = Peer("carla")
    carla.knows(ann)
    Village().meet(bob, carla)
    assert len(carla.rows(ann)) == 1
    bob.chains.take_card(revoke(ann, log), 0.0)
    bob.commit(0.0)
    Village().meet(bob, carla)
    assert whole(carla, ann, log)
    assert len(carla.rows(ann)) == 5
    for peer in (bob, carla):
        peer.start()
        assert not peer.chains.frozen(ann.id)
        Stranger(peer).say(Proof(log.blocks[1].header, false[0].header))
        assert not peer.chains.frozen(ann.id)


@pytest.mark.parametrize("frozen", [False, True])
def test_the_true_branch_takes_the_place_of_the_false_one(bob, ann, log, frozen):
    bob.take(*log.blocks[:2], *forged(log, 3, 6))
    if frozen:
        Stranger(bob).say(Proof(log.blocks[2].header, forged(log, 3)[0].header))
        assert bob.heard(Forked)
    bob.chains.take_card(revoke(ann, log), 0.0)
    bob.commit(0.0)
    for _ in range(2):
        bob.take(*reversed(log.blocks))
    assert whole(bob, ann, log)
    assert len(bob.rows(ann)) == 5
    bob.start()
    bob.take(*log.blocks)
    assert bob.chains.weight(ann.id) == 5 * 512


@pytest.mark.parametrize("at", [2, 3, 4, 5])
def test_a_false_block_that_is_first_does_not_shut_the_true_ones_out(bob, ann, log, at):
    false = forged(log, at, 2)
    bob.chains.take_card(revoke(ann, log), 0.0)
    bob.take(*false)
    for _ in range(2):
        bob.take(*reversed(log.blocks))
    assert whole(bob, ann, log)
    assert len(bob.rows(ann)) == 5
    assert not bob.heard(Forked)


def test_whom_a_thief_followed_is_followed_no_more_after_the_revocation(ann):
    phone, kept, foe = Peer("phone", ann, device=1), Person("kept"), Person("foe")
    log = Log(ann)
    log.add(Follow(kept.id, True))
    honest = log.branch(1)
    stolen = [log.add(Follow(foe.id, True), lamport=1), log.add(Follow(kept.id, False))]
    phone.take(*log.blocks)
    assert phone.chains.level(foe.id) is Level.ALWAYS
    assert phone.chains.level(kept.id) is Level.NONE
    phone.chains.take_card(revoke(ann, honest), 0.0)
    phone.commit(0.0)
    assert phone.chains.level(foe.id) is Level.NONE
    phone.take(*stolen)
    phone.start()
    assert phone.chains.level(foe.id) is Level.NONE


def test_the_later_of_two_follow_records_of_a_log_holds_whatever_their_numbers(bob, ann):
    log, other = Log(ann), Person("other")
    for following in (True, False, True):
        bob.take(log.add(Follow(other.id, following), lamport=7))
        assert (bob.chains.level(other.id) is Level.SOME) is following
    bob.take(log.add(Follow(other.id, False), lamport=3))
    assert bob.chains.level(other.id) is Level.NONE
