"""Files, where their bytes lie, what is fetched, wanted and attached, and the folders kept in step.

A file's manifest lies apart from its row, which changes with each part that comes; a manifest is
written once, however often its file is put. Equal chunks are found by the beginning of their hash:
two that begin alike would have to be made so on purpose, and each chunk is checked where it is
taken from.
"""

import os
from collections.abc import Sequence
from typing import Any, Final

from meshpeer.core.file_writes import (
    DropAnswered,
    DropBlob,
    DropFetch,
    DropFile,
    DropMirror,
    DropMirrored,
    DropPlace,
    DropWant,
    DropWatched,
    PutAnswered,
    PutAttachment,
    PutBlob,
    PutChunks,
    PutFetch,
    PutFile,
    PutMirror,
    PutMirrored,
    PutPlace,
    PutWant,
    PutWatched,
)
from meshpeer.core.files.shelf import Held
from store.plan import Plan, Statement
from store.reader import Reader
from store.rows import FileRow

SHORT: Final = 8
"""Bytes of a chunk's hash by which it is found."""

PLAN: Final[Plan] = {
    PutFile: (
        Statement(
            """INSERT INTO file(id, tag, size, have) VALUES (?, ?, ?, ?)
               ON CONFLICT(id) DO UPDATE SET size = excluded.size, have = excluded.have""",
            lambda write, names: (write.id, write.tag, write.size, write.have),
        ),
        Statement(  # it is what its id says, so one of the same length is the same
            """INSERT INTO manifest(file, data) SELECT n, ? FROM file WHERE id = ?
               ON CONFLICT(file) DO UPDATE SET data = excluded.data
               WHERE length(data) <> length(excluded.data)""",
            lambda write, names: (write.manifest, write.id),
        ),
    ),
    DropFile: (
        Statement("DELETE FROM file WHERE id = ?", lambda write, names: (write.id,)),
    ),
    PutPlace: (
        Statement(
            """INSERT OR REPLACE INTO place(path, file, mtime_ns, size, key, inode)
               SELECT ?, n, ?, ?, ?, ? FROM file WHERE id = ?""",
            lambda write, names: (
                os.fsencode(write.path),
                write.mtime_ns,
                write.size,
                write.key,
                write.inode,
                write.file,
            ),
        ),
    ),
    DropPlace: (
        Statement(
            "DELETE FROM place WHERE path = ?",
            lambda write, names: (os.fsencode(write.path),),
        ),
    ),
    PutBlob: (
        Statement(
            """INSERT OR REPLACE INTO blob(file, data) SELECT n, ? FROM file WHERE id = ?""",
            lambda write, names: (write.data, write.file),
        ),
    ),
    DropBlob: (
        Statement(
            "DELETE FROM blob WHERE file = (SELECT n FROM file WHERE id = ?)",
            lambda write, names: (write.file,),
        ),
    ),
    PutChunks: (
        Statement(
            """WITH RECURSIVE at(i) AS (
                    SELECT 0 WHERE length(?1) > 0
                    UNION ALL SELECT i + 1 FROM at WHERE (i + 1) * 32 < length(?1))
                INSERT OR REPLACE INTO chunk(file, position, short)
                SELECT n, i, substr(?1, i * 32 + 1, ?3) FROM file, at WHERE id = ?2""",
            lambda write, names: (write.hashes, write.file, SHORT),
        ),
    ),
    PutFetch: (
        Statement(
            """INSERT INTO fetch(file, name, target, size, state, why, priority, in_order,
                   added, key, slow) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT(file) DO UPDATE SET name = excluded.name, target = excluded.target,
               size = excluded.size, state = excluded.state, why = excluded.why,
               priority = excluded.priority, in_order = excluded.in_order,
               added = excluded.added, key = excluded.key, slow = excluded.slow""",
            lambda write, names: (*write[:2], os.fsencode(write.target), *write[3:]),
        ),
    ),
    DropFetch: (
        Statement("DELETE FROM fetch WHERE file = ?", lambda write, names: (write.file,)),
    ),
    PutWant: (
        Statement(
            """INSERT OR REPLACE INTO want(file, bundle, private, receipt, expires)
               VALUES (?, ?, ?, ?, ?)""",
            lambda write, names: tuple(write),
        ),
    ),
    DropWant: (
        Statement(
            "DELETE FROM want WHERE bundle = ?", lambda write, names: (write.bundle,)
        ),
    ),
    PutAnswered: (
        Statement(
            "INSERT OR REPLACE INTO answered(bundle, until) VALUES (?, ?)",
            lambda write, names: tuple(write),
        ),
    ),
    DropAnswered: (
        Statement(
            "DELETE FROM answered WHERE bundle = ?", lambda write, names: (write.bundle,)
        ),
    ),
    PutAttachment: (
        Statement(
            """INSERT OR REPLACE INTO
                   attachment(message, position, file, size, name, media_type, key, state)
               SELECT n, ?, ?, ?, ?, ?, ?, ? FROM message
               WHERE id = ? AND contact = ? AND (box = 2) = ?""",
            lambda write, names: (
                *write[3:],
                write.message_id,
                names.key(write.contact),
                write.sent,
            ),
        ),
    ),
    PutWatched: (
        Statement(
            """INSERT OR REPLACE INTO watched(directory, person, collection, settings)
               VALUES (?, ?, ?, ?)""",
            lambda write, names: (
                os.fsencode(write.directory),
                names.key(write.person),
                *write[2:],
            ),
        ),
    ),
    DropWatched: (
        Statement(
            "DELETE FROM watched WHERE directory = ?",
            lambda write, names: (os.fsencode(write.directory),),
        ),
    ),
    PutMirror: (
        Statement(
            """INSERT INTO mirror(directory, person, collection, block, grace)
               VALUES (?, ?, ?, ?, ?) ON CONFLICT(directory) DO UPDATE SET
               person = excluded.person, collection = excluded.collection,
               block = excluded.block, grace = excluded.grace""",
            lambda write, names: (
                os.fsencode(write.directory),
                names.key(write.person),
                *write[2:],
            ),
        ),
    ),
    DropMirror: (
        Statement(
            "DELETE FROM mirror WHERE directory = ?",
            lambda write, names: (os.fsencode(write.directory),),
        ),
    ),
    PutMirrored: (
        Statement(
            """INSERT OR REPLACE INTO mirrored(mirror, path, file, size, mtime_ns)
               SELECT n, ?, ?, ?, ? FROM mirror WHERE directory = ?""",
            lambda write, names: (*write[1:], os.fsencode(write.directory)),
        ),
    ),
    DropMirrored: (
        Statement(
            """DELETE FROM mirrored WHERE path = ?
               AND mirror = (SELECT n FROM mirror WHERE directory = ?)""",
            lambda write, names: (write.path, os.fsencode(write.directory)),
        ),
    ),
}

FETCHES: Final = """SELECT file, name, target, size, state, why, priority, in_order, added, key,
    slow FROM fetch """

ATTACHMENTS: Final = """SELECT message.id, contact.id, box = 2, position, file, size, name,
    media_type, attachment.key, state FROM attachment
    JOIN message ON message.n = attachment.message
    JOIN key AS contact ON contact.n = message.contact """


class FileReads(Reader):
    """What files ask (core/files/shelf.py), and what the library and the mirrors do."""

    def held(self, tag: bytes) -> Held | None:
        """Give the file that goes by this want tag, if its manifest is here."""
        row = self._one(
            """SELECT id, size, have IS NULL FROM file JOIN manifest ON manifest.file = n
               WHERE tag = ? AND length(data) > 0""",
            tag,
        )
        return None if row is None else Held(row[0], row[1], row[2] == 1)

    def manifest(self, file: bytes) -> bytes | None:
        """Give root and pages of a file; None if it, or its manifest, is not known."""
        row = self._one(
            "SELECT data FROM file JOIN manifest ON manifest.file = n WHERE id = ?", file
        )
        return row[0] or None if row is not None else None

    def chunk_elsewhere(self, hash: bytes) -> tuple[bytes, int] | None:
        """Give a file held whole, and the number of its chunk that (most likely) has this hash."""
        row: tuple[bytes, int] | None = self._one(
            """SELECT id, position FROM chunk JOIN file ON file.n = chunk.file
               WHERE short = ? AND have IS NULL LIMIT 1""",
            hash[:SHORT],
        )
        return row

    def file(self, id: bytes) -> FileRow | None:
        """Give what is known of a file, but for its manifest."""
        return next(iter(self._files("WHERE id = ?", id)), None)

    def files(self, after: int = 0, limit: int = 100) -> list[FileRow]:
        """List the files known here, by number."""
        return self._files("WHERE n > ? ORDER BY n LIMIT ?", after, limit)

    def whole_file(self, id: bytes) -> PutFile | None:
        """Give all that is known of a file, as it was put."""
        row = self._one(
            """SELECT id, tag, size, data, have FROM file JOIN manifest ON manifest.file = n
               WHERE id = ?""",
            id,
        )
        return None if row is None else PutFile(*row)

    def places(self, file: bytes) -> list[PutPlace]:
        """Give the ordinary files that hold this file."""
        return self._places("WHERE file.id = ? ORDER BY place.n", file)

    def place(self, path: str) -> PutPlace | None:
        """Give which file an ordinary file is as it lies there, not sealed."""
        found = self._places("WHERE path = ? AND key IS NULL", os.fsencode(path))
        return next(iter(found), None)

    def places_in(self, directory: str) -> list[PutPlace]:
        """Give what is known of the ordinary files below a folder, by path."""
        inside = os.fsencode(directory).rstrip(b"/") + b"/"
        return self._places(
            "WHERE path >= ? AND path < ? ORDER BY path", inside, inside[:-1] + b"0"
        )

    def blob(self, file: bytes) -> bytes | None:
        """Give the bytes of a small file that lies in no ordinary one."""
        row = self._one(
            "SELECT data FROM file JOIN blob ON blob.file = n WHERE id = ?", file
        )
        return None if row is None else row[0]

    def fetch(self, file: bytes) -> PutFetch | None:
        """Give one file that somebody here asked for."""
        return next(iter(self._fetches("WHERE file = ?", file)), None)

    def fetches(self) -> list[PutFetch]:
        """Give every file that somebody here asked for, in the order of asking."""
        return self._fetches("ORDER BY n")

    def fetches_underway(self) -> list[PutFetch]:
        """Give those that are neither done nor failed, in the order of asking."""
        return self._fetches("WHERE state NOT IN ('done', 'failed') ORDER BY n")

    def wants(self) -> list[PutWant]:
        """Give every want under way."""
        rows = self._all("SELECT file, bundle, private, receipt, expires FROM want")
        return [PutWant(*row) for row in rows]

    def answered(self) -> list[PutAnswered]:
        """Give the wants that were answered from here, the soonest over first."""
        rows = self._all("SELECT bundle, until FROM answered ORDER BY until")
        return [PutAnswered(*row) for row in rows]

    def attachments(
        self, message_id: bytes, contact: bytes, *, sent: bool
    ) -> list[PutAttachment]:
        """Give the files that go with a message, in order."""
        return self._attachments(
            "WHERE message.id = ? AND contact.id = ? AND (box = 2) = ? ORDER BY position",
            message_id,
            contact,
            sent,
        )

    def attachments_of(self, file: bytes) -> list[PutAttachment]:
        """Give each message that this file goes with, as the attachment it is there."""
        return self._attachments("WHERE file = ?", file)

    def attachments_underway(self) -> list[PutAttachment]:
        """Give those that are not here, or not there, yet."""
        return self._attachments(
            "WHERE state = 'underway' ORDER BY attachment.message, position"
        )

    def watched(self) -> list[PutWatched]:
        """Give the folders that are published whenever they change."""
        rows = self._all(
            """SELECT directory, id, collection, settings
               FROM watched JOIN key ON n = person ORDER BY directory"""
        )
        return [PutWatched(os.fsdecode(row[0]), *row[1:]) for row in rows]

    def mirrors(self) -> list[PutMirror]:
        """Give the folders that are kept equal to a collection."""
        rows = self._all(
            """SELECT directory, id, collection, block, grace
               FROM mirror JOIN key ON key.n = person ORDER BY directory"""
        )
        return [PutMirror(os.fsdecode(row[0]), *row[1:]) for row in rows]

    def mirrored(self, directory: str) -> list[PutMirrored]:
        """Give the files that a mirror put into its folder, by path."""
        rows = self._all(
            """SELECT path, file, size, mtime_ns FROM mirrored JOIN mirror ON n = mirror
               WHERE directory = ? ORDER BY path""",
            os.fsencode(directory),
        )
        return [PutMirrored(directory, *row) for row in rows]

    def _files(self, where: str, *values: object) -> list[FileRow]:
        rows = self._all(f"SELECT n, id, tag, size, have FROM file {where}", *values)  # noqa: S608 - ours
        return [FileRow(*row) for row in rows]

    def _places(self, where: str, *values: object) -> list[PutPlace]:
        rows = self._all(
            f"""SELECT path, file.id, mtime_ns, place.size, key, inode
                FROM place JOIN file ON file.n = place.file {where}""",  # noqa: S608 - ours
            *values,
        )
        return [PutPlace(os.fsdecode(row[0]), *row[1:]) for row in rows]

    def _fetches(self, where: str, *values: object) -> list[PutFetch]:
        return [_fetch(row) for row in self._all(FETCHES + where, *values)]

    def _attachments(self, where: str, *values: object) -> list[PutAttachment]:
        return [
            PutAttachment._make((*row[:2], row[2] == 1, *row[3:]))
            for row in self._all(ATTACHMENTS + where, *values)
        ]


def _fetch(row: Sequence[Any]) -> PutFetch:
    target, in_order, slow = os.fsdecode(row[2]), row[7] == 1, row[10] == 1
    return PutFetch._make((*row[:2], target, *row[3:7], in_order, *row[8:10], slow))
