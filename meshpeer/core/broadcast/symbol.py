"""The packet of a broadcast: one symbol, for all who were given the key of its transfer.

    0 type 0x05 | 1 transfer (4) | 5 symbol's number (2)
    | 7 sealed: how many follow now (2), symbol  (ChaCha20Poly1305, 16 more)

It costs 25 bytes, as a packet of a link does, and shows as much: a random number that holds for
one transfer, and how many packets there are. All symbols of a transfer have one size.

The key is made for one transfer and given, inside the links, to those who want just this bundle:
so no number of packets and no time uses it up, and who left has none for what comes later. A
number is used once under a key, so it is the nonce; the 7 bytes before the seal are its associated
data. Whoever was given the key could make symbols in the sender's name: the bundle's id tells.
"""

from struct import Struct
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from meshpeer.core.link.packet import BROADCAST
from meshpeer.errors import RemoteProtocolError

TRANSFER_SIZE: Final = 4
KEY_SIZE: Final = 32
MAX_NUMBER: Final = 0xFFFF

_HEADER: Final = Struct(">B4sH")
_LEFT: Final = Struct(">H")
OVERHEAD: Final = _HEADER.size + _LEFT.size + 16
"""Bytes that a packet costs over its symbol."""


class Symbol(NamedTuple):
    """What a packet holds."""

    left: int
    """Symbols that the sender means to send after it."""
    data: bytes


def pack(
    cipher: ChaCha20Poly1305, transfer: bytes, number: int, left: int, data: bytes
) -> bytes:
    """Seal one symbol."""
    header = _HEADER.pack(BROADCAST, transfer, number)
    plain = _LEFT.pack(min(left, MAX_NUMBER)) + data
    return header + cipher.encrypt(number.to_bytes(12), plain, header)


def parse(packet: bytes) -> tuple[bytes, int]:
    """The transfer and number of a packet, or RemoteProtocolError."""
    if len(packet) <= OVERHEAD or packet[0] != BROADCAST:
        raise RemoteProtocolError("broadcast", f"{len(packet)} bytes, or of another type")
    _, transfer, number = _HEADER.unpack_from(packet)
    return transfer, number


def unseal(cipher: ChaCha20Poly1305, packet: bytes, number: int) -> Symbol | None:
    """What is in a packet that `parse` took, None if it was sealed by another key."""
    header, sealed = packet[: _HEADER.size], packet[_HEADER.size :]
    try:
        plain = cipher.decrypt(number.to_bytes(12), sealed, header)
    except InvalidTag:
        return None
    return Symbol(_LEFT.unpack_from(plain)[0], plain[_LEFT.size :])
