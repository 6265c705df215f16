"""What a transport is, and what a discovery is: all that one has to implement to add a way.

A transport moves batches of datagrams, because the hot path lives from it: one system call may
carry forty of them. It knows nothing of peers, keys or links; the core gives it bytes and a
path, and takes bytes with the path they came by. Losing, repeating and reordering are the
core's to mend, so a transport never queues, retries or acknowledges.

To add one, write a class that fits `Transport`, and name it in your package's metadata:

    [project.entry-points."meshpeer.transports"]
    carrier-pigeon = "pigeon.transport:Pigeon"

The node calls it as `Pigeon(**settings)`, settings being the table `[transports.carrier-pigeon]`
of the config file (or nothing); it raises ConfigError for a value that it refuses. Everything
that opens or sends belongs in `start`. All calls come from the thread of one asyncio loop, and
all call-backs are made from there. `tests/transports/test_contract.py` runs the promises below
over every transport: add a fixture for yours.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from meshpeer.core.link.path import Datagram, Path, Traits

__all__ = [
    "Datagram",
    "Deliver",
    "Discovery",
    "Found",
    "Introduced",
    "OnPath",
    "Path",
    "PathFound",
    "PathLost",
    "PeerFound",
    "Reporting",
    "Traits",
    "Transport",
    "Writable",
]


class PathFound(NamedTuple):
    """Somebody can be reached by this path now. A hint: only a handshake proves who it is.

    The node calls only peers whose id it knows: say it where the way tells it. Otherwise the
    path is used once its peer calls us, or where the settings name it (`[[peers]]`): those
    are tried at once.
    """

    path: Path
    peer_id: bytes | None = None


class PathLost(NamedTuple):
    """Nothing sent by this path can arrive now: its interface, route or device is gone."""

    path: Path
    reason: str


Deliver: TypeAlias = Callable[[Sequence[Datagram]], None]
OnPath: TypeAlias = Callable[[PathFound | PathLost], None]
Writable: TypeAlias = Callable[[], None]


def ignore() -> None:
    """The hook of a caller that does not care."""


class Transport(Protocol):
    """Carries datagrams to addresses it understands. May lose, repeat and reorder; never alters.

    A `Path` is `Path(name, address)`; the address is any hashable value that only this
    transport reads. One that is text can stand in the settings and is remembered. What comes from a peer bears the same path as what is sent to it, so
    that an answer needs no look-up.
    """

    name: str
    """One word, the first field of all its paths; by convention the entry point's name."""

    def traits_of(self, path: Path) -> Traits:
        """Say what this path is like; called after `start`, often, so it has to be quick.

        A path that is not known, or gone, gets the careful values of this transport.
        """
        ...

    def start(self, deliver: Deliver, on_path: OnPath, writable: Writable = ignore) -> None:
        """Open the way; TransportError says why it can't be opened.

        From now on `deliver(batch)` is called with what arrives, in batches of at least one;
        `on_path` with paths that appear or die; `writable()` as `send` says. Needs a running
        loop, never blocks, is called once.
        """
        ...

    def send(self, batch: Sequence[Datagram]) -> int:
        """Take datagrams from the front of the batch; return how many were taken.

        Never blocks. Fewer than all means that there is no room: `writable()` is called
        once there is, and the caller offers the rest again. Taken means gone, not arrived. A
        datagram that can't go (too long, its network unreachable) counts as taken and
        harms no other; if its path is dead, `on_path(PathLost(...))` follows, from inside
        the call or later. Raises TransportError only when the whole way is dead.
        """
        ...

    async def close(self) -> None:
        """Stop: after it returns no call-back is made. A second call does nothing."""
        ...


class PeerFound(NamedTuple):
    """A peer says that it can be reached by this path. A hint: only a handshake proves it."""

    peer_id: bytes | None
    """32 bytes, or None where the owner hides it: then `mark` matches whoever knows the id."""
    path: Path
    nonce: bytes = b""
    mark: bytes = b""
    """BLAKE2s(nonce, peer id) as `meshpeer.core.formats.beacon.mark` makes it."""
    spread: float = 0.0
    """Above 0 where many heard it: seconds over which to spread their calls."""


Found: TypeAlias = Callable[[PeerFound], None]


@runtime_checkable
class Introduced(Protocol):
    """A transport that itself tells who is around, and tells them of us."""

    def introduce(self, peer_id: bytes, *, hidden: bool, found: Found) -> None:
        """Take, before `start`, who we are, and tell `found` of peers as `Discovery` does.

        `hidden`: show the peer id to nobody who doesn't know it. Who is never introduced
        announces nothing.
        """
        ...


@runtime_checkable
class Reporting(Protocol):
    """A transport that shows people how it is doing."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What happened, by name."""
        ...

    def listening(self) -> list[str]:
        """Give where datagrams are taken now, a few words for each place."""
        ...

    def warnings(self) -> list[str]:
        """Give what does not work now and what would help, a sentence each."""
        ...


class Discovery(Protocol):
    """Tells of peers around, and tells them of us; moves nothing itself."""

    def start(self, found: Found) -> None:
        """Begin to announce and to listen; needs a running loop, never blocks.

        `found` may be called again for what was found before, but not in floods.
        """
        ...

    async def close(self) -> None:
        """Stop, and say goodbye where the way has a word for it. A second call does nothing."""
        ...
