"""Opening the file: settings, migrations with a copy before, errors in our own words.

Settings and why:

    journal_mode=WAL, synchronous=FULL   a commit is on the disk when it returns; reads go on
    auto_vacuum=INCREMENTAL              room comes back in small steps (see store.py)
    secure_delete=FAST                   an erased text is overwritten where that costs no write
    cache_size                           4 MB for writing, 2 MB for reading: 100,000 bundles on
                                         a machine with 1 GB gain little from more
    journal_size_limit, autocheckpoint   the write-ahead log stays near 4 MB

sqlite-utils opens, migrates and frames transactions; rows go in by `executemany` on its
connection, since its `insert_all` builds SQL anew each time.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlite_utils import Database

from meshpeer.errors import StoreError, StoreFullError, StoreTooNewError
from store.schema import APPLICATION_ID, MIGRATIONS

MEMORY: Final = ":memory:"
BUSY_MS: Final = 5_000
WRITE_CACHE_KIB: Final = 4_096
READ_CACHE_KIB: Final = 2_048
LOG_PAGES: Final = 1_000
LOG_BYTES: Final = 8 << 20
COPIES: Final = 2
"""Copies kept from before migrations, the newest."""

FULL: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
BROKEN: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextlib.contextmanager
def reporting(doing: str) -> Iterator[None]:
    """Turn what SQLite says into StoreError, or StoreFullError where there is no room."""
    try:
        yield
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        code = getattr(error, "sqlite_errorcode", None)
        kind = StoreFullError if code in FULL else StoreError
        advice = "; `meshpeer check --repair` keeps what it can" if code in BROKEN else ""
        raise kind(f"cannot {doing} the database: {error}{advice}") from error


def open_for_writing(path: str) -> Database:
    """Open and bring up to date; a database of a newer meshpeer is refused untouched."""
    with reporting("open"):
        if path != MEMORY:
            create_private(path)
        db = Database(_connect(path), execute_plugins=False)
        try:
            refuse_strangers(db)
            _set_up(db)
            _migrate(db, path)
        except BaseException:
            db.close()
            raise
        return db


def open_for_reading(path: str) -> sqlite3.Connection:
    """Open one more connection, for reads only."""
    with reporting("open"):
        connection = _connect(path)
        connection.execute(f"PRAGMA cache_size = -{READ_CACHE_KIB}")
        connection.execute("PRAGMA query_only = ON")
        return connection


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_MS / 1_000, isolation_level=None, check_same_thread=False
    )


def create_private(path: str) -> None:
    """Make the file readable by its owner only; SQLite's side files follow it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"cannot open the database {path}: {error.strerror}") from error


def refuse_strangers(db: Database) -> None:
    """Raise StoreError on another program's database, StoreTooNewError on a newer one."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    empty = db.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    if application != APPLICATION_ID and not empty:
        raise StoreError(f"not a meshpeer database: application id {application:#x}")
    known = {
        migration.name
        for migration in MIGRATIONS.pending(Database(memory=True, execute_plugins=False))
    }
    newer = [step.name for step in MIGRATIONS.applied(db) if step.name not in known]
    if newer:
        raise StoreTooNewError(
            f"the database was made by a newer meshpeer, which knows {newer[0]}; "
            "install that version, or use the copy made before it"
        )


def _set_up(db: Database) -> None:
    for pragma in (
        "auto_vacuum = INCREMENTAL",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = FAST",
        f"cache_size = -{WRITE_CACHE_KIB}",
        f"wal_autocheckpoint = {LOG_PAGES}",
        f"journal_size_limit = {LOG_BYTES}",
    ):
        db.execute(f"PRAGMA {pragma}").fetchall()


def _migrate(db: Database, path: str) -> None:
    applied = MIGRATIONS.applied(db)
    if not MIGRATIONS.pending(db):
        return
    if applied and path != MEMORY:
        _copy(db, Path(path), applied[-1].name)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    MIGRATIONS.apply(db)
    db.execute("PRAGMA shrink_memory")  # pages just made aren't read again: 0.2 MB


def _copy(db: Database, path: Path, version: str) -> None:
    """Keep the database as it is beside itself; whole or not at all."""
    unfinished = path.with_name(f"{path.name}.copying")
    unfinished.unlink(missing_ok=True)
    create_private(str(unfinished))
    with contextlib.closing(sqlite3.connect(unfinished)) as target:
        db.conn.backup(target)
    unfinished.rename(path.with_name(f"{path.name}.before-leaving-{version}"))
    copies = sorted(path.parent.glob(f"{path.name}.before-leaving-*"))
    for old in copies[:-COPIES]:
        old.unlink()
