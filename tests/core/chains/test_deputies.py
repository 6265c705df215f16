"""What somebody could make this peer do to its own neighbours, so that they close their links."""

from itertools import pairwise

import pytest

from meshpeer.core.chains import messages
from meshpeer.core.chains.events import Question
from meshpeer.core.chains.following import FOLLOWS_BURST
from meshpeer.core.chains.messages import Blocks, Get, Query
from meshpeer.core.chains.serving import GIVEN
from meshpeer.core.chains.session import STRIKES, UNREAD_LIMIT
from meshpeer.core.formats.block import MAX_BODY
from meshpeer.core.formats.record import Follow, Post, Unknown
from tests.core.chains.stranger import Stranger
from tests.core.chains.village import Log, Peer, Person, Village

pytestmark = pytest.mark.usefixtures("disk")


def linked(*names):
    """Peers in a row, each linked with the next."""
    peers, village = [Peer(name) for name in names], Village()
    links = [village.link(one, other) for one, other in pairwise(peers)]
    village.run()
    return village, links, peers


def is_open(link):
    return link.closed is None and link.other.closed is None


def test_strangers_who_ask_much_do_not_cost_a_peer_its_neighbours():
    """Each keeps to what is taken of one; what is passed on of them all would be a flood."""
    village, (link,), (bob, carla) = linked("bob", "carla")
    for n in range(6):
        eve = Stranger(bob, f"eve{n}")
        for question in range(9):
            eve.say(Query(bytes((n, question)) * 4, 1, b"apples?"))
        village.run()
    assert is_open(link)
    assert not carla.chains.counters["query"]
    bob.chains.ask(b"my own question", 0.0)
    village.run()
    assert carla.heard(Question)[-1].query == b"my own question"


def test_a_person_who_asks_much_does_not_cost_the_peer_its_neighbours():
    village, (link,), (bob, carla) = linked("bob", "carla")
    for _ in range(60):
        bob.chains.ask(b"apples?", village.now)
        village.now += 0.5
        village.run()
    assert is_open(link)
    assert not carla.chains.counters["query"]
    assert len(carla.heard(Question)) > 10


def test_a_contact_that_follows_one_after_the_other_does_not_cost_a_peer_its_neighbours():
    village, (link,), (bob, carla) = linked("bob", "carla")
    ann = Person("ann")
    bob.knows(ann)
    log, others = Log(ann), [Person(f"other{n}") for n in range(FOLLOWS_BURST + STRIKES)]
    for other in others:
        bob.take(log.add(Follow(other.id, True)))
        village.run()
    assert is_open(link)
    assert not carla.chains.counters["follows"]
    for _ in range(20):
        village.now += 1.0
        bob.chains.wake(village.now)
        village.run()
    session = carla.chains._sessions[bob.id]
    assert all(session.following.wanted_there(other.id) for other in others)


def test_large_blocks_do_not_make_a_slow_neighbour_seem_to_read_nothing():
    peer = Peer("ann")
    for _ in range(140):
        peer.say(Unknown(999, {2: bytes(MAX_BODY - 20)}))
    ((device, log),) = peer.disk.kept_logs
    slow = Stranger(peer)
    slow.heard()
    slow.send(b"")
    for _ in range(STRIKES + 2):
        slow.send(messages.pack(Get(device, log, 1, 140)))
    assert len(slow.end.out) <= 2 * GIVEN + 2 * MAX_BODY < UNREAD_LIMIT
    assert slow.end.closed is None
    had = []
    while answers := [one for one in slow.heard() if isinstance(one, Blocks)]:
        had += [block.header.sequence for one in answers for block in one.blocks]
        peer.chains.writable(slow.end, 0.0)
        slow.work()
    assert had == (STRIKES + 2) * list(range(140, 0, -1))


def test_two_made_up_persons_with_one_device_do_not_set_neighbours_at_odds():
    """Who holds the log in the name of the one is not to blame for what others hold."""
    bob, one, two = Peer("bob"), Person("one"), Person("two")
    two.devices = one.devices
    two.issue()
    bob.knows(one, two)
    honest = Stranger(bob, "honest")
    for n in range(2 * STRIKES):
        first, second = Log(one, id=n.to_bytes(16)), Log(two, id=n.to_bytes(16))
        bob.take(first.add(Post("mine")))
        honest.gives(second, second.add(Post("mine, too")))
    assert honest.end.closed is None
    assert bob.chains.counters["person"] == 2 * STRIKES
