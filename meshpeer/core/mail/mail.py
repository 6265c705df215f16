"""Messages from person to person: compose, open, and what the sender knows of each.

Everything that lasts goes through the journal, so that a receipt leaves only once the message it
speaks of is on the disk, and a state is shown only once it can't be lost.

What comes in, in this order: a seal that doesn't open is refused for good; a sender that is
neither known nor brought a card that names its sealing key is refused with a recall, as is one
that is blocked; a message id seen before from this person gets its receipt and is not shown; a
stranger's first message goes to the requests box. The sender is who the seal proves, never who
the message says.

What went out is known by the hash in its bundle's header, also after the bundle itself is gone,
because a receipt may follow a recall or the end of its lifetime.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil
from typing import Final, NamedTuple, Protocol

from meshpeer.core.formats.bundle import MAX_LIFETIME, Bundle, Header, Priority
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.message import MAX_TEXT, Message
from meshpeer.core.formats.receipt import MAX_HOURS, value_hashes
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.identity.seal import (
    MESSAGE_ID_SIZE,
    Seal,
    destination_tag,
    open_seal,
)
from meshpeer.core.identity.seal import (
    Opened as OpenedSeal,
)
from meshpeer.core.journal import Journal
from meshpeer.core.mail.allowance import Allowance
from meshpeer.core.mail.people import Contact, Own, People, Status
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.verdict import Deferred, Opened, Rejected, Verdict
from meshpeer.core.writes import (
    Box,
    DeliveryState,
    PutDelivery,
    PutEvent,
    PutMessage,
    PutSeen,
    PutSetting,
    SetDelivery,
)
from meshpeer.errors import NotFoundError, RemoteProtocolError, UsageError

DEFAULT_LIFETIME: Final = 7 * 86_400
HOPS_MORE: Final = 4
"""Transmissions that a bundle may make, above where its count starts."""
FIRST_HOPS: Final = 3
"""The count starts at a random number below this, so that it doesn't name the maker."""
AGE_JITTER: Final = 600
"""The age starts at a random number of seconds below this, for the same reason."""
MAX_REQUESTS: Final = 200
CONTACT_SHARE: Final = 64 << 20
"""Bytes of text kept from one contact; who has more must be read and deleted first."""
RECALL_EXTRA_HOURS: Final = 48
"""A recall outlives its bundle by so much: ages along the way are only hints."""
LAMPORT: Final = "lamport"
KNOWN_RATE: Final = 5_000
STRANGER_RATE: Final = 100
"""Seals a second opened for a neighbour; 100 take a hundredth of a core, a tenth of a Pi's."""
STRANGER_BURST: Final = 2_000
"""A stranger may be a ferry that brings all that others wrote for a week."""


class Archive(Protocol):
    """What was stored before; a plain look-up, injected like the clock."""

    def was_seen(self, sender: bytes, message_id: bytes) -> bool:
        """Whether this message of this sender was ever stored here."""
        ...

    def stored_bytes(self, contact: bytes) -> int:
        """How much text of received messages is kept from this person."""
        ...


@dataclass(slots=True)
class Pending:
    """One bundle of ours that has not arrived, as far as we know."""

    message_id: bytes
    contact: bytes
    bundle: bytes
    receipt: bytes
    expires: float
    state: DeliveryState


class Restored(NamedTuple):
    """What a mail starts from: what the disk held."""

    lamport: int = 0
    pending: Sequence[Pending] = ()
    requests: Sequence[bytes] = ()
    """The strangers whose messages wait in the requests box."""


class Draft(NamedTuple):
    """What a person wants to say, and how."""

    text: str
    lifetime: int = DEFAULT_LIFETIME
    priority: Priority = Priority.NORMAL
    reply_to: bytes | None = None
    kind: str = "text"


class Mail:
    """All that is written and received by the persons here."""

    def __init__(
        self,
        *,
        people: People,
        journal: Journal,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        archive: Archive,
        restored: Restored = Restored(),  # noqa: B008 (a constant)
    ) -> None:
        self.people = people
        self._journal = journal
        self._rng = rng
        self._wall = wall
        self._archive = archive
        self._lamport = restored.lamport
        self._pending: dict[bytes, Pending] = {}
        self._by_message: dict[bytes, set[bytes]] = {}
        self._by_bundle: dict[bytes, bytes] = {}
        self._expiries: list[tuple[float, bytes]] = []
        self._unsaved: set[tuple[bytes, bytes]] = set()
        self._requests = Counter(restored.requests)
        self._kept: dict[bytes, int] = {}
        self._known = Allowance(rate=KNOWN_RATE, burst=KNOWN_RATE)
        self._strange = Allowance(rate=STRANGER_RATE, burst=STRANGER_BURST)
        for pending in restored.pending:
            self._await(pending)

    # ---- what goes out

    def compose(
        self, own: Own, contact: Contact, draft: Draft, now: float
    ) -> tuple[bytes, list[Bundle]]:
        """Journal a message; give its id and one bundle for each device of the receiver.

        The bundles are the caller's to queue. UsageError for what can't be sent.
        """
        self.check(draft, contact)
        message_id = self._rng(MESSAGE_ID_SIZE)
        self._lamport += 1
        message = Message(
            kind=draft.kind,
            text=draft.text,
            lamport=self._lamport,
            written=int(self._wall()),
            reply_to=draft.reply_to,
            card=None if contact.introduced else own.card.to_bytes(),
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
            PutSetting(LAMPORT, self._lamport.to_bytes(8)),
        )
        body = message.to_bytes(sender=own.person, receiver=contact.person)
        bundles = [
            self._seal(own, contact, device.sealing, message_id, body, draft, now)
            for device in contact.card.devices
        ]
        self._tell(
            "message", id=message_id.hex(), box="outbox", contact=contact.person.hex()
        )
        return message_id, bundles

    @staticmethod
    def check(draft: Draft, contact: Contact) -> None:
        """Raise UsageError, saying what to do, for a message that can't be sent."""
        try:
            size = len(draft.text.encode())
        except UnicodeEncodeError as error:
            raise UsageError("the text is not valid Unicode") from error
        if not draft.text:
            raise UsageError("an empty message; write something")
        if size > MAX_TEXT:
            raise UsageError(f"a message of {size:,} bytes; the limit is {MAX_TEXT:,}")
        if not 1 <= draft.lifetime <= MAX_LIFETIME:
            raise UsageError(
                f"a lifetime of {draft.lifetime:,} s; it must be 1 to {MAX_LIFETIME:,} (35 days)"
            )
        if contact.status is Status.BLOCKED:
            raise UsageError("that contact is blocked; unblock it first")

    def recall(self, message_id: bytes, now: float) -> list[tuple[bytes, int]]:
        """Journal that this message is asked back; give recall values and hours to flood."""
        waiting = [
            self._pending[receipt_hash]
            for receipt_hash in self._by_message.get(message_id, ())
        ]
        if not waiting:
            raise NotFoundError("that message has arrived, or was never sent from here")
        for pending in waiting:
            self._rise(pending, DeliveryState.RECALL_ASKED, now)
        return [(one_way(p.receipt), _hours_left(p.expires - now)) for p in waiting]

    def watched(self) -> Iterator[tuple[bytes, bytes]]:
        """Give receipt hash and bundle id of all that may still arrive."""
        for receipt_hash, pending in self._pending.items():
            yield receipt_hash, pending.bundle

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
            return
        self._rise(pending, DeliveryState.ARRIVED, now)
        self._forget(receipts, pending)
        contact = self.people.get(pending.contact)
        if contact is not None and not contact.introduced:
            self._journal.add(self.people.introduce(contact.person))

    def next_wakeup(self) -> float | None:
        """When the next message of ours may expire."""
        return self._expiries[0][0] if self._expiries else None

    def wake(self, now: float) -> None:
        """Say what expired. Its receipt may still come, for as long again."""
        while self._expiries and self._expiries[0][0] <= now:
            _, receipt_hash = heappop(self._expiries)
            pending = self._pending.get(receipt_hash)
            if pending is None:
                continue
            if pending.state is DeliveryState.EXPIRED:
                self._forget(receipt_hash, pending)
            else:
                self._rise(pending, DeliveryState.EXPIRED, now)
                heappush(self._expiries, (now + MAX_LIFETIME, receipt_hash))

    # ---- what comes in

    def receive(self, bundle: Bundle, account: Account, now: float) -> Verdict:
        """Open a bundle whose tag is ours, and journal what it holds."""
        own = self.people.own_by_tag(bundle.header.tag)
        if own is None:
            return Rejected("no such person here")
        allowance = self._strange if account.kind is Kind.STRANGER else self._known
        if not allowance.take(str(account), now):
            return Deferred("too many bundles for persons here at once")
        try:
            seal = _open(bundle, own.sealing)
            message = Message.parse(seal.body)
            return self._take_in(own, seal, message, now)
        except RemoteProtocolError as error:
            return Rejected(str(error))

    def accept_request(self, person: bytes, petname: str | None, wall: int) -> None:
        """Make a stranger a contact; the caller moves its messages."""
        contact = self.people.get(person)
        if contact is None or contact.status is not Status.STRANGER:
            raise NotFoundError("no request from that person")
        self._journal.add(self.people.accept(contact.card, petname, wall=wall))
        self.request_ended(person)

    def request_ended(self, person: bytes) -> None:
        """The requests box holds nothing more of this stranger."""
        del self._requests[person]

    def _take_in(self, own: Own, seal: OpenedSeal, message: Message, now: float) -> Verdict:
        refusal = Opened(one_way(seal.receipt))
        card = self._brought(seal, message)
        if card and not self._meet(card):
            return Deferred("the requests box is full")
        contact = self._sender(own, seal, message)
        if contact is None or contact.status is Status.BLOCKED:
            return refusal
        once = (contact.person, seal.message_id)
        if once in self._unsaved or self._archive.was_seen(*once):
            return Opened(seal.receipt)
        if self._share_used(contact.person) + len(message.text) > CONTACT_SHARE:
            return Deferred("that contact's share of the inbox is full")
        box = Box.INBOX
        if contact.status is Status.STRANGER:
            box = Box.REQUESTS
            if self._requests[contact.person] or self._requests.total() >= MAX_REQUESTS:
                return Deferred("the requests box is full")
            self._requests[contact.person] += 1
        self._keep(own, contact, seal, message, box, now)
        return Opened(seal.receipt)

    def erased(self, contact: bytes) -> None:
        """Messages of this person were erased: there is room again."""
        self._kept.pop(contact, None)

    def _share_used(self, contact: bytes) -> int:
        if contact not in self._kept:
            self._kept[contact] = self._archive.stored_bytes(contact)
        return self._kept[contact]

    def _sender(self, own: Own, seal: OpenedSeal, message: Message) -> Contact | None:
        """Whom the seal proves to have written, as the message itself confirms."""
        for contact in self.people.by_sealing_key(seal.sender):
            if message.is_between(contact.person, own.person):
                return contact
        return None

    @staticmethod
    def _brought(seal: OpenedSeal, message: Message) -> Card | None:
        """The card that came along, if it claims the key that sealed it."""
        card = Card.parse(message.card) if message.card else None
        if card and any(device.sealing == seal.sender for device in card.devices):
            return card
        return None

    def _meet(self, card: Card) -> bool:
        """Know the card's person from now on; False if there is no room for one more."""
        known = self.people.get(card.person)
        if card.person in self.people.own:
            return True
        if known is None:
            if self._requests.total() >= MAX_REQUESTS:
                return False
            wall = int(self._wall())
            self._journal.add(self.people.meet_stranger(card, wall=wall))
            self._tell("contact", id=card.person.hex(), status="stranger")
        elif card.number > known.card.number:
            self._journal.add(self.people.renew(card))
        return True

    def _keep(
        self,
        own: Own,
        contact: Contact,
        seal: OpenedSeal,
        message: Message,
        box: Box,
        now: float,
    ) -> None:
        once = (contact.person, seal.message_id)
        self._kept[contact.person] += len(message.text.encode())
        self._unsaved.add(once)
        self._journal.then(lambda _: self._unsaved.discard(once))
        self._lamport = max(self._lamport, message.lamport)
        self._journal.add(
            PutSeen(contact.person, seal.message_id, now),
            PutMessage(
                message_id=seal.message_id,
                box=box,
                person=own.person,
                contact=contact.person,
                text=message.text,
                kind=message.kind,
                lamport=message.lamport,
                written=message.written,
                stored=now,
                stored_wall=int(self._wall()),
                lifetime=0,
                reply_to=message.reply_to,
            ),
            PutSetting(LAMPORT, self._lamport.to_bytes(8)),
        )
        if not contact.introduced and message.card is None:
            self._journal.add(self.people.introduce(contact.person))
        self._tell(
            "message",
            id=seal.message_id.hex(),
            box=box.name.lower(),
            contact=contact.person.hex(),
        )

    # ---- the parts

    def _seal(
        self,
        own: Own,
        contact: Contact,
        device: bytes,
        message_id: bytes,
        body: bytes,
        draft: Draft,
        now: float,
    ) -> Bundle:
        seal = Seal(
            sender=own.sealing,
            receiver=device,
            message_id=message_id,
            ephemeral=KeyPair.generate(self._rng),
        )
        hops = self._below(FIRST_HOPS)
        header = Header(
            priority=draft.priority,
            hop_limit=hops + HOPS_MORE,
            tag=destination_tag(device),
            receipt_hash=seal.receipt_hash,
            lifetime=draft.lifetime,
            hour=max(0, int(self._wall()) // 3600) & 0xFFFF_FFFF,
            hops=hops,
            age=self._below(min(AGE_JITTER, draft.lifetime // 10) or 1),
        )
        bundle = Bundle.make(header, seal.close(header.immutable, body))
        expires = now + draft.lifetime
        self._journal.add(
            PutDelivery(
                message_id, bundle.id, device, seal.receipt, expires, draft.priority
            )
        )
        self._await(
            Pending(
                message_id,
                contact.person,
                bundle.id,
                seal.receipt,
                expires,
                DeliveryState.QUEUED,
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
        self._tell("state", id=pending.message_id.hex(), state=state.name.lower(), **more)

    def _tell(self, kind: str, **body: str) -> None:
        self._journal.add(PutEvent(kind, json.dumps(body)))

    def _below(self, limit: int) -> int:
        return int.from_bytes(self._rng(4)) % limit


def _open(bundle: Bundle, key: KeyPair) -> OpenedSeal:
    header = bundle.header
    return open_seal(
        bundle.payload,
        immutable=header.immutable,
        receipt_hash=header.receipt_hash,
        key=key,
    )


def _hours_left(seconds: float) -> int:
    """Hours for which a recall is passed on: as long as the bundle may live, and some more."""
    return min(MAX_HOURS, max(0, ceil(seconds / 3_600)) + RECALL_EXTRA_HOURS)
