"""Keeps the full-text index equal to the items, in the transaction that changes them.

Four tables, all of them made again from `item` when they are missing or fold words in another
way than this program does:

    search_text    FTS5 without content: name, tags, text, and marks (filters as words)
    search_facet   what is counted and compared of each hit, in some 40 bytes: 10,000 of them are
                   read in 8 ms, where rows of `item` with their texts would be 30 times the pages
    search_word    each distinct word, and in how many of the counted items it stands
    search_near    trigrams of the distinct words, for typing errors

Items come with growing numbers and never change, so at the end of a transaction what is above the
last number is indexed, at one go: inserted by a trigger, each item costs 70 us more, because FTS5
writes out what it gathered whenever SQLite marks a place to go back to, which a trigger makes it
do. For the same reason nothing here says RETURNING. A temporary trigger does see to it that what
makes an item go, a cascade too, takes its words along. FTS5 without content wants the words back
that are deleted; folding is a pure function of the item.

Words are learnt once a batch: those that were met lately are known without asking, and only one
item in 32 is counted, for the counts serve to compare. The vocabulary is bounded; above that
the oldest words go that no counted item held.
"""

import sqlite3
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from store.search_words import FOLDING, fold, levels, mark

TABLES: Final = (
    """CREATE VIRTUAL TABLE IF NOT EXISTS search_text USING fts5(
        name, tags, text, marks, content = '', tokenize = "ascii tokenchars '_'")""",
    """CREATE TABLE IF NOT EXISTS search_facet (
        n INTEGER PRIMARY KEY,
        person INTEGER NOT NULL,
        size INTEGER NOT NULL,
        written INTEGER NOT NULL,
        class TEXT NOT NULL,
        tags TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS search_word (
        n INTEGER PRIMARY KEY,
        word TEXT NOT NULL UNIQUE,
        count INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS search_word_rare ON search_word(n) WHERE count = 0",
    """CREATE VIRTUAL TABLE IF NOT EXISTS search_near USING fts5(
        word, content = '', detail = none, columnsize = 0, tokenize = "trigram")""",
    """CREATE TABLE IF NOT EXISTS search_state (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        folding TEXT NOT NULL
    ) STRICT""",
)

EVERY: Final = "x_x"
"""The mark of all items."""
SAMPLED: Final = 32
"""One item in so many is counted."""
KNOWN: Final = 1 << 17
"""Places for hashes of words that are known: 1 MB, taken when the first items come."""
VOCABULARY: Final = 400_000
"""Distinct words kept, for prefixes and typing errors; whole words are found beyond it too."""
AT_ONCE: Final = 4_096
"""Items, where all are indexed anew."""
LONGEST_NEAR: Final = 32
"""Letters beyond which a word is rather a number or an address."""

SIZES: Final = (1, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
"""Where the next size class begins; class 0 has no size."""


PUT_TEXT: Final = (
    "INSERT INTO search_text(rowid, name, tags, text, marks) VALUES (?, ?, ?, ?, ?)"
)
PUT_FACET: Final = """INSERT INTO search_facet(n, person, size, written, class, tags)
    VALUES (?, ?, ?, ?, ?, ?)"""
PUT_NEAR: Final = "INSERT INTO search_near(rowid, word) VALUES (?, ?)"
DROP_NEAR: Final = (
    "INSERT INTO search_near(search_near, rowid, word) VALUES ('delete', ?, ?)"
)
DROP: Final = """CREATE TEMP TRIGGER search_drop AFTER DELETE ON main.item
    WHEN EXISTS (SELECT 1 FROM search_facet WHERE n = old.block) BEGIN
        INSERT INTO search_text(search_text, rowid, name, tags, text, marks)
            VALUES ('delete', old.block,
                search_fold(old.name), search_fold(old.tags), search_fold(old.text),
                search_marks(old.kind, old.person, old.size, old.language, old.media_type,
                    old.tags));
        DELETE FROM search_facet WHERE n = old.block;
    END"""
NEXT: Final = """SELECT block, person, kind, size, written, language, media_type, tags, name, text
    FROM item WHERE block > ? ORDER BY block LIMIT ?"""
_EMPTY: Final = (
    "INSERT INTO search_text(search_text) VALUES ('delete-all')",
    "INSERT INTO search_near(search_near) VALUES ('delete-all')",
    "DELETE FROM search_facet",
    "DELETE FROM search_word",
)


def size_class(size: int) -> int:
    """Say in which class of sizes this many bytes are."""
    return bisect_right(SIZES, size)


class SearchIndex:
    """Follows the items of one writing connection.

    `settle` ends each transaction's work; `forget` follows one that was undone.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Make what is missing; not within a transaction."""
        self._connection = connection
        self._last: int | None = None
        self._words: tuple[int, int] | None = None
        self._known: array[int] = array("q")
        connection.create_function("search_fold", 1, _fold, deterministic=True)
        connection.create_function("search_marks", 6, _marks, deterministic=True)
        self._make()
        connection.execute(DROP)

    def settle(self) -> None:
        """Index the items that came since the last time."""
        if self._last is None:
            (last,) = self._connection.execute("SELECT max(n) FROM search_facet").fetchone()
            self._last = last or 0
        while self._take_in():
            pass

    def forget(self) -> None:
        """Ask the database again from now on."""
        self._last = None
        self._words = None
        self._known = array("q")

    def _make(self) -> None:
        run = self._connection.execute
        found = run("SELECT 1 FROM sqlite_master WHERE name = 'search_state'").fetchone()
        if found and run("SELECT folding FROM search_state").fetchone() == (FOLDING,):
            return
        run("BEGIN IMMEDIATE")
        try:
            for sql in (*TABLES, *_EMPTY):
                run(sql)
            self.settle()
            run("INSERT OR REPLACE INTO search_state VALUES (1, ?)", (FOLDING,))
            run("COMMIT")
        except BaseException:
            run("ROLLBACK")
            raise

    def _take_in(self) -> bool:
        """Index the next items; say whether there may be more."""
        rows = self._connection.execute(NEXT, (self._last, AT_ONCE)).fetchall()
        if not rows:
            return False
        texts, facets = [], []
        met: set[str] = set()
        counts: Counter[str] = Counter()
        for n, person, kind, size, written, language, media_type, tags, name, text in rows:
            parts = fold(name), fold(tags), fold(text)
            met.update(*parts)
            if n % SAMPLED == 0:
                counts.update({word for part in parts for word in part})
            found = _marks(kind, person, size, language, media_type, tags)
            texts.append((n, *map(" ".join, parts), found))
            what = _class(kind, size_class(size), language, media_type)[0]
            facets.append((n, person, size, written, what, tags))
        self._connection.executemany(PUT_TEXT, texts)
        self._connection.executemany(PUT_FACET, facets)
        self._learn(met, counts)
        self._last = rows[-1][0]
        return len(rows) == AT_ONCE

    def _learn(self, met: set[str], counts: Counter[str]) -> None:
        """Take in the words of some items; the counted ones stand in so many of them."""
        if not self._known:
            self._known = array("q", bytes(KNOWN * 8))
        known, slots = self._known, KNOWN - 1
        new = [word for word in met if known[hash(word) & slots] != hash(word)]
        if new:
            self._add(new)
            for word in new:
                known[hash(word) & slots] = hash(word)
        self._connection.executemany(
            "UPDATE search_word SET count = count + ? WHERE word = ?",
            [(count, word) for word, count in counts.items()],
        )

    def _add(self, words: Iterable[str]) -> None:
        """Put words into the vocabulary that may be there already."""
        look_up = self._connection.execute
        if self._words is None:
            self._words = look_up("SELECT count(*), max(n) FROM search_word").fetchone()
        held, last = self._words[0], self._words[1] or 0
        find = "SELECT 1 FROM search_word WHERE word = ?"
        new = [word for word in words if look_up(find, (word,)).fetchone() is None]
        if held + len(new) > VOCABULARY:
            held -= self._drop_rare(2 * len(new))
        added = list(enumerate(new[: max(0, VOCABULARY - held)], last + 1))
        self._words = held + len(added), last + len(added)
        self._connection.executemany(
            "INSERT INTO search_word(n, word, count) VALUES (?, ?, 0)", added
        )
        self._connection.executemany(PUT_NEAR, _ended(added))

    def _drop_rare(self, many: int) -> int:
        """Forget the oldest words that were never counted; say how many."""
        rows = self._connection.execute(
            "SELECT n, word FROM search_word WHERE count = 0 ORDER BY n LIMIT ?", (many,)
        ).fetchall()
        self._connection.executemany(DROP_NEAR, _ended(rows))
        self._connection.executemany(
            "DELETE FROM search_word WHERE n = ?", [(n,) for n, _ in rows]
        )
        self._known = array("q")
        return len(rows)


def _ended(words: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """Give those that may be mistyped, as search_near has them (search_words.trigrams)."""
    return [(n, f"_{word}_") for n, word in words if 3 <= len(word) <= LONGEST_NEAR]


def _fold(text: str) -> str:
    return " ".join(fold(text))


def _marks(
    kind: str, person: int, size: int, language: str, media_type: str, tags: str
) -> str:
    (_, found) = _class(kind, size_class(size), language, media_type)
    found = f"{found} a_{person}"
    return f"{found} {_tag_marks(tags)}" if tags else found


@lru_cache(maxsize=512)
def _class(kind: str, size: int, language: str, media_type: str) -> tuple[str, str]:
    """Give what search_facet has of these, and what search_text has."""
    found = [EVERY, levels("k", kind), f"s_{size}"]
    if language:
        found.append(levels("l", language))
    if media_type:
        found.append(levels("m", media_type))
    return f"{kind}\n{language}\n{media_type}\n{size}", " ".join(found)


@lru_cache(maxsize=512)
def _tag_marks(tags: str) -> str:
    return " ".join(mark("t", tag) for tag in tags.split("\n"))
