"""How often somebody may make us work: a token bucket for each account.

Opening a seal costs about 100 us, and anybody who has a card can send seals. The rate is charged
to the neighbour that brings them, for that is the one name a sender can't choose.
"""

from typing import Final, NamedTuple

from meshpeer.core.sync.account import Account, Kind

FORGET: Final = 4_096
"""Buckets kept; a full bucket and a forgotten one are the same, so the fullest go first."""


NEWS_BURST: Final = 64
NEWS_PER_S: Final = 1 / 64
"""Steps of this peer's history that one other person, or all strangers together, may cause: it
keeps the last 10,000, and what people here did shall not be pushed out."""


class Allowance:
    """Gives each key `burst` uses at once and `rate` a second after that."""

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._full_at: dict[str, float] = {}

    def take(self, key: str, now: float) -> bool:
        """Use one, if there is one."""
        full_at = max(self._full_at.get(key, now), now)
        if round((full_at - now) * self._rate) > self._burst - 1:
            return False
        if len(self._full_at) >= FORGET and key not in self._full_at:
            del self._full_at[min(self._full_at, key=self._full_at.__getitem__)]
        self._full_at[key] = full_at + 1 / self._rate
        return True


class Rate(NamedTuple):
    """So many a second, and so many at once."""

    rate: float
    burst: float


class NeighbourAllowance:
    """Gives each neighbour a rate of its own, and strangers one for their network, too: keys cost
    a stranger nothing."""

    def __init__(self, *, known: Rate, stranger: Rate, network: Rate) -> None:
        self._known = Allowance(rate=known.rate, burst=known.burst)
        self._stranger = Allowance(rate=stranger.rate, burst=stranger.burst)
        self._network = Allowance(rate=network.rate, burst=network.burst)

    def take(self, account: Account, now: float) -> bool:
        """Use one for the neighbour that this account is of, if there is one."""
        if account.kind is not Kind.STRANGER:
            return self._known.take(str(account), now)
        _, network, stranger = account.nest
        return self._stranger.take(stranger, now) and self._network.take(network, now)
