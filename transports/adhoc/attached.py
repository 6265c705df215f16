"""One medium of `adhoc` and what belongs to it: whether it is up, who is there, what waits.

What a full medium doesn't take waits here, up to a limit, so that a slow serial port never holds
up the radio beside it; only over that limit the transport says that it is full.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from meshpeer.core.link.path import Path, Traits
from transports.adhoc.address import path_of, station_text
from transports.adhoc.frame import HEAD_SIZE
from transports.adhoc.medium import Medium

STATIONS: Final = 1_024
"""Stations remembered on one medium; over it the table starts anew."""
HELD: Final = 1_024
"""Frames that wait for a full medium before the transport is full."""


class Attached:
    """A medium that the settings name, whether it is there now or not."""

    def __init__(self, label: str, make: Callable[[], Medium]) -> None:
        self.label = label
        self.make = make
        """Gives the medium for the interface as it is now; TransportError if there is none."""
        self.medium: Medium | None = None
        """Set while it is open."""
        self.trouble = "not opened yet"
        """Why it is not open; empty while it is."""
        self.traits = Traits()
        self.everybody = Path("", "")
        self.paths: dict[bytes, Path] = {}
        """Stations that frames came from."""
        self.held: deque[tuple[bytes, bytes]] = deque()

    def opened(self, medium: Medium) -> None:
        """It can be used from now on."""
        self.medium, self.trouble = medium, ""
        self.everybody = path_of(self.label, medium.everybody)
        self.traits = medium.traits._replace(
            payload_limit=medium.traits.payload_limit - HEAD_SIZE,
            broadcast=self.everybody,
            medium=("adhoc", self.label),
        )

    def failed(self, reason: str) -> None:
        """Nothing passes any more; what waited is lost, as what was under way is."""
        self.medium, self.trouble = None, reason
        self.paths.clear()
        self.held.clear()

    def path_from(self, station: bytes) -> Path | None:
        """Give the path of a station heard for the first time; None for one that can't be."""
        medium = self.medium
        if medium is None or station in (medium.everybody, medium.station):
            return None
        if len(station) == 6 and station[0] & 1:
            return None  # a group: an answer would go to many
        if len(self.paths) >= STATIONS:
            self.paths.clear()
        path = self.paths[station] = path_of(self.label, station)
        return path

    def send(self, frames: list[tuple[bytes, bytes]]) -> int:
        """Give frames to the medium, or let them wait; give how many were taken."""
        if self.medium is None:
            return len(frames)
        taken = 0 if self.held else self.medium.send(frames)
        if taken == len(frames) or self.medium is None:
            return len(frames)
        room = max(HELD - len(self.held), 0)
        self.held.extend(frames[taken : taken + room])
        return min(taken + room, len(frames))

    def drain(self) -> None:
        """Give the medium what waited, as far as it takes it."""
        if self.medium is None or not self.held:
            return
        taken = self.medium.send(list(self.held))
        for _ in range(min(taken, len(self.held))):
            self.held.popleft()

    def described(self) -> str:
        """Say in a few words what it is and under which address we are there."""
        if self.medium is None:
            return f"{self.label}: {self.trouble}"
        kind = type(self.medium).__name__.lower()
        return f"{self.label}/{station_text(self.medium.station)} ({kind})"
