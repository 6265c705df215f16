"""What one neighbour is told of logs: their heads, their person's card, and proofs of forks.

Heads wait while the neighbour doesn't read, and then only the newest of each log are said. While
history comes in below a height that was told, that is said only now and then.
"""

from collections.abc import Callable, Iterable
from typing import Final
from weakref import WeakKeyDictionary

from meshpeer.core.chains.authors import Authors
from meshpeer.core.chains.book import Book
from meshpeer.core.chains.log import NOT_SAID, Log
from meshpeer.core.chains.messages import HEADS_AT_ONCE, Head, Heads, Message, Proof
from meshpeer.core.formats.block import Header

HISTORY_STEP: Final = 2_048
"""Blocks of history that come before it is told how far down they reach."""


class Telling:
    """What is to be told, and what was."""

    def __init__(
        self, book: Book, authors: Authors, say: Callable[[Message], None]
    ) -> None:
        self._book, self._authors, self._say = book, authors, say
        self._waiting: dict[bytes, set[Log] | None] = {}
        """Of whom heads are to be told: of these logs, or (None) of all that there are."""
        self._cards: dict[bytes, bytes] = {}
        """The signature of the card of each person that was told."""
        self._heads = WeakKeyDictionary[Log, tuple[int, int]]()
        """Height and number of blocks that were told."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def logs(self, person: bytes, logs: Iterable[Log]) -> None:
        """These logs of a person are to be told."""
        waiting = self._waiting.setdefault(person, set())
        if waiting is not None:
            waiting.update(logs)

    def everything(self, person: bytes) -> None:
        """All logs of a person are to be told, with the proofs that froze some."""
        self._waiting[person] = None

    def pump(self, reads: Callable[[], bool]) -> None:
        """Say what waits, as long as the neighbour reads."""
        while self._waiting and reads():
            person = next(iter(self._waiting))
            self._tell(person, self._waiting.pop(person))

    def _tell(self, person: bytes, logs: set[Log] | None) -> None:
        card = self._authors.card_of(person)
        if card is None:
            return
        shown = shown_logs(self._book, self._authors, person)
        if logs is None:
            for log in shown:
                self.proof(log)
        heads: list[list[Head]] = [[]]
        for log in shown:
            if (logs is None or log in logs) and self._worth(log, logs is None):
                if len(heads[-1]) >= HEADS_AT_ONCE:
                    heads.append([])
                heads[-1] += heads_of(log)
        data = b""
        if self._cards.get(person) != card.signature:
            self._cards[person] = card.signature
            data = card.to_bytes()
        for part in heads:
            if part or data:
                self._say(Heads(person, data, tuple(part)))
            data = b""

    def proof(self, log: Log) -> None:
        """Say why a log is frozen, if it is."""
        proof = self._book.proofs.get(log.log_key)
        if proof:
            self._say(Proof(*map(Header.parse, proof)))

    def _worth(self, log: Log, all: bool) -> bool:
        """Whether a log's state is worth telling: a new height, or much more history."""
        told = log.told
        if told.height == 0:
            return False
        height, blocks = self._heads.get(log, (0, 0))
        more = told.blocks - blocks
        if not (
            all
            or height != told.height
            or more >= HISTORY_STEP
            or (more > 0 and told.complete(log.floor))
        ):
            return False
        self._heads[log] = told.height, told.blocks
        return True


def shown_logs(book: Book, authors: Authors, person: bytes) -> list[Log]:
    """The logs of a person that count by the newest card."""
    standing = authors.standing(person)
    if standing is None:
        return []
    return [
        log for log in book.logs_of(person) if standing.cut(log.device, log.id) is not None
    ]


def heads_of(log: Log) -> list[Head]:
    """What is told of a log: its spans, newest first; only the newest names its last block."""
    told = log.told
    return [
        Head(log.device, log.id, *span, told.head if span[1] == told.height else NOT_SAID)
        for span in reversed(told.spans)
    ]
