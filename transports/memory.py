"""Datagrams between transports of one process: for tests, and the shape of a minimal transport.

A `Hub` is the ether. Each `Memory` on it has an address; what one sends is delivered on the
loop's next turn, in order, to the one that holds the address. Each end has a bounded inbox, as
a socket has, so that a sender meets a full way here too.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.errors import TransportError
from transports.interface import Deliver, OnPath, PathLost, Writable, ignore

INBOX: Final = 1_024
"""Datagrams that wait at one end before senders find it full."""


class Hub:
    """Joins the memory transports of one process; addresses that nobody holds are unreachable."""

    def __init__(self) -> None:
        self.ends: dict[str, Memory] = {}
        self.waiting_for_room: set[Memory] = set()

    def has_room(self) -> None:
        """Tell all that found somebody's inbox full to try again."""
        waiting, self.waiting_for_room = self.waiting_for_room, set()
        for end in waiting:
            end.has_room()


class Memory:
    """The transport `memory`: reaches every other one on its hub by `Path("memory", address)`."""

    name = "memory"

    def __init__(self, hub: Hub, address: str, *, traits: Traits | None = None) -> None:
        self.path = Path(self.name, address)
        """Where others reach this end."""
        self._traits = traits or Traits()
        self.counters: Counter[str] = Counter()
        self._hub = hub
        self._inbox: list[Datagram] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deliver: Deliver
        self._on_path: OnPath
        self._writable: Writable = ignore

    def start(self, deliver: Deliver, on_path: OnPath, writable: Writable = ignore) -> None:
        """Take the address on the hub; TransportError if somebody has it."""
        if self.path.address in self._hub.ends:
            raise TransportError(f"the address {self.path.address} is taken")
        self._deliver, self._on_path, self._writable = deliver, on_path, writable
        self._loop = asyncio.get_running_loop()
        self._hub.ends[str(self.path.address)] = self

    def traits_of(self, path: Path) -> Traits:
        """See `Transport.traits_of`; all paths are alike."""
        return self._traits

    def send(self, batch: Sequence[Datagram]) -> int:
        """Take datagrams from the front of the batch; see `Transport.send`."""
        if self._loop is None:
            raise TransportError("memory is closed")
        for taken, (path, data) in enumerate(batch):
            end = self._hub.ends.get(str(path.address))
            if end is None:
                self._loop.call_soon(self._say_lost, PathLost(path, "nobody is there"))
            elif len(data) > self._traits.payload_limit:
                self.counters["unsent too long"] += 1
            elif not end.put(Datagram(self.path, bytes(data))):
                self._hub.waiting_for_room.add(self)
                return taken
        return len(batch)

    async def close(self) -> None:
        """Leave the hub; what waits in the inbox is lost."""
        if self._hub.ends.get(str(self.path.address)) is self:
            del self._hub.ends[str(self.path.address)]
        self._hub.waiting_for_room.discard(self)
        self._loop = None
        self._inbox.clear()

    def put(self, datagram: Datagram) -> bool:
        """Take one datagram from another end; False if the inbox is full."""
        if self._loop is None or len(self._inbox) >= INBOX:
            return False
        if not self._inbox:
            self._loop.call_soon(self._empty)
        self._inbox.append(datagram)
        return True

    def has_room(self) -> None:
        """Somebody's inbox was emptied."""
        if self._loop is not None:
            self._loop.call_soon(self._say_writable)

    def _empty(self) -> None:
        batch, self._inbox = self._inbox, []
        self._hub.has_room()
        if batch:
            self._deliver(batch)

    def _say_writable(self) -> None:
        if self._loop is not None:
            self._writable()

    def _say_lost(self, lost: PathLost) -> None:
        if self._loop is not None:
            self._on_path(lost)
