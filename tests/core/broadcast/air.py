"""Real peers on one frequency: a frame takes its time, all in range hear it, each loses its own.

Every frame, for one or for all, is lost for each receiver by itself, and no radio below repeats
it: that is harder than Wi-Fi, where unicast is repeated. Stations send in turn, one frame at a
time. What is counted is a cell's frame: its datagram, 14 bytes of addresses and EtherType, 2 of
length and 1 of our head.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import cast

from meshpeer.core.formats.bundle import Bundle, Header, Priority
from meshpeer.core.link.packet import BROADCAST
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.sim.loop import Loop
from meshpeer.sim.machine import Keys, Machine, Surroundings
from meshpeer.sim.medium import Medium, path_to

FRAME_HEAD = 14 + 2 + 1
EVERYBODY = Path("sim", "everybody")
RATE = 6_000_000.0


class Air:
    """What the simulated machines send by, and what went over it."""

    def __init__(
        self,
        loop: Loop,
        rng: Random,
        *,
        rate: float | None = RATE,
        loss: float = 0.0,
        limit: int = 1_452,
        broadcast: bool = True,
    ) -> None:
        self.loop, self.rng, self.rate, self.loss = loop, rng, rate or RATE, loss
        self.traits = Traits(
            payload_limit=limit,
            broadcast=EVERYBODY if broadcast else None,
            medium="air",
            rate=rate,
        )
        self.machines: list[Machine] = []
        self.deaf: set[tuple[int, int]] = set()
        """(source, receiver) of whom the second doesn't hear the first."""
        self.tamper: Callable[[int, int, bytes], bytes | None]
        self.tamper = lambda source, target, data: data
        """Gives what a receiver hears of a frame; None: nothing."""
        self.bytes = self.frames = self.broadcast_bytes = 0
        self.seen: list[bytes] = []
        """The packets that were broadcast."""
        self._waiting: dict[int, deque[tuple[Path, bytes]]] = {}
        self._busy = False
        self._speaking: int | None = None

    def full(self, source: int) -> bool:
        """Whether a station's modem holds a frame: its node gives it no other."""
        return self._speaking == source or bool(self._waiting.get(source))

    def traits_of(self, path: Path) -> Traits:
        return self.traits

    def send(self, source: int, batch: Iterable[Datagram]) -> None:
        waiting = self._waiting.setdefault(source, deque())
        waiting += [(path, bytes(data)) for path, data in batch]
        if waiting and not self._busy:
            self._busy = True
            self.loop.at(self.loop.now, self._next)

    def _next(self) -> None:
        source = next((n for n, waiting in self._waiting.items() if waiting), None)
        self._busy = source is not None
        if source is None:
            return
        waiting = self._waiting.pop(source)
        self._waiting[source] = waiting
        path, data = waiting.popleft()
        self._speaking = source
        size = len(data) + FRAME_HEAD
        self.bytes, self.frames = self.bytes + size, self.frames + 1
        if data[0] == BROADCAST:
            self.broadcast_bytes += size
            self.seen.append(data)
        self.loop.at(
            self.loop.now + size * 8 / self.rate, partial(self._out, source, path, data)
        )

    def _out(self, source: int, path: Path, data: bytes) -> None:
        others = [n for n in range(len(self.machines)) if n != source]
        for target in others if path == EVERYBODY else [int(str(path.address))]:
            if (source, target) in self.deaf or self.rng.random() < self.loss:
                continue
            heard = self.tamper(source, target, data)
            if heard is not None:
                self.machines[target].hear([Datagram(path_to(source), heard)])
        self._speaking = None
        if not self._waiting[source]:
            self.machines[source].writable()
        self._next()


class Place:
    """So many machines in range of each other; the first is linked to all others."""

    def __init__(
        self,
        neighbours: int = 8,
        seed: int = 1,
        *,
        loss: float = 0.0,
        mesh: bool = False,
        rate: float | None = RATE,
        limit: int = 1_452,
        broadcast: bool = True,
    ) -> None:
        rng = Random(seed)
        self.loop = Loop()
        self.air = Air(self.loop, rng, rate=rate, limit=limit, broadcast=broadcast)
        medium = cast(Medium, self.air)  # all that a machine calls, it has
        around = Surroundings(self.loop, medium, 64 << 20, lambda number, batch: None)
        keys = [Keys.make(f"m{n}", rng.randbytes) for n in range(neighbours + 1)]
        self.machines = self.air.machines
        for number, key in enumerate(keys):
            self.machines.append(
                Machine(number, around, key, Random(seed * 1_000 + number))
            )
            self.machines[-1].peer.endpoint.airs.full = partial(self._full, number)
        self.sender, *self.receivers = self.machines
        pairs = [
            (a, b)
            for a in range(neighbours + 1)
            for b in range(a + 1, neighbours + 1)
            if mesh or not a
        ]
        for a, b in pairs:
            self.meet(a, b)
        self.run_until(self.linked, 600)
        self.run(20)
        self.air.loss = loss

    def _full(self, number: int, path: Path) -> bool:
        return self.air.full(number)

    def linked(self) -> bool:
        """Whether the sender has all its links."""
        return len(self.sender.peer.neighbours) == len(self.receivers)

    def meet(self, a: int, b: int) -> None:
        left, right = self.machines[a], self.machines[b]
        left.introduce(right.keys.own.card)
        right.introduce(left.keys.own.card)
        right.meet(a, left.keys.static.public, calling=False)
        left.meet(b, right.keys.static.public, calling=True)

    def part(self, number: int) -> None:
        self.machines[number].part(0)
        self.sender.part(number)

    def run(self, seconds: float) -> None:
        self.loop.run(self.loop.now + seconds)

    def run_until(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        end = self.loop.now + seconds
        while not condition():
            assert self.loop.now < end, f"not within {seconds} seconds"
            self.run(0.05)

    def submit(self, *bundles: Bundle) -> None:
        machine = self.sender
        for bundle in bundles:
            assert machine.peer.sync.submit(bundle, machine.now) is None
        machine._settle()

    def durable(self, bundles: Iterable[Bundle], among: Iterable[Machine] = ()) -> bool:
        """Whether the sender has heard from all of these that they hold all bundles."""
        carried = self.sender.peer.sync.queue.carried
        return all(
            carried.has(bundle.id, machine.keys.static.public)
            for machine in among or self.receivers
            for bundle in bundles
        )

    @property
    def counters(self) -> Counter[str]:
        """What the sender counted of its broadcasts."""
        return self.sender.peer.sync.broadcast.counters

    @property
    def heard(self) -> Counter[str]:
        """What all receivers counted."""
        return sum((m.peer.sync.broadcast.counters for m in self.receivers), Counter())


def bundle(n: int, size: int = 256 * 1024, priority: Priority = Priority.NORMAL) -> Bundle:
    """A bundle for nobody here; nothing in it is really sealed."""
    rng = Random(n)
    header = Header(priority, 4, rng.randbytes(16), rng.randbytes(16), 86_400, 490_000)
    return Bundle.make(header, rng.randbytes(size))
