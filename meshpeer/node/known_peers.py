"""Which peers this one tries to reach, and by which paths: all that is known ends in the dialer.

Known are the peers in the settings, those last met, those that a contact's card hints at, and
those that discovery finds. Only what the owner wrote down is tried for ever: a hint or a beacon
may be old, or false.
"""

import os
from collections.abc import Container, Hashable, Iterator, Sequence
from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.dialer import Dialer
from meshpeer.core.formats.card import Card
from meshpeer.core.identity.idtext import decode
from meshpeer.core.link.path import Path, Traits
from meshpeer.core.link.slow import is_slow
from meshpeer.core.mail.people import Contact, Status
from meshpeer.core.peer import Peer
from meshpeer.core.sync.account import Kind
from meshpeer.errors import ConfigError
from meshpeer.node.addresses import read_hint, read_path
from meshpeer.node.config import StaticPeer
from meshpeer.node.crowd import Call, Crowd
from meshpeer.node.marks import Marks
from meshpeer.node.slow_calls import SlowCalls
from store.store import Store
from transports.interface import PeerFound

REMEMBERED: Final = 64
"""Peers tried at start that nobody configured: those last met."""
ASKED_RATE, ASKED_AT_ONCE = 2.0, 64.0
"""Paths in a second, and at once, by which neighbours are asked since discovery says so: a false
one costs a beacon, and has each who is linked with that neighbour ask four times."""
PLACES: Final = 3
"""Stations of one medium by which a peer is called. Who names more lies, or somebody does in that
name: then the first packet goes to all in range, and who can answer it shows where it is."""
STRANGER_RATE, STRANGER_BURST = 20.0, 100.0
"""Strangers in a second, and at once, of whom discovery may tell us; contacts always."""


class KnownPeers:
    """Tells the dialer of each path as it becomes known."""

    def __init__(self, peer: Peer, dialer: Dialer, now: float) -> None:
        self._peer = peer
        self._dialer = dialer
        self._strangers = Bucket(rate=STRANGER_RATE, burst=STRANGER_BURST, now=now)
        people = peer.mail.people
        self._marks = Marks(self._peers_known, lambda: people.changes, now)
        self._crowd = Crowd(self._up, os.urandom)
        self._slow_calls = SlowCalls()
        self._asked = Bucket(rate=ASKED_RATE, burst=ASKED_AT_ONCE, now=now)

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

    def found(self, found: PeerFound, now: float) -> bool:
        """Try what discovery found; a neighbour's link may move to it. False: nothing to do."""
        peer = found.peer_id or self._marks.peer_behind(found.nonce, found.mark, now)
        if peer is None or peer == self._peer.id:
            return False
        traits = self._peer.endpoint.traits_of(found.path)
        contact = self._is_contact(peer)
        if peer in self._peer.neighbours:
            return self._offer_found(peer, found.path, traits, contact, now)
        if peer not in self._dialer and not contact and not self._strangers.take(now):
            return False
        if not self._slow_calls.may_call(traits, contact=contact, now=now):
            return False
        if found.spread or (traits.broadcast and not contact):
            call = Call(peer, found.path, traits.medium, contact)
            self._crowd.heard(call, found.spread, now)
        elif traits.broadcast and self._named(peer, found.path, traits) >= PLACES:
            self._peer.connect(peer, traits.broadcast, now)
        elif is_slow(traits.rate) and (not contact or peer in self._dialer):
            self._peer.connect(peer, found.path, now)
        else:
            self._dialer.learn(peer, found.path, now, configured=False)
        return True

    def _offer_found(
        self, peer: bytes, path: Path, traits: Traits, contact: bool, now: float
    ) -> bool:
        """A neighbour was heard, on a path that its link may use, or that is a lie."""
        if path not in self._peer.neighbours[peer].link.paths:
            if not self._slow_calls.may_ask(traits, contact=contact, now=now):
                return False
            if not self._asked.take(now):
                return False
        self._dialer.learn(peer, path, now, configured=False)
        self._dialer.came_up(peer)
        self._peer.connect(peer, path, now)
        return True

    def _named(self, peer: bytes, path: Path, traits: Traits) -> int:
        """Count the other paths on a medium by which this peer is called."""
        others = (each for each in self._dialer.paths(peer) if each != path)
        return sum(self._medium(each) == traits.medium for each in others)

    def offer(self, peer: bytes, now: float) -> None:
        """Tell a neighbour's link of all paths known: it uses those that are proved."""
        for path in self._dialer.paths(peer):
            self._peer.connect(peer, path, now)

    def wake(self, now: float) -> None:
        """Make the calls that are due in crowds."""
        for call in self._crowd.due(now):
            if call.peer not in self._peer.neighbours:
                self._peer.connect(call.peer, call.path, now)

    def next_wakeup(self) -> float | None:
        """When to call `wake`."""
        return self._crowd.next_wakeup()

    def linked(self, peer: bytes) -> None:
        """There is a link to this peer now."""
        self._crowd.linked(peer)

    def _is_contact(self, peer: bytes) -> bool:
        people = self._peer.mail.people
        return bool(people.contacts_at(peer) or people.own_at(peer))

    def _medium(self, path: Path) -> Hashable:
        return self._peer.endpoint.traits_of(path).medium

    def _up(self, medium: Hashable, contact: bool) -> int:
        """Count the neighbours on a medium that are contacts, or are not."""
        return sum(
            (each.account.kind is not Kind.STRANGER) == contact
            and self._medium(each.link.path) == medium
            for each in self._peer.neighbours.values()
        )

    def _peers_known(self) -> Iterator[bytes]:
        """Those whom a mark may be of: own devices, and contacts; a stranger could name many."""
        for own in self._peer.mail.people.own.values():
            yield from (device.peer for device in own.card.devices)
        for contact in self._contacts():
            yield from (device.peer for device in contact.card.devices)

    def _contacts(self) -> Iterator[Contact]:
        """Those we accepted: a stranger could name any address, and any number of peers."""
        people = self._peer.mail.people
        return (contact for contact in people if contact.status is Status.CONTACT)
