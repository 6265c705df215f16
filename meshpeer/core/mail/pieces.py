"""Small attachments go with the queue: each part of the sealed file is a bundle, a piece.

A piece is sealed as a message is, to each device of the receiver, and has a receipt of its own,
which purges its copies. Only so many bytes of pieces lie in our own queue at once; the next are
read from the disk when receipts made room. Files above MAX_PIECES in all are not carried: the
receiver fetches them over links or asks by wants.

Nothing of this is remembered on the disk. The ephemeral key and the id of each piece follow from
the attachment's key, so the same piece is the same bundle whenever it is made: after a restart a
hash says whether the queue still holds it, or its receipt has come, and only what is missing is
made. (One ephemeral key never seals two things: all that goes into the header and the body is
hashed into it, or follows from it.)
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2s
from typing import Final, NamedTuple, Protocol

from meshpeer.core.files.requests import ReadChunk
from meshpeer.core.files.shelf import Shelf
from meshpeer.core.formats.attachment import Attachment
from meshpeer.core.formats.bundle import Bundle, Priority
from meshpeer.core.formats.manifest import Manifest
from meshpeer.core.formats.receipt import Meaning, value_hashes
from meshpeer.core.formats.want import PAGE0, ROOT, Kind, Part
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.identity.seal import MESSAGE_ID_SIZE, Seal, destination_tag
from meshpeer.core.journal import Journal
from meshpeer.core.mail.letters import Letter, Letters
from meshpeer.core.mail.people import People
from meshpeer.core.mail.sealing_keys import SealingKeys
from meshpeer.core.mail.underway import recall_hours
from meshpeer.core.sync.fresh import fresh_header
from meshpeer.core.sync.queue import Refusal
from meshpeer.errors import MeshpeerError, RemoteProtocolError

MAX_PIECES: Final = 16 << 20
"""Bytes of sealed files that go as pieces with one message."""
IN_QUEUE: Final = 32 << 20
"""Bytes of pieces in our own queue at once."""
READS: Final = 2
RETRY_S: Final = 600.0
"""After the queue or the disk had no room, or gave a piece up."""


class Post(Protocol):
    """The part of `Sync` that pieces use."""

    def submit(self, bundle: Bundle, now: float) -> Refusal | None: ...
    def add_value(self, value: bytes, hours: int, now: float) -> None: ...
    def fate(self, receipt_hash: bytes) -> bytes | Meaning | None: ...
    def watch(self, receipt_hash: bytes, bundle: bytes, now: float) -> None: ...
    def unwatch(self, receipt_hash: bytes) -> None: ...


@dataclass(slots=True, eq=False)
class _Row:
    """The pieces of one file to one device."""

    letter: Letter
    attachment: Attachment
    device: bytes
    """The sealing key of the device."""
    manifest: Manifest
    parts: deque[int]
    over: bool = False
    """Nothing of it is to be made any more."""

    @property
    def ends(self) -> float:
        return self.letter.stored + self.letter.lifetime


class _Carried(NamedTuple):
    """A piece in our queue."""

    row: _Row
    part: int
    bundle: bytes
    receipt: bytes
    size: int


class Pieces:
    """Makes pieces of all letters under way, a few at a time."""

    def __init__(
        self,
        *,
        people: People,
        keys: SealingKeys,
        shelf: Shelf,
        post: Post,
        journal: Journal,
        rng: Callable[[int], bytes],
    ) -> None:
        self._people = people
        self._keys = keys
        self._shelf = shelf
        self._post = post
        self._journal = journal
        self._rng = rng
        self._rows: deque[_Row] = deque()
        self._carried: dict[bytes, _Carried] = {}
        self._by_bundle: dict[bytes, bytes] = {}
        self._bytes = 0
        self._reading: dict[ReadChunk, tuple[_Row, int]] = {}
        self._requests: list[ReadChunk] = []
        self._retry_at: float | None = None

    def add(self, letter: Letter) -> None:
        """Carry the files of a letter, once it is durable."""
        if sum(attachment.size for attachment in letter.attachments) <= MAX_PIECES:
            self._journal.then(lambda now: self._begin(letter, now))

    def resume(self, letters: Letters, now: float) -> None:
        """Go on after a restart."""
        for letter in letters:
            if sum(attachment.size for attachment in letter.attachments) <= MAX_PIECES:
                self._begin(letter, now)

    def drop(self, message_id: bytes, now: float, file: bytes | None = None) -> None:
        """The file arrived, or all of the message did or is recalled: recall its pieces."""

        def meant(row: _Row) -> bool:
            files = None, row.attachment.file
            return row.letter.message_id == message_id and file in files

        self._recall(meant, now)

    def renew(self, person: bytes, now: float) -> None:
        """A device of this contact has another sealing key: make its pieces anew."""
        devices = self._devices(person)
        letters = {
            row.letter.message_id: row.letter
            for row in [*self._rows, *(carried.row for carried in self._carried.values())]
            if row.letter.contact == person
        }
        self._recall(
            lambda row: row.letter.contact == person and row.device not in devices, now
        )
        for letter in letters.values():
            self._begin(letter, now)

    def value_seen(self, value: bytes, now: float) -> None:
        """A receipt or recall came by."""
        for receipt_hash in value_hashes(value):
            self._settle(receipt_hash)
        self._go_on(now)

    def dropped(self, bundle: bytes, now: float) -> None:
        """The queue gave this bundle up: make it again later."""
        receipt_hash = self._by_bundle.get(bundle)
        if receipt_hash is not None:
            carried = self._settle(receipt_hash)
            if carried is not None:
                carried.row.parts.append(carried.part)
                if carried.row not in self._rows:
                    self._rows.append(carried.row)
                self._retry(now + RETRY_S)

    def requests(self) -> list[ReadChunk]:
        """What is to be read from the disk; each is answered by `done`."""
        requests, self._requests = self._requests, []
        return requests

    def done(
        self, request: ReadChunk, result: bytes | MeshpeerError | None, now: float
    ) -> None:
        """Here are the bytes, or why there are none."""
        row, part = self._reading.pop(request)
        if isinstance(result, bytes):
            self._make(row, part, result, now)
        elif isinstance(result, MeshpeerError):
            row.parts.append(part)
            self._retry(now + RETRY_S)
            return
        self._go_on(now)

    def next_wakeup(self) -> float | None:
        """When `wake` has something to do."""
        return self._retry_at

    def wake(self, now: float) -> None:
        """Try again what found no room; early or late does no harm."""
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._go_on(now)

    # ---- inside

    def _begin(self, letter: Letter, now: float) -> None:
        for attachment in letter.attachments:
            data = self._shelf.manifest(attachment.file)
            if attachment.file in letter.arrived or data is None:
                continue
            manifest = Manifest.from_bytes(attachment.file, data)
            pages = range(PAGE0, PAGE0 + len(manifest.pages))
            for device in self._devices(letter.contact):
                if not self._knows(letter.message_id, attachment.file, device):
                    parts = deque([ROOT, *pages, *range(manifest.count)])
                    self._rows.append(_Row(letter, attachment, device, manifest, parts))
        self._go_on(now)

    def _knows(self, message_id: bytes, file: bytes, device: bytes) -> bool:
        rows = [*self._rows, *(carried.row for carried in self._carried.values())]
        return any(
            row.letter.message_id == message_id
            and row.attachment.file == file
            and row.device == device
            and not row.over
            for row in rows
        )

    def _devices(self, person: bytes) -> list[bytes]:
        contact = self._people.get(person)
        devices = contact.card.devices if contact else ()
        return [self._keys.receiver(person, device) for device in devices]

    def _go_on(self, now: float) -> None:
        """Make what there is room for, in the order of writing."""
        while (
            self._rows
            and self._retry_at is None
            and len(self._reading) < READS
            and self._bytes < IN_QUEUE
        ):
            row = self._rows[0]
            if row.over or not row.parts or now >= row.ends:
                self._rows.popleft()
            else:
                self._next(row, row.parts.popleft(), now)

    def _next(self, row: _Row, part: int, now: float) -> None:
        seal = self._seal(row, part)
        if seal is None:
            row.over = True
            return
        fate = self._post.fate(seal.receipt_hash)
        if isinstance(fate, bytes):
            self._post.watch(seal.receipt_hash, fate, now)
            self._count(row, part, seal, fate)
        elif fate is None and part == ROOT:
            self._make(row, part, row.manifest.root, now)
        elif fate is None and part >= PAGE0:
            self._make(row, part, row.manifest.pages[part - PAGE0], now)
        elif fate is None:
            length = row.manifest.chunk_length(part)
            request = ReadChunk(row.attachment.file, part, length)
            self._reading[request] = row, part
            self._requests.append(request)

    def _make(self, row: _Row, part: int, data: bytes, now: float) -> None:
        seal, age = self._seal(row, part), max(0, int(now - row.letter.stored))
        if row.over or seal is None or age >= row.letter.lifetime:
            return
        header = fresh_header(
            tag=destination_tag(row.device),
            receipt_hash=seal.receipt_hash,
            lifetime=row.letter.lifetime,
            priority=Priority.BULK,
            wall=row.letter.written,
            rng=self._rng,
            age=age,
        )
        body = Part(Kind.PIECE, row.attachment.file, part, data).to_bytes()
        bundle = Bundle.make(header, seal.close(header.immutable, body))
        # before it is submitted: a person of this very peer may answer at once
        self._count(row, part, seal, bundle.id)
        match self._post.submit(bundle, now):
            case Refusal.ROOM:
                self._settle(seal.receipt_hash)
                row.parts.appendleft(part)
                self._retry(now + RETRY_S)
            case Refusal.OVER | Refusal.EXPIRED | Refusal.HOPS:
                self._settle(seal.receipt_hash)
            case Refusal.HELD | None:
                pass

    def _seal(self, row: _Row, part: int) -> Seal | None:
        """The seal of this piece, the same whenever it is made."""
        own = self._people.own.get(row.letter.person)
        if own is None:
            return None
        what = blake2s(b"meshpeer/piece/1", key=row.attachment.key)
        what.update(row.letter.message_id + row.device + part.to_bytes(4))
        what.update(row.letter.lifetime.to_bytes(4) + row.letter.written.to_bytes(8))
        secret = what.digest()
        try:
            return Seal(
                sender=own.sealing,
                receiver=row.device,
                message_id=blake2s(b"id" + secret).digest()[:MESSAGE_ID_SIZE],
                ephemeral=KeyPair(blake2s(b"key" + secret).digest()),
            )
        except RemoteProtocolError:
            return None

    def _count(self, row: _Row, part: int, seal: Seal, bundle: bytes) -> None:
        size = row.manifest.chunk_length(part) if part < PAGE0 else 0
        carried = _Carried(row, part, bundle, seal.receipt, size)
        self._carried[seal.receipt_hash] = carried
        self._by_bundle[bundle] = seal.receipt_hash
        self._bytes += size

    def _settle(self, receipt_hash: bytes) -> _Carried | None:
        carried = self._carried.pop(receipt_hash, None)
        if carried is not None:
            self._by_bundle.pop(carried.bundle, None)
            self._bytes -= carried.size
        return carried

    def _recall(self, meant: Callable[[_Row], bool], now: float) -> None:
        for row in [*self._rows, *(row for row, _ in self._reading.values())]:
            row.over = row.over or meant(row)
        recalled = [hash for hash, one in self._carried.items() if meant(one.row)]
        for receipt_hash in recalled:
            carried = self._settle(receipt_hash)
            assert carried is not None
            carried.row.over = True
            self._post.unwatch(receipt_hash)
            hours = recall_hours(carried.row.ends - now)
            self._post.add_value(one_way(carried.receipt), hours, now)

    def _retry(self, when: float) -> None:
        self._retry_at = when if self._retry_at is None else min(self._retry_at, when)
