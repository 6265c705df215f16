"""Bundles held, ids that are over, receipts and recalls, and who carries what.

The index (`queue_index`) is what the queue keeps in memory; payloads are read by id when they
are to be sent. A bundle put twice keeps its number, so what neighbours acknowledged stays.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from meshpeer.core.formats.bundle import HEADER_SIZE
from meshpeer.core.sync.queue import Held
from meshpeer.core.writes import (
    DropBundle,
    DropOver,
    DropValue,
    PutBundle,
    PutCarried,
    PutOver,
    PutValue,
    TouchBundle,
)
from store.plan import Plan, Statement
from store.reader import Reader

EXTENSION_LENGTH: Final = 3
"""Offset of the byte that says how many bytes of extensions follow the fixed header."""


def _header_size(wire: bytes) -> int:
    """Say where the payload begins."""
    return HEADER_SIZE + wire[EXTENSION_LENGTH]


PLAN: Final[Plan] = {
    PutBundle: (
        Statement(
            """INSERT INTO bundle(id, header, size, account, first_seen, received, own)
               VALUES (?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT(id) DO UPDATE SET header = excluded.header, size = excluded.size,
               account = excluded.account, first_seen = excluded.first_seen,
               received = excluded.received, own = excluded.own""",
            lambda write, names: (
                write.id,
                write.wire[: _header_size(write.wire)],
                len(write.wire),
                names.account(write.account),
                write.first_seen,
                write.received,
                write.own,
            ),
        ),
        Statement(
            """INSERT INTO payload(bundle, data) SELECT n, ? FROM bundle WHERE id = ?
               ON CONFLICT(bundle) DO UPDATE SET data = excluded.data""",
            lambda write, names: (write.wire[_header_size(write.wire) :], write.id),
        ),
    ),
    TouchBundle: (
        Statement(
            "UPDATE bundle SET header = ?, received = ? WHERE id = ?",
            lambda write, names: (write.header, write.received, write.id),
        ),
    ),
    DropBundle: (
        Statement("DELETE FROM bundle WHERE id = ?", lambda write, names: (write.id,)),
    ),
    PutCarried: (
        Statement(
            """INSERT OR IGNORE INTO carried(bundle, peer, at)
               SELECT n, ?, ? FROM bundle WHERE id = ?""",
            lambda write, names: (names.key(write.peer), write.at, write.bundle),
        ),
        Statement(
            """INSERT OR IGNORE INTO carrier(delivery, peer, at)
               SELECT n, ?, ? FROM delivery WHERE bundle = ?""",
            lambda write, names: (names.key(write.peer), write.at, write.bundle),
        ),
    ),
    PutOver: (
        Statement(
            "INSERT OR REPLACE INTO over(id, until, account) VALUES (?, ?, ?)",
            lambda write, names: (write.id, write.until, names.account(write.account)),
        ),
    ),
    DropOver: (
        Statement("DELETE FROM over WHERE id = ?", lambda write, names: (write.id,)),
    ),
    PutValue: (
        Statement(
            "INSERT OR REPLACE INTO value(value, expires, account) VALUES (?, ?, ?)",
            lambda write, names: (write.value, write.expires, names.account(write.account)),
        ),
    ),
    DropValue: (
        Statement("DELETE FROM value WHERE value = ?", lambda write, names: (write.value,)),
    ),
}


HELD: Final = """SELECT id, header, size, account.name, first_seen, received, own
    FROM bundle JOIN account ON account.n = bundle.account """


class QueueReads(Reader):
    """What the queue asks."""

    def queue_index(self) -> Iterator[Held]:
        """Give every bundle held, in the order of coming, without reading payloads."""
        return map(_held, self._stream(HELD + "ORDER BY bundle.n"))

    def queue_page(self, after: bytes = b"", limit: int = 100) -> list[Held]:
        """Give the bundles held whose ids come next after `after`, by id."""
        rows = self._all(HELD + "WHERE id > ? ORDER BY id LIMIT ?", after, limit)
        return [_held(row) for row in rows]

    def wires(self, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """Give headers and payloads of those that are held."""
        found = {}
        for id in ids:
            row = self._one(
                """SELECT header, data FROM bundle JOIN payload ON payload.bundle = bundle.n
                   WHERE id = ?""",
                id,
            )
            if row is not None:
                found[id] = row[0] + row[1]
        return found

    def overs(self) -> Iterator[PutOver]:
        """Give every id that is over, with the time until which it stays so."""
        return map(
            PutOver._make,
            self._stream(
                """SELECT id, until, account.name
                   FROM over JOIN account ON account.n = over.account"""
            ),
        )

    def values(self) -> Iterator[PutValue]:
        """Give every receipt and recall kept."""
        return map(
            PutValue._make,
            self._stream(
                """SELECT value, expires, account.name
                   FROM value JOIN account ON account.n = value.account"""
            ),
        )

    def carried(self) -> Iterator[PutCarried]:
        """Give who acknowledged what, of the bundles held; rows of one bundle are together."""
        return map(
            PutCarried._make,
            self._stream(
                """SELECT bundle.id, key.id, at FROM carried
                   JOIN bundle ON bundle.n = carried.bundle
                   JOIN key ON key.n = carried.peer ORDER BY carried.bundle"""
            ),
        )


def _held(row: tuple[bytes, bytes, int, str, float, float, int]) -> Held:
    return Held(*row[:6], row[6] == 1)
