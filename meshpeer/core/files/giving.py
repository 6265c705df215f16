"""One neighbour as a seeker: what it looks for, what it was told, and what it asked for.

Asks wait in order; only so much is read and handed to the link that it doesn't run dry, so a
neighbour that asks for all and reads nothing costs a few MiB. Roots and pages wait in the same
line: an ask of 8 bytes gives up to 32 kB of answer.
"""

from typing import TYPE_CHECKING, Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.files.limits import Pace
from meshpeer.core.files.link_like import LinkLike
from meshpeer.core.files.messages import (
    PAGE0,
    PART_HEAD,
    PARTS,
    ROOT,
    Coming,
    Have,
    Hold,
    No,
    Why,
)
from meshpeer.core.files.requests import ReadChunk
from meshpeer.core.files.runs import count_runs
from meshpeer.core.files.saying import Saying
from meshpeer.core.formats.manifest import Manifest
from meshpeer.errors import RemoteProtocolError, StoreError

if TYPE_CHECKING:
    from meshpeer.core.files.swarm import Here, Swarm

MAX_SOUGHT: Final = 2_048
"""Files that one neighbour may look for at a time."""
MAX_SOUGHT_IN_ALL: Final = 65_536
SEEKS_BURST: Final = 8_192
SEEKS_PER_S: Final = 4_000.0
"""Files that a neighbour may begin to look for; each costs a look-up."""
RUNS_FREE: Final = 64
"""So many runs in what is told of one count for as much as a further look-up."""
REFUSALS_BURST: Final = 4_096
REFUSALS_PER_S: Final = 200.0
"""Parts that aren't here, that a neighbour may ask for; above, each further ask is malformed."""
MAX_ASKS: Final = 2_048
"""Parts that one neighbour may wait for."""
AHEAD: Final = 4 << 20
"""Bytes read, or being read, that wait for one neighbour's link."""


class Giving:
    """What one neighbour is given."""

    def __init__(self, swarm: "Swarm", link: LinkLike, saying: Saying, now: float) -> None:
        self.peer = link.peer_id
        self.open = swarm.may_give(link)
        """The owner's hours and this link's cost allow it."""
        self._swarm = swarm
        self._link = link
        self._saying = saying
        self._tags: dict[int, bytes] = {}
        self._slow: set[int] = set()
        """What it wants however long this link takes for it."""
        self._asks: dict[tuple[int, int], None] = {}
        self._reading: dict[tuple[int, int], ReadChunk] = {}
        self._reading_bytes = 0
        self._seeks = Bucket(rate=SEEKS_PER_S, burst=SEEKS_BURST, now=now)
        self._refusals = Pace(REFUSALS_PER_S, now)

    # -- what it looks for

    def seek(self, handle: int, tag: bytes, now: float) -> None:
        """It looks for this; RemoteProtocolError if it does already."""
        seekers = self._swarm.seekers.get(tag, {})
        if handle in self._tags or self in seekers:
            raise RemoteProtocolError("seek", "sought already")
        if (
            not self._seeks.take(now)
            or len(self._tags) >= MAX_SOUGHT
            or self._swarm.sought >= MAX_SOUGHT_IN_ALL
        ):
            self._saying.item(No, (handle, ROOT, Why.LIMIT))
            return
        here = self._swarm.here(tag)
        if here and here.chunks is not None:
            runs = count_runs(here.chunks) + count_runs(here.coming)
            if not self._seeks.take(now, runs / RUNS_FREE):
                self._saying.item(No, (handle, ROOT, Why.LIMIT))
                return
        self._tags[handle] = tag
        self._swarm.sought += 1
        self._swarm.seekers.setdefault(tag, seekers)[self] = handle
        self._tell(handle, here)

    def tell(self, handle: int, tag: bytes) -> None:
        """Say what is here of what it looks for."""
        self._tell(handle, self._swarm.here(tag))

    def _tell(self, handle: int, here: "Here | None") -> None:
        if here is None or not self.open:
            why = Why.UNKNOWN if here is None else Why.LATER
            self._saying.item(No, (handle, ROOT, why))
        elif here.chunks is None:
            self._saying.item(Hold, handle)
        else:
            self._saying.chunks(Have, handle, here.chunks)
            if here.coming:
                self._saying.chunks(Coming, handle, here.coming)
        self._swarm.touch(self.peer)

    def tell_chunks(
        self, kind: type[Have] | type[Coming], handle: int, chunks: int
    ) -> None:
        """Say that these came, or are on their way."""
        if self.open and chunks:
            self._saying.chunks(kind, handle, chunks)
            self._swarm.touch(self.peer)

    def tell_all(self) -> None:
        """Giving is allowed now, or no more: say so of each file."""
        self.open = self._swarm.may_give(self._link)
        if not self.open:
            self._asks.clear()
        for handle, tag in self._tags.items():
            self.tell(handle, tag)

    def forget(self, handle: int) -> None:
        """It looks for this no more."""
        tag = self._tags.pop(handle, None)
        self._slow.discard(handle)
        if tag is None:
            return
        self._swarm.sought -= 1
        seekers = self._swarm.seekers[tag]
        del seekers[self]
        if not seekers:
            del self._swarm.seekers[tag]

    # -- what it asks for

    def ask(self, handle: int, part: int, now: float) -> None:
        """It wants this part; RemoteProtocolError if it wants too much."""
        if len(self._asks) >= MAX_ASKS:
            raise RemoteProtocolError("ask", f"more than {MAX_ASKS} parts")
        if self._refusals.due > now + REFUSALS_BURST / REFUSALS_PER_S:
            raise RemoteProtocolError("ask", "for too much that isn't here")
        if handle not in self._tags or not self.open:
            why = Why.LATER if handle in self._tags else Why.UNKNOWN
            self._refuse(handle, part, why, now)
        elif (handle, part) not in self._reading:
            self._asks[handle, part] = None
            self._swarm.waits(self)

    def give_slowly(self, handle: int) -> None:
        """It knows that this link takes long for the file."""
        if handle in self._tags:
            self._slow.add(handle)

    def cancel(self, handle: int, part: int) -> None:
        """It doesn't want this part any more."""
        self._asks.pop((handle, part), None)
        self._reading.pop((handle, part), None)

    @property
    def waiting(self) -> bool:
        """It asked for something that wasn't begun to be read."""
        return bool(self._asks)

    def give(self, room: int, now: float) -> bool:
        """Begin with the next part, if the link has room for it; whether one was begun."""
        if not self._asks:
            return False
        waiting = self._link.buffered(PARTS) + self._reading_bytes
        if waiting and waiting >= min(room, AHEAD):
            return False
        handle, part = key = next(iter(self._asks))
        del self._asks[key]
        if handle not in self._tags:
            return True
        here = self._swarm.here(self._tags[handle])
        if here is None:
            self._refuse(handle, ROOT, Why.GONE, now)
            return True
        manifest = self._swarm.manifest(here)
        if manifest is None:
            self._refuse(handle, ROOT, Why.GONE, now)
        elif self._too_slow(handle, part, manifest):
            self._refuse(handle, part, Why.LATER, now)
        elif part == ROOT:
            self._send(handle, part, manifest.root, now)
            small = not self._too_slow(handle, 0, manifest)
            if manifest.count == 1 and small and here.has(0):
                self._read(handle, 0, here, manifest, now)
        elif part >= PAGE0:
            self._give_page(handle, part, manifest, now)
        elif part < manifest.count and here.has(part):
            self._read(handle, part, here, manifest, now)
        else:
            self._refuse(handle, part, Why.UNKNOWN, now)
        return True

    def _too_slow(self, handle: int, part: int, manifest: Manifest) -> bool:
        """Whether this link takes too long for the file; its root may go all the same."""
        if handle in self._slow:
            return False
        size = len(manifest.root) if part == ROOT else manifest.size
        return self._swarm.limits.too_slow(self._link, size)

    def _give_page(self, handle: int, part: int, manifest: Manifest, now: float) -> None:
        if part - PAGE0 < len(manifest.pages):
            self._send(handle, part, manifest.pages[part - PAGE0], now)
        else:
            self._refuse(handle, part, Why.UNKNOWN, now)

    def _refuse(self, handle: int, part: int, why: Why, now: float) -> None:
        self._saying.item(No, (handle, part, why))
        self._refusals.spend(1, now)

    def _read(
        self, handle: int, part: int, here: "Here", manifest: Manifest, now: float
    ) -> None:
        if (handle, part) in self._reading:
            return
        request = ReadChunk(here.file, part, manifest.chunk_length(part))
        self._reading[handle, part] = request
        self._reading_bytes += request.size
        self._swarm.pace.spend(request.size, now)
        self._swarm.read(request, self, handle)

    def was_read(
        self, request: ReadChunk, handle: int, result: bytes | StoreError | None, now: float
    ) -> None:
        """The disk gave the bytes, or can't."""
        self._reading_bytes -= request.size
        key = handle, request.index
        if self._reading.get(key) is not request:
            return
        del self._reading[key]
        if isinstance(result, bytes):
            self._link.write(PARTS, PART_HEAD.pack(handle, request.index, len(result)))
            self._link.write(PARTS, result)
            self._swarm.given += len(result)
        else:
            why = Why.GONE if result is None else Why.LATER
            self._saying.item(No, (handle, request.index, why))

    def _send(self, handle: int, part: int, data: bytes, now: float) -> None:
        self._swarm.pace.spend(len(data), now)
        self._link.write(PARTS, PART_HEAD.pack(handle, part, len(data)) + data)

    def close(self) -> None:
        """The link is down."""
        for handle in list(self._tags):
            self.forget(handle)
        self._reading.clear()
        self._asks.clear()
