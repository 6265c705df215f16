"""When to beacon, whom to believe and whom to answer: the manners of a LAN, without its sockets.

A peer that starts, or gets an address, beacons three times within a second, for one may be
lost; then hardly ever, since whoever comes later announces itself and is answered. So a quiet
LAN stays quiet: one round of three small packets in two minutes.

An answer goes to the newcomer alone, after a short random pause. Thirty peers answer with
thirty packets, and a shout from thousands of forged addresses meets the limits below. Who is
about to beacon anyway keeps silent: that beacon says the same.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar

from meshpeer.core.bucket import Bucket
from meshpeer.core.formats.beacon import Beacon

Place = TypeVar("Place", bound=Hashable)
"""From where a beacon is sent: an address of a LAN, a medium without addresses."""

BURST: Final = (0.0, 0.2, 1.0)
"""Seconds after an address came."""
ROUND: Final = 120.0
"""Seconds between rounds of all addresses, give or take a tenth."""
ANSWER_PAUSE: Final = 0.02
"""Longest pause before an answer, in seconds; its length is random."""
SPARED: Final = 0.25
"""An answer is spared if a beacon is due within so many seconds."""
REPEAT: Final = 1.0
"""Seconds for which a beacon heard again by another way is not told again."""
HOST_RATE, HOST_BURST = 20.0, 100.0
"""Beacons a second taken from one host, and at once: ten peers may start on it together."""
NEWS_RATE, NEWS_BURST = 50.0, 100.0
"""Peers told of in a second, and at once, whatever the LAN says."""
ANSWER_RATE, ANSWER_BURST = 10.0, 50.0
"""Answers sent in a second, and at once; whoever gets none hears the next round."""
REMEMBERED: Final = 1_024
"""Hosts, and peers, kept in mind; the one unheard for longest goes first."""


class Rounds(Generic[Place]):
    """Says from which addresses a beacon is due."""

    def __init__(self, *, now: float, rng: Callable[[int], bytes]) -> None:
        self._rng = rng
        self._bursts: dict[Place, list[float]] = {}
        self._round = now + self._interval()

    def set_addresses(self, addresses: Iterable[Place], now: float) -> None:
        """These can be sent from now; each new one gets its burst."""
        burst = [now + delay for delay in BURST]
        self._bursts = {each: self._bursts.get(each, burst.copy()) for each in addresses}

    def speaks_soon(self, address: Place, now: float) -> bool:
        """Whether this address is about to beacon anyway, so that an answer can be spared."""
        times = self._bursts.get(address) or [math.inf]
        return times[0] - now <= SPARED

    def due(self, now: float) -> list[Place]:
        """Take the addresses from which to beacon now."""
        everywhere = now >= self._round
        if everywhere:
            self._round = now + self._interval()
        taken = []
        for address, times in self._bursts.items():
            late = [time for time in times if time <= now]
            del times[: len(late)]
            if late or everywhere:
                taken.append(address)
        return taken

    def next_wakeup(self) -> float | None:
        """When something is due, at the earliest; None while there is no address."""
        times = [burst[0] for burst in self._bursts.values() if burst]
        return min([self._round, *times]) if self._bursts else None

    def _interval(self) -> float:
        return ROUND * (0.9 + 0.2 * self._rng(1)[0] / 255)


class Heard(NamedTuple):
    """What to do about a beacon."""

    tell: bool
    answer: bool


NOTHING: Final = Heard(tell=False, answer=False)


class Hearing:
    """Decides about each beacon that was heard."""

    def __init__(self, *, now: float) -> None:
        self._hosts: OrderedDict[str, Bucket] = OrderedDict()
        self._peers: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._news = Bucket(rate=NEWS_RATE, burst=NEWS_BURST, now=now)
        self._answers = Bucket(rate=ANSWER_RATE, burst=ANSWER_BURST, now=now)

    def admits(self, host: str, now: float) -> bool:
        """Whether this host may be listened to at all; asked before its beacon is read."""
        bucket = self._hosts.get(host)
        if bucket is None:
            bucket = self._hosts[host] = Bucket(rate=HOST_RATE, burst=HOST_BURST, now=now)
            trim(self._hosts)
        self._hosts.move_to_end(host)
        return bucket.take(now)

    def heard(self, beacon: Beacon, host: str, now: float) -> Heard:
        """Take one beacon of somebody else's."""
        key = host, beacon.nonce
        told = self._peers.get(key)
        if told is not None and now - told < REPEAT:
            return NOTHING
        if not self._news.take(now):
            return NOTHING
        self._peers[key] = now
        self._peers.move_to_end(key)
        trim(self._peers)
        answer = told is None and not beacon.answer and self._answers.take(now)
        return Heard(tell=True, answer=answer)


def trim(table: OrderedDict[str, Bucket] | OrderedDict[tuple[str, bytes], float]) -> None:
    """Forget what was used longest ago, over the limit."""
    while len(table) > REMEMBERED:
        table.popitem(last=False)
