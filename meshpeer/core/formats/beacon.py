"""The beacon: how a peer says on a LAN that it is there, and on which UDP port.

    0       4         5       6       8                16
    +-------+---------+-------+-------+----------------+---------------------------+
    | magic | version | flags | port  | nonce          | peer id (32), or mark (8) |
    +-------+---------+-------+-------+----------------+---------------------------+

Flags: bit 0 HIDDEN, the mark stands in the peer id's place; bit 1 ANSWER, this beacon answers
another and is not itself answered, so that two peers never bounce. The other bits are 0.

The nonce is drawn at random when the peer starts and again when it comes to another network. A
peer knows its own beacons by it, and a hidden peer can be followed no longer than one nonce
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
    """One beacon; `peer_id` is None where it is hidden, and `mark` is empty where it is not."""

    nonce: bytes
    port: int
    peer_id: bytes | None = None
    mark: bytes = b""
    answer: bool = False

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_SIZE or not 0 < self.port < 65_536:
            raise LocalProtocolError("a beacon has a nonce of 8 bytes and a port above 0")
        shown = self.peer_id is not None and len(self.peer_id) == PEER_ID_SIZE
        if (shown, len(self.mark)) not in {(True, 0), (False, MARK_SIZE)}:
            raise LocalProtocolError("a beacon has a peer id or a mark, never both")

    @classmethod
    def of(
        cls, peer_id: bytes, *, nonce: bytes, port: int, hidden: bool, answer: bool = False
    ) -> "Beacon":
        """Make the beacon of this peer, showing its id or hiding it behind a mark."""
        if hidden:
            return cls(nonce, port, None, mark(nonce, peer_id), answer)
        return cls(nonce, port, peer_id, answer=answer)

    def is_of(self, peer_id: bytes) -> bool:
        """Whether this beacon may be that peer's."""
        return peer_id == self.peer_id or self.mark == mark(self.nonce, peer_id)

    def encode(self) -> bytes:
        """The one form that this beacon has on the wire: 48 bytes, 24 when hidden."""
        flags = Flag.ANSWER * self.answer | Flag.HIDDEN * (self.peer_id is None)
        head = FIXED.pack(MAGIC, VERSION, flags, self.port, self.nonce)
        return head + (self.mark if self.peer_id is None else self.peer_id)


def parse(data: bytes) -> Beacon:
    """Read one beacon, or raise RemoteProtocolError and nothing else."""
    if len(data) < FIXED.size:
        raise RemoteProtocolError(
            "beacon", f"{len(data)} bytes, the fixed part has {FIXED.size}"
        )
    magic, version, flags, port, nonce = FIXED.unpack_from(data)
    if magic != MAGIC:
        raise RemoteProtocolError("magic", f"{magic.hex()}, not {MAGIC.hex()}")
    if version != VERSION:
        raise RemoteProtocolError("version", f"{version}, only {VERSION} is known")
    if flags & ~KNOWN_FLAGS:
        raise RemoteProtocolError("flags", f"{flags:#04x} has unknown bits")
    if not port:
        raise RemoteProtocolError("port", "0 can't be sent to")
    rest, hidden = data[FIXED.size :], bool(flags & Flag.HIDDEN)
    size = MARK_SIZE if hidden else PEER_ID_SIZE
    if len(rest) != size:
        raise RemoteProtocolError(
            "beacon", f"{len(rest)} bytes of identity, expected {size}"
        )
    answer = bool(flags & Flag.ANSWER)
    if hidden:
        return Beacon(nonce, port, None, rest, answer)
    return Beacon(nonce, port, rest, answer=answer)
