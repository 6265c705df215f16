"""Between the sessions with neighbours and what is broadcast to several of them.

A WANT is shown to the broadcast before it is answered, and a wire that came by one is taken in as
if its link had brought it. What goes out is read and rewritten once for all receivers.
"""

from typing import Protocol

from meshpeer.core.broadcast.broadcast import Broadcast
from meshpeer.core.broadcast.sessions import Announced, Missing, Rank
from meshpeer.core.formats.bundle import rewrite
from meshpeer.core.sync.depot import Depot
from meshpeer.core.sync.entry import Entry


class Hearing(Protocol):
    """A session, as broadcasts see it: what `Sessions` asks for, of one neighbour."""

    def offered(self, id: bytes) -> bool:
        """Whether this bundle was offered, and neither asked for nor declined."""
        ...

    def announce(self, announced: Announced) -> None:
        """Tell of a transfer."""
        ...

    def ended(self, transfer: bytes) -> None:
        """Say that no more of it comes."""
        ...

    def say_missing(self, missing: Missing) -> None:
        """Tell the sender what is missing."""
        ...

    def alone(self, id: bytes, now: float) -> None:
        """Send it over the link, as always."""
        ...


class Airing:
    """What broadcasts need of the sessions, and the sessions of broadcasts."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self.hearing: dict[bytes, Hearing] = {}
        self.broadcast = Broadcast(self, depot.rng)
        depot.on_gone = self.broadcast.gone

    # -- what sessions ask

    def wished(self, peer: bytes, entry: Entry, now: float) -> bool:
        """Whether a bundle that a neighbour asks for goes by broadcast, or `alone` later."""
        if not self.broadcast.reaches(peer):
            return False
        rank = Rank(-entry.priority, entry.size)
        return self.broadcast.givings.wished(peer, entry.id, rank, now)

    # -- what broadcasts ask

    def undecided(self, id: bytes) -> set[bytes]:
        """See `Sessions.undecided`; so with the others."""
        return {peer for peer, heard in self.hearing.items() if heard.offered(id)}

    def load(self, id: bytes, now: float) -> None:
        """See `Sessions.load`: at once where memory has it, else the disk is asked."""
        wire = self._depot.wires.get(id)
        if wire is None:
            self._depot.load(id, self)
        else:
            self.loaded(id, wire, now)

    def loaded(self, id: bytes, wire: bytes | None, now: float) -> None:
        """The disk gave a wire, or hasn't got it."""
        entry = self._depot.queue.get(id)
        if wire is not None and entry is not None and now < entry.deadline:
            wire = rewrite(wire, entry.hops + 1, entry.age(now))
        else:
            wire = None
        self.broadcast.givings.loaded(id, wire, now)

    def announce(self, peer: bytes, announced: Announced) -> None:
        """See `Sessions.announce`."""
        if hearing := self.hearing.get(peer):
            hearing.announce(announced)

    def ended(self, peer: bytes, transfer: bytes) -> None:
        """See `Sessions.ended`."""
        if hearing := self.hearing.get(peer):
            hearing.ended(transfer)

    def say_missing(self, peer: bytes, missing: Missing) -> None:
        """See `Sessions.say_missing`."""
        if hearing := self.hearing.get(peer):
            hearing.say_missing(missing)

    def alone(self, peer: bytes, id: bytes, now: float) -> None:
        """See `Sessions.alone`."""
        if hearing := self.hearing.get(peer):
            hearing.alone(id, now)
