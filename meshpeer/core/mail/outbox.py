"""What the persons here wrote, and what is known of each message.

A message is known by the hash in its bundle's header, also after the bundle itself is gone,
because a receipt may follow a recall or the end of its lifetime. Every state goes through the
journal, so none is shown that could be lost; and a state never falls.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from meshpeer.core.file_writes import PutAttachment
from meshpeer.core.formats.attachment import Attachment
from meshpeer.core.formats.bundle import MAX_LIFETIME, Bundle, Priority
from meshpeer.core.formats.message import Message
from meshpeer.core.formats.receipt import value_hashes
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.identity.seal import MESSAGE_ID_SIZE, Seal, destination_tag
from meshpeer.core.journal import Journal
from meshpeer.core.mail.draft import Draft, check
from meshpeer.core.mail.lamport import Lamport
from meshpeer.core.mail.letters import Letter, Letters
from meshpeer.core.mail.people import Contact, Own, People, Status
from meshpeer.core.mail.sealing_keys import SealingKeys
from meshpeer.core.mail.underway import Pending, Underway, recall_hours
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

_UNCONFIRMED: Final = frozenset(
    {DeliveryState.QUEUED, DeliveryState.CARRIED, DeliveryState.DROPPED}
)


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


class Composed(NamedTuple):
    """A message in bytes, to be sealed to each device of its receiver."""

    own: Own
    contact: bytes
    message_id: bytes
    body: bytes
    lifetime: int
    """Seconds."""
    priority: Priority
    expires: float
    """Running seconds."""


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
        self._underway = Underway(pending)
        self._expired: set[bytes] = set()
        """Letters of which that was told."""

    def compose(
        self, own: Own, contact: Contact, draft: Draft, now: float
    ) -> tuple[bytes, list[Bundle]]:
        """Journal a message; give its id and one bundle for each device of the receiver.

        The bundles are the caller's to queue. UsageError for what can't be sent.
        """
        check(draft, contact)
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
        self._note(own, contact, message_id, message, draft.lifetime, now)
        body = message.to_bytes(sender=own.person, receiver=contact.person)
        composed = Composed(
            own,
            contact.person,
            message_id,
            body,
            draft.lifetime,
            draft.priority,
            now + draft.lifetime,
        )
        keys = [self._keys.receiver(contact.person, one) for one in contact.card.devices]
        bundles = [self._seal(composed, key, now) for key in keys]
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
        return message_id, bundles

    def recall(self, message_id: bytes, now: float) -> list[tuple[bytes, int]]:
        """Journal that this message is asked back; give recall values and hours to flood.

        UsageError if nothing of it is under way any more.
        """
        waiting = self._underway.of_message(message_id)
        if not waiting and self.letters.get(message_id) is None:
            raise UsageError("it has arrived or is long over: nothing is under way")
        for pending in waiting:
            self._rise(pending, DeliveryState.RECALL_ASKED, now)
        return [(one_way(p.receipt), recall_hours(p.expires - now)) for p in waiting]

    def watched(self) -> Iterator[tuple[bytes, bytes]]:
        """Give receipt hash and bundle id of all that may still arrive; a file has no bundle."""
        for pending in self._underway:
            yield pending.receipt_hash, pending.bundle
        for receipt_hash in self.letters.watched():
            yield receipt_hash, b""

    def carried(self, bundle: bytes, peer: bytes, now: float) -> None:
        """A neighbour acknowledged this bundle as durable."""
        pending = self._underway.by_bundle(bundle)
        if pending is not None:
            self._rise(pending, DeliveryState.CARRIED, now, peer=peer.hex())

    def dropped(self, bundle: bytes, now: float) -> None:
        """The queue here gave this bundle up for want of room."""
        pending = self._underway.by_bundle(bundle)
        if pending is not None and pending.state is DeliveryState.QUEUED:
            self._rise(pending, DeliveryState.DROPPED, now)

    def value_seen(self, value: bytes, now: float) -> None:
        """A receipt or recall came by; if it is the receipt of a message of ours, that arrived."""
        _, receipt_hash = value_hashes(value)
        pending = self._underway.by_receipt(receipt_hash)
        if pending is None:
            self._file_seen(receipt_hash)
            return
        self._rise(pending, DeliveryState.ARRIVED, now)
        self._underway.forget(receipt_hash)
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
        first = self._underway.next_end()
        return min(ends if first is None else [*ends, first], default=None)

    def wake(self, now: float) -> list[bytes]:
        """Say what expired; give the receipt hashes of what can't arrive any more.

        What expired may still turn out to have arrived, for the longest lifetime.
        """
        forgotten = []
        for receipt_hash, pending in self._underway.ended(now):
            if pending.state is DeliveryState.EXPIRED:
                self._underway.forget(receipt_hash)
                forgotten.append(receipt_hash)
            else:
                self._rise(pending, DeliveryState.EXPIRED, now)
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
        for pending in self._underway:
            unconfirmed = pending.state in _UNCONFIRMED and pending.expires > now
            if pending.contact == person and unconfirmed and pending.device not in current:
                stale.setdefault(pending.message_id, []).append(pending)
        for message_id, old in stale.items():
            bundles = self._seal_again(message_id, contact, current, now)
            sealed.bundles.extend(bundles)
            if bundles:
                sealed.recalls.extend(
                    (one_way(one.receipt), recall_hours(one.expires - now)) for one in old
                )
        return sealed

    def stale_contacts(self) -> set[bytes]:
        """Whom `reseal` may have something for, after a restart."""
        return {pending.contact for pending in self._underway}

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
            composed = Composed(
                own,
                contact.person,
                message_id,
                body,
                row.lifetime,
                priority,
                row.stored + row.lifetime,
            )
            return [self._seal(composed, key, now) for key in current if key not in known]
        return []

    def _note(
        self,
        own: Own,
        contact: Contact,
        message_id: bytes,
        message: Message,
        lifetime: int,
        now: float,
    ) -> None:
        """Journal that a message was written."""
        person = contact.person.hex()
        self._journal.add(
            PutMessage(
                message_id=message_id,
                box=Box.OUTBOX,
                person=own.person,
                contact=contact.person,
                text=message.text,
                kind=message.kind,
                lamport=message.lamport,
                written=message.written,
                stored=now,
                stored_wall=message.written,
                lifetime=lifetime,
                reply_to=message.reply_to,
            ),
            self._lamport.write(),
            PutEvent.of("message", id=message_id.hex(), box="outbox", contact=person),
        )

    def _seal(self, message: Composed, key: bytes, now: float) -> Bundle:
        """Seal a message to one sealing key, and journal that this is under way."""
        seal = Seal(
            sender=message.own.sealing,
            receiver=key,
            message_id=message.message_id,
            ephemeral=KeyPair.generate(self._rng),
        )
        header = fresh_header(
            priority=message.priority,
            tag=destination_tag(key),
            receipt_hash=seal.receipt_hash,
            lifetime=message.lifetime,
            wall=self._wall(),
            rng=self._rng,
            age=max(0, int(now + message.lifetime - message.expires)),
        )
        bundle = Bundle.make(header, seal.close(header.immutable, message.body))
        pending = Pending(
            message.message_id,
            message.contact,
            bundle.id,
            seal.receipt,
            message.expires,
            DeliveryState.QUEUED,
            key,
        )
        self._journal.add(
            PutDelivery(
                pending.message_id,
                pending.bundle,
                key,
                pending.receipt,
                pending.expires,
                message.priority,
            )
        )
        self._underway.add(pending)
        return bundle

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
