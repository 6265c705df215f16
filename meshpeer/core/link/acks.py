"""What we owe the other side in acknowledgements, and when."""

from typing import Final

from meshpeer.core.link import frames
from meshpeer.core.link.ranges import Ranges
from meshpeer.core.link.recovery import MAX_ACK_DELAY

REPLAY_WINDOW: Final = 2_048
"""Counters behind the newest that are still accepted."""
ACK_AFTER: Final = 32
"""Packets that are acknowledged at once even if no flag asks for it."""


class Acks:
    """The counters that came, and which of them wait to be acknowledged."""

    __slots__ = ("_floor", "_newest_at", "at", "owed", "received", "urgent")

    def __init__(self, *, now: float) -> None:
        self.received = Ranges()
        self.owed = 0
        """Packets that came since the last acknowledgement and ask for one."""
        self.urgent = False
        """Whether it has to leave at once."""
        self.at: float | None = None
        """When it has to leave at the latest."""
        self._floor = 0
        self._newest_at = now

    @property
    def newest(self) -> int:
        """The largest counter that came, -1 if none did."""
        return self.received.next - 1

    def came(self, count: int, now: float) -> None:
        """Packets came, of which so many ask for an acknowledgement."""
        received = self.received
        if received.next - received.floor > 2 * REPLAY_WINDOW:
            received.trim(received.next - REPLAY_WINDOW)
        self._newest_at = now
        self.owed += count
        if not self.owed:
            self.urgent = False
        elif count:
            self.urgent = self.urgent or self.owed >= ACK_AFTER
            self.at = now + MAX_ACK_DELAY if self.at is None else self.at

    def take(self, now: float) -> bytes:
        """Write the ACK frame; nothing is owed then."""
        self.owed, self.at, self.urgent = 0, None, False
        ranges = self.received.newest(frames.ACK_RANGES_LIMIT, self._floor)
        return frames.ack(ranges or self.received.newest(1), now - self._newest_at)

    def seen(self, largest: int) -> None:
        """The other side got our acknowledgement of everything up to `largest`."""
        self._floor = max(self._floor, largest + 1)
