"""What chains look up on the disk, and what they start from: the store implements both.

A million blocks lie in the store, not in memory; the core knows of each log only its shape (see
log.py) and asks here for the rest. All look-ups are plain and see what is committed.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from meshpeer.core.chain_writes import PutAuthor, PutFollow, PutFork, PutLog
from meshpeer.core.formats.card import Card
from meshpeer.core.identity.keys import DeviceKey


class ChainArchive(Protocol):
    """The blocks on the disk."""

    def block_id(self, device: bytes, log: bytes, sequence: int) -> bytes | None:
        """The id of a block held."""
        ...

    def header(self, id: bytes) -> bytes | None:
        """The header of a block held."""
        ...

    def body(self, id: bytes) -> bytes | None:
        """The body of a block, if it is held."""
        ...

    def withdrawn(self, target: bytes) -> AbstractSet[bytes]:
        """The persons who withdrew this block (PutWithdrawn), also one not held."""
        ...

    def count_withdrawn(self, person: bytes) -> int:
        """How many blocks this person withdrew."""
        ...

    def log_blocks(
        self, device: bytes, log: bytes, first: int, last: int, limit: int
    ) -> Sequence[tuple[bytes, bytes | None]]:
        """Header and body of the blocks first..last (both included), newest first, at most
        `limit`; sequences that aren't held are left out."""
        ...

    def log_sizes(
        self, device: bytes, log: bytes, first: int, last: int
    ) -> Sequence[tuple[int, int]]:
        """Sequence and bytes (of header and body held) of the blocks first..last, ascending."""
        ...


class RestoredChains(NamedTuple):
    """What the disk held when the peer started."""

    logs: Sequence[PutLog] = ()
    authors: Sequence[PutAuthor] = ()
    follows: Sequence[PutFollow] = ()
    forks: Sequence[PutFork] = ()
    new_log: bool = False
    """The state came from a backup or another machine: whoever lives here goes on in new logs."""


class OwnLike(Protocol):
    """What chains need of a person who lives here (core.mail.people.Own)."""

    @property
    def card(self) -> Card: ...
    @property
    def device(self) -> DeviceKey: ...
    @property
    def person(self) -> bytes: ...


class ContactLike(Protocol):
    """What chains need of somebody known here (core.mail.people.Contact)."""

    @property
    def card(self) -> Card: ...
    @property
    def person(self) -> bytes: ...
    @property
    def status(self) -> str: ...


class PeopleLike(Protocol):
    """What chains need of core.mail.people.People, which lies above them."""

    @property
    def own(self) -> Mapping[bytes, OwnLike]: ...
    @property
    def changes(self) -> int: ...
    def __iter__(self) -> Iterator[ContactLike]: ...
    def get(self, person: bytes) -> ContactLike | None: ...
