"""The packets as they lie on the wire. The first byte tells which; integers are big endian.

    INITIATION  0 type 0x01 | 1 version | 2 sender's connection id (4) | 6 Noise IK message 1
                | mac1 (16) | mac2 (16)
    RESPONSE    0 type 0x02 | 1 version | 2 sender's connection id (4) | 6 receiver's (4)
                | 10 Noise IK message 2 | mac1 (16) | mac2 (16, zero)
    COOKIE      0 type 0x03 | 1 receiver's connection id (4) | 5 nonce (24) | 29 sealed cookie (32)
    VERSIONS    0 type 0x04 | 1 receiver's connection id (4) | 5 versions, one byte each (1 to 16)
    BROADCAST   0 type 0x05 | the rest is core.broadcast's (symbol.py)
    DATA        0 type 0x40 | phase 1 | ACK_NOW 2 | 1 receiver's connection id (4)
                | 5 counter's low 32 bits | 9 frames, sealed (ChaCha20Poly1305, 16 more)
    SHORT       0 type 0x60 | phase 1 | ACK_NOW 2 | 1 the connection id's first byte
                | 2 counter's low 16 bits | 4 frames, sealed as in the DATA that it stands for

mac1 is keyed by the receiver's peer id: who doesn't know it gets no answer and costs one hash.
mac2 is keyed by a cookie, as in WireGuard. DATA costs 25 bytes; its nonce is the whole counter,
its associated data the 9 bytes before. SHORT is a DATA on its way over a slow path: whoever reads
it writes the whole header again, from the links that it knows and the counter that it expects,
and the seal tells whether that was right. So nothing is agreed on, nothing is remembered, and
what is sealed is the same.
"""

from collections.abc import Sequence
from hashlib import blake2s
from hmac import compare_digest
from struct import Struct
from typing import Final, NamedTuple

from meshpeer.errors import RemoteProtocolError

INITIATION: Final = 0x01
RESPONSE: Final = 0x02
COOKIE: Final = 0x03
VERSIONS: Final = 0x04
BROADCAST: Final = 0x05
DATA: Final = 0x40
SHORT: Final = 0x60
PHASE: Final = 1
ACK_NOW: Final = 2

VERSION: Final = 1
"""The link protocol spoken here."""
ID_SIZE: Final = 4
MAC_SIZE: Final = 16
INITIATION_NOISE: Final = 32 + 48 + 16
RESPONSE_NOISE: Final = 32 + 16
VERSIONS_LIMIT: Final = 16
HANDSHAKE_LIMIT: Final = 1_452

DATA_HEADER: Final = Struct(">B4sI")
DATA_OVERHEAD: Final = DATA_HEADER.size + 16
"""Bytes that a data packet costs over its frames."""

SHORT_OVERHEAD: Final = 4 + 16

_INITIATION_HEAD: Final = Struct(">BB4s")
_RESPONSE_HEAD: Final = Struct(">BB4s4s")
_COOKIE: Final = Struct(">B4s24s32s")


class Initiation(NamedTuple):
    """The first packet of a link."""

    version: int
    sender: bytes
    noise: bytes
    signed: bytes
    """What mac1 covers."""
    mac1: bytes
    mac2: bytes


class Response(NamedTuple):
    """The answer to an initiation."""

    version: int
    sender: bytes
    receiver: bytes
    noise: bytes


class Cookie(NamedTuple):
    """`Prove your address first.`"""

    receiver: bytes
    nonce: bytes
    sealed: bytes


def mac1_key(peer_id: bytes) -> bytes:
    """The key of mac1 in packets to this peer."""
    return blake2s(b"meshpeer mac1" + peer_id).digest()


def mac(key: bytes, data: bytes) -> bytes:
    """A 16-byte keyed BLAKE2s."""
    return blake2s(data, key=key, digest_size=MAC_SIZE).digest()


def initiation(sender: bytes, noise: bytes, mac1key: bytes, cookie: bytes | None) -> bytes:
    """Write an INITIATION; with a cookie it carries a true mac2."""
    signed = _INITIATION_HEAD.pack(INITIATION, VERSION, sender) + noise
    return _with_macs(signed, mac1key, cookie)


def response(sender: bytes, receiver: bytes, noise: bytes, mac1key: bytes) -> bytes:
    """Write a RESPONSE."""
    signed = _RESPONSE_HEAD.pack(RESPONSE, VERSION, sender, receiver) + noise
    return _with_macs(signed, mac1key, None)


def cookie(receiver: bytes, nonce: bytes, sealed: bytes) -> bytes:
    """Write a COOKIE."""
    return _COOKIE.pack(COOKIE, receiver, nonce, sealed)


def versions(receiver: bytes, spoken: Sequence[int]) -> bytes:
    """Write a VERSIONS packet: these are spoken here."""
    return bytes((VERSIONS,)) + receiver + bytes(spoken)


def shorten(data: bytes) -> bytes:
    """Give the SHORT packet that stands for a DATA packet."""
    return bytes((data[0] ^ DATA ^ SHORT, data[1])) + data[7:]


def lengthen(data: bytes, connection: bytes, expected: int) -> bytes:
    """Give the DATA packet for which a SHORT one stands, if it is this connection's.

    Its counter is the one closest to the one `expected`.
    """
    low = int.from_bytes(data[2:4])
    counter = expected + ((low - expected + 0x8000 & 0xFFFF) - 0x8000)
    kind = data[0] ^ DATA ^ SHORT
    return DATA_HEADER.pack(kind, connection, counter & 0xFFFFFFFF) + data[4:]


def parse_initiation(data: bytes, mac1key: bytes) -> Initiation:
    """Read an INITIATION meant for the holder of this key, of any version."""
    least = _INITIATION_HEAD.size + INITIATION_NOISE + 2 * MAC_SIZE
    signed, mac1, mac2 = _check_macs("initiation", data, least, mac1key)
    _, version, sender = _INITIATION_HEAD.unpack_from(signed)
    return Initiation(version, sender, signed[_INITIATION_HEAD.size :], signed, mac1, mac2)


def parse_response(data: bytes, mac1key: bytes) -> Response:
    """Read a RESPONSE meant for the holder of this key."""
    least = _RESPONSE_HEAD.size + RESPONSE_NOISE + 2 * MAC_SIZE
    signed, _, mac2 = _check_macs("response", data, least, mac1key)
    if any(mac2):
        raise RemoteProtocolError("response", "mac2 is not zero")
    _, version, sender, receiver = _RESPONSE_HEAD.unpack_from(signed)
    if version != VERSION:
        raise RemoteProtocolError("version", f"{version} where {VERSION} was asked for")
    return Response(version, sender, receiver, signed[_RESPONSE_HEAD.size :])


def parse_cookie(data: bytes) -> Cookie:
    """Read a COOKIE."""
    if len(data) != _COOKIE.size:
        raise RemoteProtocolError(
            "cookie", f"{len(data)} bytes, a cookie has {_COOKIE.size}"
        )
    _, receiver, nonce, sealed = _COOKIE.unpack(data)
    return Cookie(receiver, nonce, sealed)


def parse_versions(data: bytes) -> tuple[bytes, bytes]:
    """Read a VERSIONS packet: the receiver's connection id and the versions."""
    count = len(data) - 1 - ID_SIZE
    if not 1 <= count <= VERSIONS_LIMIT:
        raise RemoteProtocolError("versions", f"{count} of them")
    return data[1 : 1 + ID_SIZE], data[1 + ID_SIZE :]


def _with_macs(signed: bytes, mac1key: bytes, cookie: bytes | None) -> bytes:
    body = signed + mac(mac1key, signed)
    return body + (mac(cookie, body) if cookie else bytes(MAC_SIZE))


def _check_macs(
    field: str, data: bytes, least: int, mac1key: bytes
) -> tuple[bytes, bytes, bytes]:
    if not least <= len(data) <= HANDSHAKE_LIMIT:
        raise RemoteProtocolError(field, f"{len(data)} bytes, at least {least}")
    signed, mac1, mac2 = (
        data[: -2 * MAC_SIZE],
        data[-2 * MAC_SIZE : -MAC_SIZE],
        data[-MAC_SIZE:],
    )
    if not compare_digest(mac(mac1key, signed), mac1):
        raise RemoteProtocolError(field, "mac1 is wrong")
    return signed, mac1, mac2
