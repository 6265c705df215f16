"""Which peers this one tries to reach, and by which paths: all that is known ends in the dialer.

Known are the peers in the settings, those last met, those that a contact's card hints at, and
those that discovery finds. Only what the owner wrote down is tried for ever: a hint or a beacon
may be old, or false.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.dialer import Dialer
from meshpeer.core.formats.beacon import mark
from meshpeer.core.formats.card import Card
from meshpeer.core.identity.idtext import decode
from meshpeer.core.mail.people import Contact, Status
from meshpeer.core.peer import Peer
from meshpeer.errors import ConfigError
from meshpeer.node.addresses import read_hint, read_path
from meshpeer.node.config import StaticPeer
from store.store import Store
from transports.interface import PeerFound

REMEMBERED: Final = 64
"""Peers tried at start that nobody configured: those last met."""
HIDDEN_RATE, HIDDEN_BURST = 2.0, 100.0
"""Hidden beacons looked at in a second, and at once: with 10,000 contacts each takes 10 ms."""


class KnownPeers:
    """Tells the dialer of each path as it becomes known."""

    def __init__(self, peer: Peer, dialer: Dialer, now: float) -> None:
        self._peer = peer
        self._dialer = dialer
        self._hidden = Bucket(rate=HIDDEN_RATE, burst=HIDDEN_BURST, now=now)

    def load(
        self,
        store: Store,
        configured: Sequence[StaticPeer],
        transports: Container[str],
        now: float,
    ) -> None:
        """Begin with what the database, the settings and the cards held here say."""
        for row in reversed(store.peers(REMEMBERED)):
            if row.transport in transports:
                path = read_path(row.address, row.transport)
                self._dialer.learn(row.peer, path, now, configured=row.configured)
        for static in configured:
            if static.transport not in transports:
                raise ConfigError(f"peers: no transport {static.transport!r} is set up")
            path = read_path(static.address, static.transport)
            self._dialer.learn(decode(static.id), path, now, configured=True)
        for contact in self._contacts():
            self.hinted(contact.card, now)

    def hinted(self, card: Card, now: float) -> None:
        """Try the addresses that a card hints at, for the peers that it names."""
        for path in map(read_hint, card.hints):
            for device in card.devices:
                if path and device.peer != self._peer.id:
                    self._dialer.learn(device.peer, path, now, configured=False)

    def found(self, found: PeerFound, now: float) -> None:
        """Try what discovery found; a neighbour's link may move to it."""
        peer = found.peer_id or self._recognise(found, now)
        if peer is None or peer == self._peer.id:
            return
        self._dialer.learn(peer, found.path, now, configured=False)
        if peer in self._peer.neighbours:
            self._dialer.came_up(peer)
            self._peer.connect(peer, found.path, now)

    def offer(self, peer: bytes, now: float) -> None:
        """Tell a neighbour's link of all paths known: it uses those that are proved."""
        for path in self._dialer.paths(peer):
            self._peer.connect(peer, path, now)

    def _recognise(self, found: PeerFound, now: float) -> bytes | None:
        """Give the known peer whose hidden beacon this is; so many are looked at."""
        if not self._hidden.take(now):
            return None
        for contact in self._contacts():
            for device in contact.card.devices:
                if mark(found.nonce, device.peer) == found.mark:
                    return device.peer
        return None

    def _contacts(self) -> Iterator[Contact]:
        """Those we accepted: a stranger could name any address, and any number of peers."""
        people = self._peer.mail.people
        return (contact for contact in people if contact.status is Status.CONTACT)
