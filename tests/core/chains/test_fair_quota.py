"""Whom contacts follow: what one of them can't take from the others."""

import pytest

from meshpeer.core.chains.interest import Level
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.formats.record import Follow
from tests.core.chains.village import Log, Peer, Person

pytestmark = pytest.mark.usefixtures("disk")

FEW = ChainLimits(nearby_persons=6)


def some(peer, persons):
    return [one for one in persons if peer.chains.level(one) is Level.SOME]


def made_up(count):
    """Ids that come before those of anybody else."""
    return [bytes(30) + n.to_bytes(2) for n in range(1, count + 1)]


@pytest.mark.parametrize("greedy_first", [True, False])
def test_a_contact_that_follows_a_crowd_takes_no_place_from_what_others_follow(
    greedy_first,
):
    bob, eve, ann = Peer("bob", limits=FEW), Person("eve"), Person("ann")
    bob.knows(eve, ann)
    crowd, friends = made_up(50), [Person(f"friend{n}").id for n in range(3)]
    greedy, modest = Log(eve), Log(ann)
    follows = [greedy.add(Follow(one, True)) for one in crowd]
    wishes = [modest.add(Follow(one, True)) for one in friends]
    bob.take(*(follows + wishes if greedy_first else wishes + follows))
    assert some(bob, friends) == friends
    assert len(some(bob, crowd)) == 3
    bob.start()
    assert some(bob, friends) == friends


def test_whom_several_contacts_follow_comes_before_the_others_of_each():
    bob, contacts = Peer("bob", limits=FEW), [Person(f"contact{n}") for n in range(3)]
    bob.knows(*contacts)
    common = b"\xff" * 32
    for n, contact in enumerate(contacts):
        log, mine = Log(contact), made_up(60)[20 * n : 20 * n + 20]
        bob.take(*(log.add(Follow(one, True)) for one in (*mine, common)))
    assert some(bob, [common]) == [common]
    assert len(some(bob, made_up(60))) == 5


def test_places_that_others_leave_are_taken():
    bob, eve = Peer("bob", limits=FEW), Person("eve")
    bob.knows(eve)
    log = Log(eve)
    bob.take(*(log.add(Follow(one, True)) for one in made_up(20)))
    assert len(some(bob, made_up(20))) == 6
