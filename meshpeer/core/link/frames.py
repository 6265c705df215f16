"""What a data packet says, once opened: frames, one after another, in fixed layouts.

    PADDING        0x00                                                            1
    PING           0x01                                                            1
    ACK            0x02 largest u32, delay u16 (16 us), more u8, first u16,
                        then `more` times: gap u16, length u16                     10 + 4 each
    CLOSE          0x03 length u8, reason in UTF-8                                 2 + n
    PATH_CHALLENGE 0x04 nonce                                                      9
    PATH_RESPONSE  0x05 nonce                                                      9
    MAX_DATA       0x06 limit u64 (bytes of all streams)                           9
    MAX_STREAM     0x07 stream u16, limit u64                                      11
    STREAM         0x10 | FIN 1 | SIZED 2 | WIDE 4
                        stream u16, offset u32 (WIDE: u64), SIZED: length u16      7 to 13 + n

A STREAM without SIZED reaches to the packet's end, so that bulk costs 7 bytes a packet. An ACK
names the low 32 bits of the largest counter and, downward, how many counters before it came too
(`first`), then gaps and ranges less one, as RFC 9000 section 19.3. Fixed layouts, because a
variable-length integer costs a call in Python where `unpack_from` takes a whole frame at once.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from meshpeer.errors import RemoteProtocolError

PADDING: Final = 0x00
PING: Final = 0x01
ACK: Final = 0x02
CLOSE: Final = 0x03
PATH_CHALLENGE: Final = 0x04
PATH_RESPONSE: Final = 0x05
MAX_DATA: Final = 0x06
MAX_STREAM: Final = 0x07
STREAM: Final = 0x10
FIN: Final = 1
SIZED: Final = 2
WIDE: Final = 4

ACK_HEAD: Final = Struct(">BIHBH")
ACK_RANGE: Final = Struct(">HH")
LIMIT: Final = Struct(">BQ")
STREAM_LIMIT: Final = Struct(">BHQ")
NONCE: Final = Struct(">B8s")
STREAM_NARROW: Final = Struct(">BHI")
STREAM_WIDE: Final = Struct(">BHQ")
LENGTH: Final = Struct(">H")

DELAY_UNIT: Final = 16e-6
NONCE_SIZE: Final = 8
REASON_LIMIT: Final = 120
ACK_RANGES_LIMIT: Final = 32
STREAM_OVERHEAD: Final = STREAM_WIDE.size + LENGTH.size


def ack(ranges: Sequence[tuple[int, int]], delay: float) -> bytes:
    """Write an ACK of half-open ranges, newest first; `delay` in seconds since the newest came."""
    start, end = ranges[0]
    rest = []
    for lower, upper in ranges[1 : 1 + ACK_RANGES_LIMIT]:
        if start - upper > 0xFFFF or end - start > 0x10000:
            break
        rest.append(ACK_RANGE.pack(start - upper - 1, min(upper - lower - 1, 0xFFFF)))
        start, end = lower, upper
    first = ranges[0][1] - ranges[0][0] - 1
    head = ACK_HEAD.pack(
        ACK,
        ranges[0][1] - 1 & 0xFFFFFFFF,
        min(int(delay / DELAY_UNIT), 0xFFFF),
        len(rest),
        min(first, 0xFFFF),
    )
    return head + b"".join(rest)


def parse_ack(
    plain: bytes, at: int, next_counter: int
) -> tuple[list[tuple[int, int]], float, int]:
    """Read an ACK at `at`: half-open ranges, newest first, the delay, and where the next frame is.

    `next_counter` is the first that was not sent yet: who acknowledges it lies.
    """
    need(plain, at, ACK_HEAD.size)
    _, low, delay, more, first = ACK_HEAD.unpack_from(plain, at)
    largest = next_counter - 1 - (next_counter - 1 - low & 0xFFFFFFFF)
    at += ACK_HEAD.size
    need(plain, at, more * ACK_RANGE.size)
    if more > ACK_RANGES_LIMIT:
        raise RemoteProtocolError("ack", f"{more} ranges, limit {ACK_RANGES_LIMIT}")
    start = largest - first
    ranges = [(start, largest + 1)]
    for _ in range(more):
        gap, length = ACK_RANGE.unpack_from(plain, at)
        at += ACK_RANGE.size
        end = start - gap - 1
        start = end - length - 1
        ranges.append((start, end))
    if start < 0:
        raise RemoteProtocolError("ack", "a counter below 0, or one that was never sent")
    return ranges, delay * DELAY_UNIT, at


def close(reason: str) -> bytes:
    """Write a CLOSE; a long reason is cut."""
    text = reason.encode()[:REASON_LIMIT]
    return bytes((CLOSE, len(text))) + text


def parse_close(plain: bytes, at: int) -> tuple[str, int]:
    """Read a CLOSE at `at`; what is not UTF-8 or not printable is shown as a question mark."""
    need(plain, at, 2)
    length = plain[at + 1]
    at += 2
    need(plain, at, length)
    text = plain[at : at + length].decode(errors="replace")
    return "".join(char if char.isprintable() else "?" for char in text), at + length


def parse_stream(plain: bytes, at: int) -> tuple[int, int, bytes, bool, int]:
    """Read a STREAM at `at`: number, offset, data, whether it ends there, and the next frame."""
    kind = plain[at]
    layout = STREAM_WIDE if kind & WIDE else STREAM_NARROW
    need(plain, at, layout.size)
    _, number, offset = layout.unpack_from(plain, at)
    at += layout.size
    end = len(plain)
    if kind & SIZED:
        need(plain, at, LENGTH.size)
        (length,) = LENGTH.unpack_from(plain, at)
        at += LENGTH.size
        need(plain, at, length)
        end = at + length
    return number, offset, plain[at:end], bool(kind & FIN), end


def stream(number: int, offset: int, data: bytes, *, fin: bool, sized: bool) -> bytes:
    """Write a STREAM; one that is not sized has to be the packet's last frame."""
    kind = STREAM | (FIN if fin else 0) | (SIZED if sized else 0)
    if offset > 0xFFFFFFFF:
        head = STREAM_WIDE.pack(kind | WIDE, number, offset)
    else:
        head = STREAM_NARROW.pack(kind, number, offset)
    return b"".join((head, LENGTH.pack(len(data)) if sized else b"", data))


def need(plain: bytes, at: int, size: int) -> None:
    """Raise RemoteProtocolError unless `size` bytes are there."""
    if len(plain) - at < size:
        raise RemoteProtocolError(
            "frame", f"{len(plain) - at} bytes where {size} are needed"
        )
