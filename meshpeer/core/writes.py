"""What the core asks the disk to remember: one small record for each kind of row.

The store maps each to a statement and commits a whole list in one transaction, in order. Times
are running seconds: the peer's own clock, which goes on across restarts and knows no wall time.
"""

import json
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from meshpeer.core.chain_writes import ChainWrite
from meshpeer.core.file_writes import FileWrite


class PutBundle(NamedTuple):
    """Hold this bundle; replaces a row of the same id."""

    id: bytes
    wire: bytes
    """Header and sealed payload as they go over a link, with hops and age as received."""
    account: str
    first_seen: float
    received: float
    """When `wire` came, for its age field counts from then."""
    own: bool
    """Made by a person of this peer."""


class TouchBundle(NamedTuple):
    """A copy came with lower age or hops: keep its 49 or more header bytes instead."""

    id: bytes
    header: bytes
    received: float


class DropBundle(NamedTuple):
    """Forget the bytes; what it leaves behind is a PutOver beside it, if any."""

    id: bytes


class PutOver(NamedTuple):
    """Never take this id again before `until`."""

    id: bytes
    until: float
    account: str


class DropOver(NamedTuple):
    """The id's time is up, or the memory of it made room."""

    id: bytes


class PutValue(NamedTuple):
    """Keep and pass on a receipt or recall (16 bytes) until it expires."""

    value: bytes
    expires: float
    account: str


class DropValue(NamedTuple):
    """The value's hours are over, or it made room."""

    value: bytes


class PutCarried(NamedTuple):
    """This neighbour acknowledged the bundle as durable."""

    bundle: bytes
    peer: bytes
    at: float


MESSAGE_COST: Final = 256
"""Bytes that a message counts for beside its text: rows and indexes, or empty ones cost nothing."""


class Box(IntEnum):
    """Where a message lies."""

    INBOX = 0
    REQUESTS = 1
    OUTBOX = 2


class DeliveryState(IntEnum):
    """What the sender knows of one bundle; only rises to ARRIVED, which is final."""

    QUEUED = 0
    CARRIED = 1
    RECALL_ASKED = 2
    DROPPED = 3
    """Gone from the queue here for want of room before any neighbour had it."""
    EXPIRED = 4
    ARRIVED = 5
    """Durable on the receiver's device."""


class PutMessage(NamedTuple):
    """A message written here or opened here; `message_id` and sender are unique together."""

    message_id: bytes
    box: Box
    person: bytes
    """The person of this peer who wrote it or whom it is for."""
    contact: bytes
    """The other person."""
    text: str
    kind: str
    lamport: int
    written: int
    """Wall time in seconds as the writer's clock had it: a hint."""
    stored: float
    """Running seconds here."""
    stored_wall: int
    """Wall time here: a hint."""
    lifetime: int
    reply_to: bytes | None


class SetRead(NamedTuple):
    """The person saw the message, or marked it unread again."""

    message_id: bytes
    contact: bytes
    read: bool


class MoveMessage(NamedTuple):
    """Put a message into another box: a request was accepted."""

    message_id: bytes
    contact: bytes
    box: Box


class EraseMessage(NamedTuple):
    """Drop a message for good; that it was once shown stays known (PutSeen)."""

    message_id: bytes
    contact: bytes
    sent: bool | None = None
    """Only the outbox's, only a received one, or (None) both: a contact may copy our id."""


class PutDelivery(NamedTuple):
    """One bundle of a message: to one device of the receiver."""

    message_id: bytes
    bundle: bytes
    device: bytes
    """The receiving device's sealing key."""
    receipt: bytes
    """r: whoever shows it has opened the seal."""
    expires: float
    priority: int = 1


class SetDelivery(NamedTuple):
    """The sender knows more of a bundle now."""

    bundle: bytes
    state: DeliveryState
    at: float


class PutSeen(NamedTuple):
    """This message of this sender was stored once and is never to be shown again."""

    sender: bytes
    message_id: bytes
    at: float


class PutContact(NamedTuple):
    """A person known here, whole; replaces the row of the same person."""

    person: bytes
    card: bytes
    nickname: str
    petname: str | None
    status: str
    """'contact', 'stranger' (wrote a request) or 'blocked'."""
    verified: bool
    introduced: bool
    """A receipt or a message shows that this person holds our card."""
    since: int


class DropContact(NamedTuple):
    """Forget a person."""

    person: bytes


class PutSetting(NamedTuple):
    """A named value of this peer's own state, such as a Lamport counter."""

    name: str
    value: bytes


class PutPeer(NamedTuple):
    """A peer and a path by which it was reached, or was configured to be."""

    peer: bytes
    transport: str
    address: str
    configured: bool
    last_up: float


class DropPeer(NamedTuple):
    """Forget a peer's paths."""

    peer: bytes


class PutContactTime(NamedTuple):
    """A link to `peer` was up from `start` to `end`, running seconds; routing learns from it."""

    peer: bytes
    start: float
    end: float
    transport: str


class PutEvent(NamedTuple):
    """One step of the history that every client of the API sees, without gaps."""

    kind: str
    body: str
    """JSON."""

    @classmethod
    def of(cls, kind: str, /, **body: object) -> "PutEvent":
        """Make the event of this kind with these fields, which are ready for JSON."""
        return cls(kind, json.dumps(body))


Write: TypeAlias = (
    PutBundle
    | TouchBundle
    | DropBundle
    | PutOver
    | DropOver
    | PutValue
    | DropValue
    | PutCarried
    | PutMessage
    | SetRead
    | MoveMessage
    | EraseMessage
    | PutDelivery
    | SetDelivery
    | PutSeen
    | PutContact
    | DropContact
    | PutSetting
    | PutPeer
    | DropPeer
    | PutContactTime
    | PutEvent
    | ChainWrite
    | FileWrite
)
