"""The shape of one log: what is held, and what held blocks say of blocks that are not.

Blocks come newest first, with holes, from several neighbours; still every link is checked,
whichever of its two ends comes first. A link to a block not held is a claim: this sequence has
that id. The block that comes must fit it. Skip links nest, so a span held has O(log n) links that
lead out of it, and that is all there is to remember, whatever the number of blocks.

While something lacks between two spans, a proof may show that both are in one log: the headers on
the way that skip links make from one to the other (joining.py). It is remembered by its two ends
as long as both are held.

Two signed headers that say different ids of one sequence are a fork. The log then takes nothing
from that sequence on; what is below may still be filled in, since both branches have it.
"""

from collections.abc import Iterator
from itertools import pairwise
from struct import Struct
from typing import Any, Final, NamedTuple

from meshpeer.core.chain_writes import PutLog
from meshpeer.core.chains.spans import Spans
from meshpeer.core.formats.block import MAX_SEQUENCE, Header, path, skip_of
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.errors import LocalProtocolError

STATE_VERSION: Final = 3
UNPROVED: Final = 2
"""The version before, of which rows have no proofs at their end."""
MAX_FOLLOWS: Final = 256
"""Persons followed that are remembered of one log: the newest."""
RECENT: Final = 512
"""Ids that an active log keeps in memory."""
BLOCK_COST: Final = 512
"""Bytes that a block counts for at least: rows and indexes."""

_CLAIM: Final = Struct(">QQ32s")
_FOLLOW: Final = Struct(">32sQQ?")

LogKey = tuple[bytes, bytes]


class Claim(NamedTuple):
    """A block not held must have this id, says the held block `by` (0: the person's card)."""

    id: bytes
    by: int


class Followed(NamedTuple):
    """Whether a log follows a person: of one log the later record holds, of several the one with
    the higher lamport number."""

    lamport: int
    sequence: int
    following: bool


class Key(NamedTuple):
    """The newest sealing key that a log tells."""

    number: int
    lamport: int
    sealing: bytes


class Told(NamedTuple):
    """What neighbours are told of a log: durable blocks, and the id of the highest."""

    spans: tuple[tuple[int, int], ...]
    """Ascending, both ends included."""
    head: bytes
    """All zero where it is not said: the log is frozen below it."""

    @property
    def height(self) -> int:
        """The highest sequence told, 0 for none."""
        return self.spans[-1][1] if self.spans else 0

    @property
    def blocks(self) -> int:
        """How many blocks are told."""
        return sum(last - first + 1 for first, last in self.spans)

    def complete(self, floor: int) -> bool:
        """Whether all from `floor` to the height is told."""
        return len(self.spans) == 1 and self.spans[0][0] <= floor

    def kept(self, first: int, last: int, head: bytes) -> "Told":
        """What of it is left when only first..last is; then `head` is the id of the highest."""
        spans = Spans(self.spans)
        spans.keep(first, last)
        return Told(tuple(spans), self.head if spans.top == self.height else head)


NOT_SAID: Final = bytes(32)
NOTHING_TOLD: Final = Told((), NOT_SAID)


class Log:
    """What is known of one log; its blocks lie in the store."""

    __slots__ = (
        "__weakref__",
        "bare",
        "claims",
        "device",
        "floor",
        "follows",
        "fork_at",
        "head",
        "held",
        "id",
        "key",
        "lamport",
        "person",
        "proved",
        "recent",
        "settled",
        "started",
        "told",
        "unsaved",
        "weight",
        "withdraws",
    )

    def __init__(self, person: bytes, device: bytes, id: bytes) -> None:
        self.person, self.device, self.id = person, device, id
        self.held = Spans()
        self.bare = Spans()
        """Held without a body, though nobody withdrew it: somebody else may have it."""
        self.claims: dict[int, Claim] = {}
        self.head = bytes(32)
        """The id of the highest block held."""
        self.lamport = 0
        self.weight = 0
        self.floor = 1
        """Nothing below is wanted any more: the allowance is full."""
        self.fork_at: int | None = None
        self.follows: dict[bytes, Followed] = {}
        self.key: Key | None = None
        self.withdraws = False
        """It holds a withdrawal, so incoming blocks of the person have to be compared."""
        self.started = 0
        """Counts the logs that this very peer began; 0 for all others, and the negative of the
        number where another copy of this state may go on with the log."""
        self.settled = 0
        """The height when nothing was lacking below: what is above is news."""
        self.proved: tuple[tuple[int, int], ...] = ()
        """Blocks at the edges of a hole, of which a proof showed that they are in one log."""
        self.told = NOTHING_TOLD
        self.recent: dict[int, bytes] = {}
        self.unsaved: dict[int, Header] = {}

    @property
    def log_key(self) -> LogKey:
        """By which it is found."""
        return self.device, self.id

    @property
    def height(self) -> int:
        """The highest sequence held, 0 for none."""
        return self.held.top

    @property
    def ceiling(self) -> int:
        """The highest sequence that may still come."""
        return MAX_SEQUENCE if self.fork_at is None else self.fork_at - 1

    @property
    def unjoined(self) -> list[tuple[int, int]]:
        """The holes, newest first, of which nothing shows yet that both sides are in one log: each
        by the blocks held below and above it."""
        if len(self.held) < 2:
            return []
        holes = reversed(list(pairwise(self.held)))
        return [
            (older[1], newer[0])
            for older, newer in holes
            if not any(_joins(ends, older, newer) for ends in self.proved)
        ]

    def bridge(self) -> list[int]:
        """The sequences of the shortest proof across the newest hole that has none, newest first:
        the ends are held, and nothing between them is. Empty if there is no such hole."""
        if not self.unjoined:
            return []
        below, above = self.unjoined[0]
        newer = self.held.over(above)
        assert newer
        steps = path(newer[1], below)
        inside = [step for step in steps if step >= above]
        return steps[len(inside) - 1 :]

    def join(self, first: int, last: int) -> None:
        """These two blocks, both held, were proved to be in one log."""
        holes = list(pairwise(self.held))
        self.proved = tuple(
            ends
            for ends in (*self.proved, (first, last))
            if any(_joins(ends, older, newer) for older, newer in holes)
        )

    def links(self, header: Header) -> Iterator[tuple[int, bytes]]:
        """What a header says of older blocks that matter here: sequence and id."""
        sequence = header.sequence
        if sequence - 1 >= self.floor:
            yield sequence - 1, header.previous
            if header.skip != header.previous:
                yield skip_of(sequence), header.skip

    def claim(self, sequence: int, id: bytes, by: int) -> None:
        """Remember what a held block says of one that isn't; of several sayers the lowest one,
        for a cut drops blocks from the top."""
        known = self.claims.get(sequence)
        if known is None or 0 < by < known.by:
            self.claims[sequence] = Claim(id, by)

    def hold(self, header: Header, *, bare: bool, size: int, lamport: int) -> None:
        """A block whose links were checked is held; `lamport` is what its number counts as."""
        sequence = header.sequence
        self.claims.pop(sequence, None)
        self.held.add(sequence)
        if bare:
            self.bare.add(sequence)
        if sequence == self.held.top:
            self.head = header.id
        self.lamport = max(self.lamport, lamport)
        self.weight += size
        self.unsaved[sequence] = header

    def filled(self, sequence: int, size: int) -> None:
        """The body of a block held without one came."""
        self.bare.remove(sequence, sequence)
        self.weight += size

    def keep(self, first: int, last: int, head: bytes, freed: int) -> None:
        """Forget the blocks outside first..last, of which the highest left has the id `head`."""
        self.held.keep(first, last)
        self.bare.keep(first, last)
        self.proved = tuple(
            ends for ends in self.proved if ends[0] in self.held and ends[1] in self.held
        )
        self.weight = max(0, self.weight - freed)
        self.claims = {
            sequence: claim
            for sequence, claim in self.claims.items()
            if first <= sequence <= last and claim.by <= last
        }
        for ids in (self.recent, self.unsaved):
            for sequence in [n for n in ids if not first <= n <= last]:
                del ids[sequence]
        self.follows = {
            person: said for person, said in self.follows.items() if said.sequence <= last
        }
        self.head = head
        self.told = self.told.kept(first, last, head)

    def remember_follow(
        self, person: bytes, said: Followed, *, most: int = MAX_FOLLOWS
    ) -> bool:
        """Note a Follow record; True if it changes whom the log follows."""
        known = self.follows.get(person)
        if known and known.sequence >= said.sequence:
            return False
        self.follows[person] = said
        if len(self.follows) > most:
            oldest = min(self.follows, key=lambda one: self.follows[one].sequence)
            del self.follows[oldest]
            return oldest != person
        return known is None or known != said

    def saved(self, headers: list[Header]) -> None:
        """These blocks are durable."""
        for header in headers:
            if self.unsaved.get(header.sequence) is header:
                del self.unsaved[header.sequence]
                self.recent[header.sequence] = header.id
        while len(self.recent) > RECENT:
            del self.recent[next(iter(self.recent))]

    def to_tell(self) -> Told:
        """What is to be told once all that is held is durable; of a frozen log what is below
        the fork, for more is taken by nobody."""
        told = Told(tuple(self.held), self.head)
        if self.height <= self.ceiling:
            return told
        return told.kept(1, self.ceiling, NOT_SAID)

    # -- the disk

    def row(self) -> PutLog:
        """The row that keeps it."""
        state: list[object] = [
            STATE_VERSION,
            [number for span in self.held for number in span],
            [number for span in self.bare for number in span],
            b"".join(
                _CLAIM.pack(sequence, claim.by, claim.id)
                for sequence, claim in self.claims.items()
            ),
            self.head,
            self.lamport,
            self.weight,
            self.floor,
            self.fork_at,
            b"".join(
                _FOLLOW.pack(person, *known) for person, known in self.follows.items()
            ),
            list(self.key or ()),
            self.withdraws,
            self.started,
            [number for ends in self.proved for number in ends],
        ]
        return PutLog(self.device, self.id, self.person, self.height, encode(state))

    @classmethod
    def restore(cls, row: PutLog) -> "Log":
        """What `row` gave; LocalProtocolError if it is of a version not known."""
        log = cls(row.person, row.device, row.log)
        state = decode(row.state, "log")
        if isinstance(state, list) and state[:1] == [UNPROVED]:
            state = [STATE_VERSION, *state[1:], []]
        match state:
            case [
                3,
                [*held],
                [*bare],
                bytes(claims),
                bytes(head),
                int(lamport),
                int(weight),
                int(floor),
                fork_at,
                bytes(follows),
                [*key],
                bool(withdraws),
                int(started),
                [*proved],
            ] if fork_at is None or isinstance(fork_at, int):
                pass
            case _:
                raise LocalProtocolError(
                    "the database holds logs as another version wrote them: "
                    "`meshpeer check --repair` writes them anew"
                )
        log.head, log.lamport, log.weight = head, lamport, weight
        log.floor, log.fork_at = floor, fork_at
        log.withdraws, log.started = withdraws, started
        log.held, log.bare = _spans(held), _spans(bare)
        log.claims = {
            sequence: Claim(id, by) for sequence, by, id in _CLAIM.iter_unpack(claims)
        }
        log.follows = {
            person: Followed(*said) for person, *said in _FOLLOW.iter_unpack(follows)
        }
        log.key = Key._make(key) if key else None
        log.proved = tuple(_pairs(proved))
        log.told = log.to_tell()
        log.settled = log.held.below(log.held.top_first) or log.held.top
        return log


def _spans(numbers: list[Any]) -> Spans:
    return Spans(_pairs(numbers))


def _pairs(numbers: list[Any]) -> Iterator[tuple[int, int]]:
    return zip(numbers[::2], numbers[1::2], strict=True)


def _joins(ends: tuple[int, int], older: tuple[int, int], newer: tuple[int, int]) -> bool:
    """Whether one end is the top of the older span, for what is above it might be of another
    history, and the other lies in the newer, of which each block names the one before."""
    return ends[0] == older[1] and newer[0] <= ends[1] <= newer[1]


def conflict(one: Header, other: Header) -> int | None:
    """The lowest sequence of which two headers of one log say different ids: a fork's proof."""
    if one[:3] != other[:3]:
        return None
    said = _says(one)
    different = [
        sequence for sequence, id in _says(other).items() if said.get(sequence, id) != id
    ]
    return min(different, default=None)


def _says(header: Header) -> dict[int, bytes]:
    sequence = header.sequence
    return {
        skip_of(sequence): header.skip,
        sequence - 1: header.previous,
        sequence: header.id,
    }
