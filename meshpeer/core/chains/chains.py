"""Chains: what persons publish, held in logs and passed on to who follows them.

The face of the package. The peer says which links are up and readable, and when the disk has
blocks; it takes events and asks when to wake. What it has to write goes into the journal, and what
may only happen after the commit hangs there too: no neighbour hears of a block that isn't durable.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from meshpeer.core.chains.archive import (
    ChainArchive,
    OwnLike,
    PeopleLike,
    RestoredChains,
)
from meshpeer.core.chains.asking import Plan
from meshpeer.core.chains.authors import Authors
from meshpeer.core.chains.batch import Batch
from meshpeer.core.chains.book import Book
from meshpeer.core.chains.events import Event, Held
from meshpeer.core.chains.intake import Intake
from meshpeer.core.chains.interest import FOLLOWED, MUTED, Interest, Level
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.log import NOT_SAID, Key, Log
from meshpeer.core.chains.messages import Get, Head
from meshpeer.core.chains.publishing import Publisher
from meshpeer.core.chains.questions import Questions
from meshpeer.core.chains.removal import Removal
from meshpeer.core.chains.serve_rate import ServeRate
from meshpeer.core.chains.serving import READ, ReadBlocks
from meshpeer.core.chains.session import STREAM, Session
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.record import Record
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.link_like import LinkLike
from meshpeer.core.writes import Write
from meshpeer.errors import UsageError

__all__ = ["STREAM", "ChainLimits", "Chains"]

INTAKE_LIMIT: Final = 4 << 20
"""Bytes of blocks that may wait for the disk before no more is read."""
NOTHING: Final[tuple[Write, ...]] = ()


class Chains:
    """All chains of one peer, and the sessions about them."""

    def __init__(
        self,
        *,
        people: PeopleLike,
        journal: Journal,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        archive: ChainArchive,
        restored: RestoredChains | None = None,
        limits: ChainLimits | None = None,
        also: Callable[[Held], Iterable[Write]] = lambda held: NOTHING,
        now: float = 0.0,
    ) -> None:
        """`also` gives writes that go into the same commit as a block: a row of the history."""
        restored = restored or RestoredChains()
        self.limits = limits or ChainLimits()
        self.book = Book(archive, restored)
        self.authors = Authors(people, restored)
        self.interest = Interest(
            people, restored.follows, self.book.logs.values, self.limits.nearby_persons
        )
        self.plan = Plan(self.book, self.authors)
        self.serve_rate = ServeRate()
        self._removal = Removal(
            book=self.book,
            authors=self.authors,
            interest=self.interest,
            journal=journal,
            limits=self.limits,
        )
        self.intake = Intake(
            book=self.book,
            authors=self.authors,
            interest=self.interest,
            people=people,
            removal=self._removal,
            journal=journal,
            wall=wall,
            also=also,
            landed=self._landed,
        )
        self._publisher = Publisher(
            book=self.book,
            authors=self.authors,
            people=people,
            intake=self.intake,
            limits=self.limits,
            rng=rng,
            new_log=restored.new_log,
        )
        self._sessions: dict[bytes, Session] = {}
        self._events: list[Event] = []
        self.questions = Questions(
            sessions=self._sessions,
            authors=self.authors,
            people=people,
            archive=archive,
            limits=self.limits,
            rng=rng,
            tell=self._events.append,
        )
        self._people, self._journal, self._wall = people, journal, wall
        self._reads: list[ReadBlocks] = []
        self._reading: dict[int, tuple[Session, Get]] = {}
        self._number = 0
        self._waiting_bytes = 0
        self._cut_by: dict[bytes, bytes] = {}
        """The signature of the card by which a person's logs were cut."""
        self._refresh(now)
        self._settle(None, now)

    # -- links

    def link_up(self, link: LinkLike, account: Account, now: float) -> None:
        """A neighbour is here."""
        known = self._sessions.get(link.peer_id)
        if known:
            self.link_down(known.link, now)
        self._refresh(now)
        session = self._sessions[link.peer_id] = Session(self, link, account, now)
        session.start(now)

    def link_down(self, link: LinkLike, now: float) -> None:
        """The link is gone; what it was to bring is asked of others."""
        session = self._sessions.get(link.peer_id)
        if session is None or session.link is not link:
            return
        del self._sessions[link.peer_id]
        session.close()
        self.questions.gone(link.peer_id)
        self.pump_others(session, now)

    def readable(self, link: LinkLike, now: float) -> None:
        """Bytes came on stream 4."""
        session = self._sessions.get(link.peer_id)
        if session and session.link is link:
            session.readable(now)

    def writable(self, link: LinkLike, now: float) -> None:
        """Stream 4, which had much waiting, has little now."""
        session = self._sessions.get(link.peer_id)
        if session and session.link is link:
            session.go_on(now)

    def wake(self, now: float) -> None:
        """Do what is due, and look whether the disk goes; early or late does no harm."""
        self.interest.look_again(now)
        self._refresh(now)
        self._check_disk(now)
        self.questions.expire(now)
        for session in list(self._sessions.values()):
            session.wake(now)

    def next_wakeup(self) -> float | None:
        """When to call `wake`, at the latest."""
        if self.interest.due:
            return 0.0
        times = [session.next_wakeup() for session in self._sessions.values()]
        times.append(self.interest.again_at)
        return min((time for time in times if time is not None), default=None)

    def events(self) -> list[Event]:
        """What happened since the last call; all of it is durable."""
        events = self._events[:]
        self._events.clear()
        return events

    @property
    def counters(self) -> Mapping[str, int]:
        """What was refused, by reason or malformed field."""
        return self.intake.counters

    # -- the disk

    def reads(self) -> list[ReadBlocks]:
        """Blocks that are to be read for neighbours, each told once."""
        reads, self._reads = self._reads, []
        return reads

    def blocks_read(
        self, request: ReadBlocks, rows: Sequence[tuple[bytes, bytes | None]], now: float
    ) -> None:
        """What `ChainArchive.log_blocks` gave for a request."""
        session, get = self._reading.pop(request.number)
        session.served(get, rows, now)

    def read(self, session: Session, get: Get) -> None:
        """A session wants blocks from the disk."""
        self._number += 1
        self._reading[self._number] = session, get
        self._reads.append(ReadBlocks(self._number, *get, READ))

    # -- what persons here do

    def publish(self, own: OwnLike, record: Record, now: float) -> Block:
        """Publish a record of a person here; UsageError says why that can't be.

        The block is journalled; neighbours hear of it once it is durable."""
        block = self._publisher.publish(own, record, now)
        self._settle(None, now)
        self._refresh(now)
        return block

    def new_log(self, own: OwnLike, now: float) -> None:
        """What this person publishes here goes into a new log from now on."""
        self._publisher.start_new_log(own)
        self._settle(None, now)

    def follow(self, person: bytes, now: float, card: Card | None = None) -> None:
        """Hold all that this person publishes; the card, if known, helps to find it."""
        if person in self._people.own:
            raise UsageError("that is yourself; what you publish is here anyway")
        self._journal.add(self.interest.say(person, FOLLOWED, int(self._wall())))
        self._refresh(now)
        if card is not None:
            self.take_card(card, now)

    def unfollow(self, person: bytes, now: float) -> None:
        """Neither follow nor mute: back to what being a contact, or not, says."""
        write = self.interest.unsay(person)
        if write:
            self._journal.add(write)
        self._refresh(now)

    def mute(self, person: bytes, now: float) -> None:
        """Hold nothing of this person, though it may be a contact."""
        if person in self._people.own:
            raise UsageError("that is yourself; withdraw what you don't want to show")
        self._journal.add(self.interest.say(person, MUTED, int(self._wall())))
        self._refresh(now)

    def how(self, person: bytes) -> str:
        """'follow', 'muted', or empty: what was said here of a person."""
        return self.interest.how(person)

    def wanted(self, person: bytes) -> bool:
        """Whether anything of this person is held, if it comes."""
        return self.interest.level(person) is not Level.NONE

    def level(self, person: bytes) -> Level:
        """How much of this person is held."""
        return self.interest.level(person)

    @property
    def persons(self) -> list[bytes]:
        """The persons of whom logs are held."""
        return list(self.book.persons)

    def card_of(self, person: bytes) -> Card | None:
        """The newest card that is known of a person."""
        return self.authors.card_of(person)

    def heads(self, person: bytes) -> list[Head]:
        """The newest of a person's logs that is durable: without a hole from `first` on."""
        return [self._head(log) for log in self.book.logs_of(person)]

    def frozen(self, person: bytes) -> list[Head]:
        """The logs of a person that went two ways."""
        return [
            self._head(log) for log in self.book.logs_of(person) if log.fork_at is not None
        ]

    def unjoined(self, person: bytes) -> list[Head]:
        """The logs of a person of which nothing shows yet that the newest blocks and the older
        ones held belong together: between them some lack."""
        return [self._head(log) for log in self.book.logs_of(person) if log.unjoined]

    def _head(self, log: Log) -> Head:
        told = log.told
        if not told.spans:
            return Head(log.device, log.id, 1, 0, NOT_SAID)
        first, height = told.spans[-1]
        head = told.head
        if head == NOT_SAID:
            head = self.book.id_of(log, height) or NOT_SAID
        return Head(log.device, log.id, first, height, head)

    def weight(self, person: bytes) -> int:
        """The bytes that count for a person."""
        return self.book.weight(person)

    def sealing_key(self, person: bytes, device: bytes) -> Key | None:
        """The newest sealing key that a device told in its chain; None if it told none."""
        standing = self.authors.standing(person)
        if standing is None or device not in standing.devices:
            return None
        logs = self.book.logs_of_device(person, device)
        keys = [log.key for log in logs if log.key is not None]
        return max(keys, default=None)

    def take_card(self, card: Card, now: float) -> bool:
        """A verified card: what it revokes goes. True if it is newer than what was known."""
        taken = self.intake.take_card(card)
        if not taken:
            self._removal.recut(card.person)
        self._settle(None, now)
        self._refresh(now)
        return taken

    # -- questions

    def ask(self, query: bytes, now: float) -> bytes:
        """Ask the neighbours, and one hop on; answers come as AnswerCame with this id."""
        return self.questions.ask(query, now)

    def waits(self, query_id: bytes) -> bool:
        """Whether some neighbour may still answer this question; if not, AllAnswered is told."""
        return self.questions.waits(query_id)

    def answer(
        self, neighbour: bytes, query_id: bytes, blocks: Iterable[Block], now: float
    ) -> None:
        """Answer a Question with blocks held here; the authors' cards go along."""
        self.questions.answer(neighbour, query_id, blocks)

    # -- inside

    def settled(self, session: Session, now: float) -> None:
        """A session read something."""
        self._settle(session.peer, now)
        self._refresh(now)

    def pump_others(self, session: Session, now: float) -> None:
        """What this session was to bring may be asked of the others."""
        for other in list(self._sessions.values()):
            if other is not session:
                other.again(now)

    def _settle(self, source: bytes | None, now: float) -> None:
        self._waiting_bytes += self.intake.settle(source, now)
        self._check_disk(now)

    def _landed(self, batch: Batch, now: float) -> None:
        """A batch is durable: tell the peer and the neighbours."""
        self._waiting_bytes -= batch.size
        self._events += [event for event in batch.events if self._still(event)]
        logs: dict[bytes, list[Log]] = {person: [] for person in batch.persons}
        for log in batch.touched:
            logs[log.person].append(log)
        for session in list(self._sessions.values()):
            for log in batch.proofs:
                session.tell_proof(log)
            if session.peer != batch.source:
                for person, touched in logs.items():
                    session.tell(person, touched, now)
        self._check_disk(now)

    def _still(self, event: Event) -> bool:
        """Whether what happened holds yet: a card may have cut the log meanwhile."""
        if not isinstance(event, Held):
            return True
        log = self.book.logs.get((event.device, event.log))
        return log is not None and event.sequence in log.held

    def _check_disk(self, now: float) -> None:
        """Read no more than the disk takes, and go on when it does."""
        was = self.plan.open
        self.plan.open = not self._journal.blocked and self._waiting_bytes < INTAKE_LIMIT
        if self.plan.open and not was:
            for session in list(self._sessions.values()):
                session.wake(now)

    def _refresh(self, now: float) -> None:
        """Look again who is wanted, if something changed."""
        if not self.interest.due:
            return
        self._look_at_cards()
        more, gone = self.interest.refresh(self.book.persons.keys(), now)
        for person in gone:
            self._removal.drop_person(person)
            self._cut_by.pop(person, None)
        self._settle(None, now)
        if more:
            for session in list(self._sessions.values()):
                session.want(more, now)

    def _look_at_cards(self) -> None:
        """A card that came by another way may revoke what is held."""
        for person in list(self.book.persons):
            card = self.authors.card_of(person)
            if card is not None and self._cut_by.get(person) != card.signature:
                before, self._cut_by[person] = self._cut_by.get(person), card.signature
                if before is not None or card.revoked:
                    self._removal.recut(person)
