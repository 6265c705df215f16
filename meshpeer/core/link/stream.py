"""The two halves of a stream: what waits to be sent, and what has come.

A piece once cut for a packet is remembered with that packet until it is acknowledged, and returns
here if the packet is lost. So there is no retransmission buffer to search, and acknowledging
costs nothing. Small writes are joined in blocks; a big one is its own block, cut without copying
it again.
"""

from collections import deque
from heapq import heappop, heappush
from typing import Final, NamedTuple

from meshpeer.errors import LocalProtocolError, RemoteProtocolError

BLOCK: Final = 65_536
"""Bytes of small writes joined at a time."""


class SendStream:
    """What one side of a link has still to say on one stream."""

    __slots__ = (
        "above_mark",
        "block",
        "fin_sent",
        "fin_wanted",
        "limit",
        "lost",
        "lost_bytes",
        "number",
        "offset",
        "pending",
        "position",
        "unsent",
    )

    def __init__(self, number: int, limit: int) -> None:
        self.number = number
        self.limit = limit
        """The offset up to which the other side has room."""
        self.offset = 0
        """Of the first byte never sent."""
        self.unsent = 0
        self.block = b""
        self.position = 0
        self.pending: deque[bytes] = deque()
        self.lost: deque[Piece] = deque()
        self.lost_bytes = 0
        self.fin_wanted = self.fin_sent = False
        self.above_mark = False

    def write(self, data: bytes) -> None:
        """Accept bytes behind those accepted before."""
        if self.fin_wanted:
            raise LocalProtocolError(f"stream {self.number} is finished")
        self.pending.append(data)
        self.unsent += len(data)

    @property
    def ready(self) -> bool:
        """Whether there is something that the other side's window lets pass."""
        return bool(
            self.lost
            or (self.unsent and self.offset < self.limit)
            or (self.fin_wanted and not self.fin_sent and not self.unsent)
        )

    def take(self, room: int, credit: int) -> "Piece | None":
        """Cut a piece of at most `room` bytes, of which `credit` may be new; lost ones first."""
        if self.lost:
            return self._take_lost(room)
        size = min(room, self.unsent, self.limit - self.offset, credit)
        ends = self.fin_wanted and not self.fin_sent and size == self.unsent
        if size <= 0 and not ends:
            return None
        data = self._cut(size) if size > 0 else b""
        piece = Piece(self, self.offset, data, ends)
        self.offset += len(data)
        self.unsent -= len(data)
        self.fin_sent = self.fin_sent or ends
        return piece

    def fill_block(self, size: int) -> int:
        """Make the block hold `size` more bytes, if so many wait; return how many it holds."""
        held = len(self.block) - self.position
        if held >= size or not self.pending:
            return held
        parts = [self.block[self.position :]] if held else []
        while self.pending and held < max(size, BLOCK):
            part = self.pending.popleft()
            parts.append(part)
            held += len(part)
        self.block = parts[0] if len(parts) == 1 else b"".join(parts)
        self.position = 0
        return held

    def repeat(self, piece: "Piece") -> None:
        """The packet with this piece was lost."""
        self.lost.append(piece)
        self.lost_bytes += len(piece.data)

    def _cut(self, size: int) -> bytes:
        self.fill_block(size)
        start = self.position
        self.position += size
        return self.block[start : self.position]

    def _take_lost(self, room: int) -> "Piece":
        piece = self.lost.popleft()
        if len(piece.data) > room:
            rest = Piece(self, piece.offset + room, piece.data[room:], piece.fin)
            self.lost.appendleft(rest)
            piece = Piece(self, piece.offset, piece.data[:room], False)
        self.lost_bytes -= len(piece.data)
        return piece


class Piece(NamedTuple):
    """Bytes of a stream as one packet carries them."""

    stream: SendStream
    offset: int
    data: bytes
    fin: bool


class ReceiveStream:
    """What has come on one stream: read in order, each byte once."""

    __slots__ = (
        "announced",
        "early",
        "end",
        "highest",
        "limit",
        "next",
        "number",
        "offsets",
        "read_offset",
        "ready",
        "ready_bytes",
    )

    def __init__(self, number: int, limit: int) -> None:
        self.number = number
        self.limit = limit
        """The offset up to which there is room."""
        self.next = 0
        """Of the first byte that has not come."""
        self.highest = 0
        """One above the highest byte seen: counts against the link's window."""
        self.read_offset = 0
        self.ready: deque[bytes] = deque()
        self.ready_bytes = 0
        self.early: dict[int, bytes] = {}
        self.offsets: list[int] = []
        self.end: int | None = None
        self.announced = False

    @property
    def finished(self) -> bool:
        """Whether the other side has finished and all of it was read."""
        return self.end is not None and self.read_offset == self.end

    def receive(self, offset: int, data: bytes, fin: bool) -> int:
        """Take a piece; return by how many bytes the highest offset rose. RemoteProtocolError
        if it goes past the window or past the end."""
        end = offset + len(data)
        if end > self.limit:
            raise RemoteProtocolError("stream", f"offset {end}, window {self.limit}")
        if fin:
            self._finish(end)
        elif self.end is not None and end > self.end:
            raise RemoteProtocolError("stream", f"offset {end} past the end {self.end}")
        if offset == self.next and not self.offsets:
            self._append(data)
        elif end > self.next:
            self._keep(offset, data)
            self._join()
        rise = end - self.highest
        if rise <= 0:
            return 0
        self.highest = end
        return rise

    def read(self, limit: int) -> bytes:
        """Give at most `limit` bytes in order; nothing if none have come."""
        if self.ready_bytes <= limit:
            data = self.ready[0] if len(self.ready) == 1 else b"".join(self.ready)
            self.ready.clear()
        else:
            data = self._read_some(limit)
        self.ready_bytes -= len(data)
        self.read_offset += len(data)
        return data

    def _read_some(self, limit: int) -> bytes:
        parts = []
        while limit > 0:
            part = self.ready.popleft()
            if len(part) > limit:
                self.ready.appendleft(part[limit:])
                part = part[:limit]
            parts.append(part)
            limit -= len(part)
        return b"".join(parts)

    def _append(self, data: bytes) -> None:
        if data:
            self.ready.append(data)
            self.ready_bytes += len(data)
            self.next += len(data)

    def _keep(self, offset: int, data: bytes) -> None:
        before = self.early.get(offset)
        if before is None:
            heappush(self.offsets, offset)
            self.early[offset] = data
        elif len(data) > len(before):
            self.early[offset] = data

    def _join(self) -> None:
        while self.offsets and self.offsets[0] <= self.next:
            offset = heappop(self.offsets)
            data = self.early.pop(offset)
            if offset + len(data) > self.next:
                self._append(data[self.next - offset :])

    def _finish(self, end: int) -> None:
        if (self.end is not None and self.end != end) or end < self.highest:
            raise RemoteProtocolError("stream", f"ends at {end} and elsewhere")
        self.end = end
