"""How netlink writes things down, whatever they are about: messages and attributes.

    | length (4) | type (2) | flags (2) | sequence (4) | port (4) | body |     a message
    | length (2) | type (2) | value |                                          an attribute

All numbers are in the machine's own order, and each message and attribute begins at a multiple of
four bytes. It needs nothing but `struct`, so a command that asks the kernel once stays small.
"""

import struct
from collections.abc import Iterator
from typing import Final

from meshpeer.errors import TransportError

NLMSG: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
U32: Final = struct.Struct("=I")

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x1, 0x300, 0x10
NLA_TYPE: Final = 0x3FFF


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
