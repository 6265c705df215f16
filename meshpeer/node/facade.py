"""What programs may ask of a running peer: the one interface behind the API.

The API (and so the command line, a page, a bot) knows this Protocol and these types, not the
store's rows or the core's objects, so that either side can change alone. Everything here is
ready for JSON: person and peer ids are id text, message and bundle ids are lower-case hex,
cursors are opaque text. Times that people see are wall seconds and so only hints; spans
(`..._s`) are counted by this peer's own clock.

Two ways to name things, the same everywhere:

    who      a petname (`bob`), an id text, or `~bob`: the only contact or stranger whose own
             nickname is bob. A bare word is never looked up among nicknames.
    which    a message's number as lists show it (`12`), or its id of 32 hex digits.

Every operation raises MeshpeerError subclasses and nothing else: NotFoundError for names and
ids, UsageError for what can't be done as asked, StoreError when the disk says no.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from meshpeer.node.chain_facade import ChainsFacade
from meshpeer.node.device_facade import DeviceFacade
from meshpeer.node.facade_types import PAGE_LIMIT, Page, Who
from meshpeer.node.file_facade import FilesFacade
from meshpeer.node.search_facade import SearchFacade

__all__ = ["PAGE_LIMIT", "Page", "Who"]

DRAFTS_LIMIT: Final = 10_000
"""Messages queued at once."""

BoxName: TypeAlias = Literal["inbox", "requests", "outbox"]
PriorityName: TypeAlias = Literal["bulk", "normal", "expedited"]
StateName: TypeAlias = Literal[
    "queued", "carried", "recall_asked", "dropped", "expired", "arrived"
]
ContactStatus: TypeAlias = Literal["contact", "stranger", "blocked"]
EventKind: TypeAlias = Literal[
    "message",
    "state",
    "erased",
    "read",
    "contact",
    "link",
    "gap",
    "record",
    "fork",
    "fetch",
    "want",
    "attachment",
    "mirror",
    "found",
    "device",
]


class Person(msgspec.Struct, frozen=True):
    """Somebody who lives on this peer."""

    id: str
    nickname: str
    devices: int = 1


class Card(msgspec.Struct, frozen=True):
    """A person's card in both its forms."""

    person: str
    nickname: str
    uri: str
    file: bytes


class Contact(msgspec.Struct, frozen=True):
    """A person known here."""

    id: str
    petname: str | None
    nickname: str
    status: ContactStatus
    verified: bool
    devices: int
    since: int


class Draft(msgspec.Struct, frozen=True):
    """A message to be sent; what is left out is as the configuration says."""

    to: str
    text: str
    lifetime_s: int | None = None
    priority: PriorityName = "normal"
    reply_to: str | None = None
    """The id of the message that this one answers."""
    sender: str | None = None
    """Which of our persons writes; needed only where several live on this peer."""
    attach: list[str] = []
    """Paths of files on this machine that go with it, sealed so that only `to` can open them; a
    folder goes as one tar."""


class Sent(msgspec.Struct, frozen=True):
    """A message that is durable here."""

    id: str
    to: str
    state: StateName


class Carrier(msgspec.Struct, frozen=True):
    """A neighbour that acknowledged a copy as durable, and how long ago."""

    peer: str
    name: str | None
    """The petname, or `~` and the nickname, of a contact who lives there."""
    ago_s: int


class Delivery(msgspec.Struct, frozen=True):
    """What the sender knows of its message. Further copies than `carriers` can't be known."""

    state: StateName
    carriers: list[Carrier]
    remaining_s: int
    priority: PriorityName
    devices: int
    text_arrived: bool
    """The message has *arrived* when its files have, too."""


class Attachment(msgspec.Struct, frozen=True):
    """A file that came or goes with a message."""

    file: str
    name: str
    size: int
    media_type: str
    state: Literal["underway", "arrived"]
    path: str | None
    """Where it lies here, once it is here."""


class Message(msgspec.Struct, frozen=True):
    """A message written or received here; `delivery` is there for the outbox only."""

    number: int
    id: str
    box: BoxName
    person: str
    contact: Who
    text: str
    kind: str
    written: int
    stored: int
    read: bool
    reply_to: str | None = None
    delivery: Delivery | None = None
    attachments: list[Attachment] = []


class PathInfo(msgspec.Struct, frozen=True):
    """A way by which a peer is or was reached; `configured` ones were added by hand."""

    transport: str
    address: str
    configured: bool
    active: bool


class Peer(msgspec.Struct, frozen=True):
    """A peer that is a neighbour now, or is remembered."""

    id: str
    name: str | None
    up: bool
    up_s: int | None
    rtt_ms: float | None
    paths: list[PathInfo]


class Secret(msgspec.Struct, frozen=True):
    """What opens the packets of one direction of a link from now on."""

    connection: str
    """The connection id that they bear."""
    secret: str
    phase: int
    counter: int


class LinkKeys(msgspec.Struct, frozen=True):
    """The keys of a link that is up. Who has them reads along, and could speak for either side."""

    peer: str
    name: str | None
    sent: Secret
    received: Secret


class QueueItem(msgspec.Struct, frozen=True):
    """A bundle held for somebody; what is in it only its receiver can say."""

    id: str
    bytes: int
    priority: PriorityName
    own: bool
    account: str
    hops: int
    hop_limit: int
    age_s: int
    remaining_s: int


class Status(msgspec.Struct, frozen=True):
    """How the peer is doing; `warnings` are sentences for people."""

    version: str
    peer: str
    pid: int
    uptime_s: int
    online: bool
    listening: list[str]
    persons: list[Person]
    neighbours: int
    contacts: int
    unread: int
    requests: int
    underway: int
    """Messages of ours that may still arrive."""
    followed: int
    """Others whose chains are kept here."""
    records: int
    """Blocks of all chains that are here."""
    files: int
    """Files that are here, whole or in part."""
    fetches: int
    """Files that are asked for and not here yet."""
    queue_bundles: int
    queue_bytes: int
    queue_limit_bytes: int
    last_event: str
    """The cursor after which the next event will come."""
    warnings: list[str]
    counters: dict[str, int]


class Event(msgspec.Struct, frozen=True):
    """One step of the history. `body` is a JSON object, by kind:

    message   {"id", "box", "contact": {Who}}             came in or was written
    state     {"id", "state", "peer"?}                    of a message in the outbox
    read      {"id", "read"}
    erased    {"id", "box"}
    contact   {"id", "status"}                            added, renamed, blocked, removed, ...
    link      {"peer", "up", "transport"?, "address"?}
    gap       {}                                          the history before this is gone
    record    {"id", "kind", "author": {Who}, "own"}      a block of a chain came in or was written
    fork      {"person": {Who}, "log"}                    a log was written in two places at once
    fetch     {"file", "state", "path"?, "why"?}          done, failed, paused, ...
    want      {"file", "state", "peer"?}                  sent, carried; answered, handed_on
    attachment {"id", "file", "name", "state"}            a file of a message arrived, here or there
    mirror    {"directory", "state", "why"?}              current, behind
    found     {"name", "id"}                              a standing search has a new hit
    device    {"person": {Who}, "number"}                 somebody's list of devices changed
    """

    cursor: str
    kind: EventKind
    body: str


class Facade(ChainsFacade, FilesFacade, SearchFacade, DeviceFacade, Protocol):
    """A running peer as the API sees it. What returns has happened and is durable."""

    async def status(self) -> Status:
        """Give the whole picture in one answer, cheaply."""
        ...

    async def persons(self) -> list[Person]:
        """List who lives here; the first is the one that acts unless another is named."""
        ...

    async def card(self, person: str | None = None) -> Card:
        """Give the current card of one of our persons, with hints where to find this peer."""
        ...

    async def contacts(self, after: str | None, limit: int) -> Page[Contact]:
        """List everybody known here: contacts, strangers who wrote, blocked ones."""
        ...

    async def contact(self, who: str) -> Contact:
        """Give one of them."""
        ...

    async def add_contact(self, card: str | bytes, petname: str | None) -> Contact:
        """Accept a card, as URI or file bytes; adding a known person takes the newer card."""
        ...

    async def rename_contact(self, who: str, petname: str | None) -> Contact:
        """Set or clear the petname; one petname means one person."""
        ...

    async def verify_contact(self, who: str, verified: bool) -> Contact:
        """Note that the person compared the id text with its owner, or doubts it now."""
        ...

    async def block_contact(self, who: str, blocked: bool) -> Contact:
        """Refuse what this person sends, or take it again."""
        ...

    async def remove_contact(self, who: str) -> None:
        """Forget the person; its messages stay until deleted, it would be a stranger again."""
        ...

    async def send(self, drafts: Sequence[Draft]) -> list[Sent]:
        """Queue all, in this order, or none; an error names the first bad one by its index.

        A peer that is killed before it answers may have queued the first ones.
        """
        ...

    async def messages(
        self,
        box: BoxName,
        after: str | None,
        limit: int,
        *,
        unread: bool,
        who: str | None,
        newest: bool = False,
    ) -> Page[Message]:
        """List a box, oldest or newest first; only unread ones, only of one person, if asked."""
        ...

    async def message(self, which: str) -> Message:
        """Give one message; a received one, should a contact have copied an id of ours."""
        ...

    async def mark_read(self, which: Sequence[str], read: bool) -> None:
        """Mark received messages as read or unread."""
        ...

    async def delete(self, which: Sequence[str]) -> None:
        """Erase messages here; received ones are never shown again, sent ones still go."""
        ...

    async def recall(self, which: str) -> Message:
        """Ask every carrier to drop a message of ours; it may still arrive."""
        ...

    async def accept_request(self, who: str, petname: str | None) -> Contact:
        """Make a stranger a contact; its messages move to the inbox."""
        ...

    async def refuse_request(self, who: str, *, block: bool) -> None:
        """Erase what a stranger wrote; with `block` take nothing from it again."""
        ...

    async def peers(self, after: str | None, limit: int) -> Page[Peer]:
        """List neighbours first, then remembered peers."""
        ...

    async def link_keys(self) -> list[LinkKeys]:
        """Give the keys that open what goes over the links that are up, from now on."""
        ...

    async def add_peer(self, peer: str, address: str) -> Peer:
        """Remember `host:port` (`[v6]:port`) as a udp path to this peer and try it at once."""
        ...

    async def remove_peer(self, peer: str) -> None:
        """Close the link, forget the paths, and don't connect to it unless it is found anew."""
        ...

    async def set_online(self, online: bool) -> Status:
        """False closes every link and sends nothing until True, which tries all paths at once.

        Not stored: a peer starts online.
        """
        ...

    async def queue(self, after: str | None, limit: int) -> Page[QueueItem]:
        """List held bundles by id."""
        ...

    def events(self, after: str | None) -> AsyncIterator[Event]:
        """Give every event after the cursor (None: from now on), then each as it happens.

        Each is durable before it is given. A cursor too old begins with a `gap` event.
        """
        ...
