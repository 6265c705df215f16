"""By a slow medium nobody can make us call for longer than it took to ask for it."""

import os

from meshpeer.core.formats.beacon import mark
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link import packet
from meshpeer.core.link.path import Traits
from meshpeer.node.slow_calls import CONTACTS_AT_ONCE, STRANGERS_AT_ONCE
from tests.node.test_known_peers import BOB, Ann, card_of_bob
from transports.adhoc.address import path_of
from transports.interface import PeerFound

RATE = 1_200.0
SLOW = Traits(payload_limit=499, cost=1_000, rate=RATE, medium=("adhoc", "ttyUSB0"))
MINUTES = 10


class Slow(Ann):
    """Ann behind a modem; what she says by it is counted."""

    def __init__(self, folder):
        super().__init__(folder)
        self.peer.endpoint.traits_of = lambda path: SLOW
        self.sent = self.calls = 0

    def live(self, beacons, until):
        """Hear a beacon a second, and do what time brings."""
        for now in range(until):
            if found := next(beacons, None):
                self.known.found(found, float(now))
            self.known.wake(float(now))
            for peer, path in self.dialer.due(float(now)):
                self.peer.connect(peer, path, float(now))
            self.peer.wake(float(now))
            for datagram in self.peer.outgoing(float(now)):
                self.sent += len(datagram.data)
                self.calls += datagram.data[0] == packet.INITIATION


def station(number):
    return path_of("ttyUSB0", number.to_bytes(2))


def test_a_minute_of_false_beacons_is_no_hour_of_calls(tmp_path):
    ann = Slow(tmp_path / "ann")
    keys = [KeyPair.generate(os.urandom).public for _ in range(60)]
    ann.live((PeerFound(key, station(n)) for n, key in enumerate(keys)), 60 * MINUTES)
    assert 0 < ann.sent <= STRANGERS_AT_ONCE + 60 * RATE / 8 * 0.05


def test_nor_are_false_ones_of_a_contact(tmp_path):
    ann = Slow(tmp_path / "ann")
    ann.peer.mail.people.accept(card_of_bob(), None, wall=0)
    false = (PeerFound(BOB, station(n)) for n in range(60 * MINUTES))
    ann.live(false, 60 * MINUTES)
    assert 0 < ann.sent <= CONTACTS_AT_ONCE + 60 * MINUTES * RATE / 8 * 0.2


def test_strangers_take_no_call_from_contacts(tmp_path):
    ann = Slow(tmp_path / "ann")
    ann.peer.mail.people.accept(card_of_bob(), None, wall=0)
    for number in range(50):
        key = KeyPair.generate(os.urandom).public
        ann.known.found(PeerFound(key, station(number)), now=0.0)
    hidden = PeerFound(None, station(77), b"8 bytes.", mark(b"8 bytes.", BOB))
    assert ann.known.found(hidden, now=0.0)
    assert ann.tried() == [(BOB, station(77))]


def test_by_a_fast_medium_nothing_is_counted(tmp_path):
    ann = Slow(tmp_path / "ann")
    ann.peer.endpoint.traits_of = lambda path: SLOW._replace(rate=None)
    keys = [KeyPair.generate(os.urandom).public for _ in range(50)]
    assert all(ann.known.found(PeerFound(key, station(1)), now=0.0) for key in keys)
    assert len(ann.tried()) == 50
