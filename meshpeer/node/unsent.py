"""Datagrams on their way out, and those that a full way has no room for yet.

What fills up by itself is a bottleneck: a medium that declares its rate, or all else of a transport.
The core paces what it sends by a declared rate, so little waits there and holds nobody up. Any
other is full for milliseconds: meanwhile the core is asked for nothing, and what is urgent then
comes first.
"""

import logging
from collections.abc import Hashable, Iterable, Mapping
from typing import Final, NamedTuple

from meshpeer.core.link.path import Datagram, Path
from meshpeer.errors import MeshpeerError
from transports.interface import Transport

log = logging.getLogger("meshpeer.node")

UNSENT_LIMIT: Final = 1_024
"""Datagrams that wait at one bottleneck; more are lost, as in any full queue."""


class Bottleneck(NamedTuple):
    """What is full at once for all its paths."""

    transport: str
    medium: Hashable
    """None: all of the transport's paths whose medium declares no rate."""


class Unsent:
    """Hands datagrams to the transports, and keeps what they don't take."""

    def __init__(self, transports: Mapping[str, Transport]) -> None:
        self._transports = transports
        self._waiting: dict[Bottleneck, list[Datagram]] = {}

    @property
    def waiting(self) -> int:
        """Datagrams that wait for room."""
        return sum(map(len, self._waiting.values()))

    @property
    def held_up(self) -> bool:
        """Whether the core is to be asked for nothing more, since a way without a rate is full."""
        return any(each.medium is None for each in self._waiting)

    def send(self, datagrams: Iterable[Datagram]) -> None:
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
            self._send(bottleneck, (waiting + batch)[:UNSENT_LIMIT] if waiting else batch)

    def retry(self) -> None:
        """There may be room again: send what waits."""
        for bottleneck, batch in list(self._waiting.items()):
            self._send(bottleneck, batch)

    def _bottleneck(self, path: Path) -> Bottleneck:
        transport = self._transports.get(path.transport)
        traits = transport.traits_of(path) if transport else None
        medium = traits.medium if traits and traits.rate else None
        return Bottleneck(path.transport, medium)

    def _send(self, bottleneck: Bottleneck, batch: list[Datagram]) -> None:
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
            self._waiting[bottleneck] = left
        else:
            self._waiting.pop(bottleneck, None)
