"""How fast strangers are given chains, and that contacts don't feel it."""

import pytest

from meshpeer.core.chains.messages import Blocks, Get
from meshpeer.core.chains.serve_rate import BUCKETS, Buckets, ServeRate
from meshpeer.core.formats.record import Post
from meshpeer.core.link.slow import LONG_S, SERVED_SHARE
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.allowance import Rate
from tests.core.chains.stranger import Stranger
from tests.core.chains.village import Log, Peer, Village

pytestmark = pytest.mark.usefixtures("disk")

SLOW = Rate(50_000, 300_000)


def long_log(ann):
    log = Log(ann)
    for n in range(50):
        log.add(Post(f"{n} " + "x" * 16_000))
    return log


def stranger(name, network="192.0.2.0"):
    return Account(Kind.STRANGER, f"{network}/{name}")


def test_a_stranger_that_asks_again_and_again_gets_it_ever_more_slowly(ann, bob):
    log = long_log(ann)
    bob.take(*log.blocks)
    bob.chains.serve_rate = ServeRate(stranger=SLOW)
    eve = Stranger(bob)
    eve.say(Get(log.key.public, log.id, 1, 50))

    def given():
        return sum(len(one.blocks) for one in eve.asks(Blocks))

    at_once = given()
    assert 10 <= at_once < 40
    eve.wait(6)
    later = given()
    assert 1 <= later < 50 - at_once
    eve.wait(30)
    assert at_once + later + given() == 50
    assert eve.end.closed is None


def test_to_link_again_makes_nothing_faster(ann, bob):
    log = long_log(ann)
    bob.take(*log.blocks)
    bob.chains.serve_rate = ServeRate(stranger=SLOW)
    given = []
    for _ in range(5):
        eve = Stranger(bob)
        eve.say(Get(log.key.public, log.id, 1, 50))
        given.append(sum(len(one.blocks) for one in eve.asks(Blocks)))
        bob.chains.link_down(eve.end, 0.0)
    assert 10 <= sum(given) < 40


def test_a_contact_gets_what_its_link_takes(ann):
    author, bob = Peer("author", ann), Peer("bob")
    bob.knows(ann)
    author.chains.serve_rate = ServeRate(stranger=SLOW, network=SLOW)
    for n in range(50):
        author.posts(f"{n} " + "x" * 16_000)
    author.commit(0.0)
    Village().meet(author, bob)
    assert bob.rows(ann) == author.rows(ann)


def test_many_keys_of_a_network_share_what_it_gets_and_other_networks_do_not():
    rate = ServeRate(stranger=Rate(10, 1_000), network=Rate(10, 3_000))
    for n in range(3):
        assert rate.may(stranger(f"eve{n}"), 0.0)
        rate.gave(stranger(f"eve{n}"), 1_000, 0.0)
        assert not rate.may(stranger(f"eve{n}"), 0.0)
    assert not rate.may(stranger("eve9"), 0.0)
    assert rate.may(stranger("olga", "198.51.100.0"), 0.0)
    assert rate.may(stranger("eve9"), 1.0)


def test_ever_new_strangers_leave_no_more_than_so_many_buckets():
    buckets = Buckets(Rate(1, 10))
    buckets.fill("eve", 1_000_000, 0.0)
    for n in range(BUCKETS + 10):
        buckets.fill(f"{n}", 1, 0.0)
    assert len(buckets._empty_at) == BUCKETS
    assert not buckets.open("eve", 0.0)


def test_a_slow_link_gives_anybody_ten_minutes_of_history_and_then_a_share():
    rate, contact = ServeRate(), Account(Kind.CONTACT, "ann")
    bits = 1_200.0
    at_once = 0
    while rate.may_slowly(contact, bits, 0.0):
        rate.gave_slowly(contact, bits, 1_000, 0.0)
        at_once += 1_000
    assert abs(at_once * 8 / bits - LONG_S) < 10
    assert rate.may_slowly(contact, None, 0.0)
    assert rate.may_slowly(stranger("eve"), bits, 0.0)
    for second in range(3_600):
        if rate.may_slowly(contact, bits, float(second)):
            rate.gave_slowly(contact, bits, 1_000, float(second))
            at_once += 1_000
    spent = at_once * 8 / bits
    assert abs(spent - LONG_S - SERVED_SHARE * 3_600) < 20
    for number in range(2 * BUCKETS):
        rate.gave_slowly(stranger(f"{number}"), bits, 100, 0.0)
    assert len(rate._slowly) == BUCKETS


def test_who_asks_for_a_whole_log_by_a_slow_link_gets_the_newest_of_it(ann, bob):
    log = long_log(ann)
    bob.take(*log.blocks)
    eve = Stranger(bob)
    eve.end.rate = 1_200.0
    eve.say(Get(log.key.public, log.id, 1, 50))

    def given():
        return sum(len(one.blocks) for one in eve.asks(Blocks))

    counts = []
    for _ in range(50):
        eve.wait(60)
        counts.append(given())
    assert 5 <= sum(counts[:10]) <= 8  # of 16 kB, which take 107 seconds
    assert 4 <= sum(counts[10:]) <= 7
    assert eve.end.closed is None
