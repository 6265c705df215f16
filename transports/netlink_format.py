"""How netlink writes things down: messages, attributes, and the heads of links and routes.

    | length (4) | type (2) | flags (2) | sequence (4) | port (4) | body |     a message
    | length (2) | type (2) | value |                                          an attribute

All numbers are in the machine's own order, and each message and attribute begins at a multiple of
four bytes. rtnetlink (links, addresses, routes) and nl80211 (radios) are both written so; who asks
what of them stands with whoever asks. It needs nothing but `struct`, so a command that asks the
kernel once stays small.
"""

import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from meshpeer.errors import TransportError

NLMSG: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
U32: Final = struct.Struct("=I")

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x1, 0x300, 0x10
NLA_TYPE: Final = 0x3FFF
NESTED: Final = 0x8000

IFINFO: Final = struct.Struct("=BxHiII")
"""A link: family, device type, index, flags, change mask; attributes follow."""
RTMSG: Final = struct.Struct("=BBBBBBBBI")
"""A route: family, destination and source prefix, tos, table, protocol, scope, type, flags."""
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
IFLA_IFNAME: Final = 3
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
RTA_DST, RTA_OIF = 1, 4


class Message(NamedTuple):
    """One message, without its head."""

    kind: int
    body: bytes
    flags: int = 0
    sequence: int = 0


def messages(data: bytes) -> Iterator[Message]:
    """Cut what one recv gave into messages; TransportError where that is no netlink."""
    start = 0
    while start < len(data):
        if len(data) - start < NLMSG.size:
            raise TransportError(f"netlink: {len(data) - start} bytes, no header")
        length, kind, flags, sequence, _ = NLMSG.unpack_from(data, start)
        if not NLMSG.size <= length <= len(data) - start:
            raise TransportError(
                f"netlink: a message of {length} bytes in {len(data) - start}"
            )
        yield Message(kind, data[start + NLMSG.size : start + length], flags, sequence)
        start += (length + 3) & ~3


def message(kind: int, flags: int, body: bytes, sequence: int = 0) -> bytes:
    """Write a message to the kernel."""
    return NLMSG.pack(NLMSG.size + len(body), kind, flags, sequence, 0) + body


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Read (type, value) pairs; TransportError where a length does not fit."""
    start = 0
    while start + ATTRIBUTE.size <= len(data):
        length, number = ATTRIBUTE.unpack_from(data, start)
        if not ATTRIBUTE.size <= length <= len(data) - start:
            raise TransportError(f"netlink: an attribute of {length} bytes")
        yield number & NLA_TYPE, data[start + ATTRIBUTE.size : start + length]
        start += (length + 3) & ~3


def text(value: bytes) -> str:
    """Read a name that ends with a zero byte."""
    return value.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def number(value: bytes | None, missing: int = 0) -> int:
    """Read an unsigned number of 1 to 8 bytes in the machine's order."""
    if value is None:
        return missing
    if len(value) not in {1, 2, 4, 8}:
        raise TransportError(f"netlink: a number of {len(value)} bytes")
    return int.from_bytes(value, sys.byteorder)


def attribute(number: int, value: bytes = b"") -> bytes:
    """Write one attribute; without a value it is a flag."""
    padding = bytes(-len(value) % 4)
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), number) + value + padding


def u32(number: int, value: int) -> bytes:
    """Write an attribute that holds a number of 32 bits."""
    return attribute(number, U32.pack(value))


def name(number: int, value: str) -> bytes:
    """Write an attribute that holds a name and a zero byte."""
    return attribute(number, value.encode("utf-8", "surrogateescape") + b"\0")


def nested(number: int, *inside: bytes) -> bytes:
    """Write an attribute that holds attributes."""
    return attribute(number | NESTED, b"".join(inside))
