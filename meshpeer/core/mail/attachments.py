"""Files that go with messages to persons here: what is expected, and when all of it came.

A message of a contact says which sealed files belong to it; from then on they are fetched like any
other file, and pieces (or answers to wants, or neighbours) bring their parts. A stranger's are not
fetched before the stranger is accepted: carriers keep the pieces meanwhile. So do they with pieces
that come before their message.

A piece is believed for its hash, and taken only from the person whose message named the file. Its
receipt leaves when it is durable. When the whole file is verified and stored its value leaves too
(formats/attachment.py), whichever way it came, and only then does the sender call it arrived.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from meshpeer.core.file_writes import PutAttachment
from meshpeer.core.files.post import Stored, Taken, answer_when_stored
from meshpeer.core.formats.attachment import Attachment
from meshpeer.core.formats.receipt import MAX_HOURS
from meshpeer.core.formats.want import Part
from meshpeer.core.journal import Journal
from meshpeer.core.mail.letters import ARRIVED
from meshpeer.core.mail.people import Contact, People, Status
from meshpeer.core.sync.verdict import Deferred, Opened, Rejected, Verdict, Writing
from meshpeer.core.writes import PutEvent
from meshpeer.errors import RemoteProtocolError

CONTACT_SHARE: Final = 1 << 30
"""Bytes of files under way from one contact that are fetched without being asked for."""
CONTACT_FILES: Final = 1_000
"""The same in files: one that nobody holds is looked for as long as its message is kept."""


class Wanted(NamedTuple):
    """A file of a message is to be fetched, opened with its key, and put where the owner says."""

    message_id: bytes
    contact: bytes
    attachment: Attachment


class Files(Protocol):
    """What attachments need of `Files`."""

    def take_part(
        self,
        file: bytes,
        part: int,
        data: bytes,
        stored: Stored,
        now: float,
    ) -> Taken: ...


class Post(Protocol):
    """The part of `Sync` that attachments use."""

    def add_value(self, value: bytes, hours: int, now: float) -> None: ...
    def written(self, bundle: bytes, value: bytes, now: float) -> None: ...
    def not_written(self, bundle: bytes, now: float) -> None: ...


class Shelf(Protocol):
    """What is here already."""

    def attachments_of(self, file: bytes) -> Sequence[PutAttachment]:
        """Each message that this file goes with."""
        ...


class Attachments:
    """Files of messages that were received, until they are here."""

    def __init__(
        self,
        *,
        people: People,
        journal: Journal,
        post: Post,
        files: Files,
        shelf: Shelf,
        is_whole: Callable[[bytes], bool],
        underway: Iterable[PutAttachment] = (),
        now: float,
    ) -> None:
        self._people = people
        self._journal = journal
        self._post = post
        self._files = files
        self._shelf = shelf
        self._is_whole = is_whole
        self._rows: dict[bytes, list[PutAttachment]] = {}
        self._strangers: dict[bytes, list[PutAttachment]] = {}
        """Of who isn't accepted: no more than the requests box has messages."""
        self._wanted: list[Wanted] = []
        self._underway_bytes: Counter[bytes] = Counter()
        self._underway_files: Counter[bytes] = Counter()
        for row in underway:
            if not row.sent:
                self.expect(row, now)

    def expect(self, row: PutAttachment, now: float) -> None:
        """A message that is durable, or will be with this batch, brings this file."""
        contact = self._people.get(row.contact)
        if contact is None or contact.status is not Status.CONTACT:
            self._strangers.setdefault(row.contact, []).append(row)
            return
        rows = self._rows.setdefault(row.file, [])
        if any(known.message_id == row.message_id for known in rows):
            return
        fits = (
            self._underway_bytes[row.contact] + row.size <= CONTACT_SHARE
            and self._underway_files[row.contact] < CONTACT_FILES
        )
        rows.append(row)
        self._count(row, 1)
        if self._is_whole(row.file):
            self.complete(row.file, now)
        elif fits:
            self._wanted.append(_wanted(row))

    def people_changed(self, now: float) -> bool:
        """Look whether a stranger became a contact; True if its pieces can be taken now."""
        settled = {
            person: contact
            for person in self._strangers
            if (contact := self._people.get(person)) is None
            or contact.status is not Status.STRANGER
        }
        news = False
        for person, contact in settled.items():
            rows = self._strangers.pop(person)
            if contact is not None and contact.status is Status.CONTACT:
                news = True
                for row in rows:
                    self.expect(row, now)
        return news

    def wanted(self) -> list[Wanted]:
        """The files to be fetched, each told once; after a restart again."""
        wanted, self._wanted = self._wanted, []
        return wanted

    def complete(self, file: bytes, now: float) -> None:
        """All of this file is verified and durable here: say so to whoever sent it."""
        for row in self._rows.pop(file, ()):
            self._count(row, -1)
            self._journal.add(
                row._replace(state=ARRIVED),
                PutEvent.of(
                    "attachment",
                    id=row.message_id.hex(),
                    name=row.name,
                    file=file.hex(),
                    state=ARRIVED,
                ),
            )
            self._post.add_value(_attachment(row).receipt, MAX_HOURS, now)

    def take(
        self, part: Part, by: Iterable[Contact], bundle: bytes, receipt: bytes, now: float
    ) -> Verdict:
        """Give a piece that one of these contacts proves to have sent to its file."""
        persons = {contact.person for contact in by}
        if not any(row.contact in persons for row in self._rows.get(part.file, ())):
            rows = self._shelf.attachments_of(part.file)
            if any(row.state == ARRIVED and row.contact in persons for row in rows):
                return Opened(receipt)
            return Deferred("the message that this file goes with has not come")
        try:
            taken = self._files.take_part(
                part.file,
                part.part,
                part.data,
                answer_when_stored(self._post, bundle, receipt),
                now,
            )
        except RemoteProtocolError as error:
            return Rejected(str(error))
        match taken:
            case Taken.WRITING | Taken.WAITING:
                return Writing(taken is Taken.WAITING)
            case Taken.HERE:
                return Opened(receipt)
            case Taken.NOT_NOW:
                return Deferred("that file is not fetched now")

    def _count(self, row: PutAttachment, one: int) -> None:
        self._underway_bytes[row.contact] += one * row.size
        self._underway_files[row.contact] += one


def _attachment(row: PutAttachment) -> Attachment:
    return Attachment(row.file, row.size, row.name, row.media_type, row.key)


def _wanted(row: PutAttachment) -> Wanted:
    return Wanted(row.message_id, row.contact, _attachment(row))
