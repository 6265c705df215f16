"""What reads give back of rows that hold more than was written; of others they give the write.

Times named `*_wall` or `written` are wall seconds and hints; the rest are running seconds.
"""

from typing import NamedTuple

from meshpeer.core.chain_writes import Item
from meshpeer.core.writes import Box, DeliveryState


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


class RecordRow(NamedTuple):
    """A block and what it says; `number` only grows and is never given twice."""

    number: int
    id: bytes
    header: bytes
    body: bytes | None
    received_wall: int
    item: Item | None
    lamport: int = 0
    """Where it stands in timelines, if it says something that is shown there."""


class FileRow(NamedTuple):
    """A file known here."""

    number: int
    id: bytes
    tag: bytes
    size: int
    have: bytes | None
    """A bit for each chunk that is durable here; None once all are."""


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
    records: int
    """Blocks of all chains."""
    files: int
