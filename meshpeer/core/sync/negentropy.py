"""Negentropy V1: two peers find out which ids differ, by ranges of their sorted sets.

    message  0x61, then ranges side by side from the start of the order
    range    bound (number, id prefix), mode, then by mode
                 0 skip          nothing to say of it
                 1 fingerprint   16 bytes of SHA-256(sum of the ids + count)
                 2 list          count, then all ids in it

The initiator begins with a few fingerprints, the finer the newer, for what differs is mostly new;
equal sets cost about 100 bytes and one round trip (it saves a round trip, and 2 kB at 100,000
items, against one fingerprint of everything; a set without numbers gets just that). Whoever
finds a fingerprint to differ splits the range into 16; the responder lists it when it is short.
The initiator alone learns what differs. Each message is answered from the set as it is now: what
changes between two messages shows as a difference more, and does no harm.

It is the format that NIP-77 publishes, and a responder here says byte for byte what the reference
implementation says. Ids may have 16 bytes too: then the sum is taken modulo 2^128. Malformed
messages raise RemoteProtocolError; the work for one message is bounded by its size and by
MAX_RANGES.
"""

from collections.abc import Iterator
from hashlib import sha256
from math import sqrt
from typing import Final, NamedTuple

from meshpeer.core.sync.sorted_set import MAX_NUMBER, Item, SortedSet
from meshpeer.core.sync.varint import Reader, varint
from meshpeer.errors import RemoteProtocolError

VERSION: Final = 0x61
PARTS: Final = 16
FINGERPRINT_SIZE: Final = 16
SHORT: Final = 256
"""Ranges below this many items are split more finely by an initiator."""
RECENT: Final = 64
GROWTH: Final = 8
"""The first message has ranges of RECENT items, of GROWTH times as many before it, and so on."""
MAX_RANGES: Final = 2_048
"""Above what two well-behaved sides say in a frame of 32 KiB; each may cost a fingerprint."""
FRAME_RESERVE: Final = 200
"""Kept free at the end of a frame for one more range and the fingerprint of the rest."""

_SKIP: Final = 0
_FINGERPRINT: Final = 1
_LIST: Final = 2

_END: Final = Item(MAX_NUMBER, b"")


class Reply(NamedTuple):
    """What a message tells and what to answer."""

    message: bytes
    have: list[bytes]
    """Ids that only we have; the initiator learns them."""
    need: list[bytes]
    """Ids that only they have; the initiator learns them."""

    @property
    def finished(self) -> bool:
        """Nothing is left to compare: the initiator need not send the message."""
        return len(self.message) == 1


def initiate(items: SortedSet) -> bytes:
    """The first message: fingerprints of the newest few, the eight times as many before, ..."""
    writer = _Writer(0)
    cuts = [count := len(items)]
    if count and items[0].number != items[count - 1].number:
        while (newer := RECENT * GROWTH ** (len(cuts) - 1)) < count:
            cuts.append(count - newer)
    lower = 0
    for cut in reversed(cuts):
        until = _END if cut == count else _between(items[cut - 1], items[cut])
        writer.fingerprint(until, _fingerprint(items, lower, cut))
        lower = cut
    return writer.message()


def respond(items: SortedSet, message: bytes, frame: int = 0) -> bytes:
    """Answer an initiator's message in at most `frame` bytes (0: no limit)."""
    return _reconcile(items, message, frame, initiator=False).message


def resume(items: SortedSet, message: bytes, frame: int = 0) -> Reply:
    """Read a responder's message: what differs, and the next message if one is needed."""
    return _reconcile(items, message, frame, initiator=True)


def _reconcile(items: SortedSet, message: bytes, frame: int, *, initiator: bool) -> Reply:
    writer = _Writer(frame)
    have: list[bytes] = []
    need: list[bytes] = []
    lower = 0
    for bound, mode, payload in _ranges(message, items.id_size):
        upper = max(lower, items.index(*bound))
        if mode == _FINGERPRINT and payload[0] != _fingerprint(items, lower, upper):
            _split(writer, items, lower, upper, bound, initiator=initiator)
        elif mode == _LIST and initiator:
            ours, theirs = items.ids(lower, upper), set(payload)
            have += [id for id in ours if id not in theirs]
            need += sorted(theirs.difference(ours))
            writer.skip(bound)
        elif mode == _LIST:
            end = min(upper, lower + writer.room_for(items.id_size))
            until = bound if end == upper else items[end]
            writer.list(until, items.ids(lower, end))
            writer.accept()
            upper = end
        else:
            writer.skip(bound)
        if writer.full:
            writer.rest(_fingerprint(items, upper, len(items)))
            break
        writer.accept()
        lower = upper
    return Reply(writer.message(), have, need)


def _split(
    writer: "_Writer",
    items: SortedSet,
    lower: int,
    upper: int,
    bound: Item,
    *,
    initiator: bool,
) -> None:
    count = upper - lower
    if not initiator and count < 2 * PARTS:
        writer.list(bound, items.ids(lower, upper))
        return
    parts = _initiators_parts(count) if initiator else PARTS
    size, larger = divmod(count, parts)
    for part in range(parts):
        end = lower + size + (part < larger)
        until = bound if end == upper else _between(items[end - 1], items[end])
        writer.fingerprint(until, _fingerprint(items, lower, end))
        lower = end


def _initiators_parts(count: int) -> int:
    """Never a list: a responder answers it with its own, as it does a fingerprint that differs.

    In a short range one or two ids differ; then about the square root of the count costs least,
    22 bytes for each part here, and 32 for each id of those that the responder will list."""
    return PARTS if count >= SHORT else max(1, round(1.2 * sqrt(count)))


def _between(before: Item, after: Item) -> Item:
    """The shortest bound that is above one item and not above the next."""
    if before.number != after.number:
        return Item(after.number, b"")
    same = next(
        n
        for n, pair in enumerate(zip(before.id, after.id, strict=True))
        if pair[0] != pair[1]
    )
    return Item(after.number, after.id[: same + 1])


def _fingerprint(items: SortedSet, start: int, end: int) -> bytes:
    total = items.sum(start, end).to_bytes(items.id_size, "little")
    return sha256(total + varint(end - start)).digest()[:FINGERPRINT_SIZE]


class _Writer:
    """Puts ranges into a message; what one range adds is taken or left as a whole."""

    def __init__(self, frame: int) -> None:
        self._limit = frame - FRAME_RESERVE if frame else None
        self._done = bytearray([VERSION])
        self._part = bytearray()
        self._skipped: Item | None = None
        self._number = 0

    @property
    def full(self) -> bool:
        """The frame has no room for the last range."""
        return self._limit is not None and len(self._done) + len(self._part) > self._limit

    def room_for(self, id_size: int) -> int:
        """How many ids may be listed now."""
        if self._limit is None:
            return MAX_NUMBER
        return max(0, (self._limit - len(self._done)) // id_size + 1)

    def skip(self, bound: Item) -> None:
        """Nothing to say up to here; neighbouring skips become one, and a last one none."""
        self._skipped = bound

    def fingerprint(self, bound: Item, fingerprint: bytes) -> None:
        """Say that the range up to here has this fingerprint."""
        self._range(bound, _FINGERPRINT, fingerprint)

    def list(self, bound: Item, ids: list[bytes]) -> None:
        """Say all ids up to here."""
        self._range(bound, _LIST, varint(len(ids)) + b"".join(ids))

    def accept(self) -> None:
        """The last range fits."""
        self._done += self._part
        self._part.clear()

    def rest(self, fingerprint: bytes) -> None:
        """Leave the last range, and all after it, to the next message."""
        self._part.clear()
        self._skipped = None
        self.fingerprint(_END, fingerprint)
        self.accept()

    def message(self) -> bytes:
        """All ranges that were accepted."""
        self.accept()
        return bytes(self._done)

    def _range(self, bound: Item, mode: int, payload: bytes) -> None:
        if self._skipped is not None:
            self._bound(self._skipped)
            self._part.append(_SKIP)
            self._skipped = None
        self._bound(bound)
        self._part.append(mode)
        self._part += payload

    def _bound(self, bound: Item) -> None:
        number, prefix = bound
        if number == MAX_NUMBER:
            self._part += b"\0"
        else:
            self._part += varint(1 + number - self._number)
            self._number = number
        self._part += varint(len(prefix)) + prefix


def _ranges(message: bytes, id_size: int) -> Iterator[tuple[Item, int, list[bytes]]]:
    """Read a message's ranges in order; the payload is one fingerprint, or the ids listed."""
    if message[:1] != bytes([VERSION]):
        raise RemoteProtocolError("negentropy version", f"{message[:1].hex()}, known is 61")
    reader = Reader("negentropy", message, 1)
    last = Item(0, bytes(id_size))
    for _ in range(MAX_RANGES):
        if reader.finished:
            return
        bound = _read_bound(reader, last.number, id_size)
        padded = Item(bound.number, bound.id.ljust(id_size, b"\0"))
        if padded < last:
            raise RemoteProtocolError("negentropy bound", "below the one before it")
        last = padded
        mode = reader.varint()
        if mode == _SKIP:
            yield bound, mode, []
        elif mode == _FINGERPRINT:
            yield bound, mode, [reader.take(FINGERPRINT_SIZE)]
        elif mode == _LIST:
            packed = reader.take(reader.varint() * id_size)
            ids = [packed[at : at + id_size] for at in range(0, len(packed), id_size)]
            yield bound, mode, ids
        else:
            raise RemoteProtocolError("negentropy mode", f"{mode}, known are 0 to 2")
    if not reader.finished:
        raise RemoteProtocolError("negentropy", f"more than {MAX_RANGES} ranges")


def _read_bound(reader: Reader, number: int, id_size: int) -> Item:
    """A bound whose number is told as the difference to the last one's, plus one."""
    if number == MAX_NUMBER:
        raise RemoteProtocolError("negentropy bound", "after the end")
    step = reader.varint()
    number = number + step - 1 if step else MAX_NUMBER
    size = reader.varint()
    if size > id_size or number > MAX_NUMBER or (size and not step):
        raise RemoteProtocolError("negentropy bound", f"{number} and {size} bytes of id")
    return Item(number, reader.take(size))
