"""Beacons in made-up names must not have all who hear them fill the air with calls."""

import os
from itertools import count

from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link import packet
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.node.crowd import CALLING, STRANGERS
from meshpeer.node.known_peers import ASKED_AT_ONCE, ASKED_RATE
from tests.node.test_known_peers import Ann
from transports.adhoc.address import path_of
from transports.interface import PeerFound

CELL = Traits(
    cost=10, medium=("adhoc", "mesh0"), broadcast=Path("adhoc", "mesh0/ff:ff:ff:ff:ff:ff")
)
MINUTE = 60
A_SECOND = 20
"""Beacons; what one station may send."""
TRIES = 6


class OnCell(Ann):
    """Ann on a cell; what she says there is counted."""

    def __init__(self, folder):
        super().__init__(folder)
        self.peer.endpoint.traits_of = lambda path: CELL
        self.now = 0.0
        self.sent = []

    def pass_second(self):
        for peer, path in self.dialer.due(self.now):
            self.peer.connect(peer, path, self.now)
        self.known.wake(self.now)
        self.peer.wake(self.now)
        self.sent += self.peer.outgoing(self.now)
        self.now += 1.0


def station(number):
    return path_of("mesh0", b"\x02" + number.to_bytes(5))


def exchange(ann, bob, seconds, before=lambda: None):
    """Let two live in range of each other: ann is station 1, bob is 2."""
    for _ in range(seconds):
        before()
        for one, other, number in ((ann, bob, 1), (bob, ann, 2)):
            one.pass_second()
            mine = (station(3 - number), CELL.broadcast)
            batch = [
                Datagram(station(number), bytes(each.data))
                for each in one.sent
                if each.path in mine
            ]
            one.sent.clear()
            other.now = one.now = max(one.now, other.now)
            if batch:
                other.peer.receive(batch, other.now)


def test_strangers_who_are_not_there_are_called_as_few_as_if_there_was_a_crowd(tmp_path):
    ann = OnCell(tmp_path / "ann")
    keys = [KeyPair.generate(os.urandom).public for _ in range(A_SECOND)]
    for second in range(5 * MINUTE):
        for number in range(A_SECOND):
            false = keys[number][:28] + second.to_bytes(4)
            ann.known.found(PeerFound(false, station(1)), ann.now)
        ann.pass_second()
    calls = sum(each.data[0] == packet.INITIATION for each in ann.sent)
    assert 0 < calls <= TRIES * STRANGERS * (5 * MINUTE / CALLING + 1)


def test_a_neighbour_is_asked_for_by_few_of_the_paths_that_others_name(tmp_path):
    ann, bob = OnCell(tmp_path / "ann"), OnCell(tmp_path / "bob")
    ann.peer.connect(bob.peer.id, station(2), ann.now)
    exchange(ann, bob, 8)
    assert bob.peer.id in ann.peer.neighbours
    ann.sent.clear()
    stations = count(1_000)
    for _ in range(MINUTE):
        for _ in range(100):
            ann.known.found(PeerFound(bob.peer.id, station(next(stations))), ann.now)
            ann.sent += ann.peer.outgoing(ann.now)
        ann.pass_second()
    false = [each for each in ann.sent if each.path != station(2)]
    assert 0 < len(false) <= 5 * (ASKED_AT_ONCE + MINUTE * ASKED_RATE)


def test_false_beacons_in_their_names_do_not_keep_contacts_apart(tmp_path):
    """All slots of a call are taken by stations that aren't there: it goes to all in range."""
    ann, bob = OnCell(tmp_path / "ann"), OnCell(tmp_path / "bob")
    for one, other in ((ann, bob), (bob, ann)):
        own = next(iter(other.peer.mail.people.own.values()))
        one.peer.mail.people.accept(own.card, None, wall=0)
    stations = count(1_000)

    def lie():
        for one, other in ((ann, bob), (bob, ann)):
            for _ in range(20):
                false = PeerFound(other.peer.id, station(next(stations)))
                one.known.found(false, one.now)

    def speak():
        lie()
        ann.known.found(PeerFound(bob.peer.id, station(2)), ann.now)
        bob.known.found(PeerFound(ann.peer.id, station(1)), bob.now)
        lie()

    exchange(ann, bob, 10, lie)
    exchange(ann, bob, 30, speak)
    assert bob.peer.id in ann.peer.neighbours
    assert ann.peer.neighbours[bob.peer.id].link.path == station(2)
    assert bob.peer.neighbours[ann.peer.id].link.path == station(1)


def test_a_false_beacon_by_a_modem_does_not_delay_a_call_by_another_way(tmp_path):
    """By a slow path the higher peer id waits for the other to call: by that path alone."""
    ann = OnCell(tmp_path / "ann")
    slow = CELL._replace(rate=300.0, medium="tnc", broadcast=None)
    modem, cable = Path("adhoc", "ttyUSB0/1a2b"), Path("udp", ("192.0.2.7", 6374))
    ann.peer.endpoint.traits_of = lambda path: slow if path == modem else Traits()
    lower = bytes(31) + b"\x09"
    ann.peer.connect(lower, modem, 0.0)
    assert ann.peer.outgoing(0.0) == []
    ann.peer.connect(lower, cable, 0.0)
    assert [datagram.path for datagram in ann.peer.outgoing(0.0)] == [cable]
