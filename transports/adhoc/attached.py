"""One medium of `adhoc` and what belongs to it: whether it is open, and who is there."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.link.path import Path, Traits
from transports.adhoc.address import path_of, station_text
from transports.adhoc.frame import HEAD_SIZE
from transports.adhoc.medium import Medium
from transports.netlink import LinkEvent

BEACON_SHARE: Final = 0.005
"""Of the air of a medium that declares a rate, what our beacons may take."""
BEACONS_AT_ONCE: Final = 256
"""Bytes of them that may go beside that: the burst of a medium that came up."""
STATIONS: Final = 1_024
"""Stations remembered on one medium; over it the table starts anew."""


class Attached:
    """A medium that the settings name, whether it is there now or not."""

    def __init__(self, label: str, make: Callable[[], Medium], port: str = "") -> None:
        self.label = label
        self.port = port
        """The path of a serial port; of an interface it is empty, the label is its name."""
        self.make = make
        """Gives the medium for the interface as it is now; TransportError if there is none."""
        self.medium: Medium | None = None
        """Set while it is open."""
        self.link: LinkEvent | None = None
        """The interface as the kernel told of it last: a new address or MTU opens it anew."""
        self.trouble = "not opened yet"
        """Why it is not open; empty while it is."""
        self.traits = Traits()
        self.everybody = Path("", "")
        self.paths: dict[bytes, Path] = {}
        """Stations that frames came from."""
        self._beacons: Bucket | None = None

    def opened(self, medium: Medium) -> None:
        """It can be used from now on."""
        self.medium, self.trouble = medium, ""
        self.everybody = path_of(self.label, medium.everybody)
        self.traits = medium.traits._replace(
            payload_limit=medium.traits.payload_limit - HEAD_SIZE,
            broadcast=self.everybody,
            medium=("adhoc", self.label),
        )
        self._beacons = None

    def may_beacon(self, size: int, now: float) -> bool:
        """Whether the air has room for a beacon of ours; if so, that is counted."""
        if self.traits.rate is None:
            return True
        if self._beacons is None:
            rate = self.traits.rate / 8 * BEACON_SHARE
            self._beacons = Bucket(rate=rate, burst=BEACONS_AT_ONCE, now=now)
        return self._beacons.take(now, size)

    def failed(self, reason: str) -> None:
        """Nothing passes any more."""
        self.medium, self.trouble = None, reason
        self.paths.clear()

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

    def counted(self) -> Counter[str]:
        """Give what the open medium counted, under its label."""
        counters = self.medium.counters if self.medium else {}
        return Counter({f"{self.label}.{what}": count for what, count in counters.items()})

    def described(self) -> str:
        """Say in a few words what it is and under which address we are there."""
        if self.medium is None:
            return f"{self.label}: {self.trouble}"
        kind = type(self.medium).__name__.lower()
        return f"{self.label}/{station_text(self.medium.station)} ({kind})"
