"""Searching what is held: hits in order of worth, and counts of what they are.

The commonest word stands in every item, so nothing here may cost by how many items there are.
Hits are taken newest first and at most RANKED of them; these are counted, ranked and paged, and
whoever asks is told that there are more. FTS5 can be interrupted only between two hits, and two
common words that never meet have none: so it is asked for one span of numbers at a time, and
after each span the clock is looked at. A search that is out of time says that it is partial.

Rank, for the words asked for: all hits by how many of the words stand in name or tags, then newest
first; and the best WEIGHED of these by BM25 over their fields, from the texts themselves. FTS5's
own bm25() counts every posting of each word first, which takes 15 ms here and can't be stopped.
Hits that have a word only as it may have been meant come last.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from time import perf_counter
from typing import Final, NamedTuple, TypeAlias

from meshpeer.core.chains.question import LARGEST, PERSON_SIZE, Question
from meshpeer.errors import UsageError
from store import search_query as query
from store.rows import RecordRow
from store.search_index import SAMPLED
from store.search_opinions import NO_OPINIONS, Opinions, opinions
from store.search_others import OthersReads
from store.search_query import Term
from store.search_weigh import Text, weigh
from store.search_words import distance, errors_forgiven, swapped, trigrams

RANKED: Final = 10_000
"""Hits that are counted and ranked, the newest."""
NAMED: Final = 1_000
"""Hits that rise for one of the words' being in their name or tags, the newest."""
WEIGHED: Final = 128
"""Hits whose texts are read to rank them."""
PAGE: Final = 1_000
TIME: Final = 0.2
"""Seconds for one search."""

FIRST_SPAN: Final = 32_768
"""Items looked at before the clock is, then more while that is quick."""
QUICK: Final = 0.01
WIDER: Final = 4

FEW: Final = 5
"""With fewer hits than these, words that stand in fewer items are tried in other spellings."""
SPELLINGS: Final = 8
"""Of one word."""
CANDIDATES: Final = 256
"""Words of which most trigrams fit, whose distance is then counted."""
SHARING: Final = 4_096
"""Words that share one trigram, the first learnt: which are the commonest."""
BEGINNING: Final = 128
"""Words that a prefix stands for, the commonest."""
LOOKED_THROUGH: Final = 4_096
"""Words among which these are chosen."""

FACETS: Final = 20
"""Values shown of one facet, those with most hits."""

Row: TypeAlias = tuple[int, int, str, str]
"""Number, author's number, class and tags of a hit."""

HITS: Final = """SELECT f.n, f.person, f.class, f.tags
    FROM search_text CROSS JOIN search_facet AS f ON f.n = search_text.rowid
    WHERE search_text MATCH ? AND search_text.rowid BETWEEN ? AND ?"""
NEWEST_FIRST: Final = " ORDER BY search_text.rowid DESC LIMIT ?"
HELD: Final = """ AND EXISTS (SELECT 1 FROM item JOIN file ON file.id = item.file
    WHERE item.block = f.n AND file.have IS NULL)"""
NUMBERS: Final = """SELECT rowid FROM search_text WHERE search_text MATCH ?
    AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?"""
NEAR: Final = (
    "SELECT rowid FROM search_near WHERE search_near MATCH ? ORDER BY rowid LIMIT ?"
)
TEXTS: Final = (
    "SELECT block, name, tags, substr(text, 1, 4096) FROM item WHERE block IN ({})"
)
BEGIN_SO: Final = """SELECT word FROM (
    SELECT word, count, n FROM search_word WHERE word >= ? AND word < ? LIMIT ?)
    ORDER BY count DESC, n LIMIT ?"""


class Hit(NamedTuple):
    """A record that was searched for."""

    record: RecordRow
    rating: float
    """What those who are heeded think of it, -2 to 2."""
    warnings: tuple[str, ...]
    """What they warn of; such hits come last."""


class Facets(NamedTuple):
    """Of the hits counted: how many have which value; the most frequent, most first."""

    kinds: tuple[tuple[str, int], ...] = ()
    tags: tuple[tuple[str, int], ...] = ()
    authors: tuple[tuple[bytes, int], ...] = ()
    languages: tuple[tuple[str, int], ...] = ()
    media_types: tuple[tuple[str, int], ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    """By class (search_index.SIZES says where each begins)."""


class Found(NamedTuple):
    """One page of what was found, and what all of it is."""

    hits: list[Hit]
    total: int
    more: bool
    """There are more hits than were counted: '10,000+'."""
    partial: bool
    """Time was up, or a prefix stands for more words than were tried."""
    facets: Facets
    spellings: Mapping[str, tuple[str, ...]]
    """For words that were hardly found: what was searched for as well."""
    after: str | None
    """Where the next page begins."""


class SearchReads(OthersReads):
    """What people and neighbours search for."""

    def search(
        self,
        question: Question,
        *,
        after: str | None = None,
        limit: int = 20,
        heeded: AbstractSet[bytes] = frozenset(),
        facets: bool = True,
        seconds: float = TIME,
        clock: Callable[[], float] = perf_counter,
    ) -> Found:
        """Give the best hits, within `seconds` or little more, whatever the question holds.

        `heeded` are persons whose labels count. UsageError: `after` is no cursor of ours.
        """
        newest, offset = _cursor(after) or (self.newest_item(), 0)
        looking = _Looking(self, question, newest, clock() + seconds, clock)
        terms = [looking.complete(term) for term in query.read(question.words)]
        rows = looking.rows(terms)
        view = opinions(self._all, heeded) if heeded else NO_OPINIONS
        order = self._ranked(looking, terms, rows, view)
        if len(rows) < FEW:
            other = looking.spelled(terms)
            if other != terms:
                found = {row[0] for row in rows}
                late = [row for row in looking.rows(other) if row[0] not in found]
                order += self._ranked(looking, other, late, view)
                rows += late
        more, rows, order = len(rows) > RANKED, rows[:RANKED], order[:RANKED]
        end = offset + max(1, min(limit, PAGE))
        return Found(
            [hit for n in order[offset:end] if (hit := self._hit(n, view)) is not None],
            len(rows),
            more,
            looking.partial,
            self._facets(rows) if facets else Facets(),
            looking.spellings,
            f"{newest}.{end}" if end < len(order) else None,
        )

    def newest_item(self) -> int:
        """Give the number of the last item; 0 before the first."""
        return self._one("SELECT max(n) FROM search_facet")[0] or 0

    def items_after(
        self, question: Question, seen: int, newest: int, limit: int = FACETS
    ) -> list[Hit]:
        """Give hits whose numbers are above `seen`, up to `newest`, newest first.

        Spelled as asked for, so that a standing search tells nothing that wasn't meant.
        """
        looking = _Looking(self, question, newest, perf_counter() + TIME, perf_counter)
        terms = [looking.complete(term) for term in query.read(question.words)]
        rows = looking.rows(terms, above=seen, limit=limit)
        hits = (self._hit(row[0], NO_OPINIONS) for row in rows[:limit])
        return [hit for hit in hits if hit is not None]

    def _hit(self, number: int, view: Opinions) -> Hit | None:
        record = self.record(number)
        if record is None or record.item is None:
            return None
        return Hit(record, view.ratings.get(number, 0.0), view.warnings.get(number, ()))

    def _ranked(
        self,
        looking: "_Looking",
        terms: Sequence[Term],
        rows: Sequence[Row],
        view: Opinions,
    ) -> list[int]:
        """Give the numbers of the hits, the best first."""
        numbers = [row[0] for row in rows]
        wanted = [term for term in terms if not term.without]
        worth: Mapping[int, float] = {}
        if wanted and len(rows) > WEIGHED:
            worth = looking.named(terms, numbers)
        order = view.sort(numbers, worth)
        if wanted and rows:
            best = order[:WEIGHED]
            held = {term: looking.held(term) for term in wanted}
            worth = weigh(wanted, held, looking.newest, self._texts(best))
            order[:WEIGHED] = view.sort(sorted(best, reverse=True), worth)
        return order

    def _texts(self, numbers: Sequence[int]) -> list[Text]:
        marks = ", ".join("?" * len(numbers))
        return [Text._make(row) for row in self._all(TEXTS.format(marks), *numbers)]

    def _facets(self, rows: Sequence[Row]) -> Facets:
        if not rows:
            return Facets()
        _, persons, classes, tags = zip(*rows, strict=True)
        parts: tuple[Counter[str], ...] = (Counter(), Counter(), Counter(), Counter())
        for name, count in Counter(classes).items():
            for part, value in zip(parts, name.split("\n"), strict=True):
                part[value] += count
        kinds, languages, media_types, sizes = (_most(part) for part in parts)
        return Facets(
            kinds,
            _most(Counter("\n".join(filter(None, tags)).split("\n"))),
            tuple(
                (self._one("SELECT id FROM key WHERE n = ?", number)[0], count)
                for number, count in Counter(persons).most_common(FACETS)
            ),
            languages,
            media_types,
            tuple((int(name), count) for name, count in sizes),
        )


class _Looking:
    """One search under way: its time, and what came of it."""

    def __init__(
        self,
        reads: SearchReads,
        question: Question,
        newest: int,
        until: float,
        clock: Callable[[], float],
    ) -> None:
        self.newest = newest
        self.partial = False
        self.spellings: dict[str, tuple[str, ...]] = {}
        self._all = reads._all
        self._until = until
        self._clock = clock
        self._question = question
        self._marks = query.marked(question, self._authors())
        self._where, self._values = _conditions(question)

    def rows(
        self, terms: Sequence[Term], *, above: int = 0, limit: int = RANKED + 1
    ) -> list[Row]:
        """Give the newest hits."""
        match = query.expression(terms, self._marks)
        sql = HITS + self._where + NEWEST_FIRST
        found: list[Row] = []
        high, span = self.newest, FIRST_SPAN
        while high > above and len(found) < limit:
            now = self._clock()
            if now >= self._until:
                self.partial = True
                break
            low = max(above + 1, high - span + 1)
            found += self._all(sql, match, low, high, *self._values, limit - len(found))
            high = low - 1
            if self._clock() - now < QUICK:
                span *= WIDER
        return found

    def named(self, terms: Sequence[Term], numbers: Sequence[int]) -> Mapping[int, float]:
        """Say for hits how many of the terms stand in their name or tags."""
        worth: Counter[int] = Counter()
        for term in terms:
            if term.without:
                continue
            if self._clock() >= self._until:
                self.partial = True
                break
            match = query.named(term, terms, self._marks)
            rows = self._all(NUMBERS, match, numbers[-1], numbers[0], NAMED)
            worth.update([row[0] for row in rows])
        return worth

    def complete(self, term: Term) -> Term:
        """Say which words a prefix stands for."""
        if not term.prefix:
            return term
        start = term.words[0]
        rows = self._all(
            BEGIN_SO, start, start + "\U0010ffff", LOOKED_THROUGH, BEGINNING + 1
        )
        self.partial |= len(rows) > BEGINNING
        return query.with_others(term, [row[0] for row in rows[:BEGINNING]])

    def held(self, term: Term) -> int:
        """Say in how many items, about, the term stands."""
        count = 0
        for word in (*term.words, *term.others)[:SPELLINGS]:
            rows = self._all("SELECT count FROM search_word WHERE word = ?", word)
            count = max(count, rows[0][0] if rows else 0)
        return max(1, count * SAMPLED)

    def spelled(self, terms: Sequence[Term]) -> list[Term]:
        """Give the terms with other spellings for words that hardly stand anywhere."""
        return [self._spelled(term) for term in terms]

    def _spelled(self, term: Term) -> Term:
        word = term.word
        most = errors_forgiven(word) if word else 0
        if not most or self._clock() >= self._until:
            return term
        rows = self._all(NUMBERS, f'"{word}"', 0, LARGEST, FEW)
        if len(rows) >= FEW:
            return term
        near = self._near(word, most)
        if near:
            self.spellings[word] = near
        return query.with_others(term, near)

    def _near(self, word: str, most: int) -> tuple[str, ...]:
        """Give the words that are spelled most alike, the commonest of these first."""
        shared: Counter[int] = Counter()
        for three in trigrams(word):
            shared.update([row[0] for row in self._all(NEAR, f'"{three}"', SHARING)])
        best = [n for n, _ in shared.most_common(CANDIDATES)]
        rows = self._words("n", best) + self._words("word", swapped(word))
        near = {
            (distance(word, other, most), -count, other)
            for other, count in rows
            if other != word
        }
        return tuple(other for apart, _, other in sorted(near) if apart <= most)[:SPELLINGS]

    def _words(self, by: str, which: Sequence[object]) -> list[tuple[str, int]]:
        marks = ", ".join("?" * len(which))
        return self._all(
            f"SELECT word, count FROM search_word WHERE {by} IN ({marks})",  # noqa: S608 - ours
            *which,
        )

    def _authors(self) -> list[int]:
        authors = [id for id in self._question.authors if len(id) == PERSON_SIZE]
        rows = [self._all("SELECT n FROM key WHERE id = ?", id) for id in authors]
        return [row[0][0] for row in rows if row]


def _conditions(question: Question) -> tuple[str, list[int]]:
    """Give what the index does not know as words, as SQL and its values."""
    bounds = (
        ("f.size >= ?", question.smallest),
        ("f.size <= ?", question.largest),
        ("f.written >= ?", question.since),
        ("f.written <= ?", question.until),
    )
    where = "".join(f" AND {sql}" for sql, bound in bounds if bound is not None)
    values = [
        max(-LARGEST, min(bound, LARGEST)) for _, bound in bounds if bound is not None
    ]
    return where + HELD * question.held, values


def _cursor(after: str | None) -> tuple[int, int] | None:
    if after is None:
        return None
    newest, dot, offset = after.partition(".")
    if not (dot and _is_short_number(newest) and _is_short_number(offset)):
        raise UsageError(f"{after[:40]!r} is not where a page of hits ended")
    return int(newest), int(offset)


def _is_short_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _most(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(
        [(value, count) for value, count in counts.most_common() if value][:FACETS]
    )
