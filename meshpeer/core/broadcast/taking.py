"""One transfer as a receiver sees it: what came, and when to say what is missing.

No frame is acknowledged. Each symbol tells how many follow, and their pace tells when the last is
out; then whoever lacks some says how many, once. Receivers may not hear each other (and the
answers are sealed in links), so each waits a random moment more: the sender goes on at the first
answer, and who then hears that enough is still to come keeps silent until that end. One that then
hears nothing at all asks again, after half a second, a whole one, and so on.
"""

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from meshpeer.core.broadcast import symbol
from meshpeer.core.broadcast.code import Decoder
from meshpeer.core.broadcast.giving import LIMIT_EXTRA, LIMIT_FACTOR
from meshpeer.core.broadcast.sessions import Announced, Missing

JITTER_S: Final = 0.05
"""An answer waits at random for up to this long, or as long as JITTER_SYMBOLS take."""
JITTER_SYMBOLS: Final = 4
ASK_AGAIN_S: Final = 0.5
FIRST_S: Final = 2.0
"""Who hears nothing after an announcement asks after so long."""
QUIET_S: Final = 10.0
"""Without a symbol for so long a transfer is given up."""
QUIET_SYMBOLS: Final = 32
"""On a slow medium it is the time of so many: the others' announcements go before. Only the rate
declared here counts: else a sender that slowed down would be waited for ever longer."""
AGAIN_SYMBOLS: Final = 8
"""And a pause before asking again the time of these."""


class Taking:
    """A bundle that a neighbour broadcasts."""

    def __init__(
        self,
        announced: Announced,
        peer: bytes,
        number: int,
        rng: Callable[[int], bytes],
        now: float,
        pace: float = 0.0,
    ) -> None:
        """`pace`: seconds that a symbol takes by the rate that is declared here, if one is."""
        self.announced, self.peer, self.number = announced, peer, number
        self.since = now - announced.elapsed
        self._rng = rng
        self._cipher = ChaCha20Poly1305(announced.key)
        self._decoder = Decoder(announced.size, announced.symbol_size, announced.transfer)
        self._limit = LIMIT_FACTOR * self._decoder.count + LIMIT_EXTRA
        self._seen: set[int] = set()
        self._through = 0
        self._next = -1
        self._batch: tuple[int, float] | None = None
        self._came = now
        self._gap = pace
        self._patience = max(QUIET_S, QUIET_SYMBOLS * pace)
        self._asked = 1
        self._due = now + max(FIRST_S, AGAIN_SYMBOLS * pace)

    @property
    def complete(self) -> bool:
        """`wire` may be asked for."""
        return not self._decoder.missing

    def wire(self) -> bytes:
        """What came; whether it is the bundle its id tells."""
        return self._decoder.data()

    def receive(self, number: int, packet: bytes, now: float) -> bool:
        """Take a packet in; False if it isn't of this transfer, or came before."""
        if number in self._seen or number >= self._limit:
            return False
        opened = symbol.unseal(self._cipher, packet, number)
        if opened is None or len(opened.data) != self.announced.symbol_size:
            return False
        self._seen.add(number)
        if not self.complete:
            self._decoder.add(number, opened.data)
        self._came = now
        self._pace(number, now)
        through = number + 1 + opened.left
        if through > self._through:
            self._asked = 0
        self._through = min(max(self._through, through), self._limit)
        left = self._through - number - 1
        pause = self._gap * left if self._gap else ASK_AGAIN_S * (left > 0)
        self._due = now + pause + self._jitter()
        return True

    def answer(self, now: float) -> Missing | None:
        """What is to be said now, if anything."""
        if self._due > now:
            return None
        through = 0 if self._asked else self._through
        pause = max(ASK_AGAIN_S, AGAIN_SYMBOLS * self._gap)
        self._due = now + pause * 2**self._asked + self._jitter()
        self._asked = min(self._asked + 1, 4)
        return Missing(self.announced.transfer, self._decoder.missing, through)

    def given_up(self, now: float) -> bool:
        """Whether nothing came for too long."""
        return now >= self._quiet_at()

    def next_due(self) -> float:
        """When to ask again what is to be said, or whether to give up."""
        return min(self._due, self._quiet_at())

    def _pace(self, number: int, now: float) -> None:
        """Learn how long a symbol takes: packets come in batches, so from one to the next."""
        if number <= self._next:
            return
        if self._batch is None:
            self._batch = number, now
        first, began = self._batch
        if now > began:
            gap = (now - began) / (number - first)
            self._gap = gap if not self._gap else self._gap + (gap - self._gap) / 4
            self._batch = number, now
        self._next = number

    def _jitter(self) -> float:
        most = max(JITTER_S, JITTER_SYMBOLS * self._gap)
        return most * self._rng(1)[0] / 256

    def _quiet_at(self) -> float:
        return self._came + self._patience
