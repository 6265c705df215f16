"""What the owner of a peer lets it give to others: how fast, when, and over which links.

All of it limits serving only: what somebody here asked for is fetched. But for one: a file that
keeps a radio busy for hours keeps everybody else from it, so both sides ask first whether that is
meant.
"""

from collections.abc import Callable
from dataclasses import dataclass

from meshpeer.core.files.link_like import LinkLike
from meshpeer.core.link.slow import LONG_S, airtime


def utc_minute(wall: float) -> int:
    """The minute of the day, where nobody says in which zone the peer lives."""
    return int(wall // 60) % 1_440


def never(link: LinkLike) -> bool:
    """No link costs anything."""
    return False


@dataclass(frozen=True, slots=True)
class Limits:
    """May be replaced at any time."""

    serve: bool = True
    """Whether anything is given at all, over links or in answer to wants."""
    rate: float | None = None
    """Bytes a second given to all neighbours together."""
    hours: tuple[int, int] | None = None
    """From which minute of the day to which (left out) files are given; it may pass midnight."""
    minute: Callable[[float], int] = utc_minute
    """The minute of the day at a wall time."""
    metered: Callable[[LinkLike], bool] = never
    """Over which links nothing is given."""
    slow_s: float = LONG_S
    """What takes a link longer than so many seconds is not asked for there, nor given, unless
    who asks says that it is wanted all the same."""

    def too_slow(self, link: LinkLike, size: int) -> bool:
        """Whether a file of so many bytes takes too long over this link."""
        return airtime(link.rate, size) > self.slow_s

    def open_at(self, wall: float) -> bool:
        """Whether the hour allows giving."""
        if self.hours is None:
            return True
        first, last = self.hours
        minute = self.minute(wall)
        return first <= minute < last if first <= last else not last <= minute < first


class Pace:
    """Lets through while its account isn't overdrawn, so that also a piece larger than what a
    second brings may go, and says when it goes on."""

    def __init__(self, rate: float | None, now: float) -> None:
        self.rate = rate
        self._due = now

    def open(self, now: float) -> bool:
        """Whether the next piece may go."""
        return self.rate is None or now >= self._due

    def spend(self, size: int, now: float) -> None:
        """A piece went."""
        if self.rate is not None:
            self._due = max(self._due, now - 1.0) + size / self.rate

    @property
    def due(self) -> float:
        """When the next piece may go."""
        return self._due
