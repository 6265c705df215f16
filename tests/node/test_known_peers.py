"""Whom a peer tries to reach, from what it knows."""

import os

import pytest

from meshpeer.core.dialer import Dialer
from meshpeer.core.formats.beacon import mark
from meshpeer.core.formats.card import Card
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.idtext import encode
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.writes import PutPeer
from meshpeer.node import known_peers
from meshpeer.node.addresses import prefix, read_path
from meshpeer.node.config import StaticPeer
from meshpeer.node.known_peers import KnownPeers
from meshpeer.node.loading import load_peer
from meshpeer.node.state import State
from store.store import Store
from transports.interface import PeerFound

BOB = KeyPair.generate(os.urandom).public
PLACE = read_path("192.0.2.7:6374")


def card_of_bob(*hints):
    device, sealing = DeviceKey.generate(os.urandom), KeyPair.generate(os.urandom)
    certificate = Certificate(device.public, sealing.public, BOB)
    return Card.sign(
        PersonKey.generate(os.urandom),
        number=1,
        nickname="bob",
        devices=[certificate],
        hints=hints,
    )


class Ann:
    """A peer at its start, with what it knows."""

    def __init__(self, folder):
        self.state, self.store = State(folder), Store(":memory:")
        self.state.create()
        self.peer = load_peer(
            self.state,
            self.store,
            nickname="ann",
            queue_bytes=1 << 20,
            prefix=prefix,
            wall=lambda: 0.0,
            now=0.0,
        )
        self.dialer = Dialer(os.urandom)
        self.known = KnownPeers(self.peer, self.dialer, now=0.0)

    def tried(self):
        return list(self.dialer.due(now=0.0))


@pytest.fixture
def ann(tmp_path):
    return Ann(tmp_path / "ann")


def test_at_the_start_the_settings_the_database_and_the_cards_say_whom_to_try(ann):
    met, written = KeyPair.generate(os.urandom).public, KeyPair.generate(os.urandom).public
    ann.store.commit([PutPeer(met, "udp", "192.0.2.8:6374", False, 1.0)])
    card = card_of_bob("udp:192.0.2.7:6374")
    ann.peer.mail.people.accept(card, None, wall=0)
    ann.known.load(
        ann.store, [StaticPeer(encode(written), "192.0.2.9:6374")], {"udp"}, now=0.0
    )
    assert ann.tried() == [
        (met, read_path("192.0.2.8:6374")),
        (written, read_path("192.0.2.9:6374")),
        (BOB, PLACE),
    ]


def test_a_card_cannot_make_us_call_ourselves_or_many(ann):
    hints = ("udp:127.0.0.1:6374", "udp:224.0.0.1:6374", "adhoc:7")
    ann.known.hinted(card_of_bob(*hints), now=0.0)
    own = next(iter(ann.peer.mail.people.own.values()))
    ann.known.hinted(own.card.with_hints(["udp:192.0.2.7:6374"]), now=0.0)
    assert ann.tried() == []


def test_the_hidden_beacon_of_a_contact_is_recognised_and_a_strangers_is_not(ann):
    hidden = PeerFound(None, PLACE, b"8 bytes.", mark(b"8 bytes.", BOB))
    ann.known.found(hidden, now=0.0)
    assert ann.tried() == []
    ann.peer.mail.people.accept(card_of_bob(), None, wall=0)
    ann.known.found(hidden, now=0.0)
    assert ann.tried() == [(BOB, PLACE)]


def test_a_strangers_card_makes_us_call_nobody_at_the_start(ann):
    card = card_of_bob("udp:192.0.2.7:6374")
    ann.peer.mail.people.meet_stranger(card, wall=0)
    ann.known.load(ann.store, [], {"udp"}, now=0.0)
    assert ann.tried() == []


def test_a_flood_of_hidden_beacons_is_not_looked_at(ann, monkeypatch):
    looked = []
    monkeypatch.setattr(known_peers, "mark", lambda *which: looked.append(which))
    ann.peer.mail.people.accept(card_of_bob(), None, wall=0)
    for n in range(1_000):
        ann.known.found(PeerFound(None, PLACE, n.to_bytes(8, "big"), b"no match"), now=0.0)
    assert len(looked) == known_peers.HIDDEN_BURST
