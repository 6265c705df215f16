"""Radiotap: what goes before each 802.11 frame on a monitor interface, both ways.

    0             1       2           4             8
    +-------------+-------+-----------+-------------+- - - - - - - -+----------------------+
    | version (0) | pad   | length    | present     | more present  | fields, each aligned |
    +-------------+-------+-----------+-------------+- - - - - - - -+----------------------+

Little endian throughout. A bit of `present` tells that a field is there; bit 31 that another
such word follows, for a second antenna say. We read two fields, both early in the first word:
the flags (was the checksum wrong, is it still at the end) and the signal's strength. Fields lie
in the order of their bits, so where those two are depends on the bits before them only; what
stands behind is never looked at, and its lies do no harm. A driver says the same words in every
packet, so the places are kept, a few of them.

What we send asks for three things: the rate, that nobody is waited for to acknowledge (no
monitor interface does; the hardware would repeat each frame seven times in vain), and no retries.
"""

from struct import Struct
from typing import Final, NamedTuple

from meshpeer.errors import ConfigError, RemoteProtocolError

HEAD: Final = Struct("<BxHI")
WORD: Final = Struct("<I")
MORE: Final = 1 << 31
LAYOUTS_KEPT: Final = 64

EARLY_FIELDS: Final = ((8, 8), (1, 1), (1, 1), (4, 2), (2, 2), (1, 1))
"""Size and alignment of bits 0 to 5: clock, flags, rate, channel, hopping, signal."""
FLAGS_BIT: Final = 1
SIGNAL_BIT: Final = 5

FCS_AT_END: Final = 0x10
PADDED: Final = 0x20
"""Zeros fill up the 802.11 header to a multiple of four."""
BAD_FCS: Final = 0x40

RATE_UNIT: Final = 500_000
RATES: Final = (2, 4, 11, 12, 18, 22, 24, 36, 48, 72, 96, 108)
"""In units of 500 kbit/s, all that 802.11b, g and a have."""
_SENT: Final = Struct("<BxHIBxHB")
_SENT_PRESENT: Final = 1 << 2 | 1 << 15 | 1 << 17
"""Rate, transmit flags, retries."""
_NO_ACK: Final = 0x08


class Radiotap(NamedTuple):
    """What a received header says."""

    size: int
    flags: int = 0
    signal: int | None = None
    """In dBm."""


class _Places(NamedTuple):
    """Where the two fields are, and where the last of them ends; -1 for one that is not there."""

    flags: int
    signal: int
    end: int


_layouts: dict[bytes, _Places] = {}


def sent_header(rate: int) -> bytes:
    """Make the header of all that is sent at this rate in bit/s; ConfigError if there is none such."""
    units = next((each for each in RATES if each * RATE_UNIT == rate), None)
    if units is None:
        known = ", ".join(f"{each * RATE_UNIT:_}" for each in RATES)
        raise ConfigError(f"802.11 has no rate of {rate!r} bit/s; it has {known}")
    return _SENT.pack(0, _SENT.size, _SENT_PRESENT, units, _NO_ACK, 0)


def parse(data: bytes) -> Radiotap:
    """Read the header before a received frame, or RemoteProtocolError and nothing else."""
    if len(data) < HEAD.size:
        raise RemoteProtocolError("radiotap", f"{len(data)} bytes, at least {HEAD.size}")
    version, size, present = HEAD.unpack_from(data)
    if version or not HEAD.size <= size <= len(data):
        raise RemoteProtocolError("radiotap", f"version {version}, {size} bytes long")
    start = HEAD.size
    if present & MORE:
        start = _end_of_words(data, size)
    words = data[4:start]
    places = _layouts.get(words) or _learn(words, present, start)
    if places.end > size:
        raise RemoteProtocolError("radiotap", f"{size} bytes, its fields need more")
    flags = data[places.flags] if places.flags >= 0 else 0
    if places.signal < 0:
        return Radiotap(size, flags)
    level = data[places.signal]
    return Radiotap(size, flags, level - 256 if level > 127 else level)


def _end_of_words(data: bytes, size: int) -> int:
    """Where the fields begin after a chain of `present` words."""
    for at in range(HEAD.size, size - WORD.size + 1, WORD.size):
        if not WORD.unpack_from(data, at)[0] & MORE:
            return at + WORD.size
    raise RemoteProtocolError("radiotap", "the chain of present words has no end")


def _learn(words: bytes, present: int, start: int) -> _Places:
    at, places = start, {}
    for bit, (size, alignment) in enumerate(EARLY_FIELDS):
        if present & 1 << bit:
            at += -at % alignment
            places[bit] = at
            at += size
    found = _Places(places.get(FLAGS_BIT, -1), places.get(SIGNAL_BIT, -1), at)
    if len(_layouts) >= LAYOUTS_KEPT:
        _layouts.clear()
    if len(words) <= 4 * WORD.size:  # a chain so long is nobody's driver, and would fill it
        _layouts[words] = found
    return found
