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
    """What a transport declares of a path; recovery and scheduling adapt."""

    payload_limit: int = 1_452
    """Largest datagram in bytes that is sure to pass."""
    broadcast: Path | None = None
    """The path by which one datagram reaches all in range of this medium, if there is one."""
    medium: Hashable | None = None
    """What carries it, such as an interface: paths of equal mediums share one bottleneck, so
    that a link gains nothing by using two of them at once. None: not known."""
    cost: int = 0
    """Lower is preferred when several paths are up."""
    rate: float | None = None
    """Bits per second, where known."""
    reliable: bool = False
    """The way below already repeats what was lost."""
