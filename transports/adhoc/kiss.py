"""KISS: how a host and a modem part the frames on a serial line (Chepponis and Karn, 1987).

    FEND | port (4 bits), command (4 bits) | content, escaped | FEND

FEND (0xC0) stands only between frames: within one it is written FESC TFEND (0xDB 0xDC), and FESC
itself FESC TFESC (0xDB 0xDD). Command 0 is data; the others set the modem up and go one way only.
A modem may have several ports, each a radio.

The paper lets a receiver go on after a bad escape. Here the frame is dropped instead: it is not
what was sent, and each frame keeps one form. There is no length and no checksum: what a line
alters is found by the seal above, and a frame longer than agreed ends the reader's patience, not
its memory.
"""

from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from meshpeer.errors import LocalProtocolError, RemoteProtocolError

FEND: Final = 0xC0
FESC: Final = 0xDB
TFEND: Final = 0xDC
TFESC: Final = 0xDD
PORTS: Final = 16

_FEND: Final = bytes((FEND,))
_FESC: Final = bytes((FESC,))
_ESCAPED_FEND: Final = bytes((FESC, TFEND))
_ESCAPED_FESC: Final = bytes((FESC, TFESC))


class Command(IntEnum):
    """What the low half of a frame's first byte says."""

    DATA = 0
    TXDELAY = 1
    """10 ms: how long the transmitter is on before the data."""
    PERSISTENCE = 2
    """0 to 255: the chance to send in a free slot, less one, of 256."""
    SLOTTIME = 3
    """10 ms: the length of a slot."""
    TXTAIL = 4
    FULLDUPLEX = 5
    HARDWARE = 6


class Frame(NamedTuple):
    """What stood between two FENDs."""

    port: int
    command: int
    content: bytes


def encode(content: bytes, *, port: int = 0, command: int = Command.DATA) -> bytes:
    """Write one frame, with a FEND on both sides: a line may have carried noise before."""
    if not (0 <= port < PORTS and 0 <= command < 16):
        raise LocalProtocolError(f"port {port}, command {command}: each is below 16")
    plain = bytes((port << 4 | command,)) + content
    escaped = plain.replace(_FESC, _ESCAPED_FESC).replace(_FEND, _ESCAPED_FEND)
    return _FEND + escaped + _FEND


def decode(between: bytes) -> Frame:
    """Read what stood between two FENDs, or raise RemoteProtocolError and nothing else."""
    plain = between
    if FESC in between:
        first, *parts = between.split(_FESC)
        for part in parts:
            if part[:1] not in (bytes((TFEND,)), bytes((TFESC,))):
                raise RemoteProtocolError("kiss", "FESC before neither TFEND nor TFESC")
            first += (_FEND if part[0] == TFEND else _FESC) + part[1:]
        plain = first
    if not plain or FEND in between:
        raise RemoteProtocolError("kiss", "no frame")
    return Frame(plain[0] >> 4, plain[0] & 0x0F, plain[1:])


class Decoder:
    """Cuts the bytes of a line into frames as they come."""

    def __init__(self, limit: int, counters: Counter[str]) -> None:
        """`limit` is that of a frame's content; what is longer is counted and dropped."""
        self._limit = 2 * (limit + 1)
        self._counters = counters
        self._data = bytearray()
        self._skipping = True
        """Nothing before the first FEND is a frame: the line may be opened in the middle."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give each frame that is now whole; what is none is counted."""
        *ended, rest = data.split(_FEND)
        for part in ended:
            between = bytes(self._data) + part
            self._data.clear()
            skipped, self._skipping = self._skipping, False
            if between and not skipped:
                yield from self._decode(between)
        if self._skipping:
            return
        self._data += rest
        if len(self._data) > self._limit:
            self._data.clear()
            self._skipping = True
            self._counters["dropped: length"] += 1

    def _decode(self, between: bytes) -> Iterator[Frame]:
        try:
            if len(between) > self._limit:
                raise RemoteProtocolError("length", f"{len(between)} bytes")
            frame = decode(between)
            if len(frame.content) > self._limit // 2 - 1:
                raise RemoteProtocolError("length", f"{len(frame.content)} bytes")
        except RemoteProtocolError as error:
            self._counters[f"dropped: {error.field}"] += 1
        else:
            yield frame
