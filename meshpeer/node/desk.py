"""What every service needs: the running peer, and how people name things.

who      a petname, an id text, or `~nickname` of the only contact that calls itself so
which    a message's number in lists, or its id of 32 hex digits; a record's number or id text
"""

import os
from typing import TYPE_CHECKING, Final

from meshpeer.core.identity import idtext
from meshpeer.core.mail.people import Contact, Own, Status
from meshpeer.core.writes import Box
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node import facade
from meshpeer.node.facade import PAGE_LIMIT
from meshpeer.node.library.packing import PACKED
from store.rows import MessageRow, RecordRow

if TYPE_CHECKING:
    from meshpeer.node.node import Node

MESSAGE_ID_DIGITS: Final = 32
MAX_DIGITS: Final = 18
"""Of a number in lists: more don't fit the database's integers."""
PRIORITY_NAMES: Final[tuple[facade.PriorityName, ...]] = ("bulk", "normal", "expedited")


class Desk:
    """The base of the services: finds what a name means."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._store = node.store
        self._peer = node.peer
        self._people = node.peer.mail.people

    async def persons(self) -> list[facade.Person]:
        """List who lives here."""
        return [
            facade.Person(
                idtext.encode(own.person), own.card.nickname, len(own.card.devices)
            )
            for own in self._people.own.values()
        ]

    def find(self, who: str) -> Contact:
        """Give the person that `who` names; NotFoundError or UsageError says why not."""
        who = who.strip()
        if who.startswith("~"):
            return self._by_nickname(who[1:])
        for contact in self._people:
            if contact.petname == who:
                return contact
        try:
            person = idtext.decode(who)
        except UsageError as error:
            if _looks_like_an_id(who):
                raise
            raise NotFoundError(self._unknown(who)) from error
        known = self._people.get(person)
        if known is None:
            raise NotFoundError("no contact has that id; add their card first")
        return known

    def find_person(self, who: str) -> bytes:
        """Give the person id of a contact, of somebody here, or of an author known by its chain."""
        for own in self._people.own.values():
            if who == idtext.encode(own.person):
                return own.person
        try:
            return self.find(who).person
        except NotFoundError:
            if who.startswith("~"):
                return self._author_by_nickname(who[1:])
            if not _looks_like_an_id(who):
                raise
            return idtext.decode(who)

    def _author_by_nickname(self, nickname: str) -> bytes:
        chains = self._peer.chains
        cards = (chains.card_of(person) for person in chains.persons)
        named = {card.person for card in cards if card and card.nickname == nickname}
        if len(named) == 1:
            return named.pop()
        if named:
            raise UsageError(
                f"{len(named)} people call themselves {nickname!r}; name one by id"
            )
        raise NotFoundError(f"nobody known here calls themself {nickname!r}")

    def find_record(self, which: str) -> RecordRow:
        """Give a record by its number in lists or its id."""
        if is_number(which):
            row = self._store.record(int(which))
        elif _looks_like_an_id(which):
            row = self._store.record_of(idtext.decode(which))
        else:
            raise UsageError(f"{which!r} is no record: give its number in lists or its id")
        if row is None:
            raise NotFoundError(f"no such record here: {which}")
        return row

    def find_file(self, what: str) -> bytes:
        """Give a file's id by its id text, or by the record that publishes one file."""
        if is_number(what):
            row = self.find_record(what)
        elif _looks_like_an_id(what):
            id = idtext.decode(what)
            found = self._store.record_of(id)
            if found is None:
                return id
            row = found
        else:
            raise UsageError(
                f"{what!r} is no file: give a record's number, or the id of a record or file"
            )
        if row.item is None or row.item.file is None:
            raise UsageError(f"record {row.number} publishes no file")
        return row.item.file

    def find_own(self, name: str | None) -> Own:
        """Give the person of this peer by id text or nickname; the first one for None."""
        persons = list(self._people.own.values())
        if name is None:
            return persons[0]
        for own in persons:
            if name in (own.card.nickname, idtext.encode(own.person)):
                return own
        raise NotFoundError(f"nobody named {name!r} lives on this peer")

    def read_peer(self, text: str) -> bytes:
        """Read a peer's id; UsageError if it is none, or a person's, which looks the same."""
        id = idtext.decode(text)
        if id in self._people.own or self._people.get(id):
            raise UsageError("that is a person's id; a peer's is in its `meshpeer status`")
        return id

    def find_message(self, which: str, *, box: Box | None = None) -> MessageRow:
        """Give the message by number or id; a received one where an id is two messages'."""
        if is_number(which):
            row = self._store.message(int(which))
            rows = [row] if row else []
        elif is_hex(which, MESSAGE_ID_DIGITS):
            rows = self._store.messages_by_id(which.lower())
        else:
            raise UsageError(
                f"{which!r} is no message: give its number or its id of 32 hex digits"
            )
        if not rows:
            raise NotFoundError(f"no such message: {which}")
        fitting = [row for row in rows if box is None or row.box is box]
        if not fitting:
            raise UsageError(f"message {rows[0].number} is not one that you sent")
        return min(fitting, key=lambda row: row.box is Box.OUTBOX)

    def not_ours(self, path: str, *, whole: bool = True, hidden: bool = True) -> str:
        """Give a path that others may read, or write to; UsageError if the peer's keys lie there.

        `whole`: all below it is meant; without `hidden` but for what begins with a dot.
        """
        path = absolute_path(path)
        real, own = os.path.realpath(path), os.path.realpath(self._node.state.root)
        files = os.path.realpath(self._node.library.folder)
        fetched = _below(files, own) and files != own and _below(real, files)
        fetched &= PACKED not in real.split("/") and not (
            whole and hidden and real == files
        )
        if _below(real, own) and not fetched:
            raise UsageError(f"{path} lies in your peer's own folder, with its keys")
        between = os.path.relpath(own, real).split("/")
        shown = hidden or not any(part.startswith(".") for part in between)
        if whole and _below(own, real) and shown:
            raise UsageError(
                f"in {path} lies your peer's own folder, with its keys: take parts of it alone"
            )
        return path

    def made_room(self) -> None:
        """Take from the neighbours what had to wait for room in a box."""
        self._peer.made_room(self._node.now())
        self._node.soon()

    def who(self, person: bytes) -> facade.Who:
        """Give a person as screens show it, also one that was removed."""
        contact = self._people.get(person)
        text = idtext.encode(person)
        if contact is None:
            card = self._peer.chains.card_of(person)
            return facade.Who(text, None, card.nickname if card else "")
        return facade.Who(text, contact.petname, contact.card.nickname)

    def name_at(self, peer: bytes) -> str | None:
        """Give the petname, or `~nickname`, of the contact that lives on this peer.

        None where several say so: one may only claim it.
        """
        contacts = self._people.contacts_at(peer)
        if len(contacts) != 1:
            return None
        return contacts[0].petname or f"~{contacts[0].card.nickname}"

    def _unknown(self, who: str) -> str:
        if who.startswith("/"):
            return (
                f"{who!r} is a folder: your shell made it of ~name, so write it in quotes"
            )
        if any(contact.card.nickname == who for contact in self._people):
            return (
                f"you named nobody {who!r}; somebody who calls themself so is '~{who}', "
                "with the quotes"
            )
        return f"you have no contact named {who!r}; `meshpeer contacts` lists them"

    def _by_nickname(self, nickname: str) -> Contact:
        found = [contact for contact in self._people if contact.card.nickname == nickname]
        if not found:
            raise NotFoundError(f"nobody known here calls themself {nickname!r}")
        if len(found) > 1:
            raise UsageError(
                f"{len(found)} people call themselves {nickname!r}; name one by petname or id"
            )
        return found[0]


def contact_view(contact: Contact) -> facade.Contact:
    """Give a contact as the facade shows it."""
    return facade.Contact(
        id=idtext.encode(contact.person),
        petname=contact.petname,
        nickname=contact.card.nickname,
        status=_STATUS[contact.status],
        verified=contact.verified,
        devices=len(contact.card.devices),
        since=contact.since,
    )


def is_number(which: str) -> bool:
    """Whether this is a record's number in lists, as the database can hold one."""
    return which.isascii() and which.isdecimal() and len(which) <= MAX_DIGITS


def absolute_path(path: str) -> str:
    """Give a path without detours; UsageError if it isn't one from the root on."""
    if not os.path.isabs(path) or "\0" in path:
        raise UsageError(f"{path!r} is not an absolute path")
    return os.path.normpath(path)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def page_limit(limit: int) -> int:
    """Give the limit if it is one; UsageError else."""
    if not 1 <= limit <= PAGE_LIMIT:
        raise UsageError(f"limit is {limit}; it must be 1 to {PAGE_LIMIT}")
    return limit


def number_cursor(after: str | None) -> int:
    """Read a cursor that is a number; UsageError if it is none of ours."""
    if after is None:
        return 0
    if not is_number(after):
        raise UsageError(f"{after!r} is no cursor of this list")
    return int(after)


_STATUS: Final[dict[Status, facade.ContactStatus]] = {
    Status.CONTACT: "contact",
    Status.STRANGER: "stranger",
    Status.BLOCKED: "blocked",
}


def is_hex(text: str, digits: int) -> bool:
    """Whether this is so many hex digits."""
    return len(text) == digits and all(one in "0123456789abcdefABCDEF" for one in text)


def _looks_like_an_id(text: str) -> bool:
    return len(text.replace("-", "").replace(" ", "")) >= idtext.ID_CHARACTERS - 8
