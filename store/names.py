"""Small integers for keys and names that many rows repeat.

What was looked up is remembered, within a bound: 4,096 entries are half a megabyte. When a
transaction is undone, the memory goes too, for it may know numbers that never came to be.
"""

import sqlite3
from typing import Final

REMEMBERED: Final = 4_096

UNUSED: Final = 200_000
"""Names beyond which those go that no row needs any more: at a start, and after so many new ones."""

PRUNE: Final = {
    "SELECT count(*) FROM account": """DELETE FROM account WHERE n NOT IN (
        SELECT account FROM bundle UNION SELECT account FROM over
        UNION SELECT account FROM value)""",
    "SELECT count(*) FROM key": """DELETE FROM key WHERE n NOT IN (
        SELECT peer FROM carried UNION SELECT peer FROM carrier
        UNION SELECT person FROM message UNION SELECT contact FROM message
        UNION SELECT device FROM delivery UNION SELECT sender FROM seen
        UNION SELECT person FROM contact UNION SELECT peer FROM path
        UNION SELECT peer FROM contact_time
        UNION SELECT log FROM log UNION SELECT person FROM log UNION SELECT log FROM block
        UNION SELECT person FROM item UNION SELECT log FROM fork UNION SELECT person FROM fork
        UNION SELECT person FROM author UNION SELECT person FROM follow
        UNION SELECT person FROM withdrawn UNION SELECT person FROM watched
        UNION SELECT person FROM mirror UNION SELECT person FROM heed)""",
}


def prune(connection: sqlite3.Connection) -> None:
    """Drop names that strangers left behind, where they are many; not within a transaction."""
    for count, drop in PRUNE.items():
        if connection.execute(count).fetchone()[0] > UNUSED:
            # each reference would be looked for without an index; the query looked already
            connection.execute("PRAGMA foreign_keys = OFF")
            try:
                connection.execute(drop)
            finally:
                connection.execute("PRAGMA foreign_keys = ON")


class Names:
    """Numbers of accounts and keys, given on first use; for the one writer."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[str | bytes, int] = {}
        self._added = 0

    def tidy(self) -> None:
        """Prune if so many were added that strangers must have; not within a transaction."""
        if self._added > UNUSED:
            self._added = 0
            prune(self._connection)
            self.forget()

    def account(self, name: str) -> int:
        """Give the number of an account."""
        return self._known.get(name) or self._learn(
            name,
            "SELECT n FROM account WHERE name = ?",
            "INSERT INTO account(name) VALUES (?) RETURNING n",
        )

    def key(self, id: bytes) -> int:
        """Give the number of a peer's, person's or device's key."""
        return self._known.get(id) or self._learn(
            id,
            "SELECT n FROM key WHERE id = ?",
            "INSERT INTO key(id) VALUES (?) RETURNING n",
        )

    def log(self, device: bytes, log: bytes) -> int:
        """Give the number of a device's log."""
        return self.key(device + log)

    def forget(self) -> None:
        """Ask the database again from now on."""
        self._known.clear()

    def _learn(self, name: str | bytes, find: str, add: str) -> int:
        row = self._connection.execute(find, (name,)).fetchone()
        if row is None:
            row = self._connection.execute(add, (name,)).fetchone()
            self._added += 1
        number: int = row[0]
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[name] = number
        return number
