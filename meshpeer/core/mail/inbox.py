"""What comes in for the persons here: whose it is, whether it is news, and in which box it goes.

In this order: a seal that doesn't open is refused for good; a sender that is neither known nor
brought a card that names its sealing key is refused with a recall, as is one that is blocked; a
message id seen before from this person gets its receipt and is not shown; a stranger's first
message goes to the requests box. The sender is who the seal proves, never who the message says.
A piece of a file goes to the message that names the file, which must have come (attachments.py).

Everything goes through the journal, so that a receipt leaves only once its message is on the disk.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from meshpeer.core.file_writes import PutAttachment
from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.card import Card, is_newer
from meshpeer.core.formats.message import Message
from meshpeer.core.formats.want import Kind as PartKind
from meshpeer.core.formats.want import Part, is_part
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.identity.seal import Opened as OpenedSeal
from meshpeer.core.journal import Journal
from meshpeer.core.mail.attachments import Attachments
from meshpeer.core.mail.lamport import Lamport
from meshpeer.core.mail.letters import UNDERWAY
from meshpeer.core.mail.people import Contact, Own, People, Status
from meshpeer.core.mail.sealing_keys import SealingKeys
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.allowance import NeighbourAllowance, Rate
from meshpeer.core.sync.verdict import Deferred, Opened, Rejected, Verdict
from meshpeer.core.writes import MESSAGE_COST, Box, PutEvent, PutMessage, PutSeen
from meshpeer.errors import NotFoundError, RemoteProtocolError

MAX_REQUESTS: Final = 200
CONTACT_SHARE: Final = 64 << 20
"""Bytes kept from one contact; who has more must be read and deleted first."""
KNOWN_RATE: Final = 5_000
STRANGER_RATE: Final = 100
"""Seals a second opened for a neighbour; 100 take a hundredth of a core, a tenth of a Pi's."""
ATTACHMENT_COST: Final = 512
"""Bytes that a file's name and key count for, with the row."""
PIECES_AFTER: Final = 1.0
"""Seconds after a message with files until neighbours are asked again for its pieces."""
PUT_OFF: Final = 10.0
"""Seconds after which neighbours are asked again for what came too fast to be opened."""
STRANGER_BURST: Final = 2_000
"""A stranger may be a ferry that brings all that others wrote for a week."""
NETWORK_RATE: Final = 300
NETWORK_BURST: Final = 6_000
"""The same for all strangers of one network, for keys cost a stranger nothing."""


class Archive(Protocol):
    """What was stored before; a plain look-up, injected like the clock."""

    def was_seen(self, sender: bytes, message_id: bytes) -> bool:
        """Whether this message of this sender was ever stored here."""
        ...

    def stored_bytes(self, contact: bytes) -> int:
        """How much is kept of what this person wrote: text, and MESSAGE_COST for each message."""
        ...


class Inbox:
    """Opens bundles for persons here and journals what they hold."""

    def __init__(
        self,
        *,
        people: People,
        journal: Journal,
        lamport: Lamport,
        wall: Callable[[], float],
        archive: Archive,
        keys: SealingKeys,
        requests: Iterable[bytes] = (),
    ) -> None:
        self._people = people
        self._journal = journal
        self._lamport = lamport
        self._wall = wall
        self._archive = archive
        self._keys = keys
        self.attachments: Attachments | None = None
        """Set as soon as there are files that they can be given to."""
        self._unsaved: set[tuple[bytes, bytes]] = set()
        self._requests = Counter(requests)
        self._kept: dict[bytes, int] = {}
        self._put_off_until: float | None = None
        self._allowance = NeighbourAllowance(
            known=Rate(KNOWN_RATE, KNOWN_RATE),
            stranger=Rate(STRANGER_RATE, STRANGER_BURST),
            network=Rate(NETWORK_RATE, NETWORK_BURST),
        )

    def receive(self, bundle: Bundle, account: Account, now: float) -> Verdict:
        """Open a bundle whose tag is ours, and journal what it holds."""
        found = self._keys.own_by_tag(bundle.header.tag)
        if found is None:
            return Rejected("no such person here")
        own, key = found
        if not self._allowance.take(account, now):
            if self._put_off_until is None:
                self._put_off_until = now + PUT_OFF
            return Deferred("too many bundles for persons here at once")
        try:
            seal = bundle.open(key)
            if is_part(seal.body):
                return self._take_piece(bundle.id, seal, now)
            message = Message.parse(seal.body)
            return self._take_in(own, seal, message, now)
        except RemoteProtocolError as error:
            return Rejected(str(error))

    def _take_piece(self, bundle: bytes, seal: OpenedSeal, now: float) -> Verdict:
        """A part of a file: of the message that it belongs to the receiver knows the sender."""
        part = Part.parse(seal.body)
        if part.kind is not PartKind.PIECE:
            raise RemoteProtocolError("kind", "an answer, to nobody's want")
        senders = self._people.by_sealing_key(seal.sender)
        if senders and all(sender.status is Status.BLOCKED for sender in senders):
            return Opened(one_way(seal.receipt))
        contacts = [one for one in senders if one.status is Status.CONTACT]
        if not contacts or self.attachments is None:
            return Deferred("files of strangers wait until somebody accepts them")
        return self.attachments.take(part, contacts, bundle, seal.receipt, now)

    def next_wakeup(self) -> float | None:
        """When `wake` has something to say."""
        return self._put_off_until

    def wake(self, now: float) -> bool:
        """Whether what came too fast is to be asked for again now."""
        due = self._put_off_until is not None and now >= self._put_off_until
        if due:
            self._put_off_until = None
        return due

    def accept_request(self, person: bytes, petname: str | None, wall: int) -> None:
        """Make a stranger a contact; the caller moves its messages."""
        contact = self._people.get(person)
        if contact is None or contact.status is not Status.STRANGER:
            raise NotFoundError("no request from that person")
        self._journal.add(self._people.accept(contact.card, petname, wall=wall))
        self.request_ended(person)

    def request_ended(self, person: bytes) -> None:
        """The requests box holds nothing more of this stranger."""
        del self._requests[person]

    def _take_in(self, own: Own, seal: OpenedSeal, message: Message, now: float) -> Verdict:
        refusal = Opened(one_way(seal.receipt))
        card = self._brought(own, seal, message)
        if card and not self._meet(card):
            return Deferred("the requests box is full")
        contact = self._sender(own, seal, message)
        if contact is None or contact.status is Status.BLOCKED:
            return refusal
        once = (contact.person, seal.message_id)
        if once in self._unsaved or self._archive.was_seen(*once):
            return Opened(seal.receipt)
        if self._share_used(contact.person) + _cost(message) > CONTACT_SHARE:
            return Deferred("that contact's share of the inbox is full")
        box = Box.INBOX
        if contact.status is Status.STRANGER:
            box = Box.REQUESTS
            if self._requests[contact.person] or self._requests.total() >= MAX_REQUESTS:
                return Deferred("the requests box is full")
            self._requests[contact.person] += 1
        self._keep(own, contact, seal, message, box, now)
        return Opened(seal.receipt)

    def _keep_files(self, contact: Contact, message_id: bytes, message: Message) -> None:
        """Note which files go with a message; they are fetched once this is durable."""
        rows = [
            PutAttachment(
                message_id, contact.person, False, position, *attachment, UNDERWAY
            )
            for position, attachment in enumerate(message.attachments)
        ]
        self._journal.add(*rows)
        if rows and self.attachments is not None:
            expect = self.attachments.expect

            def durable(now: float) -> None:
                for row in rows:
                    expect(row, now)
                # pieces may have come before their message, and been put off
                self._put_off_until = now + PIECES_AFTER

            self._journal.then(durable)

    def erased(self, contact: bytes) -> None:
        """Messages of this person were erased: there is room again."""
        self._kept.pop(contact, None)

    def _share_used(self, contact: bytes) -> int:
        if contact not in self._kept:
            self._kept[contact] = self._archive.stored_bytes(contact)
        return self._kept[contact]

    def _sender(self, own: Own, seal: OpenedSeal, message: Message) -> Contact | None:
        """Whom the seal proves to have written, as the message itself confirms."""
        for contact in self._people.by_sealing_key(seal.sender):
            if message.is_between(contact.person, own.person):
                return contact
        return None

    @staticmethod
    def _brought(own: Own, seal: OpenedSeal, message: Message) -> Card | None:
        """The card that came along, if it is the writer's own: else it would only fill our memory."""
        card = Card.parse(message.card) if message.card else None
        if (
            card
            and any(device.sealing == seal.sender for device in card.devices)
            and message.is_between(card.person, own.person)
        ):
            return card
        return None

    def _meet(self, card: Card) -> bool:
        """Know the card's person from now on; False if there is no room for one more."""
        known = self._people.get(card.person)
        if card.person in self._people.own:
            return True
        if known is None:
            if self._requests.total() >= MAX_REQUESTS:
                return False
            wall = int(self._wall())
            self._journal.add(self._people.meet_stranger(card, wall=wall))
            self._journal.add(
                PutEvent.of("contact", id=card.person.hex(), status="stranger")
            )
        elif is_newer(card, known.card):
            self._journal.add(self._people.renew(card))
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
        self._kept[contact.person] += _cost(message)
        self._unsaved.add(once)
        self._journal.then(lambda _: self._unsaved.discard(once))
        self._lamport.saw(message.lamport)
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
            self._lamport.write(),
        )
        self._keep_files(contact, seal.message_id, message)
        if not contact.introduced and message.card is None:
            self._journal.add(self._people.introduce(contact.person))
        self._journal.add(
            PutEvent.of(
                "message",
                id=seal.message_id.hex(),
                box=box.name.lower(),
                contact=contact.person.hex(),
            )
        )


def _cost(message: Message) -> int:
    files = ATTACHMENT_COST * len(message.attachments)
    return len(message.text.encode()) + MESSAGE_COST + files
