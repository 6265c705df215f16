"""Search, as the API asks for it.

A search may take a fifth of a second, so it runs in a thread, one at a time.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from meshpeer.core.chains.question import Question
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.record import item_of, parse_record
from meshpeer.core.identity import idtext
from meshpeer.errors import (
    NotFoundError,
    RemoteProtocolError,
    UsageError,
)
from meshpeer.node import search_facade
from meshpeer.node.chain_facade import Record
from meshpeer.node.chain_service import ChainService
from meshpeer.node.near import question_bytes
from store.rows import RecordRow
from store.search import Facets, Found, Hit
from store.search_index import SIZES
from store.search_marked import marked
from store.search_others import Also
from store.search_query import read

if TYPE_CHECKING:
    pass

PROBED: Final = 100
"""Hits, the best, of which neighbours are asked whether they hold the file now."""
PROBE_SECONDS: Final = 0.5
"""How long they are waited for."""


class SearchService(ChainService):
    """What people here look for. The node has `standing` and `near`."""

    async def search(self, request: search_facade.SearchRequest) -> search_facade.Found:
        """Search all records that are here; with `near`, at the neighbours too."""
        question = self._question(request.query)
        heeded = self._heeded()
        async with self._node.searching:
            found: Found = await asyncio.to_thread(
                self._store.search,
                question,
                after=request.after,
                limit=request.limit,
                heeded=heeded,
                facets=request.facets,
            )
        if question.held and request.after is None:
            around = await self._held_around(question, heeded)
            hits = found.hits + around
            found = found._replace(hits=hits, total=found.total + len(around))
        views = self._hits(question, found)
        if request.near:
            views += await self._near(question)
        return search_facade.Found(
            hits=views,
            total=found.total,
            more=found.more,
            cut=found.partial,
            instead={word: ", ".join(others) for word, others in found.spellings.items()},
            facets=self._facets(found.facets) if request.facets else {},
            next=found.after,
        )

    async def standings(self) -> list[search_facade.Standing]:
        """List the searches that go on."""
        return [
            search_facade.Standing(name, _query_view(question))
            for name, question in self._node.standing.all()
        ]

    async def add_standing(
        self, standing: search_facade.Standing
    ) -> search_facade.Standing:
        """Tell, by `found` events, when something like this turns up."""
        question = self._question(standing.query)
        self._peer.journal.add(*self._node.standing.add(standing.name, question))
        await self._node.durable()
        return search_facade.Standing(standing.name, _query_view(question))

    async def remove_standing(self, name: str) -> None:
        """Look for it no more."""
        self._peer.journal.add(*self._node.standing.remove(name))
        await self._node.durable()

    async def heeded(self) -> list[search_facade.Heeded]:
        """List whose labels count, and whose were said not to."""
        unheeded = [person for person, heeded in self._node.heeding.all if not heeded]
        counting = self._node.heeding.heeded(self._usually_heeded())
        return [self._heed_view(person) for person in (*counting, *unheeded)]

    async def heed(self, who: str, *, heeded: bool) -> search_facade.Heeded:
        """Let this person's labels rate and warn here, or not."""
        person = self.find_person(who)
        self._peer.journal.add(self._node.heeding.say(person, heeded))
        await self._node.durable()
        return self._heed_view(person)

    def _heed_view(self, person: bytes) -> search_facade.Heeded:
        said = self._node.heeding.said(person)
        return search_facade.Heeded(
            person=self.who(person),
            heeded=said is not False,
            chosen=said is not None,
            labels=self._store.count_labels(person),
        )

    async def also(self, what: str, limit: int) -> list[Record]:
        """What else is published by those who have this, too."""
        found = await asyncio.to_thread(self._also(what), limit)
        return self.record_views([one.record for one in found])

    def _also(self, what: str) -> Callable[[int], list[Also]]:
        try:
            person = self.find_person(what)
        except (NotFoundError, UsageError):
            person = b""
        if person and self._store.others_like_person(person, 1):
            return lambda limit: self._store.others_like_person(person, limit)
        file = self.find_file(what)
        return lambda limit: self._store.others_with_file(file, limit)

    def _question(self, query: search_facade.SearchQuery) -> Question:
        self.check_kinds(query.kinds)
        question = Question(
            words=query.words,
            kinds=tuple(query.kinds),
            authors=tuple(self.find_person(who) for who in query.who),
            tags=tuple(query.tags),
            languages=tuple(query.languages),
            media_types=tuple(query.media_types),
            smallest=query.smallest,
            largest=query.largest,
            since=query.since,
            until=query.until,
            held=query.held,
        )
        question_bytes(question)
        return question

    def _heeded(self) -> frozenset[bytes]:
        """Give whose labels count."""
        return frozenset(self._node.heeding.heeded(self._usually_heeded()))

    def _hits(self, question: Question, found: Found) -> list[search_facade.Hit]:
        terms = read(question.words)
        views = self.record_views([hit.record for hit in found.hits])
        return [
            search_facade.Hit(
                record=view,
                marked=marked(view.text, terms),
                rating=hit.rating or None,
                warnings=list(hit.warnings),
                near=False,
            )
            for view, hit in zip(views, found.hits, strict=True)
        ]

    async def _held_around(self, question: Question, heeded: frozenset[bytes]) -> list[Hit]:
        """Give those of the best hits whose files a neighbour holds now, and this disk doesn't."""
        anywhere = replace(question, held=False)
        async with self._node.searching:
            found: Found = await asyncio.to_thread(
                self._store.search, anywhere, limit=PROBED, heeded=heeded, facets=False
            )
        files = [(hit, hit.record.item.file) for hit in found.hits if hit.record.item]
        lacking = [(hit, file) for hit, file in files if file and not self._whole(file)]
        asked = {file for _, file in lacking}
        holders = self._peer.files.holders(asked, self._node.now())
        self._node.soon()
        if not all(holders.values()):
            await asyncio.sleep(PROBE_SECONDS)
            holders = self._peer.files.holders(asked, self._node.now())
        return [hit for hit, file in lacking if holders[file]]

    def _whole(self, file: bytes) -> bool:
        row = self._store.file(file)
        return row is not None and row.have is None

    async def _near(self, question: Question) -> list[search_facade.Hit]:
        """Ask the neighbours; what is held here was found here."""
        query_id = self._peer.chains.ask(question_bytes(question), self._node.now())
        self._node.soon()
        if not self._peer.chains.waits(query_id):
            return []
        blocks = await self._node.near.ask(query_id)
        rows = [row for block in blocks if (row := _row(block, question)) is not None]
        new = [row for row in rows if self._store.record_of(row.id) is None]
        terms = read(question.words)
        return [
            search_facade.Hit(view, marked(view.text, terms), None, [], True)
            for view in self.record_views(new)
        ]

    def _facets(self, facets: Facets) -> dict[str, list[search_facade.Facet]]:
        parts: dict[str, Sequence[tuple[str, int]]] = {
            "kinds": facets.kinds,
            "tags": facets.tags,
            "authors": [(self._author(person), count) for person, count in facets.authors],
            "languages": facets.languages,
            "media_types": facets.media_types,
            "sizes": [(_size_name(number), count) for number, count in facets.sizes],
        }
        return {
            name: [search_facade.Facet(value, count) for value, count in part]
            for name, part in parts.items()
            if part
        }

    def _author(self, person: bytes) -> str:
        who = self.who(person)
        return who.petname or who.id


def _row(block: Block, question: Question) -> RecordRow | None:
    """Give what a neighbour told as if it were held; None for what is nothing to see, or not what
    was asked for."""
    if block.body is None:
        return None
    try:
        item = item_of(parse_record(block.body))
    except RemoteProtocolError:
        return None
    header = block.header
    if item is None or not question.allows(header.person, item):
        return None
    return RecordRow(0, header.id, header.to_bytes(), block.body, 0, item)


def _query_view(question: Question) -> search_facade.SearchQuery:
    return search_facade.SearchQuery(
        words=question.words,
        kinds=list(question.kinds),
        who=[idtext.encode(person) for person in question.authors],
        tags=list(question.tags),
        languages=list(question.languages),
        media_types=list(question.media_types),
        smallest=question.smallest,
        largest=question.largest,
        since=question.since,
        until=question.until,
        held=question.held,
    )


def _size_name(number: int) -> str:
    """Name a size class as people say it."""
    if number == 0:
        return "none"
    names = ("100 kB", "1 MB", "10 MB", "100 MB", "1 GB")
    return f"under {names[number - 1]}" if number < len(SIZES) else "1 GB and more"
