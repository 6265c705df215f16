"""Looks a database over, and repairs it: `meshpeer check`, while no peer runs on it.

Four looks: SQLite's own (pages, indexes), rows that a start could not take up, references between
rows, and every bundle and block, which are what their ids say, a block signed too. Repair drops
rows that are wrong: one broken name would keep the peer from starting, a broken bundle or block be
refused by every neighbour. After a repair the next start makes the full-text index anew.
What SQLite calls malformed is salvaged into a new file, which takes the
old one's place only when it is whole; the broken one stays beside it.
"""

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from typing import Final, NamedTuple

from sqlite_utils import Database

from meshpeer.core.chains.log import Log
from meshpeer.core.formats.block import Block, Header
from meshpeer.core.formats.bundle import ID_SIZE, Bundle
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.manifest import HASH_SIZE, want_tag
from meshpeer.core.identity.preimage import VALUE_SIZE
from meshpeer.core.mail.people import Status
from meshpeer.core.sync.account import Account
from meshpeer.core.writes import Box, DeliveryState
from meshpeer.errors import RemoteProtocolError, StoreError, StoreFullError
from store.chains import log_row
from store.database import create_private, refuse_strangers, reporting
from store.relog import UNREADABLE, relog, untrue_logs
from store.salvage import salvage

SHOWN: Final = 20
"""Problems of one kind that are told in full."""


class Readable(NamedTuple):
    """Rows of a table, by a key, that make sense if reading these columns says so."""

    table: str
    key: str
    columns: str
    read: Callable[..., object]


KEY: Final = "coalesce((SELECT id FROM key WHERE key.n = {}), x'')"
FETCH_STATES: Final = {"waiting", "fetching", "paused", "done", "failed"}


def _is_block(id: bytes, sequence: int, header: bytes, body: bytes | None) -> bool:
    block = Block(Header.parse(header), body)
    block.check()
    return (block.id, block.header.sequence) == (id, sequence)


READABLE: Final = (
    Readable("account", "n", "name", Account.parse),
    Readable("bundle", "n", "first_seen + received", isfinite),
    Readable(
        "over", "id", "id, until", lambda id, until: len(id) == ID_SIZE and isfinite(until)
    ),
    Readable(
        "value",
        "value",
        "value, expires",
        lambda value, expires: len(value) == VALUE_SIZE and isfinite(expires),
    ),
    Readable("message", "n", "box", lambda box: Box(box) in Box),
    Readable("delivery", "n", "state", lambda state: DeliveryState(state) in DeliveryState),
    Readable(
        "contact",
        "person",
        "card, status",
        lambda card, status: (Card.load(card), Status(status)),
    ),
    Readable("block", "n", "id, sequence, header, body", _is_block),
    Readable(
        "log",
        "log",
        f"{KEY.format('log')}, {KEY.format('person')}, height, state",
        lambda *row: Log.restore(log_row(*row)),
    ),
    Readable("author", "person", "card", Card.load),
    Readable("fetch", "n", "state", FETCH_STATES.__contains__),
    Readable(
        "file",
        "n",
        "id, tag, size",
        lambda id, tag, size: len(id) == HASH_SIZE and tag == want_tag(id) and size >= 0,
    ),
)


class Report(NamedTuple):
    """What was found and what was done, in sentences; `broken` is the file kept, if any."""

    problems: list[str]
    repairs: list[str]
    broken: Path | None = None

    @property
    def whole(self) -> bool:
        """Nothing was wrong."""
        return not self.problems


def check(path: str | os.PathLike[str], *, repair: bool = False) -> Report:
    """Look the database over; with `repair` leave it whole, or raise StoreError.

    StoreTooNewError where a newer meshpeer made it. Reads every payload: minutes for 32 GB.
    """
    file = Path(path)
    if not file.exists():
        raise StoreError(f"no database at {file}")
    report = Report(_malformed(file), [])
    if report.problems:
        if not repair:
            return report
        report = _salvage(file, report)
    with reporting("check"), _opened(file) as connection:
        refuse_strangers(Database(connection, execute_plugins=False))
        tables = _tables(connection)
        for readable in READABLE:
            if readable.table in tables:
                _check_rows(connection, report, readable, repair=repair)
        _check_references(connection, report, repair=repair)
        if "log" in tables:
            _check_logs(connection, report, repair=repair)
        _check_bundles(connection, report, repair=repair)
        if report.repairs:
            connection.execute("DROP TABLE IF EXISTS search_state")
    return report


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def _tables(connection: sqlite3.Connection) -> set[str]:
    """What there is: an older release made fewer."""
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def _malformed(file: Path) -> list[str]:
    try:
        with _opened(file) as connection:
            rows = connection.execute(f"PRAGMA integrity_check({SHOWN})").fetchall()
    except sqlite3.DatabaseError as error:
        return [f"SQLite can't read it: {error}"]
    return [text for (text,) in rows if text != "ok"]


def _salvage(file: Path, report: Report) -> Report:
    fresh = file.with_name(f"{file.name}.salvaged")
    fresh.unlink(missing_ok=True)
    create_private(str(fresh))
    try:
        with reporting("salvage"), _opened(file) as source, _opened(fresh) as target:
            copied = salvage(source, target)
    except StoreFullError:
        fresh.unlink()
        raise
    except StoreError as error:
        fresh.unlink()
        raise StoreError(
            f"nothing in {file} can be read ({error.__cause__}): move it away, and the next "
            "start makes a new one; your keys are in files of their own"
        ) from error
    for table in copied:
        state = "all" if table.whole else "only"
        report.repairs.append(f"{table.table}: {state} {table.rows} rows copied")
    return report._replace(broken=_replace(file, fresh))


def _replace(file: Path, fresh: Path) -> Path:
    """Put the fresh file in place; at no moment is there none."""
    number = 1
    while (broken := file.with_name(f"{file.name}.broken-{number}")).exists():
        number += 1
    try:
        os.link(file, broken)
        for side in ("-wal", "-shm"):  # it would be played into the fresh file
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{file}{side}", f"{broken}{side}")
        os.replace(fresh, file)
    except OSError as error:
        raise StoreError(f"cannot put {fresh} in place: {error.strerror}") from error
    return broken


def _check_rows(
    connection: sqlite3.Connection, report: Report, rows: Readable, *, repair: bool
) -> None:
    """Rows that only SQLite understands; what pointed to them is dropped after them."""
    table, key, columns, read = rows
    found = connection.execute(f"SELECT {key}, {columns} FROM {table}")  # noqa: S608 - names are ours
    wrong = [(name,) for name, *parts in found if not _can_be_read(read, parts)]
    if not wrong:
        return
    report.problems.append(f"{len(wrong)} rows of {table} can't be understood")
    if repair:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.executemany(f"DELETE FROM {table} WHERE {key} = ?", wrong)  # noqa: S608 - names are ours
        connection.execute("PRAGMA foreign_keys = ON")
        report.repairs.append(f"{len(wrong)} rows of {table} dropped")


def _can_be_read(read: Callable[..., object], parts: list[object]) -> bool:
    try:
        return bool(read(*parts))
    except UNREADABLE:
        return False


def _check_references(
    connection: sqlite3.Connection, report: Report, *, repair: bool
) -> None:
    """Rows that point nowhere; dropping them may leave others that do."""
    while rows := connection.execute("PRAGMA foreign_key_check").fetchall():
        before = connection.total_changes
        counts = Counter((table, parent, number) for table, _, parent, number in rows)
        for (table, parent, number), count in counts.items():
            report.problems.append(f"{count} rows of {table} point to no row of {parent}")
            if repair:
                _drop_orphans(connection, table, number)
                report.repairs.append(f"{count} rows of {table} dropped")
        if not repair:
            return
        if connection.total_changes == before:
            raise StoreError("rows that point nowhere can't be dropped")


def _drop_orphans(connection: sqlite3.Connection, table: str, number: int) -> None:
    rows = connection.execute(f'PRAGMA foreign_key_list("{table}")').fetchall()
    parent, column, target = next(row[2:5] for row in rows if row[0] == number)
    connection.execute(
        f'DELETE FROM "{table}" WHERE "{column}" NOT IN (SELECT "{target}" FROM "{parent}")'  # noqa: S608 - names are the schema's
    )


def _check_logs(connection: sqlite3.Connection, report: Report, *, repair: bool) -> None:
    """Logs that are not what their blocks say."""
    untrue = untrue_logs(connection)
    if not untrue:
        return
    report.problems.append(f"{len(untrue)} logs are not what their blocks say")
    if repair:
        for number in untrue:
            relog(connection, number)
        report.repairs.append(f"{len(untrue)} logs written anew from their blocks")


def _check_bundles(connection: sqlite3.Connection, report: Report, *, repair: bool) -> None:
    """A wire that isn't what its id says; found while reading, dropped afterwards."""
    rows = connection.execute(
        """SELECT n, id, header, size, data FROM bundle
           LEFT JOIN payload ON payload.bundle = bundle.n"""
    )
    wrong = [(n, id) for n, id, *parts in rows if not _is_bundle(id, *parts)]
    for _, id in wrong[:SHOWN]:
        report.problems.append(f"bundle {id.hex()} is not what its id says")
    if len(wrong) > SHOWN:
        report.problems.append(f"and {len(wrong) - SHOWN} bundles more")
    if wrong and repair:
        connection.executemany("DELETE FROM bundle WHERE n = ?", [row[:1] for row in wrong])
        report.repairs.append(f"{len(wrong)} bundles dropped")


def _is_bundle(id: bytes, header: bytes, size: int, payload: bytes | None) -> bool:
    wire = header + (payload or b"")
    try:
        return Bundle.parse(wire).id == id and len(wire) == size
    except RemoteProtocolError:
        return False
