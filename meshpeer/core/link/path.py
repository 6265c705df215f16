"""Where a datagram goes or came from; shared by the core and every transport."""

from collections.abc import Hashable
from typing import NamedTuple


class Path(NamedTuple):
    """One way to reach a peer now. Only the transport that made it understands the address."""

    transport: str
    address: Hashable


class Datagram(NamedTuple):
    """Bytes with the path they came by, or are to take."""

    path: Path
    data: bytes | memoryview


class Traits(NamedTuple):
    """What a path, or a whole transport, declares of itself; recovery and scheduling adapt."""

    payload_limit: int = 1_452
    """Largest datagram in bytes that is sure to pass."""
    broadcast: bool = False
    """One datagram may reach all in range."""
    cost: int = 0
    """Lower is preferred when several paths are up."""
    rate: float | None = None
    """Bits per second, where known."""
    reliable: bool = False
    """The way below already repeats what was lost."""
