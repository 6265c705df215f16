"""The beacon: how a peer says that it is there, on a LAN and on a medium without IP.

On a LAN, with the UDP port at which it is to be reached:

    0       4         5       6       8                16
    +-------+---------+-------+-------+----------------+---------------------------+
    | magic | version | flags | port  | nonce          | peer id (32), or mark (8) |
    +-------+---------+-------+-------+----------------+---------------------------+

In a frame of `adhoc`, which itself tells what it carries, of which version, and whence it came:

    0       1                9
    +-------+----------------+---------------------------+
    | flags | nonce          | peer id (32), or mark (8) |
    +-------+----------------+---------------------------+

Flags: bit 0 HIDDEN, the mark stands in the peer id's place; bit 1 ANSWER, this beacon answers
another and is not itself answered, so that two peers never bounce. The other bits are 0.

The nonce is drawn at random when the peer starts and again when it comes to another network, or
another medium. A peer knows its own beacons by it, and a hidden peer can be followed no longer than one nonce
lives; only who knows the peer id can tell from the mark that it is there. A beacon proves
nothing: it is a hint where a handshake may be tried.

A network key will come as another version, with nothing but random-looking bytes after it.
"""

import struct
from dataclasses import dataclass
from enum import IntFlag
from hashlib import blake2s
from typing import Final

from meshpeer.errors import LocalProtocolError, RemoteProtocolError

MAGIC: Final = b"mshp"
VERSION: Final = 1
NONCE_SIZE: Final = 8
MARK_SIZE: Final = 8
PEER_ID_SIZE: Final = 32
FIXED: Final = struct.Struct(f">4sBBH{NONCE_SIZE}s")
FRAMED: Final = struct.Struct(f">B{NONCE_SIZE}s")
"""What a beacon in a frame has before the identity."""
MARK_LABEL: Final = b"meshpeer/beacon/1"


class Flag(IntFlag):
    """What the flags byte may say."""

    HIDDEN = 1
    ANSWER = 2


KNOWN_FLAGS: Final = int(Flag.HIDDEN | Flag.ANSWER)


def mark(nonce: bytes, peer_id: bytes) -> bytes:
    """Give the 8 bytes by which who knows a peer id recognises it behind this nonce."""
    return blake2s(MARK_LABEL + nonce + peer_id).digest()[:MARK_SIZE]


@dataclass(frozen=True, slots=True)
class Beacon:
    """One beacon; `peer_id` is None where it is hidden, and `mark` is empty where it is not.

    `port` is 0 in a frame, and only there.
    """

    nonce: bytes
    port: int = 0
    peer_id: bytes | None = None
    mark: bytes = b""
    answer: bool = False

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_SIZE or not 0 <= self.port < 65_536:
            raise LocalProtocolError("a beacon has a nonce of 8 bytes and a UDP port")
        shown = self.peer_id is not None and len(self.peer_id) == PEER_ID_SIZE
        if (shown, len(self.mark)) not in {(True, 0), (False, MARK_SIZE)}:
            raise LocalProtocolError("a beacon has a peer id or a mark, never both")

    @classmethod
    def of(
        cls,
        peer_id: bytes,
        *,
        nonce: bytes,
        port: int = 0,
        hidden: bool,
        answer: bool = False,
    ) -> "Beacon":
        """Make the beacon of this peer, showing its id or hiding it behind a mark."""
        if hidden:
            return cls(nonce, port, None, mark(nonce, peer_id), answer)
        return cls(nonce, port, peer_id, answer=answer)

    def is_of(self, peer_id: bytes) -> bool:
        """Whether this beacon may be that peer's."""
        return peer_id == self.peer_id or self.mark == mark(self.nonce, peer_id)

    def encode(self) -> bytes:
        """The one form that this beacon has on a LAN: 48 bytes, 24 when hidden."""
        if not self.port:
            raise LocalProtocolError("a beacon on a LAN names a port above 0")
        return (
            FIXED.pack(MAGIC, VERSION, self._flags(), self.port, self.nonce) + self._who()
        )

    def encode_frame(self) -> bytes:
        """The one form that this beacon has in a frame: 41 bytes, 17 when hidden."""
        if self.port:
            raise LocalProtocolError("a beacon in a frame names no port")
        return FRAMED.pack(self._flags(), self.nonce) + self._who()

    def _flags(self) -> int:
        return Flag.ANSWER * self.answer | Flag.HIDDEN * (self.peer_id is None)

    def _who(self) -> bytes:
        return self.mark if self.peer_id is None else self.peer_id


def parse(data: bytes) -> Beacon:
    """Read one beacon of a LAN, or raise RemoteProtocolError and nothing else."""
    if len(data) < FIXED.size:
        raise RemoteProtocolError(
            "beacon", f"{len(data)} bytes, the fixed part has {FIXED.size}"
        )
    magic, version, flags, port, nonce = FIXED.unpack_from(data)
    if magic != MAGIC:
        raise RemoteProtocolError("magic", f"{magic.hex()}, not {MAGIC.hex()}")
    if version != VERSION:
        raise RemoteProtocolError("version", f"{version}, only {VERSION} is known")
    if not port:
        raise RemoteProtocolError("port", "0 can't be sent to")
    return _read(flags, nonce, port, data[FIXED.size :])


def parse_frame(payload: bytes) -> Beacon:
    """Read the beacon that a frame carries, or raise RemoteProtocolError and nothing else."""
    if len(payload) < FRAMED.size:
        raise RemoteProtocolError(
            "beacon", f"{len(payload)} bytes, the fixed part has {FRAMED.size}"
        )
    flags, nonce = FRAMED.unpack_from(payload)
    return _read(flags, nonce, 0, payload[FRAMED.size :])


def _read(flags: int, nonce: bytes, port: int, who: bytes) -> Beacon:
    if flags & ~KNOWN_FLAGS:
        raise RemoteProtocolError("flags", f"{flags:#04x} has unknown bits")
    hidden, answer = bool(flags & Flag.HIDDEN), bool(flags & Flag.ANSWER)
    size = MARK_SIZE if hidden else PEER_ID_SIZE
    if len(who) != size:
        raise RemoteProtocolError(
            "beacon", f"{len(who)} bytes of identity, expected {size}"
        )
    if hidden:
        return Beacon(nonce, port, None, who, answer)
    return Beacon(nonce, port, who, answer=answer)
