"""Searches that go on: whoever asked is told what turns up.

They look in a thread, at what came since the last look: while a chain of thousands comes, each
look takes in what came during the one before. At most so many hits of each are told at a look,
the newest; and of each so many in an hour, for who is followed may write what many look for.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from meshpeer.core.chain_writes import DropStanding, PutStanding
from meshpeer.core.chains.question import Question
from meshpeer.core.identity import idtext
from meshpeer.core.sync.allowance import NEWS_BURST, NEWS_PER_S, Allowance
from meshpeer.core.writes import PutEvent, Write
from meshpeer.errors import NotFoundError, RemoteProtocolError, StoreError, UsageError
from meshpeer.node.near import question_bytes
from store.search import Hit

if TYPE_CHECKING:
    from store.store import Store

log = logging.getLogger("meshpeer.node")

STANDING: Final = 64
"""Standing searches of one peer."""
MAX_NAME: Final = 100
TOLD: Final = 20
"""Hits of one standing search that are told at once."""
REMEMBER_EVERY: Final = 1_000
"""Items after which it is noted how far a standing search looked, even without a hit."""


class StandingSearches:
    """The searches that go on, and how far each has looked."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._again = False
        self._looking: asyncio.Task[None] | None = None
        self._rate = Allowance(rate=NEWS_PER_S, burst=NEWS_BURST)
        self._noted: dict[str, int] = {}
        """How far each had looked when that was written down."""
        self._standing: dict[str, tuple[PutStanding, Question]] = {}
        for row in store.standings():
            with suppress(RemoteProtocolError):  # of another version: kept, not run
                self._standing[row.name] = (row, Question.parse(row.query))

    def all(self) -> list[tuple[str, Question]]:
        """Give them by name."""
        return [(name, self._standing[name][1]) for name in sorted(self._standing)]

    def add(self, name: str, question: Question) -> list[Write]:
        """Look for this in what comes from now on; UsageError if that can't be."""
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise UsageError(f"a search's name is 1 to {MAX_NAME} characters on one line")
        if name not in self._standing and len(self._standing) >= STANDING:
            raise UsageError(f"there are {STANDING} searches that go on; remove one first")
        row = PutStanding(name, question_bytes(question), self._store.newest_item())
        self._standing[name] = (row, question)
        self._noted[name] = row.seen
        return [row]

    def remove(self, name: str) -> list[Write]:
        """Look for it no more; NotFoundError if nobody did."""
        if self._standing.pop(name, None) is None:
            raise NotFoundError(f"no search goes on under the name {name!r}")
        self._noted.pop(name, None)
        return [DropStanding(name)]

    def look(self, tell: Callable[[list[Write]], None]) -> None:
        """Look, in a thread, at what came; `tell` gets what to journal. One look at a time."""
        self._again = True
        if self._standing and self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look(tell))

    def news(self) -> list[Write]:
        """Look at once; give events of new hits, and how far was looked, to be journalled."""
        return self._told(*self._new(list(self._standing.values())))

    async def _look(self, tell: Callable[[list[Write]], None]) -> None:
        try:
            while self._again and self._standing:
                self._again = False
                rows = list(self._standing.values())
                tell(self._told(*await asyncio.to_thread(self._new, rows)))
        except StoreError as error:
            log.warning("standing searches wait", extra={"reason": str(error)})
        finally:
            self._looking = None

    def _new(
        self, standing: Sequence[tuple[PutStanding, Question]]
    ) -> tuple[int, list[tuple[PutStanding, list[Hit]]]]:
        if not standing:
            return 0, []
        newest = self._store.newest_item()
        return newest, [
            (row, self._store.items_after(question, row.seen, newest, TOLD))
            for row, question in standing
            if row.seen < newest
        ]

    def _told(
        self, newest: int, found: Sequence[tuple[PutStanding, list[Hit]]]
    ) -> list[Write]:
        writes: list[Write] = []
        for row, hits in found:
            held, question = self._standing.get(row.name, (None, None))
            if held != row or question is None:
                continue  # removed or asked anew meanwhile
            noted = self._noted.get(row.name, row.seen)
            row = row._replace(seen=newest)
            self._standing[row.name] = (row, question)
            self._noted[row.name] = noted
            writes += [
                PutEvent.of("found", name=row.name, id=idtext.encode(hit.record.id))
                for hit in reversed(hits)
                if self._rate.take(row.name, monotonic())
            ]
            if hits or newest - noted >= REMEMBER_EVERY:
                writes.append(row)
                self._noted[row.name] = newest
        return writes
