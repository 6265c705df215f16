"""How fast strangers are given blocks.

Contacts, and devices of persons here, get what their link takes. A chain is for everybody who asks,
but who asks again and again for all of it, or under ever new keys, would keep the disk and the link
busy for nothing: so what each stranger gets goes into a bucket, and what all of a network get into
another, and while one is full nothing more is read for them. Over a slow link this holds for all. A bucket holds a chain of some 100,000
posts, so that an honest newcomer doesn't feel it. It is the account's, not the link's: to link again
empties none.
"""

from typing import Final

from meshpeer.core.link.slow import Served, is_slow
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.allowance import Rate

MIB: Final = 1 << 20
STRANGER_RATE: Final = MIB
STRANGER_BURST: Final = 64 * MIB
"""Bytes of blocks a second, and at once, for one stranger."""
NETWORK_RATE: Final = 4 * MIB
NETWORK_BURST: Final = 256 * MIB
"""For all strangers of a network together."""
BUCKETS: Final = 4_096
"""Buckets kept of each; an empty one and a forgotten one are the same, so the emptiest goes first."""


class ServeRate:
    """What strangers were given lately."""

    def __init__(
        self,
        *,
        stranger: Rate = Rate(STRANGER_RATE, STRANGER_BURST),  # noqa: B008
        network: Rate = Rate(NETWORK_RATE, NETWORK_BURST),  # noqa: B008
    ) -> None:
        self._stranger, self._network = Buckets(stranger), Buckets(network)
        self._slowly: dict[Account, Served] = {}

    def may(self, account: Account, now: float) -> bool:
        """Whether this neighbour is given more now."""
        if account.kind is not Kind.STRANGER:
            return True
        _, network, stranger = account.nest
        return self._stranger.open(stranger, now) and self._network.open(network, now)

    def gave(self, account: Account, size: int, now: float) -> None:
        """So many bytes were given to this neighbour."""
        if account.kind is Kind.STRANGER:
            _, network, stranger = account.nest
            self._stranger.fill(stranger, size, now)
            self._network.fill(network, size, now)

    def may_slowly(self, account: Account, rate: float | None, now: float) -> bool:
        """Whether this neighbour is given more over a link of this rate."""
        served = self._slowly.get(account)
        return served is None or served.may(rate, now)

    def gave_slowly(
        self, account: Account, rate: float | None, size: int, now: float
    ) -> None:
        """So many bytes went over a link of this rate."""
        if not is_slow(rate):
            return
        if account not in self._slowly and len(self._slowly) >= BUCKETS:
            del self._slowly[next(iter(self._slowly))]
        self._slowly.setdefault(account, Served()).gave(rate, size, now)


class Buckets:
    """How much each got: a bucket runs over with its last drop, and by no more."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._empty_at: dict[str, float] = {}

    def open(self, key: str, now: float) -> bool:
        """Whether something still goes in."""
        behind = self._empty_at.get(key, now) - now
        return behind * self._rate.rate < self._rate.burst

    def fill(self, key: str, size: int, now: float) -> None:
        """So much went in."""
        if len(self._empty_at) >= BUCKETS and key not in self._empty_at:
            del self._empty_at[min(self._empty_at, key=self._empty_at.__getitem__)]
        empty_at = max(self._empty_at.get(key, now), now)
        self._empty_at[key] = empty_at + size / self._rate.rate
