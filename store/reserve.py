"""The last of the disk's room, kept for writes that give some back.

A database that filled the disk to the end could not even forget, for that needs room in the
write-ahead log. With less than RESERVE free, a batch may add no more than it drops and what is
free inside the file. Only what others can make grow counts: payloads, blocks and small files.
"""

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from meshpeer.core.chain_writes import CutLog, DropBody, DropLog, PutBlock
from meshpeer.core.file_writes import DropBlob, DropFile, PutBlob
from meshpeer.core.writes import DropBundle, PutBundle, Write
from meshpeer.errors import StoreFullError
from store.names import Names
from store.plan import Statement

RESERVE: Final = 16 << 20
"""Twice what the write-ahead log keeps."""


def _block_size(write: PutBlock) -> int:
    """Count what is searched for too: it is kept beside the body."""
    text = 0 if write.item is None else len(write.item.text) + len(write.item.name)
    return len(write.header) + len(write.body or b"") + text


GROWS: Final[Mapping[type, Callable[[Any], int]]] = {
    PutBundle: lambda write: len(write.wire),
    PutBlock: _block_size,
    PutBlob: lambda write: len(write.data),
}

FREES: Final[Mapping[type, Statement]] = {
    DropBundle: Statement(
        "SELECT size FROM bundle WHERE id = ?", lambda write, names: (write.id,)
    ),
    DropBody: Statement(
        "SELECT length(body) FROM block WHERE id = ?", lambda write, names: (write.id,)
    ),
    DropLog: Statement(
        "SELECT sum(length(header) + coalesce(length(body), 0)) FROM block WHERE log = ?",
        lambda write, names: (names.log(write.device, write.log),),
    ),
    CutLog: Statement(
        """SELECT sum(length(header) + coalesce(length(body), 0)) FROM block
           WHERE log = ? AND (sequence < ? OR sequence > ?)""",
        lambda write, names: (
            names.log(write.device, write.log),
            write.first,
            write.last,
        ),
    ),
    DropBlob: Statement(
        "SELECT length(data) FROM blob WHERE file = (SELECT n FROM file WHERE id = ?)",
        lambda write, names: (write.file,),
    ),
    DropFile: Statement(
        "SELECT length(data) FROM blob WHERE file = (SELECT n FROM file WHERE id = ?)",
        lambda write, names: (write.id,),
    ),
}


def keep_reserve(
    connection: sqlite3.Connection, path: str, writes: Sequence[Write], names: Names
) -> None:
    """Raise StoreFullError if the batch would grow into the room that is kept for forgetting."""
    disk = os.statvfs(path)
    if disk.f_bavail * disk.f_frsize >= RESERVE:
        return
    grows = sum(GROWS[type(write)](write) for write in writes if type(write) in GROWS)
    if grows and grows > _room_inside(connection, writes, names):
        raise StoreFullError(f"less than {RESERVE >> 20} MB are free on the disk of {path}")


def _room_inside(
    connection: sqlite3.Connection, writes: Sequence[Write], names: Names
) -> int:
    (room,) = connection.execute(
        "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"
    ).fetchone()
    for write in writes:
        if (statement := FREES.get(type(write))) is not None:
            values = statement.values(write, names) or ()
            row = connection.execute(statement.sql, values).fetchone()
            room += (row[0] or 0) if row else 0
    return int(room)
