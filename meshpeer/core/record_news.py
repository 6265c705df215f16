"""What a block adds to the history of this peer, and what goes when one is withdrawn."""

from collections.abc import Callable
from typing import NamedTuple

from meshpeer.core.chains.archive import ChainArchive
from meshpeer.core.chains.events import Held
from meshpeer.core.formats.record import Collection, File, Withdraw, parse_record
from meshpeer.core.journal import Journal
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
    ) -> None:
        self._archive, self._journal, self._tell = archive, journal, tell

    def beside_block(self, held: Held) -> list[Write]:
        """What goes into the commit of a block: a step of the history, if it is news.

        A withdrawal takes the body of what it withdraws; this is the last moment to look at it.
        """
        record = held.record
        if record is None or not held.fresh:
            return []
        if isinstance(record, Withdraw) and (body := self._archive.body(record.target)):
            self._note_withdrawn(held.person, body)
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
