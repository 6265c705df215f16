"""All that the persons of this peer write and receive."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from meshpeer.core.file_writes import PutAttachment
from meshpeer.core.files.requests import ReadChunk
from meshpeer.core.files.shelf import Shelf as FileShelf
from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.record import Key
from meshpeer.core.journal import Journal
from meshpeer.core.mail import inbox
from meshpeer.core.mail.attachments import Attachments, Files, Wanted
from meshpeer.core.mail.draft import Draft
from meshpeer.core.mail.inbox import Inbox
from meshpeer.core.mail.lamport import Lamport
from meshpeer.core.mail.letters import Letter
from meshpeer.core.mail.outbox import Outbox, Written
from meshpeer.core.mail.people import Contact, Own, People
from meshpeer.core.mail.pieces import Pieces
from meshpeer.core.mail.pieces import Post as PiecesPost
from meshpeer.core.mail.sealing_keys import (
    Heard,
    KeyRing,
    NoneHeard,
    NoRing,
    SealingKeys,
)
from meshpeer.core.mail.underway import Pending
from meshpeer.core.sync.queue import Refusal
from meshpeer.errors import MeshpeerError


class Restored(NamedTuple):
    """What a mail starts from: what the disk held."""

    lamport: bytes = b""
    pending: Sequence[Pending] = ()
    requests: Sequence[bytes] = ()
    """The strangers whose messages wait in the requests box."""
    letters: Sequence[Letter] = ()
    """Messages of ours of whose files not all arrived."""
    expected: Sequence[PutAttachment] = ()
    """Files of messages received that are not here yet."""


class Archive(inbox.Archive, Written, Protocol):
    """What the boxes ask of what was stored."""


class Shelf(FileShelf, Protocol):
    """What mail asks of the files that are here."""

    def attachments_of(self, file: bytes) -> Sequence[PutAttachment]: ...


class Arriving(Files, Protocol):
    """What mail needs of `Parts`."""

    def is_whole(self, file: bytes) -> bool: ...


RESEAL_S: Final = 3_600.0
"""Between two times that mail for one contact is sealed anew, who may publish keys as fast as blocks:
each time all that is under way to them goes out again, with its files."""


class Post(PiecesPost, Protocol):
    """What mail needs of `Sync`."""

    def submit(self, bundle: Bundle, now: float) -> Refusal | None: ...
    def written(self, bundle: bytes, value: bytes, now: float) -> None: ...
    def not_written(self, bundle: bytes, now: float) -> None: ...
    def ask_again(self, now: float) -> None: ...


class Mail:
    """The persons here with their boxes."""

    def __init__(
        self,
        *,
        people: People,
        journal: Journal,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        archive: Archive,
        restored: Restored,
        ring: KeyRing | None = None,
        heard: Heard | None = None,
        now: float = 0.0,
    ) -> None:
        lamport = Lamport(restored.lamport)
        self.people = people
        self.keys = SealingKeys(
            people=people,
            ring=ring or NoRing(),
            heard=heard or NoneHeard(),
            rng=rng,
            wall=wall,
            now=now,
        )
        self.outbox = Outbox(
            people=people,
            journal=journal,
            lamport=lamport,
            rng=rng,
            wall=wall,
            keys=self.keys,
            written=archive,
            pending=restored.pending,
            letters=restored.letters,
        )
        self.inbox = Inbox(
            people=people,
            journal=journal,
            lamport=lamport,
            wall=wall,
            archive=archive,
            keys=self.keys,
            requests=restored.requests,
        )
        self._journal = journal
        self._rng = rng
        self._expected = restored.expected
        self._resealed: dict[bytes, float] = {}
        """For whom mail was sealed anew lately, and when."""
        self._reseal_due: dict[bytes, float] = {}
        self._people_seen = people.changes

    def open(self, *, post: Post, shelf: Shelf, parts: Arriving, now: float) -> None:
        """Go on with files and with mail to be sealed anew: from now on there is a queue."""
        self._post = post
        self.attachments = Attachments(
            people=self.people,
            journal=self._journal,
            post=post,
            files=parts,
            is_whole=parts.is_whole,
            shelf=shelf,
            underway=self._expected,
            now=now,
        )
        self.inbox.attachments = self.attachments
        self.pieces = Pieces(
            people=self.people,
            keys=self.keys,
            shelf=shelf,
            post=post,
            journal=self._journal,
            rng=self._rng,
        )
        self.pieces.resume(self.outbox.letters, now)
        for person in self.outbox.stale_contacts():
            self._reseal(person, now)

    # ---- what people do

    def send(self, own: Own, contact: Contact, draft: Draft, now: float) -> bytes:
        """Write a message and queue it for each device; give its id."""
        message_id, bundles = self.outbox.compose(own, contact, draft, now)
        self._submit(bundles, now)
        letter = self.outbox.letters.get(message_id)
        if letter is not None:
            for attachment in letter.attachments:
                self._post.watch(attachment.receipt_hash, b"", now)
            self.pieces.add(letter)
        return message_id

    def recall(self, message_id: bytes, now: float) -> None:
        """Ask every carrier to drop a message and its pieces; UsageError if none is under way."""
        for value, hours in self.outbox.recall(message_id, now):
            self._post.add_value(value, hours, now)
        self.pieces.drop(message_id, now)

    def people_changed(self, now: float) -> None:
        """Somebody became a contact, perhaps: take what had to wait."""
        if self._people_seen != self.people.changes:
            self._people_seen = self.people.changes
            if self.attachments.people_changed(now):
                self._post.ask_again(now)

    # ---- what others did

    def value_seen(self, value: bytes, now: float) -> None:
        """A receipt or recall of something of ours came by."""
        before = {letter.message_id: letter.arrived for letter in self.outbox.letters}
        self.outbox.value_seen(value, now)
        self.pieces.value_seen(value, now)
        for message_id, arrived in before.items():
            letter = self.outbox.letters.get(message_id)
            if letter is None:
                self.pieces.drop(message_id, now)
            else:
                for file in letter.arrived - arrived:
                    self.pieces.drop(message_id, now, file)

    def dropped(self, bundle: bytes, now: float) -> None:
        """The queue here gave a bundle of ours up for want of room."""
        self.outbox.dropped(bundle, now)
        self.pieces.dropped(bundle, now)

    def file_complete(self, file: bytes, now: float) -> None:
        """A file is verified and durable here."""
        self.attachments.complete(file, now)

    def key_heard(self, person: bytes) -> None:
        """A device of this person has a newer sealing key: seal anew what is unconfirmed."""
        self._journal.then(lambda now: self._reseal_at_times(person, now))

    # ---- the node's turn

    def wanted(self) -> list[Wanted]:
        """Files of messages that are to be fetched, each told once; after a restart again."""
        return self.attachments.wanted()

    def requests(self) -> list[ReadChunk]:
        """Parts of files of ours that are to be read; each is answered by `done`."""
        return self.pieces.requests()

    def done(
        self, request: ReadChunk, result: bytes | MeshpeerError | None, now: float
    ) -> None:
        """What was read, or why it could not be."""
        self.pieces.done(request, result, now)

    def wake(self, now: float) -> list[tuple[Own, Key]]:
        """Do what is due; give the `key` records that are to be published now."""
        for receipt_hash in self.outbox.wake(now):
            self._post.unwatch(receipt_hash)
        if self.inbox.wake(now):
            self._post.ask_again(now)
        self.pieces.wake(now)
        for person in [one for one, due in self._reseal_due.items() if now >= due]:
            self._reseal_at_times(person, now)
        return self.keys.wake(now)

    def next_wakeup(self) -> float | None:
        """When to call `wake`, at the latest."""
        times = (
            self.outbox.next_wakeup(),
            self.inbox.next_wakeup(),
            self.pieces.next_wakeup(),
            self.keys.next_wakeup(),
            min(self._reseal_due.values(), default=None),
        )
        return min((time for time in times if time is not None), default=None)

    # ---- inside

    def _reseal_at_times(self, person: bytes, now: float) -> None:
        """Now, or once the last time is long enough ago."""
        if self.people.get(person) is None:
            return
        again = self._resealed.get(person, now - RESEAL_S) + RESEAL_S
        if now < again:
            self._reseal_due[person] = again
            return
        self._reseal_due.pop(person, None)
        lately = {one: at for one, at in self._resealed.items() if now < at + RESEAL_S}
        self._resealed = lately | {person: now}
        self._reseal(person, now)

    def _reseal(self, person: bytes, now: float) -> None:
        sealed = self.outbox.reseal(person, now)
        self._submit(sealed.bundles, now)
        for value, hours in sealed.recalls:
            self._post.add_value(value, hours, now)
        self.pieces.renew(person, now)

    def _submit(self, bundles: Iterable[Bundle], now: float) -> None:
        for bundle in bundles:
            if self._post.submit(bundle, now) is not None:
                self.outbox.dropped(bundle.id, now)
            else:
                self._post.watch(bundle.header.receipt_hash, bundle.id, now)
