"""The simulated network: who hears whom now, and what happens to a datagram on its way.

While two peers are in contact they share one channel of a fixed rate, as two radios on one
frequency do: every byte of either direction takes its time, and directions with something to
send take turns. Before the channel each direction has a short buffer; what finds it full is
lost. On the way a datagram may be lost, doubled, or held back so that later ones overtake it.
When the contact time ends, whatever is under way is lost.

Datagrams that leave a buffer within one TURN are delivered together, at the end of the turn:
peers take batches, and a simulated byte costs real time mostly for each call.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.sim.loop import Loop

NAME: Final = "sim"
"""The transport's name in every simulated path; the address is the other peer's number."""

TURN_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the network does to datagrams."""

    rate: float = 250_000.0
    """Bytes per second, shared by both directions of a contact."""
    latency: float = 0.002
    """Seconds that a datagram travels after its last byte is out."""
    loss: float = 0.0
    """The share of datagrams that is lost."""
    duplicate: float = 0.0
    """The share that arrives twice."""
    reorder: float = 0.0
    """The share that is held back for up to `delay` seconds."""
    delay: float = 0.05
    buffer: int = 65_536
    """Bytes that may wait in each direction."""
    mtu: int = 1_452
    """Larger datagrams are lost."""


@dataclass(slots=True)
class Traffic:
    """What went through the network."""

    bytes: int = 0
    """Sent on the channel, whether or not it arrived."""
    datagrams: int = 0
    overflowed: int = 0
    """Datagrams that found a buffer full, or were larger than the MTU."""
    lost: int = 0
    """Datagrams lost on the way, or cut off at the end of a contact time."""


class Medium:
    """All channels of one simulation."""

    def __init__(
        self,
        loop: Loop,
        rng: Random,
        conditions: Conditions,
        deliver: Callable[[int, Sequence[Datagram]], None],
    ) -> None:
        self._loop = loop
        self._rng = rng
        self.conditions = conditions
        self._deliver = deliver
        self._traits = Traits(payload_limit=conditions.mtu)
        self._channels: dict[tuple[int, int], Channel] = {}
        self.traffic = Traffic()

    def traits_of(self, path: Path) -> Traits:
        """What every path here is like."""
        return self._traits

    def open(self, a: int, b: int) -> None:
        """The two hear each other from now on."""
        channel = Channel(
            self._loop, self._rng, self.conditions, self.traffic, self._deliver
        )
        self._channels[a, b] = self._channels[b, a] = channel

    def close(self, a: int, b: int) -> None:
        """The two hear each other no more; what is under way is lost."""
        self._channels.pop((a, b)).close()
        del self._channels[b, a]

    def send(self, source: int, batch: Iterable[Datagram]) -> None:
        """Put each datagram on the channel to the peer that its path names, if there is one."""
        for path, data in batch:
            target = int(str(path.address))
            channel = self._channels.get((source, target))
            if channel is not None:
                channel.put(source, target, bytes(data))


class Channel:
    """What two peers in contact share."""

    def __init__(
        self,
        loop: Loop,
        rng: Random,
        conditions: Conditions,
        traffic: Traffic,
        deliver: Callable[[int, Sequence[Datagram]], None],
    ) -> None:
        self._loop = loop
        self._rng = rng
        self._conditions = conditions
        self._traffic = traffic
        self._deliver = deliver
        self._waiting: dict[int, deque[Datagram]] = {}
        self._waiting_bytes: dict[int, int] = {}
        self._busy = False
        self._closed = False

    def put(self, source: int, target: int, data: bytes) -> None:
        """Send from one peer to the other; silently lost where the buffer is full."""
        waiting = self._waiting.setdefault(target, deque())
        size = self._waiting_bytes.get(target, 0) + len(data)
        if size > self._conditions.buffer or len(data) > self._conditions.mtu:
            self._traffic.overflowed += 1
            return
        waiting.append(Datagram(path_to(source), data))
        self._waiting_bytes[target] = size
        if not self._busy:
            self._busy = True
            self._loop.at(self._loop.now, self._next_turn)

    def close(self) -> None:
        """Lose what waits and what is under way."""
        self._closed = True
        self._traffic.lost += sum(map(len, self._waiting.values()))
        self._waiting.clear()

    def _next_turn(self) -> None:
        """Let each direction in turn send a datagram until the turn is full."""
        room = self._conditions.rate * TURN_S
        sent = 0
        out: dict[int, list[Datagram]] = {target: [] for target in self._waiting}
        while sent < room and any(self._waiting.values()):
            for target, waiting in self._waiting.items():
                if waiting:
                    datagram = waiting.popleft()
                    self._waiting_bytes[target] -= len(datagram.data)
                    sent += len(datagram.data)
                    out[target].append(datagram)
        self._busy = sent > 0
        if not sent:
            return
        self._traffic.bytes += sent
        done = self._loop.now + sent / self._conditions.rate
        for target, batch in out.items():
            self._travel(target, batch, done + self._conditions.latency)
        self._loop.at(done, self._next_turn)

    def _travel(self, target: int, batch: list[Datagram], when: float) -> None:
        self._traffic.datagrams += len(batch)
        arriving = batch if self._is_calm() else self._shake(target, batch, when)
        if arriving:
            self._loop.at(when, partial(self._arrive, target, arriving))

    def _is_calm(self) -> bool:
        return not (
            self._conditions.loss or self._conditions.duplicate or self._conditions.reorder
        )

    def _shake(self, target: int, batch: list[Datagram], when: float) -> list[Datagram]:
        """Give what of the batch arrives at `when`; schedule what comes later."""
        arriving = []
        for datagram in batch:
            if self._happens(self._conditions.loss):
                self._traffic.lost += 1
                continue
            if self._happens(self._conditions.duplicate):
                self._late(target, datagram, when)
            if self._happens(self._conditions.reorder):
                self._late(target, datagram, when)
            else:
                arriving.append(datagram)
        return arriving

    def _happens(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    def _late(self, target: int, datagram: Datagram, when: float) -> None:
        delay = self._rng.uniform(0, self._conditions.delay)
        self._loop.at(when + delay, partial(self._arrive, target, [datagram]))

    def _arrive(self, target: int, batch: list[Datagram]) -> None:
        if self._closed:
            self._traffic.lost += len(batch)
        else:
            self._deliver(target, batch)


def path_to(peer: int) -> Path:
    """The path by which any peer in contact reaches this one."""
    return Path(NAME, peer)
