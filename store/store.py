"""The store: one writer that commits batches, and reads that never wait for it.

A batch is one transaction. Writes of one kind are given to SQLite together, because a call for
each costs more than the row: a batch is first sorted into LANES, whose kinds touch the same
rows, and keeps its order within a lane; lanes touch different rows, or come in an order in
which later ones need earlier ones (a delivery its message, a carrier its delivery). Within a
lane runs of one kind go as one `executemany`.

The last of the disk's room is kept for writes that give some back: a database that filled the
disk to the end could not even forget, for that needs room in the write-ahead log. With less
than RESERVE free, a batch may add no more than it drops and what is free inside the file.

After a commit the file is tidied in bounded steps: the write-ahead log is cut when a slow
reader let it grow, and free pages above some slack go back to the disk, half a thousand at a
time. Neither can undo the commit, so neither is allowed to fail it.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

from meshpeer.core.clock import ClockReading
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
from meshpeer.errors import StoreFullError
from store import history, mail, people, queue
from store.database import BUSY_MS, MEMORY, open_for_reading, open_for_writing, reporting
from store.history import HistoryReads
from store.mail import MailReads
from store.names import Names, prune
from store.people import PeopleReads
from store.plan import Plan
from store.queue import QueueReads
from store.rows import Counts

LANES: Final[tuple[tuple[type, ...], ...]] = (
    (PutMessage,),
    (PutDelivery,),
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
    (PutEvent,),
)
LANE_OF: Final = {kind: number for number, kinds in enumerate(LANES) for kind in kinds}

PLAN: Final[Plan] = {**queue.PLAN, **mail.PLAN, **people.PLAN, **history.PLAN}

TRIMS: Final = {
    PutEvent: (history.TRIM_EVENTS, history.EVENTS),
    PutContactTime: (people.TRIM_CONTACT_TIMES, people.CONTACT_TIMES),
    PutPeer: (people.TRIM_PATHS, people.PATHS),
}

LOG_TOO_LONG: Final = 32 << 20
SLACK_PAGES: Final = 2_048
"""8 MB of free pages are kept for what comes next."""
STEP_PAGES: Final = 512

RESERVE: Final = 16 << 20
"""Twice what the write-ahead log keeps."""


class Store(QueueReads, MailReads, PeopleReads, HistoryReads):
    """Everything that a peer remembers, except its keys and files.

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
                        SELECT 1 FROM delivery WHERE message = one.message AND state = 5)),
                (SELECT count(*) FROM contact WHERE status = 'contact')""",
            now,
        )
        return Counts(*row)

    def close(self) -> None:
        """Close every connection; the write-ahead log goes into the file."""
        with self._writing, self._reading:
            self._reads.close()
            self._db.close()

    def _keep_reserve(self, writes: Sequence[Write]) -> None:
        if self.path == MEMORY:
            return
        disk = os.statvfs(self.path)
        if disk.f_bavail * disk.f_frsize >= RESERVE:
            return
        grows = sum(len(write.wire) for write in writes if isinstance(write, PutBundle))
        if grows and grows > self._room_inside(writes):
            raise StoreFullError(
                f"less than {RESERVE >> 20} MB are free on the disk of {self.path}"
            )

    def _room_inside(self, writes: Sequence[Write]) -> int:
        (room,) = self._db.conn.execute(
            "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"
        ).fetchone()
        dropped = [(write.id,) for write in writes if isinstance(write, DropBundle)]
        for id in dropped:
            row = self._db.conn.execute(
                "SELECT size FROM bundle WHERE id = ?", id
            ).fetchone()
            room += row[0] if row else 0
        return int(room)

    def _run(self, writes: Sequence[Write]) -> None:
        for kind, run in groupby(sorted(writes, key=_lane), type):
            same = list(run)
            for statement in PLAN[kind]:
                rows = [statement.values(write, self._names) for write in same]
                self._db.conn.executemany(statement.sql, rows)
            if kind in TRIMS:
                sql, kept = TRIMS[kind]
                self._db.conn.execute(sql, (kept,))
        if self.clock is not None:
            self._db.conn.execute(history.SAVE_CLOCK, self.clock())

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
