"""Proofs that the newest blocks and the older ones held are of one log, before all between has come.

The newest blocks come first, so for a while, on a slow link or with a history that nobody near
holds whole for long, there is a hole between them and what was held before. A neighbour that has
the log whole can show in O(log n) headers (JOIN, JOINED) that both sides belong together: each
header names the next by its skip or previous link, from a block held above the hole to one held
below it. So who follows is sure at once that nothing was rewritten meanwhile, and how many blocks
lie between. Until that, or until the hole is filled, the log counts as not joined: that is shown,
and hides nothing.

Who asks has one JOIN under way on a link, before which no other answer is taken, and asks nobody
else for the same log meanwhile. Who is asked answers those only who are told of that person, from
durable blocks, at a rate. A header on the way is held against what is known of the log like that
of any block: what contradicts is the proof of a fork, since it is signed. A chain of headers that
is broken, or not signed, proves nothing, and is the neighbour's fault alone.
"""

from collections.abc import Callable
from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.chains.asking import PATIENCE_S, Asking, Plan
from meshpeer.core.chains.book import Book
from meshpeer.core.chains.intake import Intake
from meshpeer.core.chains.log import LogKey
from meshpeer.core.chains.messages import Join, Joined
from meshpeer.core.chains.spans import Spans
from meshpeer.core.formats.block import Header, check_path, path
from meshpeer.errors import RemoteProtocolError

JOINS_BURST: Final = 64
JOINS_PER_S: Final = 2.0
"""Proofs that a neighbour is given: each looks some dozens of headers up. We ask half as often."""
PROOF_COST: Final = 8_192
"""Bytes of blocks for which a header of a proof counts where strangers are given them at a rate: to
look one up costs as much as to send so many."""


class Joining:
    """The proofs that one neighbour is asked for."""

    def __init__(
        self,
        plan: Plan,
        intake: Intake,
        asking: Asking,
        say: Callable[[Join], None],
        now: float,
    ) -> None:
        self._plan, self._intake, self._asking, self._say = plan, intake, asking, say
        self._rate = Bucket(rate=JOINS_PER_S / 2, burst=JOINS_BURST // 2, now=now)
        self._due: dict[LogKey, None] = {}
        self._asked: Join | None = None
        self._vain: dict[LogKey, None] = {}
        """Logs of which the neighbour could not prove what it was asked for."""

    def look(self, key: LogKey) -> None:
        """Something came of this log, or is offered: there may be a hole in it."""
        log = self._plan.book.logs.get(key)
        if log is not None and log.unjoined and key not in self._vain:
            self._due[key] = None

    def pump(self, now: float) -> None:
        """Ask for a proof, if none is under way and the rate allows it."""
        while self._due and self._asked is None:
            key = next(iter(self._due))
            join = self._wish(key, now)
            if join is not None and not self._rate.take(now):
                return
            del self._due[key]
            if join is not None:
                self._asked = join
                self._plan.joins[key] = now
                self._say(join)

    def next_wakeup(self) -> float | None:
        """When `pump` may ask for what waits; None if nothing does."""
        return self._rate.ready() if self._due and self._asked is None else None

    def _wish(self, key: LogKey, now: float) -> Join | None:
        """What to ask for: both ends, and all on the way, are offered here, and asked nowhere."""
        log, offered = self._plan.book.logs.get(key), self._asking.offered(key)
        asked = self._plan.joins.get(key)
        if log is None or offered is None:
            return None
        if asked is not None and now < asked + PATIENCE_S:
            return None
        steps = log.bridge()
        if not steps or not all(step in offered for step in steps):
            return None
        return Join(*key, steps[-1], steps[0])

    def take(self, joined: Joined, now: float) -> None:
        """The neighbour answers; RemoteProtocolError if it wasn't asked, or proves nothing."""
        join, key = self._asked, (joined.device, joined.log)
        if join is None or join != joined[:4]:
            raise RemoteProtocolError("joined", "that was not asked for")
        self._release()
        self._vain[key] = None
        if not joined.headers:
            return
        check_path(joined.headers)
        log = self._plan.book.logs.get(key)
        if log is None:
            return
        if log.person != joined.headers[0].person:
            raise RemoteProtocolError("joined", "headers of another person")
        if self._intake.joined(log, joined.headers, now):
            del self._vain[key]
            self.look(key)

    def again(self) -> None:
        """What another neighbour was to prove may be asked for here."""
        for key in self._asking.keys:
            self.look(key)

    def close(self) -> None:
        """The link is down."""
        self._due.clear()
        self._release()

    def _release(self) -> None:
        if self._asked is not None:
            self._plan.joins.pop((self._asked.device, self._asked.log), None)
        self._asked = None


def headers_for(book: Book, join: Join) -> tuple[Header, ...]:
    """The headers that prove it, from durable blocks; none if one of them is not held."""
    log = book.logs.get((join.device, join.log))
    steps, told = path(join.last, join.first), Spans(log.told.spans if log else ())
    if log is None or not all(step in told for step in steps):
        return ()
    headers = [book.header_of(log, step) for step in steps]
    found = tuple(header for header in headers if header is not None)
    return found if len(found) == len(steps) else ()
