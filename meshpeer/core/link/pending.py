"""Handshakes that were answered here and not yet confirmed.

Until the first packet under its keys a link is only pending: it takes no place, stores nothing
and replaces nothing, for the first packet may be a replay. Pending links are few and short-lived.
A first packet that is repeated gets the same answer again, which is shorter than itself.
"""

from dataclasses import dataclass
from typing import Final

from meshpeer.core.link.link import Link
from meshpeer.core.link.path import Path

PENDING_TIME: Final = 6.0
"""Seconds that an answered initiation waits to be confirmed."""


@dataclass(slots=True, eq=False)
class Pending:
    """An initiation answered, not yet confirmed."""

    link: Link
    first: bytes
    """The initiation's Noise message, by which a repetition is known."""
    response: bytes
    path: Path
    """By which the initiation came first."""
    early: bytes
    until: float
    astray: bool = False
    """The response went by another path, too, so that who has it may be at that one only."""


class PendingLinks:
    """At most `limit` of them, by the connection id that was chosen here."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending: dict[bytes, Pending] = {}
        self._answered: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, connection: bytes) -> bool:
        return connection in self._pending

    @property
    def crowded(self) -> bool:
        """Whether half the places are taken: from here on a cookie is asked for."""
        return len(self._pending) >= self._limit // 2

    def response_to(self, first: bytes, path: Path) -> bytes | None:
        """Give the response that this very Noise message got before, to be sent by this path."""
        connection = self._answered.get(first)
        if connection is None:
            return None
        pending = self._pending[connection]
        pending.astray = pending.astray or path != pending.path
        return pending.response

    def has_peer(self, peer_id: bytes) -> bool:
        """Whether a link with this peer is pending."""
        return any(each.link.peer_id == peer_id for each in self._pending.values())

    def add(self, pending: Pending) -> Pending | None:
        """Wait for this one to be confirmed; give the oldest if that had to go for it."""
        full = len(self._pending) >= self._limit
        gone = self.pop(next(iter(self._pending))) if full else None
        self._pending[pending.link.local_id] = pending
        self._answered[pending.first] = pending.link.local_id
        return gone

    def pop(self, connection: bytes) -> Pending:
        """Give one, which waits no longer."""
        pending = self._pending.pop(connection)
        self._answered.pop(pending.first, None)
        return pending

    def expire(self, now: float) -> list[Pending]:
        """Give those that were not confirmed in time."""
        late = [key for key, each in self._pending.items() if each.until <= now]
        return [self.pop(connection) for connection in late]

    def next_expiry(self) -> float | None:
        """When `expire` has something to do."""
        return min((each.until for each in self._pending.values()), default=None)
