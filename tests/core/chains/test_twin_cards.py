"""Two cards of a person with one number: all peers come to hold the same one."""

from itertools import permutations

import pytest

from meshpeer.core.chains.messages import Heads
from meshpeer.core.formats.card import Card, Revocation, is_newer
from tests.core.chains.stranger import Stranger
from tests.core.chains.village import Log, Peer, Person, Village

pytestmark = pytest.mark.usefixtures("disk")


@pytest.fixture
def twins(ann):
    """Number 2 without the first device, and number 2 that revokes it; the one that holds last."""
    first = ann.devices[0][0].public
    without = ann.issue(without=[first])
    ann.number -= 1
    return sorted(
        [without, ann.issue([Revocation(first)])], key=lambda card: card.signature
    )


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("way", ["meet", "card", "people", "heads"])
def test_whichever_comes_first_the_same_one_holds(ann, twins, order, way):
    cards = twins[::-1] if order else twins
    bob, carla = Peer("bob"), Peer("carla")
    for peer, card in zip((bob, carla), cards, strict=True):
        peer.knows(Person("ann", devices=2))
        peer.chains.take_card(card, 0.0)
        peer.commit(0.0)
    for peer, card in zip((carla, bob), cards, strict=True):
        match way:
            case "card":
                peer.chains.take_card(card, 0.0)
            case "people":
                peer.people.accept(card, None, wall=0)
                peer.chains.wake(0.0)
            case "heads":
                Stranger(peer).say(Heads(ann.id, card.to_bytes(), ()))
        peer.commit(0.0)
    if way == "meet":
        Village().meet(bob, carla)
    for peer in (bob, carla):
        assert peer.chains.card_of(ann.id) == twins[-1]
        peer.start()
        assert peer.chains.card_of(ann.id) == twins[-1]


def test_what_the_one_revokes_goes_also_where_the_other_came_first(ann, twins):
    plain, revoking = sorted(twins, key=lambda card: len(card.revoked))
    if not is_newer(revoking, plain):
        plain, revoking = revoking, plain
    bob = Peer("bob")
    bob.knows(ann)
    log = Log(ann, device=0)
    for cards in permutations((plain, revoking)):
        for card in cards:
            bob.chains.take_card(card, 0.0)
    bob.take(log.add())
    assert bob.chains.card_of(ann.id) == revoking
    assert not bob.rows(ann)


def test_a_card_with_other_hints_is_the_same_card(ann):
    bob = Peer("bob")
    bob.knows(ann)
    hinted = Card.parse(ann.card.with_hints(["udp:192.0.2.1:7000"]).to_bytes())
    assert not bob.chains.take_card(hinted, 0.0)
    assert not is_newer(hinted, ann.card)
    assert not is_newer(ann.card, hinted)
