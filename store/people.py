"""Contacts, settings, peers with their paths, and the times of contact."""

from collections.abc import Iterator
from typing import Final

from meshpeer.core.writes import (
    DropContact,
    DropPeer,
    PutContact,
    PutContactTime,
    PutPeer,
    PutSetting,
)
from store.plan import Plan, Statement
from store.reader import Reader

CONTACT_TIMES: Final = 100_000
"""Kept, the latest: a year of 270 contacts a day, in some 5 MB."""

PLAN: Final[Plan] = {
    PutContact: (
        Statement(
            """INSERT OR REPLACE INTO
                   contact(person, card, nickname, petname, status, verified, introduced, since)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
            lambda write, names: (names.key(write.person), *write[1:]),
        ),
    ),
    DropContact: (
        Statement(
            "DELETE FROM contact WHERE person = ?",
            lambda write, names: (names.key(write.person),),
        ),
    ),
    PutSetting: (
        Statement(
            "INSERT OR REPLACE INTO setting(name, value) VALUES (?, ?)",
            lambda write, names: tuple(write),
        ),
    ),
    PutPeer: (
        Statement(
            """INSERT OR REPLACE INTO path(peer, transport, address, configured, last_up)
               VALUES (?, ?, ?, ?, ?)""",
            lambda write, names: (names.key(write.peer), *write[1:]),
        ),
    ),
    DropPeer: (
        Statement(
            "DELETE FROM path WHERE peer = ?",
            lambda write, names: (names.key(write.peer),),
        ),
    ),
    PutContactTime: (
        Statement(
            'INSERT INTO contact_time(peer, start, "end", transport) VALUES (?, ?, ?, ?)',
            lambda write, names: (names.key(write.peer), *write[1:]),
        ),
    ),
}

PATHS: Final = 100_000
"""Kept, the last used; configured ones always."""

TRIM_PATHS: Final = """DELETE FROM path WHERE configured = 0 AND last_up < (
    SELECT last_up FROM path WHERE configured = 0 ORDER BY last_up DESC LIMIT 1 OFFSET ?)"""

TRIM_CONTACT_TIMES: Final = """DELETE FROM contact_time
    WHERE n <= (SELECT max(n) FROM contact_time) - ?"""

KNOWN_PATHS: Final = """SELECT key.id, transport, address, configured, last_up
    FROM path JOIN key ON key.n = path.peer """


class PeopleReads(Reader):
    """Who is known here, and by which ways."""

    def contacts(self) -> list[PutContact]:
        """Give everybody known, in the order in which they were first heard of."""
        rows = self._all(
            """SELECT key.id, card, nickname, petname, status, verified, introduced, since
               FROM contact JOIN key ON key.n = contact.person ORDER BY contact.person"""
        )
        return [
            PutContact._make((*row[:5], row[5] == 1, row[6] == 1, row[7])) for row in rows
        ]

    def settings(self) -> dict[str, bytes]:
        """Give every named value."""
        return dict(self._all("SELECT name, value FROM setting"))

    def peers(self, limit: int = 1_000) -> list[PutPeer]:
        """Give paths to peers: configured ones first, then those last used."""
        return self._paths("ORDER BY configured DESC, last_up DESC LIMIT ?", limit)

    def paths(self, peer: bytes) -> list[PutPeer]:
        """Give the paths to one peer, those last used first."""
        return self._paths("WHERE key.id = ? ORDER BY last_up DESC", peer)

    def contact_times(self, since: float = 0.0) -> Iterator[PutContactTime]:
        """Give the times of contact that ended at `since` or later, in order of ending."""
        return map(
            PutContactTime._make,
            self._stream(
                """SELECT key.id, start, "end", transport
                   FROM contact_time JOIN key ON key.n = contact_time.peer
                   WHERE "end" >= ? ORDER BY contact_time.n""",
                since,
            ),
        )

    def _paths(self, which: str, *values: object) -> list[PutPeer]:
        return [
            PutPeer._make((*row[:3], row[3] == 1, row[4]))
            for row in self._all(KNOWN_PATHS + which, *values)
        ]
