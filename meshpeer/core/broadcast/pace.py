"""How fast broadcasts leave on one medium, and how much of them is lost.

Nobody acknowledges a broadcast, so no window stops it: it keeps to a share of the medium's rate,
which leaves the rest to the links, and to half of that, and again, when answers tell of much loss,
which on a medium of many is crowding as often as distance. Then it comes back slowly.

Where the rate isn't known, it begins near the lowest at which Wi-Fi sends to all, and doubles with each
large transfer of which nobody lacked anything: on a cable that is every one, on a radio hardly any.
"""

from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.link.path import Traits

SHARE: Final = 0.7
"""Of the medium's rate."""
CAREFUL_RATE: Final = 2_000_000.0
"""Bits a second at first where the rate isn't known."""
FASTER: Final = 64
"""Times that, at most."""
BURST: Final = 8
"""Packets that may leave at once."""
BURST_S: Final = 1.0
"""On a slow medium as many as go in this time, but one: what is urgent may come between."""
TOO_MUCH: Final = 0.4
"""A loss that is answered by going slower."""
SLOWEST: Final = 1 / 16
RECOVERY: Final = 1.25
FIRST_LOSS: Final = 0.05
"""What is expected before anything is known."""
WEIGHT: Final = 0.5
"""Of a transfer in what is expected of the next, if it has SYMBOLS; less, if fewer."""
SYMBOLS: Final = 100


class Pace:
    """One medium as its broadcasts see it."""

    def __init__(self, traits: Traits, now: float) -> None:
        self._full = SHARE * (traits.rate or CAREFUL_RATE) / 8
        self._packet = traits.payload_limit
        self._most = 1.0 if traits.rate else float(FASTER)
        self._part = 1.0
        self.loss = FIRST_LOSS
        """The loss to expect for a receiver in the middle."""
        self._bucket = self._new(now)

    def may_send(self, now: float) -> bool:
        """Use up the right to send one packet, if there is one."""
        return self._bucket.take(now, self._packet)

    def ready(self) -> float:
        """When some packets may be sent again."""
        return self._bucket.ready(max(self._packet, self._burst / 2))

    @property
    def packet_s(self) -> float:
        """Seconds from one packet to the next."""
        return self._packet / (self._full * self._part)

    def learn(self, losses: list[float], symbols: int, now: float) -> None:
        """A transfer of so many symbols has ended; these are the losses of those who lacked
        something after it."""
        large = min(1.0, symbols / SYMBOLS)
        if losses:
            self.loss += WEIGHT * large * (sum(losses) / len(losses) - self.loss)
        else:
            self.loss *= 0.95
        before = self._part
        if not losses and self._part >= 1:
            self._part = min(self._most, self._part * 2**large)
        elif losses and (self._part > 1 or self.loss > TOO_MUCH):
            self._part = max(SLOWEST, self._part / 2)
        else:
            self._part = min(1.0, self._part * RECOVERY)
        if self._part != before:
            self._bucket = self._new(now)

    def _new(self, now: float) -> Bucket:
        rate = self._full * self._part
        self._burst = max(self._packet, min(self._packet * BURST, rate * BURST_S))
        return Bucket(rate=rate, burst=self._burst, now=now)
