"""What other store-and-forward engines were seen to do wrong, each tried on ours."""

import pytest

from meshpeer.core.sync.transfer import frame
from meshpeer.core.sync.verdict import Opened
from tests.core.sync.stranger import Stranger
from tests.core.sync.village import HOUR, Peer, Village, bundle, receipt

FOR_CARL = b"CARL" * 4


def make_carl():
    carl = Peer("carl", tags={FOR_CARL})
    carl.receipts[bundle(1).header.receipt_hash] = Opened(receipt(1))
    return carl


def brings(peer, *bundles, name="eve"):
    """A neighbour sends these whole, unasked."""
    neighbour = Stranger(peer, name=name)
    for b in bundles:
        neighbour.send(2, frame(b.wire, b.id, 0))
    return neighbour


def test_a_duplicate_is_delivered_once():
    carl, letter = make_carl(), bundle(1, tag=FOR_CARL)
    brings(carl, letter, letter)
    brings(carl, letter, name="ann")
    assert carl.delivered == [letter.id]


@pytest.mark.parametrize(
    "late",
    [
        bundle(1, tag=FOR_CARL, lifetime=HOUR, age=HOUR),
        bundle(1, tag=FOR_CARL, hop_limit=4, hops=5),
    ],
    ids=["after its time", "past its hop limit"],
)
def test_what_comes_too_late_or_too_far_is_not_delivered(late):
    carl = make_carl()
    brings(carl, late)
    assert carl.delivered == []


def test_a_bundle_for_somebody_unknown_is_held_for_whoever_knows():
    bob, carl, letter = Peer("bob"), make_carl(), bundle(1, tag=FOR_CARL)
    brings(bob, letter)
    assert bob.holds(letter)
    Village().meet(bob, carl)
    assert carl.delivered == [letter.id]


def test_a_malformed_bundle_closes_no_ears():
    carl, letter = make_carl(), bundle(1, tag=FOR_CARL)
    broken = bytes([0xFF]) + letter.wire[1:]
    brings(carl).send(2, frame(broken, letter.id, 0))
    brings(carl, letter, name="ann")
    assert carl.delivered == [letter.id]


def test_an_age_is_passed_on_in_seconds():
    ann, bob = Peer("ann"), Peer("bob")
    ann.sync.submit(bundle(1, age=7), 0.0)
    Village(now=60.0).meet(ann, bob)
    (id,) = bob.queue
    assert bob.queue.get(id).age(60.0) == 67
