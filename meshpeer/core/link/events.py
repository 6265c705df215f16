"""What an endpoint reports."""

from typing import NamedTuple, TypeAlias

from meshpeer.core.link.link import Link


class LinkUp(NamedTuple):
    """The peer has proved itself; streams may be used."""

    link: Link


class LinkDown(NamedTuple):
    """Nothing goes or comes by this link any more."""

    link: Link
    reason: str


class Readable(NamedTuple):
    """Bytes came on a stream of which all had been read, or it ended."""

    link: Link
    stream: int


class Writable(NamedTuple):
    """A stream that had much waiting has little now."""

    link: Link
    stream: int


Event: TypeAlias = LinkUp | LinkDown | Readable | Writable
