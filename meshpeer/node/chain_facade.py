"""What programs may ask about chains: posts, timelines, whom one follows, profiles, labels.

A part of the facade (see facade.py for how things are named). A record is named by its number, as
lists show it, or by the id text of its block; a file by its id text.
"""

from typing import Literal, Protocol, TypeAlias

import msgspec

from meshpeer.node.facade_types import Page, Who

RecordKind: TypeAlias = Literal[
    "post", "file", "collection", "profile", "follow", "label", "withdraw", "other"
]
Why: TypeAlias = Literal["own", "followed", "contact", "near", "muted", "none"]
"""Why a chain is kept; `near`: a contact follows it."""
About: TypeAlias = Literal["block", "person", "file"]


class FileRef(msgspec.Struct, frozen=True):
    """A file that a record or a message brings."""

    file: str
    name: str
    size: int
    media_type: str
    held: bool
    """Whether all of it is on this disk."""


class Record(msgspec.Struct, frozen=True):
    """What somebody published: one block of a chain."""

    number: int
    id: str
    kind: RecordKind
    author: Who
    own: bool
    written: int
    """By the author's clock: a hint."""
    received: int
    """Wall seconds here."""
    name: str
    text: str
    tags: list[str]
    language: str
    reply_to: str | None = None
    """The id of the record that it answers."""
    target: str | None = None
    """What a label, a follow or a withdrawal is about."""
    target_who: Who | None = None
    """The same, where it is a person."""
    target_number: int | None = None
    """The same, where it is a record that is here, or a file that one publishes."""
    files: list[FileRef] = []
    rating: int | None = None
    """A label's, from -2 to 2."""
    warning: str = ""
    total: int = 0
    """Bytes of all files of a collection."""
    members: int = 0
    """How many these are; `files` has only the list of them."""
    withdrawn: bool = False
    """Whether its author took back what it said: then nothing of that is here."""


class Post(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something to say to everybody who follows."""

    text: str
    reply_to: str | None = None
    tags: list[str] = []
    language: str = ""
    attach: list[str] = []
    """Paths of files on this machine that go with it."""
    sender: str | None = None


class Profile(msgspec.Struct, frozen=True):
    """What a person says of itself, and what is known of its chain."""

    person: Who
    about: str
    avatar: str | None
    follows: bool
    """Whether it is followed from here."""
    why: Why
    devices: int
    records: int
    """Blocks held of its chain."""
    bytes: int
    """What they count for, of the allowance of a person."""
    forked: list[str]
    """Logs that were frozen, each with its proof kept."""
    unjoined: list[str]
    """Logs of which nothing shows yet that what came newest and what was held before belong
    together: some between lacks, and no neighbour has proved it."""
    card: str | None
    """To add it as a contact."""


class NewProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to say of oneself."""

    about: str | None = None
    avatar: str | None = None
    """A path of a picture on this machine; empty removes it."""
    sender: str | None = None


class Followed(msgspec.Struct, frozen=True):
    """Somebody whose chain is kept here."""

    person: Who
    why: Why
    records: int
    """Blocks held of its chain."""
    joined: bool
    """All that is held of each of its logs was shown to be of one history, though some may lack."""


class NewLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signed opinion that others may choose to heed."""

    target: str
    """A record (number or id), a person, or a file's id."""
    about: About = "block"
    rating: int | None = None
    """From -2 to 2."""
    warning: str = ""
    text: str = ""
    sender: str | None = None


class ChainsFacade(Protocol):
    """Chains of a running peer. What returns has happened and is durable."""

    async def post(self, new: Post) -> Record:
        """Publish a post."""
        ...

    async def timeline(
        self, after: str | None, limit: int, *, who: str | None, kinds: list[str]
    ) -> Page[Record]:
        """List records, newest first: of all whose chains are kept here, or of one person."""
        ...

    async def record(self, which: str) -> Record:
        """Give one record."""
        ...

    async def withdraw(self, which: str) -> Record:
        """Take back a record of one's own: followers drop what it said."""
        ...

    async def follow(self, who: str, *, quietly: bool) -> Followed:
        """Keep this person's chain here; say so in one's own chain unless `quietly`."""
        ...

    async def unfollow(self, who: str, *, quietly: bool) -> None:
        """Keep it no more; a contact's is not asked for any more either."""
        ...

    async def follows(self, after: str | None, limit: int) -> Page[Followed]:
        """List whose chains are kept here, and why."""
        ...

    async def profile(self, who: str | None) -> Profile:
        """Give what a person says of itself; one's own for None."""
        ...

    async def set_profile(self, new: NewProfile) -> Profile:
        """Publish what is said of oneself."""
        ...

    async def label(self, new: NewLabel) -> Record:
        """Publish an opinion."""
        ...
