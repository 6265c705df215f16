"""What we owe the other side in acknowledgements, and when.

Counters are one row for all paths, so one path's packets lie behind another's by as much as it is
slower. An ACK therefore speaks of one path: its largest counter is the largest that came by this
path, its delay the time since then, and its ranges are what came below that, by whatever path.
So a slow path is acknowledged though a fast one is far ahead, round trips are measured for each,
and between paths of one delay there are no gaps to list. (One ACK from the newest counter
downward would spend its 32 ranges on the fast path's bursts, and never reach the slow one's.)

It goes back by the path that it speaks of. Sent by the best path it would come sooner, where one
is much quicker; but a path that dies would then silence the others too, for whom does a peer that
only receives ask whether its acknowledgements arrive?

A gap is acknowledged at once where all comes by one path: something was lost there. Where packets
come by several, a gap is what one would expect, and only the sender's flag, ACK_AFTER packets or
time ask for an answer.

By a slow path nothing asks for it at once: an acknowledgement alone takes as long there as ten
words, so it waits as long for something to ride with.
"""

from typing import Final

from meshpeer.core.link import frames
from meshpeer.core.link.path import Path
from meshpeer.core.link.ranges import Ranges
from meshpeer.core.link.recovery import MAX_ACK_DELAY

REPLAY_WINDOW: Final = 2_048
"""Counters behind the newest that are still accepted."""
ACK_AFTER: Final = 32
"""Packets that are acknowledged at once even if no flag asks for it."""


class Arrivals:
    """What came by one path and has to be acknowledged."""

    __slots__ = ("at", "delay", "floor", "largest", "newest_at", "owed", "path", "urgent")

    def __init__(self, path: Path | None) -> None:
        self.path = path
        """None: all that are not kept."""
        self.largest = -1
        self.newest_at = 0.0
        """When the largest came."""
        self.owed = 0
        """Packets that came since the last acknowledgement and ask for one."""
        self.urgent = False
        """Whether it has to leave at once."""
        self.delay = MAX_ACK_DELAY
        """Seconds that an acknowledgement may wait; by a slow path longer, and whatever asks."""
        self.at = 0.0
        """When it has to leave at the latest."""
        self.floor = 0
        """The other side knows of everything below that came by this path."""


Acknowledged = tuple[Arrivals, int] | None
"""What the ACK frame of a packet said: of which path, and up to where."""


class Acks:
    """The counters that came, and which of them wait to be acknowledged."""

    __slots__ = ("elsewhere", "owing", "received")

    def __init__(self) -> None:
        self.received = Ranges()
        self.elsewhere = Arrivals(None)
        """What came by paths that are not kept."""
        self.owing: dict[Arrivals, None] = {}
        """Those of which something is owed."""

    def came(
        self, arrivals: Arrivals, largest: int, count: int, urgent: bool, now: float
    ) -> None:
        """Packets came by one path, of which so many ask for an acknowledgement."""
        received = self.received
        if received.next - received.floor > 2 * REPLAY_WINDOW:
            received.trim(received.next - REPLAY_WINDOW)
        if largest > arrivals.largest:
            arrivals.largest, arrivals.newest_at = largest, now
        if count:
            if not arrivals.owed:
                arrivals.at = now + arrivals.delay
                self.owing[arrivals] = None
            arrivals.owed += count
        at_once = urgent and arrivals.delay <= MAX_ACK_DELAY
        if arrivals.owed and (at_once or arrivals.owed >= ACK_AFTER):
            arrivals.urgent = True

    def wake(self, now: float) -> None:
        """What waited long enough is urgent."""
        for arrivals in self.owing:
            if arrivals.at <= now:
                arrivals.urgent = True

    def next_due(self) -> float | None:
        """When `wake` has something to do."""
        return min((arrivals.at for arrivals in self.owing), default=None)

    def take(self, arrivals: Arrivals, room: int, now: float) -> tuple[bytes, Acknowledged]:
        """Write the ACK frame of one path, in `room` bytes if it can be; nothing is owed then."""
        self.owing.pop(arrivals, None)
        arrivals.owed, arrivals.urgent = 0, False
        top = arrivals.largest + 1
        count = min(frames.ACK_RANGES_LIMIT, 1 + (room - frames.ACK_HEAD.size) // 4)
        ranges = self.received.below(top, max(count, 1), arrivals.floor)
        ranges = ranges or self.received.below(top, 1) or [(arrivals.largest, top)]
        return frames.ack(ranges, now - arrivals.newest_at), (arrivals, arrivals.largest)

    @staticmethod
    def seen(told: Acknowledged) -> None:
        """The other side got the packet that acknowledged this."""
        if told is not None:
            arrivals, largest = told
            arrivals.floor = max(arrivals.floor, largest + 1)
