"""What chains withstand: false blocks, false heads, thieves, floods, silence and noise."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.chains import messages, session
from meshpeer.core.chains.asking import ASKS, LONGEST_S, PATIENCE_S, SCREEN, UNDERWAY
from meshpeer.core.chains.book import FREE_SPANS, LEAP, PERSON_FOLLOWS
from meshpeer.core.chains.events import AnswerCame, Forked, Held, Question
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.messages import (
    Answer,
    Blocks,
    Follows,
    Get,
    Heads,
    Proof,
    Query,
)
from meshpeer.core.chains.serving import GETS
from meshpeer.core.chains.session import STRIKES
from meshpeer.core.chains.spans import MAX_SPANS
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.card import Cut, Revocation
from meshpeer.core.formats.record import Devices, Follow, Post, Withdraw
from meshpeer.errors import UsageError
from tests.core.chains.stranger import Stranger
from tests.core.chains.village import Log, Peer, Person, Village

pytestmark = pytest.mark.usefixtures("disk")


@pytest.fixture
def ann():
    return Person("ann", devices=2)


@pytest.fixture
def bob(ann):
    bob = Peer("bob")
    bob.knows(ann)
    return bob


def changed(block, **parts):
    return Block(block.header._replace(**parts), block.body)


def signed_by(thief, log, **lies):
    """The next block of a log as somebody else would sign it."""
    other = Log(log.person, id=log.id)
    other.key, other.blocks = thief, list(log.blocks)
    return other.add(**lies)


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


# -- forks


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


# -- withdrawals


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


# -- revocation


def revoke(person, log, device=0):
    cuts = (Cut(log.id, len(log.blocks), log.blocks[-1].id),) if log.blocks else ()
    return person.issue([Revocation(person.devices[device][0].public, cuts)])


@pytest.mark.parametrize("way", ["card", "people", "record", "heads"])
def test_what_a_thief_wrote_with_a_stolen_device_goes_with_its_revocation(bob, ann, way):
    log = Log(ann)
    log.grow(5)
    honest = log.branch(5)
    stolen = log.grow(3)
    foreign = Log(ann, id=b"the thief's log!")
    bob.take(*log.blocks, *foreign.grow(2))
    assert len(bob.rows(ann)) == 10
    card = revoke(ann, honest)
    match way:
        case "card":
            bob.chains.take_card(card, 0.0)
        case "people":
            bob.people.renew(card)
            bob.chains.wake(0.0)
        case "record":
            bob.take(Log(ann, device=1).add(Devices(card.to_bytes())))
        case "heads":
            Stranger(bob).say(Heads(ann.id, card.to_bytes(), ()))
    bob.commit(0.0)
    assert {row[3] for row in bob.rows(ann) if row[0] == log.key.public} == {
        block.id for block in honest.blocks
    }
    bob.take(*stolen, *foreign.blocks)
    assert len([row for row in bob.rows(ann) if row[0] == log.key.public]) == 5
    bob.start()
    bob.take(*stolen, *foreign.blocks)
    assert len([row for row in bob.rows(ann) if row[0] == log.key.public]) == 5
    rows = [row for row in bob.disk.blocks.values() if row.person == ann.id]
    assert bob.chains.weight(ann.id) == sum(max(512, 262 + len(r.body)) for r in rows)


def test_who_hears_of_the_revocation_first_takes_the_log_up_to_its_cut(bob, ann):
    log = Log(ann)
    log.grow(5)
    honest = log.branch(5)
    log.grow(3)
    bob.chains.take_card(revoke(ann, honest), 0.0)
    bob.take(*reversed(log.blocks))
    assert len(bob.rows(ann)) == 5
    thief = log.branch(3)
    thief.add(Post("below the cut"))
    carla = Peer("carla")
    carla.knows(ann)
    carla.take(thief.blocks[3])
    carla.take(*reversed(honest.blocks))
    assert {row[3] for row in carla.rows(ann)} >= {block.id for block in honest.blocks[:3]}


def test_an_older_card_undoes_no_revocation(bob, ann):
    old, log = ann.card, Log(ann)
    log.grow(2)
    bob.chains.take_card(revoke(ann, log), 0.0)
    eve = Stranger(bob)
    eve.say(Heads(ann.id, old.to_bytes(), ()))
    eve.gives(log, log.add())
    assert len(bob.rows(ann)) == 0
    assert bob.chains.card_of(ann.id).number == 2
    eve.gives(log, *log.blocks[:2])
    assert len(bob.rows(ann)) == 2


def test_a_card_of_another_person_or_a_forged_one_is_refused(bob, ann):
    eve, other = Stranger(bob), Person("other")
    other.issue()
    eve.say(Heads(ann.id, other.card.to_bytes(), ()))
    card = bytearray(ann.issue().to_bytes())
    card[-10] ^= 1
    eve.say(Heads(ann.id, bytes(card), ()))
    assert bob.chains.card_of(ann.id).number == 1
    assert sum(bob.chains.counters.values()) == 2


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
    for _ in range(session.FOLLOWS_BURST + STRIKES):
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


# -- questions


def test_a_question_reaches_the_neighbours_and_one_hop_on(ann):
    bob, carla, dan = Peer("bob"), Peer("carla"), Peer("dan")
    village = Village()
    for left, right in ((bob, carla), (carla, dan)):
        village.link(left, right)
    post = dan.say(Post("apples"))
    id = bob.chains.ask(b"apples?", 0.0)
    village.run()
    (asked,) = carla.heard(Question)
    assert asked.query == b"apples?"
    (passed,) = dan.heard(Question)
    assert passed.query_id != id
    dan.chains.answer(passed.neighbour, passed.query_id, [post], 0.0)
    village.run()
    (came,) = bob.heard(AnswerCame)
    assert came.query_id == id
    assert came.blocks == (post,)
    assert came.cards == (dan.person.card,)
    assert not bob.rows(dan.person)


def test_a_peer_that_passes_no_questions_on_answers_itself():
    bob, carla, dan = (
        Peer("bob"),
        Peer("carla", limits=ChainLimits(pass_on=False)),
        Peer("d"),
    )
    village = Village()
    for left, right in ((bob, carla), (carla, dan)):
        village.link(left, right)
    bob.chains.ask(b"apples?", 0.0)
    village.run()
    assert carla.heard(Question)
    assert not dan.heard(Question)


def test_a_false_answer_is_struck_and_never_shown(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    eve.heard()
    id = bob.chains.ask(b"apples?", 0.0)
    block, card = log.add(), ann.card.to_bytes()
    eve.say(Answer(id, (card,), (changed(block, signature=bytes(64)),)))
    eve.say(Answer(id, (), (block,)))
    eve.say(Answer(id, (card, Person("x").card.to_bytes()), (block,)))
    thief = signed_by(Person("mallory").devices[0][0], log)
    eve.say(Answer(id, (card,), (thief,)))
    eve.say(Answer(b"unasked!", (card,), (block,)))
    assert not bob.heard(AnswerCame)
    eve.say(Answer(id, (card,), (block,)))
    assert len(bob.heard(AnswerCame)) == 1


def test_a_flood_of_questions_is_cut_off(bob):
    eve = Stranger(bob)
    for n in range(40):
        if eve.end.closed is None:
            eve.say(Query(n.to_bytes(8), 1, b"apples?"))
    assert eve.end.closed is not None
    assert len(bob.heard(Question)) == 10


def test_a_flood_of_answers_ends(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    id, block = bob.chains.ask(b"apples?", 0.0), log.add()
    for _ in range(100):
        eve.say(Answer(id, (ann.card.to_bytes(),), (block,)))
    assert len(bob.heard(AnswerCame)) == 8
    assert not bob.heard(Held)


def test_blocks_that_nobody_asked_for_are_checked_like_all(bob, ann):
    eve, log = Stranger(bob), Log(ann)
    eve.say(Blocks(log.key.public, log.id, 1, 3, tuple(reversed(log.grow(3)))))
    assert len(bob.rows(ann)) == 3


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
