"""What one session withstands: liars, floods, noise, a slow disk, links that go at any moment."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.formats.bundle import Bundle, Priority
from meshpeer.core.formats.receipt import ValueEntry
from meshpeer.core.sync import messages, reconciling, session
from meshpeer.core.sync.depot import INTAKE_LIMIT, PATIENCE_S
from meshpeer.core.sync.events import CarriedBy, Refused
from meshpeer.core.sync.messages import (
    Code,
    Hello,
    Lack,
    Offer,
    Pause,
    Recon,
    Result,
    Resume,
    Run,
    Set,
    Values,
    Want,
    WantValues,
)
from meshpeer.core.sync.session import STRIKES
from meshpeer.core.sync.shares import Limits
from meshpeer.core.sync.tags import hello, salted
from meshpeer.core.sync.transfer import Transfers, frame
from meshpeer.core.sync.verdict import Deferred, Opened, Rejected
from tests.core.sync.stranger import Stranger
from tests.core.sync.village import Peer, Village, bundle, capacity, receipt

FOR_BOB = b"BOB!" * 4


@pytest.fixture
def bob():
    return Peer("bob", tags={FOR_BOB})


def test_the_first_message_shows_salted_tags_and_hides_their_number(bob):
    eve = Stranger(bob)
    (said,) = [said for said in eve.heard() if isinstance(said, Hello)]
    assert len(said.tags) == 4
    assert salted(FOR_BOB, eve.end.binding) in said.tags
    assert len(hello([FOR_BOB] * 5, b"salt", Random(1).randbytes).tags) == 8
    bob.sync.tags = {FOR_BOB, b"B" * 16}
    (said,) = eve.heard()
    assert salted(b"B" * 16, eve.end.binding) in said.tags


@pytest.mark.parametrize(
    ("verdict", "code", "over"),
    [
        (Opened(receipt(1)), Code.DURABLE, True),
        (Rejected("no seal"), Code.INVALID, True),
        (Deferred("the requests box is full"), Code.LATER, False),
    ],
)
def test_a_bundle_for_a_person_here_is_opened_at_once(bob, verdict, code, over):
    letter = bundle(1, tag=FOR_BOB)
    bob.receipts[letter.header.receipt_hash] = verdict
    eve = Stranger(bob)
    eve.heard()
    eve.send(2, frame(letter.wire, letter.id, 0))
    assert eve.answers() == [Run(2, 0, 1, code)]
    assert len(bob.queue) == 0
    eve.send(2, frame(letter.wire, letter.id, 0))
    assert eve.answers() == [Run(2, 1, 1, Code.OVER if over else Code.LATER)]
    assert len(bob.delivered) == isinstance(verdict, Opened)


def test_a_receipt_is_seen_only_after_the_commit_of_what_it_proves(bob):
    letter = bundle(1, tag=FOR_BOB)
    bob.receipts[letter.header.receipt_hash] = Opened(receipt(1))
    eve = Stranger(bob)
    eve.heard()
    bob.full = True
    eve.send(2, frame(letter.wire, letter.id, 0))
    assert eve.say(WantValues((receipt(1),))) == [Pause()]
    assert len(bob.queue.values) == 0
    bob.full = False
    eve.work()
    heard = eve.heard()
    assert heard[0] == Result((Run(2, 0, 1, Code.DURABLE),))
    assert heard[1:] == [Values((ValueEntry(receipt(1), 71),)), Resume()]
    assert receipt(1) in bob.disk.values


def test_bundles_past_their_time_or_hops_are_never_delivered(bob):
    eve = Stranger(bob)
    eve.heard()
    for n, b in enumerate(
        (bundle(1, tag=FOR_BOB, age=86_400), bundle(1, tag=FOR_BOB, hops=5))
    ):
        eve.send(2, frame(b.wire, b.id, 0))
        assert eve.answers() == [Run(2, n, 1, (Code.EXPIRED, Code.HOPS)[n])]
    assert bob.delivered == []


def test_one_bad_bundle_costs_nothing_but_itself(bob):
    eve = Stranger(bob)
    eve.heard()
    good = bundle(1)
    eve.send(2, frame(b"\xff" * 100, b"", 0) + frame(good.wire, good.id, 0))
    assert eve.answers() == [Run(2, 0, 1, Code.INVALID), Run(2, 1, 1, Code.DURABLE)]
    assert bob.sync.counters == {"version": 1}
    assert bob.holds(good)


def test_a_named_transfer_that_is_another_bundle_is_damaged_and_dropped(bob):
    eve = Stranger(bob)
    eve.heard()
    big = bundle(1, size=9_000)
    eve.send(2, frame(big.wire, b"x" * 32, 0))
    eve.send(2, frame(big.wire, big.id, 500))
    assert [run.code for run in eve.answers()] == [Code.DAMAGED, Code.DAMAGED]
    assert len(bob.queue) == 0


def test_malformed_messages_are_counted_and_the_last_straw_closes_this_link_only(bob):
    eve, ann = Stranger(bob), Stranger(bob, name="ann")
    bad = bytes((3,)) + messages.varint(5) + b"short"
    eve.send(0, bad * (STRIKES - 1))
    assert eve.end.closed is None
    eve.send(0, bad)
    assert eve.end.closed is not None
    assert ann.end.closed is None
    assert bob.sync.counters["want"] == STRIKES + 1


def test_a_frame_that_has_no_end_closes_the_link(bob):
    eve = Stranger(bob)
    eve.send(1, messages.varint(2 * 400_000))
    assert eve.end.closed is not None


def test_an_answer_to_nothing_is_malformed(bob):
    eve = Stranger(bob)
    eve.say(Result((Run(1, 0, 2**60, Code.DURABLE),)), Recon(Set.BUNDLES, b"\x61"))
    assert bob.sync.counters == {"result": 1, "recon": 1}


def test_a_neighbour_cannot_ask_for_rounds_without_end(bob, monkeypatch):
    monkeypatch.setattr(reconciling, "BUDGET_BURST", 50_000)
    eve = Stranger(bob, initiator=True)
    question = Recon(Set.BUNDLES, b"\x61" + bytes.fromhex("020000") * 1_000)
    for _ in range(50_000 // (len(question.message) + reconciling.ROUND_COST)):
        eve.say(question)
    assert eve.end.closed is None
    for _ in range(STRIKES):
        eve.say(question)
    assert eve.end.closed is not None


def test_a_neighbour_cannot_bring_values_without_end(bob, monkeypatch):
    monkeypatch.setattr(session, "VALUES_BURST", 2_500)
    eve = Stranger(bob)
    for at in range(0, 5_000, 1_000):
        entries = [ValueEntry(receipt(n), 20) for n in range(at, at + 1_000)]
        eve.say(Values(tuple(entries)))
    assert len(bob.queue.values) == 2_000
    assert eve.end.closed is None


def test_unknown_message_types_are_skipped(bob):
    eve = Stranger(bob)
    eve.heard()
    eve.send(0, bytes((200, 3)) + b"new" + messages.pack(WantValues((receipt(9),))))
    assert bob.sync.counters == {}


def test_what_is_wanted_and_not_here_is_said_to_lack(bob):
    eve = Stranger(bob)
    eve.heard()
    exhausted = bundle(2, hops=4)
    eve.send(2, frame(exhausted.wire, exhausted.id, 0))
    eve.heard()
    assert eve.say(Want(((bundle(1).id, 0), (exhausted.id, 0)))) == [
        Lack((bundle(1).id, exhausted.id))
    ]


def test_an_offer_that_finds_no_room_is_refused_before_its_bytes_come():
    bob = Peer("bob", limits=capacity(25_000))
    for n in range(2):
        bob.sync.submit(bundle(n, size=10_000), 0.0)
    eve = Stranger(bob)
    eve.heard()
    b = bundle(5, size=20_000)
    said = eve.say(Offer(b.id, len(b.wire), b.header))
    assert [one for one in said if not isinstance(one, Offer)] == [
        Result((Run(0, 0, 1, Code.ROOM),))
    ]


def test_a_refusal_for_room_holds_for_one_contact_time():
    village = Village()
    ann, bob = Peer("ann"), Peer("bob", limits=capacity(1_000))
    held = bundle(1, size=900)
    bob.sync.submit(held, 0.0)
    letter = bundle(2)
    ann.sync.submit(letter, 0.0)
    ann.sync.submit(bundle(3), 0.0)
    link = village.link(ann, bob)
    village.run()
    assert Refused(letter.id, bob.id, Code.ROOM) in ann.events
    bob.sync.add_value(receipt(1), 24, 0.0)
    village.run()
    assert not bob.holds(letter)
    village.unlink(link)
    village.meet(ann, bob)
    assert bob.holds(letter)
    assert CarriedBy(letter.id, bob.id, 0.0) in ann.events


def test_while_the_disk_is_slow_bundles_stay_in_the_link(bob):
    eve = Stranger(bob)
    bob.full = True
    big = [bundle(n, size=300_000) for n in range(40)]
    for b in big:
        eve.send(2, frame(b.wire, b.id, 0))
    assert len(eve.end.came[2]) > 40 * 300_000 - INTAKE_LIMIT - 400_000
    assert Pause() in eve.heard()
    bob.full = False
    eve.work()
    assert len(bob.queue) == 40
    assert Resume() in eve.heard()


def test_what_is_worth_more_overtakes_what_waits(bob):
    eve = Stranger(bob)
    eve.say(Pause())
    others = [bundle(n, hops=n % 3) for n in range(9)]
    for_eve = bundle(70, tag=b"EVE!" * 4, hops=3)
    urgent = bundle(50, priority=Priority.EXPEDITED)
    for b in (*others, for_eve, urgent):
        bob.sync.submit(b, 0.0)
    eve.say(Hello((salted(b"EVE!" * 4, eve.end.binding),)))
    assert not any(eve.end.out[stream] for stream in (1, 2, 3))
    eve.say(Resume())
    assert sent(eve, 1) == [urgent.id]
    first, *rest = sent(eve, 2)
    assert first == for_eve.id
    hops = {b.id: b.header.hops for b in others}
    assert [hops[id] for id in rest] == [0, 0, 0, 1, 1, 1, 2, 2, 2], "most hops left first"


def sent(stranger, stream):
    """The ids of the bundles that went out to a stranger on a stream."""
    transfers = Transfers().feed(bytes(stranger.end.out[stream]), 0.0)
    return [Bundle.parse(transfer.piece).id for transfer in transfers]


def test_another_neighbour_is_asked_when_the_first_is_silent():
    bob = Peer("bob")
    eve, ann = Stranger(bob), Stranger(bob, name="ann")
    b = bundle(1, size=50_000)
    offer = Offer(b.id, len(b.wire), b.header)
    eve.heard(), ann.heard()
    assert eve.say(offer) == [Want(((b.id, 0),))]
    assert ann.say(offer) == []
    assert bob.sync.next_wakeup() == PATIENCE_S
    bob.sync.wake(PATIENCE_S)
    assert ann.heard() == [Want(((b.id, 0),))]
    ann.send(2, frame(b.wire, b.id, 0))
    assert ann.answers() == [Run(2, 0, 1, Code.DURABLE)]
    assert bob.sync.next_wakeup() != PATIENCE_S


def test_a_row_of_neighbours_that_promise_and_keep_silent_costs_one_wait():
    bob = Peer("bob")
    b = bundle(1, size=50_000)
    offer = Offer(b.id, len(b.wire), b.header)
    for n in range(5):
        Stranger(bob, name=f"eve{n}").say(offer)
    ann = Stranger(bob, name="ann")
    ann.heard()
    assert ann.say(offer) == []
    bob.sync.wake(PATIENCE_S)
    assert ann.heard() == [Want(((b.id, 0),))]


def test_when_the_first_lacks_it_another_is_asked_at_once():
    bob = Peer("bob")
    eve, ann = Stranger(bob), Stranger(bob, name="ann")
    b = bundle(1, size=50_000)
    eve.heard(), ann.heard()
    eve.say(Offer(b.id, len(b.wire), b.header))
    ann.say(Offer(b.id, len(b.wire), b.header))
    eve.say(Lack((b.id,)))
    assert ann.heard() == [Want(((b.id, 0),))]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=120)), max_size=12),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_noise_on_any_stream_raises_nothing_and_writes_nothing(script, initiator):
    bob = Peer("bob", tags={FOR_BOB})
    bob.sync.submit(bundle(1), 0.0)
    eve = Stranger(bob, initiator=initiator)
    eve.work()
    before = bob.disk.writes
    for stream, noise in script:
        eve.send(stream, noise)
    assert set(bob.queue) == {bundle(1).id}
    assert bob.disk.writes <= before + sum(len(noise) // 18 for _, noise in script)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_mutated_conversations_raise_nothing(data):
    bob = Peer("bob", tags={FOR_BOB})
    for n in range(5):
        bob.sync.submit(bundle(n, size=6_000 if n % 2 else 200), 0.0)
    eve = Stranger(bob, initiator=data.draw(st.booleans()))
    b = bundle(9, size=5_000)
    said = [
        Hello((bytes(8),)),
        Recon(Set.BUNDLES, bytes.fromhex("6100000200")),
        Want(tuple((id, 0) for id in bob.queue)),
        Offer(b.id, len(b.wire), b.header),
        Result((Run(2, 0, 1, Code.DURABLE),)),
        Values((ValueEntry(receipt(1), 20),)),
        Lack((b.id,)),
    ]
    wire = bytearray(b"".join(map(messages.pack, said)))
    for _ in range(data.draw(st.integers(0, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    eve.send(0, bytes(wire))
    eve.send(2, frame(b.wire, b.id, 0))


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_village_of_random_contacts(seed):
    """Shown at most once; acknowledged is stored; what could arrive has arrived."""
    rng, village = Random(seed), Village()
    names = "abcdef"
    tags = {name: name.encode() * 16 for name in names}
    peers = {name: Peer(name, tags={tags[name]}) for name in names}
    letters = {}
    for n in range(12):
        source, target = rng.sample(names, 2)
        b = bundle(n, size=rng.choice([100, 20_000]), tag=tags[target], hop_limit=250)
        for peer in peers.values():
            peer.receipts[b.header.receipt_hash] = Opened(receipt(n))
        peers[source].sync.submit(b, village.now)
        peers[source].commit(village.now)
        letters[b.id] = source, target
    delivered = dict.fromkeys(names, ())
    for step in range(80):
        village.now += rng.random() * 100
        left, right = rng.sample(names, 2)
        budget = rng.choice([None, 300, 5_000, 30_000]) if step < 60 else None
        village.meet(peers[left], peers[right], budget=budget)
        if rng.random() < 0.2:
            name = rng.choice(names)
            old = peers[name]
            delivered[name] += tuple(old.delivered)
            peers[name] = Peer(name, now=village.now, disk=old.disk, tags={tags[name]})
            peers[name].receipts = old.receipts
        for peer in peers.values():
            assert set(peer.queue) >= set(peer.disk.bundles) or len(peer.journal)
    for name in names:
        delivered[name] += tuple(peers[name].delivered)
    shown = [id for ids in delivered.values() for id in ids]
    assert sorted(shown) == sorted(letters), "each once, and each where it was for"
    for name, ids in delivered.items():
        assert all(letters[id][1] == name for id in ids)


def test_limits_of_a_peer_with_little_room_hold_through_a_contact():
    village = Village()
    ann, bob = Peer("ann"), Peer("bob", limits=Limits(capacity=50_000, bundles=30))
    for n in range(100):
        ann.sync.submit(bundle(n, size=100 * (n % 60 + 1)), 0.0)
    village.meet(ann, bob)
    assert 20 < len(bob.queue) <= 30 or bob.queue.shares.used > 40_000
    assert bob.queue.shares.used <= 50_000
    assert set(bob.queue) == set(bob.disk.bundles)
