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
    for _ in range(8):
        for one, other, number in ((ann, bob, 1), (bob, ann, 2)):
            one.pass_second()
            batch = [
                Datagram(station(number), bytes(each.data))
                for each in one.sent
                if each.path in (station(1), station(2))
            ]
            one.sent.clear()
            if batch:
                other.now = one.now = max(one.now, other.now)
                other.peer.receive(batch, other.now)
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
