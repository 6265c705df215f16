"""Search, as the API asks for it; standing searches; and questions that go from peer to peer.

A search may take a fifth of a second, so it runs in a thread, one at a time. What neighbours ask
waits in a short row of its own and gets fewer hits: a stranger who asks all day costs no more than
one search at a time, and never delays a person's by more than one.

Standing searches look in a thread too, at what came since the last look: while a chain of thousands
comes, each look takes in what came during the one before. At most so many hits of each are told at
a look, the newest.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from meshpeer.core.chain_writes import DropStanding, PutStanding
from meshpeer.core.chains.events import AnswerCame
from meshpeer.core.chains.question import MAX_CHOICES, Question
from meshpeer.core.formats.block import Block, Header
from meshpeer.core.formats.record import item_of, parse_record
from meshpeer.core.identity import idtext
from meshpeer.core.writes import PutEvent, Write
from meshpeer.errors import (
    LocalProtocolError,
    MeshpeerError,
    NotFoundError,
    RemoteProtocolError,
    StoreError,
    UsageError,
)
from meshpeer.node import search_facade
from meshpeer.node.chain_facade import Record
from meshpeer.node.chain_service import ChainService
from store.rows import RecordRow
from store.search import Facets, Found, Hit
from store.search_index import SIZES
from store.search_marked import marked
from store.search_opinions import HEEDED
from store.search_others import Also
from store.search_query import read

if TYPE_CHECKING:
    from store.store import Store

log = logging.getLogger("meshpeer.node")

STANDING: Final = 64
"""Standing searches of one peer."""
MAX_NAME: Final = 100
TOLD: Final = 20
"""Hits of one standing search that are told at once."""
REMEMBER_EVERY: Final = 1_000
"""Items after which it is noted how far a standing search looked, even without a hit."""

ANSWERED: Final = 50
"""Hits that a neighbour is given."""
ANSWER_BYTES: Final = 128 << 10
WAITING: Final = 32
"""Neighbours' questions that wait their turn; what comes beyond is not answered."""
NEAR_SECONDS: Final = 1.5
"""How long neighbours are waited for."""
PROBED: Final = 100
"""Hits, the best, of which neighbours are asked whether they hold the file now."""
PROBE_SECONDS: Final = 0.5
"""How long they are waited for."""
NEAR_HITS: Final = 200


class StandingSearches:
    """The searches that go on, and how far each has looked."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._again = False
        self._looking: asyncio.Task[None] | None = None
        self._noted: dict[str, int] = {}
        """How far each had looked when that was written down."""
        self._standing: dict[str, tuple[PutStanding, Question]] = {}
        for row in store.standings():
            with contextlib.suppress(
                RemoteProtocolError
            ):  # of another version: kept, not run
                self._standing[row.name] = (row, Question.parse(row.query))

    def all(self) -> list[tuple[str, Question]]:
        """Give them by name."""
        return [(name, self._standing[name][1]) for name in sorted(self._standing)]

    def add(self, name: str, question: Question) -> list[Write]:
        """Look for this in what comes from now on; UsageError if that can't be."""
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise UsageError(f"a search's name is 1 to {MAX_NAME} characters on one line")
        if name not in self._standing and len(self._standing) >= STANDING:
            raise UsageError(f"there are {STANDING} searches that go on; remove one first")
        row = PutStanding(name, to_bytes(question), self._store.newest_item())
        self._standing[name] = (row, question)
        self._noted[name] = row.seen
        return [row]

    def remove(self, name: str) -> list[Write]:
        """Look for it no more; NotFoundError if nobody did."""
        if self._standing.pop(name, None) is None:
            raise NotFoundError(f"no search goes on under the name {name!r}")
        self._noted.pop(name, None)
        return [DropStanding(name)]

    def look(self, tell: Callable[[list[Write]], None]) -> None:
        """Look, in a thread, at what came; `tell` gets what to journal. One look at a time."""
        self._again = True
        if self._standing and self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look(tell))

    def news(self) -> list[Write]:
        """Look at once; give events of new hits, and how far was looked, to be journalled."""
        return self._told(*self._new(list(self._standing.values())))

    async def _look(self, tell: Callable[[list[Write]], None]) -> None:
        try:
            while self._again and self._standing:
                self._again = False
                rows = list(self._standing.values())
                tell(self._told(*await asyncio.to_thread(self._new, rows)))
        except StoreError as error:
            log.warning("standing searches wait", extra={"reason": str(error)})
        finally:
            self._looking = None

    def _new(
        self, standing: Sequence[tuple[PutStanding, Question]]
    ) -> tuple[int, list[tuple[PutStanding, list[Hit]]]]:
        if not standing:
            return 0, []
        newest = self._store.newest_item()
        return newest, [
            (row, self._store.items_after(question, row.seen, newest, TOLD))
            for row, question in standing
            if row.seen < newest
        ]

    def _told(
        self, newest: int, found: Sequence[tuple[PutStanding, list[Hit]]]
    ) -> list[Write]:
        writes: list[Write] = []
        for row, hits in found:
            held, question = self._standing.get(row.name, (None, None))
            if held != row or question is None:
                continue  # removed or asked anew meanwhile
            noted = self._noted.get(row.name, row.seen)
            row = row._replace(seen=newest)
            self._standing[row.name] = (row, question)
            self._noted[row.name] = noted
            writes += [
                PutEvent.of("found", name=row.name, id=idtext.encode(hit.record.id))
                for hit in reversed(hits)
            ]
            if hits or newest - noted >= REMEMBER_EVERY:
                writes.append(row)
                self._noted[row.name] = newest
        return writes


class Asking:
    """Questions of ours that neighbours answer, and theirs that are answered here."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._asked: dict[bytes, tuple[dict[bytes, Block], asyncio.Event]] = {}
        self._waiting: deque[tuple[bytes, Callable[[list[Block]], None]]] = deque()
        self._busy: asyncio.Task[None] | None = None

    def question(self, query: bytes, answer: Callable[[list[Block]], None]) -> None:
        """Answer a neighbour's question as soon as it is its turn, or not at all."""
        if len(self._waiting) >= WAITING:
            return
        self._waiting.append((query, answer))
        if self._busy is None or self._busy.done():
            self._busy = asyncio.get_running_loop().create_task(self._answer())

    def came(self, event: AnswerCame) -> None:
        """Take what a neighbour answered, if somebody still waits for it."""
        if event.query_id not in self._asked:
            return
        blocks, full = self._asked[event.query_id]
        for block in event.blocks:
            if len(blocks) < NEAR_HITS:
                blocks[block.header.id] = block
        if len(blocks) >= NEAR_HITS:
            full.set()

    async def ask(self, query_id: bytes) -> list[Block]:
        """Wait for the answers to a question that was asked."""
        blocks, full = self._asked.setdefault(query_id, ({}, asyncio.Event()))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NEAR_SECONDS):
                    await full.wait()
        finally:
            self._asked.pop(query_id, None)
        return list(blocks.values())

    async def _answer(self) -> None:
        while self._waiting:
            query, answer = self._waiting.popleft()
            with contextlib.suppress(MeshpeerError):
                answer(await asyncio.to_thread(blocks_for, self._store, query))


class SearchService(ChainService):
    """What people here look for. The node has `standing` and `asking`."""

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
        to_bytes(question)
        return question

    def _heeded(self) -> frozenset[bytes]:
        """Give whose labels count: of persons here, of contacts, and of whom they follow."""
        reasons = ("own", "followed", "contact")
        some = [(self._why(person), person) for person in self._kept()]
        ranked = sorted((reasons.index(why), one) for why, one in some if why in reasons)
        return frozenset(one for _, one in ranked[:HEEDED])

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
        query_id = self._peer.chains.ask(to_bytes(question), self._node.now())
        self._node.soon()
        blocks = await self._node.asking.ask(query_id)
        rows = [row for block in blocks if (row := _row(block)) is not None]
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


def blocks_for(store: "Store", query: bytes) -> list[Block]:
    """Give the blocks that answer a neighbour's question, the best first, within a bound.

    RemoteProtocolError: it is no question.
    """
    question = Question.parse(query)
    found = store.search(question, limit=ANSWERED, facets=False)
    blocks, room = [], ANSWER_BYTES
    for hit in found.hits:
        if hit.record.body is None:
            continue
        room -= len(hit.record.header) + len(hit.record.body)
        if room < 0:
            break
        blocks.append(Block(Header.parse(hit.record.header), hit.record.body))
    return blocks


def to_bytes(question: Question) -> bytes:
    """Give the question's bytes; UsageError where it is too large for one."""
    try:
        return question.to_bytes()
    except LocalProtocolError as error:
        raise UsageError(
            f"that is too much for one search ({error.__cause__ or error}); use fewer words, "
            f"and at most {MAX_CHOICES} values of a filter"
        ) from error


def _row(block: Block) -> RecordRow | None:
    """Give what a neighbour told as if it were held; None for what is nothing to see."""
    if block.body is None:
        return None
    try:
        item = item_of(parse_record(block.body))
    except RemoteProtocolError:
        return None
    header = block.header
    return item and RecordRow(0, header.id, header.to_bytes(), block.body, 0, item)


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
