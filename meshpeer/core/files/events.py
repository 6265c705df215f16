"""What files report."""

from typing import NamedTuple, TypeAlias


class Progress(NamedTuple):
    """How far a fetch has come."""

    have: int
    """Bytes that are here."""
    size: int
    """-1 while nobody knows."""
    rate: float
    """Bytes a second that came of late."""
    sources: int
    """Neighbours that hold something of it that lacks here, or brought some of it just now."""
    eta: float | None
    """Seconds left at this rate; None if it can't be told."""
    state: str
    why: str


class FetchProgress(NamedTuple):
    """A fetch went on, stopped or began; at most twice a second for each file."""

    file: bytes
    progress: Progress


class ChunkCame(NamedTuple):
    """A chunk of a file that somebody watches can be read now."""

    file: bytes
    chunk: int


class FileComplete(NamedTuple):
    """All of the file is here and durable."""

    file: bytes
    size: int


class FetchFailed(NamedTuple):
    """The file can't be had as it was asked for."""

    file: bytes
    why: str


class FetchBegun(NamedTuple):
    """Somebody here asks for the file."""

    file: bytes


class FetchCancelled(NamedTuple):
    """Nobody here asks for the file any more."""

    file: bytes


class HolderBanned(NamedTuple):
    """What this neighbour gave isn't what the file's id says: it is not asked for it again."""

    file: bytes
    peer: bytes
    why: str


class HoldersCounted(NamedTuple):
    """So many neighbours hold the whole file or a part of it now."""

    file: bytes
    holders: int


Event: TypeAlias = (
    FetchProgress
    | ChunkCame
    | FileComplete
    | FetchFailed
    | FetchBegun
    | FetchCancelled
    | HolderBanned
    | HoldersCounted
)
