"""What records mean for chains themselves: withdrawals, follows, device lists, keys.

What has such an effect can't be withdrawn: who hears of the withdrawal first would never know of
the effect, and peers would differ for good.
"""

from collections import Counter
from typing import Final

from meshpeer.core.chain_writes import DropBody, PutWithdrawn
from meshpeer.core.chains.authors import Authors
from meshpeer.core.chains.batch import Batch
from meshpeer.core.chains.book import Book, cost
from meshpeer.core.chains.events import KeyHeard, Withdrawn
from meshpeer.core.chains.interest import Interest
from meshpeer.core.chains.log import BLOCK_COST, MAX_FOLLOWS, Followed, Key, Log
from meshpeer.core.chains.removal import Removal
from meshpeer.core.formats import record as records
from meshpeer.core.formats.block import Header
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.record import Record, parse_record
from meshpeer.core.journal import Journal
from meshpeer.errors import RemoteProtocolError

LASTING: Final = (records.Withdraw, records.Follow, records.Devices, records.Key)
"""What can't be withdrawn."""


class Effects:
    """Lets records of blocks that are held take effect."""

    def __init__(
        self,
        *,
        book: Book,
        authors: Authors,
        interest: Interest,
        removal: Removal,
        journal: Journal,
        counters: Counter[str],
    ) -> None:
        self._book, self._authors, self._interest = book, authors, interest
        self._removal, self._journal, self._counters = removal, journal, counters
        self._withdrawn: set[tuple[bytes, bytes]] = set()
        """Withdrawals that are journalled: (target, person)."""
        self._lasting: set[bytes] = set()
        """Journalled blocks that can't be withdrawn."""
        self._cards: list[Card] = []

    def is_withdrawn(self, header: Header, record: Record | None) -> bool:
        """Whether the author took back what this block says, maybe before it came."""
        if isinstance(record, LASTING):
            return False
        person = header.person
        if (header.id, person) in self._withdrawn:
            return True
        if not any(log.withdraws for log in self._book.persons.get(person, {}).values()):
            return False
        return person in self._book.archive.withdrawn(header.id)

    def apply(self, log: Log, header: Header, record: Record) -> None:
        """Let what a block of this log says, which is held now, take effect."""
        if isinstance(record, LASTING):
            self._lasting.add(header.id)
            self._book.batch.lasting.append(header.id)
        match record:
            case records.Withdraw():
                self._withdraw(log, record.target)
            case records.Follow():
                self._follow(log, header, record)
            case records.Key():
                key = Key(record.number, header.lamport, record.sealing)
                if log.key is None or key > log.key:
                    log.key = key
                    self._book.batch.events.append(
                        KeyHeard(log.person, log.device, record.sealing)
                    )
            case records.Devices():
                self._hear_card(log.person, record.card)
            case _:
                pass

    def _follow(self, log: Log, header: Header, record: records.Follow) -> None:
        known = record.person in log.follows
        room = known or self._book.room_for_follow(log.person)
        most = MAX_FOLLOWS if room else len(log.follows)
        said = Followed(header.lamport, header.sequence, record.following)
        if log.remember_follow(record.person, said, most=most):
            self._interest.stale = True

    def _withdraw(self, log: Log, target: bytes) -> None:
        log.withdraws = True
        person = log.person
        self._withdrawn.add((target, person))
        self._book.batch.withdrawn.append((target, person))
        self._journal.add(PutWithdrawn(target, person))
        self._removal.count_withdrawal(person)
        header = self._book.find(target)
        if header is None or header.person != person or self.lasts(target):
            return
        self._journal.add(DropBody(target))
        of = self._book.logs.get(header.log_key)
        if of is not None:
            if header.sequence not in of.bare:
                of.weight = max(0, of.weight + BLOCK_COST - cost(header, True))
            of.bare.remove(header.sequence, header.sequence)
            self._book.touch(of)
        self._book.batch.events.append(Withdrawn(person, target))

    def lasts(self, id: bytes) -> bool:
        """Whether a block held can't be withdrawn."""
        if id in self._lasting:
            return True
        body = self._book.archive.body(id)
        try:
            return body is not None and isinstance(parse_record(body), LASTING)
        except RemoteProtocolError:
            return False

    def _hear_card(self, person: bytes, data: bytes) -> None:
        try:
            card = self._authors.newer(person, data)
        except RemoteProtocolError:
            self._counters["card"] += 1
            return
        if card is not None:
            self._cards.append(card)

    def cards(self) -> list[Card]:
        """Give the newer device lists that came in records, the last one first, each once."""
        cards, self._cards = self._cards, []
        return cards[::-1]

    def durable(self, batch: Batch) -> None:
        """What this batch said can be looked up on the disk from now on."""
        self._lasting.difference_update(batch.lasting)
        self._withdrawn.difference_update(batch.withdrawn)
