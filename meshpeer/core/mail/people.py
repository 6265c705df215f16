"""Who lives on this peer and whom they know, in memory.

A contact is found by person id, by the sealing key of one of its devices (that is what an opened
seal proves), and by the peer id of a link (that decides whose share it is charged to). The three
indexes hold only what the newest accepted device list says, so a device that left the list is a
stranger's from that moment.

A list is signed by its person, not by each device, so anybody can claim somebody else's keys in a
list of their own. Hence a sealing key gives all who claim it, and the message itself says between
whom it is (see formats/message.py); a peer id gives at most a share of the queue.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from meshpeer.core.chain_writes import PutAuthor
from meshpeer.core.formats.card import Card, is_newer
from meshpeer.core.identity.keys import DeviceKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import destination_tag
from meshpeer.core.writes import DropContact, PutContact, Write
from meshpeer.errors import NotFoundError, UsageError


class Status(StrEnum):
    """What a person is to us."""

    CONTACT = "contact"
    STRANGER = "stranger"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Contact:
    """A person known here: its newest card, and what we made of it."""

    card: Card
    status: Status
    petname: str | None
    verified: bool
    introduced: bool
    since: int

    @property
    def person(self) -> bytes:
        """The person id."""
        return self.card.person

    def write(self) -> PutContact:
        """The row that keeps it."""
        return PutContact(
            person=self.card.person,
            card=self.card.to_bytes(),
            nickname=self.card.nickname,
            petname=self.petname,
            status=self.status.value,
            verified=self.verified,
            introduced=self.introduced,
            since=self.since,
        )

    @classmethod
    def from_row(cls, row: PutContact) -> "Contact":
        """What `write` gave."""
        return cls(
            card=Card.load(row.card),
            status=Status(row.status),
            petname=row.petname,
            verified=row.verified,
            introduced=row.introduced,
            since=row.since,
        )


class Own(NamedTuple):
    """A person of this peer with the keys of its device here."""

    card: Card
    device: DeviceKey
    sealing: KeyPair

    @property
    def person(self) -> bytes:
        """The person id."""
        return self.card.person

    @property
    def listed(self) -> bool:
        """Whether the newest list names this device; not yet, or not any more, if False."""
        return any(device.device == self.device.public for device in self.card.devices)


class People:
    """All persons that this peer knows; changes return the writes that make them last."""

    def __init__(self, own: Iterable[Own], contacts: Iterable[PutContact] = ()) -> None:
        self.own = {person.person: person for person in own}
        self._by_tag = {
            destination_tag(own.sealing.public): person for person, own in self.own.items()
        }
        self.changes = 0
        """Grows with each change, so that who depends on it knows when to look again."""
        self._contacts: dict[bytes, Contact] = {}
        self._by_sealing: dict[bytes, set[bytes]] = {}
        self._by_peer: dict[bytes, set[bytes]] = {}
        for row in contacts:
            self._index(Contact.from_row(row))

    def __iter__(self) -> Iterator[Contact]:
        return iter(self._contacts.values())

    def __len__(self) -> int:
        return len(self._contacts)

    @property
    def tags(self) -> frozenset[bytes]:
        """The destination tags of the devices here."""
        return frozenset(self._by_tag)

    def own_by_tag(self, tag: bytes) -> Own | None:
        """Give the person here whose device receives under this tag."""
        person = self._by_tag.get(tag)
        return None if person is None else self.own[person]

    def get(self, person: bytes) -> Contact | None:
        """Give the contact, stranger or blocked person of this id."""
        return self._contacts.get(person)

    def by_sealing_key(self, public: bytes) -> list[Contact]:
        """Give everybody whose device list claims this sealing key; nearly always one."""
        return [self._contacts[person] for person in self._by_sealing.get(public, ())]

    def contacts_at(self, peer: bytes) -> list[Contact]:
        """Give all contacts whose device lists claim this peer."""
        persons = (self._contacts[person] for person in self._by_peer.get(peer, ()))
        return [contact for contact in persons if contact.status is Status.CONTACT]

    def own_at(self, peer: bytes) -> Own | None:
        """Give the person here who has another device on this peer, if there is one."""
        for own in self.own.values():
            if any(device.peer == peer for device in own.card.devices):
                return own
        return None

    def accept(self, card: Card, petname: str | None, *, wall: int) -> PutContact:
        """Make the card's person a contact; UsageError for our own or an outdated card."""
        if card.person in self.own:
            raise UsageError("that is your own card; give it to somebody else to add")
        self.check_petname(petname, card.person)
        known = self._contacts.get(card.person)
        if known is None:
            contact = _new(card, Status.CONTACT, petname, wall)
            return self._put(contact)
        newest = self.newest(known.card, card)
        status = Status.BLOCKED if known.status is Status.BLOCKED else Status.CONTACT
        return self._put(
            replace(known, card=newest, status=status, petname=petname or known.petname)
        )

    def meet_stranger(self, card: Card, *, wall: int) -> PutContact:
        """Note a person whose first message came with its card."""
        return self._put(_new(card, Status.STRANGER, None, wall))

    def renew(self, card: Card) -> PutContact:
        """Take the newer card of a person known here; UsageError if it is older."""
        known = self._known(card.person)
        return self._put(replace(known, card=self.newest(known.card, card)))

    def take(self, card: Card) -> list[Write]:
        """Take a card that came through the chain if it is newer; give what makes it last."""
        if card.person in self.own:
            return list(self.renew_own(card))
        known = self._contacts.get(card.person)
        if known is None or not is_newer(card, known.card):
            return []
        return [self._put(replace(known, card=card))]

    def renew_own(self, card: Card) -> list[PutAuthor]:
        """Take the newer card of a person here, signed here or on another device of theirs."""
        own = self.own[card.person]
        if not is_newer(card, own.card):
            return []
        self.own[card.person] = own._replace(card=card)
        self.changes += 1
        return [PutAuthor(card.person, card.to_bytes())]

    def join(self, before: bytes, card: Card) -> list[Write]:
        """Make a person's device here the other's whose card lists it; keys stay.

        If that other was a contact here it is none any more, for it lives here now.
        """
        own = self.own.pop(before)._replace(card=card)
        self.own[card.person] = own
        self._by_tag[destination_tag(own.sealing.public)] = own.person
        self.changes += 1
        writes: list[Write] = [PutAuthor(card.person, card.to_bytes())]
        if card.person in self._contacts:
            writes.append(self.forget(card.person))
        return writes

    def introduce(self, person: bytes) -> PutContact:
        """Note that this person holds our card."""
        return self._put(replace(self._known(person), introduced=True))

    def change(
        self,
        person: bytes,
        *,
        status: Status | None = None,
        verified: bool | None = None,
    ) -> PutContact:
        """Set what is given; NotFoundError for a person not known."""
        known = self._known(person)
        return self._put(
            replace(
                known,
                status=known.status if status is None else status,
                verified=known.verified if verified is None else verified,
            )
        )

    def rename(self, person: bytes, petname: str | None) -> PutContact:
        """Set or clear the petname; UsageError if somebody else has it."""
        self.check_petname(petname, person)
        return self._put(replace(self._known(person), petname=petname))

    def forget(self, person: bytes) -> DropContact:
        """Drop a person; NotFoundError for one not known."""
        self._unindex(self._known(person))
        self.changes += 1
        del self._contacts[person]
        return DropContact(person)

    def check_petname(self, petname: str | None, person: bytes) -> None:
        """Raise UsageError if another person goes by this petname here."""
        if petname is None:
            return
        for contact in self._contacts.values():
            if contact.petname == petname and contact.person != person:
                raise UsageError(
                    f"{petname!r} is already your name for another contact; choose another"
                )

    @staticmethod
    def newest(held: Card, offered: Card) -> Card:
        """Give the card that holds; UsageError for one with an older device list."""
        if offered.number < held.number:
            raise UsageError(
                f"that card's device list is number {offered.number}, "
                f"you already hold number {held.number}"
            )
        return held if is_newer(held, offered) else offered

    def _known(self, person: bytes) -> Contact:
        contact = self._contacts.get(person)
        if contact is None:
            raise NotFoundError("no such contact")
        return contact

    def _put(self, contact: Contact) -> PutContact:
        known = self._contacts.get(contact.person)
        if known:
            self._unindex(known)
        self._index(contact)
        self.changes += 1
        return contact.write()

    def _index(self, contact: Contact) -> None:
        self._contacts[contact.person] = contact
        for device in contact.card.devices:
            self._by_sealing.setdefault(device.sealing, set()).add(contact.person)
            self._by_peer.setdefault(device.peer, set()).add(contact.person)

    def _unindex(self, contact: Contact) -> None:
        for device in contact.card.devices:
            _discard(self._by_sealing, device.sealing, contact.person)
            _discard(self._by_peer, device.peer, contact.person)


def _new(card: Card, status: Status, petname: str | None, wall: int) -> Contact:
    return Contact(card, status, petname, verified=False, introduced=False, since=wall)


def _discard(index: dict[bytes, set[bytes]], key: bytes, person: bytes) -> None:
    persons = index.get(key, set())
    persons.discard(person)
    if not persons:
        index.pop(key, None)
