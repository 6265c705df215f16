"""Bundles and values among neighbours: whole stories over false links."""

from itertools import pairwise

import pytest

from meshpeer.core.formats.receipt import Meaning
from meshpeer.core.sync import intake, sending
from meshpeer.core.sync.account import Kind
from meshpeer.core.sync.events import CarriedBy, Expired, ValueSeen
from meshpeer.core.sync.reconciling import RECHECK_S
from meshpeer.core.sync.verdict import Deferred, Opened
from tests.core.sync.village import Peer, Village, bundle, recall, receipt

FOR_CARL = b"CARL" * 4


@pytest.fixture
def village():
    return Village()


def make_carl(*numbers):
    carl = Peer("carl", tags={FOR_CARL})
    for n in numbers:
        carl.receipts[bundle(n).header.receipt_hash] = Opened(receipt(n))
    return carl


def test_a_message_crosses_a_gap_and_its_receipt_comes_back(village):
    ann, bob, carl = Peer("ann"), Peer("bob"), make_carl(1)
    letter = bundle(1, tag=FOR_CARL)
    assert ann.sync.submit(letter, village.now) is None
    village.meet(ann, bob)
    assert bob.holds(letter)
    assert ann.events == [CarriedBy(letter.id, bob.id, 0.0)]

    village.now = 100.0
    village.meet(bob, carl)
    assert carl.delivered == [letter.id]
    assert letter.id not in bob.queue, "the receipt purged it"
    assert letter.id in bob.disk.overs

    village.now = 200.0
    village.meet(bob, ann)
    assert letter.id not in ann.queue
    assert ann.events[-1] == ValueSeen(letter.id, receipt(1), Meaning.RECEIPT, 200.0)
    assert len(ann.events) == 2


def test_what_arrives_while_links_are_up_is_pushed_on_at_once(village):
    ann, bob, carl = Peer("ann"), Peer("bob"), make_carl(1, 2)
    village.link(ann, bob)
    village.link(bob, carl)
    village.run()
    for n in (1, 2):
        ann.sync.submit(bundle(n, tag=FOR_CARL), village.now)
        village.run()
    assert carl.delivered == [bundle(n, tag=FOR_CARL).id for n in (1, 2)]
    assert len(ann.queue) == len(bob.queue) == 0
    assert [type(event) for event in ann.events].count(ValueSeen) == 2


def test_nothing_is_acknowledged_or_passed_on_before_the_commit(village):
    ann, bob, carl = Peer("ann"), Peer("bob"), make_carl(1)
    bob.full = True
    village.link(ann, bob)
    village.link(bob, carl)
    ann.sync.submit(bundle(1, tag=FOR_CARL), village.now)
    village.run()
    assert ann.events == []
    assert carl.delivered == []
    bob.full = False
    village.run()
    bob.sync.wake(village.now)
    village.run()
    assert carl.delivered != []


def test_a_bundle_goes_no_further_than_its_hop_limit(village):
    peers = [Peer(name) for name in "abcdef"]
    peers[0].sync.submit(bundle(1, hop_limit=3, hops=0), village.now)
    for near, far in pairwise(peers):
        village.meet(near, far)
    assert [len(peer.queue) for peer in peers] == [1, 1, 1, 1, 0, 0]
    hops = [peer.queue.get(id).hops for peer in peers for id in peer.queue]
    assert hops == [0, 1, 2, 3]


def test_age_grows_while_it_is_held_and_it_expires_everywhere(village):
    ann, bob, carl = Peer("ann"), Peer("bob"), Peer("carl")
    ann.sync.submit(bundle(1, lifetime=100), village.now)
    village.now = 40.0
    village.meet(ann, bob)
    village.now = 70.0
    village.meet(bob, carl)
    (id,) = carl.queue
    assert carl.queue.get(id).age(70.0) == 70
    assert carl.sync.next_wakeup() == 100.0
    village.now = 100.0
    for peer in (ann, bob, carl):
        peer.sync.wake(village.now)
        peer.commit(village.now)
        assert not peer.disk.bundles
    assert ann.sync.events()[-1] == Expired(id)
    assert not bob.disk.overs, "it expired by reported age before its time here was over"


def test_what_a_neighbour_has_is_not_sent_again_even_after_a_restart(village):
    ann, bob = Peer("ann"), Peer("bob")
    ann.sync.submit(bundle(1, size=3_000), village.now)
    assert village.meet(ann, bob) > 3_000
    assert village.meet(ann, bob) < 300
    bob = Peer("bob")
    ann = Peer("ann", disk=ann.disk)
    assert village.meet(ann, bob) < 600, (
        "bob forgot all; it asks, but ann was told it is durable"
    )


def test_large_bundles_are_offered_and_not_sent_twice(village):
    ann, bob, carl = Peer("ann"), Peer("bob"), Peer("carl")
    ann.sync.submit(bundle(1, size=50_000), village.now)
    village.meet(ann, bob)
    village.meet(ann, carl)
    assert carl.holds(bundle(1, size=50_000))
    assert village.meet(bob, carl) < 500


def test_a_cut_transfer_goes_on_where_it_stopped_at_any_neighbour(village):
    ann, bob, carl = Peer("ann"), Peer("bob"), Peer("carl")
    big = bundle(1, size=300_000)
    ann.sync.submit(big, village.now)
    village.meet(ann, bob)
    assert village.meet(ann, carl, budget=200_000) < 210_000
    assert not carl.holds(big)
    assert village.meet(bob, carl) < 110_000
    assert carl.holds(big)
    assert carl.disk.bundles[big.id].wire[49:] == big.wire[49:]


def test_a_bundle_that_comes_in_two_meetings_ages_between_them(village):
    ann, bob, carl = Peer("ann"), Peer("bob"), Peer("carl")
    big = bundle(1, size=300_000)
    ann.sync.submit(big, village.now)
    assert village.meet(ann, bob, budget=200_000) < 210_000
    village.now = 3_600.0
    assert village.meet(ann, bob) < 110_000
    assert bob.queue.get(big.id).deadline <= big.header.lifetime
    village.meet(bob, carl)
    assert carl.queue.get(big.id).deadline <= big.header.lifetime


def test_a_recall_purges_copies_and_keeps_the_bundle_from_coming_back(village):
    ann, bob, carl = Peer("ann"), Peer("bob"), Peer("carl")
    ann.sync.submit(bundle(1), village.now)
    village.meet(ann, bob)
    ann.sync.add_value(recall(1), 24, village.now)
    village.meet(ann, carl)
    assert ann.events[-1] == ValueSeen(bundle(1).id, recall(1), Meaning.RECALL, 0.0)
    village.meet(bob, carl)
    assert len(ann.queue) + len(bob.queue) + len(carl.queue) == 0
    assert list(bob.disk.values) == [recall(1)]


def test_a_receipt_outranks_a_recall(village):
    ann, bob = Peer("ann"), Peer("bob")
    ann.sync.watch(bundle(1).header.receipt_hash, bundle(1).id, village.now)
    ann.sync.add_value(recall(1), 24, village.now)
    bob.sync.add_value(receipt(1), 24, village.now)
    village.meet(ann, bob)
    assert list(ann.disk.values) == list(bob.disk.values) == [receipt(1)]
    assert [event.meaning for event in ann.events] == [Meaning.RECALL, Meaning.RECEIPT]


def test_a_message_to_somebody_on_the_same_peer_needs_no_road(village):
    carl = make_carl(1)
    carl.sync.submit(bundle(1, tag=FOR_CARL), village.now)
    assert carl.delivered == [bundle(1, tag=FOR_CARL).id]
    assert carl.sync.events() == []
    while village.work(carl):
        pass
    assert [event.meaning for event in carl.events] == [Meaning.RECEIPT]
    assert len(carl.queue) == len(carl.disk.bundles) == 0


def test_a_value_that_came_before_a_restart_is_told_when_its_bundle_is_watched(village):
    ann = Peer("ann")
    ann.sync.add_value(receipt(1), 24, village.now)
    ann.commit(village.now)
    again = Peer("ann", disk=ann.disk)
    again.sync.watch(bundle(1).header.receipt_hash, bundle(1).id, 5.0)
    assert again.sync.events() == [
        ValueSeen(bundle(1).id, receipt(1), Meaning.RECEIPT, 5.0)
    ]


def test_what_was_left_out_of_the_plans_is_found_by_reconciling_again(village, monkeypatch):
    monkeypatch.setattr(sending, "MAX_PLAN", 7)
    monkeypatch.setattr(intake, "MAX_LATER", 9)
    monkeypatch.setattr(intake, "MAX_ASKED", 5)
    ann, bob = Peer("ann"), Peer("bob")
    for n in range(100):
        ann.sync.submit(bundle(n), village.now)
        bob.sync.submit(bundle(1_000 + n), village.now)
    village.meet(ann, bob)
    assert len(ann.queue) == len(bob.queue) == 200


def test_a_long_contact_reconciles_again_when_something_moved(village):
    ann, bob = Peer("ann"), Peer("bob")
    ann.sync.submit(bundle(1), village.now)
    village.link(ann, bob)
    village.run()
    assert ann.sync.next_wakeup() == RECHECK_S
    village.now = RECHECK_S
    ann.sync.wake(village.now)
    village.run()
    assert ann.sync.next_wakeup() == bundle(1).header.lifetime


def test_what_had_to_wait_for_room_comes_once_there_is_room_though_links_last(village):
    ann, bob, carl = Peer("ann"), Peer("bob"), make_carl()
    letters = [bundle(n, tag=FOR_CARL, size=size) for n, size in ((1, 300), (2, 60_000))]
    for letter in letters:
        carl.receipts[letter.header.receipt_hash] = Deferred("the requests box is full")
        ann.sync.submit(letter, village.now)
    for one, other in ((ann, bob), (ann, carl), (bob, carl)):
        village.link(one, other)
    village.run()
    assert carl.delivered == []
    for n, letter in enumerate(letters, 1):
        carl.receipts[letter.header.receipt_hash] = Opened(receipt(n))
    carl.sync.ask_again(village.now)
    village.run()
    assert sorted(carl.delivered) == sorted(letter.id for letter in letters)
    assert len(ann.queue) == len(bob.queue) == 0


def test_a_hundred_bundles_and_values_each_way_meet_once(village):
    ann, bob = Peer("ann"), Peer("bob")
    for n in range(100):
        ann.sync.submit(bundle(n), village.now)
        bob.sync.submit(bundle(1_000 + n), village.now)
        ann.sync.add_value(receipt(5_000 + n), 24, village.now)
        bob.sync.add_value(receipt(6_000 + n), 24, village.now)
    size = village.meet(ann, bob)
    assert len(ann.queue) == len(bob.queue) == 200
    assert ann.queue.values.order.ids(0, 200) == bob.queue.values.order.ids(0, 200)
    assert size < 200 * (349 + 45) + 200 * 22 + 5_000


def test_three_neighbours_in_a_ring_bring_a_bundle_once(village):
    ann, bob, carl = Peer("ann"), Peer("bob"), Peer("carl")
    pipes = [village.link(ann, bob), village.link(bob, carl), village.link(carl, ann)]
    village.run()
    before = sum(end.sent for pipe in pipes for end in (pipe, pipe.other))
    ann.sync.submit(bundle(1, size=40_000), village.now)
    village.run()
    after = sum(end.sent for pipe in pipes for end in (pipe, pipe.other))
    assert carl.holds(bundle(1, size=40_000))
    assert after - before < 2 * 40_000 + 1_000


def test_where_all_hear_all_a_bundle_is_not_told_by_everybody_to_everybody(village):
    peers = [Peer(name) for name in "abcdefgh"]
    for at, near in enumerate(peers):
        for far in peers[at + 1 :]:
            village.link(near, far)
    village.run()
    costs = []
    for n in range(4):
        before = sum(pipe.sent for pipe in village.pipes)
        peers[0].sync.submit(bundle(n, size=2_000, hops=0), village.now)
        village.run()
        assert all(peer.holds(bundle(n, size=2_000)) for peer in peers)
        costs.append(sum(pipe.sent for pipe in village.pipes) - before)
    assert costs[-1] < 2 * 7 * 2_100, costs


@pytest.mark.parametrize("kind", [Kind.CONTACT, Kind.STRANGER])
def test_a_peer_restarts_from_its_disk_as_it_was(village, kind):
    ann, bob = Peer("ann"), Peer("bob")
    for n in range(20):
        ann.sync.submit(bundle(n), village.now)
    bob.sync.add_value(receipt(3), 24, village.now)
    village.meet(ann, bob, kind)
    again = Peer("bob", disk=bob.disk)
    assert list(again.queue.order) == list(bob.queue.order)
    for id in bob.queue:
        before, after = bob.queue.get(id), again.queue.get(id)
        assert after == before._replace(copies=0, payer=after.payer)
    assert again.queue.shares.used == bob.queue.shares.used
    assert again.queue.values.order.ids(0, 1) == [receipt(3)]


def test_a_bundle_of_our_own_leaves_only_when_it_is_durable():
    village, ann, bob = Village(), Peer("ann"), Peer("bob")
    ann.full = True
    b = bundle(1)
    assert ann.sync.submit(b, 0.0) is None
    village.meet(ann, bob)
    assert b.id not in bob.queue
    village.link(ann, bob)
    village.run()
    ann.full = False
    village.run()
    assert bob.holds(b)
