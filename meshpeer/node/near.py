"""Questions that go from peer to peer: ours that neighbours answer, theirs answered here.

What neighbours ask waits in a short row of its own and gets fewer hits than a person here: a
stranger who asks all day costs no more than one search at a time, and never delays a person's by
more than one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from meshpeer.core.chains.events import AnswerCame
from meshpeer.core.chains.question import MAX_CHOICES, Question
from meshpeer.core.formats.block import Block, Header
from meshpeer.errors import LocalProtocolError, MeshpeerError, UsageError

if TYPE_CHECKING:
    from store.store import Store

ANSWERED: Final = 50
"""Hits that a neighbour is given."""
ANSWER_BYTES: Final = 128 << 10
WAITING: Final = 32
"""Neighbours' questions that wait their turn; what comes beyond is not answered."""
NEAR_SECONDS: Final = 1.5
"""How long neighbours are waited for."""
NEAR_HITS: Final = 200
"""Hits that are taken from all neighbours together."""


class Near:
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
            with suppress(TimeoutError):
                async with asyncio.timeout(NEAR_SECONDS):
                    await full.wait()
        finally:
            self._asked.pop(query_id, None)
        return list(blocks.values())

    async def _answer(self) -> None:
        while self._waiting:
            query, answer = self._waiting.popleft()
            with suppress(MeshpeerError):
                answer(await asyncio.to_thread(blocks_for, self._store, query))


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


def question_bytes(question: Question) -> bytes:
    """Give the question's bytes; UsageError where it is too large for one."""
    try:
        return question.to_bytes()
    except LocalProtocolError as error:
        raise UsageError(
            f"that is too much for one search ({error.__cause__ or error}); use fewer words, "
            f"and at most {MAX_CHOICES} values of a filter"
        ) from error
