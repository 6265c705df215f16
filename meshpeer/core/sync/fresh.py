"""The header of a bundle made here: the same for all kinds, so that it tells nothing of its maker.

A count of hops or an age that began at 0 would say that the first who carries a bundle met its
maker; so both begin at random.
"""

from collections.abc import Callable
from typing import Final

from meshpeer.core.formats.bundle import SUITE_NOISE_X, Header, Priority

HOP_LIMIT: Final = 6
"""The same for every bundle: one counted from the start would tell how far the maker is."""
FIRST_HOPS: Final = 3
"""The count starts at a random number below this, for the same reason: 4 to 6 hops remain."""
AGE_JITTER: Final = 600
"""The age starts at a random number of seconds below this, for the same reason."""


def fresh_header(
    *,
    tag: bytes,
    receipt_hash: bytes,
    lifetime: int,
    priority: Priority,
    wall: float,
    rng: Callable[[int], bytes],
    suite: int = SUITE_NOISE_X,
    age: int = 0,
) -> Header:
    """Give the header; `age` seconds of the lifetime are over already."""
    return Header(
        priority=priority,
        hop_limit=HOP_LIMIT,
        tag=tag,
        receipt_hash=receipt_hash,
        lifetime=lifetime,
        hour=max(0, int(wall) // 3600) & 0xFFFF_FFFF,
        hops=_below(FIRST_HOPS, rng),
        age=age + _below(min(AGE_JITTER, (lifetime - age) // 10) or 1, rng),
        suite=suite,
    )


def _below(limit: int, rng: Callable[[int], bytes]) -> int:
    return int.from_bytes(rng(4)) % limit
