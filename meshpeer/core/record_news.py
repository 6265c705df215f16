"""What a block adds to the history of this peer, and what goes when one is withdrawn.

The history keeps its last 10,000 steps, so nobody else may add many: whoever is followed adds so
many at once and a few an hour after that, and all persons together whom contacts follow no more
than one of them. What isn't told stands in the timeline all the same.
"""

from collections.abc import Callable
from typing import NamedTuple

from meshpeer.core.chains.archive import ChainArchive
from meshpeer.core.chains.events import Held
from meshpeer.core.formats.record import Collection, File, Withdraw, parse_record
from meshpeer.core.journal import Journal
from meshpeer.core.sync.allowance import NEWS_BURST, NEWS_PER_S, Allowance
from meshpeer.core.writes import PutEvent, Write
from meshpeer.errors import RemoteProtocolError


class FileWithdrawn(NamedTuple):
    """Its author took back a record that published this file or, of a collection, its listing."""

    person: bytes
    file: bytes
    collection: bool
    name: str


class RecordNews:
    """Looks at each block while it is journalled."""

    def __init__(
        self,
        archive: ChainArchive,
        journal: Journal,
        tell: Callable[[FileWithdrawn], None],
        near: Callable[[bytes], bool],
    ) -> None:
        """`near` says of a person whether only contacts follow it."""
        self._archive, self._journal, self._tell = archive, journal, tell
        self._near = near
        self._rate = Allowance(rate=NEWS_PER_S, burst=NEWS_BURST)

    def may_tell(self, person: bytes, now: float) -> bool:
        """Whether one more step of the history may be this person's; it counts."""
        return self._rate.take("near" if self._near(person) else person.hex(), now)

    def beside_block(self, held: Held) -> list[Write]:
        """What goes into the commit of a block: a step of the history, if it is news.

        A withdrawal takes the body of what it withdraws; this is the last moment to look at it.
        """
        record = held.record
        if isinstance(record, Withdraw) and (body := self._archive.body(record.target)):
            self._note_withdrawn(held.person, body)
        if record is None or not held.fresh:
            return []
        if not held.here and not self.may_tell(held.person, held.at):
            return []
        kind, author = type(record).__name__.lower(), held.person.hex()
        return [
            PutEvent.of("record", id=held.id.hex(), kind=kind, author=author, own=held.here)
        ]

    def _note_withdrawn(self, person: bytes, body: bytes) -> None:
        try:
            record = parse_record(body)
        except RemoteProtocolError:
            return
        match record:
            case File(file=file, name=name):
                event = FileWithdrawn(person, file, False, name)
            case Collection(listing=listing, name=name):
                event = FileWithdrawn(person, listing, True, name)
            case _:
                return
        self._journal.then(lambda _: self._tell(event))
