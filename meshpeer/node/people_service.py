"""Persons, cards and contacts, as the API asks for them."""

from typing import Final

from meshpeer.core.formats.card import Card
from meshpeer.core.identity import idtext
from meshpeer.core.mail.people import Contact, Status
from meshpeer.core.writes import Box, EraseMessage, MoveMessage, PutEvent, Write
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node import facade
from meshpeer.node.desk import Desk, contact_view, number_cursor, page_limit
from meshpeer.node.facade import PAGE_LIMIT
from store.rows import MessageRow

PETNAME_LIMIT: Final = 64


class PeopleService(Desk):
    """Who lives here and whom they know."""

    async def card(self, person: str | None = None) -> facade.Card:
        """Give the current card of one of our persons, with hints where to find this peer."""
        own = self.find_own(person)
        card = own.card.with_hints(self._node.hints())
        return facade.Card(
            person=idtext.encode(card.person),
            nickname=card.nickname,
            uri=card.to_uri(),
            file=card.to_file(),
        )

    async def contacts(self, after: str | None, limit: int) -> facade.Page[facade.Contact]:
        """List everybody known here, in the order in which they were met."""
        start = number_cursor(after)
        everybody = list(self._people)
        part = everybody[start : start + page_limit(limit)]
        end = start + len(part)
        return facade.Page(
            [contact_view(contact) for contact in part],
            str(end) if end < len(everybody) else None,
        )

    async def contact(self, who: str) -> facade.Contact:
        """Give one of them."""
        return contact_view(self.find(who))

    async def add_contact(self, card: str | bytes, petname: str | None) -> facade.Contact:
        """Accept a card; a stranger who wrote becomes a contact, its messages move too."""
        parsed = Card.read(card)
        _check_petname(petname)
        known = self._people.get(parsed.person)
        if known is not None and known.status is Status.STRANGER:
            await self._accept(known, petname)
        await self._write(
            self._people.accept(parsed, petname, wall=self._node.wall()),
            self._told(parsed.person, "contact"),
        )
        self._node.learn_hints(parsed)
        return contact_view(self._known(parsed.person))

    async def rename_contact(self, who: str, petname: str | None) -> facade.Contact:
        """Set or clear the petname."""
        _check_petname(petname)
        person = self.find(who).person
        return await self._change(person, self._people.rename(person, petname))

    async def verify_contact(self, who: str, verified: bool) -> facade.Contact:
        """Note that the id text was compared with its owner, or is doubted now."""
        person = self.find(who).person
        return await self._change(person, self._people.change(person, verified=verified))

    async def block_contact(self, who: str, blocked: bool) -> facade.Contact:
        """Refuse what this person sends, or take it again."""
        contact = self.find(who)
        person = contact.person
        if contact.status is Status.STRANGER:
            if not blocked:
                raise UsageError("that person is not blocked, but waits in the requests")
            await self.refuse_request(who, block=True)
            return contact_view(self._known(person))
        status = Status.BLOCKED if blocked else Status.CONTACT
        return await self._change(person, self._people.change(person, status=status))

    async def remove_contact(self, who: str) -> None:
        """Forget the person, and a stranger's request with it."""
        contact = self.find(who)
        if contact.status is Status.STRANGER:
            await self.refuse_request(who, block=False)
            return
        person = contact.person
        await self._write(self._people.forget(person), self._told(person, "removed"))

    async def accept_request(self, who: str, petname: str | None) -> facade.Contact:
        """Make a stranger a contact; its messages move to the inbox."""
        _check_petname(petname)
        contact = self.find(who)
        await self._accept(contact, petname)
        return contact_view(self._known(contact.person))

    async def refuse_request(self, who: str, *, block: bool) -> None:
        """Erase what a stranger wrote; with `block` take nothing from it again."""
        rows = await self._requests_of(self.find(who).person)
        contact = self.find(who)
        if contact.status is not Status.STRANGER:
            raise NotFoundError("no request from that person")
        erased = [EraseMessage(row.message_id, row.contact, sent=False) for row in rows]
        self._peer.mail.inbox.request_ended(contact.person)
        ended: Write = (
            self._people.change(contact.person, status=Status.BLOCKED)
            if block
            else self._people.forget(contact.person)
        )
        told = self._told(contact.person, "blocked" if block else "removed")
        await self._write(*erased, ended, told)
        self.made_room()

    async def _accept(self, contact: Contact, petname: str | None) -> None:
        rows = await self._requests_of(contact.person)
        self._peer.mail.inbox.accept_request(contact.person, petname, self._node.wall())
        moves = [MoveMessage(row.message_id, row.contact, Box.INBOX) for row in rows]
        await self._write(*moves, self._told(contact.person, "contact"))
        self.made_room()

    async def _requests_of(self, person: bytes) -> list[MessageRow]:
        """What a stranger wrote, also what was still on its way to the disk."""
        await self._node.durable()
        return self._store.messages(Box.REQUESTS, contact=person, limit=PAGE_LIMIT)

    async def _change(self, person: bytes, write: Write) -> facade.Contact:
        status = self._known(person).status.value
        await self._write(write, self._told(person, status))
        return contact_view(self._known(person))

    async def _write(self, *writes: Write) -> None:
        self._peer.journal.add(*writes)
        await self._node.durable()

    def _known(self, person: bytes) -> Contact:
        contact = self._people.get(person)
        if contact is None:
            raise NotFoundError("that contact was removed meanwhile")
        return contact

    def _told(self, person: bytes, status: str) -> PutEvent:
        return PutEvent.of("contact", id=person.hex(), status=status)


def _check_petname(petname: str | None) -> None:
    if petname is None:
        return
    if not petname or len(petname) > PETNAME_LIMIT or not petname.isprintable():
        raise UsageError(f"a name has 1 to {PETNAME_LIMIT} printable characters")
    if petname.startswith("~"):
        raise UsageError(
            "a name of yours can't begin with ~, which marks others' own names"
        )
