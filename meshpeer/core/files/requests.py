"""What files ask of the library, which has the disk: each answered by `Files.done`.

The core never touches a disk. Whatever stands here is done in any order: what has to follow
something else (a Flush its writes, a Finish its Flush) is asked for once that was answered. The answer is the bytes (of a ReadChunk that could be read), None (it is done; of a
ReadChunk: nothing can be read there any more), or a StoreError that says why in words for people;
StoreFullError where room is what lacks.
"""

from dataclasses import dataclass
from typing import TypeAlias

from meshpeer.errors import StoreError


class Damaged(StoreError):
    """Answers a Finish or a RepeatChunk: what lies in the partial file is not what was written
    there."""

    def __init__(self, chunks: list[int]) -> None:
        super().__init__(f"{len(chunks)} chunks were damaged on the disk and come again")
        self.chunks = chunks
        """These have to come again."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadChunk:
    """Give this chunk of a file held here, in part or whole, checked against its manifest."""

    file: bytes
    index: int
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class WriteChunk:
    """Put these bytes, which were checked, into the partial file."""

    file: bytes
    index: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class CopyChunk:
    """Put an equal chunk of another file held here into the partial file, checked again."""

    file: bytes
    index: int
    offset: int
    size: int
    hash: bytes
    source: bytes
    source_index: int


@dataclass(frozen=True, slots=True, eq=False)
class RepeatChunk:
    """Put a chunk that lies in the partial file at these places of it, too."""

    file: bytes
    index: int
    indices: tuple[int, ...]
    step: int
    """From the place of one chunk to that of the next."""
    size: int
    hash: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Flush:
    """Make durable what was written of the partial file."""

    file: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Finish:
    """All chunks are there and durable: bring the file to its place."""

    file: bytes


Request: TypeAlias = ReadChunk | WriteChunk | CopyChunk | RepeatChunk | Flush | Finish
