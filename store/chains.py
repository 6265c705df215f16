"""Blocks, what of them can be searched for, logs, forks, authors and follows.

Headers and bodies are kept as the bytes that go over a link; what is asked of them has columns
beside. A timeline is asked of each person and each kind of record in turn, from its index and
from the highest lamport number down, and each is asked only for what is newer than the page has
already: so a page costs the same however long the chains are, and a person that floods one kind
slows no list of the others. Where the persons are many, the newest records of all are looked
through first: most of what is held is theirs (10,000 persons: 3 ms, 210 ms if each is asked).
"""

from collections.abc import Iterable, Sequence
from heapq import nlargest
from typing import Any, Final, TypeAlias

from meshpeer.core.chain_writes import (
    CutLog,
    DropAuthor,
    DropBody,
    DropFollow,
    DropLog,
    DropStanding,
    DropWithdrawn,
    Item,
    PutAuthor,
    PutBlock,
    PutFollow,
    PutFork,
    PutHeed,
    PutLog,
    PutStanding,
    PutWithdrawn,
)
from store.names import Names
from store.plan import Plan, Statement
from store.reader import Reader
from store.rows import RecordRow

DEVICE_SIZE: Final = 32
"""Where the log's own id begins in its name (see schema.py)."""

Cursor: TypeAlias = tuple[int, int]
"""A place in a timeline: lamport and number of the last record seen."""

NEWEST: Final[Cursor] = (2**63 - 1, 2**63 - 1)
OLDEST: Final[Cursor] = (-1, -1)

SHOWN_KINDS: Final = ("post", "file", "collection")
"""Of a timeline, if nobody says otherwise."""


def _item_values(write: PutBlock, names: Names) -> Sequence[object] | None:
    item = write.item
    if item is None:
        return None
    return (
        names.key(write.person),
        item.kind,
        write.lamport,
        item.written,
        item.size,
        item.language,
        item.media_type,
        "\n".join(item.tags),
        item.file,
        item.target,
        item.name,
        item.text,
        write.id,
    )


def _collection_values(write: PutBlock, names: Names) -> Sequence[object] | None:
    item = write.item
    if item is None or item.kind != "collection":
        return None
    return names.key(write.person), item.name


PLAN: Final[Plan] = {
    PutBlock: (
        Statement(  # the body comes later: under a new number (see schema.py)
            "DELETE FROM block WHERE id = ? AND body IS NULL",
            lambda write, names: None if write.body is None else (write.id,),
        ),
        Statement(
            """INSERT INTO block(id, log, sequence, received, received_wall, header, body)
               VALUES (?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT(id) DO UPDATE SET body = excluded.body WHERE body IS NULL""",
            lambda write, names: (
                write.id,
                names.log(write.device, write.log),
                write.sequence,
                write.received,
                write.received_wall,
                write.header,
                write.body,
            ),
        ),
        Statement(
            """INSERT INTO item(block, person, kind, lamport, written, size, language,
                   media_type, tags, file, target, name, text)
               SELECT n, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM block WHERE id = ?
               ON CONFLICT(block) DO NOTHING""",
            _item_values,
        ),
        Statement(  # the newest collection of a name holds: lists and searches show no other
            """DELETE FROM item WHERE kind = 'collection' AND person = ?1 AND name = ?2
               AND (lamport, block) < (SELECT lamport, block FROM item
                   WHERE kind = 'collection' AND person = ?1 AND name = ?2
                   ORDER BY lamport DESC, block DESC LIMIT 1)""",
            _collection_values,
        ),
    ),
    DropBody: (
        Statement(
            "DELETE FROM item WHERE block = (SELECT n FROM block WHERE id = ?)",
            lambda write, names: (write.id,),
        ),
        Statement(
            "UPDATE block SET body = NULL WHERE id = ?",
            lambda write, names: (write.id,),
        ),
    ),
    PutLog: (
        Statement(
            """INSERT INTO log(log, person, height, state) VALUES (?, ?, ?, ?)
               ON CONFLICT(log) DO UPDATE SET person = excluded.person,
               height = excluded.height, state = excluded.state""",
            lambda write, names: (
                names.log(write.device, write.log),
                names.key(write.person),
                write.height,
                write.state,
            ),
        ),
    ),
    DropLog: (
        Statement(
            "DELETE FROM block WHERE log = ?",
            lambda write, names: (names.log(write.device, write.log),),
        ),
        Statement(
            "DELETE FROM log WHERE log = ?",
            lambda write, names: (names.log(write.device, write.log),),
        ),
        Statement(
            "DELETE FROM fork WHERE log = ?",
            lambda write, names: (names.log(write.device, write.log),),
        ),
    ),
    CutLog: (
        Statement(
            "DELETE FROM block WHERE log = ? AND sequence < ?",
            lambda write, names: (names.log(write.device, write.log), write.first),
        ),
        Statement(
            "DELETE FROM block WHERE log = ? AND sequence > ?",
            lambda write, names: (names.log(write.device, write.log), write.last),
        ),
    ),
    PutFork: (
        Statement(
            "INSERT OR IGNORE INTO fork(log, person, one, other) VALUES (?, ?, ?, ?)",
            lambda write, names: (
                names.log(write.device, write.log),
                names.key(write.person),
                write.one,
                write.other,
            ),
        ),
    ),
    PutAuthor: (
        Statement(
            "INSERT OR REPLACE INTO author(person, card) VALUES (?, ?)",
            lambda write, names: (names.key(write.person), write.card),
        ),
    ),
    DropAuthor: tuple(
        Statement(sql, lambda write, names: (names.key(write.person),))
        for sql in (
            "DELETE FROM author WHERE person = ?",
            "DELETE FROM fork WHERE person = ?",
            "DELETE FROM withdrawn WHERE person = ?",
        )
    ),
    PutFollow: (
        Statement(
            "INSERT OR REPLACE INTO follow(person, how, since) VALUES (?, ?, ?)",
            lambda write, names: (names.key(write.person), write.how, write.since),
        ),
    ),
    DropFollow: (
        Statement(
            "DELETE FROM follow WHERE person = ?",
            lambda write, names: (names.key(write.person),),
        ),
    ),
    PutWithdrawn: (
        Statement(
            "INSERT OR IGNORE INTO withdrawn(target, person) VALUES (?, ?)",
            lambda write, names: (write.target, names.key(write.person)),
        ),
    ),
    DropWithdrawn: (
        Statement(
            """DELETE FROM withdrawn WHERE person = ?
               AND NOT EXISTS (SELECT 1 FROM block WHERE id = target)""",
            lambda write, names: (names.key(write.person),),
        ),
    ),
    PutHeed: (
        Statement(
            "INSERT OR REPLACE INTO heed(person, heeded) VALUES (?, ?)",
            lambda write, names: (names.key(write.person), write.heeded),
        ),
    ),
    PutStanding: (
        Statement(
            "INSERT OR REPLACE INTO standing(name, query, seen) VALUES (?, ?, ?)",
            lambda write, names: tuple(write),
        ),
    ),
    DropStanding: (
        Statement(
            "DELETE FROM standing WHERE name = ?", lambda write, names: (write.name,)
        ),
    ),
}

BLOCK_ID: Final = """SELECT id FROM block
    WHERE log = (SELECT n FROM key WHERE id = ?) AND sequence = ?"""
LOG_BLOCKS: Final = """SELECT header, body FROM block
    WHERE log = (SELECT n FROM key WHERE id = ?) AND sequence BETWEEN ? AND ?
    ORDER BY sequence DESC LIMIT ?"""
LOG_SIZES: Final = """SELECT sequence, length(header) + coalesce(length(body), 0) FROM block
    WHERE log = (SELECT n FROM key WHERE id = ?) AND sequence BETWEEN ? AND ?
    ORDER BY sequence"""

RECORDS: Final = """SELECT n, id, header, body, received_wall, kind, name, text, tags, language,
    media_type, size, file, target, written, lamport
    FROM block LEFT JOIN item ON item.block = block.n """

PLACES: Final = "SELECT lamport, block FROM item WHERE kind = ? "
BY: Final = "AND person = (SELECT n FROM key WHERE id = ?) "
BETWEEN: Final = """AND lamport <= ? AND (lamport, block) < (?, ?)
    AND lamport >= ? AND (lamport, block) > (?, ?)
    ORDER BY lamport DESC, block DESC LIMIT ?"""

WALK: Final = """SELECT lamport, block, key.id FROM item JOIN key ON key.n = person
    WHERE kind = ? AND lamport <= ? AND (lamport, block) < (?, ?)
    ORDER BY lamport DESC, block DESC LIMIT ?"""
WALKED: Final = 512
"""Records of a kind, whoever wrote them, among which a page of many persons is looked for."""


class ChainReads(Reader):
    """What chains ask (core/chains/archive.py), and the lists of records on screens."""

    def block_id(self, device: bytes, log: bytes, sequence: int) -> bytes | None:
        """Give the id of a block held."""
        return self._bytes(BLOCK_ID, device + log, sequence)

    def header(self, id: bytes) -> bytes | None:
        """Give the header of a block held."""
        return self._bytes("SELECT header FROM block WHERE id = ?", id)

    def body(self, id: bytes) -> bytes | None:
        """Give what a block says, if that is held."""
        return self._bytes("SELECT body FROM block WHERE id = ?", id)

    def withdrawn(self, target: bytes) -> set[bytes]:
        """Give the persons who withdrew this block, also one not held."""
        rows = self._all(
            "SELECT id FROM withdrawn JOIN key ON n = person WHERE target = ?", target
        )
        return {row[0] for row in rows}

    def count_withdrawn(self, person: bytes) -> int:
        """Give how many blocks this person withdrew, held or not."""
        (count,) = self._one(
            "SELECT count(*) FROM withdrawn WHERE person = (SELECT n FROM key WHERE id = ?)",
            person,
        )
        return int(count)

    def log_blocks(
        self, device: bytes, log: bytes, first: int, last: int, limit: int
    ) -> list[tuple[bytes, bytes | None]]:
        """Give header and body of the blocks first..last that are held, newest first."""
        return self._all(LOG_BLOCKS, device + log, first, last, limit)

    def log_sizes(
        self, device: bytes, log: bytes, first: int, last: int
    ) -> list[tuple[int, int]]:
        """Give sequence and bytes of the blocks first..last that are held, oldest first."""
        return self._all(LOG_SIZES, device + log, first, last)

    def logs(self) -> list[PutLog]:
        """Give every log known."""
        rows = self._all(
            """SELECT name.id, person.id, height, state FROM log
               JOIN key AS name ON name.n = log JOIN key AS person ON person.n = log.person"""
        )
        return [log_row(*row) for row in rows]

    def forks(self) -> list[PutFork]:
        """Give the proof of every fork known."""
        rows = self._all(
            """SELECT person.id, name.id, one, other FROM fork
               JOIN key AS name ON name.n = log JOIN key AS person ON person.n = fork.person"""
        )
        return [
            PutFork(person, name[:DEVICE_SIZE], name[DEVICE_SIZE:], one, other)
            for person, name, one, other in rows
        ]

    def authors(self) -> list[PutAuthor]:
        """Give the newest card of everybody of whom something is held."""
        rows = self._all("SELECT id, card FROM author JOIN key ON n = person")
        return [PutAuthor(*row) for row in rows]

    def follows(self) -> list[PutFollow]:
        """Give whom somebody here follows or mutes."""
        rows = self._all("SELECT id, how, since FROM follow JOIN key ON n = person")
        return [PutFollow(*row) for row in rows]

    def heeds(self) -> list[PutHeed]:
        """Give of whom somebody here said whether their labels count."""
        rows = self._all("SELECT id, heeded FROM heed JOIN key ON n = person")
        return [PutHeed(person, bool(heeded)) for person, heeded in rows]

    def count_labels(self, person: bytes) -> int:
        """Give how many labels of this person are held."""
        (count,) = self._one(
            """SELECT count(*) FROM item
               WHERE kind = 'label' AND person = (SELECT n FROM key WHERE id = ?)""",
            person,
        )
        return int(count)

    def standings(self) -> list[PutStanding]:
        """Give every search that goes on, by name."""
        rows = self._all("SELECT name, query, seen FROM standing ORDER BY name")
        return [PutStanding(*row) for row in rows]

    def timeline(
        self,
        persons: Iterable[bytes] | None = None,
        *,
        kinds: Sequence[str] = SHOWN_KINDS,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> list[RecordRow]:
        """Give the newest records of these persons, or of all, older than `after`."""
        below = after or NEWEST
        if persons is None:
            page = self._merge([None], kinds, below, limit)
        else:
            authors = set(persons)
            walked = (
                self._walk(authors, kinds, below, limit) if len(authors) > limit else None
            )
            page = self._merge(authors, kinds, below, limit) if walked is None else walked
        rows = {number: self.record(number) for _, number in page}
        return [row for _, number in page if (row := rows[number]) is not None]

    def newest(self, person: bytes, kind: str, name: str | None = None) -> RecordRow | None:
        """Give a person's last record of this kind, or the last that bears this name."""
        row = self._one(
            f"{PLACES}{BY} AND (?3 IS NULL OR name = ?3) ORDER BY lamport DESC, block DESC LIMIT 1",
            kind,
            person,
            name,
        )
        return None if row is None else self.record(row[1])

    def record(self, number: int) -> RecordRow | None:
        """Give the record of this number."""
        return next(iter(self._records("WHERE n = ?", number)), None)

    def record_of(self, id: bytes) -> RecordRow | None:
        """Give the record in the block of this id."""
        return next(iter(self._records("WHERE id = ?", id)), None)

    def records_of_file(self, file: bytes, limit: int = 100) -> list[RecordRow]:
        """Give the records that publish this file, the first to come first."""
        return self._records("WHERE file = ? ORDER BY n LIMIT ?", file, limit)

    def count_blocks(self, person: bytes) -> int:
        """Give how many blocks of this person's logs are held."""
        (count,) = self._one(
            """SELECT count(*) FROM key JOIN log ON log.person = key.n
               JOIN block ON block.log = log.log WHERE key.id = ?""",
            person,
        )
        return int(count)

    def _merge(
        self,
        authors: Iterable[bytes | None],
        kinds: Sequence[str],
        below: Cursor,
        limit: int,
    ) -> list[Cursor]:
        """Ask each author, or (None) all at once, for what is newer than the page has."""
        page, above = list[Cursor](), OLDEST
        for author in authors:
            for kind in kinds:
                bounds = (below[0], *below, above[0], *above, limit)
                if author is None:
                    found = self._all(PLACES + BETWEEN, kind, *bounds)
                else:
                    found = self._all(PLACES + BY + BETWEEN, kind, author, *bounds)
                if found:
                    page = nlargest(limit, page + found)
                    above = page[-1] if len(page) == limit else OLDEST
        return page

    def _walk(
        self, authors: set[bytes], kinds: Sequence[str], below: Cursor, limit: int
    ) -> list[Cursor] | None:
        """Look through the newest records of all; None if too few are these authors'."""
        page = list[Cursor]()
        for kind in kinds:
            rows = self._all(WALK, kind, below[0], *below, WALKED)
            found = [row[:2] for row in rows if row[2] in authors]
            if len(found) < limit and len(rows) == WALKED:
                return None
            page += found
        return nlargest(limit, page)

    def _records(self, where: str, *values: object) -> list[RecordRow]:
        return [_record(row) for row in self._all(RECORDS + where, *values)]

    def _bytes(self, sql: str, *values: object) -> bytes | None:
        row: tuple[bytes | None] | None = self._one(sql, *values)
        return None if row is None else row[0]


def log_row(name: bytes, person: bytes, height: int, state: bytes) -> PutLog:
    """Give the write that keeps a log, whose name is that of its device and its own."""
    return PutLog(name[:DEVICE_SIZE], name[DEVICE_SIZE:], person, height, state)


def _record(row: Sequence[Any]) -> RecordRow:
    kind, name, text, tags, *rest, lamport = row[5:]
    item = None
    if kind is not None:
        item = Item._make(
            (kind, name, text, tuple(tags.split("\n")) if tags else (), *rest)
        )
    return RecordRow._make((*row[:5], item, lamport or 0))
