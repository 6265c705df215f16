"""All logs known here, how their blocks are found, and what changed since the last commit.

The header of a block is in memory while its commit is awaited, else on the disk.
"""

from collections.abc import Iterator
from typing import Final

from meshpeer.core.chain_writes import PutFork
from meshpeer.core.chains.archive import ChainArchive, RestoredChains
from meshpeer.core.chains.batch import Batch
from meshpeer.core.chains.log import BLOCK_COST, Log, LogKey
from meshpeer.core.chains.spans import MAX_SPANS
from meshpeer.core.formats.block import HEADER_SIZE, MAX_LAMPORT, Header

ACTIVE: Final = 64
"""Logs whose last ids stay in memory."""
SIZES_AT_ONCE: Final = 1_024
FREE_SPANS: Final = 4
"""Spans that each log may have; of more each person has MAX_SPANS in all its logs together."""
PERSON_FOLLOWS: Final = 1_024
"""Persons followed that are remembered of one person's logs together."""
LEAP: Final = 1 << 24
"""How far above all that is held a block's Lamport number counts: who claims the end of numbers
would else stay on top of all timelines, and drive all counters there. Nobody honest is so many
blocks ahead, and whoever drives us on by lies needs 2^29 of them."""


class Book:
    """The logs by key and by person, with the proofs that froze some."""

    def __init__(self, archive: ChainArchive, restored: RestoredChains) -> None:
        self.archive = archive
        self.logs: dict[LogKey, Log] = {}
        self.proofs: dict[LogKey, tuple[bytes, bytes]] = {}
        self.unsaved: dict[bytes, Header] = {}
        """Blocks that are journalled, by id."""
        self.batch = Batch()
        """What changed since the journal was last given the rows of the logs."""
        self.lamport = 0
        self._by_person: dict[bytes, dict[LogKey, Log]] = {}
        self._active: dict[LogKey, Log] = {}
        for row in restored.logs:
            self.put(Log.restore(row))
        for fork in restored.forks:
            self.proofs[fork.device, fork.log] = fork.one, fork.other

    def put(self, log: Log) -> None:
        """Know a log from now on."""
        self.logs[log.log_key] = log
        self._by_person.setdefault(log.person, {})[log.log_key] = log
        self.saw(log.lamport)

    def touch(self, log: Log) -> None:
        """A log changed: its row is to be written, and neighbours are to be told."""
        self.batch.touched[log] = None
        self.batch.persons[log.person] = None

    def drop(self, log: Log) -> None:
        """Forget a log."""
        self.logs.pop(log.log_key, None)
        self.proofs.pop(log.log_key, None)
        self._active.pop(log.log_key, None)
        for header in log.unsaved.values():
            self.unsaved.pop(header.id, None)
        logs = self._by_person.get(log.person, {})
        logs.pop(log.log_key, None)
        if not logs:
            self._by_person.pop(log.person, None)

    @property
    def persons(self) -> dict[bytes, dict[LogKey, Log]]:
        """The logs of each person of whom there is one."""
        return self._by_person

    def logs_of(self, person: bytes) -> list[Log]:
        """The logs of a person."""
        return list(self._by_person.get(person, {}).values())

    def logs_of_device(self, person: bytes, device: bytes) -> list[Log]:
        """The logs of one device."""
        return [log for log in self.logs_of(person) if log.device == device]

    def room_for(self, log: Log, sequence: int) -> bool:
        """Whether a block may come, for its hole: a few for each log, some for each person."""
        if not log.held.room_for(sequence):
            return False
        if (
            len(log.held) < FREE_SPANS
            or sequence - 1 in log.held
            or sequence + 1 in log.held
        ):
            return True
        logs = self._by_person.get(log.person, {}).values()
        return sum(max(0, len(one.held) - FREE_SPANS) for one in logs) < MAX_SPANS

    def room_for_follow(self, person: bytes) -> bool:
        """Whether one more Follow record of a person is to be remembered."""
        logs = self._by_person.get(person, {}).values()
        return sum(len(log.follows) for log in logs) < PERSON_FOLLOWS

    def weight(self, person: bytes) -> int:
        """The bytes that count for a person."""
        return sum(log.weight for log in self._by_person.get(person, {}).values())

    # -- blocks

    def id_of(self, log: Log, sequence: int) -> bytes | None:
        """The id of a block held."""
        header = log.unsaved.get(sequence)
        if header:
            return header.id
        return log.recent.get(sequence) or self.archive.block_id(
            log.device, log.id, sequence
        )

    def header_of(self, log: Log, sequence: int) -> Header | None:
        """The header of a block held."""
        known = log.unsaved.get(sequence)
        id = None if known else self.archive.block_id(log.device, log.id, sequence)
        return known or (self._stored(id) if id else None)

    def find(self, id: bytes) -> Header | None:
        """The header of the block of this id, if it is held."""
        return self.unsaved.get(id) or self._stored(id)

    def _stored(self, id: bytes) -> Header | None:
        data = self.archive.header(id)
        return Header.parse(data) if data else None

    def sizes(self, log: Log, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Sequence and cost of the blocks held of first..last, ascending."""
        young = {n: h for n, h in log.unsaved.items() if first <= n <= last}
        for low, high in log.held:
            at = max(low, first)
            while at <= min(high, last):
                end = min(at + SIZES_AT_ONCE - 1, high, last)
                stored = dict(self.archive.log_sizes(log.device, log.id, at, end))
                for n in range(at, end + 1):
                    if n in stored:
                        yield n, max(BLOCK_COST, stored[n])
                    elif n in young:
                        yield n, cost(young[n], n not in log.bare)
                at = end + 1

    def saved(self, log: Log, headers: list[Header]) -> None:
        """These blocks of a log are durable."""
        for header in headers:
            self.unsaved.pop(header.id, None)
        if self.logs.get(log.log_key) is not log:
            return
        log.saved(headers)
        self._active.pop(log.log_key, None)
        self._active[log.log_key] = log
        if len(self._active) > ACTIVE:
            idle = self._active.pop(next(iter(self._active)))
            idle.recent.clear()

    # -- the Lamport counter

    def place(self, lamport: int) -> int:
        """What the number of a block counts as here."""
        return min(lamport, self.lamport + LEAP)

    def saw(self, lamport: int) -> None:
        """A block that counts as this number is held."""
        self.lamport = max(self.lamport, lamport)

    def tick(self) -> int:
        """The number of a block that is written now; stays at the end of numbers, if there."""
        self.lamport = min(self.lamport + 1, MAX_LAMPORT)
        return self.lamport

    def fork(self, log: Log, one: Header, other: Header) -> PutFork:
        """Keep the proof that froze a log."""
        proof = one.to_bytes(), other.to_bytes()
        self.proofs[log.log_key] = proof
        return PutFork(log.person, log.device, log.id, *proof)


def cost(header: Header, body: bool) -> int:
    """What a block counts for."""
    return max(BLOCK_COST, HEADER_SIZE + body * header.body_size)
