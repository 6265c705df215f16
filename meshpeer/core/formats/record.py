"""What a block says: one record, as a CBOR map with integers as keys.

    0  kind                            1  written: the author's wall clock in seconds, a hint

    kind             2           3          4        5         6            7         8     9
    1 profile     nickname    about      avatar
    2 post        text        reply to   tags     language  attachments
    3 file        file        size       name     tags      language     descr.    media type
    4 collection  listing     its size   name     tags      language     descr.    files total
    5 withdraw    block
    6 follow      person      following
    7 label       target      about      rating   warning   text
    8 devices     card
    9 key         sealing     number

What is empty is left out, so a record has one form. Keys and kinds that a newer author added are
kept and passed on: an `Unknown` is stored like any other, and shown by nobody.

A record is shown to people, makes file names and is searched for, so names, tags and texts are
checked here, once, before anything is stored. No record says who said it: its block does.

Each class has one table of its fields; reading and writing follow it. What is to be published is
read back before it goes out, so the rules stand once, and what breaks them is a UsageError.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from meshpeer.core.chain_writes import Item
from meshpeer.core.formats.block import BLOCK_ID_SIZE, MAX_BODY
from meshpeer.core.formats.card import MAX_CARD, nickname_fault
from meshpeer.core.formats.cbor import Value, decode, encode
from meshpeer.core.formats.listing import MAX_ENTRIES, MAX_LISTING
from meshpeer.core.formats.manifest import HASH_SIZE, MAX_FILE
from meshpeer.core.formats.message import MAX_WRITTEN
from meshpeer.core.formats.words import (
    language_fault,
    media_type_fault,
    name_fault,
    tags_fault,
    text_fault,
)
from meshpeer.core.identity.noise import check_public
from meshpeer.errors import RemoteProtocolError, UsageError

MAX_TEXT: Final = 16 * 1024
"""Bytes of UTF-8 of a post."""
MAX_DESCRIPTION: Final = 4 * 1024
"""Of what stands beside a file, a collection, a profile or a label."""
MAX_WARNING: Final = 255
MAX_ATTACHMENTS: Final = 16
MAX_RATING: Final = 2
MAX_KIND: Final = 2**32 - 1
MAX_COUNT: Final = 2**53 - 1
"""Of whatever is counted: every JSON holds it."""

_KIND, _WRITTEN = range(2)
_PERSON_SIZE: Final = 32
_TARGETS: Final = frozenset({"block", "person", "file"})
_REQUIRED: Final = object()


class FileRef(NamedTuple):
    """A file that goes with a post."""

    file: bytes
    size: int
    name: str
    media_type: str = ""


Reader: TypeAlias = Callable[[Value, str], Any]


def _bytes(size: int) -> Reader:
    def read(value: Value, name: str) -> bytes:
        if not isinstance(value, bytes) or len(value) != size:
            raise RemoteProtocolError(name, f"not a byte string of {size}")
        return value

    return read


def _number(least: int, most: int) -> Reader:
    def read(value: Value, name: str) -> int:
        if type(value) is not int or not least <= value <= most:
            raise RemoteProtocolError(name, f"not an integer from {least} to {most}")
        return value

    return read


def _string(fault: Callable[[str], str]) -> Reader:
    def read(value: Value, name: str) -> str:
        if not isinstance(value, str):
            raise RemoteProtocolError(name, "not text")
        why = fault(value)
        if why:
            raise RemoteProtocolError(name, why)
        return value

    return read


def _text(most: int) -> Reader:
    return _string(lambda value: text_fault(value, most))


def _boolean(value: Value, name: str) -> bool:
    if not isinstance(value, bool):
        raise RemoteProtocolError(name, "neither true nor false")
    return value


def _about(value: Value, name: str) -> str:
    if not isinstance(value, str) or value not in _TARGETS:
        raise RemoteProtocolError(name, f"not one of {', '.join(sorted(_TARGETS))}")
    return value


def _card(value: Value, name: str) -> bytes:
    if not isinstance(value, bytes) or not 1 <= len(value) <= MAX_CARD:
        raise RemoteProtocolError(name, f"not a byte string of at most {MAX_CARD}")
    return value


def _sealing(value: Value, name: str) -> bytes:
    if not isinstance(value, bytes):
        raise RemoteProtocolError(name, "not a byte string")
    return check_public(value)


def _tags(value: Value, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise RemoteProtocolError(name, "not a list of text")
    tags = tuple(value)
    why = tags_fault(tags)
    if why:
        raise RemoteProtocolError(name, why)
    return tags


_file = _bytes(HASH_SIZE)
_size = _number(0, MAX_FILE)
_name = _string(name_fault)
_media_type = _string(media_type_fault)
_language = _string(language_fault)


def _attachments(value: Value, name: str) -> tuple[FileRef, ...]:
    if not isinstance(value, list) or len(value) > MAX_ATTACHMENTS:
        raise RemoteProtocolError(name, f"not a list of at most {MAX_ATTACHMENTS}")
    return tuple(_attachment(part, name) for part in value)


def _attachment(part: Value, name: str) -> FileRef:
    if not isinstance(part, list) or len(part) != 4:
        raise RemoteProtocolError(name, "one is not [file, size, name, media type]")
    return FileRef(
        _file(part[0], name),
        _size(part[1], name),
        _name(part[2], name),
        _media_type(part[3], name),
    )


class Field(NamedTuple):
    """A line of a record's table: where it stands, what reads it, what it is when left out."""

    key: int
    name: str
    read: Reader
    empty: Any = _REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What all records have: when their author says they were written, and what we don't know."""

    KIND: ClassVar[int]
    FIELDS: ClassVar[tuple[Field, ...]]

    written: int = 0
    unknown: Mapping[int, Value] = field(default_factory=dict, hash=False)
    """What a newer author added."""

    def to_bytes(self) -> bytes:
        """Give the body of a block; UsageError says what a person must change to publish it."""
        parts: dict[int, Value] = {
            **self.unknown,
            _KIND: self.KIND,
            _WRITTEN: max(0, min(self.written, MAX_WRITTEN)),
        }
        for line in self.FIELDS:
            value = getattr(self, line.name)
            if value != line.empty:
                parts[line.key] = value
        return _readable(parts)

    def _check(self) -> None:
        """Raise RemoteProtocolError for what no field shows by itself."""


@dataclass(frozen=True, slots=True)
class Profile(Said):
    """How a person wants to be shown; the newest holds."""

    KIND: ClassVar[int] = 1
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(2, "nickname", _string(nickname_fault)),
        Field(3, "about", _text(MAX_DESCRIPTION), ""),
        Field(4, "avatar", _file, None),
    )

    nickname: str
    about: str = ""
    avatar: bytes | None = None
    """The id of a picture's file."""


@dataclass(frozen=True, slots=True)
class Post(Said):
    """Something written for all who follow."""

    KIND: ClassVar[int] = 2
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(2, "text", _text(MAX_TEXT), ""),
        Field(3, "reply_to", _bytes(BLOCK_ID_SIZE), None),
        Field(4, "tags", _tags, ()),
        Field(5, "language", _language, ""),
        Field(6, "attachments", _attachments, ()),
    )

    text: str
    reply_to: bytes | None = None
    """The block that it answers."""
    tags: tuple[str, ...] = ()
    language: str = ""
    attachments: tuple[FileRef, ...] = ()

    def _check(self) -> None:
        if not self.text and not self.attachments:
            raise RemoteProtocolError("text", "is empty, and nothing is attached")


@dataclass(frozen=True, slots=True)
class File(Said):
    """A file that is published."""

    KIND: ClassVar[int] = 3
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(2, "file", _file),
        Field(3, "size", _size),
        Field(4, "name", _name),
        Field(5, "tags", _tags, ()),
        Field(6, "language", _language, ""),
        Field(7, "description", _text(MAX_DESCRIPTION), ""),
        Field(8, "media_type", _media_type, ""),
    )

    file: bytes
    size: int
    name: str
    media_type: str = ""
    tags: tuple[str, ...] = ()
    description: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Collection(Said):
    """A folder tree that is published; the newest of the same name holds."""

    KIND: ClassVar[int] = 4
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(2, "listing", _file),
        Field(3, "listing_size", _number(1, MAX_LISTING)),
        Field(4, "name", _name),
        Field(5, "tags", _tags, ()),
        Field(6, "language", _language, ""),
        Field(7, "description", _text(MAX_DESCRIPTION), ""),
        Field(8, "files", _number(0, MAX_ENTRIES)),
        Field(9, "total", _number(0, MAX_COUNT)),
    )

    name: str
    listing: bytes
    """The id of the file that holds the listing."""
    listing_size: int
    files: int
    total: int
    """Bytes of all files; as `files` a hint, until the listing is here."""
    tags: tuple[str, ...] = ()
    description: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Withdraw(Said):
    """The wish that one's own block be shown and served no more."""

    KIND: ClassVar[int] = 5
    FIELDS: ClassVar[tuple[Field, ...]] = (Field(2, "target", _bytes(BLOCK_ID_SIZE)),)

    target: bytes


@dataclass(frozen=True, slots=True)
class Follow(Said):
    """Whom its author follows, or follows no more; the newest of a person holds."""

    KIND: ClassVar[int] = 6
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(2, "person", _bytes(_PERSON_SIZE)),
        Field(3, "following", _boolean),
    )

    person: bytes
    following: bool


@dataclass(frozen=True, slots=True)
class Label(Said):
    """An opinion of something, which others may choose to heed; the newest of a target holds.

    One that says nothing takes the opinion back."""

    KIND: ClassVar[int] = 7
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(2, "target", _bytes(32)),
        Field(3, "about", _about),
        Field(4, "rating", _number(-MAX_RATING, MAX_RATING), None),
        Field(5, "warning", _text(MAX_WARNING), ""),
        Field(6, "text", _text(MAX_DESCRIPTION), ""),
    )

    target: bytes
    about: str
    """'block', 'person' or 'file'."""
    rating: int | None = None
    """-2 to 2."""
    warning: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Devices(Said):
    """The author's card with its device list; not read yet: `Card.parse` judges it."""

    KIND: ClassVar[int] = 8
    FIELDS: ClassVar[tuple[Field, ...]] = (Field(2, "card", _card),)

    card: bytes


@dataclass(frozen=True, slots=True)
class Key(Said):
    """A fresh sealing key of the device that signed the block; the highest number holds."""

    KIND: ClassVar[int] = 9
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(2, "sealing", _sealing),
        Field(3, "number", _number(1, MAX_COUNT)),
    )

    sealing: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record of a newer author: kept and passed on."""

    kind: int
    parts: Mapping[int, Value] = field(hash=False)
    """All but the kind and the time."""
    written: int = 0

    def to_bytes(self) -> bytes:
        """Give the body of a block."""
        return _readable({**self.parts, _KIND: self.kind, _WRITTEN: self.written})


Record: TypeAlias = (
    Profile | Post | File | Collection | Withdraw | Follow | Label | Devices | Key | Unknown
)

_KINDS: Final[Mapping[int, Callable[..., Record]]] = {
    kind.KIND: kind
    for kind in (Profile, Post, File, Collection, Withdraw, Follow, Label, Devices, Key)
}
_FIELDS: Final = {
    kind.KIND: kind.FIELDS
    for kind in (Profile, Post, File, Collection, Withdraw, Follow, Label, Devices, Key)
}

_written = _number(0, MAX_WRITTEN)
_kind = _number(0, MAX_KIND)


def parse_record(body: bytes) -> Record:
    """Read what a block says, or raise RemoteProtocolError and nothing else."""
    if len(body) > MAX_BODY:
        raise RemoteProtocolError("record", f"{len(body)} bytes, limit {MAX_BODY}")
    parts: Any = decode(body, "record")
    if type(parts) is not dict or not all(type(key) is int for key in parts):
        raise RemoteProtocolError("record", "not a map with integers as keys")
    kind = _kind(parts.pop(_KIND, None), "kind")
    written = _written(parts.pop(_WRITTEN, None), "written")
    if kind not in _KINDS:
        return Unknown(kind, parts, written)
    values = {line.name: _field(line, parts) for line in _FIELDS[kind]}
    record = _KINDS[kind](**values, written=written, unknown=parts)
    if isinstance(record, Said):
        record._check()
    return record


def _field(line: Field, parts: dict[int, Value]) -> object:
    """Take one field out of the parts, in its one form."""
    if line.key not in parts:
        if line.empty is _REQUIRED:
            raise RemoteProtocolError(line.name, "missing")
        return line.empty
    value = line.read(parts.pop(line.key), line.name)
    if value == line.empty:
        raise RemoteProtocolError(line.name, "empty: to be left out")
    return value


def _readable(parts: dict[int, Value]) -> bytes:
    body = encode(parts)
    try:
        parse_record(body)
    except RemoteProtocolError as error:
        raise UsageError(f"this can't be published: {error}") from error
    return body


def item_of(record: Record) -> Item | None:
    """Give what of a record is searched for and shown in lists; None if nothing is.

    A label's size is its rating, 0 where it has none: so results can be summed up by it."""
    match record:
        case Profile():
            return Item("profile", record.nickname, record.about, written=record.written)
        case Post():
            return _item_of_post(record)
        case File():
            return Item(
                "file",
                record.name,
                record.description,
                record.tags,
                record.language,
                record.media_type,
                record.size,
                record.file,
                written=record.written,
            )
        case Collection():
            return Item(
                "collection",
                record.name,
                record.description,
                record.tags,
                record.language,
                size=record.total,
                file=record.listing,
                written=record.written,
            )
        case Label():
            return Item(
                "label",
                record.warning,
                record.text,
                size=record.rating or 0,
                target=record.target,
                written=record.written,
            )
        case _:
            return None


def _item_of_post(post: Post) -> Item:
    """A post is found by the names of what is attached, and stands for the first of it."""
    first = post.attachments[0] if post.attachments else None
    return Item(
        "post",
        " ".join(attached.name for attached in post.attachments),
        post.text,
        post.tags,
        post.language,
        first.media_type if first else "",
        sum(attached.size for attached in post.attachments),
        first.file if first else None,
        post.reply_to,
        post.written,
    )
