"""Cuts stream 6 into parts as they come.

The stream itself cuts: it is read up to the end of the part and no further, so a chunk's bytes
are joined once. Of a part that comes in crumbs, where each would weigh as much as fifty bytes, they
are gathered in one place. What nobody wants any more is read and dropped piece by piece.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from meshpeer.core.files.link_like import LinkLike
from meshpeer.core.files.messages import PART_HEAD, PARTS
from meshpeer.errors import RemoteProtocolError

MAX_PART: Final = 16 << 20
"""Bytes of the largest chunk."""
PIECES: Final = 256
"""As many come of a usual chunk; with more, they are put together as they come."""


class PartCame(NamedTuple):
    """A part that came whole."""

    handle: int
    part: int
    data: bytes | None
    """None for what wasn't wanted."""


class Incoming:
    """The parts that one neighbour sends."""

    def __init__(self, link: LinkLike, wanted: Callable[[int, int, int], bool]) -> None:
        self._link = link
        self._wanted = wanted
        """Asked for each part, with handle, number and length, before its bytes are kept."""
        self._head = b""
        self._slices: list[bytes | bytearray] = []
        self._left = 0
        self._handle = self._part = 0
        self._keep = False
        self.came = 0
        """Bytes read since this was last set to 0."""

    def parts(self) -> Iterator[PartCame]:
        """Give what is whole now; RemoteProtocolError if the stream makes no sense any more."""
        while True:
            if len(self._head) < PART_HEAD.size:
                more = self._read(PART_HEAD.size - len(self._head))
                self._head += more
                if len(self._head) < PART_HEAD.size:
                    return
                self._begin()
            elif self._left:
                piece = self._read(self._left)
                if not piece:
                    return
                self._left -= len(piece)
                if self._keep:
                    self._gather(piece)
            if len(self._head) == PART_HEAD.size and not self._left:
                yield self._end()

    def _gather(self, piece: bytes) -> None:
        slices = self._slices
        if len(slices) < PIECES:
            slices.append(piece)
            return
        first = slices[0]
        gathered = first if isinstance(first, bytearray) else bytearray(first)
        for later in (*slices[1:], piece):
            gathered += later
        slices[:] = [gathered]

    def _read(self, size: int) -> bytes:
        data = self._link.read(PARTS, size)
        self.came += len(data)
        return data

    def _begin(self) -> None:
        self._handle, self._part, self._left = PART_HEAD.unpack(self._head)
        if self._left > MAX_PART:
            raise RemoteProtocolError("part", f"{self._left} bytes, limit {MAX_PART}")
        self._keep = self._wanted(self._handle, self._part, self._left)

    def _end(self) -> PartCame:
        data = b"".join(self._slices) if self._keep else None
        self._head = b""
        self._slices = []
        return PartCame(self._handle, self._part, data)
