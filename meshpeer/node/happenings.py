"""What the core tells, and what the node makes of it: the history, the library, the searches.

Each event is handled by itself: a fault in one is logged and costs the others nothing.
"""

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from meshpeer.core.chains.events import (
    AllAnswered,
    AnswerCame,
    CardHeard,
    Forked,
    Held,
    Question,
)
from meshpeer.core.files.events import (
    ChunkCame,
    FetchFailed,
    FileComplete,
    HolderBanned,
)
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.record import Collection
from meshpeer.core.identity.idtext import encode
from meshpeer.core.peer import FileWithdrawn, LinkDown, LinkUp, PeerEvent
from meshpeer.core.sync.account import Kind
from meshpeer.core.writes import PutEvent, Write
from meshpeer.errors import MeshpeerError
from meshpeer.node.library.library import Mirror

if TYPE_CHECKING:
    from meshpeer.node.node import Node

log = logging.getLogger("meshpeer.node")

ATTACHMENTS: Final = 10
"""The priority of files that go with messages: before what people only look around for."""


class Happenings:
    """Handles the events of one node's peer."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._chunk_news: dict[bytes, asyncio.Event] = {}
        self._more_to_find = False

    def take(self) -> None:
        """Handle all that the peer has to tell."""
        while events := self._node.peer.events():
            for event in events:
                try:
                    self._handle(event)
                except MeshpeerError as error:
                    log.warning("could not be done", extra={"reason": str(error)})
                except Exception:
                    log.exception("a fault over one event")
        if self._more_to_find:
            self._more_to_find = False
            self._node.standing.look(self._found)

    def _found(self, writes: list[Write]) -> None:
        self._node.peer.journal.add(*writes)
        self._node.soon()

    def chunk_news(self, file: bytes) -> asyncio.Event:
        """Give what is set when the next chunk of a watched file is here."""
        return self._chunk_news.setdefault(file, asyncio.Event())

    def _handle(self, event: PeerEvent) -> None:
        node = self._node
        match event:
            case LinkUp() | LinkDown():
                node.link_changed(event)
            case Held(record=record):
                if isinstance(record, Collection):
                    node.publications.aim(event.person, record.name)
                self._more_to_find |= record is not None
            case FileWithdrawn():
                node.background(node.publications.unserve(event))
            case Forked(person=person):
                if event.own or node.peer.record_news.may_tell(person, node.now()):
                    self._tell("fork", person=person.hex(), log=event.log.hex())
            case CardHeard(card=card):
                if event.own or node.peer.record_news.may_tell(card.person, node.now()):
                    self._tell("device", person=card.person.hex(), number=card.number)
            case Question():
                neighbour = node.peer.neighbours.get(event.neighbour)
                known = neighbour is not None and neighbour.account.kind is Kind.CONTACT
                node.near.question(event.query, partial(self._answer, event), known=known)
            case AnswerCame():
                node.near.came(event)
            case AllAnswered():
                node.near.all_answered(event.query_id)
            case FileComplete():
                node.library.complete(event.file)
                self.wake_readers(event.file)
            case FetchFailed():
                node.library.failed(event.file, event.why)
                self._tell("fetch", file=event.file.hex(), state="failed", why=event.why)
                self.wake_readers(event.file)
            case ChunkCame():
                self.wake_readers(event.file)
            case HolderBanned():
                extra = {"peer": encode(event.peer), "reason": event.why}
                log.warning("a neighbour gave false parts of a file", extra=extra)
            case _:
                pass  # progress is asked for, and mail and chains have done the rest

    def wake_readers(self, file: bytes) -> None:
        """Let those look again who read a file while it comes."""
        if news := self._chunk_news.pop(file, None):
            news.set()

    def fetch_attachments(self) -> None:
        """Have the files come that go with messages to people here."""
        node = self._node
        for wanted in node.peer.wanted_files():
            file = wanted.attachment
            row = node.store.fetch(file.file)
            if row is not None and row.key is None:
                continue  # it is fetched as it is: no message may seal what others publish
            node.library.fetch(
                file.file,
                size=file.size,
                priority=ATTACHMENTS,
                name=file.name,
                key=file.key,
            )

    def fetched(self, file: bytes) -> None:
        """A file that somebody asked for is at its place."""
        self._tell("fetch", file=file.hex(), state="done")

    def mirrored(self, mirror: Mirror) -> None:
        """A mirror became equal to its collection, or fell behind."""
        state = "current" if mirror.current else "behind"
        self._tell("mirror", directory=mirror.directory, state=state, why=mirror.why)

    def _tell(self, kind: str, **body: object) -> None:
        self._node.peer.note(PutEvent.of(kind, **body))
        self._node.soon()

    def _answer(self, event: Question, blocks: list[Block]) -> None:
        node = self._node
        node.peer.chains.answer(event.neighbour, event.query_id, blocks, node.now())
        node.soon()
