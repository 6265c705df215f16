"""Keeps the full-text index equal to the items, in the transaction that changes them.

Four tables, all of them made again from `item` when they are missing or fold words in another
way than this program does:

    search_text    FTS5 without content: name, tags, text, and marks (filters as words)
    search_facet   what is counted and compared of each hit, in some 40 bytes: 10,000 of them are
                   read in 8 ms, where rows of `item` with their texts would be 30 times the pages
    search_word    each distinct word, and in how many of a sixteenth of all items it stands
    search_near    trigrams of the distinct words, for typing errors

Temporary triggers on `item` do the work, so whatever makes an item go (a cascade too) takes its
words along. FTS5 without content wants the words back that are deleted: folding is a pure function
of the item, which therefore is never changed in place.

Words are learnt once a batch: those that were met lately are known without asking, and only one
item in sixteen is counted, for the counts serve to compare. The vocabulary is bounded; above that
the oldest words go that no counted item held.
"""

import sqlite3
from collections import Counter
from itertools import islice
from typing import Final

from store.search_words import FOLDING, fold, mark, marks

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
SAMPLED: Final = 16
"""One item in so many is counted."""
KNOWN: Final = 16_384
"""Words remembered as known: 1.5 MB, and only while items come."""
VOCABULARY: Final = 400_000
"""Distinct words kept, for prefixes and typing errors; whole words are found beyond it too."""
AT_ONCE: Final = 4_096
"""Items, where all are indexed anew."""
LONGEST_NEAR: Final = 32
"""Letters beyond which a word is rather a number or an address."""

SIZES: Final = (1, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
"""Where the next size class begins; class 0 has no size."""


def _indexed(row: str, fold: str) -> str:
    """SQL that gives what FTS5 is to know of an item, in the order of its columns."""
    texts = ", ".join(
        f"{fold}({row}.block, {row}.{part})" for part in ("name", "tags", "text")
    )
    parts = ("kind", "person", "size", "language", "media_type", "tags")
    return f"{texts}, search_marks({', '.join(f'{row}.{part}' for part in parts)})"


def _put(row: str) -> tuple[str, str]:
    """SQL that begins the index of an item, to be followed by where it comes from."""
    return (
        f"""INSERT INTO search_text(rowid, name, tags, text, marks)
            SELECT {row}.block, {_indexed(row, "search_learn")}""",
        f"""INSERT INTO search_facet(n, person, size, written, class, tags)
            SELECT {row}.block, {row}.person, {row}.size, {row}.written,
                search_class({row}.kind, {row}.language, {row}.media_type, {row}.size),
                {row}.tags""",
    )


_TRIGGERS: Final = (
    f"""CREATE TEMP TRIGGER search_put AFTER INSERT ON main.item BEGIN
        {"; ".join(_put("new"))};
    END""",
    f"""CREATE TEMP TRIGGER search_drop AFTER DELETE ON main.item BEGIN
        INSERT INTO search_text(search_text, rowid, name, tags, text, marks)
            SELECT 'delete', old.block, {_indexed("old", "search_fold")};
        DELETE FROM search_facet WHERE n = old.block;
    END""",  # noqa: S608 - ours
)
_EMPTY: Final = (
    "INSERT INTO search_text(search_text) VALUES ('delete-all')",
    "INSERT INTO search_near(search_near) VALUES ('delete-all')",
    "DELETE FROM search_facet",
    "DELETE FROM search_word",
)


def size_class(size: int) -> int:
    """Say in which class of sizes this many bytes are."""
    return sum(size >= least for least in SIZES)


class SearchIndex:
    """Follows the items of one writing connection.

    `settle` ends each transaction's work; `forget` follows one that was undone.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Make what is missing; not within a transaction."""
        self._connection = connection
        self._known: set[str] = set()
        self._met: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._words: int | None = None
        connection.create_function("search_learn", 2, self._learn)
        connection.create_function("search_fold", 2, _fold, deterministic=True)
        connection.create_function("search_marks", 6, _marks, deterministic=True)
        connection.create_function("search_class", 4, _class, deterministic=True)
        self._make()
        for trigger in _TRIGGERS:
            connection.execute(trigger)

    def settle(self) -> None:
        """Add the words that the items of this transaction brought."""
        if not self._met:
            return
        new = self._met - self._known
        if new:
            self._add(new)
        if self._counts:
            self._connection.executemany(
                "UPDATE search_word SET count = count + ? WHERE word = ?",
                [(count, word) for word, count in self._counts.items()],
            )
            self._counts.clear()
        if len(self._known) + len(self._met) > KNOWN:
            self._known.clear()
        self._known |= self._met
        self._met.clear()

    def forget(self) -> None:
        """Ask the database again from now on."""
        self._known.clear()
        self._met.clear()
        self._counts.clear()
        self._words = None

    def _make(self) -> None:
        run = self._connection.execute
        found = run("SELECT 1 FROM sqlite_master WHERE name = 'search_state'").fetchone()
        if found and run("SELECT folding FROM search_state").fetchone() == (FOLDING,):
            return
        run("BEGIN IMMEDIATE")
        try:
            for sql in (*TABLES, *_EMPTY):
                run(sql)
            self._fill()
            run("INSERT OR REPLACE INTO search_state VALUES (1, ?)", (FOLDING,))
            run("COMMIT")
        except BaseException:
            run("ROLLBACK")
            raise

    def _fill(self) -> None:
        first = 0
        while True:
            row = self._connection.execute(
                """SELECT max(block) FROM
                   (SELECT block FROM item WHERE block > ? ORDER BY block LIMIT ?)""",
                (first, AT_ONCE),
            ).fetchone()
            if row[0] is None:
                return
            for sql in _put("item"):
                self._connection.execute(
                    f"{sql} FROM item WHERE block > ? AND block <= ?", (first, row[0])
                )
            self.settle()
            first = row[0]

    def _add(self, words: set[str]) -> None:
        """Put words into the vocabulary that may be there already."""
        if self._words is None:
            self._words = self._connection.execute(
                "SELECT count(*) FROM search_word"
            ).fetchone()[0]
        room = VOCABULARY - self._words
        if room < len(words):
            room += self._drop_rare(2 * len(words))
        added = []
        for word in islice(words, max(room, 0)):
            row = self._connection.execute(
                """INSERT INTO search_word(word, count) VALUES (?, 0)
                   ON CONFLICT DO NOTHING RETURNING n""",
                (word,),
            ).fetchone()
            if row is not None:
                added.append((row[0], word))
        self._words += len(added)
        self._connection.executemany(
            "INSERT INTO search_near(rowid, word) VALUES (?, ?)",
            [(n, f"_{word}_") for n, word in added if _may_be_mistyped(word)],
        )

    def _drop_rare(self, many: int) -> int:
        rows = self._connection.execute(
            "SELECT n, word FROM search_word WHERE count = 0 ORDER BY n LIMIT ?", (many,)
        ).fetchall()
        self._connection.executemany(
            "INSERT INTO search_near(search_near, rowid, word) VALUES ('delete', ?, ?)",
            [(n, f"_{word}_") for n, word in rows if _may_be_mistyped(word)],
        )
        self._connection.executemany(
            "DELETE FROM search_word WHERE n = ?", [(n,) for n, _ in rows]
        )
        self._known.clear()
        self._words = (self._words or 0) - len(rows)
        return len(rows)

    def _learn(self, n: int, text: str) -> str:
        words = fold(text)
        self._met.update(words)
        if n % SAMPLED == 0:
            self._counts.update(set(words))
        return " ".join(words)


def _may_be_mistyped(word: str) -> bool:
    return 3 <= len(word) <= LONGEST_NEAR


def _fold(n: int, text: str) -> str:
    return " ".join(fold(text))


def _marks(
    kind: str, person: int, size: int, language: str, media_type: str, tags: str
) -> str:
    found = [EVERY, marks("k", kind), f"a_{person}", f"s_{size_class(size)}"]
    if language:
        found.append(marks("l", language))
    if media_type:
        found.append(marks("m", media_type))
    if tags:
        found += [mark("t", tag) for tag in tags.split("\n")]
    return " ".join(found)


def _class(kind: str, language: str, media_type: str, size: int) -> str:
    return f"{kind}\n{language}\n{media_type}\n{size_class(size)}"
