"""Control messages: what peers say of bundles and values on stream 0 of their link.

    frame    type (1 byte), length (varint), body

Bodies stand in the table KINDS at the end. Types that we don't know are skipped, so that new
ones can come; the frame's length says where they end. Lists have no count: they end with the
body. Whatever is malformed raises RemoteProtocolError from `unpack`, and the frames after it can
still be read.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from meshpeer.core.broadcast.sessions import Announced, Missing
from meshpeer.core.broadcast.symbol import KEY_SIZE, TRANSFER_SIZE
from meshpeer.core.formats.bundle import ID_SIZE, MAX_WIRE, Header
from meshpeer.core.formats.receipt import ValueEntry, pack_entries, parse_entries
from meshpeer.core.identity.preimage import VALUE_SIZE
from meshpeer.core.sync.varint import Reader, read_varint, varint
from meshpeer.errors import RemoteProtocolError

T = TypeVar("T")

VERSION: Final = 1
MAX_BODY: Final = 64 * 1024
MAX_TAGS: Final = 256
BROADCASTS: Final = 1
"""The bit of Hello's capabilities that says: broadcasts may be announced to me."""
MAX_ELAPSED: Final = 86_400
"""Seconds that a broadcast may have been under way when it is announced."""
BY_BROADCAST: Final = 4
"""Stands for the stream in results of transfers that were announced."""
LIST_AT_ONCE: Final = 1_500
"""Items of a list in one message; the largest has 42 bytes."""
TAG_HASH_SIZE: Final = 8
PREFIX_SIZE: Final = 8


class Code(IntEnum):
    """What became of a bundle that was sent or offered."""

    DURABLE = 0
    DUPLICATE = 1
    """It was durable here before."""
    OVER = 2
    """Never again: it was here, or is known to have arrived or to be recalled."""
    INVALID = 3
    EXPIRED = 4
    HOPS = 5
    ROOM = 6
    """Not in this contact time."""
    LATER = 7
    """The person it is for can't take it now; it is asked for when there is room."""
    DAMAGED = 8
    """What came is not what the id says; the pieces are dropped."""


class Set(IntEnum):
    """What is reconciled."""

    VALUES = 0
    BUNDLES = 1


class Hello(NamedTuple):
    """The first message each way, and again when the persons here change."""

    tags: tuple[bytes, ...]
    """Salted hashes of their destination tags, and as many random ones as hide their number."""
    version: int = VERSION
    capabilities: int = BROADCASTS


class Recon(NamedTuple):
    """A negentropy message; the link's initiator asks, the other side answers."""

    set: Set
    message: bytes


class Want(NamedTuple):
    """Send these bundles, each from this offset of its wire."""

    bundles: tuple[tuple[bytes, int], ...]


class Offer(NamedTuple):
    """A bundle above 4 KiB, to be answered by Want, or by Result as 'stream' 0."""

    id: bytes
    size: int
    header: Header


class Run(NamedTuple):
    """Consecutive transfers of one stream that all ended in the same way."""

    stream: int
    first: int
    length: int
    code: Code


class Result(NamedTuple):
    """What became of transfers, counted from 0 on each stream; offers count as stream 0, what
    was announced as stream 4."""

    runs: tuple[Run, ...]


class Values(NamedTuple):
    """Receipts and recalls with the hours they have left."""

    entries: tuple[ValueEntry, ...]


class WantValues(NamedTuple):
    """Send these values."""

    values: tuple[bytes, ...]


class Lack(NamedTuple):
    """These were wanted, and can't be sent."""

    ids: tuple[bytes, ...]


class Coming(NamedTuple):
    """Starts of ids that are on their way to us: do not send them now."""

    prefixes: tuple[bytes, ...]


class Ended(NamedTuple):
    """No more is broadcast of this transfer."""

    transfer: bytes


class Pause(NamedTuple):
    """Send no bundles: our disk takes nothing now."""


class Resume(NamedTuple):
    """Go on."""


Message: TypeAlias = (
    Hello
    | Recon
    | Want
    | Offer
    | Result
    | Values
    | WantValues
    | Lack
    | Coming
    | Announced
    | Missing
    | Ended
    | Pause
    | Resume
)


class Kind(NamedTuple):
    """One row of the table."""

    number: int
    name: str
    message: type[Message]
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Message]


def pack(message: Message) -> bytes:
    """The frame of a message."""
    kind = _BY_TYPE[type(message)]
    body = kind.pack(message)
    return bytes((kind.number,)) + varint(len(body)) + body


def unpack(number: int, body: bytes) -> Message | None:
    """The message of a frame, None for a type we don't know, else RemoteProtocolError."""
    kind = _BY_NUMBER.get(number)
    return kind.unpack(body) if kind else None


class Frames:
    """Cuts the bytes of stream 0 into frames as they come."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Give type and body of each frame that is now whole; an error here is for good."""
        self._data += data
        at = 0
        while at + 1 < len(self._data) and (found := read_varint(self._data, at + 1)):
            size, start = found
            if size > MAX_BODY:
                raise RemoteProtocolError("frame", f"{size} bytes, limit {MAX_BODY}")
            if start + size > len(self._data):
                break
            yield self._data[at], bytes(self._data[start : start + size])
            at = start + size
        del self._data[:at]


def chunks(items: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """Cut a list into as many messages as it takes, each well within MAX_BODY."""
    return (
        tuple(items[at : at + LIST_AT_ONCE]) for at in range(0, len(items), LIST_AT_ONCE)
    )


def runs(results: Iterable[tuple[int, int, Code]]) -> tuple[Run, ...]:
    """Group (stream, number, code) into runs."""
    grouped: list[Run] = []
    for stream, number, code in sorted(results):
        last = grouped[-1] if grouped else None
        if (
            last
            and (last.stream, last.code) == (stream, code)
            and number == last.first + last.length
        ):
            grouped[-1] = last._replace(length=last.length + 1)
        else:
            grouped.append(Run(stream, number, 1, code))
    return tuple(grouped)


def _pack_hello(hello: Hello) -> bytes:
    return bytes((hello.version,)) + varint(hello.capabilities) + b"".join(hello.tags)


def _unpack_hello(body: bytes) -> Hello:
    reader = Reader("hello", body)
    (version,) = reader.take(1)
    if version != VERSION:
        raise RemoteProtocolError("hello", f"version {version}, known is {VERSION}")
    capabilities = reader.varint()
    tags = _split(reader.rest(), TAG_HASH_SIZE, "hello")
    if len(tags) > MAX_TAGS:
        raise RemoteProtocolError("hello", f"{len(tags)} tags, limit {MAX_TAGS}")
    return Hello(tags, version, capabilities)


def _unpack_recon(body: bytes) -> Recon:
    if body[:1] not in (b"\0", b"\1"):
        raise RemoteProtocolError("recon", f"set {body[:1].hex()}, known are 0 and 1")
    return Recon(Set(body[0]), body[1:])


def _unpack_want(body: bytes) -> Want:
    reader, bundles = Reader("want", body), []
    while not reader.finished:
        bundles.append((reader.take(ID_SIZE), reader.varint()))
    return Want(tuple(bundles))


def _unpack_offer(body: bytes) -> Offer:
    reader = Reader("offer", body)
    id, size = reader.take(ID_SIZE), reader.varint()
    header = Header.parse(packed := reader.rest())
    if header.size != len(packed) or not header.size < size <= MAX_WIRE:
        raise RemoteProtocolError("offer", f"{size} bytes with {len(packed)} of header")
    return Offer(id, size, header)


def _pack_result(result: Result) -> bytes:
    return b"".join(
        bytes((run.stream,)) + varint(run.first) + varint(run.length) + bytes((run.code,))
        for run in result.runs
    )


def _unpack_result(body: bytes) -> Result:
    reader, found = Reader("result", body), []
    while not reader.finished:
        (stream,) = reader.take(1)
        first, count = reader.varint(), reader.varint()
        (code,) = reader.take(1)
        if stream > BY_BROADCAST or code not in _CODES or not count:
            raise RemoteProtocolError(
                "result", f"stream {stream}, code {code}, {count} times"
            )
        found.append(Run(stream, first, count, Code(code)))
    return Result(tuple(found))


def _pack_announced(told: Announced) -> bytes:
    numbers = told.size, told.symbol_size, told.elapsed
    return told.transfer + told.key + told.id + b"".join(map(varint, numbers))


def _unpack_announced(body: bytes) -> Announced:
    reader = Reader("announced", body)
    transfer, key, id = (reader.take(size) for size in (TRANSFER_SIZE, KEY_SIZE, ID_SIZE))
    size, symbol_size, elapsed = (reader.varint() for _ in range(3))
    if reader.rest() or not 0 < symbol_size <= size <= MAX_WIRE or elapsed > MAX_ELAPSED:
        raise RemoteProtocolError(
            "announced", f"{size} bytes in symbols of {symbol_size}, {elapsed} s ago"
        )
    return Announced(transfer, key, id, size, symbol_size, elapsed)


def _pack_missing(missing: Missing) -> bytes:
    return missing.transfer + varint(missing.symbols) + varint(missing.through)


def _unpack_missing(body: bytes) -> Missing:
    reader = Reader("missing", body)
    missing = Missing(reader.take(TRANSFER_SIZE), reader.varint(), reader.varint())
    if reader.rest():
        raise RemoteProtocolError("missing", f"{len(body)} bytes of body")
    return missing


def _unpack_ended(body: bytes) -> Ended:
    if len(body) != TRANSFER_SIZE:
        raise RemoteProtocolError("ended", f"{len(body)} bytes, not {TRANSFER_SIZE}")
    return Ended(body)


def _unpack_empty(message: Pause | Resume) -> Callable[[bytes], Message]:
    def read(body: bytes) -> Message:
        if body:
            raise RemoteProtocolError("pause", f"{len(body)} bytes of body, has none")
        return message

    return read


def _split(body: bytes, size: int, field: str) -> tuple[bytes, ...]:
    if len(body) % size:
        raise RemoteProtocolError(field, f"{len(body)} bytes, not a multiple of {size}")
    return tuple(body[at : at + size] for at in range(0, len(body), size))


_CODES: Final = frozenset(Code)

KINDS: Final = (
    Kind(1, "hello", Hello, _pack_hello, _unpack_hello),
    Kind(2, "recon", Recon, lambda m: bytes((m.set,)) + m.message, _unpack_recon),
    Kind(
        3,
        "want",
        Want,
        lambda m: b"".join(id + varint(offset) for id, offset in m.bundles),
        _unpack_want,
    ),
    Kind(4, "offer", Offer, lambda m: m.id + varint(m.size) + m.header.wire, _unpack_offer),
    Kind(5, "result", Result, _pack_result, _unpack_result),
    Kind(
        6,
        "values",
        Values,
        lambda m: pack_entries(m.entries),
        lambda body: Values(tuple(parse_entries(body))),
    ),
    Kind(
        7,
        "want values",
        WantValues,
        lambda m: b"".join(m.values),
        lambda body: WantValues(_split(body, VALUE_SIZE, "want values")),
    ),
    Kind(
        8,
        "lack",
        Lack,
        lambda m: b"".join(m.ids),
        lambda body: Lack(_split(body, ID_SIZE, "lack")),
    ),
    Kind(
        9,
        "coming",
        Coming,
        lambda m: b"".join(m.prefixes),
        lambda body: Coming(_split(body, PREFIX_SIZE, "coming")),
    ),
    Kind(10, "pause", Pause, lambda m: b"", _unpack_empty(Pause())),
    Kind(11, "resume", Resume, lambda m: b"", _unpack_empty(Resume())),
    Kind(12, "announced", Announced, _pack_announced, _unpack_announced),
    Kind(13, "missing", Missing, _pack_missing, _unpack_missing),
    Kind(14, "ended", Ended, lambda m: m.transfer, _unpack_ended),
)
_BY_NUMBER: Final = {kind.number: kind for kind in KINDS}
_BY_TYPE: Final[dict[type, Kind]] = {kind.message: kind for kind in KINDS}
