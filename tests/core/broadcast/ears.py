"""The links' side of broadcasts, as a record of what was asked of it."""

from random import Random

from meshpeer.core.broadcast.broadcast import Broadcast
from meshpeer.core.broadcast.sessions import Announced, Rank
from meshpeer.core.link.path import Path, Traits

AIR = Path("sim", "everybody")
TRAITS = Traits(broadcast=AIR, rate=6_000_000.0)


class Ears:
    """One peer's broadcasts; its neighbours are names, and the disk answers at once."""

    def __init__(self, name="m", traits=TRAITS):
        self.broadcast = Broadcast(self, Random(name).randbytes)
        self.broadcast.traits_of = lambda peer: traits
        self.broadcast.traits_at = lambda path: traits
        self.givings, self.takings = self.broadcast.givings, self.broadcast.takings
        self.offers, self.wires = {}, {}
        self.announced, self.over, self.said, self.by_link = [], [], [], []
        self.now = 0.0

    def undecided(self, id):
        return self.offers.get(id, set())

    def load(self, id, now):
        self.givings.loaded(id, self.wires.get(id), now)

    def announce(self, peer, announced):
        self.announced.append((peer, announced))

    def ended(self, peer, transfer):
        self.over.append((peer, transfer))

    def say_missing(self, peer, missing):
        self.said.append((peer, missing))

    def alone(self, peer, id, now):
        self.by_link.append((peer, id))

    def wish(self, id, *peers, size=100_000, after=0):
        """These ask for a bundle, one after the other, which is offered to all of them."""
        self.wires.setdefault(id, Random(id).randbytes(size))
        self.offers[id] = self.offers.get(id, set()) | set(peers)
        for peer in peers:
            self.offers[id].discard(peer)
            if not self.givings.wished(peer, id, Rank(after, size), self.now):
                self.by_link.append((peer, id))

    def pass_time(self, seconds):
        """Give all packets that leave meanwhile."""
        out, end = self.broadcast.outgoing(self.now), self.now + seconds
        while (due := self.broadcast.next_wakeup()) is not None and due <= end:
            self.now = max(self.now, due) + 1e-6
            self.broadcast.wake(self.now)
            out += self.broadcast.outgoing(self.now)
        self.now = max(self.now, end)
        return [bytes(datagram.data) for datagram in out]


def announced(n=0, size=100_000, symbol_size=1_400, elapsed=0):
    """A transfer as its sender tells of it."""
    rng = Random(n)
    return Announced(
        rng.randbytes(4), rng.randbytes(32), rng.randbytes(32), size, symbol_size, elapsed
    )
