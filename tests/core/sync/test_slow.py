"""Bundles over a link that takes seconds for each: large ones wait for a better way."""

from meshpeer.core.formats.bundle import Priority
from meshpeer.core.sync.reconciling import QUIET_SHARE, RECHECK_S, ROUND
from tests.core.sync.village import Peer, Village, bundle

RATE = 1_200.0
"""Bit/s: 90 kB in ten minutes."""
LARGE, SMALL = 200_000, 300


def pair(rate=RATE):
    village = Village()
    ann, bob = Peer("ann"), Peer("bob")
    pipe = village.link(ann, bob)
    pipe.rate = pipe.other.rate = rate
    village.run()
    return village, ann, bob, pipe


def test_small_bundles_cross_and_large_ones_wait_for_a_better_link():
    village, ann, bob, pipe = pair()
    small, large = bundle(1, size=SMALL), bundle(2, size=LARGE)
    for one in (small, large):
        ann.sync.submit(one, village.now)
    village.run()
    assert bob.holds(small)
    assert not bob.holds(large)
    assert pipe.sent < 2_000
    village.unlink(pipe)
    village.meet(ann, bob)
    assert bob.holds(large)


def test_what_reconciling_finds_and_is_too_large_is_refused_not_sent():
    village, ann, bob, pipe = pair()
    village.unlink(pipe)
    large, small = bundle(1, size=LARGE), bundle(2, size=SMALL)
    for one in (large, small):
        bob.sync.submit(one, village.now)
    village.run()
    pipe = village.link(ann, bob)
    pipe.rate = pipe.other.rate = RATE
    village.run()
    assert ann.holds(small)
    assert not ann.holds(large)
    assert pipe.other.sent < 2_000


def test_who_thinks_its_link_fast_is_told_later_by_who_knows_better():
    """Only the receiver declares a rate: the offer is put off, and nothing large crosses."""
    village, ann, bob, pipe = pair(rate=None)
    pipe.other.rate = RATE
    large = bundle(1, size=LARGE)
    ann.sync.submit(large, village.now)
    village.run()
    assert not bob.holds(large)
    assert pipe.sent < 2_000


def test_what_is_urgent_overtakes_what_waits():
    """Little is handed to a slow link at a time, and the plan is asked anew for each."""
    village, ann, bob, pipe = pair()
    pipe.budget = 0
    for number in range(40):
        ann.sync.submit(bundle(number, size=2_000), village.now)
    village.work(ann)
    assert pipe.buffered(2) < 3_000
    urgent = bundle(99, size=SMALL, priority=Priority.EXPEDITED)
    ann.sync.submit(urgent, village.now)
    village.work(ann)
    assert pipe.buffered(1) > SMALL
    assert pipe.buffered(2) < 3_000
    pipe.budget = pipe.other.budget = None
    village.run()
    assert bob.holds(urgent)
    assert sum(bob.holds(bundle(number, size=2_000)) for number in range(40)) == 40


def test_questions_are_seldom_and_never_right_after_what_moved():
    village, ann, _, pipe = pair()
    pause = QUIET_SHARE * 8 * ROUND / RATE
    village.now += RECHECK_S + pause
    ann.sync.submit(bundle(1), village.now)
    village.run()
    said = pipe.sent
    ann.sync.wake(village.now)
    village.run()
    assert pipe.sent == said
    due = ann.sync.next_wakeup()
    assert due == village.now + max(pause, RECHECK_S)
    village.now = due
    ann.sync.wake(village.now)
    village.run()
    assert 0 < pipe.sent - said < ROUND


def test_what_waited_goes_once_the_link_has_a_better_path():
    village, ann, bob, pipe = pair()
    large = bundle(1, size=LARGE)
    ann.sync.submit(large, village.now)
    village.run()
    assert not bob.holds(large)
    pipe.rate = pipe.other.rate = None
    ann.sync.writable(pipe, village.now)
    village.run()
    assert bob.holds(large)
