"""Sync: the bundles and values of this peer meet those of its neighbours.

The face of the package. The peer says which links are up and readable, and when the disk has
wires; it takes events and asks when to wake. What it has to write goes into the journal, and what
may only happen after the commit hangs there too.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.receipt import Meaning
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import OWN, Account
from meshpeer.core.sync.airing import Airing
from meshpeer.core.sync.depot import PATIENCE_S, Batch, Deliver, Depot
from meshpeer.core.sync.events import Event
from meshpeer.core.sync.link_like import LinkLike
from meshpeer.core.sync.messages import Code
from meshpeer.core.sync.queue import Queue, Refusal
from meshpeer.core.sync.session import Session


class Sync:
    """All sessions of one peer."""

    def __init__(
        self,
        *,
        queue: Queue,
        journal: Journal,
        rng: Callable[[int], bytes],
        deliver: Deliver,
        now: float = 0.0,
    ) -> None:
        self.queue = queue
        self._journal = journal
        self._depot = Depot(queue=queue, journal=journal, rng=rng, deliver=deliver)
        self._airing = Airing(self._depot)
        self.broadcast = self._airing.broadcast
        """What is sent once to several neighbours; the peer gives it packets and takes some."""
        self._sessions: dict[bytes, Session] = {}
        self._asked_at = now

    @property
    def tags(self) -> frozenset[bytes]:
        """Destination tags of the persons here; setting them tells the neighbours."""
        return self._depot.tags

    @tags.setter
    def tags(self, tags: Collection[bytes]) -> None:
        self._depot.tags = frozenset(tags)
        for session in self._sessions.values():
            session.greet()
            session.flush()

    @property
    def counters(self) -> Mapping[str, int]:
        """Malformed input by field."""
        return self._depot.counters

    def link_up(self, link: LinkLike, account: Account, now: float) -> None:
        """A neighbour is here; what it brings is charged to `account`."""
        if link.peer_id in self._sessions:
            self.link_down(self._sessions[link.peer_id].link, now)
        session = Session(self._depot, self._airing, link, account, now)
        self._sessions[link.peer_id] = self._depot.parties[link.peer_id] = session
        self._airing.hearing[link.peer_id] = session
        session.start(now)

    def link_down(self, link: LinkLike, now: float) -> None:
        """The link is gone; what it was to bring is asked of others."""
        session = self._sessions.get(link.peer_id)
        if session is None or session.link is not link:
            return
        del self._sessions[link.peer_id], self._depot.parties[link.peer_id]
        del self._airing.hearing[link.peer_id]
        session.close()
        self.broadcast.left(link.peer_id)
        self._depot.ask_others(session, now)

    def charge_to(self, peer: bytes, account: Account) -> None:
        """A neighbour became a contact, or is none any more."""
        session = self._sessions.get(peer)
        if session:
            session.charge_to(account)

    def readable(self, link: LinkLike, now: float) -> None:
        """Bytes came on one of the streams 0 to 3."""
        session = self._sessions.get(link.peer_id)
        if session and session.link is link:
            session.readable(now)

    def writable(self, link: LinkLike, now: float) -> None:
        """A stream that had much waiting has little now."""
        session = self._sessions.get(link.peer_id)
        if session and session.link is link:
            session.writable(now)

    def take_broadcasts(self, now: float) -> None:
        """Take in what came by broadcasts since the last call."""
        for peer in self.broadcast.finished():
            if session := self._sessions.get(peer):
                session.readable(now)

    def submit(self, bundle: Bundle, now: float, account: Account = OWN) -> Refusal | None:
        """Hold a bundle made here and send it once it is durable; or say why not.

        One that is charged to another account is not our own persons': all that is told of it is
        that a neighbour carries it."""
        wire, own = bundle.wire, account == OWN
        refusal = self.queue.admit(bundle.id, bundle.header, wire, account, now, own=own)
        if refusal:
            return refusal
        self._depot.wires.put(bundle.id, wire)
        if own:
            self._depot.watch(bundle.header.receipt_hash, bundle.id, now)
        else:
            self._depot.made_here.add(bundle.id)
        self._depot.collect_gone()
        self._depot.unsaved.add(bundle.id)
        batch = Batch(fresh=[bundle.id])
        if bundle.header.tag in self.tags:
            self._depot.deliver_own(bundle, batch, now)
        self._depot.land(batch, None, lambda _: self._depot.unsaved.discard(bundle.id))
        return None

    def add_value(self, value: bytes, hours: int, now: float) -> None:
        """A receipt or recall of our own: journalled now, seen and flooded once durable."""
        self.queue.values.promise(value, hours, OWN, now)
        self._depot.land(Batch(values=[(value, hours)]), None, lambda batch: None)

    def written(self, bundle: bytes, value: bytes, now: float) -> None:
        """The part that this bundle brought is durable: its receipt may leave."""
        self._depot.written(bundle, value, now)

    def not_written(self, bundle: bytes, now: float) -> None:
        """There was no room for that part: the bundle may come again later."""
        self._depot.not_written(bundle, Code.LATER, now)

    def read(self, id: bytes, then: Callable[[bytes | None, float], None]) -> None:
        """Have the wire of a held bundle read from the disk, and give it to `then`."""
        self._depot.load(id, _Reading(then))

    def ask_again(self, now: float) -> None:
        """The persons here have room: ask for what was put off, though links may last."""
        for session in list(self._sessions.values()):
            session.ask_again(now)

    def watch(self, receipt_hash: bytes, bundle: bytes, now: float) -> None:
        """Report values of one of our own deliveries; for those from before a restart."""
        self._depot.watch(receipt_hash, bundle, now)

    def unwatch(self, receipt_hash: bytes) -> None:
        """That delivery is given up: nothing of it needs to be told any more."""
        self._depot.watched.pop(receipt_hash, None)

    def fate(self, receipt_hash: bytes) -> bytes | Meaning | None:
        """What is known of a bundle with this hash: its id if it is held, or what a value says."""
        return self.queue.fate(receipt_hash)

    def loads(self) -> list[bytes]:
        """Ids whose wires are to be read from the disk, each told once."""
        ids, self._depot.to_load = self._depot.to_load, []
        return ids

    def loaded(self, wires: Mapping[bytes, bytes | None], now: float) -> None:
        """What the disk has of them; None for one that it hasn't."""
        for id, wire in wires.items():
            self._depot.loaded(id, wire, now)

    def wake(self, now: float) -> None:
        """Do what is due, and look whether the disk goes; early or late does no harm."""
        self.queue.expire(now)
        self._depot.collect_gone()
        self._depot.check_disk(now)
        self._asked_at = now
        for session in list(self._sessions.values()):
            session.wake(now)
        self.broadcast.wake(now)
        self.take_broadcasts(now)

    def next_wakeup(self) -> float | None:
        """When to call `wake`, at the latest."""
        times = [session.next_wakeup() for session in self._sessions.values()]
        if any(session.waiting for session in self._sessions.values()):
            times.append(self._asked_at + PATIENCE_S)
        times += self.queue.next_expiry(), self.broadcast.next_wakeup()
        return min((time for time in times if time is not None), default=None)

    def events(self) -> list[Event]:
        """What happened to bundles of our own persons since the last call."""
        events, self._depot.events = self._depot.events, []
        return events


class _Reading(NamedTuple):
    """One who waits for a wire and is no session."""

    then: Callable[[bytes | None, float], None]

    def loaded(self, id: bytes, wire: bytes | None, now: float) -> None:
        self.then(wire, now)
