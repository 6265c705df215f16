"""A medium: one interface or port by which frames reach whoever is in range.

`Adhoc` is the transport that the core sees; below it, a medium for each interface moves frames
and knows stations by their addresses there (six bytes on a cell or a monitor interface, two on a
serial port). A medium may lose, repeat, reorder and, without a checksum below, alter frames: the
link's seal tells.

`Adhoc` makes them from its settings: `Cell(name, **options)`, `Monitor(name, **options)`,
`Serial(port=..., **options)`. A constructor checks what it was given (ConfigError) and opens
nothing. After `failed`, `start` is called again when the interface or port is back.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from meshpeer.core.link.path import Traits


class Heard(NamedTuple):
    """A frame and the station that it came from."""

    station: bytes
    frame: bytes


Deliver: TypeAlias = Callable[[Sequence[Heard]], None]
Failed: TypeAlias = Callable[[str], None]
Writable: TypeAlias = Callable[[], None]


class Medium(Protocol):
    """Moves frames by one interface or port. All calls and call-backs are in one loop's thread."""

    name: str
    """The interface's or port's name, as people write it: `mesh0`, `/dev/ttyUSB0`."""
    everybody: bytes
    """The address that all in range take frames for."""
    counters: Counter[str]
    """What happened here, by name: `sent` and `received` count frames, `bytes sent` and `bytes
    received` all that went and came, `full` how often there was no room; `unsent EMSGSIZE` and
    its like are frames that could not go, `dropped: length` and its like what came in vain."""

    @property
    def traits(self) -> Traits:
        """`payload_limit` is that of a frame; `broadcast` and `medium` are set by Adhoc."""
        ...

    @property
    def station(self) -> bytes:
        """Our own address here."""
        ...

    def start(self, deliver: Deliver, failed: Failed, writable: Writable) -> None:
        """Open it; TransportError says why it can't be opened and what helps.

        `failed(reason)` is called once, from inside a call or later, when nothing passes any
        more: the interface went away or down. It is closed by then and may be started again.
        """
        ...

    def send(self, frames: Sequence[tuple[bytes, bytes]]) -> int:
        """Take (station, frame) from the front; give how many were taken. Never blocks.

        As `Transport.send`: fewer than all means that `writable()` follows; a frame that can't
        go counts as taken.
        """
        ...

    def close(self) -> None:
        """Let go of it; no call-back follows. A second call does nothing."""
        ...
