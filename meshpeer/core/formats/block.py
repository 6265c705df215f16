"""The block: one entry of a log. A header of 262 bytes, and the body, which may be gone.

    0       version, 1
    1       suite, 1: Ed25519 and BLAKE2s
    2..34   person
    34..66  device: the key that signs
    66..82  log, random
    82..90  sequence, from 1                         } both at most 2^53 - 1, so that every
    90..98  Lamport counter                          } database and every JSON holds them
    98..130   previous: id of the block before       } all zero for sequence 1
    130..162  skip: id of the block `skip_of`        }
    162..194  body hash: BLAKE2s-256("meshpeer/body/1" + body)
    194..198  body size, 1 to 32 KiB
    198..262  signature by the device over "meshpeer/block/1" + bytes 0..198

id = BLAKE2s-256("meshpeer/block/1" + bytes 0..198)

A fixed layout, where the design said CBOR: a follower takes in thousands a second, and each is
stored, hashed and compared as these bytes. The signature lies outside the id: who signs the same
header twice has not made two blocks. The body is outside too, by its hash, so that it can be
withdrawn while the log stays whole.

Skip links are those of Bamboo (Lipmaa's antimonotone graph): from any block to any older one lead
O(log n) links, so a peer that knows an old block and is shown a new one can check that they are of
one log without all between.
"""

from collections.abc import Sequence
from hashlib import blake2s
from itertools import pairwise
from struct import Struct
from typing import Final, NamedTuple

from meshpeer.core.identity.keys import DeviceKey, verify
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

VERSION: Final = 1
SUITE: Final = 1
LOG_SIZE: Final = 16
BLOCK_ID_SIZE: Final = 32
MAX_SEQUENCE: Final = 2**53 - 1
MAX_LAMPORT: Final = 2**53 - 1
MAX_BODY: Final = 32 * 1024
MAX_PATH: Final = 256
"""Headers of a proof; the longest path below MAX_SEQUENCE has fewer."""
NO_BLOCK: Final = bytes(BLOCK_ID_SIZE)
"""What stands for previous and skip where there is none."""

_PURPOSE: Final = b"meshpeer/block/1"
_SIGNED: Final = Struct(">BB32s32s16sQQ32s32s32sI")
_HEADER: Final = Struct(">BB32s32s16sQQ32s32s32sI64s")
HEADER_SIZE: Final = _HEADER.size
SIGNED_SIZE: Final = _SIGNED.size

_ID_START: Final = blake2s(_PURPOSE)
_BODY_START: Final = blake2s(b"meshpeer/body/1")


def skip_of(sequence: int) -> int:
    """Give the sequence that a block's skip link names; 0 for the first block."""
    whole, power = 1, 3
    while whole < sequence:
        power *= 3
        whole = (power - 1) // 2
    power //= 3
    if whole == sequence:
        return sequence - power
    rest = sequence
    while rest:
        whole = (power - 1) // 2
        power //= 3
        rest %= whole
    return sequence - whole


def path(newer: int, older: int) -> list[int]:
    """Give the sequences of the shortest proof that joins two blocks, newest first, both in it."""
    if not 1 <= older <= newer <= MAX_SEQUENCE:
        raise LocalProtocolError(f"no links lead from block {newer} to {older}")
    steps = [newer]
    while steps[-1] > older:
        skipped = skip_of(steps[-1])
        steps.append(skipped if skipped >= older else steps[-1] - 1)
    return steps


def body_hash(body: bytes) -> bytes:
    """Give the hash under which a header names its body."""
    state = _BODY_START.copy()
    state.update(body)
    return state.digest()


class Header(NamedTuple):
    """What stays of a block for good. Made by `parse` and `Block.sign` only: they know its id."""

    person: bytes
    device: bytes
    log: bytes
    sequence: int
    lamport: int
    previous: bytes
    skip: bytes
    body_hash: bytes
    body_size: int
    signature: bytes
    id: bytes

    @classmethod
    def parse(cls, data: bytes) -> "Header":
        """Read a header's form, or raise RemoteProtocolError; `verify` judges the signature."""
        if len(data) != HEADER_SIZE:
            raise RemoteProtocolError(
                "block", f"{len(data)} bytes, a header has {HEADER_SIZE}"
            )
        version, suite, *_ = fields = _HEADER.unpack(data)
        if version != VERSION or suite != SUITE:
            raise RemoteProtocolError(
                "version", f"{version} and suite {suite}, known are {VERSION} and {SUITE}"
            )
        state = _ID_START.copy()
        state.update(data[:SIGNED_SIZE])
        header = cls._make((*fields[2:], state.digest()))
        header._check_form()
        return header

    @property
    def log_key(self) -> tuple[bytes, bytes]:
        """Which log the block stands in: (device, log)."""
        return self.device, self.log

    def to_bytes(self) -> bytes:
        """Give the 262 bytes of the header."""
        return _HEADER.pack(VERSION, SUITE, *self[:-1])

    def verify(self) -> None:
        """Raise RemoteProtocolError unless the device signed this header."""
        verify(self.device, _PURPOSE, _signed(self), self.signature)

    def links_to(self, older: "Header") -> bool:
        """Whether this header's previous or skip link names that block of the same log."""
        if self[:3] != older[:3]:
            return False
        if older.sequence == self.sequence - 1:
            return self.previous == older.id
        return older.sequence == skip_of(self.sequence) and self.skip == older.id

    def _check_form(self) -> None:
        sequence = self.sequence
        if not 1 <= sequence <= MAX_SEQUENCE:
            raise RemoteProtocolError("sequence", f"{sequence}, not 1 to {MAX_SEQUENCE}")
        if self.lamport > MAX_LAMPORT:
            raise RemoteProtocolError("lamport", f"{self.lamport}, limit {MAX_LAMPORT}")
        if not 1 <= self.body_size <= MAX_BODY:
            raise RemoteProtocolError(
                "body", f"{self.body_size} bytes, not 1 to {MAX_BODY}"
            )
        if (self.previous == NO_BLOCK) != (sequence == 1):
            raise RemoteProtocolError("previous", "all zero if and only if it is the first")
        if (self.skip == self.previous) != (skip_of(sequence) == sequence - 1):
            raise RemoteProtocolError("skip", "not another block than it should name")
        if (self.skip == NO_BLOCK) != (sequence == 1):
            raise RemoteProtocolError("skip", "all zero if and only if it is the first")


class Block(NamedTuple):
    """One entry of a log, with what it says if that is at hand."""

    header: Header
    body: bytes | None

    @classmethod
    def sign(
        cls,
        device: DeviceKey,
        *,
        person: bytes,
        log: bytes,
        sequence: int,
        lamport: int,
        previous: bytes,
        skip: bytes,
        body: bytes,
    ) -> "Block":
        """Make the block that this device says next; LocalProtocolError if it can't be one."""
        unsigned = Header(
            person,
            device.public,
            log,
            sequence,
            min(lamport, MAX_LAMPORT),
            previous,
            skip,
            body_hash(body),
            len(body),
            b"",
            b"",
        )
        sizes = tuple(map(len, (person, log, previous, skip)))
        if sizes != (32, LOG_SIZE, BLOCK_ID_SIZE, BLOCK_ID_SIZE) or lamport < 0:
            raise LocalProtocolError(f"a block with parts of {sizes} bytes")
        try:
            unsigned._check_form()
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"no such block: {error}") from error
        signed = _signed(unsigned)
        return cls(Header.parse(signed + device.sign(_PURPOSE, signed)), body)

    @property
    def id(self) -> bytes:
        """The name of the block, which covers its body by the hash."""
        return self.header.id

    def check(self) -> None:
        """Raise RemoteProtocolError unless the body is the header's, and the device signed it."""
        self.check_body()
        self.header.verify()

    def check_body(self) -> None:
        """Raise RemoteProtocolError unless the body, if at hand, is the one the header names."""
        header, body = self
        if body is None:
            return
        if len(body) != header.body_size:
            raise RemoteProtocolError("body", f"{len(body)} bytes, not {header.body_size}")
        if body_hash(body) != header.body_hash:
            raise RemoteProtocolError("body", "of another hash than the header says")


def check_path(headers: Sequence[Header]) -> None:
    """Raise RemoteProtocolError unless the headers, newest first, are signed and each links to the next.

    Every signature is verified, since a header may be kept and passed on without the path."""
    if not 1 <= len(headers) <= MAX_PATH:
        raise RemoteProtocolError("path", f"{len(headers)} headers, not 1 to {MAX_PATH}")
    for newer, older in pairwise(headers):
        if not newer.links_to(older):
            raise RemoteProtocolError(
                "path", f"block {newer.sequence} does not link to {older.sequence}"
            )
    for header in headers:
        header.verify()


def _signed(header: Header) -> bytes:
    return _SIGNED.pack(VERSION, SUITE, *header[:9])
