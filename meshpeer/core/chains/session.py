"""What two neighbours say of chains over one link, from its first byte to its end.

The side that made the link says whose chains it wants (FOLLOWS), by hashes that only who knows the
person can read, with a digest of what it holds. The other names, in the same way, whom of these it
wants too: of all others neither could tell the other anything, and most meetings are with people
with whom one shares nobody (both lists were a third of all bytes on a recorded conference). Where
the digests differ the other says what it has (HEADS), again with each change, and the wanting side
asks (GET). Nothing is sent that wasn't asked for, but proofs of forks.

This is the one place where malformed input from a neighbour is caught: it is counted, and when it
happens again and again, or where the next message starts can't be known, this link is closed, and
no other.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, Protocol

from meshpeer.core.bucket import Bucket
from meshpeer.core.chains.asking import Asking, Plan
from meshpeer.core.chains.authors import Authors
from meshpeer.core.chains.book import Book
from meshpeer.core.chains.following import Following
from meshpeer.core.chains.intake import Intake
from meshpeer.core.chains.interest import Interest
from meshpeer.core.chains.joining import (
    JOINS_BURST,
    JOINS_PER_S,
    PROOF_COST,
    Joining,
    headers_for,
)
from meshpeer.core.chains.log import Log
from meshpeer.core.chains.messages import (
    Answer,
    Blocks,
    Follows,
    Get,
    Heads,
    Join,
    Joined,
    Message,
    Proof,
    Query,
    pack,
    unpack,
)
from meshpeer.core.chains.questions import (
    OWN_BURST,
    OWN_PER_S,
    PASSED_BURST,
    PASSED_PER_S,
    QUERIES_BURST,
    QUERIES_PER_S,
    Questions,
)
from meshpeer.core.chains.serve_rate import ServeRate
from meshpeer.core.chains.serving import Serving
from meshpeer.core.chains.telling import Telling
from meshpeer.core.link.streams import LOW_WATER
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.link_like import LinkLike
from meshpeer.core.sync.messages import Frames
from meshpeer.errors import RemoteProtocolError

STREAM: Final = 4
CHUNK: Final = 64 << 10
"""Bytes read at a time, so that other links get their turn."""
STRIKES: Final = 8
"""Malformed messages after which the link is closed."""
UNREAD_LIMIT: Final = 4 << 20
"""Bytes that may wait for a neighbour that reads nothing."""
CARDS_BURST: Final = 2_048
CARDS_PER_S: Final = 10.0
"""Cards read from a neighbour: each costs a signature."""
PROOFS_BURST: Final = 64
PROOFS_PER_S: Final = 1.0
LOOK_AGAIN_S: Final = 1.0
"""How long after the link was found full it is looked at again, should it not say so itself."""


class Shared(Protocol):
    """What all sessions of a peer share."""

    book: Book
    authors: Authors
    interest: Interest
    intake: Intake
    plan: Plan
    questions: Questions
    serve_rate: ServeRate

    def read(self, session: "Session", get: Get) -> None: ...
    def pump_others(self, session: "Session", now: float) -> None: ...
    def settled(self, session: "Session", now: float) -> None: ...


class Session:
    """The protocol over one link, which is up when this is made."""

    def __init__(
        self, shared: Shared, link: LinkLike, account: Account, now: float
    ) -> None:
        self.peer = link.peer_id
        self.link = link
        self._shared = shared
        self._account = account
        self._up = True
        self._frames = Frames()
        self._said: list[bytes] = []
        self._said_bytes = 0
        self._strikes = 0
        self._behind = False
        self._card_rate = Bucket(rate=CARDS_PER_S, burst=CARDS_BURST, now=now)
        self._proof_rate = Bucket(rate=PROOFS_PER_S, burst=PROOFS_BURST, now=now)
        self._join_rate = Bucket(rate=JOINS_PER_S, burst=JOINS_BURST, now=now)
        self._query_rate = Bucket(rate=QUERIES_PER_S, burst=QUERIES_BURST, now=now)
        self._own_questions = Bucket(rate=OWN_PER_S, burst=OWN_BURST, now=now)
        self._passed_questions = Bucket(rate=PASSED_PER_S, burst=PASSED_BURST, now=now)
        self.following = Following(
            book=shared.book,
            authors=shared.authors,
            interest=shared.interest,
            link=link,
            say=self.say,
            now=now,
        )
        self._telling = Telling(shared.book, shared.authors, self.say)
        self._asking = Asking(shared.plan, self.say, now, rate=lambda: link.rate)
        self._joining = Joining(shared.plan, shared.intake, self._asking, self.say, now)
        self._serving = Serving(
            shared.book,
            self._put,
            self._unread,
            lambda get: shared.read(self, get),
            account,
            shared.serve_rate,
            lambda: link.rate,
        )
        self._held_up: float | None = None

    # -- what the peer does

    def start(self, now: float) -> None:
        """Say whose chains are wanted, if the link was made from here."""
        self.following.start(now)
        self.flush()

    def want(self, persons: Iterable[bytes], now: float) -> None:
        """More persons are wanted."""
        self.following.more(persons)
        self.go_on(now)

    def readable(self, now: float) -> None:
        """Bytes came, or may be read again: a part of them, for others wait for their turn."""
        if not self.up:
            return
        if not self._shared.plan.open:
            self._behind = True
            self._asking.heard(now)
            return
        try:
            data = self.link.read(STREAM, CHUNK)
            if data:
                self._asking.heard(now)
            for number, body in list(self._frames.feed(data)):
                self._hear(number, body, now)
            self._behind = len(data) == CHUNK
        except RemoteProtocolError as error:
            self._count(error)
            self.link.close("malformed stream")
        self._shared.settled(self, now)
        self.go_on(now)

    def wake(self, now: float) -> None:
        """Do what is due; early or late does no harm."""
        if not self.up:
            return
        if not self._shared.plan.open:
            self._asking.heard(now)
        elif self._asking.check(now):
            self._shared.pump_others(self, now)
        if self._behind:
            self.readable(now)
        self.go_on(now)

    def next_wakeup(self) -> float | None:
        """When `wake` has something to do."""
        asked, follows = self._asking.next_check(), self.following.next_wakeup()
        joins = self._joining.next_wakeup()
        held_up = self._behind or self._held_up is not None
        if asked is None and follows is None and joins is None and not held_up:
            return None
        if not self.up or not self._shared.plan.open:
            return None
        if self._behind:
            return 0.0
        times = [asked, follows, joins]
        if self._held_up is not None:
            times.append(self._held_up + LOOK_AGAIN_S)
        return min((time for time in times if time is not None), default=None)

    @property
    def up(self) -> bool:
        """Something may still be said."""
        return self._up and self.link.closed is None

    def close(self) -> None:
        """The link is down."""
        self._up = False
        self._asking.close()
        self._joining.close()

    def go_on(self, now: float) -> None:
        """Tell, ask and serve as far as there is room."""
        if self.up:
            self._telling.pump(self._has_room)
            self._joining.pump(now)
            self._asking.pump(now)
            again = self._asking.overflow and self._asking.idle
            if self.following.pump(now, again=again) and again:
                self._asking.overflow = (
                    False  # offers were left out; now they come once more
                )
            self._serving.pump(now)
            held_up = self._telling or self._serving.held_up
            self._held_up = now if held_up else None
        self.flush()

    def again(self, now: float) -> None:
        """What another neighbour was to bring may be asked for here."""
        self._asking.again()
        self._joining.again()
        self.go_on(now)

    def served(
        self, get: Get, rows: Sequence[tuple[bytes, bytes | None]], now: float
    ) -> None:
        """The disk gave blocks for the neighbour."""
        if self.up:
            self._serving.read(get, rows, now)
        self.go_on(now)

    def say(self, message: Message) -> None:
        """Put a message behind the others."""
        self._put(pack(message))

    def _put(self, frame: bytes) -> None:
        self._said.append(frame)
        self._said_bytes += len(frame)

    def may_ask(self, now: float, *, passed: bool) -> bool:
        """Whether one more question may go to the neighbour, who would strike us for a flood."""
        return (self._passed_questions if passed else self._own_questions).take(now)

    @property
    def reads(self) -> bool:
        """The neighbour takes what it is sent; to others only what they wait for is said."""
        return self.up and self._has_room()

    def _has_room(self) -> bool:
        return self._unread() <= LOW_WATER

    def _unread(self) -> int:
        return self.link.buffered(STREAM) + self._said_bytes

    def flush(self) -> None:
        """Give the link what was said."""
        if self._said and self.up:
            self.link.write(STREAM, b"".join(self._said))
        self._said.clear()
        self._said_bytes = 0

    def tell(self, person: bytes, logs: Iterable[Log], now: float) -> None:
        """These logs of a person changed: say so, if the neighbour wants to know."""
        if self.up and self.following.wanted_there(person):
            self._telling.logs(person, logs)
            self.go_on(now)

    def tell_proof(self, log: Log) -> None:
        """A log is frozen."""
        if not self.up or not self.following.wanted_there(log.person):
            return
        if self.reads:
            self._telling.proof(log)
            self.flush()
        else:
            self._telling.everything(log.person)

    # -- what the neighbour says

    def _hear(self, number: int, body: bytes, now: float) -> None:
        try:
            if self._unread() > UNREAD_LIMIT:
                raise RemoteProtocolError("unread", f"{UNREAD_LIMIT} bytes are not read")
            message = unpack(number, body)
            if message is not None:
                self._handle(message, now)
        except RemoteProtocolError as error:
            self._count(error)
            self._strikes += 1
            if self._strikes >= STRIKES:
                raise

    def _handle(self, message: Message, now: float) -> None:
        match message:
            case Blocks():
                self._take_blocks(message, now)
            case Heads():
                self._take_heads(message, now)
            case Get():
                self._serving.get(message)
            case Follows():
                for person in self.following.take(message, now):
                    self._telling.everything(person)
            case Proof():
                if self._proof_rate.take(now):
                    self._shared.intake.proof(message.one, message.other, now)
            case Query():
                self._shared.questions.hear(self, message, self._query_rate, now)
            case Join():
                self._prove(message, now)
            case Joined():
                self._joining.take(message, now)
            case Answer():
                self._shared.questions.hear_answer(self, message, now)

    def _take_blocks(self, message: Blocks, now: float) -> None:
        fault: RemoteProtocolError | None = None
        for block in message.blocks:
            try:
                self._shared.intake.take(block, now)
            except RemoteProtocolError as error:
                fault = error
                break
        self._asking.answered(message)
        self._joining.look((message.device, message.log))
        if fault:
            raise fault

    def _prove(self, join: Join, now: float) -> None:
        """Show that two blocks are of one log, to who is told of its person."""
        if not self._join_rate.take(now):
            raise RemoteProtocolError("join", f"more than {JOINS_BURST} at once")
        log = self._shared.book.logs.get((join.device, join.log))
        told = log is not None and self.following.wanted_there(log.person)
        rate = self._shared.serve_rate
        may = told and rate.may(self._account, now)
        headers = headers_for(self._shared.book, join) if may else ()
        if headers:
            rate.gave(self._account, len(headers) * PROOF_COST, now)
        self.say(Joined(*join, headers))

    def _take_heads(self, message: Heads, now: float) -> None:
        person = message.person
        if person not in self._shared.interest.wanted:
            return
        if (
            message.card
            and self._is_news(person, message.card)
            and self._card_rate.take(now)
        ):
            card = self._shared.authors.newer(person, message.card)
            if card is not None and self._shared.authors.may_renew(person, now):
                self._shared.intake.take_card(card)
        for _, heads in groupby(message.heads, key=lambda head: (head.device, head.log)):
            self._asking.offer(person, list(heads), now)
        for head in message.heads:
            self._joining.look((head.device, head.log))

    def _is_news(self, person: bytes, data: bytes) -> bool:
        known = self._shared.authors.card_of(person)
        return known is None or known.to_bytes() != data

    def _count(self, error: RemoteProtocolError) -> None:
        self._shared.intake.counters[error.field] += 1
