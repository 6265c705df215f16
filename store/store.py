"""The store: one writer that commits batches, and reads that never wait for it.

A batch is one transaction. Writes of one kind are given to SQLite together, because a call for
each costs more than the row: a batch is first sorted into LANES, whose kinds touch the same
rows, and keeps its order within a lane; lanes touch different rows, or come in an order in
which later ones need earlier ones (a delivery its message, a carrier its delivery). Within a
lane runs of one kind go as one `executemany`. What forgets a whole thing with all its parts
(PARTINGS) parts the batch: what stands before it is written before it, what stands behind it
after it.

After a commit the file is tidied in bounded steps: the write-ahead log is cut when a slow
reader let it grow, and free pages above some slack go back to the disk, half a thousand at a
time. Neither can undo the commit, so neither is allowed to fail it.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

from meshpeer.core.chain_writes import (
    CutLog,
    DropAuthor,
    DropBody,
    DropFollow,
    DropLog,
    DropStanding,
    DropWithdrawn,
    PutAuthor,
    PutBlock,
    PutFollow,
    PutFork,
    PutHeed,
    PutLog,
    PutStanding,
    PutWithdrawn,
)
from meshpeer.core.clock import ClockReading
from meshpeer.core.file_writes import (
    DropAnswered,
    DropBlob,
    DropFetch,
    DropFile,
    DropMirror,
    DropMirrored,
    DropPlace,
    DropWant,
    DropWatched,
    PutAnswered,
    PutAttachment,
    PutBlob,
    PutChunks,
    PutFetch,
    PutFile,
    PutMirror,
    PutMirrored,
    PutPlace,
    PutWant,
    PutWatched,
)
from meshpeer.core.writes import (
    DropBundle,
    DropContact,
    DropOver,
    DropPeer,
    DropValue,
    EraseMessage,
    MoveMessage,
    PutBundle,
    PutCarried,
    PutContact,
    PutContactTime,
    PutDelivery,
    PutEvent,
    PutMessage,
    PutOver,
    PutPeer,
    PutSeen,
    PutSetting,
    PutValue,
    SetDelivery,
    SetRead,
    TouchBundle,
    Write,
)
from store import chains, files, history, mail, people, queue
from store.database import BUSY_MS, MEMORY, open_for_reading, open_for_writing, reporting
from store.files import FileReads
from store.history import HistoryReads
from store.mail import MailReads
from store.names import Names, prune
from store.people import PeopleReads
from store.plan import Plan
from store.queue import QueueReads
from store.reserve import keep_reserve
from store.rows import Counts
from store.search import SearchReads
from store.search_index import SearchIndex

LANES: Final[tuple[tuple[type, ...], ...]] = (
    (PutMessage,),
    (PutDelivery,),
    (PutAttachment,),
    (SetRead, MoveMessage, EraseMessage, SetDelivery),
    (PutSeen,),
    (PutBundle, TouchBundle, DropBundle),
    (PutCarried,),
    (PutOver, DropOver),
    (PutValue, DropValue),
    (PutContact, DropContact),
    (PutSetting,),
    (PutPeer, DropPeer),
    (PutContactTime,),
    (PutBlock, DropBody),
    (PutLog,),
    (DropLog,),
    (CutLog,),
    (PutFork,),
    (PutAuthor,),
    (PutWithdrawn,),
    (DropWithdrawn,),
    (DropAuthor,),
    (PutFollow, DropFollow),
    (PutStanding, DropStanding),
    (PutHeed,),
    (PutFile,),
    (PutPlace, DropPlace),
    (PutBlob, DropBlob),
    (PutChunks,),
    (DropFile,),
    (PutFetch, DropFetch),
    (PutWant, DropWant),
    (PutAnswered, DropAnswered),
    (PutWatched, DropWatched),
    (PutMirror,),
    (PutMirrored, DropMirrored),
    (DropMirror,),
    (PutEvent,),
)
PARTINGS: Final = {DropLog, CutLog, DropWithdrawn, DropAuthor, DropFile, DropMirror}
LANE_OF: Final = {kind: number for number, kinds in enumerate(LANES) for kind in kinds}

PLAN: Final[Plan] = {
    **queue.PLAN,
    **mail.PLAN,
    **people.PLAN,
    **chains.PLAN,
    **files.PLAN,
    **history.PLAN,
}

TRIMS: Final = {
    PutEvent: (history.TRIM_EVENTS, history.EVENTS),
    PutContactTime: (people.TRIM_CONTACT_TIMES, people.CONTACT_TIMES),
    PutPeer: (people.TRIM_PATHS, people.PATHS),
}

LOG_TOO_LONG: Final = 32 << 20
SLACK_PAGES: Final = 2_048
"""8 MB of free pages are kept for what comes next."""
STEP_PAGES: Final = 512


class Store(QueueReads, MailReads, PeopleReads, SearchReads, FileReads, HistoryReads):
    """Everything that a peer remembers, except its keys and what lies in ordinary files.

    `commit` is for one thread; reads may come from any. `path` may be ":memory:".
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Callable[[], ClockReading] | None = None,
    ) -> None:
        """Open, or create; `clock` is asked at each commit and may be set after opening."""
        self.path = os.fspath(path)
        self.clock = clock
        self._db = open_for_writing(self.path)
        with reporting("open"):
            prune(self._db.conn)
        self._names = Names(self._db.conn)
        with reporting("open"):
            self._index = SearchIndex(self._db.conn)
        self._writing = threading.RLock()
        if self.path == MEMORY:
            super().__init__(self._db.conn, self._writing)
        else:
            super().__init__(open_for_reading(self.path), threading.RLock())

    def commit(self, writes: Sequence[Write]) -> None:
        """Write all in one transaction, durable on return, or raise and have written none.

        StoreFullError: no room on the disk. StoreError: anything else the disk says.
        """
        with self._writing:
            try:
                with reporting("write to"), self._db.atomic():
                    self._keep_reserve(writes)
                    self._run(writes)
            except BaseException:
                self._names.forget()
                self._index.forget()
                raise
            with contextlib.suppress(sqlite3.OperationalError, OSError):
                self._tidy()

    def counts(self, now: float = 0.0) -> Counts:
        """Count what a status shows; `now` tells which deliveries are out of time."""
        row = self._one(
            """SELECT (SELECT count(*) FROM message WHERE box = 0 AND read = 0),
                (SELECT count(*) FROM message WHERE box = 1),
                (SELECT count(DISTINCT message) FROM delivery AS one
                    WHERE state < 5 AND expires > ? AND NOT EXISTS (
                        SELECT 1 FROM delivery WHERE message = one.message AND state = 5))
                + (SELECT count(DISTINCT attachment.message) FROM attachment
                    JOIN delivery ON delivery.message = attachment.message
                    WHERE attachment.state = 'underway' AND delivery.state = 5
                        AND expires > ?),
                (SELECT count(*) FROM contact WHERE status = 'contact'),
                (SELECT count(*) FROM block), (SELECT count(*) FROM file)""",
            now,
            now,
        )
        return Counts(*row)

    def close(self) -> None:
        """Close every connection; the write-ahead log goes into the file."""
        with self._writing, self._reading:
            self._reads.close()
            self._db.close()

    def _keep_reserve(self, writes: Sequence[Write]) -> None:
        if self.path != MEMORY:
            keep_reserve(self._db.conn, self.path, writes, self._names)

    def _run(self, writes: Sequence[Write]) -> None:
        for part in _parts(writes):
            for kind, run in groupby(sorted(part, key=_lane), type):
                self._run_same(kind, list(run))
        self._index.settle()
        if self.clock is not None:
            self._db.conn.execute(history.SAVE_CLOCK, self.clock())

    def _run_same(self, kind: type, writes: Sequence[Write]) -> None:
        for sql, values in PLAN[kind]:
            rows = [values(write, self._names) for write in writes]
            self._db.conn.executemany(sql, [row for row in rows if row is not None])
        if kind in TRIMS:
            sql, kept = TRIMS[kind]
            self._db.conn.execute(sql, (kept,))

    def _tidy(self) -> None:
        self._names.tidy()
        if self.path == MEMORY:
            return
        if os.stat(f"{self.path}-wal").st_size > LOG_TOO_LONG:
            self._cut_log()
        (free,) = self._db.conn.execute("PRAGMA freelist_count").fetchone()
        if free > SLACK_PAGES:
            # gives one page for each step, and only a script steps to the end
            self._db.conn.executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")

    def _cut_log(self) -> None:
        """Without waiting for a reader that still needs it; the next commit tries again."""
        self._db.conn.execute("PRAGMA busy_timeout = 0")
        try:
            self._db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._db.conn.execute(f"PRAGMA busy_timeout = {BUSY_MS}")


def _lane(write: Write) -> int:
    return LANE_OF[type(write)]


def _parts(writes: Sequence[Write]) -> Iterator[Sequence[Write]]:
    """Give the batch in parts, of which each but the last ends in one that parts."""
    begin = 0
    for end, write in enumerate(writes, 1):
        if type(write) in PARTINGS:
            yield writes[begin:end]
            begin = end
    yield writes[begin:]
