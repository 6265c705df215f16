"""What files need to know of what is stored here, and what they take up again at a start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from meshpeer.core.file_writes import PutFetch, PutFile


class Held(NamedTuple):
    """A file of which something is here."""

    file: bytes
    size: int
    complete: bool


class Shelf(Protocol):
    """Plain look-ups, each fast enough to be asked a thousand times a second."""

    def held(self, tag: bytes) -> Held | None:
        """The file that goes by this want tag, if its manifest is here."""

    def manifest(self, file: bytes) -> bytes | None:
        """Root and pages of a file, one behind the other."""

    def chunk_elsewhere(self, hash: bytes) -> tuple[bytes, int] | None:
        """A file held whole, and the number of its chunk that has this hash."""


@dataclass(frozen=True, slots=True)
class RestoredFiles:
    """What the disk remembers of fetches."""

    fetches: tuple[PutFetch, ...] = ()
    """Those that are neither done nor failed."""
    files: Mapping[bytes, PutFile] = field(default_factory=dict)
    """Of these fetches, what is known of their files."""
