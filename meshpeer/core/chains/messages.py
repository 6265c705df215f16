"""What peers say of chains on stream 4 of their link; framed as sync's control messages.

    frame    type (1 byte), length (varint), body

Bodies stand in the table KINDS at the end. An unknown type is skipped; lists end with the body;
whatever is malformed raises RemoteProtocolError from `unpack`, and the frames after it can still
be read.

The blocks of one answer are of one log, so the first 82 bytes of their headers (version, suite,
person, device, log) stand once in front: a third less for a short post. Of JOINED only the person
is new to who asked.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from meshpeer.core.formats.block import (
    BLOCK_ID_SIZE,
    HEADER_SIZE,
    LOG_SIZE,
    MAX_BODY,
    MAX_SEQUENCE,
    SUITE,
    VERSION,
    Block,
    Header,
    path,
)
from meshpeer.core.formats.card import MAX_CARD
from meshpeer.core.identity.keys import SIGNING_KEY_SIZE
from meshpeer.core.sync.varint import Reader, varint
from meshpeer.errors import RemoteProtocolError

FOLLOW_HASH_SIZE: Final = 8
DIGEST_SIZE: Final = 8
FOLLOWS_AT_ONCE: Final = 2_000
HEADS_AT_ONCE: Final = 500
BLOCKS_AT_ONCE: Final = 28 * 1024
"""Bytes of blocks in one message, unless one alone has more."""
MAX_QUERY: Final = 1_024
MAX_ANSWER_BLOCKS: Final = 64
MAX_ANSWER_CARDS: Final = 64
MAX_ANSWER: Final = 48 * 1024
"""Bytes of one ANSWER."""
QUERY_ID_SIZE: Final = 8
PREFIX_SIZE: Final = 82
"""Bytes that all headers of a log share."""

_REST_SIZE: Final = HEADER_SIZE - PREFIX_SIZE
_BODY_SIZE_AT: Final = 194 - PREFIX_SIZE


class Follow(NamedTuple):
    """Somebody whose chain is wanted, without the name, and a digest of what is held of it."""

    hash: bytes
    digest: bytes


class Follows(NamedTuple):
    """Whose chains are wanted; several messages make the list."""

    begins: bool
    """Whether this is the start of a new list."""
    follows: tuple[Follow, ...]


class Head(NamedTuple):
    """Blocks of a log that are durable; one for each span without a hole, the newest first."""

    device: bytes
    log: bytes
    first: int
    height: int
    head: bytes
    """The id of the block `height`; all zero where that is not said."""


class Heads(NamedTuple):
    """What is held of a person; the card when it is new on this link, else empty."""

    person: bytes
    card: bytes
    heads: tuple[Head, ...]


class Get(NamedTuple):
    """Send the blocks first..last of this log, newest first."""

    device: bytes
    log: bytes
    first: int
    last: int


class Blocks(NamedTuple):
    """All that is held of first..last: the next part, from the top, of what GET asked for."""

    device: bytes
    log: bytes
    first: int
    last: int
    blocks: tuple[Block, ...]


class Proof(NamedTuple):
    """Two headers that say different ids of one sequence."""

    one: Header
    other: Header


class Query(NamedTuple):
    """A question; with `hops` 1 it may be passed on to the neighbours, with 0 not."""

    id: bytes
    hops: int
    query: bytes


class Answer(NamedTuple):
    """Blocks that fit a question, with the cards of their authors."""

    id: bytes
    cards: tuple[bytes, ...]
    blocks: tuple[Block, ...]


class Join(NamedTuple):
    """Prove that these two blocks are of one log."""

    device: bytes
    log: bytes
    first: int
    last: int


class Joined(NamedTuple):
    """The headers of `path(last, first)`, newest first; none if not all of them are held."""

    device: bytes
    log: bytes
    first: int
    last: int
    headers: tuple[Header, ...]


Message: TypeAlias = Follows | Heads | Get | Blocks | Proof | Query | Answer | Join | Joined


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
    return frame(kind.number, kind.pack(message))


def frame(number: int, body: bytes) -> bytes:
    """The frame of a message that is packed already."""
    return bytes((number,)) + varint(len(body)) + body


def unpack(number: int, body: bytes) -> Message | None:
    """The message of a frame, None for a type we don't know, else RemoteProtocolError."""
    kind = _BY_NUMBER.get(number)
    return kind.unpack(body) if kind else None


def pack_blocks(
    get: Get, rows: Sequence[tuple[bytes, bytes | None]], first: int
) -> Iterator[bytes]:
    """The frames that answer a GET down to `first` with these headers and bodies, newest first."""
    last, entries, size = get.last, [], 0
    prefix = rows[0][0][:PREFIX_SIZE] if rows else _empty_prefix(get.device, get.log)
    for header, body in rows:
        entry = (b"\1" if body is not None else b"\0") + header[PREFIX_SIZE:]
        entries += [entry, body or b""]
        size += len(entry) + len(body or b"")
        if size >= BLOCKS_AT_ONCE:
            sequence = int.from_bytes(header[PREFIX_SIZE : PREFIX_SIZE + 8])
            yield _blocks_frame(prefix, sequence, last, entries)
            last, entries, size = sequence - 1, [], 0
    if entries or last >= first:
        yield _blocks_frame(prefix, first, last, entries)


def _blocks_frame(prefix: bytes, first: int, last: int, entries: list[bytes]) -> bytes:
    return frame(BLOCKS, b"".join((prefix, varint(first), varint(last), *entries)))


def _empty_prefix(device: bytes, log: bytes) -> bytes:
    return bytes((1, 1)) + bytes(SIGNING_KEY_SIZE) + device + log


def _pack_follows(follows: Follows) -> bytes:
    return bytes((follows.begins,)) + b"".join(
        one.hash + one.digest for one in follows.follows
    )


def _unpack_follows(body: bytes) -> Follows:
    size = FOLLOW_HASH_SIZE + DIGEST_SIZE
    if body[:1] not in (b"\0", b"\1") or len(body) % size != 1:
        raise RemoteProtocolError("follows", f"{len(body)} bytes, or no 0 or 1 in front")
    found = (
        Follow(body[at : at + FOLLOW_HASH_SIZE], body[at + FOLLOW_HASH_SIZE : at + size])
        for at in range(1, len(body), size)
    )
    return Follows(body[0] == 1, tuple(found))


def _pack_heads(heads: Heads) -> bytes:
    return b"".join(
        [
            heads.person,
            varint(len(heads.card)),
            heads.card,
            *(
                head.device
                + head.log
                + varint(head.first)
                + varint(head.height)
                + head.head
                for head in heads.heads
            ),
        ]
    )


def _unpack_heads(body: bytes) -> Heads:
    reader = Reader("heads", body)
    person, size = reader.take(SIGNING_KEY_SIZE), reader.varint()
    if size > MAX_CARD:
        raise RemoteProtocolError("heads", f"a card of {size} bytes, limit {MAX_CARD}")
    card, found = reader.take(size), []
    while not reader.finished:
        device, log = reader.take(SIGNING_KEY_SIZE), reader.take(LOG_SIZE)
        first, height = _range(reader, "heads")
        found.append(Head(device, log, first, height, reader.take(BLOCK_ID_SIZE)))
    return Heads(person, card, tuple(found))


def _range(reader: Reader, field: str) -> tuple[int, int]:
    first, last = reader.varint(), reader.varint()
    if not 1 <= first <= last <= MAX_SEQUENCE:
        raise RemoteProtocolError(field, f"blocks {first} to {last}")
    return first, last


def _pack_get(get: Get | Join) -> bytes:
    return get.device + get.log + varint(get.first) + varint(get.last)


def _unpack_get(body: bytes) -> Get:
    return Get(*_log_range(body, "get"))


def _unpack_join(body: bytes) -> Join:
    return Join(*_log_range(body, "join"))


def _log_range(body: bytes, field: str) -> tuple[bytes, bytes, int, int]:
    reader = Reader(field, body)
    device, log = reader.take(SIGNING_KEY_SIZE), reader.take(LOG_SIZE)
    first, last = _range(reader, field)
    if not reader.finished:
        raise RemoteProtocolError(field, "goes on behind its end")
    return device, log, first, last


def _pack_joined(joined: Joined) -> bytes:
    headers = joined.headers
    return b"".join(
        (
            joined.device,
            joined.log,
            varint(joined.first),
            varint(joined.last),
            headers[0].person if headers else b"",
            *(header.to_bytes()[PREFIX_SIZE:] for header in headers),
        )
    )


def _unpack_joined(body: bytes) -> Joined:
    reader = Reader("joined", body)
    device, log = reader.take(SIGNING_KEY_SIZE), reader.take(LOG_SIZE)
    first, last = _range(reader, "joined")
    if reader.finished:
        return Joined(device, log, first, last, ())
    person, rest = reader.take(SIGNING_KEY_SIZE), reader.rest()
    steps = path(last, first)
    if len(rest) != len(steps) * _REST_SIZE:
        raise RemoteProtocolError(
            "joined", f"{len(rest)} bytes, {len(steps)} headers have {_REST_SIZE} each"
        )
    prefix = bytes((VERSION, SUITE)) + person + device + log
    headers = tuple(
        Header.parse(prefix + rest[at : at + _REST_SIZE])
        for at in range(0, len(rest), _REST_SIZE)
    )
    if [header.sequence for header in headers] != steps:
        raise RemoteProtocolError("joined", "other headers than those on the way")
    return Joined(device, log, first, last, headers)


def _pack_blocks(blocks: Blocks) -> bytes:
    get = Get(blocks.device, blocks.log, blocks.first, blocks.last)
    prefix = _empty_prefix(blocks.device, blocks.log)
    entries = []
    for header, body in blocks.blocks:
        packed = header.to_bytes()
        prefix = packed[:PREFIX_SIZE]
        entries += [
            (b"\1" if body is not None else b"\0") + packed[PREFIX_SIZE:],
            body or b"",
        ]
    return b"".join((prefix, varint(get.first), varint(get.last), *entries))


def _unpack_blocks(body: bytes) -> Blocks:
    reader = Reader("blocks", body)
    prefix = reader.take(PREFIX_SIZE)
    first, last = _range(reader, "blocks")
    return Blocks(
        prefix[34:66],
        prefix[66:],
        first,
        last,
        tuple(_read_blocks(prefix, reader.rest(), first, last)),
    )


def _read_blocks(prefix: bytes, data: bytes, first: int, last: int) -> Iterator[Block]:
    at, end = 0, len(data)
    while at < end:
        flag, rest = data[at], data[at + 1 : at + 1 + _REST_SIZE]
        at += 1 + _REST_SIZE
        header = Header.parse(prefix + rest)
        if not first <= header.sequence <= last:
            raise RemoteProtocolError(
                "blocks", f"{header.sequence} is not in {first} to {last}"
            )
        if flag > 1:
            raise RemoteProtocolError("blocks", f"flag {flag}, known are 0 and 1")
        text = None
        if flag:
            text = data[at : at + header.body_size]
            at += header.body_size
            if at > end:
                raise RemoteProtocolError("blocks", "end within a body")
        last = header.sequence - 1
        yield Block(header, text)


def _unpack_proof(body: bytes) -> Proof:
    return Proof(Header.parse(body[:HEADER_SIZE]), Header.parse(body[HEADER_SIZE:]))


def _unpack_query(body: bytes) -> Query:
    reader = Reader("query", body)
    id, (hops,), query = reader.take(QUERY_ID_SIZE), reader.take(1), reader.rest()
    if hops > 1 or not 1 <= len(query) <= MAX_QUERY:
        raise RemoteProtocolError("query", f"{hops} hops, {len(query)} bytes")
    return Query(id, hops, query)


def _pack_answer(answer: Answer) -> bytes:
    return b"".join(
        [
            answer.id,
            varint(len(answer.cards)),
            *(varint(len(card)) + card for card in answer.cards),
            *(header.to_bytes() + (body or b"") for header, body in answer.blocks),
        ]
    )


def _unpack_answer(body: bytes) -> Answer:
    reader = Reader("answer", body)
    id, count = reader.take(QUERY_ID_SIZE), reader.varint()
    if count > MAX_ANSWER_CARDS:
        raise RemoteProtocolError("answer", f"{count} cards, limit {MAX_ANSWER_CARDS}")
    cards = tuple(reader.take(reader.varint()) for _ in range(count))
    blocks = []
    while not reader.finished:
        header = Header.parse(reader.take(HEADER_SIZE))
        blocks.append(Block(header, reader.take(header.body_size)))
    if len(blocks) > MAX_ANSWER_BLOCKS:
        raise RemoteProtocolError(
            "answer", f"{len(blocks)} blocks, limit {MAX_ANSWER_BLOCKS}"
        )
    return Answer(id, cards, tuple(blocks))


def split_answer(
    id: bytes, blocks: Iterable[Block], card_of: Callable[[bytes], bytes | None]
) -> Iterator[Answer]:
    """Cut what was found into messages, each with the cards of its authors."""
    cards: dict[bytes, bytes] = {}
    chosen: list[Block] = []
    size = 0
    for block in blocks:
        card = card_of(block.header.person)
        if card is None or block.body is None:
            continue
        cost = HEADER_SIZE + len(block.body) + len(card) + 4
        if chosen and (size + cost > MAX_ANSWER or len(chosen) == MAX_ANSWER_BLOCKS):
            yield Answer(id, tuple(cards.values()), tuple(chosen))
            cards, chosen, size = {}, [], 0
        cards[block.header.person] = card
        chosen.append(block)
        size += cost
    if chosen:
        yield Answer(id, tuple(cards.values()), tuple(chosen))


BLOCKS: Final = 4

KINDS: Final = (
    Kind(1, "follows", Follows, _pack_follows, _unpack_follows),
    Kind(2, "heads", Heads, _pack_heads, _unpack_heads),
    Kind(3, "get", Get, _pack_get, _unpack_get),
    Kind(BLOCKS, "blocks", Blocks, _pack_blocks, _unpack_blocks),
    Kind(5, "proof", Proof, lambda m: m.one.to_bytes() + m.other.to_bytes(), _unpack_proof),
    Kind(6, "query", Query, lambda m: m.id + bytes((m.hops,)) + m.query, _unpack_query),
    Kind(7, "answer", Answer, _pack_answer, _unpack_answer),
    Kind(8, "join", Join, _pack_get, _unpack_join),
    Kind(9, "joined", Joined, _pack_joined, _unpack_joined),
)
_BY_NUMBER: Final = {kind.number: kind for kind in KINDS}
_BY_TYPE: Final[dict[type, Kind]] = {kind.message: kind for kind in KINDS}
assert MAX_ANSWER > MAX_BODY + HEADER_SIZE + MAX_CARD
