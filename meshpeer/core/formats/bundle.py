"""The bundle: a clear header of at most 63 bytes, then a sealed payload.

    0       version (4 bits), suite (4 bits)
    1       flags: bits 0 and 1 the priority (0 bulk, 1 normal, 2 expedited), the others 0
    2       hop limit
    3       length of the extensions, 0 to 14
    4..20   destination tag
    20..36  receipt hash
    36..40  lifetime in seconds, 1 to 3,024,000
    40..44  hour of making, by the maker's clock: a hint that only sorts ids
    44      hops so far                               } every carrier rewrites these two;
    45..49  age in seconds                            } they are hints, outside the id
    49..    extensions: type, length, value; each type above the one before
    then    payload, 1 byte to 320 KiB

id = BLAKE2s-256("meshpeer/bundle/1" + bytes 0..44 + extensions + payload)

What the carriers may change stands in one place with the immutable parts on both sides, so an id
is one hash over two slices of the wire, and passing on is one splice. A relay parses thousands a
second: one unpack, a few comparisons, no objects for what nobody asks.

An unknown version is refused, for we can't know where its id ends. An unknown suite only matters
to who opens the seal: it is carried. Extensions of unknown types are kept, being in the id.
"""

from enum import IntEnum
from hashlib import blake2s
from struct import Struct
from typing import Final, NamedTuple

from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import Opened, open_seal
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

VERSION: Final = 1
SUITE_NOISE_X: Final = 1
ID_SIZE: Final = 32
TAG_SIZE: Final = 16
HASH_SIZE: Final = 16
MAX_EXTENSIONS: Final = 14
MAX_LIFETIME: Final = 35 * 86_400
MAX_HOPS: Final = 2**8 - 1
MAX_AGE: Final = 2**32 - 1
MAX_PAYLOAD: Final = 320 * 1024

_HEADER: Final = Struct(f">BBBB{TAG_SIZE}s{HASH_SIZE}sIIBI")
_MUTABLE: Final = Struct(">BI")
_MUTABLE_AT: Final = 44
HEADER_SIZE: Final = _HEADER.size
"""Bytes of a header without extensions."""
MAX_WIRE: Final = HEADER_SIZE + MAX_EXTENSIONS + MAX_PAYLOAD

_ID_START: Final = blake2s(b"meshpeer/bundle/1")


class Priority(IntEnum):
    """What goes first when there is not time for all."""

    BULK = 0
    NORMAL = 1
    EXPEDITED = 2


_PRIORITIES: Final = tuple(Priority)


class Header(NamedTuple):
    """The clear part of a bundle. Made by us it is checked when written, else when parsed."""

    priority: Priority
    hop_limit: int
    tag: bytes
    receipt_hash: bytes
    lifetime: int
    hour: int
    hops: int = 0
    age: int = 0
    extensions: bytes = b""
    suite: int = SUITE_NOISE_X

    @classmethod
    def parse(cls, wire: bytes) -> "Header":
        """Read the header in front of `wire`, or raise RemoteProtocolError; payload is ignored."""
        if len(wire) < HEADER_SIZE:
            raise RemoteProtocolError(
                "bundle", f"{len(wire)} bytes, a header has {HEADER_SIZE}"
            )
        fields = _HEADER.unpack_from(wire)
        kind, flags, hop_limit, length, tag, receipt_hash, lifetime, hour, hops, age = (
            fields
        )
        if kind >> 4 != VERSION:
            raise RemoteProtocolError("version", f"{kind >> 4}, known is {VERSION}")
        if flags >= len(_PRIORITIES):
            raise RemoteProtocolError("flags", f"{flags:#04x}, known are priorities 0 to 2")
        if not 1 <= lifetime <= MAX_LIFETIME:
            raise RemoteProtocolError("lifetime", f"{lifetime} s, not 1 to {MAX_LIFETIME}")
        extensions = _read_extensions(wire, length) if length else b""
        return cls(
            _PRIORITIES[flags],
            hop_limit,
            tag,
            receipt_hash,
            lifetime,
            hour,
            hops,
            age,
            extensions,
            kind & 0x0F,
        )

    @property
    def size(self) -> int:
        """Bytes that the header takes on the wire."""
        return HEADER_SIZE + len(self.extensions)

    @property
    def wire(self) -> bytes:
        """The header as it goes over a link; LocalProtocolError if it can't be said."""
        if not (
            1 <= self.lifetime <= MAX_LIFETIME
            and len(self.tag) == TAG_SIZE
            and len(self.receipt_hash) == HASH_SIZE
            and 0 <= self.hop_limit <= MAX_HOPS
            and 0 <= self.hour <= MAX_AGE
            and 0 <= self.suite <= 0x0F
            and len(self.extensions) <= MAX_EXTENSIONS
            and 0 <= self.hops <= MAX_HOPS
            and 0 <= self.age <= MAX_AGE
        ):
            raise LocalProtocolError(f"a bundle's header can't be {self}")
        fixed = _HEADER.pack(
            VERSION << 4 | self.suite,
            self.priority,
            self.hop_limit,
            len(self.extensions),
            self.tag,
            self.receipt_hash,
            self.lifetime,
            self.hour,
            self.hops,
            self.age,
        )
        return fixed + self.extensions

    @property
    def immutable(self) -> bytes:
        """What no carrier may change: everything but hops and age; the seal's prologue."""
        wire = self.wire
        return wire[:_MUTABLE_AT] + wire[HEADER_SIZE:]

    def with_hops_and_age(self, hops: int, age: int) -> "Header":
        """The same header as its next carrier is to see it; what doesn't fit is cut off."""
        return self._replace(hops=min(hops, MAX_HOPS), age=min(age, MAX_AGE))


class Bundle(NamedTuple):
    """One object in the queue: what is seen of it, what is sealed, and its name."""

    header: Header
    payload: bytes
    id: bytes

    @classmethod
    def make(cls, header: Header, payload: bytes) -> "Bundle":
        """Join a header and the payload that was sealed under it."""
        if not 1 <= len(payload) <= MAX_PAYLOAD:
            raise LocalProtocolError(f"a payload of {len(payload)} bytes")
        return cls(header, payload, _bundle_id(header.wire + payload))

    @classmethod
    def parse(cls, wire: bytes) -> "Bundle":
        """Read one whole bundle, or raise RemoteProtocolError and nothing else."""
        header = Header.parse(wire)
        payload = wire[HEADER_SIZE + len(header.extensions) :]
        if not 1 <= len(payload) <= MAX_PAYLOAD:
            raise RemoteProtocolError(
                "payload", f"{len(payload)} bytes, not 1 to {MAX_PAYLOAD}"
            )
        return cls(header, payload, _bundle_id(wire))

    @property
    def wire(self) -> bytes:
        """Header and payload as they go over a link."""
        return self.header.wire + self.payload

    def open(self, key: KeyPair) -> Opened:
        """Open the seal with the device's sealing key, or raise RemoteProtocolError."""
        header = self.header
        if header.suite != SUITE_NOISE_X:
            raise RemoteProtocolError("suite", f"{header.suite}, known is {SUITE_NOISE_X}")
        return open_seal(
            self.payload,
            immutable=header.immutable,
            receipt_hash=header.receipt_hash,
            key=key,
        )


def _bundle_id(wire: bytes) -> bytes:
    """Give the id of the bundle on this wire, which must have been parsed before or be ours."""
    state = _ID_START.copy()
    state.update(wire[:_MUTABLE_AT])
    state.update(memoryview(wire)[HEADER_SIZE:])
    return state.digest()


def rewrite(wire: bytes, hops: int, age: int) -> bytes:
    """Give a parsed bundle's wire with other hops and age, without parsing it again."""
    changed = _MUTABLE.pack(min(hops, MAX_HOPS), min(age, MAX_AGE))
    return b"".join((wire[:_MUTABLE_AT], changed, memoryview(wire)[HEADER_SIZE:]))


def _read_extensions(wire: bytes, length: int) -> bytes:
    extensions = wire[HEADER_SIZE : HEADER_SIZE + length]
    if length > MAX_EXTENSIONS or len(extensions) < length:
        raise RemoteProtocolError("extensions", f"{length} bytes announced")
    at, last = 0, -1
    while at < length:
        kind, size = (
            extensions[at],
            extensions[at + 1] if at + 1 < length else MAX_EXTENSIONS,
        )
        if kind <= last:
            raise RemoteProtocolError("extensions", f"type {kind} after {last}")
        at, last = at + 2 + size, kind
    if at != length:
        raise RemoteProtocolError("extensions", "the last one is cut short")
    return extensions
