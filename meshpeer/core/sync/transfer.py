"""Bundles on streams 1 to 3: expedited, normal, bulk, each one transfer after the other.

    varint   twice the bytes that follow as the piece, plus 1 if it is named
    named    id (32 bytes), offset of the piece in the wire (varint)
    piece    the wire, or its end

Up to 4 KiB a transfer has no name: two bytes are all that goes around it. Above, it answers a
WANT, and says of what it is the end, so that what a cut link left behind is completed, by
whoever holds the bundle. What is left behind is bounded in bytes; the oldest goes first.

The age that a wire tells was right when its start came. The end may come much later, after a
meeting or two, so when that was is remembered: a bundle would else live longer by each cut.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from meshpeer.core.formats.bundle import HEADER_SIZE, ID_SIZE, MAX_WIRE
from meshpeer.core.sync.shares import SMALL
from meshpeer.core.sync.varint import read_varint, varint
from meshpeer.errors import RemoteProtocolError

PARTIALS_LIMIT: Final = 4 << 20
"""Bytes kept of transfers that were cut."""


def stream_of(priority: int) -> int:
    """The stream for bundles of this priority: the lower number overtakes."""
    return 3 - priority


def frame(wire: bytes, id: bytes, offset: int) -> bytes:
    """A wire, or its end from an offset, as it goes into a stream."""
    if not offset and len(wire) <= SMALL:
        return varint(2 * len(wire)) + wire
    piece = memoryview(wire)[offset:]
    return b"".join((varint(2 * len(piece) + 1), id, varint(offset), piece))


class Transfer(NamedTuple):
    """A transfer that came whole; a named one may still lack its start."""

    piece: bytes
    id: bytes | None
    offset: int
    since: float = 0.0
    """When its first byte came."""


class Transfers:
    """Cuts the bytes of one stream into transfers as they come."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._since = 0.0

    def feed(self, data: bytes, now: float) -> Iterator[Transfer]:
        """Give each transfer that is now whole; an error here is for good, nothing is kept."""
        if not self._data:
            self._since = now
        self._data += data
        at = 0
        try:
            while head := self._head(at):
                start, size, id, offset = head
                if start + size > len(self._data):
                    break
                piece = bytes(self._data[start : start + size])
                yield Transfer(piece, id, offset, self._since)
                at, self._since = start + size, now
        except RemoteProtocolError:
            at = len(self._data)
            raise
        finally:
            del self._data[:at]

    def cut(self) -> Transfer | None:
        """What is there of a named transfer whose link is gone."""
        head = self._head(0)
        if head is None or head[2] is None:
            return None
        start, _, id, offset = head
        return Transfer(bytes(self._data[start:]), id, offset, self._since)

    def _head(self, at: int) -> tuple[int, int, bytes | None, int] | None:
        """Where the piece starts, its size, id and offset; None while that isn't all there."""
        found = read_varint(self._data, at)
        if found is None:
            return None
        size, named, at = found[0] >> 1, found[0] & 1, found[1]
        if not size or size > (MAX_WIRE if named else SMALL):
            raise RemoteProtocolError("transfer", f"{size} bytes, named {named}")
        if not named:
            return at, size, None, 0
        offset = read_varint(self._data, at + ID_SIZE)
        if offset is None:
            return None
        if offset[0] + size > MAX_WIRE:
            raise RemoteProtocolError("transfer", f"{size} bytes from {offset[0]} on")
        return offset[1], size, bytes(self._data[at : at + ID_SIZE]), offset[0]


class Start(NamedTuple):
    """The start of a wire, and when it began to come."""

    data: bytes
    since: float


class Partials:
    """Starts of wires whose transfer was cut, by id."""

    def __init__(self, limit: int = PARTIALS_LIMIT) -> None:
        self._limit = limit
        self._starts: dict[bytes, Start] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._starts)

    def offset(self, id: bytes) -> int:
        """From where on the bundle is to be sent."""
        start = self._starts.get(id)
        return len(start.data) if start else 0

    def keep(self, cut: Transfer) -> None:
        """Remember what came; what another link brought meanwhile is kept if it is more."""
        if cut.id is None:
            return
        before, since = self._start(cut)
        data = before + cut.piece
        if cut.offset + len(cut.piece) > len(data) or len(data) <= HEADER_SIZE:
            return
        self._put(cut.id, Start(data, since))

    def complete(self, transfer: Transfer) -> Start | None:
        """The whole wire, and since when it came, or None if its start isn't here. The start is
        given away."""
        before, since = self._start(transfer)
        self.forget(transfer.id or b"")
        if len(before) < transfer.offset:
            return None
        return Start(before + transfer.piece, since)

    def forget(self, id: bytes) -> None:
        """Drop what there is of a bundle."""
        start = self._starts.pop(id, None)
        self._bytes -= len(start.data) if start else 0

    def _start(self, transfer: Transfer) -> Start:
        """What is here before this piece; the piece's own time if it has the header itself."""
        known = self._starts.get(transfer.id or b"") if transfer.offset else None
        if known is None:
            return Start(b"", transfer.since)
        return Start(known.data[: transfer.offset], known.since)

    def _put(self, id: bytes, start: Start) -> None:
        if len(start.data) <= self.offset(id):
            return
        self.forget(id)
        self._starts[id] = start
        self._bytes += len(start.data)
        while self._bytes > self._limit:
            self.forget(next(iter(self._starts)))
