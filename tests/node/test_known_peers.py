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
from meshpeer.node.addresses import prefix, read_path
from meshpeer.node.config import StaticPeer
from meshpeer.node.crowd import STRANGERS
from meshpeer.node.known_peers import STRANGER_BURST, KnownPeers
from meshpeer.node.loading import load_peer
from meshpeer.node.state import State
from store.store import Store
from transports.adhoc.address import path_of
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


def test_of_strangers_one_hears_so_many_a_second_and_of_contacts_always(ann):
    for number in range(1_000):
        ann.known.found(PeerFound(number.to_bytes(32, "big"), PLACE), now=0.0)
    assert len(ann.tried()) == STRANGER_BURST
    ann.peer.mail.people.accept(card_of_bob(), None, wall=0)
    ann.known.found(PeerFound(BOB, PLACE), now=0.0)
    assert (BOB, PLACE) in ann.tried()


def test_in_a_crowd_calls_wait_and_strangers_are_few(ann):
    ann.peer.mail.people.accept(card_of_bob(), None, wall=0)
    keys = [KeyPair.generate(os.urandom).public for _ in range(50)]
    for key in [*keys, BOB]:
        ann.known.found(PeerFound(key, path_of("mesh0", key[:6]), spread=1.0), now=0.0)
    assert ann.tried() == []
    assert ann.peer.outgoing(0.0) == []
    ann.known.wake(1.0)
    called = {path for path, _ in ann.peer.outgoing(1.0)}
    assert len(called) == STRANGERS + 1
    assert path_of("mesh0", BOB[:6]) in called
