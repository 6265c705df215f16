"""When a bundle that neighbours ask for is broadcast, and when each gets its own.

A wish waits for those of the other neighbours that were offered the same bundle: until all have
answered, or for GATHER_S; longer while another transfer is under way on the medium, since the
receivers ask for the next bundle as they finish the one before. Where nobody else may say yes any
more, it waits for nothing.

A broadcast pays for the loss of the worst receiver, and on Wi-Fi it goes at a low rate, while
unicast finds the best rate for each. So it has to save air time: where the rates are known, the
time of one broadcast with what mends it is compared to that of all copies; else three neighbours
are enough, for which it saves half of all bytes.
"""

from collections.abc import Iterable
from typing import Final

from meshpeer.core.broadcast.sessions import Rank
from meshpeer.core.link.path import Path, Traits

GATHER_S: Final = 0.5
GATHER_SYMBOLS: Final = 8
"""On a slow medium it is the time of so many symbols: answers take as long."""
LONGEST_S: Final = 30.0
"""Others are waited for no longer, though another transfer is under way."""
ENOUGH: Final = 3
"""Neighbours for which it is worth while where rates aren't known."""
MENDING: Final = 1.4
"""What a broadcast costs of its bytes' own time, with what mends losses."""
LEAST_SIZE: Final = 8 * 1024
"""Bytes of a wire below which a transfer of its own, with its answers, isn't worth while."""
MAX_GATHERED: Final = 256
"""Bundles that wait for wishes."""


class Gathering:
    """The neighbours that wish for one bundle on one medium."""

    def __init__(
        self, id: bytes, path: Path, rank: Rank, now: float, patience: float = GATHER_S
    ) -> None:
        self.id, self.path, self.rank, self.since = id, path, rank, now
        self.peers: dict[bytes, None] = {}
        self.patience = patience
        self.loading = False
        """It is decided, and waits for its wire."""

    def ready(self, undecided: bool, busy: bool, now: float) -> bool:
        """Whether nobody is to be waited for any more."""
        longest = max(LONGEST_S, self.patience)
        return not undecided or now >= self.since + (longest if busy else self.patience)

    def due(self, now: float) -> float:
        """When time makes it ready, if nothing else does."""
        soon = self.since + self.patience
        return soon if now < soon else self.since + max(LONGEST_S, self.patience)


def worth(unicast: Iterable[Traits], broadcast: Traits) -> bool:
    """Whether one broadcast costs less of the air than these copies."""
    rates = [traits.rate for traits in unicast]
    if len(rates) < 2:
        return False
    if broadcast.rate is None or not all(rates):
        return len(rates) >= ENOUGH
    return sum(1 / rate for rate in rates if rate) > MENDING / broadcast.rate
