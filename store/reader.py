"""A connection that only reads, safe to use from any thread.

Each read takes the lock only while SQLite works and gives whole lists, so no read keeps a
snapshot open and the write-ahead log can always be begun anew. Only what is read once, at
start, and may be long comes as a stream.
"""

import sqlite3
import threading
from collections.abc import Iterator
from typing import Any, Final

from store.database import reporting

AT_ONCE: Final = 1_000


class Reader:
    """Runs queries; raises StoreError and nothing else."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.RLock) -> None:
        self._reads = connection
        self._reading = lock

    def _all(self, sql: str, *values: object) -> list[Any]:
        with reporting("read"), self._reading:
            return self._reads.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: object) -> Any:  # noqa: ANN401
        rows = self._all(sql, *values)
        return rows[0] if rows else None

    def _stream(self, sql: str, *values: object) -> Iterator[Any]:
        with reporting("read"):
            with self._reading:
                cursor = self._reads.execute(sql, values)
            while True:
                with self._reading:
                    rows = cursor.fetchmany(AT_ONCE)
                if not rows:
                    return
                yield from rows
