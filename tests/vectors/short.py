"""Vectors of the SHORT header: data packets by a slow path, and what the receiver has to know."""

from meshpeer.core.link.packet import ACK_NOW, DATA, DATA_HEADER, PHASE, shorten

CONNECTION = bytes.fromhex("a1b2c3d4")
SEALED = bytes(range(20))
CASES = [
    (0, 0, DATA),
    (7, 7, DATA | ACK_NOW),
    (65_536, 65_535, DATA | PHASE),
    (65_535, 65_536, DATA | PHASE | ACK_NOW),
    (100_000, 100_000 + 0x7FFF, DATA),
    (100_000, 100_000 - 0x8000, DATA),
    (2**32 - 1, 2**32, DATA),
    (2**33 + 5, 2**33 + 3, DATA),
]
"""The counter that the receiver expects, the packet's own, and the first byte of the long form."""


def shorts():
    """Give each packet in both forms."""
    cases = []
    for expected, counter, kind in CASES:
        data = DATA_HEADER.pack(kind, CONNECTION, counter & 0xFFFFFFFF) + SEALED
        cases.append(
            {"expected": expected, "counter": counter, "data": data, "short": shorten(data)}
        )
    return {"connection": CONNECTION, "packets": cases}
