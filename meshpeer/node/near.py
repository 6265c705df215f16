"""Questions that go from peer to peer: ours that neighbours answer, theirs answered here.

What neighbours ask waits in a short row of its own and gets fewer hits than a person here: a
stranger who asks all day costs no more than one search at a time, and never delays a person's by
more than one. Contacts go first, and all strangers together get one search a second.

What neighbours answer is shown in turns, the first of each and then the second: whoever answers much,
and maybe not what was asked, takes no place from the others.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice, zip_longest
from time import monotonic
from typing import TYPE_CHECKING, Final

from meshpeer.core.chains.events import AnswerCame
from meshpeer.core.chains.question import MAX_CHOICES, Question
from meshpeer.core.formats.block import Block, Header
from meshpeer.core.sync.allowance import Allowance
from meshpeer.errors import LocalProtocolError, MeshpeerError, UsageError

if TYPE_CHECKING:
    from store.store import Store

ANSWERED: Final = 50
"""Hits that a neighbour is given."""
ANSWER_BYTES: Final = 128 << 10
WAITING: Final = 32
"""Questions of contacts, and as many of strangers, that wait their turn; what comes beyond is
not answered."""
STRANGERS_PER_S: Final = 1.0
STRANGERS_BURST: Final = 32
"""Questions of strangers that are answered."""
NEAR_SECONDS: Final = 1.5
"""How long neighbours are waited for that don't say that they gave all."""
NEAR_HITS: Final = 200
"""Hits that are shown of all neighbours together."""
KEPT: Final = 1_000
"""Hits that are kept of them while they are waited for."""


class Near:
    """Questions of ours that neighbours answer, and theirs that are answered here."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._asked: dict[bytes, dict[bytes, dict[bytes, Block]]] = {}
        """By question and neighbour, what came."""
        self._all_answered: dict[bytes, asyncio.Event] = {}
        self._waiting: dict[bool, deque[tuple[bytes, Callable[[list[Block]], None]]]] = {
            True: deque(),
            False: deque(),
        }
        """Of contacts, and of strangers."""
        self._strangers = Allowance(rate=STRANGERS_PER_S, burst=STRANGERS_BURST)
        self._busy: asyncio.Task[None] | None = None

    def question(
        self, query: bytes, answer: Callable[[list[Block]], None], *, known: bool
    ) -> None:
        """Answer a neighbour's question as soon as it is its turn, or with nothing at once."""
        waiting = self._waiting[known]
        if len(waiting) >= WAITING or not (
            known or self._strangers.take("all", monotonic())
        ):
            answer([])
            return
        waiting.append((query, answer))
        if self._busy is None or self._busy.done():
            self._busy = asyncio.get_running_loop().create_task(self._answer())

    def came(self, event: AnswerCame) -> None:
        """Take what a neighbour answered, if somebody still waits for it."""
        if event.query_id not in self._asked:
            return
        came = self._asked[event.query_id]
        mine = came.setdefault(event.neighbour, {})
        for block in event.blocks:
            if len(mine) < ANSWERED and self._make_room(came, mine):
                mine[block.header.id] = block

    def all_answered(self, query_id: bytes) -> None:
        """Nothing more will come for this question: who waits for it need wait no longer."""
        if query_id in self._all_answered:
            self._all_answered[query_id].set()

    async def ask(self, query_id: bytes) -> list[Block]:
        """Wait for the answers to a question that was asked."""
        came = self._asked.setdefault(query_id, {})
        all_answered = self._all_answered[query_id] = asyncio.Event()
        try:
            await asyncio.wait_for(all_answered.wait(), NEAR_SECONDS)
        except TimeoutError:
            pass  # what came by now is shown
        finally:
            self._asked.pop(query_id, None)
            self._all_answered.pop(query_id, None)
        turns = zip_longest(*(blocks.values() for blocks in came.values()))
        blocks = {block.header.id: block for turn in turns for block in turn if block}
        return list(islice(blocks.values(), NEAR_HITS))

    @staticmethod
    def _make_room(
        came: Mapping[bytes, dict[bytes, Block]], mine: Mapping[bytes, Block]
    ) -> bool:
        """Whether one more may be kept; who gave most gives way to who gave less."""
        if sum(map(len, came.values())) < KEPT:
            return True
        most = max(came.values(), key=len)
        if len(most) <= len(mine) + 1:
            return False
        most.popitem()
        return True

    async def _answer(self) -> None:
        while waiting := self._waiting[True] or self._waiting[False]:
            query, answer = waiting.popleft()
            found: list[Block] = []
            with suppress(MeshpeerError):
                found = await asyncio.to_thread(blocks_for, self._store, query)
            answer(found)


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
