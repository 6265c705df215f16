"""What the persons here wrote, and what is known of each message.

A message is known by the hash in its bundle's header, also after the bundle itself is gone,
because a receipt may follow a recall or the end of its lifetime. Every state goes through the
journal, so none is shown that could be lost; and a state never falls.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil
from typing import Final, NamedTuple, Protocol

from meshpeer.core.file_writes import PutAttachment
from meshpeer.core.formats.attachment import Attachment, faults
from meshpeer.core.formats.bundle import MAX_LIFETIME, Bundle, Priority
from meshpeer.core.formats.message import MAX_TEXT, Message
from meshpeer.core.formats.receipt import MAX_HOURS, value_hashes
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.identity.seal import MESSAGE_ID_SIZE, Seal, destination_tag
from meshpeer.core.journal import Journal
from meshpeer.core.mail.lamport import Lamport
from meshpeer.core.mail.letters import Letter, Letters
from meshpeer.core.mail.people import Contact, Own, People, Status
from meshpeer.core.mail.sealing_keys import SealingKeys
from meshpeer.core.sync.fresh import fresh_header
from meshpeer.core.writes import (
    Box,
    DeliveryState,
    PutDelivery,
    PutEvent,
    PutMessage,
    SetDelivery,
)
from meshpeer.errors import UsageError

DEFAULT_LIFETIME: Final = 7 * 86_400
RECALL_EXTRA_HOURS: Final = 48
"""A recall outlives its bundle by so much: ages along the way are only hints."""


_UNCONFIRMED: Final = frozenset(
    {DeliveryState.QUEUED, DeliveryState.CARRIED, DeliveryState.DROPPED}
)


@dataclass(slots=True)
class Pending:
    """One bundle of ours that has not arrived, as far as we know."""

    message_id: bytes
    contact: bytes
    bundle: bytes
    receipt: bytes
    expires: float
    state: DeliveryState
    device: bytes = b""
    """The sealing key that it was sealed to."""


class Draft(NamedTuple):
    """What a person wants to say, and how."""

    text: str
    lifetime: int = DEFAULT_LIFETIME
    priority: Priority = Priority.NORMAL
    reply_to: bytes | None = None
    kind: str = "text"
    attachments: tuple[Attachment, ...] = ()
    """Files sealed for this message alone, which are held here."""


class Sent(Protocol):
    """A message as it was stored."""

    @property
    def box(self) -> Box: ...
    @property
    def number(self) -> int: ...
    @property
    def person(self) -> bytes: ...
    @property
    def text(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def lamport(self) -> int: ...
    @property
    def written(self) -> int: ...
    @property
    def lifetime(self) -> int: ...
    @property
    def stored(self) -> float: ...
    @property
    def reply_to(self) -> bytes | None: ...


class Delivered(Protocol):
    """A delivery as it was stored."""

    @property
    def device(self) -> bytes: ...
    @property
    def priority(self) -> int: ...


class Written(Protocol):
    """What was written and stored; plain look-ups, injected like the clock."""

    def messages_by_id(self, prefix: str, limit: int = 10) -> Sequence[Sent]:
        """The messages whose id begins so."""
        ...

    def deliveries(self, numbers: Iterable[int]) -> Sequence[Delivered]:
        """All bundles that these messages ever had."""
        ...

    def attachments(
        self, message_id: bytes, contact: bytes, *, sent: bool
    ) -> Sequence[PutAttachment]:
        """The files that go with a message, in order."""
        ...


class Resealed(NamedTuple):
    """Bundles to be queued, and values to be flooded with their hours."""

    bundles: list[Bundle]
    recalls: list[tuple[bytes, int]]


class Outbox:
    """Composes messages and follows each of their bundles until it has arrived."""

    def __init__(
        self,
        *,
        people: People,
        journal: Journal,
        lamport: Lamport,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        keys: SealingKeys,
        written: Written,
        pending: Iterable[Pending] = (),
        letters: Iterable[Letter] = (),
    ) -> None:
        self._people = people
        self._journal = journal
        self._lamport = lamport
        self._rng = rng
        self._wall = wall
        self._keys = keys
        self._written = written
        self.letters = Letters(journal, letters)
        self._pending: dict[bytes, Pending] = {}
        self._by_message: dict[bytes, set[bytes]] = {}
        self._by_bundle: dict[bytes, bytes] = {}
        self._expiries: list[tuple[float, bytes]] = []
        self._expired: set[bytes] = set()
        """Letters of which that was told."""
        for one in pending:
            self._await(one)

    def compose(
        self, own: Own, contact: Contact, draft: Draft, now: float
    ) -> tuple[bytes, list[Bundle]]:
        """Journal a message; give its id and one bundle for each device of the receiver.

        The bundles are the caller's to queue. UsageError for what can't be sent.
        """
        self.check(draft, contact)
        message_id = self._rng(MESSAGE_ID_SIZE)
        message = Message(
            kind=draft.kind,
            text=draft.text,
            lamport=self._lamport.tick(),
            written=int(self._wall()),
            reply_to=draft.reply_to,
            card=None if contact.introduced else own.card.to_bytes(),
            attachments=draft.attachments,
        )
        self._journal.add(
            PutMessage(
                message_id=message_id,
                box=Box.OUTBOX,
                person=own.person,
                contact=contact.person,
                text=draft.text,
                kind=draft.kind,
                lamport=message.lamport,
                written=message.written,
                stored=now,
                stored_wall=message.written,
                lifetime=draft.lifetime,
                reply_to=draft.reply_to,
            ),
            self._lamport.write(),
        )
        body = message.to_bytes(sender=own.person, receiver=contact.person)
        expires = now + draft.lifetime
        bundles = [
            self._seal(
                own,
                contact,
                self._keys.receiver(contact.person, device),
                message_id,
                body,
                draft.lifetime,
                draft.priority,
                expires,
                now,
            )
            for device in contact.card.devices
        ]
        if draft.attachments:
            self.letters.add(
                Letter(
                    message_id,
                    own.person,
                    contact.person,
                    draft.attachments,
                    draft.lifetime,
                    now,
                    message.written,
                )
            )
        person = contact.person.hex()
        self._journal.add(
            PutEvent.of("message", id=message_id.hex(), box="outbox", contact=person)
        )
        return message_id, bundles

    @staticmethod
    def check(draft: Draft, contact: Contact) -> None:
        """Raise UsageError, saying what to do, for a message that can't be sent."""
        try:
            size = len(draft.text.encode())
        except UnicodeEncodeError as error:
            raise UsageError("the text is not valid Unicode") from error
        if not draft.text and not draft.attachments:
            raise UsageError("an empty message; write something")
        if fault := faults(draft.attachments):
            raise UsageError(fault)
        if size > MAX_TEXT:
            raise UsageError(f"a message of {size:,} bytes; the limit is {MAX_TEXT:,}")
        if not 1 <= draft.lifetime <= MAX_LIFETIME:
            raise UsageError(
                f"a lifetime of {draft.lifetime:,} s; it must be 1 to {MAX_LIFETIME:,} (35 days)"
            )
        if contact.status is Status.BLOCKED:
            raise UsageError("that contact is blocked; unblock it first")

    def recall(self, message_id: bytes, now: float) -> list[tuple[bytes, int]]:
        """Journal that this message is asked back; give recall values and hours to flood.

        UsageError if nothing of it is under way any more.
        """
        waiting = [
            self._pending[receipt_hash]
            for receipt_hash in self._by_message.get(message_id, ())
        ]
        if not waiting and self.letters.get(message_id) is None:
            raise UsageError("it has arrived or is long over: nothing is under way")
        for pending in waiting:
            self._rise(pending, DeliveryState.RECALL_ASKED, now)
        return [(one_way(p.receipt), _hours_left(p.expires - now)) for p in waiting]

    def watched(self) -> Iterator[tuple[bytes, bytes]]:
        """Give receipt hash and bundle id of all that may still arrive; a file has no bundle."""
        for receipt_hash, pending in self._pending.items():
            yield receipt_hash, pending.bundle
        for receipt_hash in self.letters.watched():
            yield receipt_hash, b""

    def carried(self, bundle: bytes, peer: bytes, now: float) -> None:
        """A neighbour acknowledged this bundle as durable."""
        receipt_hash = self._by_bundle.get(bundle)
        if receipt_hash is not None:
            pending = self._pending[receipt_hash]
            self._rise(pending, DeliveryState.CARRIED, now, peer=peer.hex())

    def dropped(self, bundle: bytes, now: float) -> None:
        """The queue here gave this bundle up for want of room."""
        receipt_hash = self._by_bundle.get(bundle)
        if receipt_hash is not None:
            pending = self._pending[receipt_hash]
            if pending.state is DeliveryState.QUEUED:
                self._rise(pending, DeliveryState.DROPPED, now)

    def value_seen(self, value: bytes, now: float) -> None:
        """A receipt or recall came by; if it is the receipt of a message of ours, that arrived."""
        _, receipts = value_hashes(value)
        pending = self._pending.get(receipts)
        if pending is None:
            self._file_seen(receipts)
            return
        self._rise(pending, DeliveryState.ARRIVED, now)
        self._forget(receipts, pending)
        contact = self._people.get(pending.contact)
        if contact is not None and not contact.introduced:
            self._journal.add(self._people.introduce(contact.person))

    def next_wakeup(self) -> float | None:
        """When the next message of ours may expire."""
        ends = [
            letter.stored + letter.lifetime
            for letter in self.letters
            if letter.message_id not in self._expired
        ]
        first = [self._expiries[0][0]] if self._expiries else []
        return min([*ends, *first], default=None)

    def wake(self, now: float) -> list[bytes]:
        """Say what expired; give the receipt hashes of what can't arrive any more.

        What expired may still turn out to have arrived, for the longest lifetime.
        """
        forgotten = []
        while self._expiries and self._expiries[0][0] <= now:
            _, receipt_hash = heappop(self._expiries)
            pending = self._pending.get(receipt_hash)
            if pending is None:
                continue
            if pending.state is DeliveryState.EXPIRED:
                self._forget(receipt_hash, pending)
                forgotten.append(receipt_hash)
            else:
                self._rise(pending, DeliveryState.EXPIRED, now)
                heappush(self._expiries, (now + MAX_LIFETIME, receipt_hash))
        return forgotten + self._end_letters(now)

    def _end_letters(self, now: float) -> list[bytes]:
        """The same of messages whose text arrived, and not all of their files."""
        forgotten = []
        for letter in self.letters:
            ends = letter.stored + letter.lifetime
            if now >= ends + MAX_LIFETIME:
                forgotten += self.letters.forget(letter.message_id)
            elif now >= ends and letter.message_id not in self._expired:
                self._expired.add(letter.message_id)
                if letter.text_arrived:
                    self._tell(letter.message_id, DeliveryState.EXPIRED)
        return forgotten

    def reseal(self, person: bytes, now: float) -> Resealed:
        """Seal again what is unconfirmed and was sealed to keys that this person's devices
        replaced; all that was written must be durable. A message keeps its id, so it is shown
        once; the old bundle is asked back, and its receipt counts all the same."""
        sealed = Resealed([], [])
        contact = self._people.get(person)
        if contact is None or contact.status is not Status.CONTACT:
            return sealed
        current = [self._keys.receiver(person, one) for one in contact.card.devices]
        stale: dict[bytes, list[Pending]] = {}
        for pending in self._pending.values():
            unconfirmed = pending.state in _UNCONFIRMED and pending.expires > now
            if pending.contact == person and unconfirmed and pending.device not in current:
                stale.setdefault(pending.message_id, []).append(pending)
        for message_id, old in stale.items():
            bundles = self._seal_again(message_id, contact, current, now)
            sealed.bundles.extend(bundles)
            if bundles:
                sealed.recalls.extend(
                    (one_way(one.receipt), _hours_left(one.expires - now)) for one in old
                )
        return sealed

    def stale_contacts(self) -> set[bytes]:
        """Whom `reseal` may have something for, after a restart."""
        return {pending.contact for pending in self._pending.values()}

    def _seal_again(
        self, message_id: bytes, contact: Contact, current: Sequence[bytes], now: float
    ) -> list[Bundle]:
        for row in self._written.messages_by_id(message_id.hex()):
            own = self._people.own.get(row.person)
            if row.box is not Box.OUTBOX or own is None:
                continue
            before = self._written.deliveries([row.number])
            known = {delivery.device for delivery in before}
            files = self._written.attachments(message_id, contact.person, sent=True)
            body = Message(
                kind=row.kind,
                text=row.text,
                lamport=row.lamport,
                written=row.written,
                reply_to=row.reply_to,
                card=None if contact.introduced else own.card.to_bytes(),
                attachments=tuple(Attachment(*file[4:9]) for file in files),
            ).to_bytes(sender=own.person, receiver=contact.person)
            priority = Priority(before[0].priority) if before else Priority.NORMAL
            return [
                self._seal(
                    own,
                    contact,
                    device,
                    message_id,
                    body,
                    row.lifetime,
                    priority,
                    row.stored + row.lifetime,
                    now,
                )
                for device in current
                if device not in known
            ]
        return []

    def _seal(
        self,
        own: Own,
        contact: Contact,
        device: bytes,
        message_id: bytes,
        body: bytes,
        lifetime: int,
        priority: Priority,
        expires: float,
        now: float,
    ) -> Bundle:
        seal = Seal(
            sender=own.sealing,
            receiver=device,
            message_id=message_id,
            ephemeral=KeyPair.generate(self._rng),
        )
        header = fresh_header(
            priority=priority,
            tag=destination_tag(device),
            receipt_hash=seal.receipt_hash,
            lifetime=lifetime,
            wall=self._wall(),
            rng=self._rng,
            age=max(0, int(now + lifetime - expires)),
        )
        bundle = Bundle.make(header, seal.close(header.immutable, body))
        self._journal.add(
            PutDelivery(message_id, bundle.id, device, seal.receipt, expires, priority)
        )
        self._await(
            Pending(
                message_id,
                contact.person,
                bundle.id,
                seal.receipt,
                expires,
                DeliveryState.QUEUED,
                device,
            )
        )
        return bundle

    def _await(self, pending: Pending) -> None:
        receipt_hash = one_way(one_way(pending.receipt))
        self._pending[receipt_hash] = pending
        self._by_message.setdefault(pending.message_id, set()).add(receipt_hash)
        self._by_bundle[pending.bundle] = receipt_hash
        until = pending.expires
        if pending.state is DeliveryState.EXPIRED:
            until += MAX_LIFETIME
        heappush(self._expiries, (until, receipt_hash))

    def _forget(self, receipt_hash: bytes, pending: Pending) -> None:
        del self._pending[receipt_hash]
        del self._by_bundle[pending.bundle]
        others = self._by_message[pending.message_id]
        others.discard(receipt_hash)
        if not others:
            del self._by_message[pending.message_id]

    def _rise(
        self, pending: Pending, state: DeliveryState, now: float, **more: str
    ) -> None:
        """Note what is known now; a state never falls, but each carrier is news."""
        if state > pending.state:
            pending.state = state
            self._journal.add(SetDelivery(pending.bundle, state, now))
        elif state is not DeliveryState.CARRIED:
            return
        if state is DeliveryState.ARRIVED and not self.letters.text_arrived(
            pending.message_id
        ):
            return
        self._tell(pending.message_id, state, **more)

    def _file_seen(self, receipt_hash: bytes) -> None:
        """A value that no bundle's header tells: that of a file of ours, perhaps."""
        arrived = self.letters.file_arrived(receipt_hash)
        if arrived is not None and self.letters.get(arrived[0].message_id) is None:
            self._tell(arrived[0].message_id, DeliveryState.ARRIVED)

    def _tell(self, message_id: bytes, state: DeliveryState, **more: str) -> None:
        told = state.name.lower()
        self._journal.add(PutEvent.of("state", id=message_id.hex(), state=told, **more))


def _hours_left(seconds: float) -> int:
    """Hours for which a recall is passed on: as long as the bundle may live, and some more."""
    return min(MAX_HOURS, max(0, ceil(seconds / 3_600)) + RECALL_EXTRA_HOURS)
