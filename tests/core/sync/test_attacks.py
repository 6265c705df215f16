"""Attacks by a neighbour with a valid link: each was tried, and must stay without effect."""

from meshpeer.core.sync import messages
from tests.core.sync.stranger import Stranger
from tests.core.sync.village import Peer


def test_a_malformed_transfer_ends_its_link_and_nothing_else():
    bob = Peer("bob")
    eve = Stranger(bob)
    eve.send(1, messages.varint(2 * 400_000))
    assert eve.end.closed is not None
    bob.sync.link_down(eve.end, 0.0)
    assert bob.sync.next_wakeup() is None
