"""Questions to the neighbours, and one hop on where they allow it.

What a question says is the search's affair. An answer is blocks with their authors' cards, so
nobody can answer in another's name: each is verified here before it is told or passed on. Who
asked goes no further: a question that is passed on gets a new id and looks like our own.

An answer without blocks is a neighbour's last one. Who passed a question on gives it when its own
answer went out and all whom it asked gave theirs; so who asked waits as long as it must, and no
longer. Who gives none, or never, is waited for to the limit of whoever waits.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from meshpeer.core.bucket import Bucket
from meshpeer.core.chains.archive import ChainArchive, PeopleLike
from meshpeer.core.chains.authors import Authors, Standing, standing_of
from meshpeer.core.chains.events import AllAnswered, AnswerCame, Question
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.messages import (
    MAX_QUERY,
    QUERY_ID_SIZE,
    Answer,
    Query,
    split_answer,
)
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.card import Card, is_newer
from meshpeer.core.formats.record import parse_record
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

QUERIES_BURST: Final = 10
QUERIES_PER_S: Final = 0.5
"""Questions taken from a neighbour."""
OWN_BURST: Final = 6
OWN_PER_S: Final = 0.3
PASSED_BURST: Final = 3
PASSED_PER_S: Final = 0.15
"""Questions that a neighbour is asked, our own and those passed on: together less than it takes,
or strangers who ask much would make our neighbours close their links to us."""
ANSWERS: Final = 8
"""Messages of answers that one neighbour may send for a question."""
TIMEOUT_S: Final = 60.0
"""Answers that come later are not taken."""
ASKED: Final = 256
"""Questions that wait for answers, our own and those passed on."""
PASSED: Final = 192
"""Of these, the most that are passed on, so that they leave room for our own."""


class Asker(Protocol):
    """A session, as questions see it."""

    @property
    def peer(self) -> bytes: ...
    @property
    def reads(self) -> bool: ...
    def may_ask(self, now: float, *, passed: bool) -> bool: ...
    def say(self, message: Query | Answer) -> None: ...
    def flush(self) -> None: ...


@dataclass(slots=True)
class Asked:
    """A question that went out."""

    until: float
    heard: dict[bytes, int]
    """How many messages each neighbour that was asked, and gave no last one, may still answer."""
    relay: tuple[bytes, bytes] | None = None
    """The neighbour that asked, and its id for the question."""
    answered: bool = False
    """Of one passed on: what was found here was given."""


class Questions:
    """All questions under way."""

    def __init__(
        self,
        *,
        sessions: Mapping[bytes, Asker],
        authors: Authors,
        people: PeopleLike,
        archive: ChainArchive,
        limits: ChainLimits,
        rng: Callable[[int], bytes],
        tell: Callable[[Question | AnswerCame | AllAnswered], None],
    ) -> None:
        self._sessions, self._authors, self._people = sessions, authors, people
        self._archive, self._limits, self._rng, self._tell = archive, limits, rng, tell
        self._asked: dict[bytes, Asked] = {}

    def ask(self, query: bytes, now: float) -> bytes:
        """Ask all neighbours; give the id under which answers are told."""
        if not 1 <= len(query) <= MAX_QUERY:
            raise LocalProtocolError(f"a question of {len(query)} bytes, limit {MAX_QUERY}")
        return self._send(query, 1, self._sessions, None, now)

    def _send(
        self,
        query: bytes,
        hops: int,
        to: Iterable[bytes],
        relay: tuple[bytes, bytes] | None,
        now: float,
    ) -> bytes:
        id = self._rng(QUERY_ID_SIZE)
        self.expire(now)
        passed = relay is not None
        if passed and sum(one.relay is not None for one in self._asked.values()) >= PASSED:
            return id
        peers = [
            peer
            for peer in to
            if (one := self._sessions[peer]).reads and one.may_ask(now, passed=passed)
        ]
        if passed and not peers:
            return id
        if len(self._asked) >= ASKED:
            del self._asked[next(iter(self._asked))]
        asked = Asked(now + TIMEOUT_S, dict.fromkeys(peers, ANSWERS), relay)
        self._asked[id] = asked
        self._end(id, asked)
        for peer in peers:
            self._sessions[peer].say(Query(id, hops, query))
            self._sessions[peer].flush()
        return id

    def waits(self, id: bytes) -> bool:
        """Whether some neighbour may still answer this question."""
        return id in self._asked

    def expire(self, now: float) -> None:
        """Forget questions whose time is up."""
        for id in [id for id, asked in self._asked.items() if now >= asked.until]:
            del self._asked[id]

    # -- asked by a neighbour

    def hear(self, session: Asker, query: Query, bucket: Bucket, now: float) -> None:
        """A neighbour asks."""
        if not bucket.take(now):
            raise RemoteProtocolError("query", f"more than {QUERIES_BURST} at once")
        self._tell(Question(session.peer, query.id, query.query))
        if query.hops and self._limits.pass_on:
            others = [peer for peer in self._sessions if peer != session.peer]
            if others:
                self._send(query.query, 0, others, (session.peer, query.id), now)

    def answer(self, neighbour: bytes, query_id: bytes, blocks: Iterable[Block]) -> None:
        """Send what was found here, if the neighbour is still there."""
        session = self._sessions.get(neighbour)
        if session is None:
            return
        for count, answer in enumerate(split_answer(query_id, blocks, self._card)):
            if count < ANSWERS and session.reads:
                session.say(answer)
        relay = neighbour, query_id
        passed = [(id, asked) for id, asked in self._asked.items() if asked.relay == relay]
        for id, asked in passed:
            asked.answered = True
            self._end(id, asked)
        if not passed:
            self._say_last(session, query_id)
        session.flush()

    def gone(self, peer: bytes) -> None:
        """A neighbour is gone: nobody waits for what it was to answer."""
        for id, asked in list(self._asked.items()):
            if asked.heard.pop(peer, None) is not None:
                self._end(id, asked)

    def _end(self, id: bytes, asked: Asked) -> None:
        """If nothing more can come for a question, say so to whoever asked it."""
        if asked.heard:
            return
        if asked.relay is None:
            del self._asked[id]
            self._tell(AllAnswered(id))
        elif asked.answered:
            del self._asked[id]
            neighbour, query_id = asked.relay
            asker = self._sessions.get(neighbour)
            if asker is not None:
                self._say_last(asker, query_id)
                asker.flush()

    @staticmethod
    def _say_last(asker: Asker, query_id: bytes) -> None:
        if asker.reads:
            asker.say(Answer(query_id, (), ()))

    def _card(self, person: bytes) -> bytes | None:
        card = self._authors.card_of(person)
        return card.to_bytes() if card else None

    # -- answered by a neighbour

    def hear_answer(self, session: Asker, answer: Answer, now: float) -> None:
        """A neighbour answers; RemoteProtocolError if what it says is not true."""
        asked = self._asked.get(answer.id)
        if asked is None or now >= asked.until or session.peer not in asked.heard:
            return
        asked.heard[session.peer] -= 1
        last = not (answer.blocks or answer.cards) or not asked.heard[session.peer]
        try:
            self._take(session, answer, asked)
        finally:
            if last:
                del asked.heard[session.peer]
                self._end(answer.id, asked)

    def _take(self, session: Asker, answer: Answer, asked: Asked) -> None:
        cards = self._cards(answer)
        blocks = [block for block in answer.blocks if self._true(block, cards)]
        if not blocks:
            return
        authors = {block.header.person for block in blocks}
        if asked.relay is None:
            told = tuple(card for card in cards.values() if card.person in authors)
            self._tell(AnswerCame(answer.id, session.peer, tuple(blocks), told))
            return
        neighbour, id = asked.relay
        asker = self._sessions.get(neighbour)
        if asker and asker.reads:
            known = {person: card.to_bytes() for person, card in cards.items()}
            for part in split_answer(id, blocks, known.get):
                asker.say(part)
            asker.flush()

    def _cards(self, answer: Answer) -> dict[bytes, Card]:
        """The newest card of each author: the one that came, or ours."""
        authors = {block.header.person for block in answer.blocks}
        cards: dict[bytes, Card] = {}
        for data in answer.cards:
            offered = Card.load(data)
            if offered.person not in authors or offered.person in cards:
                raise RemoteProtocolError("answer", "a card that is no author's")
            known = self._authors.card_of(offered.person)
            if known is not None and not is_newer(offered, known):
                cards[offered.person] = known
            else:
                cards[offered.person] = Card.parse(data)
        return cards

    def _true(self, block: Block, cards: Mapping[bytes, Card]) -> bool:
        """Whether a block counts; RemoteProtocolError if its form or signature is wrong."""
        header = block.header
        card = cards.get(header.person)
        if card is None:
            raise RemoteProtocolError("answer", "a block without its author's card")
        block.check()
        if not _counts(block, standing_of(card)) or self._unwelcome(block):
            return False
        try:
            parse_record(block.body or b"")
        except RemoteProtocolError:
            return False
        return True

    def _unwelcome(self, block: Block) -> bool:
        person = block.header.person
        known = self._people.get(person)
        if known is not None and known.status == "blocked":
            return True
        return person in self._archive.withdrawn(block.id)


def _counts(block: Block, standing: Standing) -> bool:
    header = block.header
    cut = standing.cut(header.device, header.log)
    if cut is None or header.sequence > cut.sequence:
        return False
    return header.sequence < cut.sequence or cut.id in (None, header.id)
