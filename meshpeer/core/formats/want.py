"""Wants, and what comes back: how a file crosses where there is no path to anybody who holds it.

A want is a bundle of suite 2: its payload is not sealed, since nobody knows who will answer, and
its tag is `want_tag` of the file, by which only who holds the file (or its name) knows what is
asked for. In deterministic CBOR:

    [1, sealing key, budget, null or [first, count, first, count, ...]]

The sealing key was made for this want alone, so it tells nobody who asks. `budget`: how many
bytes of answers are welcome. Last come the parts that are lacking, as runs in order and apart;
null for all of them, which who has not even the root must say. A part is a number:

    0 ..             a chunk
    2^31 ..          a page of the manifest
    2^32 - 1         the root

An answer is sealed to the want's key, with a static key that was made for it alone; a piece is
sealed like a message to a contact's device. Both hold, where a message has its text,

    {0: kind, 1: file id, 2: part, 3: bytes}         kind 2: answer, 3: piece

The first key is where a message has its version, 1, so neither is taken for the other. Nothing
here is trusted: a part is what it says if its hash is in the manifest, or gives the file's name.
Only files whose chunks have 256 KiB (up to 16 GiB) can go this way: a chunk must fit a bundle.
"""

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final, TypeAlias

from meshpeer.core.formats.bundle import MAX_PAYLOAD
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.manifest import CHUNK, HASH_SIZE
from meshpeer.core.identity.noise import check_public
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

SUITE_WANT: Final = 2
VERSION: Final = 1
ROOT: Final = 2**32 - 1
PAGE0: Final = 2**31
"""The part that is the manifest's page 0."""
MAX_RUNS: Final = 1_024
MAX_BUDGET: Final = 2**40
MAX_WANT: Final = 16 * 1024
"""Bytes; the largest that these limits allow has 10,288."""

Run: TypeAlias = tuple[int, int]
"""The first part, and how many."""


class Kind(IntEnum):
    """What a part was sealed as."""

    ANSWER = 2
    PIECE = 3


@dataclass(frozen=True, slots=True)
class Want:
    """What somebody asks for who does not say who it is; the file stands in the bundle's tag."""

    sealing: bytes
    """X25519, made for this want: answers are sealed to it."""
    budget: int
    runs: tuple[Run, ...] | None = None
    """The parts that are lacking; None for all, the root first."""

    @classmethod
    def parse(cls, payload: bytes) -> "Want":
        """Read the payload of a want, or raise RemoteProtocolError and nothing else."""
        if len(payload) > MAX_WANT:
            raise RemoteProtocolError("want", f"{len(payload)} bytes, limit {MAX_WANT}")
        parts: Any = decode(payload, "want")
        if type(parts) is not list or len(parts) != 4:
            raise RemoteProtocolError("want", "not the four parts of a want")
        version, sealing, budget, runs = parts
        if type(version) is not int or version != VERSION:
            raise RemoteProtocolError("version", f"{version!r:.40}, known is {VERSION}")
        if not isinstance(sealing, bytes):
            raise RemoteProtocolError("sealing", "not a byte string")
        if type(budget) is not int or not 1 <= budget <= MAX_BUDGET:
            raise RemoteProtocolError("budget", f"not an integer from 1 to {MAX_BUDGET}")
        return cls(
            check_public(sealing), budget, None if runs is None else _read_runs(runs)
        )

    def to_bytes(self) -> bytes:
        """Give the payload; LocalProtocolError if it can't be said."""
        runs = None if self.runs is None else [part for run in self.runs for part in run]
        payload = encode([VERSION, self.sealing, self.budget, runs])
        try:
            Want.parse(payload)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"no such want: {error}") from error
        return payload

    def lacks(self, part: int) -> bool:
        """Whether the part is asked for."""
        return self.runs is None or any(
            first <= part < first + count for first, count in self.runs
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk, page or root as an answer or a piece brings it; not to be believed unchecked."""

    kind: Kind
    file: bytes
    part: int
    data: bytes

    @classmethod
    def parse(cls, body: bytes) -> "Part":
        """Read what a seal held, or raise RemoteProtocolError and nothing else."""
        if len(body) > MAX_PAYLOAD:
            raise RemoteProtocolError("part", f"{len(body)} bytes, limit {MAX_PAYLOAD}")
        parts: Any = decode(body, "part")
        if type(parts) is not dict or list(parts) != [0, 1, 2, 3]:
            raise RemoteProtocolError("part", "not the four parts of an answer or piece")
        kind, file, part, data = parts.values()
        if type(kind) is not int or kind not in _KINDS:
            raise RemoteProtocolError("kind", "neither an answer nor a piece")
        if not isinstance(file, bytes) or len(file) != HASH_SIZE:
            raise RemoteProtocolError("file", f"not a byte string of {HASH_SIZE}")
        if type(part) is not int or not 0 <= part <= ROOT:
            raise RemoteProtocolError("part", f"not an integer from 0 to {ROOT}")
        if not isinstance(data, bytes) or not 1 <= len(data) <= CHUNK:
            raise RemoteProtocolError("data", f"not a byte string of 1 to {CHUNK}")
        return cls(Kind(kind), file, part, data)

    def to_bytes(self) -> bytes:
        """Give the body to seal; LocalProtocolError if it can't be said."""
        body = encode({0: int(self.kind), 1: self.file, 2: self.part, 3: self.data})
        try:
            Part.parse(body)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"no such part: {error}") from error
        return body


_KINDS: Final = frozenset(Kind)


def is_part(body: bytes) -> bool:
    """Whether what a seal held claims to be an answer or a piece, not a message."""
    return body[:2] == b"\xa4\x00" and body[2:3] in (b"\x02", b"\x03")


def _read_runs(runs: object) -> tuple[Run, ...]:
    if not isinstance(runs, list) or not all(type(part) is int for part in runs):
        raise RemoteProtocolError("runs", "not a list of integers")
    if not runs or len(runs) % 2 or len(runs) > 2 * MAX_RUNS:
        raise RemoteProtocolError(
            "runs", f"{len(runs)} integers, not up to {MAX_RUNS} pairs"
        )
    pairs = tuple(zip(runs[::2], runs[1::2], strict=True))
    if any(first < 0 or count < 1 or first + count > ROOT + 1 for first, count in pairs):
        raise RemoteProtocolError("runs", "not between the first chunk and the root")
    if any(first + count >= after for (first, count), (after, _) in pairwise(pairs)):
        raise RemoteProtocolError("runs", "not in order and apart")
    return pairs
