"""What the queue knows of a held bundle: a packed record, and the view that rules read.

Of 100,000 bundles the index has to stay below 45 MB, so a record is 72 packed bytes. An Entry is
made from it when somebody asks (1 us).
"""

from math import ceil
from struct import Struct
from typing import Final, NamedTuple

from meshpeer.core.formats.bundle import Header, Priority

_RECORD: Final = Struct(">16s16sBBBIIIddI?B")


class Entry(NamedTuple):
    """One held bundle as it stands."""

    id: bytes
    tag: bytes
    receipt_hash: bytes
    priority: int
    hop_limit: int
    hops: int
    lifetime: int
    hour: int
    size: int
    """Bytes of the wire."""
    born: float
    """Running seconds at age 0; by what carriers said, so a hint."""
    first_seen: float
    payer: int
    """Number of the account's ledger."""
    own: bool
    """Made by a person of this peer."""
    suite: int = 1
    extensions: bytes = b""
    copies: int = 0
    """How many neighbours are known to have it."""

    @classmethod
    def of(
        cls,
        id: bytes,
        header: Header,
        size: int,
        payer: int,
        first_seen: float,
        received: float,
        *,
        own: bool,
    ) -> "Entry":
        """The entry of a bundle that came at `received` with this header."""
        return cls(
            id,
            header.tag,
            header.receipt_hash,
            header.priority,
            header.hop_limit,
            header.hops,
            header.lifetime,
            header.hour,
            size,
            min(received - header.age, first_seen),
            first_seen,
            payer,
            own,
            header.suite,
            header.extensions,
        )

    @classmethod
    def unpack(cls, id: bytes, record: bytes, copies: int) -> "Entry":
        """What `pack` gave."""
        fields = _RECORD.unpack_from(record)
        return cls._make((id, *fields, record[_RECORD.size :], copies))

    def pack(self) -> bytes:
        """All but the id and the copies."""
        return _RECORD.pack(*self[1:-2]) + self.extensions

    @property
    def deadline(self) -> float:
        """When it expires: never later than its lifetime after our first sight."""
        return self.born + self.lifetime

    @property
    def exhausted(self) -> bool:
        """It may not travel on."""
        return self.hops >= self.hop_limit

    def header(self, hops: int, now: float) -> Header:
        """The header of its wire, as the next carrier is to see it."""
        header = Header(
            Priority(self.priority),
            self.hop_limit,
            self.tag,
            self.receipt_hash,
            self.lifetime,
            self.hour,
            extensions=self.extensions,
            suite=self.suite,
        )
        return header.with_hops_and_age(hops, self.age(now))

    def age(self, now: float) -> int:
        """Whole seconds, rounded up."""
        return max(0, ceil(now - self.born))
