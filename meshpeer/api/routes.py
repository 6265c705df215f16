"""Every operation of the API in one table, whose larger parts stand in files of their own.

The server and the OpenAPI document read it.

A handler gets what the table promises: path parameters as text, query and body already checked
against their structs. It calls the facade and gives back a struct, nothing else happens here.
"""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from meshpeer.api.chain_routes import CHAIN_ROUTES
from meshpeer.api.device_routes import DEVICE_ROUTES
from meshpeer.api.file_routes import FILE_ROUTES
from meshpeer.api.route import Call, Checked, Done, Listing, Route
from meshpeer.api.search_routes import SEARCH_ROUTES
from meshpeer.errors import UsageError
from meshpeer.node.facade import (
    DRAFTS_LIMIT,
    BoxName,
    Card,
    Contact,
    Draft,
    LinkKeys,
    Message,
    Page,
    Peer,
    Person,
    QueueItem,
    Sent,
    Status,
)


class BoxListing(Listing, frozen=True):
    """A part of a box."""

    box: BoxName = "inbox"
    unread: Annotated[bool, Meta(description="only unread ones")] = False
    who: Annotated[str | None, Meta(description="only of this person")] = None
    newest: Annotated[bool, Meta(description="newest first")] = False


class WhichCard(Checked, frozen=True):
    """Whose card."""

    person: Annotated[str | None, Meta(description="one of `/persons`")] = None


class NewContact(Checked, frozen=True):
    """A card in one of its two forms, and what to call its owner."""

    card: Annotated[str | None, Meta(description="a `meshpeer:` URI")] = None
    file: Annotated[bytes | None, Meta(description="a card file's bytes, base64")] = None
    petname: str | None = None


class ContactChange(Checked, frozen=True):
    """What to change of a contact; a petname of null clears it."""

    petname: str | UnsetType | None = UNSET
    verified: bool | UnsetType = UNSET
    blocked: bool | UnsetType = UNSET


class NewMessages(Checked, frozen=True):
    """Messages to queue, all or none."""

    messages: Annotated[list[Draft], Meta(min_length=1, max_length=DRAFTS_LIMIT)]


class SentMessages(msgspec.Struct, frozen=True):
    """What was queued, in the same order."""

    sent: list[Sent]


class Persons(msgspec.Struct, frozen=True):
    """Who lives on this peer."""

    items: list[Person]


class Links(msgspec.Struct, frozen=True):
    """The links that are up, and their keys."""

    items: list[LinkKeys]


class WhichMessages(Checked, frozen=True):
    """Messages by number or id."""

    which: Annotated[list[str], Meta(min_length=1, max_length=DRAFTS_LIMIT)]


class ReadMarks(WhichMessages, frozen=True):
    """Messages to mark."""

    read: bool = True


class Accept(Checked, frozen=True):
    """What to call the new contact."""

    petname: str | None = None


class Refuse(Checked, frozen=True):
    """Whether to take anything from this stranger again."""

    block: bool = False


class NewPeer(Checked, frozen=True):
    """A peer and where it can be reached."""

    peer: str
    address: Annotated[str, Meta(description="host:port or [IPv6]:port")]


class Online(Checked, frozen=True):
    """Whether to have links at all."""

    online: bool


async def get_status(call: Call) -> Status:
    """Say how the peer is doing."""
    return await call.facade.status()


async def put_online(call: Call) -> Status:
    """Close every link and be silent, or come back."""
    return await call.facade.set_online(call.body.online)


async def list_persons(call: Call) -> Persons:
    """List who lives on this peer."""
    return Persons(await call.facade.persons())


async def get_card(call: Call) -> Card:
    """Give a person's card."""
    return await call.facade.card(call.query.person)


async def list_contacts(call: Call) -> Page[Contact]:
    """List everybody known here."""
    return await call.facade.contacts(call.query.after, call.query.limit)


async def add_contact(call: Call) -> Contact:
    """Accept a card."""
    given = [card for card in (call.body.card, call.body.file) if card is not None]
    if len(given) != 1:
        raise UsageError(
            f"give either `card` or `file`, not {'both' if given else 'neither'}"
        )
    return await call.facade.add_contact(given[0], call.body.petname)


async def get_contact(call: Call) -> Contact:
    """Give one contact."""
    return await call.facade.contact(call.path["who"])


async def change_contact(call: Call) -> Contact:
    """Rename, verify, block or unblock a contact."""
    change: ContactChange = call.body
    who = (await call.facade.contact(call.path["who"])).id
    if change.petname is not UNSET:
        await call.facade.rename_contact(who, change.petname)
    if change.verified is not UNSET:
        await call.facade.verify_contact(who, change.verified)
    if change.blocked is not UNSET:
        await call.facade.block_contact(who, change.blocked)
    return await call.facade.contact(who)


async def remove_contact(call: Call) -> Done:
    """Forget a contact."""
    await call.facade.remove_contact(call.path["who"])
    return Done()


async def send_messages(call: Call) -> SentMessages:
    """Queue messages, all or none; they are durable when the answer comes."""
    return SentMessages(await call.facade.send(call.body.messages))


async def list_messages(call: Call) -> Page[Message]:
    """List a box, oldest first."""
    query: BoxListing = call.query
    return await call.facade.messages(
        query.box,
        query.after,
        query.limit,
        unread=query.unread,
        who=query.who,
        newest=query.newest,
    )


async def get_message(call: Call) -> Message:
    """Give one message, with its delivery if it is ours."""
    return await call.facade.message(call.path["which"])


async def mark_read(call: Call) -> Done:
    """Mark received messages as read or unread."""
    await call.facade.mark_read(call.body.which, call.body.read)
    return Done()


async def delete_messages(call: Call) -> Done:
    """Erase messages here for good."""
    await call.facade.delete(call.body.which)
    return Done()


async def recall_message(call: Call) -> Message:
    """Ask every carrier to drop a message; it may still arrive."""
    return await call.facade.recall(call.path["which"])


async def accept_request(call: Call) -> Contact:
    """Make a stranger a contact."""
    return await call.facade.accept_request(call.path["who"], call.body.petname)


async def refuse_request(call: Call) -> Done:
    """Erase what a stranger wrote."""
    await call.facade.refuse_request(call.path["who"], block=call.body.block)
    return Done()


async def list_peers(call: Call) -> Page[Peer]:
    """List neighbours, then remembered peers."""
    return await call.facade.peers(call.query.after, call.query.limit)


async def add_peer(call: Call) -> Peer:
    """Remember a path to a peer and try it at once."""
    return await call.facade.add_peer(call.body.peer, call.body.address)


async def remove_peer(call: Call) -> Done:
    """Close the link to a peer and forget its paths."""
    await call.facade.remove_peer(call.path["peer"])
    return Done()


async def list_link_keys(call: Call) -> Links:
    """Give the keys that open captured packets of the links that are up."""
    return Links(await call.facade.link_keys())


async def list_queue(call: Call) -> Page[QueueItem]:
    """List the bundles held here."""
    return await call.facade.queue(call.query.after, call.query.limit)


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/status", get_status, Status),
    Route("PUT", "/online", put_online, Status, body=Online),
    Route("GET", "/persons", list_persons, Persons),
    Route("GET", "/card", get_card, Card, query=WhichCard),
    Route("GET", "/contacts", list_contacts, Page[Contact], query=Listing),
    Route("POST", "/contacts", add_contact, Contact, body=NewContact),
    Route("GET", "/contacts/{who}", get_contact, Contact),
    Route("PATCH", "/contacts/{who}", change_contact, Contact, body=ContactChange),
    Route("DELETE", "/contacts/{who}", remove_contact, Done),
    Route("GET", "/messages", list_messages, Page[Message], query=BoxListing),
    Route("POST", "/messages", send_messages, SentMessages, body=NewMessages),
    Route("POST", "/messages/read", mark_read, Done, body=ReadMarks),
    Route("POST", "/messages/delete", delete_messages, Done, body=WhichMessages),
    Route("GET", "/messages/{which}", get_message, Message),
    Route("POST", "/messages/{which}/recall", recall_message, Message),
    Route("POST", "/requests/{who}/accept", accept_request, Contact, body=Accept),
    Route("POST", "/requests/{who}/refuse", refuse_request, Done, body=Refuse),
    Route("GET", "/peers", list_peers, Page[Peer], query=Listing),
    Route("POST", "/peers", add_peer, Peer, body=NewPeer),
    Route("DELETE", "/peers/{peer}", remove_peer, Done),
    Route("GET", "/links/keys", list_link_keys, Links),
    Route("GET", "/queue", list_queue, Page[QueueItem], query=Listing),
    *CHAIN_ROUTES,
    *FILE_ROUTES,
    *DEVICE_ROUTES,
    *SEARCH_ROUTES,
)
