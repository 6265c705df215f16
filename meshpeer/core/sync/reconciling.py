"""How two neighbours find out what differs: first the values, then the bundles.

The link's initiator asks; the other side answers from its sets as they are and keeps no state.
Done once at the start, again when the plans overflowed, and every five minutes in which anything
moved, so that what was left out or went wrong elsewhere is found; by a slow link in small messages,
and so seldom that a round takes 1/400 of its time. To answer a byte costs about a
microsecond, so both sides count what is asked: a responder refuses more, an initiator keeps below.
"""

from collections.abc import Callable
from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.link.slow import airtime, any_rate, is_slow
from meshpeer.core.sync import negentropy
from meshpeer.core.sync.messages import Message, Recon, Set
from meshpeer.core.sync.negentropy import Reply
from meshpeer.core.sync.queue import Queue
from meshpeer.errors import RemoteProtocolError

FRAME: Final = 32 * 1024
"""Bytes of one message."""
MAX_ROUNDS: Final = 128
"""Messages of an initiator for one set, from start to end."""
BUDGET_BURST: Final = 1 << 20
BUDGET_PER_S: Final = 8_192
"""Bytes that may be asked in a second."""
ROUND_COST: Final = 512
"""Bytes that each message counts for beside its own."""
INITIATORS_SHARE: Final = 0.75
"""Of the budget, for the clocks of the two sides differ by what is under way."""
RECHECK_S: Final = 300.0
SLOW_FRAME: Final = 1_024
"""Bytes of one message on a link that takes seconds for them: what is urgent may come between."""
QUIET_SHARE: Final = 400
"""On such a link one round of questions follows after so many times what it takes."""
ROUND: Final = 100
"""Bytes of a round in which nothing differs."""


class Reconciling:
    """One side of the reconciliation over one link."""

    def __init__(
        self,
        queue: Queue,
        say: Callable[[Message], None],
        *,
        initiator: bool,
        now: float,
        rate: Callable[[], float | None] = any_rate,
    ) -> None:
        self._sets = {Set.VALUES: queue.values.order, Set.BUNDLES: queue.order}
        self._say = say
        self._initiator = initiator
        self._rate = rate
        self._put_off = False
        self._asking: Set | None = None
        self._rounds = 0
        share = INITIATORS_SHARE if initiator else 1.0
        self._budget = Bucket(
            rate=share * BUDGET_PER_S, burst=share * BUDGET_BURST, now=now
        )
        self._started = now
        self.moved = False
        """Something was sent or came since the last start."""

    def start(self, now: float) -> None:
        """Ask from the beginning; a responder waits to be asked."""
        if self._initiator:
            self._started = now
            self.moved = self._put_off = False
            self._ask(Set.VALUES, now)

    def next_check(self) -> float | None:
        """When to start again."""
        if not (self._initiator and self.moved):
            return None
        return self._started + max(RECHECK_S, QUIET_SHARE * airtime(self._rate(), ROUND))

    def check(self, now: float) -> None:
        """Start again if it is time."""
        due = self.next_check()
        if due is None or due > now:
            return
        if is_slow(self._rate()) and not self._put_off:
            self._put_off, self._started = True, now  # more may move: not at once after it
        else:
            self.start(now)

    def answer(self, recon: Recon, now: float) -> None:
        """The initiator asked; RemoteProtocolError if it has no right to, or asks too much."""
        if self._initiator:
            raise RemoteProtocolError("recon", "the link's responder asks")
        if not self._budget.take(now, len(recon.message) + ROUND_COST):
            raise RemoteProtocolError("recon", f"more than {BUDGET_BURST} bytes at once")
        items = self._sets[recon.set]
        self._say(Recon(recon.set, negentropy.respond(items, recon.message, self._frame)))

    def resume(self, recon: Recon) -> Reply:
        """An answer to what we asked: what differs. Call `go_on` when that is dealt with."""
        if recon.set is not self._asking:
            raise RemoteProtocolError("recon", f"an answer for {recon.set.name}, not asked")
        return negentropy.resume(self._sets[recon.set], recon.message, self._frame)

    @property
    def _frame(self) -> int:
        return SLOW_FRAME if is_slow(self._rate()) else FRAME

    def go_on(self, recon: Recon, reply: Reply, now: float) -> None:
        """Ask the next question, or begin with the next set."""
        self._rounds += 1
        if not reply.finished and self._rounds < MAX_ROUNDS:
            self._question(recon.set, reply.message, now)
        elif recon.set is Set.VALUES:
            self._ask(Set.BUNDLES, now)
        else:
            self._asking = None

    def _ask(self, which: Set, now: float) -> None:
        self._rounds = 0
        self._question(which, negentropy.initiate(self._sets[which]), now)

    def _question(self, which: Set, message: bytes, now: float) -> None:
        if self._budget.take(now, len(message) + ROUND_COST):
            self._asking = which
            self._say(Recon(which, message))
        else:
            self._asking = None
            self.moved = True
