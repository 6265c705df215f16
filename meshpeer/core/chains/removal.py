"""What goes again: what a newer card cuts off, what nobody wants, what is above the allowance.

Of a log that outgrows its person's allowance the oldest blocks go first, and its floor rises, so
that they aren't asked for again. What the devices here published themselves stays.

A person may have so many logs, in whatever devices; of who has them all those of devices that left
the list give way to new ones. And so many withdrawals, twice what the allowance has blocks: above
that what was withdrawn and isn't held is forgotten, for who withdraws what isn't there without end
would fill the disk while the blocks that say so go.
"""

from meshpeer.core.chain_writes import CutLog, DropAuthor, DropLog, DropWithdrawn
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
        self._withdrawn: dict[bytes, int] = {}
        """How many withdrawals of a person are kept, or more, for those who withdrew lately."""

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
        self._withdrawn.pop(person, None)
        self._journal.add(DropAuthor(person))

    def has_room_for_log(self, person: bytes, device: bytes) -> bool:
        """Whether one more log may come of this device."""
        if len(self._book.logs_of_device(person, device)) >= self._limits.logs:
            return False
        logs = self._book.logs_of(person)
        return len(logs) < self._most_logs(person) or any(map(self._is_outdated, logs))

    def make_room_for_log(self, person: bytes) -> None:
        """One more log comes: where there is no room, one of a device not listed any more goes."""
        logs = self._book.logs_of(person)
        if len(logs) >= self._most_logs(person):
            outdated = filter(self._is_outdated, logs)
            log = min(outdated, key=lambda one: one.weight, default=None)
            if log is not None:
                self._drop(log)

    def count_withdrawal(self, person: bytes) -> None:
        """One more withdrawal of a person was journalled."""
        count = self._withdrawn.get(person)
        if count is None:
            count = self._book.archive.count_withdrawn(person)
        most = 2 * self._allowance(person) // BLOCK_COST
        if count >= most:
            self._journal.add(DropWithdrawn(person))
            count = sum(log.held.count for log in self._book.logs_of(person))
        self._withdrawn[person] = count + 1

    def trim(self, person: bytes) -> None:
        """Hold of a person what the limits allow: the oldest of the largest log goes first."""
        most = self._allowance(person)
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

    def _allowance(self, person: bytes) -> int:
        near = self._interest.level(person) is Level.SOME
        return self._limits.nearby if near else self._limits.person

    def _most_logs(self, person: bytes) -> int:
        near = self._interest.level(person) is Level.SOME
        return self._limits.nearby_logs if near else self._limits.person_logs

    def _is_outdated(self, log: Log) -> bool:
        """Whether the log is of a device that the newest card neither lists nor revokes."""
        standing = self._authors.standing(log.person)
        if standing is None or self._authors.is_here(log):
            return False
        return standing.cut(log.device, log.id) is None

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
        if log.fork_at is not None:
            self._thaw(log, cut)
        if cut.sequence in log.held and self._book.id_of(log, cut.sequence) != cut.id:
            self._drop(log)
            return
        if log.height > cut.sequence:
            self._shorten(log, cut.sequence)
        if cut.sequence not in log.held and cut.id is not None:
            known = log.claims.get(cut.sequence)
            if known and known.id != cut.id:
                self._drop(log)
            elif cut.sequence >= log.floor:
                log.claim(cut.sequence, cut.id, 0)
                self._book.touch(log)

    def _thaw(self, log: Log, cut: Cut) -> None:
        """The block that a revocation names decides which branch is the true one, also where a
        thief of the device wrote another: what may be of that goes, and the log thaws."""
        fork, log.fork_at = log.fork_at or 1, None
        self._book.touch(log)
        span = log.held.over(cut.sequence)
        if span is not None and self._book.id_of(log, cut.sequence) == cut.id:
            if span[0] > fork:
                self.keep_from(log, span[0])
        elif log.height >= fork:
            self._shorten(log, fork - 1)

    def keep_from(self, log: Log, first: int) -> None:
        """Forget the blocks below `first`, of which others may be the true ones."""
        freed = sum(size for _, size in self._book.sizes(log, 1, first - 1))
        self._keep(log, first, max(log.height, first), freed)

    def _shorten(self, log: Log, last: int) -> None:
        freed = sum(size for _, size in self._book.sizes(log, last + 1, log.height))
        self._keep(log, log.held.bottom, last, freed)

    def _keep(self, log: Log, first: int, last: int, freed: int) -> None:
        """Forget the blocks outside first..last, which free so many bytes."""
        top = log.held.below(last + 1)
        head = self._book.id_of(log, top) if top else None
        for sequence, header in log.unsaved.items():
            if not first <= sequence <= last:
                self._book.unsaved.pop(header.id, None)
        follows = len(log.follows)
        log.keep(first, last, head or NO_BLOCK, freed)
        self._interest.stale |= len(log.follows) < follows
        self._journal.add(CutLog(log.device, log.id, first, last))
        self._book.touch(log)

    def _drop(self, log: Log) -> None:
        self._interest.stale |= bool(log.follows)
        self._book.drop(log)
        self._journal.add(DropLog(log.device, log.id))
        self._book.batch.touched.pop(log, None)
        self._book.batch.blocks.pop(log, None)
        self._book.batch.persons[log.person] = None
