"""Attacks by a neighbour with a valid link: each was tried, and must stay without effect."""

from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.receipt import ValueEntry
from meshpeer.core.sync import account, messages, queue, session
from meshpeer.core.sync.account import OWN, Account, Kind
from meshpeer.core.sync.charged import Charged
from meshpeer.core.sync.intake import ASKED_BYTES, CHUNK, MAX_OFFERED
from meshpeer.core.sync.messages import (
    Code,
    Hello,
    Lack,
    Offer,
    Result,
    Run,
    Values,
    Want,
    WantValues,
)
from meshpeer.core.sync.shares import Limits
from meshpeer.core.sync.transfer import frame
from tests.core.sync.stranger import Stranger
from tests.core.sync.village import Peer, bundle, receipt

EVE = Account(Kind.STRANGER, "elsewhere/eve")


def offer(b):
    return Offer(b.id, len(b.wire), b.header)


def cut(peer, name, piece):
    """A link that sends this on stream 2 and goes."""
    eve = Stranger(peer, name=name)
    eve.send(2, piece)
    peer.sync.link_down(eve.end, 0.0)


def test_a_malformed_transfer_ends_its_link_and_nothing_else():
    bob = Peer("bob")
    eve = Stranger(bob)
    eve.send(1, messages.varint(2 * 400_000))
    assert eve.end.closed is not None
    bob.sync.link_down(eve.end, 0.0)
    assert bob.sync.next_wakeup() is None


def test_a_false_start_of_a_bundle_only_costs_sending_it_again():
    bob = Peer("bob")
    b = bundle(1, size=20_000)
    cut(bob, "eve", frame(bytes(20_049), b.id, 0)[:10_000])
    ann = Stranger(bob, name="ann")
    ann.heard()
    ((_, offset),) = ann.say(offer(b))[0].bundles
    assert offset > 0
    ann.send(2, frame(b.wire, b.id, offset))
    result, again = ann.heard()
    assert result.runs == (Run(2, 0, 1, Code.DAMAGED),)
    assert again == Want(((b.id, 0),))
    ann.send(2, frame(b.wire, b.id, 0))
    assert bob.holds(b)


def test_a_false_start_longer_than_the_bundle_does_not_keep_it_away():
    bob = Peer("bob")
    b = bundle(1, size=20_000)
    cut(bob, "eve", frame(bytes(300_000), b.id, 0)[:-1])
    ann = Stranger(bob, name="ann")
    ann.heard()
    ((_, offset),) = ann.say(offer(b))[0].bundles
    assert offset > len(b.wire)
    assert ann.say(Lack((b.id,))) == [Want(((b.id, 0),))]
    assert ann.say(Lack((b.id,))) == []


def held(peer, b):
    assert peer.queue.admit(b.id, b.header, b.wire, EVE, 0.0) is None


def until_quiet(peer, now):
    """How many turns it takes until nothing is due."""
    for turns in range(100):
        due = peer.sync.next_wakeup()
        if due is None or due > now:
            return turns
        peer.sync.wake(now)
    raise AssertionError("it never ends")


def test_a_thousand_ends_at_one_moment_take_many_short_turns(monkeypatch):
    monkeypatch.setattr(queue, "AT_ONCE", 10)
    bob = Peer("bob")
    for n in range(95):
        held(bob, bundle(n, size=2, lifetime=60))
    assert until_quiet(bob, 60.0) == 10
    assert len(bob.queue) == 0


def test_one_value_for_a_thousand_bundles_takes_many_short_turns(monkeypatch):
    monkeypatch.setattr(queue, "AT_ONCE", 10)
    bob = Peer("bob")
    for n in range(95):
        held(bob, Bundle.make(bundle(1).header, bytes([n])))
    assert bob.queue.add_value(receipt(1), 24, EVE, 0.0)
    assert len(bob.queue) == 85
    assert until_quiet(bob, 0.0) == 9
    assert len(bob.queue) == 0


def test_a_receipt_said_back_with_one_hour_lives_on():
    bob = Peer("bob")
    bob.sync.add_value(receipt(1), 200, 0.0)
    eve = Stranger(bob)
    eve.say(Values((ValueEntry(receipt(1), 1),)))
    bob.sync.wake(1.0)
    assert bob.queue.values.entry(receipt(1), 1.0).hours == 199


def test_a_receipt_that_came_with_few_hours_takes_the_honest_ones():
    bob = Peer("bob")
    eve, ann = Stranger(bob), Stranger(bob, name="ann")
    eve.say(Values((ValueEntry(receipt(1), 2),)))
    ann.say(Values((ValueEntry(receipt(1), 200),)))
    assert bob.queue.values.entry(receipt(1), 0.0).hours == 199


def test_a_megabyte_at_once_takes_many_short_turns():
    bob = Peer("bob")
    eve = Stranger(bob)
    values = [ValueEntry(receipt(n), 24) for n in range(9_000)]
    said = b"".join(messages.pack(Values(part)) for part in messages.chunks(values))
    small = bundle(1, size=60)
    eve.end.came[0] += said
    eve.end.came[2] += frame(small.wire, small.id, 0) * 1_000
    bob.sync.readable(eve.end, 0.0)
    assert len(eve.end.came[0]) == len(said) - CHUNK
    assert 0 < len(eve.end.came[2]) < 50_000
    assert until_quiet(bob, 0.0) == 2
    assert len(bob.queue.values) == 9_000
    assert not eve.end.came[2]


def test_whoever_says_hello_without_end_is_not_ranked_for_anew():
    bob = Peer("bob")
    eve = Stranger(bob)
    eve.say(*[Hello((b"12345678",))] * session.HELLOS_BURST)
    assert bob.sync.counters == {}
    eve.say(*[Hello((b"12345678",))] * session.STRIKES)
    assert eve.end.closed is not None


def test_whoever_asks_and_never_reads_costs_bounded_memory(monkeypatch):
    monkeypatch.setattr(session, "UNREAD_LIMIT", 40_000)
    bob = Peer("bob")
    for n in range(1_000):
        bob.sync.add_value(receipt(n), 24, 0.0)
    eve, ann = Stranger(bob), Stranger(bob, name="ann")
    asked = messages.pack(WantValues(tuple(receipt(n) for n in range(1_000))))
    for _ in range(20):
        eve.end.came[0] += asked
        eve.work()
    assert eve.end.closed is not None
    assert len(eve.end.out[0]) < 40_000 + 2 * 18_010
    assert ann.end.closed is None


def test_whoever_never_reads_is_spared_what_it_did_not_ask_for(monkeypatch):
    monkeypatch.setattr(session, "UNREAD_LIMIT", 4_000)
    bob = Peer("bob")
    eve = Stranger(bob)
    for n in range(1_000):
        bob.sync.add_value(receipt(n), 24, 0.0)
        eve.work()
    assert len(eve.end.out[0]) < 1_100
    assert eve.end.closed is None


def test_what_one_does_not_bring_after_all_is_asked_of_another():
    bob = Peer("bob")
    eve, ann = Stranger(bob), Stranger(bob, name="ann")
    letters = [bundle(n, size=5_000) for n in range(ASKED_BYTES // 6_000)]
    eve.say(*map(offer, letters))
    ann.say(*map(offer, letters))
    ann.heard()
    bob.sync.link_down(eve.end, 0.0)
    bob.sync.wake(0.0)
    said = ann.heard()
    wanted = [id for one in said if isinstance(one, Want) for id, _ in one.bundles]
    assert sorted(wanted) == sorted(b.id for b in letters)


def test_a_neighbour_that_offers_without_end_is_put_off():
    bob = Peer("bob")
    eve = Stranger(bob)
    letters = [bundle(n, size=50_000) for n in range(2 * MAX_OFFERED)]
    said = eve.say(*map(offer, letters))
    codes = [run.code for one in said if isinstance(one, Result) for run in one.runs]
    assert set(codes) == {Code.LATER}
    assert len(codes) > MAX_OFFERED // 2


def test_room_is_not_promised_to_many_at_once():
    bob = Peer("bob")
    eve = Stranger(bob)
    letters = [bundle(n, size=100_000) for n in range(8)]
    said = eve.say(*map(offer, letters))
    asked = [id for one in said if isinstance(one, Want) for id, _ in one.bundles]
    assert len(asked) == 3, "as many as ASKED_BYTES allows, though each alone has room"


def test_a_crowd_of_made_up_strangers_costs_few_accounts(monkeypatch):
    monkeypatch.setattr(account, "CROWD", 10)
    bob = Peer("bob")
    for n in range(60):
        eve = Account(Kind.STRANGER, f"10.0.{n % 30}.0/24/{n}")
        b = bundle(n, size=2)
        assert bob.queue.admit(b.id, b.header, b.wire, eve, 0.0) is None
        bob.queue.add_value(receipt(100 + n), 24, eve, 0.0)
    assert len(bob.queue.shares._ledgers) == 21
    assert len(bob.queue.values._expires._by_account) == 21
    bob.commit(0.0)
    assert set(Peer("bob", disk=bob.disk).queue) == set(bob.queue)
    for n in range(60):
        bob.queue.add_value(receipt(n), 24, EVE, 0.0)
    assert not bob.queue.shares._ledgers


def test_a_crowd_of_strangers_cannot_drive_out_what_the_others_remember():
    charged = Charged(limit=1_000)
    ann = Account(Kind.CONTACT, "ann")
    for n in range(300):
        charged.put(receipt(n), n, OWN if n % 2 else ann)
    for n in range(300, 3_000):
        charged.put(receipt(n), n, Account(Kind.STRANGER, f"10.0.{n % 7}.0/24/{n % 400}"))
    assert all(receipt(n) in charged for n in range(300))
    assert len(charged) == 1_000
    for n in range(3_000):
        charged.pop(receipt(n))
    assert not charged._inside


def test_a_network_with_many_strangers_forgets_before_one_with_few():
    charged = Charged(limit=100)
    charged.put(receipt(0), 0, Account(Kind.STRANGER, "10.0.1.0/24/ann"))
    charged.put(receipt(1), 1, Account(Kind.STRANGER, "10.0.1.0/24/ann"))
    for n in range(2, 300):
        charged.put(receipt(n), n, Account(Kind.STRANGER, f"10.0.2.0/24/{n}"))
    assert receipt(0) in charged
    assert receipt(1) in charged


def admitted(peer, numbers, account, size):
    """How many of so many new bundles are held at the end."""
    letters = [bundle(n, size=size) for n in numbers]
    for b in letters:
        peer.queue.admit(b.id, b.header, b.wire, account, 0.0)
    return sum(b.id in peer.queue for b in letters)


def test_tiny_bundles_of_strangers_take_few_places():
    bob = Peer("bob", limits=Limits(1 << 20, 100))
    assert admitted(bob, range(200), EVE, size=2) == 12
    ann = Account(Kind.CONTACT, "ann")
    assert admitted(bob, range(200, 288), ann, size=1_000) == 88
    admitted(bob, range(300, 400), EVE, size=2)
    assert sum(bundle(n, size=1_000).id in bob.queue for n in range(200, 288)) == 88


def test_tiny_bundles_of_a_contact_give_way_to_the_few_larger_ones_of_another():
    bob = Peer("bob", limits=Limits(1 << 20, 100))
    eve, ann = Account(Kind.CONTACT, "eve"), Account(Kind.CONTACT, "ann")
    assert admitted(bob, range(200), eve, size=2) == 100
    assert admitted(bob, range(200, 240), ann, size=1_000) == 40
    assert len(bob.queue) == 100


def test_an_offer_with_a_false_header_does_not_spoil_what_is_held():
    bob = Peer("bob")
    b = bundle(1, hops=2, age=500)
    held(bob, b)
    bob.commit(0.0)
    false = bundle(2, tag=b"E" * 16, lifetime=60, hour=1, hops=0, age=0)
    eve = Stranger(bob)
    said = eve.say(Offer(b.id, len(b.wire), false.header))
    assert said[-1] == Result((Run(0, 0, 1, Code.DUPLICATE),))
    kept = Bundle.parse(bob.disk.bundles[b.id].wire)
    assert (kept.id, kept.header.hops, kept.header.age) == (b.id, 0, 0)
