"""What goes again: what a newer card cuts off, what nobody wants, what is above the allowance.

Of a log that outgrows its person's allowance the oldest blocks go first, and its floor rises, so
that they aren't asked for again. What the devices here published themselves stays.
"""

from meshpeer.core.chain_writes import CutLog, DropAuthor, DropLog
from meshpeer.core.chains.authors import Authors, Cut
from meshpeer.core.chains.book import Book
from meshpeer.core.chains.interest import Interest, Level
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.log import BLOCK_COST, Log
from meshpeer.core.formats.block import NO_BLOCK
from meshpeer.core.journal import Journal


class Removal:
    """Shortens and drops logs."""

    def __init__(
        self,
        *,
        book: Book,
        authors: Authors,
        interest: Interest,
        journal: Journal,
        limits: ChainLimits,
    ) -> None:
        self._book, self._authors, self._interest = book, authors, interest
        self._journal, self._limits = journal, limits

    def recut(self, person: bytes) -> None:
        """Let a person's newest card hold for what is held already."""
        standing = self._authors.standing(person)
        self._book.batch.persons[person] = None
        if standing is None:
            return
        for log in self._book.logs_of(person):
            if standing.revokes(log.device, log.id):
                self._drop(log)
            elif (cut := standing.cut(log.device, log.id)) and cut.id is not None:
                self._cut_log(log, cut)

    def drop_person(self, person: bytes) -> None:
        """Nothing of this person is wanted any more."""
        for log in self._book.logs_of(person):
            self._drop(log)
        self._authors.drop(person)
        self._journal.add(DropAuthor(person))

    def trim(self, person: bytes) -> None:
        """Hold of a person what the limits allow: the oldest of the largest log goes first."""
        near = self._interest.level(person) is Level.SOME
        most = self._limits.nearby if near else self._limits.person
        if self._book.weight(person) <= most:
            return
        excess = self._book.weight(person) - most + most // 16
        while excess > 0:
            logs = [
                log for log in self._book.logs_of(person) if not self._authors.is_here(log)
            ]
            log = max(logs, key=lambda one: one.weight, default=None)
            if log is None or log.weight == 0:
                return
            excess -= self._trim_log(log, min(excess, max(log.weight // 8, BLOCK_COST)))

    # -- inside

    def _trim_log(self, log: Log, wish: int) -> int:
        """Drop the oldest blocks of a log until so many bytes are free; give how many became so."""
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
                self._book.touch(log)

    def _keep(self, log: Log, first: int, last: int, freed: int) -> None:
        """Forget the blocks outside first..last, which free so many bytes."""
        top = log.held.below(last + 1)
        head = self._book.id_of(log, top) if top else None
        for sequence, header in log.unsaved.items():
            if not first <= sequence <= last:
                self._book.unsaved.pop(header.id, None)
        log.keep(first, last, head or NO_BLOCK, freed)
        self._journal.add(CutLog(log.device, log.id, first, last))
        self._book.touch(log)

    def _drop(self, log: Log) -> None:
        self._book.drop(log)
        self._journal.add(DropLog(log.device, log.id))
        self._book.batch.touched.pop(log, None)
        self._book.batch.blocks.pop(log, None)
        self._book.batch.persons[log.person] = None
