"""Broadcast: a bundle that several neighbours lack goes out once for all of them.

The face of the package, sans-IO. How it goes:

1. Bundles are offered over each link as always. A neighbour's WANT is shown here (`wished`); if
   others on the same medium may say the same, it waits for them (gathering.py).
2. The transfer is announced to each over its link: bundle, size, and a key made for it
   (sessions.py). So only those who want it can read it, and only what its sender announced counts.
3. Symbols go out by the path for all (symbol.py, code.py), at a share of the medium's rate
   (pace.py). Nobody answers single ones.
4. When the last is out, whoever lacks some says how many, at a random moment (taking.py); so many
   more go out (giving.py).
5. A wire that is whole goes the way of those from links: judged, made durable, answered. Whatever
   fails (out of reach, no room, false symbols, an end in the middle) is asked for over the link.

So no rule of sync is changed: what is asked for, refused, charged, counted as carried or durable.
Weighed and left: a key of the sender for all its neighbours, which has to be renewed whenever one
goes, and lets all forge in its name; an end of rounds told over the links, which costs a packet
and its answer for each receiver where two bytes in each symbol do.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from meshpeer.core.broadcast.sessions import Sessions
from meshpeer.core.link.path import Datagram, Path, Traits

if TYPE_CHECKING:
    from meshpeer.core.broadcast.givings import Givings
    from meshpeer.core.broadcast.takings import Takings


class Broadcast:
    """Both halves of one peer, each made when it is needed: most peers are on no such medium."""

    def __init__(self, sessions: Sessions, rng: Callable[[int], bytes]) -> None:
        self.traits_of: Callable[[bytes], Traits | None] = lambda peer: None
        """What is known of the path on which the link to a neighbour is."""
        self.traits_at: Callable[[Path], Traits] = lambda path: Traits()
        """What is known of a path for all. Both are to be set before the first link is up."""
        self.free_at: Callable[[Path], float] = lambda path: 0.0
        """When a packet may leave by a path; to be set likewise."""
        self.counters: Counter[str] = Counter()
        """What was sent, dropped or refused, by reason."""
        self._sessions, self._rng = sessions, rng
        self._givings: Givings | None = None
        self._takings: Takings | None = None

    @property
    def givings(self) -> "Givings":
        """The sending half."""
        if self._givings is None:
            from meshpeer.core.broadcast.givings import Givings

            self._givings = Givings(self._sessions, self._rng, self.counters)
            self._givings.traits_of, self._givings.traits_at = (
                self.traits_of,
                self.traits_at,
            )
            self._givings.free_at = self.free_at
        return self._givings

    @property
    def takings(self) -> "Takings":
        """The receiving half."""
        if self._takings is None:
            from meshpeer.core.broadcast.takings import Takings

            self._takings = Takings(self._sessions, self._rng, self.counters)
        return self._takings

    def reaches(self, peer: bytes) -> bool:
        """Whether a neighbour's path has another for all beside it."""
        traits = self.traits_of(peer)
        return traits is not None and traits.broadcast is not None

    def receive(self, packet: bytes, now: float) -> None:
        """Take in a packet of anybody; never raises for what is in it."""
        self.takings.receive(packet, now)

    def finished(self) -> list[bytes]:
        """The neighbours of which `takings.collect` has something."""
        return [] if self._takings is None else self._takings.finished()

    def stir(self) -> None:
        """A neighbour may have answered an offer: somebody may have waited for that."""
        if self._givings is not None:
            self._givings.stir()

    def gone(self, id: bytes) -> None:
        """A bundle isn't held any more: nothing of it is sent."""
        if self._givings is not None:
            self._givings.gone(id)

    def left(self, peer: bytes) -> None:
        """The link to a neighbour is down."""
        if self._givings is not None:
            self._givings.left(peer)
        if self._takings is not None:
            self._takings.left(peer)

    def wake(self, now: float) -> None:
        """Do what time brings; early or late does no harm."""
        if self._takings is not None:
            self._takings.wake(now)

    def outgoing(self, now: float) -> list[Datagram]:
        """Give what is to be sent now; call it before the links are asked."""
        return [] if self._givings is None else self._givings.outgoing(now)

    def next_wakeup(self) -> float | None:
        """When to call `wake` and `outgoing`, at the latest."""
        halves = self._givings, self._takings
        times = (half.next_wakeup() for half in halves if half is not None)
        return min((time for time in times if time is not None), default=None)
