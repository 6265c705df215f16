"""The frame: what goes over any medium of ours, below a datagram and above the radio.

    0                1
    +----------------+---------------------------------------------------+
    | version | kind | payload                                           |
    +----------------+---------------------------------------------------+
      4 bits    4 bits

The medium says from whom a frame came and where it ends; so the frame has no address and no
length. Kinds: 0 a datagram of the core's, 1 a beacon. A frame of another version or kind is
counted and dropped.
"""

from enum import IntEnum
from typing import Final

from meshpeer.errors import RemoteProtocolError

ETHERTYPE: Final = 0x88B5
"""Names our frames where Ethernet or 802.11 carries them: IEEE 802's first for local experiments."""
ADDRESS_SIZE: Final = 6
EVERYBODY: Final = b"\xff" * ADDRESS_SIZE
"""A station's address there, and that of all in range."""
VERSION: Final = 1
HEAD_SIZE: Final = 1


class Kind(IntEnum):
    """What a frame carries."""

    DATAGRAM = 0
    BEACON = 1


HEADS: Final = {kind: bytes((VERSION << 4 | kind,)) for kind in Kind}
KINDS: Final = {VERSION << 4 | kind: kind for kind in Kind}


def parse(data: bytes) -> tuple[Kind, bytes]:
    """Read one frame: its kind and its payload, or RemoteProtocolError and nothing else."""
    if len(data) <= HEAD_SIZE:
        raise RemoteProtocolError("frame", f"{len(data)} bytes, there is no payload")
    kind = KINDS.get(data[0])
    if kind is None:
        raise RemoteProtocolError("frame", f"unknown version or kind {data[0]:#04x}")
    return kind, data[HEAD_SIZE:]
