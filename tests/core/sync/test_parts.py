"""Bundles that hold parts of files, wants that come, and bundles made for others."""

from meshpeer.core.sync import depot as depot_module
from meshpeer.core.sync.account import OWN, Account, Kind
from meshpeer.core.sync.events import CarriedBy, ValueSeen, WantCame, WantGone
from meshpeer.core.sync.session import GREETINGS, HELLOS_BURST
from meshpeer.core.sync.verdict import Writing
from tests.core.sync.village import HOUR, Peer, Village, bundle, receipt

HERE = b"H" * 16


def part(n, size=300):
    return bundle(n, size=size, tag=HERE)


def expecting(*bundles, limits=None):
    """A peer to whom these bundles bring parts of files."""
    peer = Peer("bob", tags=[HERE], limits=limits)
    for one in bundles:
        peer.receipts[one.header.receipt_hash] = Writing()
    return peer


def brought(village, bob, *bundles):
    """A carrier brings them over a link that stays up."""
    ferry = Peer("ferry")
    for one in bundles:
        assert ferry.sync.submit(one, village.now) is None
    pipe = village.link(ferry, bob)
    village.run()
    return ferry, pipe


def test_a_part_is_neither_over_nor_answered_before_it_is_on_the_disk():
    village, one = Village(), part(1)
    bob = expecting(one)
    ferry, _ = brought(village, bob, one)
    assert ferry.holds(one)
    assert not ferry.queue.carried.has(one.id, bob.id)
    assert bob.disk.overs == bob.disk.values == {}

    bob.sync.written(one.id, receipt(1), village.now)
    village.run()
    assert one.id in bob.disk.overs
    assert receipt(1) in ferry.disk.values
    assert not ferry.holds(one)


def test_a_part_for_which_there_was_no_room_may_come_again():
    village, one = Village(), part(1)
    bob = expecting(one)
    ferry, pipe = brought(village, bob, one)
    bob.sync.not_written(one.id, village.now)
    village.run()
    assert ferry.holds(one)
    assert bob.disk.overs == {}
    bob.sync.ask_again(village.now)
    village.run()
    assert one.id in bob.sync._depot.writing
    village.unlink(pipe)
    bob.sync.not_written(one.id, village.now)
    village.link(ferry, bob)
    village.run()
    assert one.id in bob.sync._depot.writing


def test_a_second_copy_does_not_come_while_the_first_is_being_written():
    village, one = Village(), part(1)
    bob = expecting(one)
    brought(village, bob, one)
    other = Peer("other")
    other.sync.submit(one, village.now)
    village.link(other, bob)
    village.run()
    assert bob.delivered == []
    assert len(bob.sync._depot.writing) == 1
    bob.sync.written(one.id, receipt(1), village.now)
    village.run()
    assert not other.holds(one), "its receipt purges that copy too"


def test_an_answer_for_a_link_that_is_gone_is_not_said_on_the_next():
    village, one = Village(), part(1)
    bob = expecting(one)
    ferry, pipe = brought(village, bob, one)
    village.unlink(pipe)
    village.link(ferry, bob)
    bob.sync.written(one.id, receipt(1), village.now)
    village.run()
    assert ferry.sync.counters == {}
    assert not ferry.holds(one)


def test_what_waits_for_the_disk_of_files_holds_back_the_links(monkeypatch):
    monkeypatch.setattr(depot_module, "INTAKE_LIMIT", 100_000)
    village, parts = Village(), [part(n, size=60_000) for n in range(6)]
    bob = expecting(*parts)
    brought(village, bob, *parts)
    waiting = bob.sync._depot.writing
    assert 1 <= len(waiting) < 6
    while waiting:
        id = next(iter(waiting))
        number = next(n for n, one in enumerate(parts) if one.id == id)
        bob.sync.written(id, receipt(number), village.now)
        village.run()
    assert len(bob.disk.overs) == 6
    assert bob.sync._depot._waiting_bytes == 0


def want(n):
    plain = bundle(n)
    return type(plain).make(plain.header._replace(suite=2), plain.payload)


def events_of(peer, kind):
    return [event for event in peer.events if isinstance(event, kind)]


def test_a_want_that_comes_is_told_with_who_brought_it_and_told_again_when_it_goes():
    village, bob, one = Village(), Peer("bob"), want(1)
    ferry, _ = brought(village, bob, one)
    (came,) = events_of(bob, WantCame)
    assert came.bundle.id == one.id
    assert came.account == Account(Kind.CONTACT, "ferry")
    assert list(bob.queue.wants()) == [(one.id, one.header.tag, came.account)]
    assert events_of(ferry, WantCame) == [], "it was made there"
    ferry.sync.add_value(receipt(1), 24, village.now)
    village.run()
    assert events_of(bob, WantGone) == [WantGone(one.id, one.header.tag, True)]


def test_a_held_wire_can_be_read():
    village, bob, one = Village(), Peer("bob"), want(1)
    brought(village, bob, one)
    read = []
    bob.sync.read(one.id, lambda wire, now: read.append(wire))
    village.run()
    assert [type(one).parse(wire).id for wire in read] == [one.id]


def test_a_bundle_made_for_another_is_charged_to_it_and_only_its_leaving_is_told():
    village, bob, carol = Village(), Peer("bob"), Peer("carol")
    account = Account(Kind.STRANGER, "net/ferry")
    assert bob.sync.submit(bundle(1), village.now, account) is None
    assert bob.sync.submit(bundle(2), village.now) is None
    village.link(bob, carol)
    village.run()
    rows = {row.id: row for row in bob.disk.bundles.values()}
    assert (rows[bundle(1).id].account, rows[bundle(1).id].own) == (str(account), False)
    assert rows[bundle(2).id].account == str(OWN)
    assert carol.holds(bundle(1))
    carried = {event.bundle for event in events_of(bob, CarriedBy)}
    assert carried == {bundle(1).id, bundle(2).id}
    bob.sync.add_value(receipt(1), 24, village.now)
    bob.sync.add_value(receipt(2), 24, village.now)
    village.run()
    assert {event.bundle for event in events_of(bob, ValueSeen)} == {bundle(2).id}


def test_what_is_known_of_a_hash_is_told():
    village, bob = Village(), Peer("bob")
    one = bundle(1, lifetime=2 * HOUR)
    assert bob.sync.fate(one.header.receipt_hash) is None
    bob.sync.submit(one, village.now)
    assert bob.sync.fate(one.header.receipt_hash) == one.id
    village.link(bob, Peer("carol"))
    bob.sync.add_value(receipt(1), 24, village.now)
    village.run()
    fate = bob.sync.fate(one.header.receipt_hash)
    assert fate is not None
    assert not isinstance(fate, bytes)


def test_tags_that_come_and_go_are_no_noise_to_a_neighbour():
    village, ann, bob = Village(), Peer("ann"), Peer("bob")
    pipe = village.link(ann, bob)
    for n in range(3 * HELLOS_BURST):
        ann.sync.tags = frozenset([n.to_bytes(16)])
        village.run()
    assert bob.sync.counters == {}
    assert pipe.closed is None
    assert GREETINGS < HELLOS_BURST
