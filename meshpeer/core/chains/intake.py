"""What is checked before a block is held, and what holding it means.

A block goes through, from cheap to dear: is its person wanted; is it held already; does the card
let it count; is the log frozen below it; is the body its own; did the device sign it; do all
links agree with what is held; does the body read as a record. Only then anything is written, and
what it says takes effect (effects.py).

A block whose form, body or signature is wrong is the neighbour's fault, who should have checked
too: RemoteProtocolError. Whatever else is refused may be nobody's fault, for neighbours know
other cards, forks and kinds of records: it is counted, no more.

All that one read of a link brought is one batch: `settle` journals the logs' rows behind its
blocks, so they are in one commit, and hangs there what may happen only once they are durable.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from meshpeer.core.chain_writes import PutBlock
from meshpeer.core.chains.archive import PeopleLike
from meshpeer.core.chains.authors import Authors, Cut
from meshpeer.core.chains.batch import Batch
from meshpeer.core.chains.book import Book, cost
from meshpeer.core.chains.effects import Effects
from meshpeer.core.chains.events import CardHeard, Forked, Held
from meshpeer.core.chains.interest import Interest, Level
from meshpeer.core.chains.log import BLOCK_COST, Log, conflict
from meshpeer.core.chains.removal import Removal
from meshpeer.core.formats.block import Block, Header
from meshpeer.core.formats.card import Card, is_newer
from meshpeer.core.formats.record import Record, item_of, parse_record
from meshpeer.core.journal import Journal
from meshpeer.core.writes import Write
from meshpeer.errors import RemoteProtocolError

MAX_BARE: Final = 256
"""Spans of a log that may lack their bodies. Who keeps back every second one would else make the
log's row, which each commit writes anew, as long as the log."""


class Intake:
    """Takes blocks, proofs and cards."""

    def __init__(
        self,
        *,
        book: Book,
        authors: Authors,
        interest: Interest,
        people: PeopleLike,
        removal: Removal,
        journal: Journal,
        wall: Callable[[], float],
        also: Callable[[Held], Iterable[Write]],
        landed: Callable[[Batch, float], None],
    ) -> None:
        """`also` gives writes for the commit of a block; `landed` hears of each durable batch."""
        self._book, self._authors, self._interest = book, authors, interest
        self._people, self._removal, self._journal = people, removal, journal
        self._wall, self._also, self._landed = wall, also, landed
        self.counters: Counter[str] = Counter()
        self.effects = Effects(
            book=book,
            authors=authors,
            interest=interest,
            removal=removal,
            journal=journal,
            counters=self.counters,
        )
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
                return self._refuse("person")
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
        if body is None and not log.bare.room_for(header.sequence, MAX_BARE):
            return self._refuse("bare")
        try:
            record = parse_record(body) if body is not None else None
        except RemoteProtocolError:
            return self._refuse("record")
        if self._authors.is_here(log):
            self.overtaken.add(log)
        self._hold(log, header, body, record, now, here=False)
        return True

    def publish(self, log: Log, block: Block, record: Record, now: float) -> None:
        """Hold a block made here."""
        self._hold(log, block.header, block.body, record, now, here=True)

    def begin(self, log: Log) -> None:
        """A log begins on this peer."""
        self._book.put(log)
        self._book.touch(log)

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
            if not self._removal.has_room_for_log(header.person, header.device):
                return self._refuse("logs")
        elif header.sequence > log.ceiling:
            return self._refuse("frozen")
        return True

    def _cut(self, person: bytes, device: bytes, log: bytes) -> Cut | None:
        standing = self._authors.standing(person)
        return standing.cut(device, log) if standing else None

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
        """Freeze the log; False if its revocation shows that this block is the true one."""
        cut = self._cut(log.person, log.device, log.id)
        if cut is not None and cut.id is not None:
            if not self._leads_to(log, header, cut):
                return True
            span = log.held.over(cut.sequence)
            self._removal.keep_from(log, span[0] if span else header.sequence)
            return False
        other = self._book.header_of(log, by) if by else None
        at = conflict(header, other) if other else None
        if other and at:
            self._freeze(log, other, header, at)
        return True

    def _leads_to(self, log: Log, header: Header, cut: Cut) -> bool:
        """Whether the block that a revocation names is this one, or links to it."""
        if header.sequence == cut.sequence:
            return True
        claim, span = log.claims.get(header.sequence), log.held.over(cut.sequence)
        if claim is None or span is None or claim.id != header.id:
            return False
        return (
            span[0] <= claim.by <= span[1] and self._book.id_of(log, claim.by) is not None
        )

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
        cut = self._cut(one.person, one.device, one.log)
        if cut is None or cut.id is not None:  # revoked: the card says which branch counts
            return self._refuse("device")
        if log is None and not self._removal.has_room_for_log(one.person, one.device):
            return self._refuse("logs")
        one.verify()
        other.verify()
        self._freeze(log or Log(one.person, one.device, one.log), one, other, at)
        return True

    def _freeze(self, log: Log, one: Header, other: Header, at: int) -> None:
        if log.fork_at is not None and log.fork_at <= at:
            return
        if log.log_key not in self._book.logs:
            self._removal.make_room_for_log(log.person)
            self._book.put(log)
        news = log.fork_at is None
        log.fork_at = at
        log.claims = {n: claim for n, claim in log.claims.items() if n < at}
        self._journal.add(self._book.fork(log, one, other))
        self._book.touch(log)
        self._book.batch.proofs.append(log)
        if news:
            own = self._authors.is_here(log)
            self._book.batch.events.append(Forked(log.person, log.device, log.id, own))

    def joined(self, log: Log, headers: Sequence[Header], now: float) -> bool:
        """Hold signed headers, each of which names the next, against the log: True if they join
        the two blocks at their ends, which are held, and contradict nothing."""
        if any(self._forks(log, header, now) for header in headers):
            return False
        ends = headers[-1].sequence, headers[0].sequence
        if not all(end in log.held for end in ends):
            return False  # cut meanwhile
        log.join(*ends)
        self._book.touch(log)
        return True

    def _join_by_links(self, log: Log) -> None:
        """Where a block above a hole names one below it, nobody has to prove it."""
        while len(ends := log.bridge()) == 2:
            newer, older = (self._book.header_of(log, end) for end in ends)
            if newer is None or older is None or not newer.links_to(older):
                return
            log.join(older.sequence, newer.sequence)

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
            self._removal.make_room_for_log(log.person)
            self._book.put(log)
            self._claim_cut(log)
        withdrawn = self.effects.is_withdrawn(header, record)
        if withdrawn:
            body = record = None
        for older, id in log.links(header):
            if older not in log.held:
                log.claim(older, id, sequence)
        fresh = sequence > log.settled
        size = cost(header, body is not None)
        place = self._book.place(header.lamport)
        bare = body is None and not withdrawn
        log.hold(header, bare=bare, size=size, lamport=place)
        self._book.unsaved[header.id] = header
        self._book.batch.blocks.setdefault(log, []).append(header)
        self._book.batch.size += size
        self._book.touch(log)
        self._write(header, body, record, now, fresh=fresh, here=here)
        self._book.saw(place)
        if record is not None:
            self.effects.apply(log, header, record)

    def _fill(self, log: Log, block: Block, now: float) -> bool:
        """The body of a block held without one came."""
        header, body = block
        if body is None or header.sequence not in log.bare:
            return True
        try:
            record = parse_record(body)
        except RemoteProtocolError:
            return self._refuse("record")
        self._book.touch(log)
        if self.effects.is_withdrawn(header, record):
            log.filled(header.sequence, 0)
            return True
        log.filled(header.sequence, cost(header, True) - BLOCK_COST)
        self._write(header, body, record, now, fresh=False, here=False)
        self.effects.apply(log, header, record)
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
            now,
        )
        self._journal.add(
            PutBlock(
                header.id,
                header.person,
                header.device,
                header.log,
                header.sequence,
                self._book.place(header.lamport),
                header.to_bytes(),
                body,
                now,
                int(self._wall()),
                item_of(record) if record is not None else None,
            ),
            *self._also(held),
        )
        self._book.batch.events.append(held)

    def _claim_cut(self, log: Log) -> None:
        """Of a revoked log the last block that counts is known by its id."""
        cut = self._cut(log.person, log.device, log.id)
        if cut and cut.id is not None:
            log.claim(cut.sequence, cut.id, 0)

    # -- cards

    def take_card(self, card: Card) -> bool:
        """A verified card: True if it is newer than what was known, and holds from now on."""
        known = self._authors.card_of(card.person)
        if known is not None and not is_newer(card, known):
            return False
        self._journal.add(self._authors.put(card))
        own = card.person in self._people.own
        self._book.batch.events.append(CardHeard(card, own))
        self._removal.recut(card.person)
        return True

    # -- the end of a batch

    def settle(self, source: bytes | None, now: float) -> int:
        """Journal the logs as they are now, and say what happened once all is durable; give the
        bytes of the batch."""
        for card in self.effects.cards():
            self.take_card(card)
        for person in {log.person for log in self._book.batch.blocks}:
            self._removal.trim(person)
        batch, self._book.batch = self._book.batch, Batch()
        if not batch:
            return 0
        batch.source = source
        told = {}
        for log in batch.touched:
            if len(log.held) == 1:
                log.settled, log.proved = log.height, ()
            else:
                self._join_by_links(log)
            self._journal.add(log.row())
            told[log] = log.to_tell()

        def durable(now: float) -> None:
            for log, headers in batch.blocks.items():
                self._book.saved(log, headers)
            self.effects.durable(batch)
            for log, tell in told.items():
                if tell.height <= min(log.height, log.ceiling):
                    log.told = tell
            self._landed(batch, now)

        self._journal.then(durable)
        return batch.size
