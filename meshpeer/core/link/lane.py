"""The sending side of one path: what is under way there, its pace, and when more would arrive.

`arrival` is the model by which a slower path is chosen or not: what is under way beyond what fills
the path waits in its queue, and moves on at the rate that was measured.
"""

from typing import Final

from meshpeer.core.link.air import Air
from meshpeer.core.link.path import Path
from meshpeer.core.link.paths import Way
from meshpeer.core.link.recovery import INITIAL_RTT, Recovery
from meshpeer.core.link.slow import LONE_ACK, airtime

ACK_EVERY: Final = 24
"""Packets after which the sender asks for an acknowledgement, at most."""
LEAST_RTT: Final = 1e-4
"""Seconds; what a path carries is not thought to be more than its first window in this."""


class Lane:
    """One path as bulk goes by it."""

    __slots__ = ("air", "pace_at", "paced", "probes", "recovery", "since_flag", "way")

    def __init__(
        self, way: Way, recovery: Recovery, now: float, air: Air | None = None
    ) -> None:
        self.way = way
        self.air = air
        """The slow medium that it shares with others; there this one has no pace of its own."""
        self.recovery = recovery
        self.pace_at = now
        """When the next burst may leave."""
        self.paced = False
        """Whether it only waits for that moment."""
        self.since_flag = 0
        """Packets since the last that asked to be acknowledged at once."""
        self.probes = 0
        """Packets to be sent whatever the window says."""

    @property
    def path(self) -> Path:
        """Where its packets go."""
        return self.way.path

    @property
    def next_at(self) -> float:
        """When a packet may leave, if the window lets it."""
        return self.pace_at if self.air is None else self.air.free_at

    def held(self, now: float) -> bool:
        """Whether even what is small has to wait, for the medium is slow and taken."""
        return self.air is not None and self.air.free_at > now

    @property
    def rtt(self) -> float:
        """The round trip of a packet that meets no queue."""
        return self.recovery.rtt if self.way.rtt is None else self.way.rtt

    @property
    def rate(self) -> float:
        """Bytes a second that it carries, as far as that is known."""
        congestion = self.recovery.congestion
        return congestion.speed or congestion.window / max(self.rtt, LEAST_RTT)

    @property
    def flag_every(self) -> int:
        """Packets after which one asks to be acknowledged: a quarter of the window."""
        limit = self.way.traits.payload_limit
        return max(2, min(ACK_EVERY, self.recovery.congestion.window // limit // 4))


def first_rtt(way: Way) -> float:
    """Seconds to be assumed for a round trip by a path on which nothing was measured."""
    traits = way.traits
    return max(INITIAL_RTT if way.rtt is None else way.rtt, airtime(traits.rate, LONE_ACK))


def arrival(size: int, *lanes: Lane) -> float:
    """Seconds until so many bytes more would have arrived, shared among these lanes."""
    rate = sum(lane.rate for lane in lanes)
    rtt = min(lane.rtt for lane in lanes)
    waiting = size + sum(lane.recovery.in_flight for lane in lanes)
    return max(0.0, waiting / rate - rtt) + rtt / 2
