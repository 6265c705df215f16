"""What chains withstand: false blocks, false heads, floods, silence and noise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.chains import following, messages
from meshpeer.core.chains.asking import ASKS, LONGEST_S, PATIENCE_S, SCREEN, UNDERWAY
from meshpeer.core.chains.book import FREE_SPANS, LEAP, PERSON_FOLLOWS
from meshpeer.core.chains.events import Forked
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.messages import (
    Follows,
    Get,
)
from meshpeer.core.chains.serving import GETS
from meshpeer.core.chains.session import STRIKES
from meshpeer.core.chains.spans import MAX_SPANS
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.record import Follow
from tests.core.chains.stranger import Stranger, changed
from tests.core.chains.village import Log, Peer, Person, Village

pytestmark = pytest.mark.usefixtures("disk")


# -- false blocks


def test_a_block_signed_by_another_key_is_refused_and_struck(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    block = log.add()
    forged = changed(block, signature=bytes(64))
    eve.gives(log, forged)
    assert not bob.rows(ann)
    assert bob.chains.counters["signature"] == 1


def test_a_block_of_a_device_that_is_not_in_the_card_is_refused(bob, ann):
    eve, other = Stranger(bob), Person("mallory")
    log = Log(ann)
    log.key = other.devices[0][0]
    log.add()
    eve.gives(log, *log.blocks)
    assert not bob.rows(ann)
    assert bob.chains.counters["device"] == 1
    assert eve.end.closed is None


def test_a_block_in_the_name_of_another_person_is_refused(bob, ann):
    eve, other = Stranger(bob), Person("other")
    bob.knows(other)
    log = Log(ann)
    log.grow(2)
    bob.take(*log.blocks)
    eve.gives(log, log.add(person=other.id))
    assert len(bob.rows(ann)) == 2
    assert not bob.rows(other)


def test_a_log_that_begins_in_another_name_does_not_shut_the_true_person_out(bob, ann):
    """A device may sign for whom it likes; only whose card lists it counts."""
    other = Person("other")
    bob.knows(other)
    log = Log(ann)
    Stranger(bob).gives(log, log.add(person=other.id))
    assert not bob.rows(other)
    log.blocks.clear()
    bob.take(log.add())
    assert len(bob.rows(ann)) == 1


def test_a_body_of_another_hash_is_refused_with_its_block(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    block = log.add()
    body = bytearray(block.body)
    body[-1] ^= 1
    eve.gives(log, Block(block.header, bytes(body)))
    assert not bob.rows(ann)
    assert bob.chains.counters["body"] == 1


def test_a_body_that_is_no_record_is_refused_without_blame(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    for _ in range(2 * STRIKES):
        eve.gives(log, log.add(body=b"not cbor"))
    assert not bob.rows(ann)
    assert eve.end.closed is None


def test_blocks_of_a_stranger_are_not_held(bob):
    eve, log = Stranger(bob), Log(Person("nobody"))
    eve.offers(log)
    eve.gives(log, *log.grow(3))
    assert not bob.disk.blocks
    assert not bob.disk.kept_authors
    assert not eve.asks(Get)


def test_a_block_whose_previous_link_is_wrong_freezes_the_log(bob, ann):
    log = Log(ann)
    bob.take(*log.grow(5), log.add(previous=b"x" * 32, skip=b"x" * 32))
    assert len(bob.rows(ann)) == 5
    assert bob.disk.kept_forks


def test_a_block_whose_skip_link_is_wrong_freezes_the_log(bob, ann):
    log = Log(ann)
    log.grow(12)
    bad = log.add(skip=b"x" * 32)
    bob.take(*log.blocks[:12], bad)
    assert len(bob.rows(ann)) == 12
    assert [event.log for event in bob.heard(Forked)] == [log.id]


def test_a_wrong_skip_link_is_found_also_when_the_block_it_names_comes_later(bob, ann):
    log = Log(ann)
    log.grow(12)
    log.add(skip=b"x" * 32)
    bob.take(*reversed(log.blocks))
    assert bob.disk.kept_forks
    assert 4 not in {row[2] for row in bob.rows(ann)}


def test_blocks_with_holes_between_are_held_only_in_few_spans(bob, ann):
    log = Log(ann)
    log.grow(300)
    bob.take(*log.blocks[::2])
    assert len(bob.rows(ann)) == MAX_SPANS
    for _ in range(2):
        bob.take(*reversed(log.blocks))
    assert len(bob.rows(ann)) == 300


def test_no_more_than_64_logs_of_a_device_are_held(bob, ann):
    limit = bob.chains.limits.logs
    for n in range(limit + 3):
        bob.take(Log(ann, id=n.to_bytes(16)).add())
    assert len(bob.disk.kept_logs) == limit
    bob.take(Log(ann, device=1).add())
    assert len(bob.disk.kept_logs) == limit + 1


def test_the_last_lamport_number_stops_nobody_from_posting(bob, ann):
    log = Log(ann)
    bob.take(log.add(lamport=2**53 - 1))
    first, second = bob.posts("still", "here")
    assert LEAP < first.header.lamport < second.header.lamport < 2 * LEAP
    assert (2**53 - 1) // LEAP > 2**28


# -- allowances


def test_a_million_tiny_blocks_stay_within_the_allowance(ann):
    """Here a thousand times fewer, and an allowance a thousand times smaller."""
    bob = Peer("bob", limits=ChainLimits(person=256 << 10))
    bob.knows(ann)
    log, eve = Log(ann), Stranger(bob)
    for _ in range(10):
        log.grow(100)
        eve.gives(log, *log.blocks[-100:])
        assert bob.chains.weight(ann.id) <= 256 << 10
    held = sorted(row[2] for row in bob.rows(ann))
    assert held == list(range(held[0], 1_001))
    assert 450 < len(held) <= 512
    assert bob.chains.weight(ann.id) == 512 * len(held)
    eve.offers(log)
    assert not eve.asks(Get)
    bob.start()
    assert bob.chains.weight(ann.id) == 512 * len(held)


def test_history_stops_where_the_allowance_is_full(ann):
    bob, anns = Peer("bob", limits=ChainLimits(person=100 << 10)), Peer("ann", ann)
    bob.knows(ann)
    anns.posts(*(f"{n}" for n in range(1_000)))
    anns.commit(0.0)
    village = Village()
    village.meet(anns, bob)
    held = sorted(row[2] for row in bob.rows(ann))
    assert held == list(range(held[0], 1_001))
    assert 180 < len(held) <= 200
    assert village.meet(anns, bob) < 1_000


def test_of_two_logs_the_larger_makes_room(ann):
    bob = Peer("bob", limits=ChainLimits(person=50 << 10))
    bob.knows(ann)
    flood, quiet = Log(ann), Log(ann, device=1)
    bob.take(*quiet.grow(10), *flood.grow(200))
    devices = [row[0] for row in bob.rows(ann)]
    assert devices.count(quiet.key.public) == 10
    assert devices.count(flood.key.public) <= 90


# -- neighbours that lie, flood or say nothing


def test_a_neighbour_that_brings_nothing_is_not_waited_for(bob, ann):
    log = Log(ann)
    log.grow(10)
    mute, kind = Stranger(bob, "mute"), Stranger(bob, "kind")
    mute.offers(log)
    kind.offers(log)
    assert not kind.asks(Get)
    mute.wait(PATIENCE_S + 1)
    (get,) = kind.asks(Get)
    kind.gives(log, *log.blocks)
    assert (get.first, get.last) == (1, 10)
    assert len(bob.rows(ann)) == 10


def test_a_neighbour_that_goes_is_replaced_at_once(bob, ann):
    log = Log(ann)
    log.grow(10)
    one, other = Stranger(bob, "one"), Stranger(bob, "other")
    one.offers(log)
    other.offers(log)
    bob.chains.link_down(one.end, 0.0)
    assert [get.last for get in other.asks(Get)] == [10]


def test_a_neighbour_that_trickles_does_not_keep_others_from_being_asked(bob, ann):
    log = Log(ann)
    log.grow(10)
    slow, kind = Stranger(bob, "slow"), Stranger(bob, "kind")
    slow.offers(log)
    kind.offers(log)
    for second in range(int(LONGEST_S)):
        assert not kind.asks(Get), second
        slow.wait(1)
        slow.send(messages.frame(99, b"of a kind to come"))
    (get,) = kind.asks(Get)
    assert (get.first, get.last) == (1, 10)
    assert len(slow.asks(Get)) == 1


def test_a_lie_about_the_height_costs_one_question(bob, ann):
    log, eve = Log(ann), Stranger(bob)
    eve.heard()
    eve.offers(log, height=2**53 - 1)
    eve.gives(log, first=2**53 - 64, last=2**53 - 1)
    gets = eve.asks(Get)
    assert sum(get.last - get.first + 1 for get in gets) <= UNDERWAY + SCREEN
    eve.wait(PATIENCE_S + 1)
    bob.knows(Person("other"))
    assert not bob.rows(ann)


def test_lies_about_many_logs_are_bounded_and_true_ones_are_still_heard(bob, ann):
    eve, kind, log = Stranger(bob), Stranger(bob, "kind"), Log(ann)
    log.grow(3)
    for n in range(100):
        eve.offers(Log(ann, id=n.to_bytes(16)), height=10)
    assert len(eve.asks(Get)) <= ASKS
    kind.offers(log)
    kind.gives(log, *log.blocks)
    assert len(bob.rows(ann)) == 3


def test_eight_malformed_messages_close_the_link(bob):
    eve = Stranger(bob)
    for n in range(STRIKES):
        assert eve.end.closed is None, n
        eve.send(messages.frame(3, b"short"))
    assert eve.end.closed is not None


def test_a_frame_without_end_closes_the_link(bob):
    eve = Stranger(bob)
    eve.send(b"\4\xff\xff\xff\x7f")
    assert eve.end.closed is not None


def test_who_asks_for_all_and_reads_nothing_costs_little(ann):
    peer = Peer("ann", ann)
    peer.posts(*("x" * 4_000 for _ in range(500)))
    peer.commit(0.0)
    ((device, log),) = peer.disk.kept_logs
    eve = Stranger(peer)
    eve.send(b"".join(messages.pack(Get(device, log, 1, 500)) for _ in range(50)))
    assert len(eve.end.out) < 1 << 20
    eve.send(messages.pack(Get(device, log, 1, 500)) * (GETS + STRIKES))
    assert eve.end.closed is not None


def test_who_asks_for_what_is_not_held_gets_an_empty_answer(bob, ann):
    eve = Stranger(bob)
    eve.heard()
    log = Log(ann)
    bob.take(*log.grow(3))
    (answer,) = eve.say(Get(b"d" * 32, b"l" * 16, 1, 2**53 - 1))
    assert (answer.first, answer.last, answer.blocks) == (1, 2**53 - 1, ())
    answers = eve.say(Get(log.key.public, log.id, 2, 1_000))
    assert [b.header.sequence for a in answers for b in a.blocks] == [3, 2]
    assert answers[-1].first == 2


def test_who_follows_in_a_flood_is_cut_off(bob):
    eve = Stranger(bob)
    many = tuple(messages.Follow(bytes(8), bytes(8)) for _ in range(2_000))
    for _ in range(following.FOLLOWS_BURST + STRIKES):
        if eve.end.closed is None:
            eve.say(Follows(False, many))
    assert eve.end.closed is not None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=400)), max_size=20))
def test_noise_closes_a_link_at_most(noise):
    bob, ann = Peer("bob"), Person("ann")
    bob.knows(ann)
    eve = Stranger(bob)
    for number, body in noise:
        if eve.end.closed is None:
            eve.send(messages.frame(number, body))
    assert not bob.disk.blocks


# -- memory


def test_heads_said_again_and_again_take_no_more_memory(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    log.grow(3)
    for n in range(ASKS + 10):
        eve.offers(Log(ann, id=n.to_bytes(16)), height=10)
    for _ in range(200):
        eve.offers(log)
    asking = bob.chains._sessions[eve.end.peer_id]._asking
    assert len(asking._screens) + len(asking._history) <= ASKS + 11


def test_a_person_with_many_logs_may_not_have_holes_in_all_of_them(bob, ann):
    for n in range(40):
        log = Log(ann, id=n.to_bytes(16))
        log.grow(16)
        bob.take(*log.blocks[::2])
    spans = sum(len(log.held) for log in bob.chains.book.logs_of(ann.id))
    assert spans <= 40 * FREE_SPANS + MAX_SPANS


def test_a_person_who_follows_the_whole_world_is_remembered_in_part(bob, ann):
    for n in range(6):
        log = Log(ann, id=n.to_bytes(16))
        for other in range(250):
            log.add(Follow(bytes((n, other)) * 16, True))
        bob.take(*log.blocks)
    logs = bob.chains.book.logs_of(ann.id)
    assert sum(len(log.follows) for log in logs) <= PERSON_FOLLOWS
    assert len(bob.rows(ann)) == 1_500


def test_who_reads_nothing_is_asked_and_answered_nothing_more(bob, ann):
    eve = Stranger(bob)
    eve.end.out += bytes(300_000)
    before = len(eve.end.out)
    bob.chains.ask(b"apples?", 0.0)
    bob.chains.answer(eve.end.peer_id, b"question", [Log(ann).add()], 0.0)
    assert len(eve.end.out) == before
