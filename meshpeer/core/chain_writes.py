"""What chains ask the disk to remember: blocks, logs, authors, and what is searched for.

As in core/writes.py, whose union these are part of.
"""

from typing import NamedTuple, TypeAlias


class Item(NamedTuple):
    """What of a record can be searched for and shown in lists; the store knows no records."""

    kind: str
    """'post', 'file', 'collection', 'profile', 'label', …"""
    name: str
    text: str
    """All words that should be found, but for the name and the tags."""
    tags: tuple[str, ...] = ()
    language: str = ""
    media_type: str = ""
    size: int = 0
    file: bytes | None = None
    """The id of the file that the record publishes (of a collection: its listing)."""
    target: bytes | None = None
    """What the record is about: a block, a person or a file."""
    written: int = 0
    """Wall seconds as the author's clock had it: a hint."""


class PutBlock(NamedTuple):
    """Hold this block, which was checked in full; a block of the same id gets this body."""

    id: bytes
    person: bytes
    device: bytes
    log: bytes
    sequence: int
    lamport: int
    """Where it stands in timelines; below the header's where that can't be true."""
    header: bytes
    body: bytes | None
    received: float
    """Running seconds."""
    received_wall: int
    item: Item | None
    """None for what nobody searches for; it goes when the body goes."""


class DropBody(NamedTuple):
    """Forget what a block says; its header stays."""

    id: bytes


class PutLog(NamedTuple):
    """A log as the core knows it, whole; replaces the row of the same log."""

    device: bytes
    log: bytes
    person: bytes
    height: int
    """The highest sequence held."""
    state: bytes
    """What the core has to know again at a restart: opaque here."""


class DropLog(NamedTuple):
    """Forget a log with all its blocks and items."""

    device: bytes
    log: bytes


class CutLog(NamedTuple):
    """Forget the blocks of a log outside first..last (both kept), with their items.

    A revocation cuts at the end, a full allowance at the beginning."""

    device: bytes
    log: bytes
    first: int
    last: int


class PutFork(NamedTuple):
    """Two headers that no honest log holds both: the proof that froze it."""

    person: bytes
    device: bytes
    log: bytes
    one: bytes
    other: bytes


class PutAuthor(NamedTuple):
    """The newest card of a person whose logs or records are held."""

    person: bytes
    card: bytes


class DropAuthor(NamedTuple):
    """Nothing of this person is held any more."""

    person: bytes


class PutFollow(NamedTuple):
    """Whom a person here follows, or wants nothing of though it is a contact ('muted')."""

    person: bytes
    how: str
    since: int
    """Wall seconds: a hint."""


class DropFollow(NamedTuple):
    """Back to what the person's being a contact, or not, says."""

    person: bytes


class PutWithdrawn(NamedTuple):
    """This person withdrew that block, which may not have come yet."""

    target: bytes
    person: bytes


class DropWithdrawn(NamedTuple):
    """Forget what this person withdrew and isn't held."""

    person: bytes


class PutStanding(NamedTuple):
    """A search that goes on: who asked is told of each new hit."""

    name: str
    query: bytes
    """`Question.to_bytes`, as neighbours are asked."""
    seen: int
    """The number of the last item that was looked at."""


class PutHeed(NamedTuple):
    """Whether the labels of a person count here, said by whoever lives here."""

    person: bytes
    heeded: bool


class DropStanding(NamedTuple):
    """End a standing search."""

    name: str


ChainWrite: TypeAlias = (
    PutBlock
    | DropBody
    | PutLog
    | DropLog
    | CutLog
    | PutFork
    | PutAuthor
    | DropAuthor
    | PutFollow
    | DropFollow
    | PutWithdrawn
    | DropWithdrawn
    | PutStanding
    | DropStanding
    | PutHeed
)
