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
Tried and left: a key of the sender for all its neighbours, which has to be renewed whenever one
goes, and lets all forge in its name; an end of rounds told over the links, which costs a packet
and its answer for each receiver where two bytes in each symbol do.
"""

from collections import Counter
from collections.abc import Callable

from meshpeer.core.broadcast.givings import Givings
from meshpeer.core.broadcast.sessions import Sessions
from meshpeer.core.broadcast.takings import Takings
from meshpeer.core.link.path import Datagram


class Broadcast:
    """Both halves of one peer."""

    def __init__(self, sessions: Sessions, rng: Callable[[int], bytes]) -> None:
        self.counters: Counter[str] = Counter()
        """What was sent, dropped or refused, by reason."""
        self.givings = Givings(sessions, rng, self.counters)
        self.takings = Takings(sessions, rng, self.counters)

    def receive(self, packet: bytes, now: float) -> None:
        """Take in a packet of anybody; never raises for what is in it."""
        self.takings.receive(packet, now)

    def left(self, peer: bytes) -> None:
        """The link to a neighbour is down."""
        self.givings.left(peer)
        self.takings.left(peer)

    def wake(self, now: float) -> None:
        """Do what time brings; early or late does no harm."""
        self.takings.wake(now)

    def outgoing(self, now: float) -> list[Datagram]:
        """Give what is to be sent now; call it before the links are asked."""
        return self.givings.outgoing(now)

    def next_wakeup(self) -> float | None:
        """When to call `wake` and `outgoing`, at the latest."""
        times = self.givings.next_wakeup(), self.takings.next_wakeup()
        return min((time for time in times if time is not None), default=None)
