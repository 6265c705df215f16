"""When the next packet may leave by a slow medium, which all links of this peer by it share.

Each link knows the medium's rate, and would fill it alone: with six neighbours six packets would
wait in the modem, two minutes at 300 bit/s, and what is urgent behind them. So whatever we send
there is counted together (links, handshakes, broadcasts), and nothing leaves before the packet
ahead of it has gone by this reckoning, nor while the node still holds one that the medium didn't
take. So all that waits is in the links: the most urgent leaves first, and links of one urgency take
turns. What is heard took the air as well, which moves the moment, for most of these mediums are
half duplex.

It also counts the stations that were heard lately. Each may have a packet on its way before the
answer that is waited for, so patience grows with their number, up to CROWD_LIMIT.
"""

from collections.abc import Callable, Hashable, Iterable
from math import inf
from typing import Final

from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.core.link.slow import airtime, is_slow

ADDED: Final = 3
"""Bytes of a packet on the air beside those of its long form: a medium's own, less what the short
header saves."""
CROWD_LIMIT: Final = 8
"""Stations that count at most: their addresses can be made up."""
LATELY: Final = 8
"""Full packets on the air after which a station that is silent counts no more."""


class Air:
    """One slow medium."""

    __slots__ = ("_free_at", "_full", "_heard", "_longest", "rate")

    def __init__(self, traits: Traits, full: Callable[[], bool]) -> None:
        self.rate = traits.rate
        self._longest = airtime(traits.rate, traits.payload_limit)
        self._full = full
        self._free_at = 0.0
        self._heard: dict[Path, float] = {}

    @property
    def free_at(self) -> float:
        """When the next packet may leave: never, until the medium says that it has room again."""
        return inf if self._full() else self._free_at

    @property
    def busy_until(self) -> float:
        """When the last was on the air, as far as we know."""
        return max(self._free_at, next(reversed(self._heard.values()), 0.0))

    def took(self, datagrams: Iterable[Datagram], now: float) -> None:
        """These leave now."""
        size = sum(len(datagram.data) + ADDED for datagram in datagrams)
        if size:
            self._free_at = max(self._free_at, now) + airtime(self.rate, size)

    def heard(self, path: Path, size: int, now: float) -> None:
        """A station was on the air with so many bytes: what waited of ours goes later."""
        spent = airtime(self.rate, size + ADDED)
        if self._free_at > now - spent:
            self._free_at = min(self._free_at + spent, now + 2 * self._longest)
        self._heard.pop(path, None)
        self._heard[path] = now
        if len(self._heard) > CROWD_LIMIT:
            del self._heard[next(iter(self._heard))]

    def crowd(self, now: float) -> int:
        """How many stations were heard lately, at least one."""
        since = now - LATELY * self._longest
        return max(1, sum(at >= since for at in self._heard.values()))


class Airs:
    """The slow mediums of one peer."""

    def __init__(self) -> None:
        self.full: Callable[[Path], bool] = lambda path: False
        """Whether a packet waits outside that the path's medium didn't take."""
        self._airs: dict[Hashable, Air] = {}

    def __bool__(self) -> bool:
        return bool(self._airs)

    def of(self, path: Path, traits: Traits) -> Air | None:
        """The medium of a path, if it is slow."""
        if traits.rate is None or not is_slow(traits.rate):
            return None
        key = path.transport, traits.medium
        air = self._airs.get(key)
        if air is None or air.rate != traits.rate:
            air = self._airs[key] = Air(traits, lambda: self.full(path))
        return air
