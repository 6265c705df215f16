"""Which blocks are asked of which neighbour, and in what order.

First the newest 64 of every log, so that screens fill; then what lacks, from the top down in
longer runs, since a block that comes after the one that links to it is checked by that link and
needs no look-up. What one neighbour was asked for is asked of no other, until it has it not,
takes too long, or goes.

By a slow link only a few of the newest are asked for, one log after the other: a block of 300
bytes takes ten seconds at 300 bit/s.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshpeer.core.chains.authors import Authors
from meshpeer.core.chains.book import Book
from meshpeer.core.chains.log import NOT_SAID, Log, LogKey
from meshpeer.core.chains.messages import Blocks, Get, Head
from meshpeer.core.chains.spans import MAX_SPANS, Spans, top_gap
from meshpeer.core.formats.block import MAX_SEQUENCE
from meshpeer.core.link.slow import any_rate, is_slow, patience

SCREEN: Final = 64
"""Blocks asked for first."""
SLOW_SCREEN: Final = 8
"""By a slow link, and no history: somebody else will bring it."""
SLOW_PACKET: Final = 500
RUN: Final = 512
"""Blocks asked for at once after that."""
ASKS: Final = 32
"""GETs that one neighbour has to answer at a time."""
UNDERWAY: Final = 2_048
"""Blocks that one neighbour is asked for at a time."""
OFFERS: Final = 4_096
"""Logs of a neighbour of which something lacks here; what is above is asked for later."""
PATIENCE_S: Final = 20.0
"""A neighbour from which nothing comes for so long is not waited for."""
LONGEST_S: Final = 120.0
"""Whatever takes longer is asked of others too."""


@dataclass(slots=True)
class Offer:
    """What a neighbour said that it holds of a log."""

    person: bytes
    spans: Spans
    lacks: Spans = field(default_factory=Spans)
    """What it was asked for in vain."""


@dataclass(slots=True, eq=False)
class Ask:
    """A GET under way."""

    key: LogKey
    first: int
    last: int
    since: float


class Plan:
    """What all neighbours together are asked for."""

    def __init__(self, book: Book, authors: Authors) -> None:
        self.book, self.authors = book, authors
        self.open = True
        """The disk keeps up, so more may be asked for."""
        self.joins: dict[LogKey, float] = {}
        """Logs of which a proof is asked for (joining.py), and since when."""
        self._asks: dict[LogKey, list[Ask]] = {}

    def asked(self, key: LogKey, own: Collection["Ask"], now: float) -> Spans:
        """What of a log is under way: by an ask of one's own, or by one not too old."""
        spans = Spans()
        for ask in self._asks.get(key, ()):
            if ask in own or now < ask.since + LONGEST_S:
                spans.add(ask.first, ask.last)
        return spans

    def next_late(
        self, keys: Iterable[LogKey], own: Collection["Ask"], after: float
    ) -> float | None:
        """When next one of the others takes too long to bring something of these logs."""
        late = (
            ask.since + LONGEST_S
            for key in keys
            for ask in self._asks.get(key, ())
            if ask not in own
        )
        return min((time for time in late if time > after), default=None)

    def ask(self, ask: Ask) -> None:
        """A GET was sent."""
        self._asks.setdefault(ask.key, []).append(ask)

    def release(self, ask: Ask) -> None:
        """It was answered, or is not waited for any more."""
        asks = self._asks[ask.key]
        asks.remove(ask)
        if not asks:
            del self._asks[ask.key]


class Asking:
    """What one neighbour offers and is asked for."""

    def __init__(
        self,
        plan: Plan,
        say: Callable[[Get], None],
        now: float,
        rate: Callable[[], float | None] = any_rate,
    ) -> None:
        self._plan, self._say, self._rate = plan, say, rate
        self._offers: dict[LogKey, Offer] = {}
        self._screens: dict[LogKey, None] = {}
        self._history: dict[LogKey, None] = {}
        self._waiting: set[LogKey] = set()
        self._probes: deque[Get] = deque(maxlen=SCREEN)
        self._asks: list[Ask] = []
        self._heard = self._looked = now
        self.overflow = False
        """Offers were left out for want of room."""

    @property
    def idle(self) -> bool:
        """Nothing is asked for, and nothing left to ask."""
        return not (self._asks or self._offers or self._probes)

    @property
    def keys(self) -> list[LogKey]:
        """The logs of which something lacks that the neighbour offers."""
        return list(self._offers)

    def offered(self, key: LogKey) -> Spans | None:
        """What the neighbour offers of a log, if some of that lacks."""
        offer = self._offers.get(key)
        return offer.spans if offer else None

    def offer(self, person: bytes, heads: Sequence[Head], now: float) -> None:
        """The neighbour says what it holds of one log."""
        top = max(heads, key=lambda head: head.height)
        key = top.device, top.log
        log = self._plan.book.logs.get(key)
        if log is not None:
            if log.person != person:
                return
            self._compare(log, top)
        offer = Offer(person, self._takable(person, heads, log))
        if not offer.spans or not self._lacks(log, offer):
            self._forget(key)
            return
        if key not in self._offers and len(self._offers) >= OFFERS:
            self.overflow = True
            return
        self._offers[key] = offer
        self._waiting.discard(key)
        if offer.spans.top > (log.height if log else 0):
            self._screens[key] = None
        else:
            self._history[key] = None

    def _compare(self, log: Log, head: Head) -> None:
        """If the neighbour has another block at this height, have it: it proves a fork."""
        if head.head == NOT_SAID or log.fork_at is not None or head.height not in log.held:
            return
        if self._plan.book.id_of(log, head.height) not in (None, head.head):
            self._probes.append(Get(head.device, head.log, head.height, head.height))

    def _takable(self, person: bytes, heads: Sequence[Head], log: Log | None) -> Spans:
        """Of what the neighbour has, that which would be taken."""
        spans = Spans()
        standing = self._plan.authors.standing(person)
        cut = standing.cut(heads[0].device, heads[0].log) if standing else None
        if cut is None:
            return spans
        for head in heads[:MAX_SPANS]:
            spans.add(head.first, head.height)
        ceiling = log.ceiling if log else MAX_SEQUENCE
        spans.keep(log.floor if log else 1, min(cut.sequence, ceiling))
        return spans

    def _lacks(self, log: Log | None, offer: Offer) -> bool:
        """Whether something that the neighbour may have is not held here."""
        sets = (offer.lacks,) if log is None else (offer.lacks, log.held)
        if self._top_gap(offer, 1, log.ceiling if log else MAX_SEQUENCE, sets):
            return True
        return log is not None and any(self._bare(log, offer, ()))

    def _top_gap(
        self, offer: Offer, low: int, high: int, sets: Sequence[Spans]
    ) -> tuple[int, int] | None:
        """The newest of low..high that the neighbour may have and that is in none of the sets."""
        for first, last in reversed(list(offer.spans)):
            gap = top_gap(max(first, low), min(last, high), RUN, sets)
            if gap:
                return gap
        return None

    def _bare(
        self, log: Log, offer: Offer, asked: Sequence[Spans]
    ) -> list[tuple[int, int]]:
        """Blocks held without a body that the neighbour may have whole, the newest first."""
        found = (
            self._top_gap(offer, first, last, (offer.lacks, *asked))
            for first, last in reversed(list(log.bare))
        )
        return [gap for gap in found if gap]

    def _forget(self, key: LogKey) -> None:
        self._offers.pop(key, None)
        self._waiting.discard(key)
        self._screens.pop(key, None)
        self._history.pop(key, None)

    # -- asking

    def again(self) -> None:
        """What others were to bring may be asked for here."""
        self._history.update(dict.fromkeys(self._waiting))
        self._waiting.clear()

    def pump(self, now: float) -> None:
        """Ask for as much as may be under way."""
        while self._plan.open and self._room:
            get = self._next(now)
            if get is None:
                return
            if not self._asks:
                self._heard = now
            ask = Ask((get.device, get.log), get.first, get.last, now)
            self._asks.append(ask)
            self._plan.ask(ask)
            self._say(get)

    @property
    def _slow(self) -> bool:
        return is_slow(self._rate())

    @property
    def _patience(self) -> float:
        """Seconds for which nothing may come from a neighbour that was asked."""
        return patience(PATIENCE_S, self._rate(), SLOW_PACKET)

    @property
    def _room(self) -> bool:
        underway = sum(ask.last - ask.first + 1 for ask in self._asks)
        return len(self._asks) < (1 if self._slow else ASKS) and underway < UNDERWAY

    def _next(self, now: float) -> Get | None:
        if self._probes:
            return self._probes.popleft()
        while self._screens:
            key = _first(self._screens)
            self._history[key] = None
            gap = self._gap(key, now, screen=True)
            if gap:
                return Get(*key, *gap)
        for _ in range(0 if self._slow else len(self._history)):
            key = _first(self._history)
            gap = self._gap(key, now)
            if gap:
                self._history[key] = None
                return Get(*key, *gap)
            offer = self._offers.get(key)
            if offer and self._lacks(self._plan.book.logs.get(key), offer):
                self._waiting.add(key)
            else:
                self._forget(key)
        return None

    def _gap(
        self, key: LogKey, now: float, *, screen: bool = False
    ) -> tuple[int, int] | None:
        """The newest blocks that lack, are not asked for, and that this neighbour may have."""
        offer = self._offers.get(key)
        if offer is None:
            return None
        log = self._plan.book.logs.get(key)
        sets = [self._plan.asked(key, self._asks, now), offer.lacks]
        low, high = 1, MAX_SEQUENCE
        if log is not None:
            sets.append(log.held)
            low, high = log.floor, log.ceiling
        if screen:
            screenful = SLOW_SCREEN if self._slow else SCREEN
            low = max(low, log.height + 1 if log else 1, offer.spans.top - screenful + 1)
        gap = self._top_gap(offer, low, high, sets)
        if gap or screen or log is None:
            return gap
        bare = self._bare(log, offer, sets[:1])
        return bare[0] if bare else None

    # -- what comes of it

    def heard(self, now: float) -> None:
        """Something came from the neighbour, or it was not its fault that nothing did."""
        self._heard = now

    def answered(self, blocks: Blocks) -> None:
        """A part of an answer came, and was taken as far as it could be."""
        key = blocks.device, blocks.log
        offer, log = self._offers.get(key), self._plan.book.logs.get(key)
        if offer is not None:
            self._note_lacks(offer, log, blocks.first, blocks.last)
        for ask in self._asks:
            if ask.key == key and ask.first <= blocks.last <= ask.last:
                ask.last = blocks.first - 1
                if ask.last < ask.first:
                    self._release(ask)
                break

    def _release(self, ask: Ask) -> None:
        self._asks.remove(ask)
        self._plan.release(ask)
        if ask.key in self._waiting:
            self._waiting.remove(ask.key)
            self._history[ask.key] = None

    def _note_lacks(self, offer: Offer, log: Log | None, first: int, last: int) -> None:
        """Of what the neighbour answered, this is not held now, or has no body."""
        if log is None:
            offer.lacks.add(first, last)
        else:
            while gap := top_gap(first, last, RUN, (log.held, offer.lacks)):
                offer.lacks.add(*gap)
                last = gap[0] - 1
            for low, high in log.bare:
                if low <= last and high >= first:
                    offer.lacks.add(max(low, first), min(high, last))
        if len(offer.lacks) > MAX_SPANS:
            offer.lacks = Spans([(offer.lacks.bottom, offer.lacks.top)])

    def check(self, now: float) -> bool:
        """Give up on a neighbour that brings nothing; True if others may be asked now."""
        late = self._late
        self._looked = now
        if late is not None and now >= late:
            self.again()
        if not self._asks or now < self._heard + self._patience:
            return False
        for ask in list(self._asks):
            offer = self._offers.get(ask.key)
            if offer:
                offer.lacks.add(ask.first, ask.last)
            self._release(ask)
        return True

    @property
    def _late(self) -> float | None:
        if not self._waiting:
            return None
        return self._plan.next_late(self._waiting, self._asks, self._looked)

    def next_check(self) -> float | None:
        """When `check` has something to do."""
        if not (self._asks or self._waiting):
            return None
        times = [self._late, self._heard + self._patience if self._asks else None]
        return min((time for time in times if time is not None), default=None)

    def close(self) -> None:
        """The link is down."""
        for ask in list(self._asks):
            self._release(ask)


def _first(keys: dict[LogKey, None]) -> LogKey:
    """Take out the key that waits longest."""
    key = next(iter(keys))
    del keys[key]
    return key
