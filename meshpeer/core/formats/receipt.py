"""Receipts and recalls: 16-byte values that anybody can check against a bundle's header.

    header h = H(H(r))      H(H(v)) == h: v is the receipt, so the bundle was opened and stored
                            H(v) == h:    v = H(r) is the recall, so its sender wants it dropped

The two are one set of values; which of them a value is shows only beside its bundle. Each travels
with the whole hours that it has left:

    0..16   value
    16..18  hours left, 1 to 840; it only falls, and at 0 the value goes
"""

from collections.abc import Iterable
from enum import Enum
from struct import Struct
from typing import Final, NamedTuple

from meshpeer.core.identity.preimage import VALUE_SIZE, one_way
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

MAX_HOURS: Final = 840

_ENTRY: Final = Struct(f">{VALUE_SIZE}sH")
ENTRY_SIZE: Final = _ENTRY.size


class Meaning(Enum):
    """What a value says of a bundle."""

    RECEIPT = "receipt"
    RECALL = "recall"


def value_hashes(value: bytes) -> tuple[bytes, bytes]:
    """Give (H(v), H(H(v))): the headers that v is the recall of, and the receipt of."""
    once = one_way(value)
    return once, one_way(once)


def meaning(value: bytes, receipt_hash: bytes) -> Meaning | None:
    """Say what a value is to the bundle whose header has this hash; None if nothing."""
    recalls, receipts = value_hashes(value)
    if receipts == receipt_hash:
        return Meaning.RECEIPT
    return Meaning.RECALL if recalls == receipt_hash else None


class ValueEntry(NamedTuple):
    """A value and the hours it has left, as they go over a link."""

    value: bytes
    hours: int


def pack_entries(entries: Iterable[ValueEntry]) -> bytes:
    """Write entries one after the other; LocalProtocolError if one can't be said."""
    return b"".join(_pack(*entry) for entry in entries)


def _pack(value: bytes, hours: int) -> bytes:
    if len(value) != VALUE_SIZE or not 1 <= hours <= MAX_HOURS:
        raise LocalProtocolError(f"a value of {len(value)} bytes with {hours} hours left")
    return _ENTRY.pack(value, hours)


def parse_entries(data: bytes) -> list[ValueEntry]:
    """Read entries up to the end of `data`, or raise RemoteProtocolError."""
    if len(data) % ENTRY_SIZE:
        raise RemoteProtocolError("values", f"{len(data)} bytes, an entry has {ENTRY_SIZE}")
    entries = [ValueEntry(*fields) for fields in _ENTRY.iter_unpack(data)]
    for entry in entries:
        if not 1 <= entry.hours <= MAX_HOURS:
            raise RemoteProtocolError("hours", f"{entry.hours}, not 1 to {MAX_HOURS}")
    return entries
