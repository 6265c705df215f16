"""A copy of the database for a backup, made on connections of its own while the peer writes on.

A read transaction holds one snapshot, so the copy is of one moment however long it takes, and no
commit makes it begin anew. Bundles of others are left out: they are theirs, and a peer that comes
back after a month has no use for them.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from meshpeer.errors import StoreFullError
from store.database import create_private, open_for_reading, reporting

PAGES_AT_ONCE: Final = 1_024
ROOM_LEFT: Final = 64 << 20
"""What a copy leaves free on the disk, for the peer goes on."""


def copy_database(
    source: str | os.PathLike[str],
    target: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Make `target`, which must not exist; `progress` gets bytes and may raise to end it.

    StoreFullError where the disk has no room for it; what was begun is removed.
    """
    _check_room(Path(source), target)
    create_private(os.fspath(target))
    try:
        with (
            contextlib.closing(open_for_reading(os.fspath(source))) as reads,
            contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
            reporting("copy"),
        ):
            (page,) = reads.execute("PRAGMA page_size").fetchone()
            reads.execute("BEGIN")
            reads.execute("SELECT 1 FROM sqlite_master").fetchone()
            copy.execute("PRAGMA synchronous = OFF")
            reads.backup(
                copy,
                pages=PAGES_AT_ONCE,
                progress=lambda _, left, total: progress(
                    (total - left) * page, total * page
                ),
            )
            _leave_out(copy)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        for side in ("-wal", "-shm", "-journal"):
            Path(f"{target}{side}").unlink(missing_ok=True)


def _leave_out(copy: sqlite3.Connection) -> None:
    copy.execute("PRAGMA journal_mode = MEMORY")
    copy.execute("PRAGMA foreign_keys = ON")
    copy.execute("DELETE FROM bundle WHERE own = 0")
    copy.executescript("PRAGMA incremental_vacuum")


def _check_room(source: Path, target: Path) -> None:
    needed = sum(
        path.stat().st_size for path in (source, Path(f"{source}-wal")) if path.exists()
    )
    if shutil.disk_usage(target.parent).free < needed + ROOM_LEFT:
        raise StoreFullError(
            f"a backup needs {needed >> 20} MB free in {target.parent} while it is made"
        )
