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
from hashlib import blake2s
from itertools import groupby
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from meshpeer.core.bucket import Bucket
from meshpeer.core.chains.asking import Asking, Plan
from meshpeer.core.chains.authors import Authors
from meshpeer.core.chains.book import Book
from meshpeer.core.chains.intake import Intake
from meshpeer.core.chains.interest import Interest
from meshpeer.core.chains.log import NOT_SAID, Log
from meshpeer.core.chains.messages import (
    DIGEST_SIZE,
    FOLLOW_HASH_SIZE,
    FOLLOWS_AT_ONCE,
    HEADS_AT_ONCE,
    Answer,
    Blocks,
    Follow,
    Follows,
    Get,
    Head,
    Heads,
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
from meshpeer.core.chains.serving import Serving
from meshpeer.core.formats.block import Header
from meshpeer.core.link.streams import LOW_WATER
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
MAX_FOLLOWS: Final = 16_384
"""Persons that one neighbour may want."""
FOLLOWS_BURST: Final = 64
FOLLOWS_PER_S: Final = 0.2
"""What a neighbour may say of them; half of it is what we say, or a contact that follows one
person after the other would make us say so much that all neighbours close their links."""
CARDS_BURST: Final = 2_048
CARDS_PER_S: Final = 10.0
"""Cards read from a neighbour: each costs a signature."""
PROOFS_BURST: Final = 64
PROOFS_PER_S: Final = 1.0
LOOK_AGAIN_S: Final = 1.0
"""How long after the link was found full it is looked at again, should it not say so itself."""
HISTORY_STEP: Final = 2_048
"""Blocks of history that come before it is told how far down they reach."""


class Shared(Protocol):
    """What all sessions of a peer share."""

    book: Book
    authors: Authors
    interest: Interest
    intake: Intake
    plan: Plan
    questions: Questions

    def read(self, session: "Session", get: Get) -> None: ...
    def pump_others(self, session: "Session", now: float) -> None: ...
    def settled(self, session: "Session", now: float) -> None: ...


class Session:
    """The protocol over one link, which is up when this is made."""

    def __init__(self, shared: Shared, link: LinkLike, now: float) -> None:
        self.peer = link.peer_id
        self.link = link
        self._shared = shared
        self._up = True
        self._frames = Frames()
        self._said: list[bytes] = []
        self._said_bytes = 0
        self._strikes = 0
        self._behind = False
        self._follows: dict[bytes, bytes] = {}
        """Whom the neighbour wants: hash and digest."""
        self._to_tell: dict[bytes, set[Log] | None] = {}
        """Of whom heads are to be told: of these logs, or (None) of all that there are."""
        self._cards_told: dict[bytes, bytes] = {}
        self._heads_told = WeakKeyDictionary[Log, tuple[int, int]]()
        self._follow_rate = Bucket(rate=FOLLOWS_PER_S, burst=FOLLOWS_BURST, now=now)
        self._card_rate = Bucket(rate=CARDS_PER_S, burst=CARDS_BURST, now=now)
        self._proof_rate = Bucket(rate=PROOFS_PER_S, burst=PROOFS_BURST, now=now)
        self._query_rate = Bucket(rate=QUERIES_PER_S, burst=QUERIES_BURST, now=now)
        self._own_questions = Bucket(rate=OWN_PER_S, burst=OWN_BURST, now=now)
        self._passed_questions = Bucket(rate=PASSED_PER_S, burst=PASSED_BURST, now=now)
        self._say_rate = Bucket(rate=FOLLOWS_PER_S / 2, burst=FOLLOWS_BURST // 2, now=now)
        self._to_want: dict[bytes, None] = {}
        """Who is wanted, too, and is not said yet."""
        self._asking = Asking(shared.plan, self.say, now)
        self._serving = Serving(
            shared.book, self._put, self._unread, lambda get: shared.read(self, get)
        )
        self._held_up: float | None = None

    # -- what the peer does

    def start(self, now: float) -> None:
        """Say whose chains are wanted, if the link was made from here."""
        if not self.link.initiator:
            return
        wanted = self._shared.interest.wanted
        self._say_rate.take(now, _messages(len(wanted)))
        self._say_follows(wanted, begins=True)
        self.flush()

    def want(self, persons: Iterable[bytes], now: float) -> None:
        """More persons are wanted."""
        self._to_want.update(dict.fromkeys(self._may_name(persons)))
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
        asked = self._asking.next_check()
        held_up = self._behind or self._held_up is not None
        if asked is None and not (held_up or self._to_want):
            return None
        if not self.up or not self._shared.plan.open:
            return None
        if self._behind:
            return 0.0
        times = [asked]
        if self._held_up is not None:
            times.append(self._held_up + LOOK_AGAIN_S)
        if self._to_want:
            times.append(self._say_rate.ready(_messages(len(self._to_want))))
        return min((time for time in times if time is not None), default=None)

    @property
    def up(self) -> bool:
        """Something may still be said."""
        return self._up and self.link.closed is None

    def close(self) -> None:
        """The link is down."""
        self._up = False
        self._asking.close()

    def go_on(self, now: float) -> None:
        """Tell, ask and serve as far as there is room."""
        if self.up:
            self._tell()
            self._asking.pump(now)
            self._say_wants(now)
            self._serving.pump()
            held_up = self._to_tell or self._serving.held_up
            self._held_up = now if held_up else None
        self.flush()

    def again(self, now: float) -> None:
        """What another neighbour was to bring may be asked for here."""
        self._asking.again()
        self.go_on(now)

    def served(
        self, get: Get, rows: Sequence[tuple[bytes, bytes | None]], now: float
    ) -> None:
        """The disk gave blocks for the neighbour."""
        if self.up:
            self._serving.read(get, rows)
        self.go_on(now)

    def say(self, message: Message) -> None:
        """Put a message behind the others."""
        self._put(pack(message))

    def _put(self, frame: bytes) -> None:
        self._said.append(frame)
        self._said_bytes += len(frame)

    def _say_wants(self, now: float) -> None:
        """Say who is wanted, too; or, where offers were left out, ask for all of them again."""
        wanted = self._shared.interest.wanted
        again = self._asking.overflow and self._asking.idle
        persons = (
            self._may_name(wanted) if again else [p for p in self._to_want if p in wanted]
        )
        if (again or persons) and not self._say_rate.take(now, _messages(len(persons))):
            return
        self._to_want.clear()
        if again:
            self._asking.overflow = False
        if again or persons:
            self._say_follows(persons, begins=again)

    def _may_name(self, persons: Iterable[bytes]) -> list[bytes]:
        """Of persons wanted here those that are told: all, or whom the neighbour named first."""
        if self.link.initiator:
            return list(persons)
        return [person for person in persons if self.hash(person) in self._follows]

    def may_ask(self, now: float, *, passed: bool) -> bool:
        """Whether one more question may go to the neighbour, who would strike us for a flood."""
        return (self._passed_questions if passed else self._own_questions).take(now)

    @property
    def reads(self) -> bool:
        """The neighbour takes what it is sent; to others only what they wait for is said."""
        return self.up and self._unread() <= LOW_WATER

    def _unread(self) -> int:
        return self.link.buffered(STREAM) + self._said_bytes

    def flush(self) -> None:
        """Give the link what was said."""
        if self._said and self.up:
            self.link.write(STREAM, b"".join(self._said))
        self._said.clear()
        self._said_bytes = 0

    # -- what is wanted, and what is told

    def hash(self, person: bytes) -> bytes:
        """The name of a person on this link."""
        return _keyed(person, self.link.binding, FOLLOW_HASH_SIZE)

    def _say_follows(self, persons: Iterable[bytes], *, begins: bool) -> None:
        follows = [Follow(self.hash(p), self._digest(p)) for p in persons]
        for at in range(0, len(follows) or begins, FOLLOWS_AT_ONCE):
            part = tuple(follows[at : at + FOLLOWS_AT_ONCE])
            self.say(Follows(begins and at == 0, part))

    def _digest(self, person: bytes) -> bytes:
        """What is held of a person, in 8 bytes: equal ones have nothing to tell each other."""
        card = self._shared.authors.card_of(person)
        state = blake2s(digest_size=DIGEST_SIZE, key=self.link.binding[:32])
        state.update((card.number if card else 0).to_bytes(8))
        state.update(card.signature if card else b"")
        for log in sorted(self._shown(person), key=lambda one: one.log_key):
            told = log.told
            state.update(
                b"".join(
                    (
                        log.device,
                        log.id,
                        *(number.to_bytes(8) for span in told.spans for number in span),
                        told.head if log.fork_at is None else b"",
                        (log.fork_at or 0).to_bytes(8),
                        bytes((bool(log.bare),)),
                    )
                )
            )
        return state.digest()

    def _shown(self, person: bytes) -> list[Log]:
        """The logs of a person that count by the newest card."""
        standing = self._shared.authors.standing(person)
        if standing is None:
            return []
        return [
            log
            for log in self._shared.book.logs_of(person)
            if standing.cut(log.device, log.id) is not None
        ]

    def tell(self, person: bytes, logs: Iterable[Log], now: float) -> None:
        """These logs of a person changed: say so, if the neighbour wants to know."""
        if not self.up or self.hash(person) not in self._follows:
            return
        waiting = self._to_tell.setdefault(person, set())
        if waiting is not None:
            waiting.update(logs)
        self.go_on(now)

    def tell_proof(self, log: Log) -> None:
        """A log is frozen."""
        if not self.up or self.hash(log.person) not in self._follows:
            return
        if self.reads:
            self._say_proof(log)
            self.flush()
        else:
            self._to_tell[log.person] = None

    def _tell(self) -> None:
        """Say the heads that wait, as long as the neighbour reads."""
        while self._to_tell and self._unread() <= LOW_WATER:
            person = next(iter(self._to_tell))
            self._tell_person(person, self._to_tell.pop(person))

    def _tell_person(self, person: bytes, logs: set[Log] | None) -> None:
        card = self._shared.authors.card_of(person)
        if card is None:
            return
        shown = self._shown(person)
        if logs is None:
            for log in shown:
                self._say_proof(log)
        heads: list[list[Head]] = [[]]
        for log in shown:
            if (logs is None or log in logs) and self._worth(log, logs is None):
                if len(heads[-1]) >= HEADS_AT_ONCE:
                    heads.append([])
                heads[-1] += heads_of(log)
        data = b""
        if self._cards_told.get(person) != card.signature:
            self._cards_told[person] = card.signature
            data = card.to_bytes()
        for part in heads:
            if part or data:
                self.say(Heads(person, data, tuple(part)))
            data = b""

    def _say_proof(self, log: Log) -> None:
        proof = self._shared.book.proofs.get(log.log_key)
        if proof:
            self.say(Proof(*map(Header.parse, proof)))

    def _worth(self, log: Log, all: bool) -> bool:
        """Whether a log's state is worth telling: a new height, or much more history."""
        told = log.told
        if told.height == 0:
            return False
        height, blocks = self._heads_told.get(log, (0, 0))
        more = told.blocks - blocks
        if not (
            all
            or height != told.height
            or more >= HISTORY_STEP
            or (more > 0 and told.complete(log.floor))
        ):
            return False
        self._heads_told[log] = told.height, told.blocks
        return True

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
                self._take_follows(message, now)
            case Proof():
                if self._proof_rate.take(now):
                    self._shared.intake.proof(message.one, message.other, now)
            case Query():
                self._shared.questions.hear(self, message, self._query_rate, now)
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
        if fault:
            raise fault

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
            if card is not None:
                self._shared.intake.take_card(card)
        for _, heads in groupby(message.heads, key=lambda head: (head.device, head.log)):
            self._asking.offer(person, list(heads), now)

    def _is_news(self, person: bytes, data: bytes) -> bool:
        known = self._shared.authors.card_of(person)
        return known is None or known.to_bytes() != data

    def _take_follows(self, message: Follows, now: float) -> None:
        if not self._follow_rate.take(now):
            raise RemoteProtocolError("follows", f"more than {FOLLOWS_BURST} at once")
        before = dict(self._follows) if not self.link.initiator else {}
        if message.begins:
            self._follows.clear()
        for one in message.follows:
            if len(self._follows) < MAX_FOLLOWS:
                self._follows[one.hash] = one.digest
        asked = {one.hash: one.digest for one in message.follows}
        for person in self._shared.interest.wanted:
            hash = self.hash(person)
            digest = asked.get(hash)
            if digest is None:
                continue
            if not self.link.initiator and hash not in before:
                self._to_want[person] = None
            if self._shared.authors.card_of(person) and digest != self._digest(person):
                self._to_tell[person] = None

    def _count(self, error: RemoteProtocolError) -> None:
        self._shared.intake.counters[error.field] += 1


def heads_of(log: Log) -> list[Head]:
    """What is told of a log: its spans, newest first; only the newest names its last block."""
    told = log.told
    return [
        Head(log.device, log.id, *span, told.head if span[1] == told.height else NOT_SAID)
        for span in reversed(told.spans)
    ]


def _messages(persons: int) -> int:
    """How many messages name so many persons."""
    return max(1, -(-persons // FOLLOWS_AT_ONCE))


def _keyed(data: bytes, key: bytes, size: int) -> bytes:
    return blake2s(data, digest_size=size, key=key[:32]).digest()
