"""Datagrams on their way out, and those that a full way has no room for yet.

What fills up by itself is a bottleneck: a medium, or all of a transport that names none. The core
paces what it sends by a declared rate, so little waits there and holds nobody up. Any other is full
for milliseconds: meanwhile the core is asked for nothing, and what is urgent then comes first.

But a radio is full for as long as somebody jams it, and the cable beside it must go on. So what is
full for longer than HELD_UP_S holds up nobody any more, till it is empty. What waits has a limit, by a
medium that declares its rate one of time: packets that are an hour old help nobody.
"""

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.errors import MeshpeerError
from transports.interface import Transport

log = logging.getLogger("meshpeer.node")

UNSENT_LIMIT: Final = 1_024
"""Datagrams that wait at one bottleneck; more are lost, as in any full queue."""
WAITING_S: Final = 30.0
"""Seconds of a medium that declares a rate which these may take …"""
WAITING_LEAST: Final = 8
"""… or so many full ones, if that is longer."""
HELD_UP_S: Final = 0.25
"""Seconds for which a full way may hold up the others."""
UNKNOWN: Final = Traits()


class Bottleneck(NamedTuple):
    """What is full at once for all its paths."""

    transport: str
    medium: Hashable
    """None: all of the transport's paths that name none."""
    paced: bool
    """It declares a rate."""
    bytes: float
    """That may wait there."""


class Unsent:
    """Hands datagrams to the transports, and keeps what they don't take."""

    def __init__(self, transports: Mapping[str, Transport]) -> None:
        self._transports = transports
        self._waiting: dict[Bottleneck, list[Datagram]] = {}
        self._full_since: dict[Bottleneck, float] = {}

    @property
    def waiting(self) -> int:
        """Datagrams that wait for room."""
        return sum(map(len, self._waiting.values()))

    def full(self, path: Path) -> bool:
        """Whether something waits for the same bottleneck as this path."""
        return bool(self._waiting) and self._bottleneck(path) in self._waiting

    def held_up(self, now: float) -> bool:
        """Whether the core is to be asked for nothing more, since a way without a rate is full."""
        return self.next_wakeup(now) is not None

    def next_wakeup(self, now: float) -> float | None:
        """When the core is held up no more, at the latest; None if it isn't."""
        ends = (
            since + HELD_UP_S for each, since in self._full_since.items() if not each.paced
        )
        return max((end for end in ends if end > now), default=None)

    def send(self, datagrams: Iterable[Datagram], now: float) -> None:
        """Send what can be sent now, after what waits for the same bottleneck."""
        fresh: dict[Bottleneck, list[Datagram]] = {}
        path: Path | None = None
        batch: list[Datagram] = []
        for datagram in datagrams:
            if datagram.path is not path:
                path = datagram.path
                batch = fresh.setdefault(self._bottleneck(path), [])
            batch.append(datagram)
        for bottleneck, batch in fresh.items():
            waiting = self._waiting.get(bottleneck)
            self._send(bottleneck, (waiting + batch) if waiting else batch, now)

    def retry(self, now: float) -> None:
        """There may be room again: send what waits."""
        for bottleneck, batch in list(self._waiting.items()):
            self._send(bottleneck, batch, now)

    def _bottleneck(self, path: Path) -> Bottleneck:
        transport = self._transports.get(path.transport)
        traits = transport.traits_of(path) if transport else UNKNOWN
        rate, most = traits.rate, inf
        if rate:
            most = max(rate / 8 * WAITING_S, float(WAITING_LEAST * traits.payload_limit))
        return Bottleneck(path.transport, traits.medium, rate is not None, most)

    def _send(self, bottleneck: Bottleneck, batch: list[Datagram], now: float) -> None:
        transport = self._transports.get(bottleneck.transport)
        if transport is None:
            return
        try:
            taken = transport.send(batch)
        except MeshpeerError as error:
            said = {"transport": bottleneck.transport, "reason": str(error)}
            log.warning("transport failed", extra=said)
            taken = len(batch)
        if left := batch[taken:]:
            self._full_since.setdefault(bottleneck, now)
            self._waiting[bottleneck] = _bounded(left, bottleneck.bytes)
        else:
            self._waiting.pop(bottleneck, None)
            self._full_since.pop(bottleneck, None)


def _bounded(waiting: Sequence[Datagram], most: float) -> list[Datagram]:
    """Those that came first, as many as may wait."""
    kept = list(waiting[:UNSENT_LIMIT])
    size = sum(len(datagram.data) for datagram in kept)
    while size > most:
        size -= len(kept.pop().data)
    return kept
