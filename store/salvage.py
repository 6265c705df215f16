"""Copies what is readable of a malformed database into a new one.

SQLite stops a scan at the first bad page. A table with integer keys is therefore read from both
ends, and what remains between is halved until each readable page around the bad ones was found;
the others, keyed by bytes, are read from both ends only. Where an index has all columns it is read
too: `key`, to which every message points, is a page or two, and stands in its index once more. The
schema is taken as it stands, so an
old database stays an old one, and migrates when it is opened. The full-text index is left out: the
next start makes it from the items.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

Row: TypeAlias = Sequence[Any]

FIRST, LAST = 1, 2**63 - 1
"""All numbers here are above 0; halving goes to the low ones first."""

SPANS: Final = 30_000
"""Looked at in one table: a second or so; a bad last page would be halved without end."""


class Table(NamedTuple):
    """A table of the broken database and what its primary key is."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    by_number: bool
    """The key is SQLite's integer row number."""


class Copied(NamedTuple):
    """What came over of one table."""

    table: str
    rows: int
    whole: bool


def salvage(broken: sqlite3.Connection, fresh: sqlite3.Connection) -> list[Copied]:
    """Copy all that can be read; sqlite3.DatabaseError if not even the schema can."""
    schema = broken.execute(
        """SELECT type, name, sql FROM sqlite_master
           WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*'
           AND tbl_name NOT GLOB 'search_*' ORDER BY type = 'index'"""
    ).fetchall()
    tables = [_describe(broken, name) for kind, name, _ in schema if kind == "table"]
    fresh.execute("PRAGMA auto_vacuum = INCREMENTAL")
    fresh.execute("PRAGMA foreign_keys = OFF")
    fresh.execute("BEGIN")
    for _, _, sql in schema:
        fresh.execute(sql)
    copied = [_copy(broken, fresh, table) for table in tables]
    _keep_numbers_used(broken, fresh)
    fresh.execute("COMMIT")
    (application,) = broken.execute("PRAGMA application_id").fetchone()
    fresh.execute(f"PRAGMA application_id = {application}")
    return copied


def _describe(broken: sqlite3.Connection, name: str) -> Table:
    columns = broken.execute(
        "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY pk = 0, pk", (name,)
    ).fetchall()
    key = tuple(column for column, _, place in columns if place)
    kinds = [kind for _, kind, place in columns if place]
    return Table(name, tuple(row[0] for row in columns), key, kinds == ["INTEGER"])


def _copy(broken: sqlite3.Connection, fresh: sqlite3.Connection, table: Table) -> Copied:
    names = ", ".join(f'"{column}"' for column in table.columns)
    marks = ", ".join("?" * len(table.columns))
    insert = f'INSERT OR IGNORE INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608 - names are the schema's
    reading = _Reading(broken, table, names)
    rows = 0
    for row in reading.rows():
        with contextlib.suppress(sqlite3.IntegrityError):
            rows += fresh.execute(insert, row).rowcount
    return Copied(table.name, rows, reading.whole)


def _complete_indexes(broken: sqlite3.Connection, table: Table) -> list[str]:
    """Indexes that have every column: each has its own and the primary key."""
    found = broken.execute(
        "SELECT name FROM pragma_index_list(?) WHERE origin != 'pk'", (table.name,)
    ).fetchall()
    return [
        name
        for (name,) in found
        if {*_columns(broken, name), *table.key} >= set(table.columns)
    ]


def _columns(broken: sqlite3.Connection, index: str) -> list[str]:
    found = broken.execute("SELECT name FROM pragma_index_info(?)", (index,))
    return [column for (column,) in found]


class _Reading:
    """Reads one table around what can't be read; may give a row twice."""

    def __init__(self, broken: sqlite3.Connection, table: Table, names: str) -> None:
        key = ", ".join(f'"{column}"' for column in table.key)
        down = ", ".join(f'"{column}" DESC' for column in table.key)
        every = f'SELECT {names} FROM "{table.name}" NOT INDEXED'  # noqa: S608 - names are the schema's
        span = f"WHERE {key} BETWEEN ? AND ?" if table.by_number else ""
        self._up = f"{every} {span} ORDER BY {key}"
        self._down = f"{every} {span} ORDER BY {down}"
        self._indexed = [
            f'SELECT {names} FROM "{table.name}" INDEXED BY "{index}"'  # noqa: S608 - names are the schema's
            for index in _complete_indexes(broken, table)
        ]
        self._broken = broken
        self._by_number = table.by_number
        self._broke_off = False
        self.whole = True

    def rows(self) -> Iterator[Row]:
        """Give every row that can be read in any way."""
        yield from self._from_numbers() if self._by_number else self._from_both_ends()
        for sql in self._indexed:
            if not self.whole:
                yield from self._scan(sql)
                self.whole = not self._broke_off

    def _from_both_ends(self) -> Iterator[Row]:
        """Give rows up to the first that can't be read, then from the end."""
        yield from self._scan(self._up)
        if self._broke_off:
            yield from self._scan(self._down)

    def _from_numbers(self) -> Iterator[Row]:
        """Give every row that can be read; the number is its first column."""
        spans = [(FIRST, LAST)]
        for _ in range(SPANS):
            if not spans:
                return
            low, high = spans.pop()
            for row in self._scan(self._up, low, high):
                yield row
                low = row[0] + 1
            if not self._broke_off or low > high:
                continue
            for row in self._scan(self._down, low, high):
                yield row
                high = row[0] - 1
            if self._broke_off and low < high:
                middle = (low + high) // 2
                spans += [(middle + 1, high), (low, middle)]

    def _scan(self, sql: str, *values: int) -> Iterator[Row]:
        self._broke_off = False
        try:
            yield from self._broken.execute(sql, values)
        except sqlite3.DatabaseError:
            self._broke_off, self.whole = True, False


def _keep_numbers_used(broken: sqlite3.Connection, fresh: sqlite3.Connection) -> None:
    """No number is given twice, not even that of a message whose row couldn't be read."""
    with contextlib.suppress(sqlite3.DatabaseError):
        used = broken.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        fresh.execute("DELETE FROM sqlite_sequence")
        fresh.executemany("INSERT INTO sqlite_sequence(name, seq) VALUES (?, ?)", used)
