"""Two blocks at one place of a log: found, proved, passed on, and never made by accident."""

from random import Random

import pytest

from meshpeer.core.chains.events import Forked
from meshpeer.core.chains.messages import (
    Proof,
)
from meshpeer.core.formats.record import Post
from tests.core.chains.stranger import Stranger
from tests.core.chains.village import Log, Peer, Village

pytestmark = pytest.mark.usefixtures("disk")


@pytest.mark.parametrize("seed", range(12))
def test_a_fork_is_found_in_all_orders_and_freezes_its_log_only(ann, seed):
    log = Log(ann)
    log.grow(8)
    other = log.branch(5)
    log.grow(4)
    other.add(Post("another truth"))
    other.grow(4)
    blocks = list({block.id: block for block in log.blocks + other.blocks}.values())
    Random(seed).shuffle(blocks)
    bob = Peer("bob")
    bob.knows(ann)
    bob.take(*blocks)
    assert len(bob.disk.kept_forks) == 1
    assert [event.own for event in bob.heard(Forked)] == [False]
    bob.take(log.add(), other.add())
    held = {row[2] for row in bob.rows(ann)}
    bob.take(*blocks)
    assert set(range(1, 6)) <= {row[2] for row in bob.rows(ann)}
    assert held <= {row[2] for row in bob.rows(ann)}
    quiet = Log(ann, id=b"another log here")
    bob.take(*quiet.grow(3))
    assert len([row for row in bob.rows(ann) if row[1] == quiet.id]) == 3


def test_the_proof_of_a_fork_is_passed_on_and_kept(ann):
    bob, carla, dan = Peer("bob"), Peer("carla"), Peer("dan")
    for peer in (bob, carla, dan):
        peer.knows(ann)
    log = Log(ann)
    log.grow(5)
    other = log.branch(4)
    other.add(Post("another truth"))
    bob.take(*log.blocks)
    carla.take(*other.blocks)
    village = Village()
    village.meet(bob, carla)
    assert bob.disk.kept_forks
    assert carla.disk.kept_forks
    bob.start()
    village.meet(bob, dan)
    assert dan.disk.kept_forks
    assert len(dan.rows(ann)) == 4
    assert dan.heard(Forked)
    assert village.meet(bob, dan) < 400


def test_a_longer_branch_is_not_taken_for_news(ann):
    """Both hold five blocks in common, then their own; heads tell different ids of one height."""
    bob, carla = Peer("bob"), Peer("carla")
    for peer in (bob, carla):
        peer.knows(ann)
    log = Log(ann)
    log.grow(20)
    other = log.branch(5)
    other.grow(0)
    other.add(Post("another truth"))
    other.grow(200)
    bob.take(*log.blocks)
    carla.take(*other.blocks)
    Village().meet(bob, carla)
    assert bob.disk.kept_forks
    assert carla.disk.kept_forks


def test_headers_that_do_not_contradict_each_other_prove_nothing(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    one, two = log.grow(2)
    bob.take(one)
    eve.say(Proof(one.header, two.header))
    eve.say(Proof(one.header, one.header))
    assert not bob.disk.kept_forks
    assert bob.chains.counters["proof"] == 2


def test_a_forged_proof_freezes_nothing(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    one = log.add()
    forged = log.branch(0).add(Post("never said"))
    eve.say(Proof(one.header, forged.header._replace(signature=bytes(64))))
    assert not bob.disk.kept_forks


def test_who_made_a_fork_goes_on_in_a_new_log(ann):
    peer = Peer("ann", ann)
    peer.say(Post("one"))
    ((_, id),) = peer.disk.kept_logs
    log = Log(ann, id=id)
    log.add(Post("not one"))
    peer.take(*log.blocks)
    assert [event.own for event in peer.heard(Forked)] == [True]
    block = peer.say(Post("two"))
    assert block.header.log != id
    peer.start()
    assert peer.say(Post("three")).header.log == block.header.log
