"""What files ask the disk to remember: manifests, places, parts, fetches, wants, mirrors.

As in core/writes.py, whose union these are part of. The bytes of large files lie in ordinary
files, which the node writes; here is what is known of them.
"""

from typing import NamedTuple, TypeAlias


class PutFile(NamedTuple):
    """A file known here, whole; replaces the row of the same id."""

    id: bytes
    tag: bytes
    """`want_tag(id)`: how others ask for it without naming it."""
    size: int
    manifest: bytes
    """Root and pages, one behind the other; empty while not known."""
    have: bytes | None
    """A bit for each chunk that is durable here; None once all are."""


class DropFile(NamedTuple):
    """Forget a file with its places, blob and chunks; the ordinary files stay."""

    id: bytes


class PutPlace(NamedTuple):
    """An ordinary file that holds the bytes of a file; one file may lie in many places."""

    path: str
    file: bytes
    mtime_ns: int
    size: int
    """Of the ordinary file, as its mtime: if either differs, it is not the same file any more."""
    key: bytes | None = None
    """If set, the file is this ordinary file sealed chunk by chunk with this key."""
    inode: int = 0
    """Of the ordinary file: another one moved over it may have its size and its mtime."""


class DropPlace(NamedTuple):
    """The ordinary file is gone or says something else now."""

    path: str


class PutBlob(NamedTuple):
    """The bytes of a small file, until they lie in an ordinary file."""

    file: bytes
    data: bytes


class DropBlob(NamedTuple):
    """They do now."""

    file: bytes


class PutChunks(NamedTuple):
    """Where equal chunks are found: the hashes of a file that is held whole, in order."""

    file: bytes
    hashes: bytes


class PutFetch(NamedTuple):
    """A file that somebody here asked for, whole; replaces the row of the same file."""

    file: bytes
    name: str
    target: str
    """Where it goes: a path, or empty for the folder of files."""
    size: int
    """As the record says, -1 where nobody said."""
    state: str
    """'waiting', 'fetching', 'paused', 'done', 'failed'."""
    why: str
    """Why it failed or waits, for people."""
    priority: int
    in_order: bool
    added: int
    key: bytes | None = None
    """If set, what comes is opened with this key before it goes to its place."""
    slow: bool = False
    """It is to come by a slow link too, however long that takes."""


class DropFetch(NamedTuple):
    """Nobody asks for it any more."""

    file: bytes


class PutWant(NamedTuple):
    """A want under way in the queue, so that its answers can be opened after a restart."""

    file: bytes
    bundle: bytes
    private: bytes
    """The one-time sealing key."""
    receipt: bytes
    """The preimage that purges it."""
    expires: float


class DropWant(NamedTuple):
    """The want's time is up, or all that it asked for is here."""

    bundle: bytes


class PutAnswered(NamedTuple):
    """A want that was answered from here, not to be answered again before `until`."""

    bundle: bytes
    """Not the bundle's id: a hash of file and key, the same under any header (answers.py)."""
    until: float


class DropAnswered(NamedTuple):
    """The want is over."""

    bundle: bytes


class PutAttachment(NamedTuple):
    """A file that goes with a message, sent or received."""

    message_id: bytes
    contact: bytes
    sent: bool
    position: int
    file: bytes
    size: int
    """Of the sealed file."""
    name: str
    media_type: str
    key: bytes
    state: str
    """'underway' or 'arrived'."""


class PutWatched(NamedTuple):
    """A folder that is published as a collection whenever it changes."""

    directory: str
    person: bytes
    collection: str
    settings: bytes
    """JSON: tags, description, language."""


class DropWatched(NamedTuple):
    """Publish it no more."""

    directory: str


class PutMirror(NamedTuple):
    """A folder that is kept equal to a collection."""

    directory: str
    person: bytes
    collection: str
    block: bytes | None
    """The record that the folder equals now."""
    grace: int
    """Seconds for which a file that its author deleted is kept aside."""


class DropMirror(NamedTuple):
    """Keep the folder equal no more; its files stay."""

    directory: str


class PutMirrored(NamedTuple):
    """A file that the mirror put into its folder, and how it looked when it did."""

    directory: str
    path: str
    file: bytes
    size: int
    mtime_ns: int


class DropMirrored(NamedTuple):
    """The mirror has no such file any more."""

    directory: str
    path: str


FileWrite: TypeAlias = (
    PutFile
    | DropFile
    | PutPlace
    | DropPlace
    | PutBlob
    | DropBlob
    | PutChunks
    | PutFetch
    | DropFetch
    | PutWant
    | DropWant
    | PutAnswered
    | DropAnswered
    | PutAttachment
    | PutWatched
    | DropWatched
    | PutMirror
    | DropMirror
    | PutMirrored
    | DropMirrored
)
