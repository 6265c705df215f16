"""What is checked before a block is held, and what holding it means.

A block goes through, from cheap to dear: is its person wanted; is it held already; does the card
let it count; is the log frozen below it; is the body its own; did the device sign it; do all
links agree with what is held; does the body read as a record. Only then anything is written, and
what it says takes effect: withdrawals, follows, device lists, keys.

A block whose form, body or signature is wrong is the neighbour's fault, who should have checked
too: RemoteProtocolError. Whatever else is refused may be nobody's fault, for neighbours know
other cards, forks and kinds of records: it is counted, no more.

What has an effect of its own (withdrawals, follows, device lists, keys) can't be withdrawn: who
hears of the withdrawal first would never know of the effect, and peers would differ for good.

All that one read of a link brought is one batch: `settle` journals the logs' rows behind its
blocks, so they are in one commit, and hangs there what may happen only once they are durable.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from meshpeer.core.chain_writes import (
    CutLog,
    DropAuthor,
    DropBody,
    DropLog,
    PutBlock,
    PutWithdrawn,
)
from meshpeer.core.chains.archive import PeopleLike
from meshpeer.core.chains.authors import Authors, Cut
from meshpeer.core.chains.book import Book, cost
from meshpeer.core.chains.events import (
    CardHeard,
    Event,
    Forked,
    Held,
    KeyHeard,
    Withdrawn,
)
from meshpeer.core.chains.interest import Interest, Level
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.log import BLOCK_COST, MAX_FOLLOWS, Key, Log, conflict
from meshpeer.core.formats import record as records
from meshpeer.core.formats.block import Block, Header
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.record import Record, item_of, parse_record
from meshpeer.core.journal import Journal
from meshpeer.core.writes import Write
from meshpeer.errors import RemoteProtocolError

LASTING: Final = (records.Withdraw, records.Follow, records.Devices, records.Key)
"""What can't be withdrawn."""


class Landing(Protocol):
    """Who is told when a batch is durable."""

    def landed(self, batch: "Batch", now: float) -> None: ...


@dataclass(slots=True)
class Batch:
    """What came at once."""

    source: bytes | None = None
    """The neighbour that brought it; None for what was made here."""
    blocks: dict[Log, list[Header]] = field(default_factory=dict)
    touched: dict[Log, None] = field(default_factory=dict)
    persons: dict[bytes, None] = field(default_factory=dict)
    """Whose neighbours are to be told."""
    proofs: list[Log] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    withdrawn: list[tuple[bytes, bytes]] = field(default_factory=list)
    size: int = 0

    def __bool__(self) -> bool:
        return bool(self.touched or self.persons or self.events or self.blocks)


class Intake:
    """Takes blocks, proofs and cards; the only one that changes logs."""

    def __init__(
        self,
        *,
        book: Book,
        authors: Authors,
        interest: Interest,
        people: PeopleLike,
        journal: Journal,
        wall: Callable[[], float],
        limits: ChainLimits,
        also: Callable[[Held], Iterable[Write]],
        landing: Landing,
    ) -> None:
        self._book, self._authors, self._interest = book, authors, interest
        self._people, self._journal, self._wall = people, journal, wall
        self._limits, self._also, self._landing = limits, also, landing
        self._batch = Batch()
        self._withdrawn: set[tuple[bytes, bytes]] = set()
        """Withdrawals that are journalled: (target, person)."""
        self._lasting: set[bytes] = set()
        """Journalled blocks that can't be withdrawn."""
        self._cards: list[Card] = []
        self.counters: Counter[str] = Counter()
        self.overtaken: set[Log] = set()
        """Logs of devices here that somebody else wrote on in: nothing more goes into them."""

    # -- blocks

    def take(self, block: Block, now: float) -> bool:
        """Hold a block if all is well with it; False if it is not held now.

        RemoteProtocolError if whoever sent it should have known better."""
        header, body = block
        log = self._book.logs.get(header.log_key)
        if self._interest.level(header.person) is Level.NONE:
            return self._refuse("unwanted")
        if log is not None:
            if log.person != header.person:
                raise RemoteProtocolError("person", "not whose log it is")
            if header.sequence in log.held:
                known = self._book.id_of(log, header.sequence)
                if known == header.id and (body is None or header.sequence not in log.bare):
                    return True
            elif header.sequence < log.floor:
                return self._refuse("floor")
        if not self._counts(header, log):
            return False
        block.check()
        log = log or Log(header.person, header.device, header.log)
        if self._forks(log, header, now):
            return self._refuse("fork")
        if header.sequence in log.held:
            return self._fill(log, block, now)
        if not self._book.room_for(log, header.sequence):
            return self._refuse("gap")
        try:
            record = parse_record(body) if body is not None else None
        except RemoteProtocolError:
            return self._refuse("record")
        if self._is_own(log):
            self.overtaken.add(log)
        self._hold(log, header, body, record, now, here=False)
        return True

    def publish(self, log: Log, block: Block, record: Record, now: float) -> None:
        """Hold a block made here."""
        self._hold(log, block.header, block.body, record, now, here=True)

    def begin(self, log: Log) -> None:
        """A log begins on this peer."""
        self._book.put(log)
        self._touch(log)

    def _refuse(self, why: str) -> bool:
        self.counters[why] += 1
        return False

    def _counts(self, header: Header, log: Log | None) -> bool:
        """Whether the person's card, and the log's state, let this block count."""
        cut = self._cut(header.person, header.device, header.log)
        if cut is None:
            return self._refuse("device")
        if header.sequence > cut.sequence:
            return self._refuse("revoked")
        if header.sequence == cut.sequence and cut.id not in (None, header.id):
            return self._refuse("revoked")
        if log is None:
            held = self._book.logs_of_device(header.person, header.device)
            if len(held) >= self._limits.logs:
                return self._refuse("logs")
        elif header.sequence > log.ceiling:
            return self._refuse("frozen")
        return True

    def _cut(self, person: bytes, device: bytes, log: bytes) -> Cut | None:
        standing = self._authors.standing(person)
        return standing.cut(device, log) if standing else None

    def _is_own(self, log: Log) -> bool:
        own = self._people.own.get(log.person)
        return own is not None and own.device.public == log.device

    # -- links and forks

    def _forks(self, log: Log, header: Header, now: float) -> bool:
        """Check what a signed header says against all that is held, and freeze on a fork."""
        claim = log.claims.get(header.sequence)
        if claim is not None and claim.id != header.id:
            return self._disagrees(log, header, claim.by, now)
        if header.sequence in log.held:
            known = self._book.id_of(log, header.sequence)
            if known not in (None, header.id):
                return self._disagrees(log, header, header.sequence, now)
        for sequence, id in log.links(header):
            if sequence in log.held:
                known = self._book.id_of(log, sequence)
                if known not in (None, id):
                    return self._disagrees(log, header, sequence, now)
            else:
                claim = log.claims.get(sequence)
                if claim is not None and claim.id != id:
                    return self._disagrees(log, header, claim.by, now)
        return False

    def _disagrees(self, log: Log, header: Header, by: int, now: float) -> bool:
        other = self._book.header_of(log, by) if by else None
        at = conflict(header, other) if other else None
        if other and at:
            self._freeze(log, other, header, at)
        return True

    def proof(self, one: Header, other: Header, now: float) -> bool:
        """Take the proof of a fork; True if it was news. RemoteProtocolError if it proves nothing."""
        at = conflict(one, other)
        if at is None or at < 1:
            raise RemoteProtocolError("proof", "the headers do not contradict each other")
        if self._interest.level(one.person) is Level.NONE:
            return self._refuse("unwanted")
        log = self._book.logs.get(one.log_key)
        if log and (log.person != one.person or (log.fork_at or at + 1) <= at):
            return False
        if self._cut(one.person, one.device, one.log) is None:
            return self._refuse("device")
        if log is None:
            held = self._book.logs_of_device(one.person, one.device)
            if len(held) >= self._limits.logs:
                return self._refuse("logs")
        one.verify()
        other.verify()
        self._freeze(log or Log(one.person, one.device, one.log), one, other, at)
        return True

    def _freeze(self, log: Log, one: Header, other: Header, at: int) -> None:
        if log.fork_at is not None and log.fork_at <= at:
            return
        if log.log_key not in self._book.logs:
            self._book.put(log)
        news = log.fork_at is None
        log.fork_at = at
        log.claims = {n: claim for n, claim in log.claims.items() if n < at}
        self._journal.add(self._book.fork(log, one, other))
        self._touch(log)
        self._batch.proofs.append(log)
        if news:
            own = self._is_own(log)
            self._batch.events.append(Forked(log.person, log.device, log.id, own))

    # -- holding

    def _hold(
        self,
        log: Log,
        header: Header,
        body: bytes | None,
        record: Record | None,
        now: float,
        *,
        here: bool,
    ) -> None:
        sequence = header.sequence
        if not log.held and header.log_key not in self._book.logs:
            self._book.put(log)
            self._claim_cut(log)
        withdrawn = self._is_withdrawn(header) and not isinstance(record, LASTING)
        if withdrawn:
            body = record = None
        if isinstance(record, LASTING):
            self._lasting.add(header.id)
        for older, id in log.links(header):
            if older not in log.held:
                log.claim(older, id, sequence)
        fresh = sequence > log.settled
        size = cost(header, body is not None)
        log.hold(header, bare=body is None and not withdrawn, size=size)
        self._book.unsaved[header.id] = header
        self._book.saw(header.lamport)
        self._batch.blocks.setdefault(log, []).append(header)
        self._batch.size += size
        self._touch(log)
        self._write(header, body, record, now, fresh=fresh, here=here)
        if record is not None:
            self._apply(log, header, record)

    def _fill(self, log: Log, block: Block, now: float) -> bool:
        """The body of a block held without one came."""
        header, body = block
        if body is None or header.sequence not in log.bare:
            return True
        try:
            record = parse_record(body)
        except RemoteProtocolError:
            return self._refuse("record")
        self._touch(log)
        if self._is_withdrawn(header) and not isinstance(record, LASTING):
            log.filled(header.sequence, 0)
            return True
        log.filled(header.sequence, cost(header, True) - BLOCK_COST)
        self._write(header, body, record, now, fresh=False, here=False)
        self._apply(log, header, record)
        return True

    def _write(
        self,
        header: Header,
        body: bytes | None,
        record: Record | None,
        now: float,
        *,
        fresh: bool,
        here: bool,
    ) -> None:
        held = Held(
            header.id,
            header.person,
            header.device,
            header.log,
            header.sequence,
            header.lamport,
            record,
            fresh,
            here,
        )
        self._journal.add(
            PutBlock(
                header.id,
                header.person,
                header.device,
                header.log,
                header.sequence,
                header.lamport,
                header.to_bytes(),
                body,
                now,
                int(self._wall()),
                item_of(record) if record is not None else None,
            ),
            *self._also(held),
        )
        self._batch.events.append(held)

    def _claim_cut(self, log: Log) -> None:
        """Of a revoked log the last block that counts is known by its id."""
        cut = self._cut(log.person, log.device, log.id)
        if cut and cut.id is not None:
            log.claim(cut.sequence, cut.id, 0)

    def _is_withdrawn(self, header: Header) -> bool:
        person = header.person
        if (header.id, person) in self._withdrawn:
            return True
        if not any(log.withdraws for log in self._book.persons.get(person, {}).values()):
            return False
        return person in self._book.archive.withdrawn(header.id)

    # -- what records mean

    def _apply(self, log: Log, header: Header, record: Record) -> None:
        match record:
            case records.Withdraw():
                self._withdraw(log, record.target)
            case records.Follow():
                more = record.person in log.follows or self._book.room_for_follow(
                    log.person
                )
                said = record.person, header.lamport, record.following
                if log.remember_follow(
                    *said, most=MAX_FOLLOWS if more else len(log.follows)
                ):
                    self._interest.stale = True
            case records.Key():
                key = Key(record.number, header.lamport, record.sealing)
                if log.key is None or key > log.key:
                    log.key = key
                    self._batch.events.append(
                        KeyHeard(log.person, log.device, record.sealing)
                    )
            case records.Devices():
                self._hear_card(log.person, record.card)
            case _:
                pass

    def _withdraw(self, log: Log, target: bytes) -> None:
        log.withdraws = True
        person = log.person
        self._withdrawn.add((target, person))
        self._batch.withdrawn.append((target, person))
        self._journal.add(PutWithdrawn(target, person))
        header = self._book.find(target)
        if header is None or header.person != person or self.lasts(target):
            return
        self._journal.add(DropBody(target))
        of = self._book.logs.get(header.log_key)
        if of is not None:
            if header.sequence not in of.bare:
                of.weight = max(0, of.weight + BLOCK_COST - cost(header, True))
            of.bare.remove(header.sequence, header.sequence)
            self._touch(of)
        self._batch.events.append(Withdrawn(person, target))

    def lasts(self, id: bytes) -> bool:
        """Whether a block held can't be withdrawn."""
        body = self._book.archive.body(id)
        if id in self._lasting or body is None:
            return id in self._lasting
        try:
            return isinstance(parse_record(body), LASTING)
        except RemoteProtocolError:
            return False

    def _hear_card(self, person: bytes, data: bytes) -> None:
        try:
            card = self._authors.newer(person, data)
        except RemoteProtocolError:
            self.counters["card"] += 1
            return
        if card is not None:
            self._cards.append(card)

    # -- cards

    def take_card(self, card: Card) -> bool:
        """A verified card: True if it is newer than what was known, and holds from now on."""
        known = self._authors.card_of(card.person)
        if known is not None and known.number >= card.number:
            return False
        self._journal.add(self._authors.put(card))
        own = card.person in self._people.own
        self._batch.events.append(CardHeard(card, own))
        self.recut(card.person)
        return True

    def recut(self, person: bytes) -> None:
        """Let a person's newest card hold for what is held already."""
        standing = self._authors.standing(person)
        self._batch.persons[person] = None
        if standing is None:
            return
        for log in self._book.logs_of(person):
            if standing.revokes(log.device, log.id):
                self._drop(log)
            elif (cut := standing.cut(log.device, log.id)) and cut.id is not None:
                self._cut_log(log, cut)

    def _cut_log(self, log: Log, cut: Cut) -> None:
        if cut.sequence in log.held and self._book.id_of(log, cut.sequence) != cut.id:
            self._drop(log)
            return
        if log.height > cut.sequence:
            beyond = self._book.sizes(log, cut.sequence + 1, log.height)
            freed = sum(size for _, size in beyond)
            self._keep(log, log.held.bottom, cut.sequence, freed)
        if cut.sequence not in log.held and cut.id is not None:
            known = log.claims.get(cut.sequence)
            if known and known.id != cut.id:
                self._drop(log)
            elif cut.sequence >= log.floor:
                log.claim(cut.sequence, cut.id, 0)
                self._touch(log)

    def _keep(self, log: Log, first: int, last: int, freed: int) -> None:
        """Forget the blocks outside first..last, which free so many bytes."""
        top = log.held.below(last + 1)
        head = self._book.id_of(log, top) if top else None
        for sequence, header in log.unsaved.items():
            if not first <= sequence <= last:
                self._book.unsaved.pop(header.id, None)
        log.keep(first, last, head or bytes(32), freed)
        self._journal.add(CutLog(log.device, log.id, first, last))
        self._touch(log)

    def _drop(self, log: Log) -> None:
        self._book.drop(log)
        self._journal.add(DropLog(log.device, log.id))
        self._batch.touched.pop(log, None)
        self._batch.blocks.pop(log, None)
        self._batch.persons[log.person] = None

    def drop_person(self, person: bytes) -> None:
        """Nothing of this person is wanted any more."""
        for log in self._book.logs_of(person):
            self._drop(log)
        self._authors.drop(person)
        self._journal.add(DropAuthor(person))

    # -- the end of a batch

    def settle(self, source: bytes | None, now: float) -> int:
        """Journal the logs as they are now, and say what happened once all is durable; give the
        bytes of the batch."""
        while self._cards:
            self.take_card(self._cards.pop())
        for person in {log.person for log in self._batch.blocks}:
            self._trim(person)
        batch, self._batch = self._batch, Batch()
        if not batch:
            return 0
        batch.source = source
        told = {}
        for log in batch.touched:
            if len(log.held) == 1:
                log.settled = log.height
            self._journal.add(log.row())
            told[log] = log.to_tell()

        def durable(now: float) -> None:
            for log, headers in batch.blocks.items():
                self._book.saved(log, headers)
                self._lasting.difference_update(header.id for header in headers)
            for log, tell in told.items():
                if tell.height <= min(log.height, log.ceiling):
                    log.told = tell
            self._withdrawn.difference_update(batch.withdrawn)
            self._landing.landed(batch, now)

        self._journal.then(durable)
        return batch.size

    def _touch(self, log: Log) -> None:
        self._batch.touched[log] = None
        self._batch.persons[log.person] = None

    def allowance(self, person: bytes) -> int:
        """Bytes that may be held of a person."""
        if self._interest.level(person) is Level.SOME:
            return self._limits.nearby
        return self._limits.person

    def _trim(self, person: bytes) -> None:
        """Above the allowance, the largest log's oldest blocks go; own devices' stay."""
        most = self.allowance(person)
        if self._book.weight(person) <= most:
            return
        excess = self._book.weight(person) - most + most // 16
        while excess > 0:
            logs = [log for log in self._book.logs_of(person) if not self._is_own(log)]
            log = max(logs, key=lambda one: one.weight, default=None)
            if log is None or log.weight == 0:
                return
            excess -= self._trim_log(log, min(excess, max(log.weight // 8, BLOCK_COST)))

    def _trim_log(self, log: Log, wish: int) -> int:
        """Drop the oldest blocks of a log until so many bytes are free; how many it were."""
        freed, last = 0, 0
        for sequence, size in self._book.sizes(log, 1, log.height):
            freed, last = freed + size, sequence
            if freed >= wish:
                break
        if not last:
            freed, last = log.weight, log.height
        log.floor = last + 1
        self._keep(log, last + 1, max(log.height, last + 1), freed)
        return freed
