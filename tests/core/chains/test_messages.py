"""The messages of stream 4: what is said is read, what is malformed is one kind of error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.chains import messages
from meshpeer.core.chains.messages import (
    BLOCKS_AT_ONCE,
    KINDS,
    MAX_ANSWER_BLOCKS,
    Answer,
    Blocks,
    Follow,
    Follows,
    Get,
    Head,
    Heads,
    Join,
    Joined,
    Proof,
    Query,
    pack,
    pack_blocks,
    split_answer,
    unpack,
)
from meshpeer.core.formats.block import Block, path
from meshpeer.core.formats.record import Post
from meshpeer.core.sync.messages import MAX_BODY, Frames
from meshpeer.errors import RemoteProtocolError
from tests.core.chains.village import Log, Person

ANN = Person("ann")
LOG = Log(ANN)
CHAIN = LOG.grow(40)


def sized(size):
    return st.binary(min_size=size, max_size=size)


RANGES = st.tuples(st.integers(1, 2**53 - 1), st.integers(1, 2**53 - 1)).map(sorted)
HEADS = st.builds(
    lambda device, log, span, id: Head(device, log, *span, id),
    sized(32),
    sized(16),
    RANGES,
    sized(32),
)
SOME = st.sets(st.integers(0, 39), min_size=1).map(lambda n: sorted(n, reverse=True))


@st.composite
def blocks(draw):
    chosen = [CHAIN[n] for n in draw(SOME)]
    bare = draw(st.booleans())
    first = draw(st.integers(1, chosen[-1].header.sequence))
    last = draw(st.integers(chosen[0].header.sequence, 2**53 - 1))
    kept = tuple(Block(block.header, None if bare else block.body) for block in chosen)
    return Blocks(LOG.key.public, LOG.id, first, last, kept)


@st.composite
def joined(draw):
    first, last = sorted((draw(st.integers(1, 40)), draw(st.integers(1, 40))))
    headers = [CHAIN[n - 1].header for n in path(last, first)]
    found = headers if draw(st.booleans()) else []
    return Joined(LOG.key.public, LOG.id, first, last, tuple(found))


MESSAGES = st.one_of(
    st.builds(
        Follows,
        st.booleans(),
        st.lists(st.builds(Follow, sized(8), sized(8)), max_size=9).map(tuple),
    ),
    st.builds(
        Heads, sized(32), st.binary(max_size=900), st.lists(HEADS, max_size=9).map(tuple)
    ),
    st.builds(lambda d, log, span: Get(d, log, *span), sized(32), sized(16), RANGES),
    st.builds(lambda d, log, span: Join(d, log, *span), sized(32), sized(16), RANGES),
    blocks(),
    joined(),
    st.just(Proof(CHAIN[3].header, CHAIN[7].header)),
    st.builds(Query, sized(8), st.integers(0, 1), st.binary(min_size=1, max_size=1_024)),
    st.builds(
        lambda id, cards, chosen: Answer(id, tuple(cards), tuple(CHAIN[n] for n in chosen)),
        sized(8),
        st.lists(st.binary(max_size=300), max_size=4),
        SOME,
    ),
)


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 1_000))
def test_what_is_said_is_heard_however_it_is_cut(said, piece):
    data, frames = b"".join(map(pack, said)), Frames()
    heard = []
    for at in range(0, len(data), piece):
        heard += [unpack(*frame) for frame in frames.feed(data[at : at + piece])]
    assert heard == said


@given(st.sampled_from([kind.number for kind in KINDS]), st.binary(max_size=600))
def test_noise_is_a_message_or_the_one_error(number, noise):
    try:
        message = unpack(number, noise)
    except RemoteProtocolError:
        return
    assert pack(message)[1:].endswith(noise)


@given(MESSAGES, st.data())
def test_a_message_with_a_flipped_bit_is_another_or_the_one_error(message, data):
    frame = pack(message)
    body = bytearray(next(Frames().feed(frame))[1])
    if body:
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        heard = unpack(frame[0], bytes(body))
    except RemoteProtocolError:
        return
    assert heard != message or not body


def test_a_kind_that_is_not_known_is_skipped():
    assert unpack(99, b"what a newer peer says") is None


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("size", [10, 2_000, 16_000])
def test_an_answer_is_cut_into_frames_that_say_what_they_cover(count, size):
    log = Log(ANN)
    rows = [log.add(Post("x" * size)) for _ in range(count)]
    get = Get(log.key.public, log.id, 1, 50)
    packed = [(block.header.to_bytes(), block.body) for block in reversed(rows)]
    frames = list(pack_blocks(get, packed, 1))
    assert all(len(frame) < MAX_BODY for frame in frames)
    feed = Frames().feed(b"".join(frames))
    parts = [unpack(*frame) for frame in feed]
    assert [block for part in parts for block in part.blocks] == rows[::-1]
    covered = [n for part in parts for n in range(part.last, part.first - 1, -1)]
    assert covered == list(range(50, 0, -1))
    assert len(parts) <= 2 + sum(len(f) for f in frames) // BLOCKS_AT_ONCE


def test_a_long_answer_to_a_question_is_cut_too():
    found = [log.add(Post("x" * 10_000)) for log in [Log(ANN)] for _ in range(30)]
    card = ANN.card.to_bytes()
    parts = list(split_answer(b"question", found, {ANN.id: card}.get))
    assert [block for part in parts for block in part.blocks] == found
    assert all(len(pack(part)) < MAX_BODY for part in parts)
    assert all(part.cards == (card,) for part in parts)
    small = list(split_answer(b"question", CHAIN * 4, {ANN.id: card}.get))
    assert max(len(part.blocks) for part in small) <= MAX_ANSWER_BLOCKS


def test_blocks_that_are_not_in_order_or_outside_what_is_covered_are_refused():
    for first, last, chosen in ((1, 3, (1, 2)), (3, 3, (2,)), (1, 5, (3, 3))):
        said = Blocks(
            LOG.key.public, LOG.id, first, last, tuple(CHAIN[n - 1] for n in chosen)
        )
        (frame,) = Frames().feed(pack(said))
        with pytest.raises(RemoteProtocolError):
            unpack(*frame)


@pytest.mark.parametrize("chosen", [(9, 1), (9, 8, 4), (9, 8, 4, 1, 1), (9, 8, 3, 1)])
def test_a_proof_of_other_headers_than_those_on_the_way_is_refused(chosen):
    headers = tuple(CHAIN[n - 1].header for n in chosen)
    (frame,) = Frames().feed(pack(Joined(LOG.key.public, LOG.id, 1, 9, headers)))
    with pytest.raises(RemoteProtocolError):
        unpack(*frame)


def test_a_heads_message_for_a_person_with_most_logs_fits_its_frame():
    heads = (Head(b"d" * 32, b"l" * 16, 2**52, 2**53 - 1, b"h" * 32),)
    told = Heads(b"p" * 32, b"c" * 8_192, heads * (messages.HEADS_AT_ONCE + 31))
    assert len(pack(told)) <= MAX_BODY + 4
