"""What broadcasts need of the sessions with the neighbours; core.sync is one."""

from typing import NamedTuple, Protocol


class Rank(NamedTuple):
    """What goes first: the most urgent, then the smallest."""

    after: int
    size: int


class Announced(NamedTuple):
    """What a receiver must know of a transfer; it is told inside the link."""

    transfer: bytes
    """4 random bytes that its packets show."""
    key: bytes
    id: bytes
    """The bundle's."""
    size: int
    """Bytes of its wire."""
    symbol_size: int
    elapsed: int
    """Seconds since the wire was written, with the age that it tells."""


class Missing(NamedTuple):
    """A receiver's answer: what it lacks when all symbols below `through` were sent; 0 if it
    hears none any more, so that it can't know how far that is."""

    transfer: bytes
    symbols: int
    through: int


class Taken(NamedTuple):
    """What became of a transfer that was announced: a wire, or None if it was given up."""

    id: bytes
    number: int
    """Which announcement of this neighbour it was."""
    wire: bytes | None
    since: float
    """When its first byte may have been written; so old is the age in it."""
    ended: bool = False
    """Its sender gave it up."""


class Sessions(Protocol):
    """The links' side. All of them may be called for a neighbour that just went."""

    def undecided(self, id: bytes) -> set[bytes]:
        """The neighbours that were offered this bundle and have said neither yes nor no."""
        ...

    def load(self, id: bytes, now: float) -> None:
        """Have its wire read; `Broadcast.loaded` gets it, at once or later."""
        ...

    def announce(self, peer: bytes, announced: Announced) -> None:
        """Tell a neighbour of a transfer."""
        ...

    def ended(self, peer: bytes, transfer: bytes) -> None:
        """Tell a neighbour that no more of this transfer comes."""
        ...

    def say_missing(self, peer: bytes, missing: Missing) -> None:
        """Tell the sender what is missing."""
        ...

    def alone(self, peer: bytes, id: bytes, now: float) -> None:
        """Send it to this neighbour over its link, as always."""
        ...
