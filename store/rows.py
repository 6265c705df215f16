"""What reads give back: one record for each kind of row, with ids as bytes again.

Times named `*_wall` or `written` are wall seconds and hints; the rest are running seconds.
"""

from typing import NamedTuple

from meshpeer.core.writes import Box, DeliveryState


class HeldRow(NamedTuple):
    """A bundle held, without its payload."""

    id: bytes
    header: bytes
    size: int
    """Bytes of header and payload."""
    account: str
    first_seen: float
    received: float
    own: bool


class OverRow(NamedTuple):
    """An id that is not to be taken again before `until`."""

    id: bytes
    until: float
    account: str


class ValueRow(NamedTuple):
    """A receipt or recall to pass on."""

    value: bytes
    expires: float
    account: str


class CarriedRow(NamedTuple):
    """A neighbour that acknowledged a bundle held here."""

    bundle: bytes
    peer: bytes
    at: float


class MessageRow(NamedTuple):
    """A message; `number` only grows, is never given twice, and is the cursor of lists."""

    number: int
    message_id: bytes
    box: Box
    person: bytes
    contact: bytes
    text: str
    kind: str
    lamport: int
    written: int
    stored: float
    stored_wall: int
    lifetime: int
    reply_to: bytes | None
    read: bool


class DeliveryRow(NamedTuple):
    """One bundle of a message of ours."""

    number: int
    """Of the message."""
    message_id: bytes
    contact: bytes
    bundle: bytes
    device: bytes
    receipt: bytes
    expires: float
    priority: int
    state: DeliveryState
    at: float | None
    """When it came into this state; None while it never left the first."""


class CarrierRow(NamedTuple):
    """A neighbour that acknowledged our bundle as durable; known after the bundle is gone."""

    bundle: bytes
    peer: bytes
    at: float


class ContactRow(NamedTuple):
    """A person known here."""

    person: bytes
    card: bytes
    nickname: str
    petname: str | None
    status: str
    verified: bool
    introduced: bool
    """A receipt or a message shows that this person holds our card."""
    since: int


class PathRow(NamedTuple):
    """A path by which a peer was reached, or was configured to be."""

    peer: bytes
    transport: str
    address: str
    configured: bool
    last_up: float


class ContactTimeRow(NamedTuple):
    """A link to `peer` was up from `start` to `end`."""

    peer: bytes
    start: float
    end: float
    transport: str


class EventRow(NamedTuple):
    """One step of the history; `seq` has no gaps."""

    seq: int
    kind: str
    body: str


class Counts(NamedTuple):
    """The store in numbers."""

    unread: int
    requests: int
    underway: int
    """Messages of ours that arrived nowhere yet and whose time is not over."""
    contacts: int
