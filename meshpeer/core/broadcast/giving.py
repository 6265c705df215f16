"""One transfer as its sender sees it: how many symbols are to go out, and for whom.

First as many go out as the loss seen before asks for: so many that about half of the receivers
are done. The others say how many symbols they lack and up to which number they have counted; from
that follows the last number that they need, and the largest of these is sent to. So answers that
cross symbols on their way are not paid twice. No spare is added for bad luck: who has it asks
once more, for less than one symbol costs (with a deviation to spare each time 1.36 times the
bundle's bytes were sent in all, without 1.35).

A receiver that asks for ever costs the others little: symbols stop at twice the bundle and after
some rounds, and who still lacks some gets the bundle over its link.
"""

from math import ceil
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from meshpeer.core.broadcast import symbol
from meshpeer.core.broadcast.code import Encoder
from meshpeer.core.broadcast.sessions import Announced, Missing, Rank
from meshpeer.core.link.path import Path

SPARE: Final = 1.6
"""Symbols beyond K that random coefficients need on average."""
LIMIT_FACTOR: Final = 2
LIMIT_EXTRA: Final = 32
"""At most twice the source symbols are sent, and so many: good for a loss of 45 %."""
MAX_ROUNDS: Final = 16
"""Times that more is sent after all was out; nearly always it is one or two."""
MIN_LOSS: Final = 0.02
MAX_LOSS: Final = 0.5


class Giving:
    """A bundle on its way to several neighbours at once."""

    def __init__(
        self,
        announced: Announced,
        wire: bytes,
        path: Path,
        rank: Rank,
        loss: float,
        now: float,
    ) -> None:
        self.announced, self.path, self.rank = announced, path, rank
        self.id, self.transfer = announced.id, announced.transfer
        self.stopped = False
        """The bundle isn't to be sent any more."""
        self._begun, self._loss = now, loss
        self.losses: dict[bytes, float] = {}
        """What each receiver that lacked something had lost when it said so first."""
        self._encoder = Encoder(wire, announced.symbol_size, announced.transfer)
        self._cipher = ChaCha20Poly1305(announced.key)
        self._joined: dict[bytes, int] = {}
        self.next = 0
        """The number of the next symbol, so also how many were sent."""
        self.limit = min(LIMIT_FACTOR * self.count + LIMIT_EXTRA, symbol.MAX_NUMBER)
        self.until = 0
        self._reach(0, self.count, loss)
        self.touched = now
        """When something last was sent."""
        self._rounds = 0

    @property
    def count(self) -> int:
        """The source symbols, K."""
        return self._encoder.count

    @property
    def receivers(self) -> list[bytes]:
        """Who has not yet said what became of it."""
        return list(self._joined)

    @property
    def first_pass(self) -> bool:
        """Who joins now lacks less than the whole."""
        return self.next < self.count

    @property
    def sending(self) -> bool:
        """There are symbols to send."""
        return self.next < self.until and bool(self._joined)

    def told(self, now: float) -> Announced:
        """What one who joins now has to know."""
        return self.announced._replace(elapsed=ceil(now - self._begun))

    def join(self, peer: bytes) -> None:
        """One more takes part."""
        self._joined[peer] = self.next

    def leave(self, peer: bytes) -> None:
        """One is done, or gone."""
        self._joined.pop(peer, None)

    def packet(self, now: float) -> bytes:
        """The next symbol, sealed."""
        number, self.next, self.touched = self.next, self.next + 1, now
        left = self.until - self.next
        data = self._encoder.symbol(number)
        return symbol.pack(self._cipher, self.transfer, number, left, data)

    def lacks(self, peer: bytes, answer: Missing) -> bool:
        """A receiver's answer; False if it can't be true, or comes too often."""
        _, missing, through = answer
        joined = self._joined.get(peer)
        if joined is None or not 1 <= missing <= self.count or through > self.until:
            return False
        if not through and self.sending:
            return True  # it will hear these
        if not self.sending and self._rounds >= MAX_ROUNDS:
            return False
        through = min(through, self.next) if through else self.next
        heard, sent = self.count - missing, through - joined
        loss = 1 - heard / sent if 0 < heard <= sent else self._loss
        self.losses.setdefault(peer, loss)
        was_out = not self.sending
        self._reach(through, missing, loss)
        self._rounds += was_out and self.sending
        return True

    def _reach(self, through: int, missing: int, loss: float) -> None:
        """Send so far that so many more arrive after `through`, at this loss."""
        loss = min(max(loss, MIN_LOSS), MAX_LOSS)
        wanted = ceil((missing + SPARE) / (1 - loss))
        self.until = max(self.until, min(through + wanted, self.limit))
