"""802.11 data frames as we use them on a monitor interface.

    0               2          4        10          16      22         24       30      32       34
    +---------------+----------+--------+-----------+-------+----------+--------+-------+--------+-------+
    | frame control | duration | to (6) | from (6)  | BSSID | sequence | SNAP   | type  | length | frame |
    +---------------+----------+--------+-----------+-------+----------+--------+-------+--------+-------+
                                                                        aa aa 03  0x88B5
                                                                        00 00 00

A frame from station to station, as in an ad-hoc cell (neither ToDS nor FromDS), in a cell that
has no beacons: its BSSID is a hash of the network's name. 802.11's own fields are little endian,
the type and the length big endian. The length is there because a driver may leave a checksum or
padding behind. QoS data are read too (some drivers make them of ours), fragments and encrypted
frames are not: we send none.
"""

from hashlib import blake2s
from struct import Struct
from typing import Final, NamedTuple

from meshpeer.errors import RemoteProtocolError
from transports.adhoc import radiotap
from transports.adhoc.frame import ADDRESS_SIZE, ETHERTYPE

BSSID_LABEL: Final = b"meshpeer/bssid/1"
FCS_SIZE: Final = 4

DATA: Final = 0x08
"""The first byte of a data frame's control field; 0x80 more is QoS data."""
QOS: Final = 0x80
TO_OR_FROM_DS: Final = 0x03
MORE_FRAGMENTS: Final = 0x04
PROTECTED: Final = 0x40
ORDER: Final = 0x80
"""In QoS data: four more bytes of header."""
NOT_OURS: Final = TO_OR_FROM_DS | MORE_FRAGMENTS | PROTECTED
AGGREGATE: Final = 0x80
"""In the QoS field: several frames in one."""
FRAGMENT: Final = 0x0F

HEADER: Final = Struct("<BBH6s6s6sH")
SNAP: Final = b"\xaa\xaa\x03\x00\x00\x00" + ETHERTYPE.to_bytes(2)
LENGTH: Final = Struct(">H")
OVERHEAD: Final = HEADER.size + len(SNAP) + LENGTH.size
CONTROL: Final = bytes((DATA, 0, 0, 0))
"""Frame control and duration of what we send."""
SEQUENCE: Final = Struct("<H")


class Air(NamedTuple):
    """A frame of our network's."""

    to: bytes
    station: bytes
    frame: bytes


def bssid_of(network: str) -> bytes:
    """Give the BSSID of a network's cell: locally administered, no group."""
    hashed = blake2s(BSSID_LABEL + network.encode()).digest()[:ADDRESS_SIZE]
    return bytes((hashed[0] & 0xFC | 0x02,)) + hashed[1:]


def encode(to: bytes, station: bytes, bssid: bytes, sequence: int, frame: bytes) -> bytes:
    """Write a data frame; `Monitor.send` does the same with what is constant made once."""
    head = HEADER.pack(DATA, 0, 0, to, station, bssid, (sequence & 0xFFF) << 4)
    return b"".join((head, SNAP, LENGTH.pack(len(frame)), frame))


def parse(data: bytes, start: int, end: int, bssid: bytes) -> Air | None:
    """Read the data frame that lies between, None if it is not of this network.

    One that says that it is and then is malformed raises RemoteProtocolError.
    """
    if end - start < OVERHEAD:
        return None
    kind, flags, _, to, station, cell, sequence = HEADER.unpack_from(data, start)
    if cell != bssid or kind & ~QOS != DATA or flags & NOT_OURS or sequence & FRAGMENT:
        return None
    start += HEADER.size
    if kind & QOS:
        if data[start] & AGGREGATE:
            return None
        start += 6 if flags & ORDER else 2
    return _payload(data, start, end, to, station)


def parse_padded(data: bytes, start: int, end: int, bssid: bytes) -> Air | None:
    """As `parse`, where the driver says that it filled up the header to a multiple of four."""
    if end - start < OVERHEAD or data[start] & ~QOS != DATA:
        return None
    size = HEADER.size
    if data[start] & QOS:
        size += 6 if data[start + 1] & ORDER else 2
    closed_up = data[start : start + size] + data[start + size + -size % 4 : end]
    return parse(closed_up, 0, len(closed_up), bssid)


def _payload(data: bytes, start: int, end: int, to: bytes, station: bytes) -> Air | None:
    if data[start : start + len(SNAP)] != SNAP:
        return None
    start += len(SNAP) + LENGTH.size
    if start > end:
        raise RemoteProtocolError("802.11", "ends before the length")
    (length,) = LENGTH.unpack_from(data, start - LENGTH.size)
    if start + length > end:
        raise RemoteProtocolError("802.11", f"{length} bytes announced, {end - start} left")
    return Air(to, station, data[start : start + length])


def read(packet: bytes, bssid: bytes) -> tuple[radiotap.Radiotap, Air] | None:
    """Read a packet of a monitor interface; None if it isn't of this network, or is damaged.

    Malformed radiotap, or a malformed frame of this network, raises RemoteProtocolError.
    """
    tap = radiotap.parse(packet)
    end = len(packet)
    if tap.flags:
        if tap.flags & radiotap.BAD_FCS:
            return None
        if tap.flags & radiotap.FCS_AT_END:
            end -= FCS_SIZE
        if tap.flags & radiotap.PADDED:
            air = parse_padded(packet, tap.size, end, bssid)
            return (tap, air) if air else None
    air = parse(packet, tap.size, end, bssid)
    return (tap, air) if air else None
