"""Real peers on one frequency: a frame takes its time, all in range hear it, each loses its own.

Every frame, for one or for all, is lost for each receiver by itself, and no radio below repeats
it: that is harder than Wi-Fi, where unicast is repeated. Stations send in turn, one frame at a
time. What is counted is a cell's frame: its datagram, 14 bytes of addresses and EtherType, 2 of
length and 1 of our head.
"""

from collections import deque
from functools import partial
from random import Random

from meshpeer.core.formats.bundle import Bundle, Header, Priority
from meshpeer.core.link.packet import BROADCAST
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.sim.loop import Loop
from meshpeer.sim.machine import Keys, Machine, Surroundings
from meshpeer.sim.medium import path_to

FRAME_HEAD = 14 + 2 + 1
EVERYBODY = Path("sim", "everybody")
RATE = 6_000_000.0


class Air:
    """What the simulated machines send by, and what went over it."""

    def __init__(self, loop, rng, *, rate=RATE, loss=0.0, limit=1_452, broadcast=True):
        self.loop, self.rng, self.rate, self.loss = loop, rng, rate, loss
        self.traits = Traits(
            payload_limit=limit,
            broadcast=EVERYBODY if broadcast else None,
            medium="air",
            rate=rate,
        )
        self.machines = []
        self.deaf = set()
        """(source, receiver) of whom the second doesn't hear the first."""
        self.tamper = lambda source, target, data: data
        self.bytes = self.frames = self.broadcast_bytes = 0
        self.seen = []
        self._waiting = {}
        self._busy = False

    def traits_of(self, path):
        return self.traits

    def send(self, source, batch):
        waiting = self._waiting.setdefault(source, deque())
        waiting += [(path, bytes(data)) for path, data in batch]
        if waiting and not self._busy:
            self._busy = True
            self.loop.at(self.loop.now, self._next)

    def _next(self):
        source = next((n for n, waiting in self._waiting.items() if waiting), None)
        self._busy = source is not None
        if source is None:
            return
        waiting = self._waiting.pop(source)
        self._waiting[source] = waiting
        path, data = waiting.popleft()
        size = len(data) + FRAME_HEAD
        self.bytes, self.frames = self.bytes + size, self.frames + 1
        if data[0] == BROADCAST:
            self.broadcast_bytes += size
            self.seen.append(data)
        self.loop.at(
            self.loop.now + size * 8 / self.rate, partial(self._out, source, path, data)
        )

    def _out(self, source, path, data):
        all_others = [n for n in range(len(self.machines)) if n != source]
        for target in all_others if path == EVERYBODY else [path.address]:
            if (source, target) in self.deaf or self.rng.random() < self.loss:
                continue
            heard = self.tamper(source, target, data)
            if heard is not None:
                self.machines[target].hear([Datagram(path_to(source), heard)])
        self._next()


class Place:
    """So many machines in range of each other; the first is linked to all others."""

    def __init__(self, neighbours=8, seed=1, queue_bytes=64 << 20, mesh=False, **air):
        rng = Random(seed)
        self.loop = Loop()
        self.air = Air(self.loop, rng, **air)
        loss, self.air.loss = self.air.loss, 0.0
        around = Surroundings(self.loop, self.air, queue_bytes, lambda number, batch: None)
        keys = [Keys.make(f"m{n}", rng.randbytes) for n in range(neighbours + 1)]
        self.machines = self.air.machines
        for number, key in enumerate(keys):
            self.machines.append(
                Machine(number, around, key, Random(seed * 1_000 + number))
            )
        self.sender, *self.receivers = self.machines
        pairs = [
            (a, b)
            for a in range(neighbours + 1)
            for b in range(a + 1, neighbours + 1)
            if mesh or not a
        ]
        for a, b in pairs:
            self.meet(a, b)
        self.run(20)
        self.air.loss = loss

    def meet(self, a, b):
        left, right = self.machines[a], self.machines[b]
        left.introduce(right.keys.own.card)
        right.introduce(left.keys.own.card)
        right.meet(a, left.keys.static.public, calling=False)
        left.meet(b, right.keys.static.public, calling=True)

    def part(self, number):
        self.machines[number].part(0)
        self.sender.part(number)

    def run(self, seconds):
        self.loop.run(self.loop.now + seconds)

    def run_until(self, condition, seconds=120.0):
        end = self.loop.now + seconds
        while not condition():
            assert self.loop.now < end, f"not within {seconds} seconds"
            self.run(0.05)

    def submit(self, *bundles, machine=None):
        machine = machine or self.sender
        for bundle in bundles:
            assert machine.peer.sync.submit(bundle, machine.now) is None
        machine._settle()

    def durable(self, bundles, among=None):
        """Whether the sender has heard from all of these that they hold all bundles."""
        carried = self.sender.peer.sync.queue.carried
        return all(
            carried.has(bundle.id, machine.keys.static.public)
            for machine in among or self.receivers
            for bundle in bundles
        )

    def broadcast(self, machine=None):
        return (machine or self.sender).peer.sync.broadcast


def bundle(n, size=256 * 1024, priority=Priority.NORMAL):
    """A bundle for nobody here; nothing in it is really sealed."""
    rng = Random(n)
    header = Header(priority, 4, rng.randbytes(16), rng.randbytes(16), 86_400, 490_000)
    return Bundle.make(header, rng.randbytes(size))
