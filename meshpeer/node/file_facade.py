"""What programs may ask about files: publishing, fetching, reading, mirroring.

A part of the facade (see facade.py for how things are named). Paths are of this machine and
absolute: the peer and who asks it share a disk.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from meshpeer.node.chain_facade import Record
from meshpeer.node.facade_types import Page, Who

FetchState: TypeAlias = Literal["waiting", "fetching", "paused", "done", "failed"]


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file or a folder to publish."""

    path: str
    name: str | None = None
    media_type: str | None = None
    tags: list[str] = []
    description: str = ""
    language: str = ""
    hidden: bool = False
    """Of a folder: files whose names begin with a dot, too."""
    watch: bool = False
    """Of a folder: publish it again whenever it changes."""
    sender: str | None = None


class Gathering(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files that others published, to be published as a collection of one's own."""

    name: str
    records: list[str | int]
    tags: list[str] = []
    description: str = ""
    sender: str | None = None


class LeftOut(msgspec.Struct, frozen=True):
    """A file of a folder that was not published."""

    path: str
    """In the folder."""
    why: str


class Published(msgspec.Struct, frozen=True):
    """What was published: one record, of a file or a collection."""

    record: Record
    file: str
    files: int
    bytes: int
    hashed: int
    """Bytes that had to be read; the others were known by path, size and time."""
    left_out: list[LeftOut] = []
    """The first of them, if there are many."""
    unchanged: bool = False
    """The very same was said before: this is the record that says it, and none was made."""


class Reading(msgspec.Struct, frozen=True):
    """A file or folder that is being read, so that it can be published or sent."""

    path: str
    done: int
    total: int
    """Bytes; 0 while it waits for its turn."""


class Watched(msgspec.Struct, frozen=True):
    """A folder that is published whenever it changes."""

    directory: str
    collection: str
    person: Who


class HeldFile(msgspec.Struct, frozen=True):
    """A file whose bytes are here, whole or in part."""

    file: str
    size: int
    held: int
    paths: list[str]
    sealed: bool
    """Whether others get it sealed: it goes, or came, with a message."""


class FileInfo(msgspec.Struct, frozen=True):
    """What is known of one file."""

    file: str
    size: int
    held: int
    holders: int
    """Neighbours that hold it, whole or in part, now."""
    name: str
    media_type: str
    records: list[Record]


class NewFetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to fetch: a record (number or id) or a file's id; and where to put it."""

    what: str
    to: str | None = None
    """A path: a folder, or what the file is to be called."""
    priority: int = 0
    in_order: bool = False
    """From the beginning on, for somebody who watches or listens meanwhile."""
    slow: bool = False
    """By a slow link too, such as a radio modem, however long it keeps that busy."""
    patience_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 10.0
    """How long to wait for the list of a collection's files, if that isn't here."""


class Fetch(msgspec.Struct, frozen=True):
    """A file that was asked for, and how far it is."""

    file: str
    name: str
    size: int
    held: int
    state: FetchState
    why: str
    rate: float
    """Bytes a second."""
    sources: int
    left_s: float | None
    priority: int
    path: str | None
    """Where it lies, once it is done."""
    want: bool
    """Whether a want for it travels with the queue."""


class FetchChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a fetch."""

    paused: bool | None = None
    priority: int | None = None


class NewMirror(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A collection to keep a folder equal to."""

    who: str
    collection: str
    directory: str
    grace_s: int | None = None


class Mirror(msgspec.Struct, frozen=True):
    """A folder that is kept equal to a collection."""

    directory: str
    person: Who
    collection: str
    grace_s: int
    current: bool
    """Whether the folder equals the newest record heard of."""
    files: int
    missing: int
    why: str


class Content(NamedTuple):
    """A part of a file's bytes, as they come."""

    size: int
    media_type: str
    name: str
    chunks: AsyncIterator[bytes]


class FilesFacade(Protocol):
    """Files of a running peer. What returns has happened and is durable."""

    async def publish(self, new: Publication) -> Published:
        """Publish a file or a folder where it lies; no copy is made."""
        ...

    async def gather(self, new: Gathering) -> Published:
        """Publish the files of these records as a collection, without having their bytes."""
        ...

    async def readings(self) -> list[Reading]:
        """Say how far those are that are being read now, to be published or sent."""
        ...

    async def call_off(self, path: str) -> None:
        """Read this no more; what was to be published or sent with it is not."""
        ...

    async def watched(self) -> list[Watched]:
        """List the folders that are published when they change."""
        ...

    async def unwatch(self, directory: str) -> None:
        """Publish this folder no more; what was published stays so."""
        ...

    async def files(self, after: str | None, limit: int) -> Page[HeldFile]:
        """List files held here."""
        ...

    async def file(self, what: str, *, probe: bool = True) -> FileInfo:
        """Give what is known of a file; with `probe` also how many neighbours hold it now."""
        ...

    async def fetch(self, new: NewFetch) -> list[Fetch]:
        """Begin to fetch a file, or all files of a collection or a post."""
        ...

    async def fetches(self, after: str | None, limit: int) -> Page[Fetch]:
        """List what was asked for."""
        ...

    async def one_fetch(self, file: str) -> Fetch:
        """Say how far a fetch is."""
        ...

    async def change_fetch(self, file: str, change: FetchChange) -> Fetch:
        """Pause it, let it go on, or change its place in the row."""
        ...

    async def cancel_fetch(self, file: str) -> None:
        """Ask for it no more, and drop what has come."""
        ...

    async def content(self, what: str, first: int, last: int | None) -> Content:
        """Give bytes `first` to `last` of a file, held or not, as they arrive."""
        ...

    async def mirror(self, new: NewMirror) -> Mirror:
        """Keep a folder equal to a collection from now on."""
        ...

    async def mirrors(self) -> list[Mirror]:
        """List the mirrors."""
        ...

    async def unmirror(self, directory: str) -> None:
        """Leave the folder as it is from now on."""
        ...
