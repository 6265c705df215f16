"""All streams of a link: whose turn it is, and how much each side has room for.

The number of a stream is its priority: below 16 a lower number always goes first; from 16 on
they take turns. Windows count bytes read, so memory for what nobody reads is bounded for each
stream and for the link as a whole.
"""

from typing import Final

from meshpeer.core.link import frames
from meshpeer.core.link.stream import Piece, ReceiveStream, SendStream
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

FAIR_FROM: Final = 16
"""Streams from this number on share what the ones below leave."""
LOW_WATER: Final = 262_144
"""Bytes waiting below which a stream that was above says that it is writable."""
STREAMS_LIMIT: Final = 256
"""Streams that may be open at a time in each direction."""
PIECES_LIMIT: Final = 16_384
"""Pieces of all streams that wait for an earlier one; an honest window holds far fewer."""
NUMBER_LIMIT: Final = 65_536
LINK: Final = -1
"""Stands for the link's own window where a stream's number stands for the stream's."""


class Streams:
    """Both halves of every stream of one link, and the windows over them."""

    def __init__(
        self, *, link_window: int, stream_window: int, remote_link: int, remote_stream: int
    ) -> None:
        self._sending: dict[int, SendStream] = {}
        self._receiving: dict[int, ReceiveStream] = {}
        self._active: dict[int, SendStream] = {}
        self._link_window, self._stream_window = link_window, stream_window
        self._remote_stream = remote_stream
        self._credit = remote_link
        self._credit_limit = remote_link
        self._came = self._read = self._pieces = 0
        self._link_limit = link_window
        self._tell: set[int] = set()
        self.low_water = LOW_WATER
        self.readable: list[int] = []
        """Streams that became readable since this list was last cleared."""
        self.writable: list[int] = []
        """Streams whose waiting bytes fell below `low_water` since this list was last cleared."""

    # -- what the application does

    def write(self, number: int, data: bytes) -> None:
        """Queue bytes; LocalProtocolError on a stream that was finished."""
        stream = self._sending.get(number) or self._open(number)
        if not data:
            return
        stream.write(data)
        if stream.unsent > self.low_water:
            stream.above_mark = True
        self._active[number] = stream

    def sent_early(self, number: int, data: bytes) -> None:
        """These first bytes of a stream went with the handshake."""
        stream = self._open(number)
        stream.offset = len(data)
        self._credit -= len(data)

    def receive_early(self, number: int, data: bytes) -> None:
        """These first bytes of a stream came with the handshake, now confirmed."""
        self.receive(number, 0, data, False)

    def finish(self, number: int) -> None:
        """Nothing more follows on this stream."""
        stream = self._sending.get(number) or self._open(number)
        stream.fin_wanted = True
        self._active[number] = stream

    def buffered(self, number: int) -> int:
        """Bytes that wait to be sent, or to be sent again."""
        stream = self._sending.get(number)
        return stream.unsent + stream.lost_bytes if stream else 0

    def read(self, number: int, limit: int) -> bytes:
        """Take what came, in order; only now does the other side get room for more."""
        stream = self._receiving.get(number)
        if stream is None:
            return b""
        data = stream.read(limit)
        if not stream.ready:
            stream.announced = False
        self._read += len(data)
        if stream.limit - stream.read_offset <= self._stream_window // 2:
            self._tell.add(number)
        if self._link_limit - self._read <= self._link_window // 2:
            self._tell.add(LINK)
        return data

    def ended(self, number: int) -> bool:
        """Whether the other side finished this stream and all of it was read."""
        stream = self._receiving.get(number)
        return stream is not None and stream.finished

    # -- what comes

    def receive(self, number: int, offset: int, data: bytes, fin: bool) -> None:
        """Take a STREAM frame, or raise RemoteProtocolError when a window is overrun.

        What comes in order, which is nearly all, is taken in here without a further call.
        """
        stream = self._receiving.get(number)
        if (
            stream is not None
            and offset == stream.next
            and stream.announced
            and not (fin or stream.offsets or stream.end is not None)
        ):
            size = len(data)
            if (
                size
                and offset + size <= stream.limit
                and self._came + size <= self._link_limit
            ):
                stream.ready.append(data)
                stream.ready_bytes += size
                stream.next = stream.highest = offset + size
                self._came += size
                return
        if stream is None:
            if len(self._receiving) >= STREAMS_LIMIT:
                raise RemoteProtocolError("stream", f"more than {STREAMS_LIMIT} are open")
            stream = ReceiveStream(number, self._stream_window)
            self._receiving[number] = stream
        before, waiting = stream.ready_bytes, len(stream.offsets)
        self._came += stream.receive(offset, data, fin)
        self._pieces += len(stream.offsets) - waiting
        if self._pieces > PIECES_LIMIT:
            raise RemoteProtocolError("stream", f"over {PIECES_LIMIT} pieces wait")
        if self._came > self._link_limit:
            raise RemoteProtocolError("stream", f"the link's window is {self._link_limit}")
        if not stream.announced and (stream.ready_bytes > before or stream.finished):
            stream.announced = True
            self.readable.append(number)

    def raise_link_limit(self, limit: int) -> None:
        """The other side has room for so many bytes in all."""
        if limit > self._credit_limit:
            self._credit += limit - self._credit_limit
            self._credit_limit = limit

    def raise_stream_limit(self, number: int, limit: int) -> None:
        """The other side has room on this stream up to this offset."""
        stream = self._sending.get(number)
        if stream is not None and limit > stream.limit:
            stream.limit = limit
            if stream.ready:
                self._active[number] = stream

    # -- what goes

    @property
    def ready(self) -> bool:
        """Whether something may be sent now."""
        if self._tell:
            return True
        if self._credit > 0:
            return bool(self._active)
        return any(stream.lost for stream in self._active.values())

    @property
    def waiting(self) -> int:
        """Bytes that the other side's windows let pass now."""
        new = lost = 0
        for stream in self._active.values():
            new += min(stream.unsent, stream.limit - stream.offset)
            lost += stream.lost_bytes
        return min(new, self._credit) + lost

    @property
    def quiet(self) -> bool:
        """Whether no window is to be told."""
        return not self._tell

    def turn(self) -> SendStream | None:
        """The stream whose turn it is, or None if none may send."""
        best: SendStream | None = None
        for number, stream in list(self._active.items()):
            if not stream.ready:
                del self._active[number]
            elif (self._credit > 0 or stream.lost) and (
                best is None or number < min(best.number, FAIR_FROM)
            ):
                best = stream
        return best

    def take(self, room: int) -> Piece | None:
        """Cut the next piece of at most `room` bytes."""
        stream = self.turn()
        if stream is None:
            return None
        before = stream.unsent
        piece = stream.take(room, self._credit)
        self._credit -= before - stream.unsent
        self._sent(stream)
        return piece

    def bulk(self, size: int) -> tuple[SendStream, int]:
        """The stream whose turn it is, if it has whole pieces of `size` new bytes, and how many."""
        stream = self.turn()
        if stream is None or stream.lost or stream.number >= FAIR_FROM:
            return NOTHING
        waiting = min(stream.unsent, stream.limit - stream.offset, self._credit)
        if waiting < size:
            return NOTHING
        held = min(stream.fill_block(size), waiting)
        if stream.fin_wanted and held == stream.unsent:
            held -= 1
        return stream, held // size

    def bulk_sent(self, stream: SendStream, size: int) -> None:
        """So many bytes were cut from the stream's block."""
        stream.position += size
        stream.offset += size
        stream.unsent -= size
        self._credit -= size
        self._sent(stream)

    def repeat(self, piece: Piece) -> None:
        """This piece has to be sent again."""
        stream = piece.stream
        stream.repeat(piece)
        self._active[stream.number] = stream

    def tell(self, number: int) -> None:
        """Tell a window (again): the packet that did was lost."""
        if number == LINK or number in self._receiving:
            self._tell.add(number)

    def take_limits(self, room: int) -> tuple[list[bytes], tuple[int, ...]]:
        """Write the frames that tell windows, at most `room` bytes, and whose windows they are."""
        told: list[bytes] = []
        numbers: list[int] = []
        for number in sorted(self._tell):
            if room < frames.STREAM_LIMIT.size:
                break
            told.append(self._limit_frame(number))
            numbers.append(number)
            room -= len(told[-1])
        self._tell.difference_update(numbers)
        return told, tuple(numbers)

    def _limit_frame(self, number: int) -> bytes:
        if number == LINK:
            self._link_limit = self._read + self._link_window
            return frames.LIMIT.pack(frames.MAX_DATA, self._link_limit)
        stream = self._receiving[number]
        stream.limit = stream.read_offset + self._stream_window
        return frames.STREAM_LIMIT.pack(frames.MAX_STREAM, number, stream.limit)

    def _open(self, number: int) -> SendStream:
        if not 0 <= number < NUMBER_LIMIT:
            raise LocalProtocolError(f"stream {number} does not exist")
        if len(self._sending) >= STREAMS_LIMIT:
            raise LocalProtocolError(f"more than {STREAMS_LIMIT} streams are open")
        stream = self._sending[number] = SendStream(number, self._remote_stream)
        return stream

    def _sent(self, stream: SendStream) -> None:
        if stream.above_mark and stream.unsent <= self.low_water:
            stream.above_mark = False
            self.writable.append(stream.number)
        if not stream.ready:
            self._active.pop(stream.number, None)
        elif stream.number >= FAIR_FROM:
            self._active[stream.number] = self._active.pop(stream.number)


NOTHING: Final = (SendStream(0, 0), 0)
