"""The rules of the queue, one by one."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.formats.bundle import Priority
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import OWN, Account, Kind
from meshpeer.core.sync.over import SWEEP_S
from meshpeer.core.sync.policy import SimplePolicy
from meshpeer.core.sync.queue import Held, Queue, Refusal, Why
from meshpeer.core.sync.shares import Limits
from meshpeer.core.sync.values import FLIGHT_S, Values
from meshpeer.core.writes import DropBundle, DropValue, PutBundle, PutOver, TouchBundle
from tests.core.sync.village import HOUR, bundle, capacity, recall, receipt

ANN, BOB, CARL = (Account(Kind.CONTACT, name) for name in ("ann", "bob", "carl"))
STRANGERS = [Account(Kind.STRANGER, f"{net}/{n}") for net in ("a", "b") for n in range(3)]


def make_queue(limits=None):
    return Queue(journal=Journal(), policy=SimplePolicy(), limits=limits)


def put(queue, b, account=ANN, now=0.0, own=False):
    return queue.admit(b.id, b.header, b.wire, account, now, own=own)


def writes(queue):
    journal = queue._journal
    batch = journal.take()
    if batch is None:
        return []
    journal.committed(0.0)
    return batch


# -- what is taken


def test_a_bundle_is_held_with_the_hints_that_it_came_with():
    queue = make_queue()
    b = bundle(1, hops=2, age=30)
    assert put(queue, b, now=100.0) is None
    entry = queue.get(b.id)
    assert (entry.hops, entry.age(100.0), entry.age(110.5)) == (2, 30, 41)
    assert writes(queue) == [PutBundle(b.id, b.wire, "contact:ann", 100.0, 100.0, False)]
    assert entry.header(3, 110.5) == b.header.with_hops_and_age(3, 41)


@pytest.mark.parametrize(
    ("b", "refusal"),
    [
        (bundle(1, age=86_400), Refusal.EXPIRED),
        (bundle(1, hops=5), Refusal.HOPS),
        (bundle(1, hops=4), None),
        (bundle(1, age=86_399), None),
    ],
)
def test_what_comes_expired_or_out_of_hops_is_refused_and_not_remembered(b, refusal):
    queue = make_queue()
    assert put(queue, b) is refusal
    assert put(queue, bundle(1)) is (None if refusal else Refusal.HELD)


def test_a_duplicate_with_lower_age_or_hops_lowers_ours():
    queue = make_queue()
    put(queue, bundle(1, hops=3, age=500), now=0.0)
    writes(queue)
    assert put(queue, bundle(1, hops=1, age=700), now=300.0) is Refusal.HELD
    entry = queue.get(bundle(1).id)
    assert (entry.hops, entry.age(300.0)) == (1, 700)
    (touch,) = writes(queue)
    assert touch == TouchBundle(bundle(1).id, bundle(1, hops=1, age=700).header.wire, 300.0)
    assert put(queue, bundle(1, hops=2, age=5_000), now=300.0) is Refusal.HELD
    assert queue.get(bundle(1).id) == entry
    assert writes(queue) == []


def test_what_may_not_travel_on_is_not_reconciled_until_a_copy_comes_that_may():
    queue = make_queue()
    put(queue, bundle(1, hops=4))
    assert len(queue.order) == 0
    put(queue, bundle(1, hops=3))
    assert list(queue.order) == [(490_000, bundle(1).id)]


def test_a_carrier_that_lies_about_age_never_extends_the_lifetime_from_first_sight():
    queue = make_queue()
    put(queue, bundle(1, lifetime=1_000, age=600), now=0.0)
    put(queue, bundle(1, lifetime=1_000, age=0), now=300.0)
    assert queue.next_expiry() == 1_000.0
    put(queue, bundle(1, lifetime=1_000, age=0), now=999.0)
    queue.expire(999.0)
    assert len(queue) == 1
    queue.expire(1_000.0)
    assert len(queue) == 0


# -- how it ends


def test_expired_after_its_whole_life_here_it_stays_over_as_long_again():
    queue, b = make_queue(), bundle(1, lifetime=1_000)
    put(queue, b, now=0.0)
    queue.expire(1_000.0)
    assert [(gone.entry.id, gone.why) for gone in queue.gone()] == [(b.id, Why.EXPIRED)]
    assert writes(queue)[1:] == [DropBundle(b.id), PutOver(b.id, 2_000.0, "contact:ann")]
    assert put(queue, b, now=1_999.0) is Refusal.OVER
    assert put(queue, b, now=2_000.0) is None


def test_expired_by_reported_age_it_may_come_again_but_not_for_longer():
    queue = make_queue()
    put(queue, bundle(1, lifetime=1_000, age=900), now=0.0)
    queue.expire(100.0)
    assert writes(queue)[1:] == [DropBundle(bundle(1, lifetime=1_000).id)]
    assert put(queue, bundle(1, lifetime=1_000, age=100), now=600.0) is None
    assert queue.next_expiry() == 1_000.0
    queue.expire(1_000.0)
    assert put(queue, bundle(1, lifetime=1_000), now=1_001.0) is Refusal.OVER


@pytest.mark.parametrize(
    ("value", "why"), [(receipt(1), Why.RECEIPT), (recall(1), Why.RECALL)]
)
def test_a_receipt_or_recall_purges_and_the_bundle_does_not_come_back(value, why):
    queue = make_queue()
    put(queue, bundle(1))
    put(queue, bundle(2))
    assert queue.add_value(value, 10, BOB, 5.0)
    assert [gone.why for gone in queue.gone()] == [why]
    assert list(queue) == [bundle(2).id]
    assert put(queue, bundle(1)) is Refusal.OVER
    assert put(queue, bundle(1), now=20 * HOUR) is Refusal.OVER


@pytest.mark.parametrize("value", [receipt(1), recall(1)])
def test_a_value_that_came_first_waits_for_its_bundle(value):
    queue = make_queue()
    queue.add_value(value, 10, BOB, 0.0)
    assert put(queue, bundle(1)) is Refusal.OVER
    queue.expire(10.0 * HOUR)
    assert put(queue, bundle(1), now=10.0 * HOUR) is None


def test_a_forged_value_purges_nothing():
    queue = make_queue()
    put(queue, bundle(1))
    for forged in (bundle(1).header.receipt_hash, bytes(16), receipt(2)):
        queue.add_value(forged, 10, BOB, 0.0)
    assert bundle(1).id in queue


def test_two_bundles_under_one_receipt_hash_are_purged_together():
    queue = make_queue()
    put(queue, bundle(1))
    put(queue, bundle(1, size=200))
    queue.add_value(receipt(1), 10, BOB, 0.0)
    assert len(queue) == 0


def test_the_memory_of_what_is_over_forgets_the_largest_accounts_oldest():
    queue = make_queue()
    queue.overs._until._limit = 3
    for n, account in enumerate((ANN, BOB, BOB, CARL)):
        queue.finish(bundle(n).id, bundle(n).header, account, 0.0)
    over = [queue.overs.has(bundle(n).id, 1.0) for n in range(4)]
    assert over == [True, False, True, True]


def test_the_memory_of_what_is_over_is_swept():
    queue = make_queue()
    queue.finish(bundle(1, lifetime=10).id, bundle(1, lifetime=10).header, ANN, 0.0)
    queue.expire(SWEEP_S)
    assert len(queue.overs) == 0


# -- values


def test_hours_of_a_value_fall_with_time_and_at_zero_it_goes():
    values = Values(Journal())
    assert values.add(receipt(1), 3, ANN, 0.0)
    assert values.entry(receipt(1), 0.0).hours == 2, "one may be under way for two minutes"
    assert values.entry(receipt(1), HOUR).hours == 1
    assert values.next_expiry() == 2.0 * HOUR - FLIGHT_S
    values.expire(2.0 * HOUR)
    assert values.entry(receipt(1), 2.0 * HOUR) is None
    assert len(values) == len(values.order) == 0


def test_a_value_passed_to_and_fro_dies():
    left, right = Values(Journal()), Values(Journal())
    left.add(receipt(1), 840, ANN, 0.0)
    now = 0.0
    while entry := left.entry(receipt(1), now) or right.entry(receipt(1), now):
        now += FLIGHT_S
        for values in (left, right):
            values.expire(now)
            values.add(*entry, ANN, now)
        assert now <= 840 * HOUR


def test_a_receipt_outranks_its_recall_in_either_order():
    for values in ((receipt(1), recall(1)), (recall(1), receipt(1))):
        queue = make_queue()
        for value in values:
            queue.add_value(value, 10, ANN, 0.0)
        assert queue.values.order.ids(0, len(queue.values)) == [receipt(1)]


def test_the_set_of_values_is_bounded_and_the_flooder_loses():
    values = Values(Journal(), limit=10)
    values.add(receipt(0), 10, ANN, 0.0)
    for n in range(1, 50):
        values.add(receipt(n), 10, BOB, 0.0)
    assert len(values) == len(values.order) == 10
    assert receipt(0) in values
    assert receipt(49) in values
    dropped = [write for write in values._journal.take() if isinstance(write, DropValue)]
    assert len(dropped) == 40


# -- who pays


def test_when_space_ends_the_largest_accounts_worst_goes():
    queue = make_queue(capacity(10 * 349))
    for n in range(8):
        put(queue, bundle(n, hops=n % 3), ANN, now=float(n))
    for n in range(8, 11):
        put(queue, bundle(n, hops=4), BOB, now=float(n))
    held = [n for n in range(11) if bundle(n).id in queue]
    assert held == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10], (
        "of those with fewest hops left the oldest"
    )
    assert [gone.why for gone in queue.gone()] == [Why.EVICTED]
    assert put(queue, bundle(2, hops=2)) is Refusal.OVER, "or it would go in circles"


def test_a_newcomer_that_would_itself_be_the_worst_is_refused_and_nothing_goes():
    queue = make_queue(capacity(3 * 349))
    for n in range(3):
        put(queue, bundle(n, hops=1))
    assert put(queue, bundle(9, hops=3)) is Refusal.ROOM
    refused = bundle(9, hops=3)
    assert (
        queue.refusal(refused.id, refused.header, len(refused.wire), ANN, 0.0)
        is Refusal.ROOM
    )
    assert len(queue) == 3
    assert put(queue, bundle(10, hops=0)) is None
    assert put(queue, bundle(9, hops=0)) is None, "a refusal for room isn't remembered"


def test_shares_are_fair_among_contacts():
    queue = make_queue(capacity(30 * 349))
    for n in range(100):
        put(queue, bundle(n), ANN, now=float(n))
    for n in range(100, 110):
        put(queue, bundle(n), BOB, now=float(n))
    for n in range(110, 200):
        put(queue, bundle(n), CARL, now=float(n))
    counts = dict.fromkeys("abc", 0)
    for id in queue:
        counts[queue.shares.account(queue.get(id).payer).key[0]] += 1
    assert counts == {"a": 10, "b": 10, "c": 10}


def test_strangers_share_one_small_pool_fair_by_prefix_and_link():
    queue = make_queue(Limits(capacity=80 * 349))
    for n in range(120):
        account = STRANGERS[n % 3 if n < 90 else 3]
        put(queue, bundle(n), account, now=float(n))
    counts = {account.key: 0 for account in STRANGERS}
    for id in queue:
        counts[queue.shares.account(queue.get(id).payer).key] += 1
    assert sum(counts.values()) == 10, "an eighth"
    assert counts["b/0"] == 5
    assert sorted(counts[f"a/{n}"] for n in range(3)) == [1, 2, 2]


def test_own_peoples_bundles_go_last_of_all():
    queue = make_queue(capacity(5 * 349))
    for n in range(4):
        put(queue, bundle(n), OWN, own=True)
    for n in range(4, 10):
        put(queue, bundle(n), ANN, now=float(n))
    assert sum(queue.get(id).own for id in queue) == 4
    for n in range(10, 12):
        assert put(queue, bundle(n), OWN, now=float(n), own=True) is None
    assert len(queue) == sum(queue.get(id).own for id in queue) == 5


def test_small_bundles_keep_a_reserved_share():
    queue = make_queue(Limits(capacity=160_000))
    for n in range(20):
        put(queue, bundle(n, size=10_000), ANN, now=float(n))
    assert queue.shares.used <= 150_000
    for n in range(20, 40):
        assert put(queue, bundle(n), BOB, now=float(n)) is None
    assert sum(gone.entry.size for gone in queue.gone()) <= 6 * 10_049


def test_a_folder_keeps_to_its_share():
    queue = make_queue(Limits(capacity=80 * 349))
    for n in range(40):
        put(queue, bundle(n), Account(Kind.FOLDER, "stick"), now=float(n))
    assert len(queue) == 10


def test_the_number_of_bundles_is_bounded_too():
    queue = make_queue(capacity(1 << 30, bundles=5))
    for n in range(9):
        put(queue, bundle(n), ANN, now=float(n))
    assert len(queue) == 5


def test_expedited_bundles_outlive_bulk():
    queue = make_queue(capacity(2 * 349))
    urgent = bundle(1, priority=Priority.EXPEDITED, hops=3)
    bulk = bundle(2, priority=Priority.BULK, hops=0)
    for b in (urgent, bulk, bundle(3, hops=1)):
        put(queue, b)
    assert urgent.id in queue
    assert bulk.id not in queue


def test_a_held_bundle_costs_little_memory():
    queue = make_queue()
    rows = [
        Held(b.id, b.header.wire, 400, "contact:ann", float(n), float(n), False)
        for n in range(1_000)
        if (b := bundle(n, size=1, tag=n.to_bytes(16, "big")))
    ]
    tracemalloc.start()
    for row in rows:
        queue.restore(row)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(rows) < 400, "40 MB for 100,000, the ids not counted"


bundles = st.builds(
    bundle,
    st.integers(0, 30),
    size=st.sampled_from([100, 400, 5_000]),
    hops=st.integers(0, 5),
    age=st.integers(0, 90_000),
    priority=st.sampled_from(Priority),
)
accounts = st.sampled_from([ANN, BOB, *STRANGERS, OWN])
steps = st.one_of(
    st.tuples(st.just("bundle"), bundles, accounts),
    st.tuples(st.just("value"), st.integers(0, 30), st.booleans()),
    st.tuples(st.just("wait"), st.floats(0, 50_000), st.none()),
)


@given(st.lists(steps, max_size=60))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_the_orders_agree_and_limits_hold(script):
    queue, now = make_queue(Limits(capacity=20_000, bundles=25)), 0.0
    first_seen = {}
    for what, thing, more in script:
        if what == "bundle":
            if put(queue, thing, more, now, own=more is OWN) is None:
                first_seen.setdefault(thing.id, now)
        elif what == "value":
            queue.add_value(receipt(thing) if more else recall(thing), 10, ANN, now)
        else:
            now += thing
            queue.expire(now)
        entries = [queue.get(id) for id in queue]
        assert queue.shares.used == sum(entry.size for entry in entries) <= 20_000
        assert sum(queue.shares._bundles.values()) == len(entries) <= 25
        travelling = {entry.id for entry in entries if not entry.exhausted}
        assert {id for _, id in queue.order} == travelling
        assert len(queue._deadlines) == len(queue._by_hash) == len(entries)
        for entry in entries:
            assert now < entry.deadline <= first_seen[entry.id] + entry.lifetime


@given(st.floats(0, 1e8))
def test_waking_when_asked_to_ends_what_was_due(now):
    queue = make_queue()
    put(queue, bundle(1), now=now)
    queue.expire(queue.next_expiry())
    assert len(queue) == 0
